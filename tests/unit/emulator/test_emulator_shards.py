"""Shards: listing with filters and tokens, splits, merges and what they leave behind."""

import datetime
from itertools import pairwise

import pytest

NAME = "clicks"
HOUR_S = 3600


@pytest.fixture
def stream(aws):
    return aws.account().create_stream(NAME, shards=2)


@pytest.fixture
def listed(kinesis):
    """(**parameters) -> numbers of the shards listed."""

    def run(**parameters):
        shards = kinesis.list_shards(StreamName=NAME, **parameters)["Shards"]
        return [int(s["ShardId"].rpartition("-")[2]) for s in shards]

    return run


def shard_id(number):
    return f"shardId-{number:012d}"


def at(epoch_s):
    return datetime.datetime.fromtimestamp(epoch_s, datetime.timezone.utc)


def test_a_split_closes_the_parent_and_opens_two_halves(kinesis, stream):
    before = kinesis.list_shards(StreamName=NAME)["Shards"][0]
    low, high = (int(v) for v in before["HashKeyRange"].values())
    if low > high:
        low, high = high, low
    middle = (low + high) // 2
    last = kinesis.put_record(StreamName=NAME, Data=b"x", PartitionKey="k", ExplicitHashKey="0")[
        "SequenceNumber"
    ]
    kinesis.split_shard(StreamName=NAME, ShardToSplit=shard_id(0), NewStartingHashKey=str(middle))
    parent, _, left, right = kinesis.list_shards(StreamName=NAME)["Shards"]
    assert int(parent["SequenceNumberRange"]["EndingSequenceNumber"]) >= int(last)
    for child in (left, right):
        assert child["ParentShardId"] == shard_id(0)
        assert "AdjacentParentShardId" not in child
        assert "EndingSequenceNumber" not in child["SequenceNumberRange"]
        assert int(child["SequenceNumberRange"]["StartingSequenceNumber"]) > int(
            parent["SequenceNumberRange"]["EndingSequenceNumber"]
        )
    assert left["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(middle - 1)}
    assert right["HashKeyRange"] == {"StartingHashKey": str(middle), "EndingHashKey": str(high)}


def test_a_closed_shard_takes_no_more_puts(kinesis, stream):
    children = stream.split(shard_id(0))
    for key in (0, 2**126, 2**127 - 1):
        put = kinesis.put_record(
            StreamName=NAME, Data=b"x", PartitionKey="k", ExplicitHashKey=str(key)
        )
        assert put["ShardId"] in children


def test_a_merge_has_two_parents(kinesis, stream):
    kinesis.merge_shards(
        StreamName=NAME, ShardToMerge=shard_id(1), AdjacentShardToMerge=shard_id(0)
    )
    child = kinesis.list_shards(StreamName=NAME)["Shards"][2]
    assert child["ParentShardId"] == shard_id(1)
    assert child["AdjacentParentShardId"] == shard_id(0)
    assert child["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)}


@pytest.mark.parametrize("key", [0, 1, 2**127 - 1, 2**127, 2**128])
def test_split_refuses_a_key_outside_the_shard_or_at_its_rim(kinesis, stream, refused, key):
    code = refused(
        kinesis.split_shard,
        StreamName=NAME,
        ShardToSplit=shard_id(0),
        NewStartingHashKey=str(key),
    )
    assert code == "InvalidArgumentException"


def test_resharding_refuses_closed_unknown_and_distant_shards(kinesis, stream, refused):
    low, _ = stream.split(shard_id(0))
    again = {"ShardToSplit": shard_id(0), "NewStartingHashKey": "1000"}
    assert refused(kinesis.split_shard, StreamName=NAME, **again) == "InvalidArgumentException"
    unknown = {"ShardToSplit": shard_id(77), "NewStartingHashKey": "1000"}
    assert refused(kinesis.split_shard, StreamName=NAME, **unknown) == "ResourceNotFoundException"
    distant = {"ShardToMerge": low, "AdjacentShardToMerge": shard_id(1)}
    assert refused(kinesis.merge_shards, StreamName=NAME, **distant) == "InvalidArgumentException"


@pytest.mark.parametrize(("target", "open_count"), [(4, 4), (3, 3), (1, 1), (2, 2)])
def test_update_shard_count_leaves_equal_shards_that_cover_everything(
    kinesis, stream, target, open_count
):
    reply = kinesis.update_shard_count(
        StreamName=NAME, TargetShardCount=target, ScalingType="UNIFORM_SCALING"
    )
    assert (reply["CurrentShardCount"], reply["TargetShardCount"]) == (2, target)
    shards = kinesis.list_shards(StreamName=NAME, ShardFilter={"Type": "AT_LATEST"})["Shards"]
    ranges = sorted(
        (int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"]))
        for s in shards
    )
    assert len(ranges) == open_count
    assert (ranges[0][0], ranges[-1][1]) == (0, 2**128 - 1)
    assert all(a[1] + 1 == b[0] for a, b in pairwise(ranges))
    widths = [high - low for low, high in ranges]
    assert max(widths) - min(widths) <= target


def test_update_shard_count_refuses_more_than_double_and_less_than_half(kinesis, stream, refused):
    stream.rescale(8)
    for target in (17, 3):
        code = refused(
            kinesis.update_shard_count,
            StreamName=NAME,
            TargetShardCount=target,
            ScalingType="UNIFORM_SCALING",
        )
        assert code == "InvalidArgumentException"


def test_list_shards_pages_with_a_token_that_stands_alone_and_expires(
    kinesis, stream, clock, refused
):
    stream.rescale(5)
    numbers, token = [], None
    while True:
        more = {"NextToken": token} if token else {"StreamName": NAME}
        page = kinesis.list_shards(MaxResults=3, **more)
        numbers += [s["ShardId"] for s in page["Shards"]]
        if "NextToken" not in page:
            break
        token = page["NextToken"]
    assert numbers == [s["ShardId"] for s in stream.shards()]
    assert len(numbers) > 5
    for extra in (
        {"StreamName": NAME},
        {"StreamCreationTimestamp": at(clock())},
        {"ExclusiveStartShardId": shard_id(0)},
    ):
        code = refused(kinesis.list_shards, NextToken=token, **extra)
        assert code == "InvalidArgumentException"
    assert refused(kinesis.list_shards, NextToken="forged") == "InvalidArgumentException"
    clock.advance(301)
    assert refused(kinesis.list_shards, NextToken=token) == "ExpiredNextTokenException"


def test_shard_filters(stream, listed, clock):
    clock.advance(10)
    stream.split(shard_id(0))  # 0 closed; 2 and 3 open
    clock.advance(10)
    stream.merge(shard_id(2), shard_id(3))  # 2 and 3 closed; 4 open
    start_s = clock() - 20

    def filtered(kind, **more):
        return listed(ShardFilter={"Type": kind, **more})

    assert listed() == [0, 1, 2, 3, 4]
    assert listed(ExclusiveStartShardId=shard_id(2)) == [3, 4]
    assert filtered("AFTER_SHARD_ID", ShardId=shard_id(3)) == [4]
    assert filtered("AT_LATEST") == [1, 4]
    assert filtered("AT_TRIM_HORIZON") == [0, 1]
    assert filtered("FROM_TRIM_HORIZON") == [0, 1, 2, 3, 4]
    assert filtered("AT_TIMESTAMP", Timestamp=at(start_s + 15)) == [1, 2, 3]
    assert filtered("FROM_TIMESTAMP", Timestamp=at(start_s + 15)) == [1, 2, 3, 4]
    # Older than the stream: corrected to the trim horizon.
    assert filtered("AT_TIMESTAMP", Timestamp=at(start_s - 99)) == [0, 1]
    assert filtered("FROM_TIMESTAMP", Timestamp=at(start_s - 99)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "wrong",
    [
        {"Type": "AT_TIMESTAMP"},
        {"Type": "AFTER_SHARD_ID"},
        {"Type": "AT_LATEST", "ShardId": "shardId-000000000000"},
        {"Type": "NO_SUCH"},
    ],
)
def test_shard_filters_that_do_not_fit_together_are_refused(kinesis, stream, refused, wrong):
    code = refused(kinesis.list_shards, StreamName=NAME, ShardFilter=wrong)
    assert code == "InvalidArgumentException"


def test_closed_shards_leave_the_list_once_older_than_the_retention(
    kinesis, stream, listed, clock, refused
):
    stream.split(shard_id(0))
    clock.advance(24 * HOUR_S - 1)
    assert listed() == [0, 1, 2, 3]
    clock.advance(2)
    assert listed() == [1, 2, 3]
    assert listed(ShardFilter={"Type": "AT_TRIM_HORIZON"}) == [1, 2, 3]
    code = refused(
        kinesis.get_shard_iterator,
        StreamName=NAME,
        ShardId=shard_id(0),
        ShardIteratorType="TRIM_HORIZON",
    )
    assert code == "ResourceNotFoundException"


def test_splits_of_splits_within_one_instant_keep_their_lineage(stream, listed):
    low, _ = stream.split(shard_id(0))
    stream.split(low)
    assert listed(ShardFilter={"Type": "AT_TRIM_HORIZON"}) == [0, 1]
    parents = {s["ShardId"]: s.get("ParentShardId") for s in stream.shards()}
    assert parents[shard_id(4)] == low
