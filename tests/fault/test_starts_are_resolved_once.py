"""A stream without position is resolved once, however often the planner looks while it waits."""

from __future__ import annotations

import time

import pytest

from kinesis_source.errors import OffsetError
from tests.fault.support import Query, fill, within


def available_now(query: Query, deadline_s: float = 30) -> None:
    """Run what a query with Trigger.AvailableNow runs."""
    within(deadline_s, query._driver.prepareForTriggerAvailableNow, "the target")
    while partitions := query.plan(deadline_s):
        query.read(partitions)


@pytest.mark.parametrize("how", ["added", "created anew"])
def test_available_now_lists_a_new_stream_a_few_times_while_another_is_looked_for(
    aws, start_query, how
) -> None:
    events = aws.account().create_stream("events")
    fill(events, 10)
    others = aws.account().create_stream("others")
    names = "events" if how == "added" else "events,others"
    query = start_query(streamName=names)
    query.run(10)
    query.close()
    if how == "created anew":
        others.delete()
        time.sleep(0.002)
        others = aws.account().create_stream("others")
    fill(others, 5, prefix="other")
    again = start_query(streamName="events,others", failOnDataLoss="false")
    again._end = query._end
    again.batches = query.batches
    fill(events, 10, prefix="later")
    # While the end of one stream is looked for, the other one's start is planned again and again.
    aws.faults.add("empty_page", operation="GetRecords", stream="events", count=12)
    listed = len(aws.call_log("ListShards"))
    began_s = time.monotonic()
    available_now(again)
    took_s = time.monotonic() - began_s
    assert len(again.rows) == 25
    # Every 200 ms of each stream, as the options say, and a few to begin with.
    assert len(aws.call_log("ListShards")) - listed < 20 + 12 * took_s


def test_available_now_that_gets_no_answer_ends_though_a_stream_was_added(
    aws, start_query, monkeypatch
) -> None:
    monkeypatch.setattr("kinesis_source.plan.micro_batches.STALL_S", 3.0)
    fill(aws.account().create_stream("events"), 10)
    aws.account().create_stream("others")
    query = start_query()
    query.run(10)
    again = start_query(streamName="events,others")
    again._end = query._end
    aws.faults.add("empty_page", operation="GetRecords", stream="events")
    with pytest.raises(OffsetError, match=r"\[OFFSET_STALLED\]"):
        available_now(again, 20)
