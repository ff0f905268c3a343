"""Streams: their life, their descriptions and what may be changed about them."""

import datetime
from itertools import pairwise

import pytest

from kinesis_source.emulator import Emulator, ManualClock
from kinesis_source.emulator.errors import AwsError

NAME = "clicks"
ARN = f"arn:aws:kinesis:us-east-1:000000000000:stream/{NAME}"


def test_a_created_stream_is_described_and_listed(kinesis, clock):
    kinesis.create_stream(StreamName=NAME, ShardCount=2, Tags={"team": "web"})
    summary = kinesis.describe_stream_summary(StreamName=NAME)["StreamDescriptionSummary"]
    assert summary["StreamARN"] == ARN
    assert summary["StreamStatus"] == "ACTIVE"
    assert summary["OpenShardCount"] == 2
    assert summary["RetentionPeriodHours"] == 24
    assert summary["MaxRecordSizeInKiB"] == 1024
    assert summary["StreamModeDetails"] == {"StreamMode": "PROVISIONED"}
    assert summary["StreamCreationTimestamp"].timestamp() == clock()
    described = kinesis.describe_stream(StreamARN=ARN)["StreamDescription"]
    assert len(described["Shards"]) == 2
    assert described["HasMoreShards"] is False
    listed = kinesis.list_streams()
    assert listed["StreamNames"] == [NAME]
    assert listed["StreamSummaries"][0]["StreamARN"] == ARN
    assert kinesis.list_tags_for_stream(StreamName=NAME)["Tags"] == [
        {"Key": "team", "Value": "web"}
    ]


def test_hash_ranges_of_a_new_stream_cover_everything_without_gap(kinesis):
    kinesis.create_stream(StreamName=NAME, ShardCount=3)
    ranges = [s["HashKeyRange"] for s in kinesis.list_shards(StreamName=NAME)["Shards"]]
    assert ranges[0]["StartingHashKey"] == "0"
    assert int(ranges[-1]["EndingHashKey"]) == 2**128 - 1
    for low, high in pairwise(ranges):
        assert int(low["EndingHashKey"]) + 1 == int(high["StartingHashKey"])


def test_an_on_demand_stream_starts_with_four_shards_and_cannot_be_resharded(kinesis, refused):
    kinesis.create_stream(StreamName=NAME, StreamModeDetails={"StreamMode": "ON_DEMAND"})
    summary = kinesis.describe_stream_summary(StreamName=NAME)["StreamDescriptionSummary"]
    assert summary["OpenShardCount"] == 4
    split = {"ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "1000"}
    assert refused(kinesis.split_shard, StreamName=NAME, **split) == "ValidationException"
    kinesis.update_stream_mode(StreamARN=ARN, StreamModeDetails={"StreamMode": "PROVISIONED"})
    kinesis.split_shard(StreamName=NAME, **split)
    limits = kinesis.describe_limits()
    assert limits["OpenShardCount"] == 5
    assert limits["OnDemandStreamCount"] == 0


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"StreamName": NAME, "ShardCount": 1}, "ResourceInUseException"),
        ({"StreamName": "a b", "ShardCount": 1}, "InvalidArgumentException"),
        ({"StreamName": "other"}, "InvalidArgumentException"),
        ({"StreamName": "other", "ShardCount": 20_001}, "LimitExceededException"),
        (
            {"StreamName": "o", "ShardCount": 1, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}},
            "ValidationException",
        ),
        ({"StreamName": "o", "ShardCount": 1, "MaxRecordSizeInKiB": 99_999}, "ValidationException"),
    ],
)
def test_create_stream_refuses(kinesis, refused, parameters, code):
    kinesis.create_stream(StreamName=NAME, ShardCount=1)
    assert refused(kinesis.create_stream, **parameters) == code


def test_a_deleted_stream_is_gone_for_every_call_and_its_iterators(kinesis, refused, iterator):
    kinesis.create_stream(StreamName=NAME, ShardCount=1)
    token = iterator(NAME)
    kinesis.delete_stream(StreamName=NAME)
    assert kinesis.list_streams()["StreamNames"] == []
    for call, more in [
        (kinesis.list_shards, {"StreamName": NAME}),
        (kinesis.describe_stream_summary, {"StreamName": NAME}),
        (kinesis.delete_stream, {"StreamName": NAME}),
        (kinesis.put_record, {"StreamName": NAME, "Data": b"", "PartitionKey": "k"}),
        (kinesis.get_records, {"ShardIterator": token}),
    ]:
        assert refused(call, **more) == "ResourceNotFoundException"


def test_a_re_created_stream_shares_no_sequence_numbers_with_the_old_one(kinesis, refused):
    """Invariant: a checkpoint of the old stream must be told apart, even on a clock that stands."""

    def put():
        return kinesis.put_record(StreamName=NAME, Data=b"x", PartitionKey="k")["SequenceNumber"]

    kinesis.create_stream(StreamName=NAME, ShardCount=1)
    old = put()
    kinesis.delete_stream(StreamName=NAME)
    kinesis.create_stream(StreamName=NAME, ShardCount=1)
    assert int(put()) > int(old)
    code = refused(
        kinesis.get_shard_iterator,
        StreamName=NAME,
        ShardId="shardId-000000000000",
        ShardIteratorType="AFTER_SEQUENCE_NUMBER",
        StartingSequenceNumber=old,
    )
    assert code == "InvalidArgumentException"


