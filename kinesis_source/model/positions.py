"""Positions in a shard: where reading starts or has come to.

Pure values, used by driver and executors. In a checkpoint a position is one of

    {"after": "4957...", "arrival": 1767225600000}    behind a record, with its arrival time (ms)
    {"at": 1767225600000}                             the first record that arrived at or after (ms)
    {"oldest": 1767225600000}                         the oldest record; nothing was gone then (ms)
    {"end": 1767225600000}                            a closed shard, read to its end; see below
    "end"                                             the same, and nothing is known of its time
    "trim_horizon"                                    the oldest record that is left
    "lost"                                            a shard that vanished before it was read

Two facts, each with a name of its own, decide whether records may have been trimmed unread
(invariant 7):

``empty``
    A moment at which the shard held nothing behind the position. Whatever is behind it arrived
    later, so nothing can be gone before that moment is as old as the retention. ``after`` and
    ``at`` say as much by themselves, of the record's arrival and of the moment asked for.
    ``end`` says it of the shard's children: nothing in them arrived before.
``whole`` (``oldest`` has no other value)
    A moment at which nothing behind the position was gone. What is behind it may have been as old
    as the retention even then, so this proves nothing of any later moment.

``oldest`` and ``at`` may have ``"behind": "4957..."``: the first record there, but none up to that
number: those were read before AWS refused it, or the user asked to begin behind them.

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
    "FromRecord",
    "Marker",
    "OldestSince",
    "Position",
    "ShardEnd",
    "empty_at_ms",
    "is_ahead",
    "is_finished",
    "is_later",
    "is_same_place",
    "quoted",
    "with_emptiness",
]

# Kinesis API model, shape SequenceNumber: 0|([1-9]\d{0,128})
_SEQUENCE_NUMBER = re.compile(r"0|[1-9][0-9]{0,128}")

LAST_EPOCH_MS: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z: later moments have no datetime, so no call could be made with one."""


class Marker(Enum):
    """Positions that need no value."""

    TRIM_HORIZON = "trim_horizon"
    LOST = "lost"

    def __repr__(self) -> str:
        return self.name


TRIM_HORIZON: Final = Marker.TRIM_HORIZON
LOST: Final = Marker.LOST


@dataclass(frozen=True, slots=True)
class ShardEnd:
    """A closed shard, read to its end.

    Parameters
    ----------
    empty_ms : int or None
        A moment at which the shard was still open: its children hold nothing that arrived before.
    """

    empty_ms: int | None = None


END: Final = ShardEnd()


@dataclass(frozen=True, slots=True)
class AtTimestamp:
    """The first record that arrived at or after a moment.

    Parameters
    ----------
    epoch_ms : int
        Milliseconds since 1970-01-01 UTC.
    whole_ms : int or None
        A moment at which nothing behind the position was gone.
    empty_ms : int or None
        A moment at which nothing was behind the position.
    behind : str or None
        A sequence number; records up to it are not wanted.
    """

    epoch_ms: int
    whole_ms: int | None = None
    empty_ms: int | None = None
    behind: str | None = None

    def __post_init__(self) -> None:
        if self.behind is not None:
            _check_number(self.behind)


@dataclass(frozen=True, slots=True)
class OldestSince:
    """The oldest record left, in a shard of which nothing was gone at a moment.

    Parameters
    ----------
    whole_ms : int
        Milliseconds since 1970-01-01 UTC.
    empty_ms : int or None
        A moment at which the shard held nothing, or nothing behind ``behind``.
    behind : str or None
        A sequence number; records up to it were read.
    """

    whole_ms: int
    empty_ms: int | None = None
    behind: str | None = None

    def __post_init__(self) -> None:
        if self.behind is not None:
            _check_number(self.behind)


