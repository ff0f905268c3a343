"""Observations: putting records and reading them page by page."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone

from .witness import Witness, hash_range, observation, outcome, texts

_TOP = 2**128 - 1


@observation
def keys_go_to_shards_by_md5(witness: Witness) -> object:
    stream = witness.stream(shards=4)
    shards = stream.shards()
    right = []
    for key in ("a", "b", "zebra", "häuser", "0", "!" * 256):
        hashed = int.from_bytes(hashlib.md5(key.encode()).digest(), "big")
        owner = next(s for s in shards if hash_range(s)[0] <= hashed <= hash_range(s)[1])
        right.append(stream.put("x", key=key)["ShardId"] == owner["ShardId"])
    return right


@observation
def an_explicit_hash_key_beats_the_partition_key(witness: Witness) -> object:
    stream = witness.stream(shards=3)
    shards = stream.shards()
    return [stream.put("x", shard)["ShardId"] == shard["ShardId"] for shard in shards]


@observation
def a_hash_key_beyond_the_top_is_refused(witness: Witness) -> object:
    stream = witness.stream()
    put = stream.client.put_record
    record = {"StreamName": stream.name, "Data": b"x", "PartitionKey": "x"}
    return {
        "top": outcome(put, ExplicitHashKey=str(_TOP), **record),
        "above": outcome(put, ExplicitHashKey=str(_TOP + 1), **record),
    }


@observation
def a_hash_key_that_is_no_number_is_refused(witness: Witness) -> object:
    stream = witness.stream()
    return outcome(
        stream.client.put_record,
        StreamName=stream.name,
        Data=b"x",
        PartitionKey="x",
        ExplicitHashKey="abc",
    )


@observation
def many_records_at_once_keep_their_order(witness: Witness) -> object:
    stream = witness.stream(shards=2)
    shards = stream.shards()
    starts = [shard["HashKeyRange"]["StartingHashKey"] for shard in shards]
    reply = stream.client.put_records(
        StreamName=stream.name,
        Records=[
            {"Data": str(n).encode(), "PartitionKey": "x", "ExplicitHashKey": starts[n % 2]}
            for n in range(20)
        ],
    )
    numbers = [int(result["SequenceNumber"]) for result in reply["Records"]]
    return {
        "failed": reply["FailedRecordCount"],
        "shards": [result["ShardId"][-1] for result in reply["Records"]],
        "rising": [numbers[n::2] == sorted(set(numbers[n::2])) for n in (0, 1)],
        "read": [stream.read(shard) for shard in shards],
    }


@observation
def sequence_numbers_rise_and_have_56_digits(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    start = int(shard["SequenceNumberRange"]["StartingSequenceNumber"])
    numbers = [int(number) for number in stream.put_all(5)]
    return numbers == sorted(set(numbers)), numbers[0] > start, {len(str(n)) for n in numbers}


@observation
def an_ordering_number_is_taken_and_a_future_one_refused(witness: Witness) -> object:
    stream = witness.stream()
    first = stream.put("0")["SequenceNumber"]
    put = stream.client.put_record
    record = {"StreamName": stream.name, "Data": b"1", "PartitionKey": "key"}
    return {
        "last": outcome(put, SequenceNumberForOrdering=first, **record),
        "future": outcome(put, SequenceNumberForOrdering=str(int(first) + 10**40), **record),
    }


@observation
def sizes_that_are_refused(witness: Witness) -> object:
    stream = witness.stream()
    put = stream.client.put_record
    where = {"StreamName": stream.name}
    return {
        "mebibyte": outcome(put, Data=b"x" * (2**20 - 1), PartitionKey="x", **where),
        "above": outcome(put, Data=b"x" * (2**20 + 1), PartitionKey="x", **where),
        "key_257": outcome(put, Data=b"x", PartitionKey="x" * 257, **where),
    }


@observation
def a_request_takes_500_records(witness: Witness) -> object:
    stream = witness.stream()
    records = [{"Data": b"x", "PartitionKey": "x"}] * 500
    reply = stream.client.put_records(StreamName=stream.name, Records=records)
    return reply["FailedRecordCount"], len(reply["Records"])


@observation
def a_request_of_501_records_is_refused(witness: Witness) -> object:
    stream = witness.stream()
    records = [{"Data": b"x", "PartitionKey": "x"}] * 501
    return outcome(stream.client.put_records, StreamName=stream.name, Records=records)


@observation
def a_record_comes_back_as_it_was_put(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    sent = stream.client.put_record(
        StreamName=stream.name, Data=bytes(range(256)), PartitionKey="schlüssel"
    )
    (record,) = stream.page(stream.iterator(shard))["Records"]
    age = datetime.now(timezone.utc) - record["ApproximateArrivalTimestamp"]
    return {
        "data": record["Data"] == bytes(range(256)),
        "key": record["PartitionKey"],
        "sequence_number": record["SequenceNumber"] == sent["SequenceNumber"],
        "arrived_now": abs(age) < timedelta(seconds=60),
    }


@observation
def an_empty_record_comes_back_empty(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    return outcome(stream.put, ""), stream.read(shard)


@observation
def pages_hold_what_limit_asks_for_in_order(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    stream.put_all(5, shard)
    pages = stream.pages(stream.iterator(shard), limit=2)
    return [texts(page) for page in pages]


@observation
def millis_behind_latest_is_zero_at_the_tip_only(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    stream.put_all(4, shard)
    pages = stream.pages(stream.iterator(shard), limit=2)
    return [page["MillisBehindLatest"] > 0 for page in pages]


@observation
def an_iterator_can_be_used_twice(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    stream.put_all(3, shard)
    iterator = stream.iterator(shard)
    return texts(stream.page(iterator, 2)), texts(stream.page(iterator, 2))


@observation
def an_iterator_at_the_tip_sees_what_comes_later(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    empty = stream.page(stream.iterator(shard))
    stream.put_all(2, shard)
    return texts(empty), texts(stream.page(empty["NextShardIterator"]))


@observation
def limits_that_are_refused(witness: Witness) -> object:
    stream = witness.stream()
    iterator = stream.iterator(stream.shards()[0])
    return {
        10_000: outcome(stream.page, iterator, 10_000),
        10_001: outcome(stream.page, iterator, 10_001),
    }


@observation
def a_made_up_iterator_is_refused(witness: Witness) -> object:
    return outcome(witness.connect("kinesis").get_records, ShardIterator="made-up")
