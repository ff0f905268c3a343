"""A loss is said once, and the rest is read once, in each way that a query runs."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from unittest import mock

import pytest

from kinesis_source.aws.api import Page, PositionRefusedError
from kinesis_source.aws.client import BotoStreamApi, stream_api
from kinesis_source.errors import DataLossError
from kinesis_source.model.positions import AfterRecord
from tests.fault.support import HOUR_S, Query, assert_exactly_once, fill, losses, within, written
from tests.spark.support import kinesis_client

FIRST = "shardId-000000000000"
CHILDREN = ("shardId-000000000001", "shardId-000000000002")


def step(query: Query) -> None:
    query.read(query.plan())


def run_available_now(query: Query) -> None:
    """Run what a query with Trigger.AvailableNow runs, to its end."""
    within(30, query._driver.prepareForTriggerAvailableNow, "the target")
    while partitions := query.plan(50):
        query.read(partitions)


@contextmanager
def refused_number(number: str):
    """Let AWS not know one record, whoever asks; everything else it knows."""
    real = BotoStreamApi.get_iterator

    def get_iterator(self, stream, shard_id, position, *, inclusive=False):
        if isinstance(position, AfterRecord) and position.sequence_number == number:
            raise PositionRefusedError("unknown number")
        return real(self, stream, shard_id, position, inclusive=inclusive)

    with mock.patch.object(BotoStreamApi, "get_iterator", get_iterator):
        yield


def test_available_now_says_a_vanished_shard_once_and_reads_its_children(
    aws, clock, start_query, caplog
) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query(failOnDataLoss="false")
    query.run(10)
    fill(stream, 5, prefix="lost")
    stream.split(FIRST)
    clock.ahead_s += 30 * HOUR_S
    fill(stream, 12, prefix="left")
    query.restart()
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        run_available_now(query)
    assert sorted(query.rows[10:]) == sorted(written(stream))
    assert len(losses(caplog)) == 1


def test_available_now_says_late_children_once(aws, clock, start_query, caplog) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query(failOnDataLoss="false")
    query.run(10)
    for child in CHILDREN:
        aws.faults.add("hide_shard", shard_id=child)
    stream.split(FIRST)
    while '"end"' not in query.offsets[-1]:
        step(query)
    query.restart()
    aws.faults.clear()
    fill(stream, 40, prefix="lost")
    clock.ahead_s += 30 * HOUR_S
    fill(stream, 20, prefix="left")
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        run_available_now(query)
    assert sorted(query.rows[10:]) == sorted(written(stream))
    assert len(losses(caplog)) == 1


def test_a_stream_created_anew_while_the_query_runs_is_said_once(aws, start_query, caplog) -> None:
    """Its shards have the ids of the old ones, and nothing else of them."""
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query(failOnDataLoss="false")
    query.run(10)
    stream.delete()
    time.sleep(0.002)  # creation times have milliseconds
    anew = aws.account().create_stream("events", shards=1)
    fill(anew, 8)
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        query.run(18, deadline_s=60)
    assert query.rows[10:] == written(anew)
    assert ["DATA_LOSS_STREAM_RECREATED" in text for text in losses(caplog)] == [True]


def test_a_stream_created_anew_before_batch_0_was_committed_is_said(aws, start_query) -> None:
    """Spark asks for the initial offset again: of the stream that is there now."""
    stream = aws.account().create_stream("events", shards=1)
    query = start_query()
    query.plan()
    fill(stream, 5, prefix="never read")
    stream.delete()
    time.sleep(0.002)
    fill(aws.account().create_stream("events", shards=1), 3)
    query.restart()
    query._driver.initialOffset()
    with pytest.raises(DataLossError, match="DATA_LOSS_STREAM_RECREATED"):
        query.run(3)


def test_a_number_that_is_refused_for_ever_is_said_once_and_what_is_behind_it_is_read(
    aws, start_query, caplog
) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 20)
    query = start_query(failOnDataLoss="false")
    query.run(20)
    last = written(stream)[-1][1]
    fill(stream, 15, prefix="later")
    query.restart()
    with refused_number(last), caplog.at_level(logging.WARNING, "kinesis_source"):
        query.run(35, deadline_s=60)
    assert_exactly_once(query, stream)
    assert len(losses(caplog)) == 1


def test_a_bound_that_is_refused_before_anybody_read_up_to_it_loses_nothing(
    aws, start_query, caplog
) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query(failOnDataLoss="false", maxRecordsPerTrigger="3")
    while not query.rows:
        step(query)
    assert len(query.rows) < 10
    # The driver is at the last record, and its iterators expire while a long batch runs.
    aws.faults.add("expired_iterator", operation="GetRecords", count=30)
    poller = query._driver._planning()._poller
    with (
        refused_number(written(stream)[-1][1]),
        caplog.at_level(logging.WARNING, "kinesis_source"),
    ):
        until_s = time.monotonic() + 14
        while time.monotonic() < until_s:
            poller.awaken()
            time.sleep(0.1)
        aws.faults.clear()
        query.run(10)
    assert_exactly_once(query, stream)
    assert not losses(caplog)


def test_one_empty_page_at_the_beginning_of_a_batch_proves_no_loss(aws, start_query) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query()
    partitions = []
    while not partitions:
        partitions = query.plan()
    api, real, pages = stream_api(query._executor._settings.client), BotoStreamApi.get_page, []

    def get_page(self, *given, **named):
        page = real(self, *given, **named)
        if self is api:
            pages.append(page)
            if len(pages) == 1:
                return Page([], [], [], [], given[2], 0)
        return page

    with mock.patch.object(BotoStreamApi, "get_page", get_page):
        query.read(partitions)
    assert query.rows == written(stream)


@pytest.mark.parametrize("operation", ["ListShards", "DescribeStreamSummary"])
def test_one_answer_that_denies_the_stream_changes_nothing(aws, start_query, operation) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query()
    query.run(10)
    facts = query._driver._planning()._frontiers["events"].facts
    facts.described_s = float("-inf")  # an hour is over
    denial = aws.faults.add(
        "error", operation=operation, code="ResourceNotFoundException", status=400, count=1
    )
    fill(stream, 5, prefix="later")
    query.run(15)
    assert denial.hits == 1
    assert_exactly_once(query, stream)


def test_pages_without_answer_break_no_limit(aws, clock, start_query) -> None:
    stream = aws.account().create_stream("events", shards=1)
    for n in range(40):
        fill(stream, 100, prefix=f"minute {n}")
        clock.ahead_s += 60
    query = start_query(maxRecordsPerTrigger="1100")
    while not query.rows:
        step(query)
    aws.faults.add("empty_page", operation="GetRecords", count=12)
    for _ in range(3):
        step(query)
    aws.faults.clear()
    query.run(4_000, deadline_s=60)
    assert max(map(len, query.batches)) < 1_700
    assert_exactly_once(query, stream)


@pytest.mark.parametrize("empty_pages", [0, 6, 12])
def test_a_week_of_retention_is_a_week_also_where_pages_are_empty(
    aws, clock, start_query, empty_pages
) -> None:
    """The position is a day old and whole: nobody begins at the oldest record again."""
    stream = aws.account().create_stream("events", shards=1)
    kinesis_client(aws).increase_stream_retention_period(
        StreamName="events", RetentionPeriodHours=168
    )
    for n in range(8):
        fill(stream, 250, size=1_000, prefix=f"{n}")
        clock.ahead_s += 2
    query = start_query()
    query.run(2_000)
    clock.ahead_s += 30 * HOUR_S
    fill(stream, 50, size=1_000, prefix="later")
    query.restart()
    if empty_pages:
        aws.faults.add("empty_page", operation="GetRecords", count=empty_pages, after=1)
    query.run(2_050)
    assert_exactly_once(query, stream)
