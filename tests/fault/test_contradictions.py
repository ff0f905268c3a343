"""One answer that contradicts all others proves nothing; many, over a time, do."""

from __future__ import annotations

import logging
import time

import pytest

from kinesis_source.errors import DataLossError, ServiceError, StreamError
from tests.fault.support import assert_exactly_once, fill, losses

FIRST = "shardId-000000000000"
DENIAL = {"code": "ResourceNotFoundException", "status": 400, "shard_id": FIRST}
REFUSAL = {
    "code": "InvalidArgumentException",
    "status": 400,
    "shard_id": FIRST,
    "operation": "GetShardIterator",
}


def read_on(query, seconds: float = 40) -> None:
    """Plan and read for a while."""
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        query.read(query.plan())


@pytest.mark.parametrize("fails", ["true", "false"])
@pytest.mark.parametrize("where", ["access check", "driver", "executors"])
@pytest.mark.parametrize(
    "fault",
    [
        {**DENIAL, "operation": "GetShardIterator", "count": 1},
        {**DENIAL, "operation": "GetRecords", "count": 1},
        {**REFUSAL, "count": 1},
    ],
    ids=["shard denied an iterator", "shard denied its records", "number refused"],
)
def test_a_single_contradicting_answer_changes_nothing(
    aws, start_query, caplog, fault, where, fails
) -> None:
    stream = aws.account().create_stream("events")
    fill(stream, 20)
    query = start_query(failOnDataLoss=fails)
    query.run(20)
    fill(stream, 15, prefix="later")
    rules = []

    def begin() -> None:
        rules.append(aws.faults.add("error", after=int(where == "driver"), **fault))

    if where != "executors":
        query.restart()  # else it has an iterator, and asks for none
        begin()
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        query.run(35, before_tasks=begin if where == "executors" else None)
    assert [rule.hits for rule in rules] == [1]
    assert_exactly_once(query, stream)
    assert not losses(caplog)


def test_a_shard_that_every_listing_shows_is_never_taken_for_gone(aws, start_query) -> None:
    """However often it is denied: the error is that of the call, not one of lost data."""
    stream = aws.account().create_stream("events")
    fill(stream, 20)
    query = start_query(retryBudget="3s")
    query.run(20)
    aws.faults.add("error", operation="GetRecords", **DENIAL)
    with pytest.raises(StreamError, match=r"\[STREAM_SHARD_NOT_FOUND\].* tries in "):
        read_on(query)


def test_a_task_that_is_denied_a_listed_shard_ends_as_stalled(
    aws, start_query, monkeypatch
) -> None:
    monkeypatch.setattr("kinesis_source.read.shard_reader.STALL_S", 3.0)
    stream = aws.account().create_stream("events")
    fill(stream, 20)
    query = start_query()
    partitions = query.plan()
    aws.faults.add("error", operation="GetShardIterator", **DENIAL)
    with pytest.raises(ServiceError, match=r"\[SERVICE_STALLED\].*which the listing shows"):
        query.read(partitions)


def test_a_number_that_is_refused_for_good_is_reported_and_repeats_are_cut(
    aws, start_query, caplog
) -> None:
    stream = aws.account().create_stream("events")
    fill(stream, 20)
    query = start_query(failOnDataLoss="false")
    query.run(20)
    fill(stream, 15, prefix="later")
    query.restart()
    rule = aws.faults.add("error", after=1, **REFUSAL)  # the access check passes
    began_s = time.monotonic()
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        while not losses(caplog):
            assert time.monotonic() < began_s + 40, "never believed"
            query.read(query.plan())
        aws.faults.clear()
        query.run(35)
    assert rule.hits >= 3
    assert time.monotonic() - began_s > 10
    assert_exactly_once(query, stream)
    (text,) = losses(caplog)
    assert f"'{FIRST}' behind sequence number" in text


def test_a_refused_number_ends_the_query_if_losses_do(aws, start_query) -> None:
    stream = aws.account().create_stream("events")
    fill(stream, 20)
    query = start_query()
    query.run(20)
    query.restart()
    aws.faults.add("error", after=1, **REFUSAL)
    with pytest.raises(DataLossError, match=rf"\[DATA_LOSS_SHARD\].*'events'.*'{FIRST}'"):
        read_on(query)


def test_a_task_whose_number_is_refused_for_good_reads_on_without_repeats(
    aws, start_query, caplog
) -> None:
    stream = aws.account().create_stream("events")
    fill(stream, 20)
    query = start_query(failOnDataLoss="false")
    query.run(20)
    fill(stream, 15, prefix="later")
    partitions = []
    while not partitions:
        partitions = query.plan()
    rule = aws.faults.add("error", **REFUSAL, count=4)
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        query.read(partitions)
    assert rule.hits == 4
    assert any("DATA_LOSS_POSITION" in text for text in losses(caplog))
    assert_exactly_once(query, stream)
