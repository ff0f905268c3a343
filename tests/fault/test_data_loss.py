"""Invariant 7: what is gone is reported with its facts, and nothing else is taken for gone."""

from __future__ import annotations

import json
import logging
import time

import pytest

from kinesis_source.errors import DataLossError, OffsetError
from tests.fault.support import HOUR_S, ShiftedClock, fill, written


def test_records_trimmed_while_the_query_was_down_are_reported(aws, clock, start_query) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query()
    query.run(10)
    last = written(stream)[-1][1]
    fill(stream, 5, prefix="lost")
    clock.ahead_s += 30 * HOUR_S
    fill(stream, 7, prefix="left")
    first_left = written(stream)[-7][1]
    query.restart()
    with pytest.raises(DataLossError) as caught:
        query.run(17)
    text = str(caught.value)
    assert text.startswith("[DATA_LOSS_TRIMMED] Shard 'shardId-000000000000' of stream 'events'")
    for fact in (last, first_left, "retention of 24 h", "failOnDataLoss=false"):
        assert fact in text


def test_with_fail_on_data_loss_off_only_what_is_gone_is_skipped(
    aws, clock, start_query, caplog
) -> None:
    stream = aws.account().create_stream("events", shards=2)
    fill(stream, 10)
    query = start_query(failOnDataLoss="false")
    query.run(10)
    read_before = set(query.rows)
    fill(stream, 5, prefix="lost")
    clock.ahead_s += 30 * HOUR_S
    fill(stream, 20, prefix="left")
    query.restart()
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        query.run(30)
    assert len(query.rows) == len(set(query.rows))
    assert set(query.rows) - read_before == set(written(stream))
    assert any("[DATA_LOSS_TRIMMED]" in record.getMessage() for record in caplog.records)


def test_an_idle_shard_may_grow_older_than_the_retention(aws, clock, start_query, caplog) -> None:
    """Its last record is trimmed, but nothing behind it was ever lost: the offset knows."""
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query()
    query.run(10)
    noted = len(query.offsets)
    for _ in range(5):
        clock.ahead_s += 7 * HOUR_S
        for _ in range(2):
            query.read(query.plan())
    assert len(query.offsets) > noted, "the offset notes that the shard was seen empty"
    query.restart()
    fill(stream, 5, prefix="new")
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        query.run(15)
    assert len(query.rows) == 15
    assert not caplog.records


def test_a_position_as_old_as_the_retention_whose_record_is_still_there_is_no_loss(
    aws, clock, start_query
) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query()
    query.run(10)
    fill(stream, 5, prefix="old")
    clock.ahead_s += 23.95 * HOUR_S
    fill(stream, 5, prefix="new")
    query.restart()
    query.run(20)
    assert sorted(query.rows) == sorted(written(stream))


def _reshard_and_outlive(stream, clock: ShiftedClock) -> list[str]:
    """Close the shard that the query is in, and let it vanish from the listings."""
    children = stream.split("shardId-000000000000")
    clock.ahead_s += 30 * HOUR_S
    fill(stream, 12, prefix="left")
    return children


def test_a_shard_that_vanished_is_reported(aws, clock, start_query) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query()
    query.run(10)
    last = written(stream)[-1][1]
    fill(stream, 5, prefix="lost")
    _reshard_and_outlive(stream, clock)
    query.restart()
    with pytest.raises(DataLossError) as caught:
        query.run(22)
    assert str(caught.value).startswith("[DATA_LOSS_SHARD] Stream 'events'")
    assert "'shardId-000000000000'" in str(caught.value)
    assert last in str(caught.value)


def test_after_a_vanished_shard_the_children_are_read(aws, clock, start_query, caplog) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query(failOnDataLoss="false")
    query.run(10)
    fill(stream, 5, prefix="lost")
    children = _reshard_and_outlive(stream, clock)
    query.restart()
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        query.run(22)
    new = query.rows[10:]
    assert sorted(new) == sorted(written(stream))
    assert {shard_id for shard_id, _ in new} <= set(children)
    assert any("[DATA_LOSS_SHARD]" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("while_running", [True, False])
def test_a_stream_that_was_created_anew_is_reported(aws, start_query, while_running) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query()
    query.run(10)
    stream.delete()
    time.sleep(0.002)  # creation times have milliseconds
    anew = aws.account().create_stream("events", shards=1)
    fill(anew, 5)
    if not while_running:
        query.restart()
    with pytest.raises(DataLossError, match=r"\[DATA_LOSS_STREAM_RECREATED\] Stream 'events'"):
        query.run(15)


@pytest.mark.parametrize("while_running", [True, False])
def test_with_fail_on_data_loss_off_the_new_stream_is_read(aws, start_query, while_running) -> None:
    stream = aws.account().create_stream("events", shards=1)
    fill(stream, 10)
    query = start_query(failOnDataLoss="false")
    query.run(10)
    stream.delete()
    time.sleep(0.002)
    anew = aws.account().create_stream("events", shards=2)
    fill(anew, 5)
    if not while_running:
        query.restart()
    query.run(15)
    assert sorted(query.rows[10:]) == sorted(written(anew))


def test_a_checkpoint_of_another_stream_is_refused(aws, start_query) -> None:
    for name in ("events", "others"):
        fill(aws.account().create_stream(name, shards=1), 3)
    query = start_query()
    query.run(3)
    other = start_query(streamName="others")
    other._end = json.loads(query.offsets[-1])
    with pytest.raises(OffsetError, match=r"\[OFFSET_OTHER_STREAM\].*'events'.*'others'"):
        other.plan()


def test_a_checkpoint_of_another_region_is_refused(aws, start_query) -> None:
    fill(aws.account().create_stream("events", shards=1), 3)
    time.sleep(0.002)
    aws.account().create_stream("events", shards=1, region="eu-west-1")
    query = start_query()
    query.run(3)
    other = start_query(region="eu-west-1")
    other._end = json.loads(query.offsets[-1])
    with pytest.raises(DataLossError, match=r"another region or account"):
        other.plan()


def test_a_checkpoint_of_a_later_release_is_refused(aws, start_query) -> None:
    fill(aws.account().create_stream("events", shards=1), 3)
    query = start_query()
    query.run(3)
    query._end["v"] = 3
    with pytest.raises(OffsetError, match=r"\[OFFSET_NEWER_VERSION\].*version"):
        query.plan()
