"""How far a query has worked off a backlog: share, speed, time left. From Spark's own reports.

Runs in the caller's process. The measure is arrival time: where the batches' ends stand between the
oldest record of the run's beginning and the moment it began. Pure but for the query that is asked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from kinesis_source.errors import KinesisSourceError
from kinesis_source.model.offsets import StreamOffset
from kinesis_source.model.positions import AfterRecord, AtTimestamp, Position, ShardEnd
from kinesis_source.observe.sample import report_of

__all__ = ["Backlog", "Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is.

    Parameters
    ----------
    share : float or None
        0 to 1; None: no batch has ended yet, or the ends say nothing of time.
    rows : int
    rows_per_s : float
        Since the run began.
    elapsed_s : float
    left_s : float or None
    batches : int
    """

    share: float | None
    rows: int
    rows_per_s: float
    elapsed_s: float
    left_s: float | None
    batches: int

    def __str__(self) -> str:
        share = "-" if self.share is None else f"{100 * self.share:.0f} %"
        left = "" if self.left_s is None else f", about {_span(self.left_s)} left"
        return (
            f"{share} of the backlog by arrival time, {self.rows:,} rows in {self.batches} batches,"
            f" {self.rows_per_s:,.0f} rows/s, {_span(self.elapsed_s)}{left}"
        )


@dataclass
class Backlog:
    """Takes in a query's reports."""

    _rows: dict[int, int] = field(default_factory=dict)
    _began_s: float = field(default_factory=time.monotonic)
    _began_ms: int | None = None
    _base_ms: int | None = None
    _at_ms: int | None = None

    def take(self, reports: list[Any]) -> None:
        """Take in reports, such as ``query.recentProgress``; those known change nothing."""
        for report in reports:
            document = report_of(report)
            batch_id = int(document.get("batchId") or 0)
            self._rows[batch_id] = int(document.get("numInputRows") or 0)
            if self._began_ms is None:
                self._began_ms = _epoch_ms(document.get("timestamp"))
            for source in document.get("sources") or ():
                self._take_offsets(source.get("startOffset"), source.get("endOffset"))

    def _take_offsets(self, start: Any, end: Any) -> None:
        begun, ended = _arrivals(start), _arrivals(end)
        if self._base_ms is None:
            known = begun or ended
            self._base_ms = min(known) if known else None
        if ended:
            self._at_ms = min(ended)

    def progress(self, *, is_over: bool = False) -> Progress:
        """Return how far it is now."""
        elapsed_s = max(0.001, time.monotonic() - self._began_s)
        rows = sum(self._rows.values())
        share = 1.0 if is_over else self._share()
        left_s = None
        if share is not None and 0.02 < share < 1:
            left_s = elapsed_s * (1 - share) / share
        batches = sum(1 for count in self._rows.values() if count)
        return Progress(share, rows, rows / elapsed_s, elapsed_s, left_s, batches)

    def _share(self) -> float | None:
        if self._base_ms is None or self._at_ms is None or self._began_ms is None:
            return None
        span_ms = self._began_ms - self._base_ms
        if span_ms <= 0:
            return None
        return min(0.99, max(0.0, (self._at_ms - self._base_ms) / span_ms))


def _arrivals(offset: Any) -> list[int]:
    """Return the arrival times in an offset of this source, of shards that are not finished."""
    if isinstance(offset, str):
        try:
            offset = json.loads(offset)
        except ValueError:
            return []
    if not isinstance(offset, Mapping) or not {"v", "streams"} <= offset.keys():
        return []
    try:
        streams = StreamOffset.from_json(dict(offset)).streams.values()
    except KinesisSourceError:
        return []
    found = [_arrival_ms(at) for stream in streams for at in stream.shards.values()]
    return [at_ms for at_ms in found if at_ms is not None]


def _arrival_ms(position: Position) -> int | None:
    if isinstance(position, ShardEnd):
        return None
    if isinstance(position, AfterRecord):
        return position.arrival_ms
    return position.epoch_ms if isinstance(position, AtTimestamp) else None


def _epoch_ms(text: Any) -> int | None:
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return round(moment.astimezone(timezone.utc).timestamp() * 1000)


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
