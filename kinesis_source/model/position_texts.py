"""Positions as a checkpoint has them: JSON values, of this version of offsets and of older ones.

Pure. The forms are described in model/positions.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kinesis_source.errors import OffsetError
from kinesis_source.model.positions import (
    END,
    LAST_EPOCH_MS,
    AfterRecord,
    AtTimestamp,
    FromRecord,
    Marker,
    OldestSince,
    Position,
    ShardEnd,
    quoted,
)

__all__ = ["position_from_json", "position_to_json", "record_from_json", "record_to_json"]


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
    if isinstance(position, AtTimestamp | OldestSince) and position.behind is not None:
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
        frozenset({"whole", "empty", "behind"}),
        lambda value: AtTimestamp(
            value["at"], value.get("whole"), value.get("empty"), value.get("behind")
        ),
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


def _is_epoch_ms(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_EPOCH_MS
