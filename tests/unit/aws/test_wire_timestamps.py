"""Whole milliseconds on their way to AWS, and lifetimes by AWS's clock."""

from __future__ import annotations

import datetime
import json

import pytest

from kinesis_source.aws.timestamps import (
    from_epoch_ms,
    keep_milliseconds,
    lifetime_s,
    note_timestamps,
)


@pytest.mark.parametrize("epoch_ms", [0, 1, 1_767_225_600_001, 1_767_225_600_999])
def test_a_moment_keeps_its_milliseconds(epoch_ms):
    moment = from_epoch_ms(epoch_ms)
    assert moment.microsecond == epoch_ms % 1000 * 1000
    assert moment.utcoffset() == datetime.timedelta(0)


@pytest.mark.parametrize("wrap", [lambda part: part, lambda part: {"ShardFilter": part}])
def test_a_body_cut_to_seconds_gets_its_milliseconds_back(wrap):
    """As older versions of botocore write it."""
    context = {}
    note_timestamps(wrap({"Timestamp": from_epoch_ms(1_767_225_600_123)}), context)
    request = {"body": json.dumps(wrap({"Timestamp": 1_767_225_600, "Type": "x"})).encode()}
    keep_milliseconds(request, context)
    assert json.loads(request["body"]) == wrap({"Timestamp": 1_767_225_600.123, "Type": "x"})


def test_a_call_without_timestamp_is_left_alone():
    context = {}
    note_timestamps({"StreamName": "clicks"}, context)
    request = {"body": b"{}"}
    keep_milliseconds(request, context)
    assert request == {"body": b"{}"}


def test_a_lifetime_is_counted_by_aws_not_by_this_machine():
    expiry = datetime.datetime(2001, 1, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    assert lifetime_s(expiry, "Mon, 01 Jan 2001 00:00:00 GMT") == 3600.0


def test_without_date_header_this_machine_must_do():
    expiry = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=60)
    assert lifetime_s(expiry, None) == pytest.approx(60, abs=1)
