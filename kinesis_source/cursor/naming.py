"""Positions and times as people read them, for messages of driver and executors. Pure."""

from __future__ import annotations

from datetime import datetime, timezone

from kinesis_source.model.positions import END, AfterRecord, AtTimestamp, OldestSince, Position

__all__ = ["name_position", "name_time"]


def name_position(position: Position) -> str:
    """Return a position for a message, with times that people can read."""
    if isinstance(position, AfterRecord):
        return (
            f"sequence number {position.sequence_number} (arrived {name_time(position.arrival_ms)})"
        )
    if isinstance(position, AtTimestamp):
        return f"the moment {name_time(position.epoch_ms)}"
    if isinstance(position, OldestSince):
        return f"the oldest record (none was missing at {name_time(position.complete_ms)})"
    return "the end of the shard" if position is END else "the oldest record"


def name_time(epoch_ms: int) -> str:
    """Return milliseconds since 1970 as UTC text."""
    moment = datetime.fromtimestamp(epoch_ms / 1000, tz=timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
