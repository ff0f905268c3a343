"""Writing: routing, sequence numbers, sizes, and many writers at once."""

import hashlib
import threading
from itertools import pairwise

import pytest

NAME = "clicks"
SHARD = "shardId-000000000000"


@pytest.fixture
def stream(aws):
    return aws.account().create_stream(NAME, shards=4)


def test_a_record_goes_to_the_shard_that_owns_the_md5_of_its_key(kinesis, stream):
    for key in ("a", "b", "user-77", "\u00e9"):
        expected = int(hashlib.md5(key.encode()).hexdigest(), 16) // 2**126
        put = kinesis.put_record(StreamName=NAME, Data=b"x", PartitionKey=key)
        assert put["ShardId"] == f"shardId-{expected:012d}"


def test_an_explicit_hash_key_overrides_the_partition_key(kinesis, stream, refused):
    entry = {"StreamName": NAME, "Data": b"x", "PartitionKey": "k"}
    for shard, key in enumerate((0, 2**126, 2**127, 2**128 - 1)):
        put = kinesis.put_record(**entry, ExplicitHashKey=str(key))
        assert put["ShardId"] == f"shardId-{shard:012d}"
    for key in (str(2**128), "-1", "007"):
        code = refused(kinesis.put_record, **entry, ExplicitHashKey=key)
        assert code == "InvalidArgumentException"


def test_put_records_answers_in_request_order_with_rising_numbers(kinesis, stream):
    reply = kinesis.put_records(
        StreamName=NAME,
        Records=[{"Data": str(n).encode(), "PartitionKey": str(n)} for n in range(100)],
    )
    assert reply["FailedRecordCount"] == 0
    numbers = [int(r["SequenceNumber"]) for r in reply["Records"]]
    assert numbers == sorted(set(numbers))
    assert all(b - a > 1 for a, b in pairwise(numbers))
    assert [r["Data"] for r in stream.records()] == [str(n).encode() for n in range(100)]


@pytest.mark.parametrize(
    "records",
    [
        [{"Data": b"x", "PartitionKey": "k"}] * 501,
        [{"Data": b"x" * 1_000_000, "PartitionKey": "k"}] * 11,
        [{"Data": b"x" * (1024 * 1024), "PartitionKey": "k"}],
        [{"Data": b"x", "PartitionKey": "k" * 257}],
    ],
    ids=["501 records", "over 10 MiB", "a record over 1 MiB with its key", "a key of 257"],
)
def test_put_records_refuses_as_a_whole(kinesis, stream, refused, records):
    code = refused(kinesis.put_records, StreamName=NAME, Records=records)
    assert code == "InvalidArgumentException"
    assert stream.records() == []


def test_records_over_1_mib_need_a_stream_that_allows_them(kinesis, stream, refused):
    big = {"StreamName": NAME, "Data": b"x" * 2_000_000, "PartitionKey": "k"}
    assert refused(kinesis.put_record, **big) == "InvalidArgumentException"
    kinesis.update_max_record_size(StreamARN=stream.arn, MaxRecordSizeInKiB=2048)
    kinesis.put_record(**big)
    code = refused(kinesis.update_max_record_size, StreamARN=stream.arn, MaxRecordSizeInKiB=20_480)
    assert code == "ValidationException"


def test_ordering_after_a_number_that_was_never_given_is_refused(kinesis, stream, refused):
    entry = {"StreamName": NAME, "Data": b"x", "PartitionKey": "k"}
    number = kinesis.put_record(**entry)["SequenceNumber"]
    later = kinesis.put_record(**entry, SequenceNumberForOrdering=number)["SequenceNumber"]
    assert int(later) > int(number)
    code = refused(kinesis.put_record, **entry, SequenceNumberForOrdering="9" * 56)
    assert code == "InvalidArgumentException"


def test_a_clock_set_back_does_not_turn_sequence_numbers_back(stream, clock):
    first = stream.put(b"a", "k")
    clock.set(clock() - 100)
    assert int(stream.put(b"b", "k")) > int(first)


def test_many_writers_and_a_reshard_lose_no_record(aws, kinesis, stream):
    """A shard's records stay in order, and each writer's answers are what is stored."""
    answered: list[tuple[str, str, bytes]] = []
    problems: list[Exception] = []
    lock = threading.Lock()

    def write(writer: int) -> None:
        try:
            for batch in range(10):
                data = [f"{writer}-{batch}-{n}".encode() for n in range(50)]
                reply = kinesis.put_records(
                    StreamName=NAME,
                    Records=[{"Data": d, "PartitionKey": d.decode()} for d in data],
                )
                with lock:
                    answered.extend(
                        (r["ShardId"], r["SequenceNumber"], d)
                        for r, d in zip(reply["Records"], data, strict=True)
                    )
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            problems.append(error)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for writer in writers:
        writer.start()
    low, high = stream.split(SHARD)
    stream.merge(low, high)
    for writer in writers:
        writer.join(30)
    assert problems == []
    stored = []
    for shard in stream.shards():
        records = stream.records(shard["ShardId"])
        numbers = [int(r["SequenceNumber"]) for r in records]
        assert numbers == sorted(set(numbers))
        stored += [(shard["ShardId"], r["SequenceNumber"], r["Data"]) for r in records]
        ending = shard["SequenceNumberRange"].get("EndingSequenceNumber")
        assert ending is None or all(n <= int(ending) for n in numbers)
    assert sorted(stored) == sorted(answered)
    assert len(stored) == 4000
