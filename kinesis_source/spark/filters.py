"""Spark's pushed filters as a Selection.

Runs in the driver-side worker that plans a batch read, on Spark 4.1 and later. A filter that is not
understood narrows nothing. None is taken from Spark: it evaluates all of them on what is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from kinesis_source.plan.selection import EVERYTHING, NUMBER_DIGITS, Selection

__all__ = ["selection_of"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_EQUAL: Final = ("EqualTo", "EqualNullSafe")
_ABOVE: Final = ("GreaterThan", "GreaterThanOrEqual")
_BELOW: Final = ("LessThan", "LessThanOrEqual")


def selection_of(filters: Iterable[Any]) -> Selection:
    """Return what filters leave, all of which must hold.

    Parameters
    ----------
    filters : iterable of pyspark.sql.datasource.Filter
    """
    selection = EVERYTHING
    for one in filters:
        path: tuple[str, ...] = getattr(one, "attribute", ())
        if len(path) == 1 and hasattr(one, "value"):
            column = path[0].lower()  # Spark's names are without regard to case
            narrowed = _READERS.get(column, _unknown)(type(one).__name__, one.value)
            selection = selection.within(narrowed)
    return selection


def _unknown(kind: str, value: Any) -> Selection:  # noqa: ARG001 - one of the readers
    return EVERYTHING


def _of_streams(kind: str, value: Any) -> Selection:
    return Selection(streams=_names(kind, value))


def _of_shards(kind: str, value: Any) -> Selection:
    return Selection(shard_ids=_names(kind, value))


def _names(kind: str, value: Any) -> frozenset[str] | None:
    if kind in _EQUAL and isinstance(value, str):
        return frozenset({value})
    if kind == "In":
        return frozenset(one for one in value if isinstance(one, str))
    return None


def _of_times(kind: str, value: Any) -> Selection:
    values = value if kind == "In" else [value]
    times = [_epoch_ms(one) for one in values if isinstance(one, datetime)]
    if not times or len(times) < len(values):
        return EVERYTHING
    # Microseconds were cut off.
    first_ms, last_ms = min(times), max(times) + 1
    if kind in _EQUAL or kind == "In":
        return Selection(since_ms=first_ms, until_ms=last_ms)
    if kind in _ABOVE:
        return Selection(since_ms=first_ms)
    return Selection(until_ms=last_ms) if kind in _BELOW else EVERYTHING


def _of_numbers(kind: str, value: Any) -> Selection:
    values = value if kind == "In" else [value]
    numbers = [one for one in values if isinstance(one, str) and _is_plain(one)]
    if not numbers or len(numbers) < len(values):
        return EVERYTHING
    if kind in _EQUAL or kind == "In":
        return Selection(first_number=min(numbers), last_number=max(numbers))
    if kind in _ABOVE:
        return Selection(first_number=numbers[0])
    return Selection(last_number=numbers[0]) if kind in _BELOW else EVERYTHING


def _is_plain(number: str) -> bool:
    return len(number) == NUMBER_DIGITS and number.isdecimal() and number.isascii()


def _epoch_ms(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


_READERS: Final[Mapping[str, Callable[[str, Any], Selection]]] = {
    "streamname": _of_streams,
    "shardid": _of_shards,
    "approximatearrivaltimestamp": _of_times,
    "sequencenumber": _of_numbers,
}