def test_the_creation_time_tells_streams_of_one_name_apart(kinesis, clock, refused):
    kinesis.create_stream(StreamName=NAME, ShardCount=1)
    kinesis.delete_stream(StreamName=NAME)
    clock.advance(2)
    kinesis.create_stream(StreamName=NAME, ShardCount=1)
    summary = kinesis.describe_stream_summary(StreamName=NAME)["StreamDescriptionSummary"]
    created = summary["StreamCreationTimestamp"]
    assert created.timestamp() == clock()
    kinesis.list_shards(StreamName=NAME, StreamCreationTimestamp=created)
    earlier = created - datetime.timedelta(seconds=2)
    assert (
        refused(kinesis.list_shards, StreamName=NAME, StreamCreationTimestamp=earlier)
        == "ResourceNotFoundException"
    )


def test_streams_belong_to_the_region_the_signature_names(kinesis, connect):
    kinesis.create_stream(StreamName=NAME, ShardCount=1)
    other = connect("kinesis", region="cn-north-1")
    assert other.list_streams()["StreamNames"] == []
    other.create_stream(StreamName=NAME, ShardCount=1)
    with pytest.raises(other.exceptions.ResourceNotFoundException):
        other.list_shards(StreamARN=ARN)
    summary = other.describe_stream_summary(StreamName=NAME)["StreamDescriptionSummary"]
    assert summary["StreamARN"].startswith("arn:aws-cn:kinesis:cn-north-1:")


def test_list_streams_pages_by_name(kinesis, clock, refused):
    for name in ("c", "a", "b"):
        kinesis.create_stream(StreamName=name, ShardCount=1)
    page = kinesis.list_streams(Limit=2)
    assert (page["StreamNames"], page["HasMoreStreams"]) == (["a", "b"], True)
    assert kinesis.list_streams(NextToken=page["NextToken"])["StreamNames"] == ["c"]
    assert kinesis.list_streams(ExclusiveStartStreamName="a")["StreamNames"] == ["b", "c"]
    clock.advance(301)
    code = refused(kinesis.list_streams, NextToken=page["NextToken"])
    assert code == "ExpiredNextTokenException"


def test_naming_a_stream_twice_differently_or_not_at_all_is_refused(kinesis, refused):
    kinesis.create_stream(StreamName=NAME, ShardCount=1)
    kinesis.list_shards(StreamName=NAME, StreamARN=ARN)
    for names in ({}, {"StreamName": "x", "StreamARN": ARN}):
        assert refused(kinesis.list_shards, **names) == "InvalidArgumentException"


def test_retention_is_changed_within_24_and_8760_hours(kinesis, refused):
    kinesis.create_stream(StreamName=NAME, ShardCount=1)
    kinesis.increase_stream_retention_period(StreamName=NAME, RetentionPeriodHours=48)
    summary = kinesis.describe_stream_summary(StreamName=NAME)["StreamDescriptionSummary"]
    assert summary["RetentionPeriodHours"] == 48
    for call, hours in [
        (kinesis.increase_stream_retention_period, 24),
        (kinesis.increase_stream_retention_period, 8761),
        (kinesis.decrease_stream_retention_period, 72),
        (kinesis.decrease_stream_retention_period, 23),
    ]:
        code = refused(call, StreamName=NAME, RetentionPeriodHours=hours)
        assert code == "InvalidArgumentException"


def test_tags_are_added_listed_by_key_and_removed(kinesis, refused):
    kinesis.create_stream(StreamName=NAME, ShardCount=1)
    kinesis.add_tags_to_stream(StreamName=NAME, Tags={"b": "2", "a": "1", "c": "3"})
    page = kinesis.list_tags_for_stream(StreamName=NAME, Limit=2)
    assert [t["Key"] for t in page["Tags"]] == ["a", "b"]
    assert page["HasMoreTags"] is True
    kinesis.remove_tags_from_stream(StreamName=NAME, TagKeys=["a", "unknown"])
    rest = kinesis.list_tags_for_stream(StreamName=NAME, ExclusiveStartTagKey="b")["Tags"]
    assert rest == [{"Key": "c", "Value": "3"}]
    many = {str(n): "" for n in range(49)}
    code = refused(kinesis.add_tags_to_stream, StreamName=NAME, Tags=many)
    assert code == "InvalidArgumentException"


def test_describe_stream_pages_its_shards(kinesis):
    kinesis.create_stream(StreamName=NAME, ShardCount=101)
    page = kinesis.describe_stream(StreamName=NAME)["StreamDescription"]
    assert (len(page["Shards"]), page["HasMoreShards"]) == (100, True)
    rest = kinesis.describe_stream(
        StreamName=NAME, ExclusiveStartShardId=page["Shards"][-1]["ShardId"]
    )["StreamDescription"]
    assert [s["ShardId"] for s in rest["Shards"]] == ["shardId-000000000100"]


def test_with_a_delay_streams_pass_through_creating_updating_and_deleting():
    clock = ManualClock()
    with Emulator(clock=clock, delay_s=10) as aws:
        aws.account().create_stream(NAME)
        store = aws._store

        def status():
            return store.find("000000000000", "us-east-1", NAME).status(store.now_ms())

        assert status() == "CREATING"
        with pytest.raises(AwsError, match="not found"):
            store.find("000000000000", "us-east-1", NAME).require_data(store.now_ms())
        clock.advance(10)
        assert status() == "ACTIVE"
        stream = store.find("000000000000", "us-east-1", NAME)
        stream.set_updating(store.now_ms())
        assert status() == "UPDATING"
        with pytest.raises(AwsError, match="ResourceInUse"):
            stream.require_active(store.now_ms())
        stream.require_data(store.now_ms())
        clock.advance(10)
        aws.account().stream(NAME).delete()
        assert status() == "DELETING"
        clock.advance(10)
        assert aws.account().streams() == []
