"""Traps that other connectors fell into, where no fault of the emulator's is needed to show them.

docs/RELIABILITY.md lists all of them with their tests.
"""

from __future__ import annotations

import json
import time

import pytest

from kinesis_source.emulator import Emulator, ManualClock
from kinesis_source.errors import DataLossError
from tests.fault.support import assert_exactly_once, fill, refused_calls


def test_an_idle_shard_keeps_its_place_beside_a_busy_one(aws, start_query):
    """Trap 7: the shard without records is in each offset, and its first record is read."""
    stream = aws.account().create_stream("events", shards=2)
    busy = "0"
    query = start_query(initialPosition="latest")
    assert not query.plan()  # the start is a moment, and has come
    for turn in range(3):
        stream.put_many([(b"x", f"{turn}-{n}") for n in range(10)], explicit_hash_key=busy)
        query.run(10 * (turn + 1))
    for offset in query.offsets:
        assert set(json.loads(offset)["streams"]["events"]["shards"]) == set(
            stream.open_shard_ids()
        )
    query.restart()
    stream.put(b"first", "key", explicit_hash_key=str(2**127))
    query.run(31)
    assert_exactly_once(query, stream)


def test_two_queries_on_one_stream_each_get_everything(aws, start_query):
    """Trap 10: they share AWS's limits, which slows them down and does no more."""
    aws.strict_limits = True
    stream = aws.account().create_stream("events", shards=2)
    queries = [start_query(), start_query(maxRecordsPerFetch="5000")]
    for turn in range(2):
        fill(stream, 200, prefix=str(turn))
        for query in queries:
            query.run(200 * (turn + 1))
    for query in queries:
        assert_exactly_once(query, stream)


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "down"])
def test_a_closed_shard_is_read_to_its_end_before_its_children(aws, start_query, restarted: bool):
    """Traps 2, 16, 17: split and merged while records wait, the query running or down."""
    stream = aws.account().create_stream("events", shards=2)
    fill(stream, 100)
    query = start_query()
    query.run(100)
    fill(stream, 100, prefix="parents")
    first, second = stream.open_shard_ids()
    children = stream.split(first)
    fill(stream, 100, prefix="children")
    stream.merge(children[1], second)
    fill(stream, 100, prefix="merged")
    if restarted:
        query.restart()
    query.run(400)
    fill(stream, 50, prefix="last")
    query.restart()
    query.run(450)
    assert_exactly_once(query, stream)


def test_shards_are_listed_in_pages_and_never_described(aws, start_query, monkeypatch):
    """Trap 20."""
    monkeypatch.setattr("kinesis_source.aws.client._SHARDS_PER_PAGE", 4)
    stream = aws.account().create_stream("events", shards=10)
    fill(stream, 100)
    query = start_query()
    query.run(100)
    assert aws.calls.count("DescribeStream") == 0
    assert aws.calls.count("ListShards") >= 3
    assert_exactly_once(query, stream)


def test_a_stream_made_anew_under_its_name_is_reported(aws, start_query):
    """Trap 13: its sequence numbers mean nothing in the checkpoint."""
    stream = aws.account().create_stream("events")
    fill(stream, 20)
    query = start_query()
    query.run(20)
    stream.delete()
    time.sleep(0.01)
    fill(aws.account().create_stream("events"), 20)
    query.restart()
    with pytest.raises(DataLossError, match="'events' is not the one") as caught:
        query.plan()
    assert caught.value.code == "DATA_LOSS_STREAM_RECREATED"


def test_a_position_older_than_the_retention_is_reported(start_query):
    """Trap 12: AWS raises nothing and goes on at the oldest record left."""
    from tests.fault.support import Query, query_options

    clock = ManualClock(time.time())
    with Emulator(clock=clock) as aws:
        stream = aws.account().create_stream("events")
        fill(stream, 20)
        query = Query(query_options(aws))
        try:
            query.run(20)
            clock.advance(3600)
            fill(stream, 20, prefix="lost")
            clock.advance(24 * 3600 + 60)
            fill(stream, 20, prefix="left")
            query.restart()
            with pytest.raises(DataLossError) as caught:
                query.run(40)
        finally:
            query.close()
    assert caught.value.code.startswith("DATA_LOSS_")
    assert "shardId-000000000000" in str(caught.value)
    assert "'events'" in str(caught.value)


def test_a_shard_with_bursts_and_silence_is_not_read_over_and_over(aws, start_query):
    """Traps 9 and 25: what driver and executors read is a small multiple of what was written."""
    stream = aws.account().create_stream("events")
    query = start_query(pollInterval="1s")
    query.read(query.plan())
    for turn in range(3):
        fill(stream, 100, size=500, prefix=str(turn))
        query.run(100 * (turn + 1))
    read = sum(call.records for call in aws.call_log("GetRecords"))
    assert read <= 4 * 300
    assert refused_calls(aws, "GetRecords")[1] <= 40
    assert_exactly_once(query, stream)
