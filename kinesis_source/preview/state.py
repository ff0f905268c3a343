"""What a preview is doing, as values: asked of Spark here, drawn elsewhere.

Runs in the caller's process, on its thread or the watcher's. Costs: a status and a progress report
are Spark's own and free; counting rows, rows by shard and the newest rows are small jobs on the
table in memory, and are asked for by whoever shows them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from kinesis_source.errors import find_code
from kinesis_source.observe.sample import Sample, report_of, sample_of
from kinesis_source.records.readable import read_data

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = [
    "NEWEST_ROWS",
    "OVER",
    "Point",
    "PreviewState",
    "Table",
    "describe_error",
    "read_table",
    "readable",
    "words",
]

_HISTORY: Final = 120
NEWEST_ROWS: Final = 10
OVER: Final = ("stopped", "failed", "full")
"""Phases of a query that has ended."""
_CELL_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Point:
    """One moment: rows that had come, and how far behind the stream the query was."""

    at_s: float
    rows: int
    behind_ms: int | None


@dataclass(frozen=True, slots=True)
class Table:
    """The newest rows, readable.

    Parameters
    ----------
    rows : int
        In the whole table.
    columns : tuple of str
    newest : tuple of tuple of str
        Newest last.
    shards : mapping of str to int, or None
        Rows by shard; None if the table has no column ``shardId``.
    """

    rows: int
    columns: tuple[str, ...]
    newest: tuple[tuple[str, ...], ...]
    shards: Mapping[str, int] | None


@dataclass
class PreviewState:
    """What is known of a preview's query by now.

    Parameters
    ----------
    table_name, stream, position : str
        As the user named them.
    max_rows : int or None

    Taken in by the watcher's thread and by whoever asks meanwhile: one at a time.
    """

    table_name: str
    stream: str
    position: str
    max_rows: int | None = None
    phase: str = "checking access"
    rows: int = 0
    error: str = ""
    error_code: str = ""
    is_full: bool = False
    last: Sample | None = None
    history: tuple[Point, ...] = ()
    _batches: dict[int, int] = field(default_factory=dict)
    _seen_rows: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def observe(self, query: StreamingQuery) -> None:
        """Take in what Spark says of the query now."""
        with self._lock:
            self._observe(query)

    def see(self, rows: int) -> None:
        """Take in how many rows the table has: Spark reports a batch after its rows are there."""
        with self._lock:
            self._seen_rows = max(self._seen_rows, rows)
            self.rows = max(self.rows, rows)
            if rows and self.phase in ("starting", "waiting"):
                self.phase = "running"

    def _observe(self, query: StreamingQuery) -> None:
        for progress in query.recentProgress:
            document = report_of(progress)
            sample = sample_of(document)
            if sample is None:
                continue
            rows = (document.get("sink") or {}).get("numOutputRows", -1)
            self._batches[sample.batch_id] = rows if rows >= 0 else sample.rows
            self.last = sample
        self.rows = max(self._seen_rows, sum(self._batches.values()))
        behind_ms = self.last.worst("maxMsBehindLatest") if self.last else None
        # A new tuple: who draws the old one goes on with it.
        now = Point(time.monotonic(), self.rows, behind_ms)
        self.history = (*self.history, now)[-_HISTORY:]
        if not query.isActive:
            self._end(query)
        elif self.rows:
            self.phase = "running"
        else:
            self.phase = "waiting" if self.last is not None else "starting"

    def _end(self, query: StreamingQuery) -> None:
        error = query.exception()
        if error is not None:
            self.error, self.error_code = describe_error(str(error))
            self.phase = "failed"
        else:
            self.phase = "full" if self.is_full else "stopped"

    def rate_per_s(self, span_s: float = 10.0) -> float:
        """Return rows a second over the last seconds."""
        if len(self.history) < 2:
            return 0.0
        last = self.history[-1]
        first = next(point for point in self.history if point.at_s >= last.at_s - span_s)
        passed_s = last.at_s - first.at_s
        return (last.rows - first.rows) / passed_s if passed_s > 0 else 0.0


def words(state: PreviewState) -> str:
    """Return in a sentence what the preview is doing."""
    where = f"stream {state.stream}, from {state.position}"
    shards = _shards(state.last)
    said = {
        "checking access": f"Checking access to {where} ...",
        "starting": f"Starting: Spark plans the first batch of {where} ...",
        "waiting": f"Waiting for the first record: {shards}{where}.",
        "running": f"Running: {shards}{where}.",
        "stopped": f"Stopped, with {state.rows:,} rows from {where}.",
        "failed": f"Failed: {where}.",
        "full": (
            f"Stopped at max_rows = {state.max_rows or 0:,}: the oldest rows stay, later ones were"
            " not read. Give a larger max_rows, or None for no limit."
        ),
    }
    return said[state.phase]


def _shards(sample: Sample | None) -> str:
    if sample is None or not sample.total("numOpenShards"):
        return ""
    open_shards, behind = sample.total("numOpenShards"), sample.total("numShardsBehind")
    throttled = sample.total("numThrottledShards")
    lag = "none behind" if not behind else f"{behind} behind"
    more = f", {throttled} throttled" if throttled else ""
    return f"{open_shards} shard{'s' if open_shards > 1 else ''}, {lag}{more}; "


def describe_error(text: str) -> tuple[str, str]:
    """Return the sentence of a failed query that says what is wrong, and its code."""
    code = find_code(text) or ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if code and f"[{code}]" in line]
    line = told[-1] if told else (lines[0] if lines else "the query ended")
    return line[line.find(f"[{code}]") if told else 0 :][:1_000], code


def read_table(spark: SparkSession, state: PreviewState, *, newest: int = NEWEST_ROWS) -> Table:
    """Ask the table in memory for its size, its newest rows, and its rows by shard.

    The state hears of the size.
    """
    frame = spark.table(state.table_name)
    shards = None
    if "shardId" in frame.columns:
        counted = frame.groupBy("shardId").count().collect()
        shards = dict(sorted((str(row["shardId"]), int(row["count"])) for row in counted))
        rows = sum(shards.values())
    else:
        rows = frame.count()
    state.see(rows)
    last = frame.tail(newest)
    # The table's last rows are those of its last batch, shard after shard.
    by = [
        name for name in ("approximateArrivalTimestamp", "sequenceNumber") if name in frame.columns
    ]
    if by and all(row[by[0]] is not None for row in last):
        last.sort(key=lambda row: tuple(row[name] for name in by))
    shown = tuple(tuple(readable(name, row[name]) for name in frame.columns) for row in last)
    return Table(rows, tuple(frame.columns), shown, shards)


def readable(name: str, value: Any) -> str:
    """Return a cell as a person reads it; data that is not text says what it is."""
    if value is None:
        return ""
    if isinstance(value, bytes | bytearray):
        found = read_data(bytes(value))
        plain = found.kind in ("text", "json", "empty")
        text = found.text if plain else f"{found.kind}: {found.text}"
    elif name == "sequenceNumber":
        text = f"...{value[-10:]}" if len(str(value)) > 14 else str(value)
    else:
        text = str(value)
    return text if len(text) <= _CELL_CHARACTERS else f"{text[:_CELL_CHARACTERS]}..."
