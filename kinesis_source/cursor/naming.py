"""Positions and times as people read them, for messages of driver and executors. Pure."""

from __future__ import annotations

from datetime import datetime, timezone

from kinesis_source.model.positions import (
    AfterRecord,
    AtTimestamp,
    FromRecord,
    OldestSince,
    Position,
    ShardEnd,
)

__all__ = ["name_age", "name_position", "name_time"]


def name_position(position: Position | FromRecord) -> str:
    """Return a position for a message, with times that people can read."""
    if isinstance(position, AfterRecord | FromRecord):
        return (
            f"sequence number {position.sequence_number} (arrived {name_time(position.arrival_ms)})"
        )
    if isinstance(position, AtTimestamp):
        moment = f"the moment {name_time(position.epoch_ms)}"
        if position.behind is not None:
            return f"{moment}, behind sequence number {position.behind}"
        return moment
    if isinstance(position, OldestSince):
        whole = f"none was missing at {name_time(position.whole_ms)}"
        if position.behind is not None:
            return f"the oldest record behind sequence number {position.behind} ({whole})"
        return f"the oldest record ({whole})"
    return "the end of the shard" if isinstance(position, ShardEnd) else "the oldest record"


def name_time(epoch_ms: int) -> str:
    """Return milliseconds since 1970 as UTC text."""
    moment = datetime.fromtimestamp(epoch_ms / 1000, tz=timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def name_age(age_ms: int) -> str:
    """Return a span of time in its largest unit that has two of itself in it."""
    for unit, unit_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if age_ms >= 2 * unit_ms:
            return f"{age_ms / unit_ms:.1f} {unit}"
    return f"{age_ms // 1000} s"
