"""Positions in a shard: where reading starts or has come to.

Pure values, used by driver and executors. In a checkpoint a position is one of

    "trim_horizon"                                    the oldest record that is left
    "end"                                             a closed shard, read to its end
    {"at": 1767225600000}                             the first record that arrived at or after (ms)
    {"after": "4957...", "arrival": 1767225600000}    behind a record, with its arrival time (ms)

Sequence numbers are decimal strings of up to 129 digits. They compare as integers, never as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from kinesis_source.errors import OffsetError

__all__ = [
    "END",
    "TRIM_HORIZON",
    "AfterRecord",
    "AtTimestamp",
    "Marker",
    "Position",
    "is_ahead",
    "position_from_json",
    "position_to_json",
]

# Kinesis API model, shape SequenceNumber: 0|([1-9]\d{0,128})
_SEQUENCE_NUMBER = re.compile(r"0|[1-9][0-9]{0,128}")


class Marker(Enum):
    """Positions that need no value."""

    TRIM_HORIZON = "trim_horizon"
    END = "end"

    def __repr__(self) -> str:
        return self.name


TRIM_HORIZON: Final = Marker.TRIM_HORIZON
END: Final = Marker.END


@dataclass(frozen=True, slots=True)
class AtTimestamp:
    """The first record that arrived at or after a moment.

    Parameters
    ----------
    epoch_ms : int
        Milliseconds since 1970-01-01 UTC.
    """

    epoch_ms: int


@dataclass(frozen=True, slots=True)
class AfterRecord:
    """Directly behind a record that exists.

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
        if not _SEQUENCE_NUMBER.fullmatch(self.sequence_number):
            raise OffsetError(
                "OFFSET_SEQUENCE_NUMBER",
                f"{self.sequence_number!r} is not a sequence number.",
                "Sequence numbers are 1 to 129 decimal digits without leading zeros.",
            )


Position = Marker | AtTimestamp | AfterRecord


def is_ahead(position: Position, of: Position) -> bool:
    """Say whether a position lies ahead of another one of the same shard.

    A record lies ahead of every start (trim horizon, timestamp), because the frontier only takes
    bounds from reads that began at that start. Starts never lie ahead of anything.
    """
    if position is END:
        return of is not END
    if not isinstance(position, AfterRecord):
        return False
    if isinstance(of, AfterRecord):
        return int(position.sequence_number) > int(of.sequence_number)
    return of is not END


def position_to_json(position: Position) -> Any:
    """Return a position's checkpoint form, see the module's text."""
    if isinstance(position, Marker):
        return position.value
    if isinstance(position, AtTimestamp):
        return {"at": position.epoch_ms}
    return {"after": position.sequence_number, "arrival": position.arrival_ms}


def position_from_json(value: Any) -> Position:
    """Read a position's checkpoint form.

    Raises
    ------
    OffsetError
        ``[OFFSET_POSITION]`` if the value is none of the four forms.
    """
    if isinstance(value, str) and value in ("trim_horizon", "end"):
        return Marker(value)
    if isinstance(value, dict):
        if set(value) == {"at"} and _is_epoch_ms(value["at"]):
            return AtTimestamp(value["at"])
        if (
            set(value) == {"after", "arrival"}
            and isinstance(value["after"], str)
            and _is_epoch_ms(value["arrival"])
        ):
            return AfterRecord(value["after"], value["arrival"])
    raise OffsetError(
        "OFFSET_POSITION",
        f"The offset holds {str(value)[:200]!r} where a shard's position belongs.",
        "Restore the checkpoint from a copy, or start the query with a new checkpoint directory.",
    )


def _is_epoch_ms(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
