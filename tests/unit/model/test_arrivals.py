"""Arrival times: milliseconds, whether Python or Arrow rounds them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesis_source.aws.api import Page
from kinesis_source.model.arrivals import ArrivalTimes
from kinesis_source.model.positions import LAST_EPOCH_MS
from kinesis_source.records.batches import BatchBuilder
from kinesis_source.records.schema import Content, OutputColumn

TIMES = ArrivalTimes([1_767_225_601.123, 0.0, 1_767_225_601.9996])
MS = [1_767_225_601_123, 0, 1_767_225_602_000]


def test_they_are_a_sequence_of_milliseconds():
    assert len(TIMES) == 3
    assert list(TIMES) == MS
    assert (TIMES[0], TIMES[-1]) == (MS[0], MS[-1])
    assert (min(TIMES), max(TIMES)) == (0, MS[2])
    assert MS[1] in TIMES
    with pytest.raises(IndexError):
        TIMES[3]


def test_a_slice_is_a_sequence_of_milliseconds():
    assert isinstance(TIMES[1:], ArrivalTimes)
    assert TIMES[1:] == MS[1:]


def test_they_equal_a_list_of_the_same():
    assert TIMES == MS == TIMES
    assert MS[:2] != TIMES
    assert TIMES != 1


@settings(deadline=None)
@given(st.lists(st.integers(0, LAST_EPOCH_MS // 1000 * 1000), min_size=1))
def test_arrow_and_python_round_alike_and_the_millisecond_is_exact(written_ms):
    count = len(written_ms)
    times = ArrivalTimes([ms / 1000 for ms in written_ms])
    page = Page(["1"] * count, ["k"] * count, times, [b""] * count, None, 0)
    column = (OutputColumn("t", Content.ARRIVAL),)
    (batch,) = BatchBuilder(column, "clicks", deaggregate=False, max_rows=count).batches("s", page)
    shown = batch.column("t").cast("int64").to_pylist()
    assert times == written_ms
    assert shown == [ms * 1000 for ms in written_ms]
