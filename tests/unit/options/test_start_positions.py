"""initialPosition: every spelling of a start that a user may bring along."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp
from kinesis_source.options.java_dates import UnreadableTimeError, read_java_date, read_zone
from kinesis_source.options.settings import LATEST
from kinesis_source.options.start import read_initial_position
from kinesis_source.options.values import BadValueError


def utc(*fields: int) -> AtTimestamp:
    return AtTimestamp(round(datetime(*fields, tzinfo=timezone.utc).timestamp() * 1000))  # type: ignore[arg-type,misc]


@pytest.mark.parametrize("text", ["latest", "LATEST", "Latest"])
def test_latest(text: str) -> None:
    assert read_initial_position(text) is LATEST


@pytest.mark.parametrize("text", ["trim_horizon", "TRIM_HORIZON", "earliest", "EARLIEST"])
def test_the_oldest_record(text: str) -> None:
    assert read_initial_position(text) is TRIM_HORIZON


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2023-08-30", utc(2023, 8, 30)),
        ("2023-08-30T19:00", utc(2023, 8, 30, 19)),
        ("2023-08-30T19:00:05", utc(2023, 8, 30, 19, 0, 5)),
        ("2023-08-30 19:00:05", utc(2023, 8, 30, 19, 0, 5)),
        ("2023-08-30t19:00:05z", utc(2023, 8, 30, 19, 0, 5)),
        ("2023-08-30T19:00:05 UTC", utc(2023, 8, 30, 19, 0, 5)),
        ("2023-08-30T19:00:05-08:00", utc(2023, 8, 31, 3, 0, 5)),
        ("2023-08-30T19:00:05+0530", utc(2023, 8, 30, 13, 30, 5)),
        ("2023-08-30T19:00:05+02", utc(2023, 8, 30, 17, 0, 5)),
        ("2023-08-30T19:00:05.25Z", utc(2023, 8, 30, 19, 0, 5, 250_000)),
        ("2023-08-30T19:00:05,123456789Z", utc(2023, 8, 30, 19, 0, 5, 123_000)),
        ("9999-12-31T23:59:59-18:00", AtTimestamp(253_402_365_599_000)),
        ("AT_TIMESTAMP 2023-08-30T19:00:05Z", utc(2023, 8, 30, 19, 0, 5)),
        ("at_timestamp=2023-08-30T19:00:05-08:00", utc(2023, 8, 31, 3, 0, 5)),
        ("1693422005", AtTimestamp(1_693_422_005_000)),
        ("1693422005250", AtTimestamp(1_693_422_005_250)),
        ('{"at_timestamp": "2023-08-30T19:00:05Z"}', utc(2023, 8, 30, 19, 0, 5)),
        (
            '{"at_timestamp":"06/25/2020 10:23:45 PDT","format":"MM/dd/yyyy HH:mm:ss ZZZ"}',
            utc(2020, 6, 25, 17, 23, 45),
        ),
        (
            '{"AT_TIMESTAMP":"2020-06-25T10:23:45.500+02:00",'
            '"Format":"yyyy-MM-dd\'T\'HH:mm:ss.SSSXXX"}',
            utc(2020, 6, 25, 8, 23, 45, 500_000),
        ),
    ],
)
def test_a_time(text: str, moment: AtTimestamp) -> None:
    assert read_initial_position(text) == moment


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("oldest", "OPTION_VALUE", "trim_horizon"),
        ("AT_TIMESTAMP", "OPTION_VALUE", "without a time"),
        ("AT_TIMESTAMP yesterday", "OPTION_VALUE", "'yesterday'"),
        ("2023-02-30", "OPTION_VALUE", "day is out of range"),
        ("2023-08-30T25:00:00Z", "OPTION_VALUE", "hour must be in 0..23"),
        ("2023-08-30T19:00:05 IST", "OPTION_VALUE", "time zone 'IST' is not known"),
        ("2023-08-30T19:00:05+19:00", "OPTION_VALUE", "out of range"),
        ("1969-12-31T23:59:59Z", "OPTION_RANGE", "before 1970"),
        ("0001-01-01T00:00:00+10:00", "OPTION_RANGE", "before 1970"),
        ("169342200", "OPTION_VALUE", "no position"),
        ("{at_timestamp", "OPTION_VALUE", "looks like JSON but is none"),
        ('{"a":' * 100_000, "OPTION_VALUE", "looks like JSON but is none"),
        ('{"at_timestamp": 5}', "OPTION_VALUE", "not text"),
        ('{"at_timestamp": "x", "format": null, "more": 1}', "OPTION_VALUE", "has 'more'"),
        (
            '{"at_timestamp":"25 of June","format":"MM/dd/yyyy"}',
            "OPTION_VALUE",
            "does not follow the format 'MM/dd/yyyy'",
        ),
    ],
)
def test_what_is_no_start(text: str, code: str, says: str) -> None:
    with pytest.raises(BadValueError) as caught:
        read_initial_position(text)
    assert caught.value.code == code
    assert says in f"{caught.value.problem} {caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("25 Jun 2020 10:23 PM GMT", "dd MMM yyyy hh:mm a z", "2020-06-25T22:23:00+00:00"),
        ("25 June 2020 12:00 am", "d MMMM uuuu h:mm a", "2020-06-25T00:00:00+00:00"),
        ("Thu, 25 Jun 20", "EEE, dd MMM yy", "2020-06-25T00:00:00+00:00"),
        ("20200625102345", "yyyyMMddHHmmss", "2020-06-25T10:23:45+00:00"),
        ("2020.06.25 at 24", "yyyy.MM.dd 'at' kk", "2020-06-25T00:00:00+00:00"),
        ("25/6/2020 9 o'clock", "d/M/yyyy H 'o''clock'", "2020-06-25T09:00:00+00:00"),
        ("2020'06'25", "yyyy''MM''dd", "2020-06-25T00:00:00+00:00"),
        ("2020-06-25T10:23:45Z", "yyyy-MM-dd'T'HH:mm:ssX", "2020-06-25T10:23:45+00:00"),
        ("2020-06-25 10 GMT+02:00", "yyyy-MM-dd HH O", "2020-06-25T10:00:00+02:00"),
        ("2020-06-25 10 EST", "yyyy-MM-dd HH zzz", "2020-06-25T10:00:00-05:00"),
    ],
)
def test_java_patterns(text: str, pattern: str, expected: str) -> None:
    assert read_java_date(text, pattern).isoformat() == expected


@pytest.mark.parametrize(
    ("text", "pattern", "says"),
    [
        ("2020", "yyyy", "needs year, month and day"),
        ("2020-06-25 W26", "yyyy-MM-dd 'W'w", "letter 'w' is not supported"),
        ("2020-06-25", "yyyy-MM-dd'", "quote that does not end"),
        ("2020-06-25", "yyyy'-MM-dd", "quote that does not end"),
        ("2020-06-25 06", "yyyy-MM-dd MM", "has the month twice"),
        ("2020-06-25 10", "yyyy-MM-dd hh", "needs AM or PM"),
        ("2020-06-25 13 PM", "yyyy-MM-dd hh a", "hour must be in 0..12"),
        ("2020-13-25", "yyyy-MM-dd", "month must be in 1..12"),
        ("2020-06-25 25", "yyyy-MM-dd kk", "hour must be in 0..23"),
        ("2020-06-25 ", "yyyy-MM-dd zzz", "does not follow the format"),
        ("2020-06-25 CEST", "yyyy-MM-dd zzz", "'CEST' is not known"),
        ("x", "y" * 101, "more than 100 characters"),
    ],
)
def test_java_patterns_that_fail_say_why(text: str, pattern: str, says: str) -> None:
    with pytest.raises(UnreadableTimeError, match=says):
        read_java_date(text, pattern)


@pytest.mark.parametrize("text", ["+05:75", "+1900", "PCT", "+", ""])
def test_no_zone(text: str) -> None:
    with pytest.raises(UnreadableTimeError):
        read_zone(text)
