"""Strict limits: AWS's rates, to the letter, on a clock moved by hand."""

import pytest

from kinesis_source.emulator import Limits

NAME = "clicks"
THROTTLED = "ProvisionedThroughputExceededException"
MIB = 1024 * 1024


@pytest.fixture
def stream(aws):
    stream = aws.account().create_stream(NAME, shards=2)
    aws.strict_limits = True
    return stream


def test_get_records_five_times_a_second_and_shard(kinesis, stream, clock, refused, iterator):
    first, second = iterator(NAME), iterator(NAME, "shardId-000000000001")
    for _ in range(5):
        kinesis.get_records(ShardIterator=first)
        clock.advance(0.1)
    assert refused(kinesis.get_records, ShardIterator=first) == THROTTLED
    kinesis.get_records(ShardIterator=second)
    clock.advance(0.5)
    kinesis.get_records(ShardIterator=first)
    assert refused(kinesis.get_records, ShardIterator=first) == THROTTLED


def test_a_page_of_10_mib_blocks_its_shard_for_five_seconds(
    kinesis, stream, clock, refused, iterator
):
    stream.put_many([(b"x" * (MIB - 1), "k")] * 11, explicit_hash_key="0")
    token = kinesis.get_records(ShardIterator=iterator(NAME))["NextShardIterator"]
    clock.advance(4.9)
    assert refused(kinesis.get_records, ShardIterator=token) == THROTTLED
    clock.advance(0.2)
    assert len(kinesis.get_records(ShardIterator=token)["Records"]) == 1


def test_get_shard_iterator_five_times_a_second_and_shard(
    kinesis, stream, clock, refused, iterator
):
    for _ in range(5):
        iterator(NAME)
    assert refused(iterator, stream=NAME) == THROTTLED
    iterator(NAME, "shardId-000000000001")
    clock.advance(1)
    iterator(NAME)


@pytest.mark.parametrize(
    ("operation", "rate"),
    [("list_shards", 100), ("describe_stream", 10), ("describe_stream_summary", 20)],
)
def test_control_calls_have_their_rates(kinesis, stream, clock, refused, operation, rate):
    call = getattr(kinesis, operation)
    for _ in range(rate):
        call(StreamName=NAME)
    assert refused(call, StreamName=NAME) == "LimitExceededException"
    clock.advance(1)
    call(StreamName=NAME)


def test_rates_can_be_set(aws, kinesis, stream, refused):
    aws.strict_limits = Limits(list_shards_per_stream=1)
    kinesis.list_shards(StreamName=NAME)
    assert refused(kinesis.list_shards, StreamName=NAME) == "LimitExceededException"
    aws.strict_limits = False
    kinesis.list_shards(StreamName=NAME)


def test_puts_over_a_thousand_records_a_second_fail_one_by_one(kinesis, stream, clock):
    batch = [{"Data": b"x", "PartitionKey": "k", "ExplicitHashKey": "0"}] * 400
    failed = []
    for _ in range(3):
        reply = kinesis.put_records(StreamName=NAME, Records=batch)
        failed.append(reply["FailedRecordCount"])
    assert failed == [0, 0, 200]
    codes = [r.get("ErrorCode") for r in reply["Records"]]
    assert codes == [None] * 200 + [THROTTLED] * 200
    assert len(stream.records()) == 1000
    clock.advance(1)
    assert kinesis.put_records(StreamName=NAME, Records=batch)["FailedRecordCount"] == 0


def test_puts_over_a_mebibyte_a_second_are_refused(kinesis, stream, clock, refused):
    half = {"StreamName": NAME, "Data": b"x" * 600_000, "PartitionKey": "k"}
    kinesis.put_record(**half)
    assert refused(kinesis.put_record, **half) == THROTTLED
    clock.advance(1)
    kinesis.put_record(**half)


def test_ten_updates_of_the_shard_count_a_day(kinesis, stream, clock, refused):
    for n in range(10):
        kinesis.update_shard_count(
            StreamName=NAME, TargetShardCount=2 + n % 2, ScalingType="UNIFORM_SCALING"
        )
    again = {"StreamName": NAME, "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"}
    assert refused(kinesis.update_shard_count, **again) == "LimitExceededException"
    clock.advance(24 * 3600)
    kinesis.update_shard_count(**again)
