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

``oldest`` may have ``"behind": "4957..."``: the oldest record left, but none up to that number,
which were read before AWS refused it.

Sequence numbers are decimal strings of up to 129 digits. They compare as integers, never as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
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
    "position_from_json",
    "position_to_json",
    "quoted",
    "record_from_json",
    "record_to_json",
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
    """

    epoch_ms: int
    whole_ms: int | None = None
    empty_ms: int | None = None


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
    if is_finished(position) or is_finished(of) or is_ahead(of, position):
        return False
    return (empty_at_ms(position) or 0) > (empty_at_ms(of) or 0)


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


def position_to_json(position: Position) -> Any:
    """Return a position's checkpoint form, see the module's text."""
    if isinstance(position, Marker):
        return position.value
    if isinstance(position, ShardEnd):
        return "end" if position.empty_ms is None else {"end": position.empty_ms}
    document: dict[str, Any]
    if isinstance(position, AfterRecord):
        document = record_to_json("after", position)
    elif isinstance(position, AtTimestamp):
        document = {"at": position.epoch_ms}
        if position.whole_ms is not None:
            document["whole"] = position.whole_ms
    else:
        document = {"oldest": position.whole_ms}
        if position.behind is not None:
            document["behind"] = position.behind
    if position.empty_ms is not None:
        document["empty"] = position.empty_ms
    return dict(sorted(document.items()))


def record_to_json(name: str, record: AfterRecord | FromRecord) -> dict[str, Any]:
    """Return the form of a record's place, its number under ``name``."""
    return dict(sorted({name: record.sequence_number, "arrival": record.arrival_ms}.items()))


def position_from_json(value: Any) -> Position:
    """Read a position's checkpoint form, of this version of offsets or an older one.

    Raises
    ------
    OffsetError
        ``[OFFSET_POSITION]`` if the value is none of the forms.
    """
    if value == "end":
        return END
    if isinstance(value, str) and value in {marker.value for marker in Marker}:
        return Marker(value)
    if isinstance(value, dict):
        position = _position_from_object(value)
        if position is not None:
            return position
    raise _no_position(value)


def record_from_json(value: Any) -> FromRecord:
    """Read the form ``{"from": "4957...", "arrival": 1767225600000}``.

    Raises
    ------
    OffsetError
        ``[OFFSET_POSITION]`` if the value is anything else.
    """
    if (
        isinstance(value, dict)
        and set(value) == {"from", "arrival"}
        and isinstance(value["from"], str)
        and _is_epoch_ms(value["arrival"])
    ):
        return FromRecord(value["from"], value["arrival"])
    raise _no_position(value)


def _position_from_object(value: dict[str, Any]) -> Position | None:
    texts = [value[name] for name in _TEXTS if name in value]
    times = [value[name] for name in value if name not in _TEXTS]
    if not all(isinstance(text, str) for text in texts) or not all(map(_is_epoch_ms, times)):
        return None
    names = frozenset(value)
    for needed, allowed, make in _FORMS:
        if needed <= names <= needed | allowed:
            return make(value)
    return None


_TEXTS: Final = frozenset({"after", "behind"})
# Offsets of version 1 have "complete". Behind a record it was the time of an empty look; at a
# moment it might be that of the start, so no more is taken from it than that.
_FORMS: Final[tuple[tuple[frozenset[str], frozenset[str], Callable[[Any], Position]], ...]] = (
    (
        frozenset({"after", "arrival"}),
        frozenset({"empty"}),
        lambda value: AfterRecord(value["after"], value["arrival"], value.get("empty")),
    ),
    (
        frozenset({"after", "arrival", "complete"}),
        frozenset(),
        lambda value: AfterRecord(value["after"], value["arrival"], value["complete"]),
    ),
    (
        frozenset({"at"}),
        frozenset({"whole", "empty"}),
        lambda value: AtTimestamp(value["at"], value.get("whole"), value.get("empty")),
    ),
    (
        frozenset({"at", "complete"}),
        frozenset(),
        lambda value: AtTimestamp(value["at"], value["complete"]),
    ),
    (
        frozenset({"oldest"}),
        frozenset({"empty", "behind"}),
        lambda value: OldestSince(value["oldest"], value.get("empty"), value.get("behind")),
    ),
    (frozenset({"end"}), frozenset(), lambda value: ShardEnd(value["end"])),
)


def _no_position(value: Any) -> OffsetError:
    return OffsetError(
        "OFFSET_POSITION",
        f"The offset holds {quoted(value)} where a shard's position belongs.",
        "Restore the checkpoint from a copy, or start the query with a new checkpoint directory.",
    )


def quoted(value: Any) -> str:
    """Return any JSON value as it may stand in a message: quoted and cut."""
    try:
        return repr(str(value)[:200])
    # Nested too deeply, or an integer of more digits than Python turns into text.
    except (RecursionError, ValueError):
        return f"a {type(value).__name__} too large to show"


def _is_epoch_ms(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_EPOCH_MS