@dataclass(frozen=True, slots=True)
class AfterRecord:
    """Directly behind a record that exists.

    Parameters
    ----------
    sequence_number : str
        Decimal digits.
    arrival_ms : int
        The record's approximate arrival time, milliseconds since 1970-01-01 UTC.
    empty_ms : int or None
        A later moment at which no record was behind this one.
    """

    sequence_number: str
    arrival_ms: int
    empty_ms: int | None = None

    def __post_init__(self) -> None:
        _check_number(self.sequence_number)


@dataclass(frozen=True, slots=True)
class FromRecord:
    """With a record that exists: the first one behind a start that is no record.

    It begins a range; it never stands for how far a shard is read.

    Parameters
    ----------
    sequence_number : str
        Decimal digits.
    arrival_ms : int
        The record's approximate arrival time, milliseconds since 1970-01-01 UTC.
    """

    sequence_number: str
    arrival_ms: int

    def __post_init__(self) -> None:
        _check_number(self.sequence_number)


Position = Marker | AtTimestamp | OldestSince | AfterRecord | ShardEnd


def _check_number(number: str) -> None:
    if not _SEQUENCE_NUMBER.fullmatch(number):
        raise OffsetError(
            "OFFSET_SEQUENCE_NUMBER",
            f"{quoted(number)} is not a sequence number.",
            "Sequence numbers are 1 to 129 decimal digits without leading zeros.",
        )


def is_finished(position: Position) -> bool:
    """Say whether nothing more will be read of a shard: at its end, or lost."""
    return isinstance(position, ShardEnd) or position is LOST


def is_ahead(position: Position, of: Position) -> bool:
    """Say whether a position lies ahead of another one of the same shard.

    A record lies ahead of every start (trim horizon, timestamp), because the frontier only takes
    bounds from reads that began at that start. Starts never lie ahead of anything, nor does LOST:
    there is nothing to read up to it.
    """
    if is_finished(of):
        return False
    if isinstance(position, ShardEnd):
        return True
    if not isinstance(position, AfterRecord):
        return False
    known = of.sequence_number if isinstance(of, AfterRecord) else getattr(of, "behind", None)
    return known is None or int(position.sequence_number) > int(known)


def is_later(position: Position, of: Position) -> bool:
    """Say whether a position is ahead of another one, or the same place known empty for longer."""
    if is_ahead(position, of):
        return True
    if is_finished(of) or not is_same_place(position, of):
        return False
    return (empty_at_ms(position) or 0) > (empty_at_ms(of) or 0)


def is_same_place(position: Position, other: Position) -> bool:
    """Say whether two positions of a shard differ in nothing but what is known of them."""
    if isinstance(position, AfterRecord) and isinstance(other, AfterRecord):
        return position.sequence_number == other.sequence_number
    if isinstance(position, AtTimestamp) and isinstance(other, AtTimestamp):
        return (position.epoch_ms, position.behind) == (other.epoch_ms, other.behind)
    if isinstance(position, OldestSince) and isinstance(other, OldestSince):
        return position.behind == other.behind
    return type(position) is type(other) and not isinstance(position, Marker)


def empty_at_ms(position: Position) -> int | None:
    """Return the last moment known before which nothing behind a position arrived.

    None where there is no such moment: what is there may be as old as the retention.
    """
    if isinstance(position, AfterRecord):
        return max(position.arrival_ms, position.empty_ms or 0)
    if isinstance(position, AtTimestamp):
        return max(position.epoch_ms, position.empty_ms or 0)
    return None if isinstance(position, Marker) else position.empty_ms


def with_emptiness(position: Position, empty_ms: int) -> Position:
    """Return a position with a later moment at which nothing was behind it.

    Positions without a place for it stay as they are, as do those that know a later one.
    """
    if isinstance(position, Marker) or empty_ms <= (empty_at_ms(position) or 0):
        return position
    return replace(position, empty_ms=empty_ms)


def quoted(value: Any) -> str:
    """Return any JSON value as it may stand in a message: quoted and cut."""
    try:
        return repr(str(value)[:200])
    # Nested too deeply, or an integer of more digits than Python turns into text.
    except (RecursionError, ValueError):
        return f"a {type(value).__name__} too large to show"
