"""A stream that moves to another emulator keeps its lineage, numbers, times and records."""

from __future__ import annotations

import json
import time

import pytest

from kinesis_source.emulator import Emulator, ManualClock

START_S = 1_700_000_000.0


def full_stream(aws, clock):
    stream = aws.account().create_stream("clicks", shards=2)
    stream.put_many([(b"", "k0"), (b"a", "k1"), (b"bc", "ké2"), (b"def" * 50, "k3")])
    clock.advance(5)
    _, high = stream.split("shardId-000000000000")
    stream.put_many([(b"%d" % n, f"later-{n}") for n in range(20)])
    clock.advance(5)
    stream.merge(high, "shardId-000000000001")
    stream.put_many([(b"%d" % n, f"last-{n}") for n in range(20)])
    return stream


@pytest.fixture
def moved(aws, clock):
    stream = full_stream(aws, clock)
    taken = json.loads(json.dumps(stream.snapshot()))
    with Emulator(clock=ManualClock(clock()), signing_clock=time.time) as other:
        yield stream, other.account("111111111111").load_stream(taken), other


def test_shards_and_records_are_the_same(moved):
    old, new, _ = moved
    assert new.shards() == old.shards()
    assert new.records() == old.records()
    assert len(new.records()) == 44
    assert new.open_shard_ids() == old.open_shard_ids()
    assert new.snapshot() == old.snapshot()


def test_numbers_go_on_where_they_were(moved):
    old, new, _ = moved
    assert new.put(b"x", "key") == old.put(b"x", "key")
    assert new.split(new.open_shard_ids()[0]) == old.split(old.open_shard_ids()[0])
    assert new.shards() == old.shards()


def test_readers_find_their_place_by_number_and_by_time(moved, connect):
    _, new, other = moved
    user = other.account("111111111111").create_user("reader")
    import boto3

    client = boto3.client(
        "kinesis",
        endpoint_url=other.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=user.access_key,
        aws_secret_access_key=user.secret_key,
    )
    shard_id = new.open_shard_ids()[-1]
    stored = new.records(shard_id)
    for place in (
        {
            "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
            "StartingSequenceNumber": stored[2]["SequenceNumber"],
        },
        {
            "ShardIteratorType": "AT_TIMESTAMP",
            "Timestamp": stored[0]["ApproximateArrivalTimestamp"],
        },
    ):
        iterator = client.get_shard_iterator(StreamName="clicks", ShardId=shard_id, **place)
        page = client.get_records(ShardIterator=iterator["ShardIterator"])
        numbers = [record["SequenceNumber"] for record in page["Records"]]
        expected = [record["SequenceNumber"] for record in stored]
        assert numbers in (expected, expected[3:])
    client.close()


def test_a_loaded_stream_is_trimmed_by_its_own_times(moved):
    _, new, other = moved
    other.clock.advance(24 * 3600 - 3)
    assert [record["Data"] for record in new.records()][:1] == [b"0"]
    other.clock.advance(10)
    assert new.records() == []


def test_names_and_numbers_are_taken_once(moved):
    old, _, other = moved
    account = other.account("111111111111")
    with pytest.raises(ValueError, match="has the snapshot's number"):
        other.account("222222222222").load_stream(old.snapshot())
    assert other.account("222222222222").streams() == []
    assert account.create_stream("next").put(b"", "k") > old.records()[-1]["SequenceNumber"]


def test_another_format_is_refused(moved):
    old, _, other = moved
    with pytest.raises(ValueError, match="format 1, got 2"):
        other.account().load_stream({**old.snapshot(), "format": 2})
