"""Selection: which records a batch read wants of those between its two ends.

Pure; used by the driver's planning of ``spark.read``. Made from the filters that Spark pushes down
(spark/filters.py). It only spares reading: Spark evaluates every filter itself, so whatever cannot
be told apart here stays in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from kinesis_source.model.positions import AfterRecord, FromRecord
from kinesis_source.model.ranges import ShardRange

__all__ = ["EVERYTHING", "Selection"]

NUMBER_DIGITS: Final = 56
"""Of every sequence number that AWS gives. Spark compares them as text, which is the same as by
value only where all are equally long."""


@dataclass(frozen=True)
class Selection:
    """What is wanted. None: no bound.

    Parameters
    ----------
    streams, shard_ids : frozenset of str or None
    since_ms, until_ms : int or None
        Arrival times, both inclusive.
    first_number, last_number : str or None
        Sequence numbers of NUMBER_DIGITS digits, both inclusive.
    """

    streams: frozenset[str] | None = None
    shard_ids: frozenset[str] | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    first_number: str | None = None
    last_number: str | None = None

    def within(self, other: Selection) -> Selection:
        """Return what both leave."""
        return Selection(
            _common(self.streams, other.streams),
            _common(self.shard_ids, other.shard_ids),
            _last(self.since_ms, other.since_ms),
            _first(self.until_ms, other.until_ms),
            _last(self.first_number, other.first_number),
            _first(self.last_number, other.last_number),
        )

    @property
    def is_empty(self) -> bool:
        """Whether no record can be wanted."""
        is_any_empty = self.streams == frozenset() or self.shard_ids == frozenset()
        return (
            is_any_empty
            or _is_crossed(self.since_ms, self.until_ms)
            or _is_crossed(self.first_number, self.last_number)
        )

    def of_ranges(self, ranges: Iterable[ShardRange]) -> list[ShardRange]:
        """Return those ranges that may hold records that are wanted, by what they say."""
        return [one for one in ranges if self._may_hold(one)]

    def _may_hold(self, shard_range: ShardRange) -> bool:
        if self.shard_ids is not None and shard_range.shard_id not in self.shard_ids:
            return False
        start, end = shard_range.start, shard_range.end
        if self.first_number is not None and isinstance(end, AfterRecord):
            is_passed = _is_plain(end.sequence_number) and end.sequence_number < self.first_number
            if is_passed:
                return False
        if self.last_number is not None and isinstance(start, AfterRecord | FromRecord):
            number = start.sequence_number
            is_behind = isinstance(start, AfterRecord)
            if _is_plain(number) and (
                number > self.last_number or (is_behind and number == self.last_number)
            ):
                return False
        return True


EVERYTHING: Final = Selection()
_Bound = TypeVar("_Bound", int, str)


def _common(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return one if other is None else other
    return one & other


def _first(one: _Bound | None, other: _Bound | None) -> _Bound | None:
    return min((bound for bound in (one, other) if bound is not None), default=None)


def _last(one: _Bound | None, other: _Bound | None) -> _Bound | None:
    return max((bound for bound in (one, other) if bound is not None), default=None)


def _is_crossed(first: _Bound | None, last: _Bound | None) -> bool:
    return first is not None and last is not None and first > last


def _is_plain(number: str) -> bool:
    return len(number) == NUMBER_DIGITS
