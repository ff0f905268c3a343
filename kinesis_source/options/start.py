"""Where a query starts and a batch read ends: readers of ``initialPosition``, ``endingPosition``.

Pure; runs in Spark's driver-side worker at ``load()``. Takes, in any case::

    latest | trim_horizon | earliest
    2023-08-30 | 2023-08-30T19:00:05.250Z | 2023-08-30 19:00:05 -08:00 | 2023-08-30T19:00:05
    AT_TIMESTAMP 2023-08-30T19:00:05Z
    1693422005 | 1693422005250                  (seconds: 10 digits, milliseconds: 13 digits)
    {"at_timestamp": "06/25/2020 10:23:45 PDT", "format": "MM/dd/yyyy HH:mm:ss ZZZ"}
    a place for each stream or shard, see options/places.py

A time without zone is UTC, whatever the time zone of the machine or of Spark's session.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp
from kinesis_source.options.java_dates import UnreadableTimeError, read_java_date, read_zone
from kinesis_source.options.places import read_places
from kinesis_source.options.settings import (
    LATEST,
    EndingPosition,
    InitialPosition,
    NumberedRecord,
    ShardStarts,
    StreamStarts,
)
from kinesis_source.options.values import BadValueError, shown

__all__ = ["read_ending_position", "read_initial_position", "read_timestamp"]

_CHOICES: Final = "Write 'latest', 'trim_horizon', or a time such as '2023-08-30T19:00:05Z'."
_WORDS: Final[dict[str, InitialPosition]] = {
    "latest": LATEST,
    "trim_horizon": TRIM_HORIZON,
    "earliest": TRIM_HORIZON,
}
_AT_TIMESTAMP = re.compile(r"at_timestamp(?:\s*[=:]\s*|\s+)(.+)", re.IGNORECASE | re.DOTALL)
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r" ?([A-Za-z]{1,5}|[+-][0-9:]{2,6})?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def read_initial_position(text: str) -> InitialPosition:
    """Read a start position; whether a time lies in the future is for the caller to see.

    Raises
    ------
    BadValueError
        The text is none of the forms in the module's text.
    """
    word = text.lower()
    if word in _WORDS:
        return _WORDS[word]
    if text.startswith("{"):
        return _read_json(text)
    if word == "at_timestamp":
        raise BadValueError(
            "OPTION_VALUE",
            f"is {shown(text)} without a time.",
            "Write for example 'AT_TIMESTAMP 2023-08-30T19:00:05Z'.",
        )
    match = _AT_TIMESTAMP.fullmatch(text)
    return read_timestamp(match[1].strip() if match else text)


def read_ending_position(text: str) -> EndingPosition:
    """Read where a batch read ends: ``latest``, a time (exclusive), or records of shards.

    Raises
    ------
    BadValueError
        It is none of these.
    """
    position = read_initial_position(text)
    if isinstance(position, StreamStarts):
        for _, place in position.streams:
            shards = place.shards if isinstance(place, ShardStarts) else (("", place),)
            for shard_id, end in shards:
                is_read = isinstance(end, NumberedRecord) and end.is_read
                if not (end is LATEST or (shard_id and is_read)):
                    raise BadValueError(
                        "OPTION_UNSUPPORTED",
                        f"has a place for {shown(shard_id or 'a stream')} that a read cannot end "
                        "at.",
                        'Write {"<shard id>": {"after": "<sequence number>"}} for the last record '
                        'of a shard, or "latest".',
                    )
        return position
    if position is LATEST or isinstance(position, AtTimestamp):
        return position
    raise BadValueError(
        "OPTION_VALUE",
        f"is {shown(text)}: a read that ends at the oldest record holds nothing.",
        "Write 'latest', or a time such as '2023-08-30T19:00:05Z'.",
    )


def read_timestamp(text: str) -> AtTimestamp:
    """Read a time in ISO 8601, or as 10 digits (seconds) or 13 digits (milliseconds) since 1970.

    Raises
    ------
    BadValueError
        It is neither, is no day of the calendar, or lies before 1970.
    """
    if re.fullmatch(r"[0-9]{13}", text):
        return AtTimestamp(int(text))
    if re.fullmatch(r"[0-9]{10}", text):
        return AtTimestamp(int(text) * 1_000)
    match = _ISO.fullmatch(text)
    if match is None:
        raise BadValueError("OPTION_VALUE", f"is {shown(text)}, which is no position.", _CHOICES)
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    microsecond = int(f"{match[7] or '0':0<6}"[:6])
    try:
        zone = read_zone(match[8]) if match[8] else timezone.utc
        moment = datetime(year, month, day, hour, minute, second, microsecond, zone)
    except (UnreadableTimeError, ValueError) as error:
        raise _no_time(text, error) from None
    return _at(moment, text)


def _read_json(text: str) -> InitialPosition:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise BadValueError(
            "OPTION_VALUE", f"looks like JSON but is none: {shown(text)}.", _CHOICES
        ) from None
    folded = {key.lower(): item for key, item in value.items()}
    if "at_timestamp" not in folded:
        return read_places(value, read_timestamp, read_initial_position)
    more = sorted(set(folded) - {"at_timestamp", "format"})
    if more:
        raise BadValueError(
            "OPTION_VALUE",
            f"has {shown(more[0])} beside a time.",
            'Write {"at_timestamp": "<time>"}, with a "format" if it needs one.',
        )
    moment, pattern = folded["at_timestamp"], folded.get("format")
    if not isinstance(moment, str) or not isinstance(pattern, str | None):
        raise BadValueError(
            "OPTION_VALUE",
            f"has a time or format that is not text: {shown(text)}.",
            "Put both in quotes.",
        )
    if pattern is None:
        return read_timestamp(moment.strip())
    try:
        return _at(read_java_date(moment, pattern), moment)
    except UnreadableTimeError as error:
        raise _no_time(moment, error) from None


def _at(moment: datetime, text: str) -> AtTimestamp:
    """Round down to milliseconds: a start a little early loses nothing."""
    # Subtraction, not datetime.timestamp(): that goes through a float.
    epoch_ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    if epoch_ms < 0:
        raise BadValueError(
            "OPTION_RANGE",
            f"lies before 1970: {shown(text)}.",
            "Write 'trim_horizon' for the oldest record.",
        )
    return AtTimestamp(epoch_ms)


def _no_time(text: str, error: Exception) -> BadValueError:
    return BadValueError("OPTION_VALUE", f"is {shown(text)}, which is no time: {error}.", _CHOICES)
