"""At the edge of the retention: progress, no loss in silence, no loss where nothing is lost."""

from __future__ import annotations

import logging
import time

import pytest

from kinesis_source.emulator import Emulator
from kinesis_source.errors import DataLossError
from tests.fault.support import HOUR_S, Query, fill, losses, written
from tests.spark.support import kinesis_client

FIRST = "shardId-000000000000"


def set_retention(aws: Emulator, hours: int) -> None:
    client = kinesis_client(aws)
    known = client.describe_stream_summary(StreamName="events")["StreamDescriptionSummary"]
    is_more = hours > known["RetentionPeriodHours"]
    call = "increase_stream_retention_period" if is_more else "decrease_stream_retention_period"
    getattr(client, call)(StreamName="events", RetentionPeriodHours=hours)


def iterators(aws: Emulator) -> int:
    return len(aws.call_log("GetShardIterator"))


def step(query: Query) -> None:
    query.read(query.plan())


@pytest.mark.parametrize(
    ("size", "options"),
    [(600_000, {}), (100, {"maxRecordsPerFetch": "1"})],
    ids=["large records", "one record a page"],
)
def test_a_read_that_begins_at_the_horizon_gets_on(aws, clock, start_query, size, options) -> None:
    """Each page holds one record, and each record is nearly as old as the retention."""
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 8, size=size)
    clock.ahead_s += 23 * HOUR_S + 55 * 60
    query = start_query(**options)
    partitions = []
    while not partitions:
        partitions = query.plan()
    before = iterators(aws), len(aws.call_log("GetRecords"))
    query.read(partitions, deadline_s=40)
    asked = iterators(aws) - before[0], len(aws.call_log("GetRecords")) - before[1]
    query.run(8)
    assert query.rows == written(stream)
    assert asked[0] <= asked[1] + 4, "an iterator for each page at the most, and the driver's"
    assert asked[1] <= 40


def test_children_that_came_and_went_while_the_query_was_down_are_reported(
    aws, clock, start_query
) -> None:
    """The checkpoint holds their parent as finished, and nothing of them."""
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query()
    query.run(10)
    aws.faults.add("hide_shard", shard_id="shardId-000000000001")
    aws.faults.add("hide_shard", shard_id="shardId-000000000002")
    stream.split(FIRST)
    while '"end"' not in query.offsets[-1]:
        step(query)
    query.restart()
    aws.faults.clear()
    fill(stream, 40, prefix="lost")
    clock.ahead_s += 30 * HOUR_S
    fill(stream, 6, prefix="left")
    with pytest.raises(DataLossError, match="may be gone") as caught:
        query.run(16)
    text = str(caught.value)
    assert text.startswith("[DATA_LOSS_TRIMMED] Shard 'shardId-00000000000")
    assert f"its parent '{FIRST}'" in text
    assert "stream 'events'" in text


def test_a_shard_that_expired_unread_beside_its_living_sibling_is_reported(
    aws, clock, start_query
) -> None:
    """P became A and B, A became A1 and A2. A is gone from the listings, B is not."""
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query()
    query.run(10)
    aws.faults.add("hide_shard", shard_id="shardId-000000000001")
    aws.faults.add("hide_shard", shard_id="shardId-000000000002")
    first, _ = stream.split(FIRST)
    while '"end"' not in query.offsets[-1]:
        step(query)
    query.restart()
    aws.faults.clear()
    fill(stream, 40, prefix="lost")
    stream.split(first)
    clock.ahead_s += 30 * HOUR_S
    fill(stream, 12, prefix="left")
    with pytest.raises(DataLossError) as caught:
        query.run(22)
    assert first in str(caught.value)


def test_after_that_what_is_left_is_read_once_if_the_user_says_so(
    aws, clock, start_query, caplog
) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query(failOnDataLoss="false")
    query.run(10)
    aws.faults.add("hide_shard", shard_id="shardId-000000000001")
    aws.faults.add("hide_shard", shard_id="shardId-000000000002")
    first, _ = stream.split(FIRST)
    while '"end"' not in query.offsets[-1]:
        step(query)
    query.restart()
    aws.faults.clear()
    fill(stream, 40, prefix="lost")
    stream.split(first)
    clock.ahead_s += 30 * HOUR_S
    fill(stream, 12, prefix="left")
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        query.run(22)
    assert sorted(query.rows[10:]) == sorted(written(stream))
    assert any(first in text for text in losses(caplog))


def test_what_is_trimmed_between_planning_and_reading_is_reported(aws, clock, start_query) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 20, prefix="old")
    clock.ahead_s += 12 * 60
    fill(stream, 10, prefix="younger")
    clock.ahead_s += 23 * HOUR_S + 40 * 60
    query = start_query()
    partitions = []
    while not partitions:
        partitions = query.plan()
    first = written(stream)[0][1]
    clock.ahead_s += 10 * 60
    with pytest.raises(DataLossError) as caught:
        query.read(partitions)
    text = str(caught.value)
    assert text.startswith(f"[DATA_LOSS_TRIMMED] Shard '{FIRST}' of stream 'events': this batch")
    assert f"begins with sequence number {first}" in text
    assert "is gone" in text


@pytest.mark.parametrize("down_h", [17, 20, 22.9])
def test_a_quiet_shard_lost_nothing_while_the_query_was_down(
    aws, clock, start_query, caplog, down_h
) -> None:
    """It was seen empty an hour before that at the most, and nothing came since."""
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query()
    query.run(10)
    for _ in range(30):  # a day and more, until its last record is gone
        clock.ahead_s += HOUR_S
        query.plan()
    clock.ahead_s += down_h * HOUR_S
    query.restart()
    fill(stream, 5, prefix="new")
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        query.run(15)
    assert not losses(caplog)


