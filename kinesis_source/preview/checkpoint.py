"""A checkpoint directory for one preview: made fresh, kept while the query runs, then removed.

Runs in the caller's process. Spark Connect and clusters get none from here: a directory of the
caller's machine is no place for their state, and Spark makes and removes a temporary one itself on
the file system it works with.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from kinesis_source.errors import OptionError

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["CheckpointDirectory", "MissingDirectoryError", "check_parent"]


class MissingDirectoryError(OptionError, FileNotFoundError):
    """The parent for checkpoint directories is not there."""


def check_parent(parent: str | Path | None) -> Path | None:
    """Return the parent for a checkpoint directory as an absolute path.

    Raises
    ------
    TypeError
        Neither a str nor a path.
    MissingDirectoryError
        (a FileNotFoundError and a ValueError) It is not there, or no directory.
    """
    if parent is None:
        return None
    if not isinstance(parent, str | Path):
        raise TypeError(f"checkpoint_dir must be a str or a path, got {type(parent).__name__}.")
    path = Path(parent)
    if not path.is_dir():
        what = "is not a directory" if path.exists() else "does not exist"
        raise MissingDirectoryError(
            "OPTION_VALUE",
            f"checkpoint_dir {str(parent)!r} {what} on this machine.",
            "Name an existing local directory: each preview makes its own one in it. Leave it out"
            " for the system's temporary directory.",
        )
    return path.resolve()


class CheckpointDirectory:
    """A fresh directory, removed by :meth:`remove`, or at the interpreter's end at the latest.

    Parameters
    ----------
    parent : pathlib.Path or None
        None: the system's temporary directory.
    """

    def __init__(self, parent: Path | None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="kinesis-preview-", dir=parent))
        # Spark may still be writing its last file: what cannot be removed is no reason to fail.
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    @property
    def location(self) -> str:
        """The directory as Spark's ``checkpointLocation``.

        With a scheme, since the default file system need not be the local one; not as a URI, since
        Hadoop takes ``%20`` in a text for what it says.
        """
        return f"file:{self.path}"

    def remove(self) -> None:
        """Remove the directory; harmless to repeat."""
        self._finalizer()

    def remove_after(self, query: StreamingQuery) -> None:
        """Remove the directory once a query has ended, from a thread that waits for that."""
        threading.Thread(
            target=self._wait_and_remove,
            args=(query,),
            name=f"kinesis-preview-{query.name}",
            daemon=True,  # must not keep the interpreter from ending
        ).start()

    def _wait_and_remove(self, query: StreamingQuery) -> None:
        # Why the query ended, or that the JVM is gone, is the query's to tell, not this thread's.
        with contextlib.suppress(Exception):
            query.awaitTermination()
        self.remove()
