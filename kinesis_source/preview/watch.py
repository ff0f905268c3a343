"""watch(): stands beside a query until it ends, and shows how far it is.

Runs in the caller's process. In a notebook a bar is redrawn in place, in a terminal too (rich);
elsewhere a line goes to standard error every ten seconds. Watching is not owning: Ctrl-C ends it,
and the query goes on.
"""

from __future__ import annotations

import html
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from kinesis_source.errors import StreamError
from kinesis_source.preview.backlog import Backlog, Progress
from kinesis_source.preview.panel import put_out
from kinesis_source.preview.state import describe_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["watch"]

_LOOK_S: Final = 0.5
_LINE_S: Final = 10.0
_WAITING: Final = "waiting for the first batch"


def watch(query: StreamingQuery, timeout: float | None = None, out: TextIO | None = None) -> bool:
    """Wait for a query and show how far it has worked off its backlog.

    Made for runs with ``.trigger(availableNow=True)``, which end; other queries can be watched with
    a ``timeout``.

    Parameters
    ----------
    query : pyspark.sql.streaming.StreamingQuery
        Reads with this source.
    timeout : float, optional
        Seconds; None: until it ends.
    out : text file, optional
        Where lines go that are in no notebook; default: standard error.

    Returns
    -------
    bool
        Whether the query has ended, as ``awaitTermination`` says it.

    Raises
    ------
    StreamError
        ``[QUERY_FAILED]`` if it failed, with why.

    Examples
    --------
    >>> query = frame.writeStream.trigger(availableNow=True).start()  # doctest: +SKIP
    >>> kinesis_source.watch(query)  # doctest: +SKIP
    """
    until_s = None if timeout is None else time.monotonic() + timeout
    backlog = Backlog()
    name = query.name or str(query.id)
    with _shown(name, out or sys.stderr) as show:
        while True:
            is_over = not query.isActive
            backlog.take(list(query.recentProgress))
            error = query.exception() if is_over else None
            show(backlog.progress(is_over=is_over and error is None), is_over)
            if error is not None:
                why, _ = describe_error(str(error))
                raise StreamError(
                    "QUERY_FAILED",
                    f"The query {name!r} failed: {why}",
                    "Mend what it says, and start the query again with the same checkpoint.",
                )
            if is_over or (until_s is not None and time.monotonic() >= until_s):
                return is_over
            time.sleep(_LOOK_S)


@contextmanager
def _shown(name: str, out: TextIO) -> Iterator[Callable[[Progress, bool], None]]:
    if (handle := put_out(_forms(name, None), is_live=True)) is not None:
        yield lambda progress, _: handle.update(_forms(name, progress), raw=True)
    elif out.isatty():
        with _terminal(name, out) as show:
            yield show
    else:
        yield _Lines(name, out).show


def _forms(name: str, progress: Progress | None) -> dict[str, str]:
    words = str(progress) if progress is not None else _WAITING
    return {"text/html": _html(name, progress, words), "text/plain": f"{name}: {words}"}


def _html(name: str, progress: Progress | None, words: str) -> str:
    share = progress.share if progress is not None else None
    value = "" if share is None else f' value="{share:.3f}"'
    return (
        '<div class="kinesis-progress" style="font-family:sans-serif;font-size:13px">'
        f"<b>{html.escape(name)}</b> <progress max='1'{value}></progress>"
        f" {html.escape(words)}</div>"
    )


@contextmanager
def _terminal(name: str, out: TextIO) -> Iterator[Callable[[Progress, bool], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
    with Bar(*columns, console=Console(file=out)) as bar:
        task = bar.add_task(name, total=None, words=_WAITING)

        def show(progress: Progress, _: bool) -> None:
            total = 1.0 if progress.share is not None else None
            bar.update(task, total=total, completed=progress.share or 0.0, words=str(progress))

        yield show


class _Lines:
    """A line now and then, for logs."""

    def __init__(self, name: str, out: TextIO) -> None:
        self._name = name
        self._out = out
        self._said_s: float | None = None

    def show(self, progress: Progress, is_over: bool) -> None:
        now_s = time.monotonic()
        if not is_over and self._said_s is not None and now_s < self._said_s + _LINE_S:
            return
        self._said_s = now_s
        self._out.write(f"{self._name}: {progress}\n")
        self._out.flush()
