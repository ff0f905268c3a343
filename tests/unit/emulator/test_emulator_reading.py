"""Reading: iterators of all types, pages, ends of shards, expiry and trimming."""

import datetime
import email.utils

import pytest

NAME = "clicks"
SHARD = "shardId-000000000000"
HOUR_S = 3600


@pytest.fixture
def stream(aws):
    return aws.account().create_stream(NAME)


def at(epoch_s):
    return datetime.datetime.fromtimestamp(epoch_s, datetime.timezone.utc)


def put_spaced(stream, clock, count):
    """Put records 0..count-1, one a second; return their sequence numbers."""
    numbers = []
    for n in range(count):
        clock.advance(1)
        numbers.append(stream.put(str(n).encode(), "k"))
    return numbers


def test_each_iterator_type_starts_where_aws_says(stream, clock, read):
    start_s = clock()
    numbers = put_spaced(stream, clock, 4)
    assert read(NAME) == [b"0", b"1", b"2", b"3"]
    assert read(NAME, kind="LATEST") == []
    at_number = {"kind": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": numbers[1]}
    assert read(NAME, **at_number) == [b"1", b"2", b"3"]
    after_number = {"kind": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": numbers[1]}
    assert read(NAME, **after_number) == [b"2", b"3"]
    for offset_s, expected in [(2.0, b"1"), (2.001, b"2"), (-50.0, b"0")]:
        found = read(NAME, kind="AT_TIMESTAMP", Timestamp=at(start_s + offset_s))
        assert found[0] == expected
    assert read(NAME, kind="AT_TIMESTAMP", Timestamp=at(clock())) == [b"3"]


def test_a_latest_iterator_sees_what_comes_after_it_was_made(kinesis, stream, iterator):
    token = iterator(NAME, kind="LATEST")
    stream.put(b"new", "k")
    page = kinesis.get_records(ShardIterator=token)
    assert [r["Data"] for r in page["Records"]] == [b"new"]


def test_a_record_comes_back_as_it_was_put(kinesis, stream, clock, iterator):
    number = kinesis.put_record(
        StreamName=NAME, Data=bytes(range(256)), PartitionKey='quote" \u00e9 \n'
    )["SequenceNumber"]
    (record,) = kinesis.get_records(ShardIterator=iterator(NAME))["Records"]
    assert record["Data"] == bytes(range(256))
    assert record["PartitionKey"] == 'quote" \u00e9 \n'
    assert record["SequenceNumber"] == number
    assert len(number) == 56
    assert record["ApproximateArrivalTimestamp"].timestamp() == clock()


@pytest.mark.parametrize(
    "parameters",
    [
        {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": at(1_700_000_000.5)},
        {"ShardIteratorType": "AT_TIMESTAMP"},
        {"ShardIteratorType": "AT_SEQUENCE_NUMBER"},
        {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "12"},
        {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "9" * 56},
        {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": "007"},
        {"ShardIteratorType": "TRIM_HORIZON", "StartingSequenceNumber": "4900"},
        {"ShardIteratorType": "SOMEWHERE"},
    ],
)
def test_get_shard_iterator_refuses(kinesis, stream, refused, parameters):
    code = refused(kinesis.get_shard_iterator, StreamName=NAME, ShardId=SHARD, **parameters)
    assert code == "InvalidArgumentException"


def test_an_unknown_shard_is_not_found(kinesis, stream, refused):
    code = refused(
        kinesis.get_shard_iterator,
        StreamName=NAME,
        ShardId="shardId-000000000009",
        ShardIteratorType="LATEST",
    )
    assert code == "ResourceNotFoundException"


def test_pages_go_on_without_gap_and_tell_how_far_behind_they_are(kinesis, stream, clock, iterator):
    put_spaced(stream, clock, 5)
    clock.advance(10)
    token, data, behind = iterator(NAME), [], []
    for _ in range(3):
        page = kinesis.get_records(ShardIterator=token, Limit=2)
        data += [r["Data"] for r in page["Records"]]
        behind.append(page["MillisBehindLatest"])
        token = page["NextShardIterator"]
    assert data == [b"0", b"1", b"2", b"3", b"4"]
    assert behind == [13_000, 11_000, 0]
    again = kinesis.get_records(ShardIterator=token)
    assert again["Records"] == []
    assert "NextShardIterator" in again


def test_a_page_ends_at_10_mib_but_holds_at_least_one_record(kinesis, stream, iterator):
    kinesis.update_max_record_size(StreamARN=stream.arn, MaxRecordSizeInKiB=10_240)
    stream.put_many([(b"x" * 4_000_000, "k")] * 3)
    page = kinesis.get_records(ShardIterator=iterator(NAME))
    assert len(page["Records"]) == 2
    stream.put(b"y" * (10_240 * 1024 - 1), "k")
    page = kinesis.get_records(ShardIterator=page["NextShardIterator"])
    assert len(page["Records"]) == 1
    page = kinesis.get_records(ShardIterator=page["NextShardIterator"])
    assert len(page["Records"][0]["Data"]) == 10_240 * 1024 - 1
    assert page["MillisBehindLatest"] == 0
    stream.put(b"z" * (11 * 1024 * 1024), "k")
    page = kinesis.get_records(ShardIterator=page["NextShardIterator"])
    assert len(page["Records"]) == 1


def test_a_closed_shard_ends_with_its_last_records_and_its_children(
    kinesis, stream, refused, iterator
):
    numbers = stream.put_many([(b"a", "k"), (b"b", "k")])
    stream.split(SHARD)
    page = kinesis.get_records(ShardIterator=iterator(NAME), Limit=1)
    assert "NextShardIterator" in page
    assert "ChildShards" not in page
    page = kinesis.get_records(ShardIterator=page["NextShardIterator"])
    assert [r["Data"] for r in page["Records"]] == [b"b"]
    assert page["MillisBehindLatest"] == 0
    assert "NextShardIterator" not in page
    assert [(c["ShardId"], c["ParentShards"]) for c in page["ChildShards"]] == [
        ("shardId-000000000001", [SHARD]),
        ("shardId-000000000002", [SHARD]),
    ]
    # Positions at and past the last record of a closed shard are valid, and end at once.
    ending = stream.shards()[0]["SequenceNumberRange"]["EndingSequenceNumber"]
    for number in (numbers[-1], ending):
        token = iterator(NAME, kind="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number)
        page = kinesis.get_records(ShardIterator=token)
        assert page["Records"] == []
        assert len(page["ChildShards"]) == 2


def test_the_child_of_a_merge_names_both_parents(aws, kinesis, iterator):
    stream = aws.account().create_stream("merged", shards=2)
    stream.merge(SHARD, "shardId-000000000001")
    for parent in (SHARD, "shardId-000000000001"):
        page = kinesis.get_records(ShardIterator=iterator("merged", parent, "LATEST"))
        (child,) = page["ChildShards"]
        assert child["ParentShards"] == [SHARD, "shardId-000000000001"]


@pytest.mark.parametrize("limit", [10_001, 100_000])
def test_a_limit_over_10000_is_refused(kinesis, stream, refused, iterator, limit):
    code = refused(kinesis.get_records, ShardIterator=iterator(NAME), Limit=limit)
    assert code == "InvalidArgumentException"


def test_iterators_expire_after_five_minutes(kinesis, stream, clock, refused, iterator):
    token = iterator(NAME)
    assert len(token) <= 512
    clock.advance(300)
    fresh = kinesis.get_records(ShardIterator=token)["NextShardIterator"]
    clock.advance(1)
    assert refused(kinesis.get_records, ShardIterator=token) == "ExpiredIteratorException"
    kinesis.get_records(ShardIterator=fresh)


def test_iterators_stay_short_for_the_longest_stream_name(aws, iterator):
    aws.account().create_stream("n" * 128)
    assert len(iterator("n" * 128)) <= 512


@pytest.mark.parametrize("token", ["", "AAAA", "not base64!", "QUJD" * 20])
def test_forged_iterators_are_refused(kinesis, stream, refused, token):
    if not token:
        token = "A"
    assert refused(kinesis.get_records, ShardIterator=token) == "InvalidArgumentException"


def test_an_iterator_of_another_stream_than_the_arn_is_refused(aws, kinesis, refused, iterator):
    aws.account().create_stream("one")
    other = aws.account().create_stream("two")
    token = iterator("one")
    code = refused(kinesis.get_records, ShardIterator=token, StreamARN=other.arn)
    assert code == "InvalidArgumentException"


def test_records_vanish_when_older_than_the_retention_and_nothing_is_said(
    kinesis, stream, clock, read
):
    first = stream.put(b"old", "k")
    clock.advance(HOUR_S)
    stream.put(b"young", "k")
    clock.advance(23 * HOUR_S)
    assert read(NAME) == [b"old", b"young"]
    clock.advance(1)
    assert read(NAME) == [b"young"]
    # The trimmed sequence number is still taken, and reading goes on at the horizon.
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        assert read(NAME, kind=kind, StartingSequenceNumber=first) == [b"young"]


def test_an_iterator_kept_across_the_horizon_goes_on_at_the_oldest_record(
    kinesis, stream, clock, iterator
):
    put_spaced(stream, clock, 3)
    clock.advance(24 * HOUR_S - 1.5)
    token = iterator(NAME)
    clock.advance(1)
    page = kinesis.get_records(ShardIterator=token, Limit=1)
    assert [r["Data"] for r in page["Records"]] == [b"2"]


def test_raising_the_retention_does_not_bring_records_back(kinesis, stream, clock, read):
    stream.put(b"old", "k")
    clock.advance(25 * HOUR_S)
    stream.put(b"young", "k")
    kinesis.increase_stream_retention_period(StreamName=NAME, RetentionPeriodHours=48)
    assert read(NAME) == [b"young"]
    clock.advance(30 * HOUR_S)
    assert read(NAME) == [b"young"]
    kinesis.decrease_stream_retention_period(StreamName=NAME, RetentionPeriodHours=24)
    assert read(NAME) == []


def test_arrival_times_can_be_disordered_while_order_stays(aws, kinesis, stream, clock, iterator):
    jitter = iter([500, -400, 0])
    aws.arrival_hook = lambda name, shard_id, now_ms: now_ms + next(jitter)
    clock.advance(10)
    stream.put_many([(b"a", "k"), (b"b", "k"), (b"c", "k")])
    records = kinesis.get_records(ShardIterator=iterator(NAME))["Records"]
    assert [r["Data"] for r in records] == [b"a", b"b", b"c"]
    arrivals = [r["ApproximateArrivalTimestamp"].timestamp() - clock() for r in records]
    assert arrivals == pytest.approx([0.5, -0.4, 0.0], abs=1e-3)
    numbers = [int(r["SequenceNumber"]) for r in records]
    assert numbers == sorted(numbers)


def test_a_reply_carries_the_servers_date_and_a_request_id(kinesis, stream, clock):
    headers = kinesis.describe_limits()["ResponseMetadata"]["HTTPHeaders"]
    assert email.utils.parsedate_to_datetime(headers["date"]).timestamp() == clock()
    assert headers["x-amzn-requestid"]
