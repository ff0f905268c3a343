"""Sample: what one progress report of Spark says of a query that reads Kinesis.

Runs in the process that listens: the driver's, or a Connect client's. Pure: the report's JSON in, a
Sample out, None for queries of other sources. On Spark 4.2 and later each source's ``latestOffset``
has this source's own numbers (plan/frontier.py); before there are Spark's, and what the end offset
shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Sample", "report_of", "sample_of"]

_OFFSET_KEYS: Final = {"v", "streams"}


@dataclass(frozen=True)
class Sample:
    """One report.

    Parameters
    ----------
    query : str
        The query's name, else its id.
    query_id, run_id : str
    batch_id : int
    timestamp : str
        When the batch began, as Spark has it (ISO 8601, UTC).
    rows : int
        Of the batch, from all sources.
    rows_per_s : float or None
        As they were processed.
    batch_ms : int
        Duration of the whole trigger.
    streams : mapping of stream to mapping of str to int
        This source's numbers, such as ``maxMsBehindLatest``.
    mode : str
        ``polling``.
    """

    query: str
    query_id: str
    run_id: str
    batch_id: int
    timestamp: str
    rows: int
    rows_per_s: float | None
    batch_ms: int
    streams: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    mode: str = "polling"

    def worst(self, name: str) -> int | None:
        """Return the largest value of a number over the streams; None: nobody has it."""
        return max((s[name] for s in self.streams.values() if name in s), default=None)

    def total(self, name: str) -> int:
        """Return the sum of a number over the streams."""
        return sum(numbers.get(name, 0) for numbers in self.streams.values())


def report_of(progress: Any) -> dict[str, Any]:
    """Return a progress report as plain values, whatever class a version gives it."""
    if isinstance(progress, dict) and not hasattr(progress, "json"):
        return progress
    text = progress.json
    document: dict[str, Any] = json.loads(text() if callable(text) else text)
    return document


def sample_of(progress: Mapping[str, Any]) -> Sample | None:
    """Read a progress report.

    Parameters
    ----------
    progress : mapping
        What :func:`report_of` returns.

    Returns
    -------
    Sample or None
        None if no source of the query is this one.
    """
    streams: dict[str, dict[str, int]] = {}
    is_ours = False
    for source in progress.get("sources") or []:
        end = _object(source.get("endOffset"))
        if not end.keys() >= _OFFSET_KEYS:
            continue
        is_ours = True
        for stream in _object(end["streams"]):
            streams.setdefault(stream, {})
        for stream, numbers in _object(source.get("latestOffset")).items():
            counted = {
                name: int(value)
                for name, value in _object(numbers).items()
                if isinstance(value, int) and not isinstance(value, bool)
            }
            if stream in streams:
                streams[stream].update(counted)
    if not is_ours:
        return None
    durations = _object(progress.get("durationMs"))
    return Sample(
        query=str(progress.get("name") or progress.get("id")),
        query_id=str(progress.get("id")),
        run_id=str(progress.get("runId")),
        batch_id=int(progress.get("batchId") or 0),
        timestamp=str(progress.get("timestamp")),
        rows=int(progress.get("numInputRows") or 0),
        rows_per_s=_number(progress.get("processedRowsPerSecond")),
        batch_ms=int(durations.get("triggerExecution") or 0),
        streams=streams,
    )


def _object(value: Any) -> dict[str, Any]:
    """Return an object, which some versions hand over as its text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
