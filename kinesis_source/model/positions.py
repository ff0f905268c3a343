"""Positions in a shard: where reading starts or has come to.

Pure values, used by driver and executors. In a checkpoint a position is one of

    "trim_horizon"                                    the oldest record that is left
    "end"                                             a closed shard, read to its end
    "lost"                                            a shard that vanished before it was read
    {"at": 1767225600000}                             the first record that arrived at or after (ms)
    {"after": "4957...", "arrival": 1767225600000}    behind a record, with its arrival time (ms)
    {"oldest": 1767225600000}                         the oldest record, known complete then (ms)

``at`` and ``after`` may carry ``"complete": 1767225600000``, a moment of AWS's clock at which
nothing behind the position was gone: the shard was seen to hold no record behind it, or the
position was just made. Only when that moment is older than the retention can records have been
trimmed unread (invariant 7).

Sequence numbers are decimal strings of up to 129 digits. They compare as integers, never as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from kinesis_source.errors import OffsetError

__all__ = [
    "END",
    "LAST_EPOCH_MS",
    "LOST",
    "TRIM_HORIZON",
    "AfterRecord",
    "AtTimestamp",
    "Marker",
    "OldestSince",
    "Position",
    "complete_at_ms",
    "is_ahead",
    "is_finished",
    "is_later",
    "position_from_json",
    "position_to_json",
    "quoted",
    "with_completeness",
]

# Kinesis API model, shape SequenceNumber: 0|([1-9]\d{0,128})
_SEQUENCE_NUMBER = re.compile(r"0|[1-9][0-9]{0,128}")

LAST_EPOCH_MS: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z: later moments have no datetime, so no call could be made with one."""


class Marker(Enum):
    """Positions that need no value."""

    TRIM_HORIZON = "trim_horizon"
    END = "end"
    LOST = "lost"

    def __repr__(self) -> str:
        return self.name


TRIM_HORIZON: Final = Marker.TRIM_HORIZON
END: Final = Marker.END
LOST: Final = Marker.LOST


@dataclass(frozen=True, slots=True)
class AtTimestamp:
    """The first record that arrived at or after a moment.

    Parameters
    ----------
    epoch_ms : int
        Milliseconds since 1970-01-01 UTC.
    complete_ms : int or None
        A moment at which nothing behind the position was gone.
    """

    epoch_ms: int
    complete_ms: int | None = None


@dataclass(frozen=True, slots=True)
class OldestSince:
    """The oldest record left, in a shard that was known to be whole at a moment.

    Parameters
    ----------
    complete_ms : int
        Milliseconds since 1970-01-01 UTC.
    """

    complete_ms: int


@dataclass(frozen=True, slots=True)
class AfterRecord:
    """Directly behind a record that exists.

    Parameters
    ----------
    sequence_number : str
        Decimal digits.
    arrival_ms : int
        The record's approximate arrival time, milliseconds since 1970-01-01 UTC.
    complete_ms : int or None
        A later moment at which no record was behind this one.
    """

    sequence_number: str
    arrival_ms: int
    complete_ms: int | None = None

    def __post_init__(self) -> None:
        if not _SEQUENCE_NUMBER.fullmatch(self.sequence_number):
            raise OffsetError(
                "OFFSET_SEQUENCE_NUMBER",
                f"{quoted(self.sequence_number)} is not a sequence number.",
                "Sequence numbers are 1 to 129 decimal digits without leading zeros.",
            )


Position = Marker | AtTimestamp | OldestSince | AfterRecord


def is_finished(position: Position) -> bool:
    """Say whether nothing more will be read of a shard: at its end, or lost."""
    return position is END or position is LOST


def is_ahead(position: Position, of: Position) -> bool:
    """Say whether a position lies ahead of another one of the same shard.

    A record lies ahead of every start (trim horizon, timestamp), because the frontier only takes
    bounds from reads that began at that start. Starts never lie ahead of anything, nor does LOST:
    there is nothing to read up to it.
    """
    if is_finished(of):
        return False
    if position is END:
        return True
    if not isinstance(position, AfterRecord):
        return False
    if isinstance(of, AfterRecord):
        return int(position.sequence_number) > int(of.sequence_number)
    return True


def is_later(position: Position, of: Position) -> bool:
    """Say whether a position is ahead of another one, or the same place known whole for longer."""
    if is_ahead(position, of):
        return True
    if is_finished(position) or is_finished(of) or is_ahead(of, position):
        return False
    return (complete_at_ms(position) or 0) > (complete_at_ms(of) or 0)


def complete_at_ms(position: Position) -> int | None:
    """Return the last moment at which nothing behind a position was known to be gone.

    None where there is no such moment: the start that a user asked for, and finished shards.
    """
    if isinstance(position, OldestSince):
        return position.complete_ms
    if isinstance(position, AfterRecord):
        return max(position.arrival_ms, position.complete_ms or 0)
    return position.complete_ms if isinstance(position, AtTimestamp) else None


def with_completeness(position: Position, complete_ms: int) -> Position:
    """Return a position with a later moment at which nothing behind it was gone.

    Finished shards stay as they are.
    """
    if is_finished(position) or complete_ms <= (complete_at_ms(position) or 0):
        return position
    if isinstance(position, AtTimestamp | AfterRecord):
        return replace(position, complete_ms=complete_ms)
    return OldestSince(complete_ms)


def position_to_json(position: Position) -> Any:
    """Return a position's checkpoint form, see the module's text."""
    if isinstance(position, Marker):
        return position.value
    if isinstance(position, OldestSince):
        return {"oldest": position.complete_ms}
    document: dict[str, Any]
    if isinstance(position, AtTimestamp):
        document = {"at": position.epoch_ms}
    else:
        document = {"after": position.sequence_number, "arrival": position.arrival_ms}
    if position.complete_ms is not None:
        document["complete"] = position.complete_ms
    return document


def position_from_json(value: Any) -> Position:
    """Read a position's checkpoint form.

    Raises
    ------
    OffsetError
        ``[OFFSET_POSITION]`` if the value is none of the forms.
    """
    if isinstance(value, str) and value in {marker.value for marker in Marker}:
        return Marker(value)
    if isinstance(value, dict):
        position = _position_from_object(value)
        if position is not None:
            return position
    raise OffsetError(
        "OFFSET_POSITION",
        f"The offset holds {quoted(value)} where a shard's position belongs.",
        "Restore the checkpoint from a copy, or start the query with a new checkpoint directory.",
    )


def _position_from_object(value: dict[str, Any]) -> Position | None:
    times = {name: value[name] for name in value if name != "after"}
    if not all(_is_epoch_ms(time) for time in times.values()):
        return None
    names = set(value) - {"complete"}
    complete_ms = value.get("complete")
    if names == {"oldest"} and complete_ms is None:
        return OldestSince(value["oldest"])
    if names == {"at"}:
        return AtTimestamp(value["at"], complete_ms)
    if names == {"after", "arrival"} and isinstance(value["after"], str):
        return AfterRecord(value["after"], value["arrival"], complete_ms)
    return None


def quoted(value: Any) -> str:
    """Return any JSON value as it may stand in a message: quoted and cut."""
    try:
        return repr(str(value)[:200])
    # Nested too deeply, or an integer of more digits than Python turns into text.
    except (RecursionError, ValueError):
        return f"a {type(value).__name__} too large to show"


def _is_epoch_ms(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_EPOCH_MS