def test_a_retention_that_is_lowered_while_the_query_runs_is_heard_of(
    aws, clock, start_query, caplog
) -> None:
    """A quiet shard notes hourly, whatever the retention was when the query began."""
    stream = aws.account().create_stream("events", shards=1)
    set_retention(aws, 168)
    fill(stream, 10)
    query = start_query()
    query.run(10)
    for hour in range(30):
        clock.ahead_s += HOUR_S
        step(query)
        if hour == 5:
            set_retention(aws, 24)
    fill(stream, 5, prefix="new")
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        query.run(15)
    assert not losses(caplog)


def test_what_a_lowered_retention_took_is_reported(aws, clock, start_query) -> None:
    """Even though the driver heard of the retention before it was lowered."""
    stream = aws.account().create_stream("events", shards=1)
    set_retention(aws, 168)
    fill(stream, 10)
    query = start_query()
    query.run(10)
    fill(stream, 5, prefix="lost")
    clock.ahead_s += 30 * HOUR_S
    fill(stream, 7, prefix="left")
    partitions = []
    while not partitions:
        partitions = query.plan()
    set_retention(aws, 24)
    with pytest.raises(DataLossError, match=r"\[DATA_LOSS_TRIMMED\].*retention of 24 h"):
        query.read(partitions)


def test_where_nobody_can_know_the_message_says_may_be(aws, clock, start_query) -> None:
    """Down for longer than the retention: whatever came and went was seen by nobody."""
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query()
    query.run(10)
    clock.ahead_s += 40 * HOUR_S
    fill(stream, 5, prefix="new")
    query.restart()
    with pytest.raises(DataLossError, match=r"\[DATA_LOSS_TRIMMED\].*may be gone"):
        query.run(15)


def test_a_backlog_older_than_a_day_does_not_ask_for_the_retention_with_each_range(
    aws, clock, start_query
) -> None:
    """AWS allows 20 DescribeStreamSummary a second for the whole account."""
    stream = aws.account().create_stream("events", shards=20)
    set_retention(aws, 72)
    fill(stream, 400)
    clock.ahead_s += 30 * HOUR_S
    query = start_query()
    query.run(400)
    assert len(aws.call_log("DescribeStreamSummary")) <= 2


def test_a_merge_of_which_one_parent_is_gone_can_be_started_from(aws, clock, start_query) -> None:
    stream = aws.account().create_stream("events", shards=3)
    one, two, three = stream.open_shard_ids()
    merged = stream.merge(one, two)
    clock.ahead_s += 12 * HOUR_S
    fill(stream, 30)
    stream.merge(merged, three)
    clock.ahead_s += 13 * HOUR_S
    fill(stream, 10, prefix="child")
    query = start_query()
    query.run(len(written(stream)))
    assert sorted(query.rows) == sorted(written(stream))


def test_a_shard_without_any_record_that_lost_some_unseen_is_said(aws, clock, start_query) -> None:
    """Nothing in the checkpoint is a record of it; what came and went left no other trace."""
    stream = aws.account().create_stream("events", shards=1)
    query = start_query()
    step(query)
    fill(stream, 3, prefix="lost")
    clock.ahead_s += 49 * HOUR_S
    fill(stream, 4, prefix="left")
    query.restart()
    with pytest.raises(DataLossError, match=r"\[DATA_LOSS_TRIMMED\] Stream 'events'.*may be gone"):
        query.run(4)


def test_an_idle_shard_that_nobody_watched_is_said_once_and_watched_again(
    aws, clock, start_query, caplog
) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query(failOnDataLoss="false")
    query.run(10)
    fill(stream, 3, prefix="lost")
    clock.ahead_s += 49 * HOUR_S
    query.restart()
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        for _ in range(8):
            step(query)
        fill(stream, 4, prefix="left")
        query.run(14)
    assert len(losses(caplog)) == 1
    assert query._driver.reportLatestOffset()["events"]["numDataLosses"] == 1


@pytest.mark.parametrize("what", ["a quiet record", "children", "an empty shard"])
def test_what_was_lost_before_the_retention_was_raised_is_said(
    aws, clock, start_query, what
) -> None:
    """The usual first reaction to an outage. It brings nothing back."""
    stream = aws.account().create_stream("events", shards=1)
    query = start_query()
    if what != "an empty shard":
        fill(stream, 10)
        query.run(10)
    step(query)
    if what == "children":
        for child in ("shardId-000000000001", "shardId-000000000002"):
            aws.faults.add("hide_shard", shard_id=child)
        stream.split(FIRST)
        while '"end"' not in query.offsets[-1]:
            step(query)
        aws.faults.clear()
    query.restart()
    fill(stream, 40, prefix="lost")
    clock.ahead_s += 30 * HOUR_S
    fill(stream, 1, prefix="left")  # what is older is taken now
    set_retention(aws, 72)
    with pytest.raises(DataLossError, match="may be gone"):
        query.run(51)


def test_a_longer_retention_counts_once_every_position_is_younger_than_the_shorter_one(
    aws, clock, start_query
) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query()
    query.run(10)
    assert '"retention": 86400000' in query.offsets[-1]
    set_retention(aws, 72)
    clock.ahead_s += 2 * HOUR_S
    fill(stream, 1, prefix="new")
    facts = query._driver._planning()._frontiers["events"].facts
    facts.described_s = float("-inf")  # an hour is over
    deadline_s = time.monotonic() + 30
    while '"retention": 259200000' not in query.offsets[-1]:
        assert time.monotonic() < deadline_s
        step(query)
