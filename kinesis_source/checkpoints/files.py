"""A checkpoint directory of Structured Streaming, as far as the source is concerned.

Runs where a person runs a command, on a copy or a mount of the directory. Reads ``offsets/<batch>``
and ``commits/<batch>`` (Spark's OffsetSeqLog and CommitLog: a line with the version, one with the
query's metadata, one with the offset of each source) and finds the lines that are this source's.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kinesis_source.errors import OffsetError
from kinesis_source.model.offsets import StreamOffset

__all__ = ["Checkpoint", "LoggedOffset"]

_BATCH: Final = re.compile(r"[0-9]{1,18}")
_VERSION: Final = "v1"
_NO_OFFSET: Final = "-"
_REMOTE: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):/")


@dataclass(frozen=True)
class LoggedOffset:
    """The end of one batch.

    Parameters
    ----------
    batch_id : int
    is_committed : bool
        Whether the batch is done; else Spark will run it again.
    lines : tuple of str
        Of the file, without line breaks.
    sources : mapping of line number to StreamOffset
        Those that are this source's.
    """

    batch_id: int
    is_committed: bool
    lines: tuple[str, ...]
    sources: dict[int, StreamOffset]

    @property
    def metadata(self) -> dict[str, Any]:
        """What Spark logged beside the offsets."""
        try:
            found = json.loads(self.lines[1])
        except (IndexError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


class Checkpoint:
    """A checkpoint directory.

    Parameters
    ----------
    path : str
        A local path, or one that begins with ``file:``.

    Raises
    ------
    OffsetError
        ``[OFFSET_NO_CHECKPOINT]`` if there is none.
    """

    def __init__(self, path: str) -> None:
        self.path = _local(path)
        if not (self.path / "offsets").is_dir():
            raise OffsetError(
                "OFFSET_NO_CHECKPOINT",
                f"{str(self.path)!r} is no checkpoint directory: it has no folder 'offsets'.",
                "Give what the query has as checkpointLocation.",
            )

    @property
    def batch_ids(self) -> list[int]:
        """The batches whose ends are logged, in order."""
        return _batches(self.path / "offsets")

    @property
    def is_stateful(self) -> bool:
        """Whether the query keeps state beside its offsets."""
        state = self.path / "state"
        return state.is_dir() and any(state.iterdir())

    def read(self, batch_id: int | None = None) -> LoggedOffset:
        """Return the end of a batch, of the last one by default.

        Raises
        ------
        OffsetError
            ``[OFFSET_NO_CHECKPOINT]`` if it is not there, ``[OFFSET_UNREADABLE]`` if it is no
            offset of a query that reads Kinesis.
        """
        known = self.batch_ids
        if not known or (batch_id is not None and batch_id not in known):
            which = f"batch {batch_id}" if batch_id is not None else "any batch"
            raise OffsetError(
                "OFFSET_NO_CHECKPOINT",
                f"{str(self.path)!r} has no offset of {which}; it has {_span(known)}.",
                "Spark keeps the last hundred or so (spark.sql.streaming.minBatchesToRetain).",
            )
        batch_id = known[-1] if batch_id is None else batch_id
        lines = tuple((self.path / "offsets" / str(batch_id)).read_text("utf-8").splitlines())
        return LoggedOffset(
            batch_id, batch_id in _batches(self.path / "commits"), lines, self._sources(lines)
        )

    def _sources(self, lines: tuple[str, ...]) -> dict[int, StreamOffset]:
        if not lines or lines[0] != _VERSION:
            version = lines[0][:20] if lines else ""
            raise OffsetError(
                "OFFSET_UNREADABLE",
                f"The offset log in {str(self.path)!r} has version {version!r}; {_VERSION!r} is"
                " known.",
                "Use a release of this package that knows the Spark that wrote it.",
            )
        found = {
            number: StreamOffset.from_json(document)
            for number, line in enumerate(lines[2:], 2)
            if line != _NO_OFFSET and isinstance(document := _json(line), dict)
            if {"v", "streams"} <= document.keys()
        }
        if not found:
            raise OffsetError(
                "OFFSET_UNREADABLE",
                f"No source of the query in {str(self.path)!r} reads Kinesis with this package.",
                "Checkpoints of other connectors have other forms.",
            )
        return found

    def copy_to(self, target: str, logged: LoggedOffset, sources: dict[int, StreamOffset]) -> Path:
        """Write a copy that goes on behind a batch, from other offsets.

        The copy is made under another name and renamed when it is whole. Batches behind that one
        are not in it.

        Parameters
        ----------
        target : str
            A directory that does not exist.
        logged : LoggedOffset
            Of a batch that was committed.
        sources : mapping of line number to StreamOffset
            Instead of those that it had.
        """
        path = _local(target)
        if path.exists():
            raise OffsetError(
                "OFFSET_TARGET",
                f"{str(path)!r} is there already.",
                "Name a directory that does not exist: nothing is written over.",
            )
        draft = path.with_name(f".{path.name}.incomplete")
        if draft.exists():
            shutil.rmtree(draft)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.path, draft)
        for log in ("offsets", "commits"):
            for batch_id in _batches(draft / log):
                if batch_id > logged.batch_id:
                    _remove(draft / log / str(batch_id))
        lines = list(logged.lines)
        for number, offset in sources.items():
            lines[number] = json.dumps(offset.to_json())
        file = draft / "offsets" / str(logged.batch_id)
        _remove(file)  # with its checksum, which would not hold
        file.write_text("\n".join(lines), "utf-8")
        draft.rename(path)
        return path


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.with_name(f".{file.name}.crc").unlink(missing_ok=True)


def _batches(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return sorted(int(file.name) for file in folder.iterdir() if _BATCH.fullmatch(file.name))


def _span(batches: list[int]) -> str:
    return f"{batches[0]} to {batches[-1]}" if batches else "none"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _local(path: str) -> Path:
    bare = re.sub(r"^file:(//)?", "", path)
    remote = _REMOTE.match(bare)
    if remote is not None:
        raise OffsetError(
            "OFFSET_TARGET",
            f"{path!r} is on {remote[1]!r}, and only local directories are read and written.",
            "Copy the directory here first, for example with 'aws s3 cp --recursive' or"
            " 'dbutils.fs.cp', while the query is stopped.",
        )
    return Path(bare).expanduser()
