"""Observations: where each kind of iterator begins, and what is refused."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from .witness import Witness, observation, outcome, texts


@observation
def trim_horizon_is_the_oldest_record(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    stream.put_all(3, shard)
    return stream.read(shard, "TRIM_HORIZON")


@observation
def latest_is_what_comes_after_the_call(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    stream.put("before", shard)
    iterator = stream.iterator(shard, "LATEST")
    stream.put("after", shard)
    return texts(stream.page(iterator))


@observation
def at_sequence_number_includes_it_and_after_leaves_it_out(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    numbers = stream.put_all(4, shard)
    return [
        {
            "at": stream.read(shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number),
            "after": stream.read(shard, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number),
        }
        for number in numbers
    ]


@observation
def a_shard_s_own_start_is_a_position(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    start = shard["SequenceNumberRange"]["StartingSequenceNumber"]
    stream.put_all(2, shard)
    kinds = ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER")
    return [stream.read(shard, kind, StartingSequenceNumber=start) for kind in kinds]


@observation
def at_timestamp_is_the_first_record_that_arrived_then_or_later(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    for n in range(3):
        if n:
            time.sleep(1.1)  # LocalStack floors the timestamp asked for to whole seconds
        stream.put(str(n), shard)
    records = stream.page(stream.iterator(shard))["Records"]
    arrivals = [record["ApproximateArrivalTimestamp"] for record in records]
    before = arrivals[0] - timedelta(hours=1)
    return {
        "an_hour_before": stream.read(shard, "AT_TIMESTAMP", Timestamp=before),
        "at_each": [stream.read(shard, "AT_TIMESTAMP", Timestamp=moment) for moment in arrivals],
    }


@observation
def at_timestamp_has_milliseconds(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    # Both within one second of the clock, the later asked for.
    time.sleep(1 - time.time() % 1)
    stream.put("0", shard)
    time.sleep(0.3)
    stream.put("1", shard)
    later = stream.page(stream.iterator(shard))["Records"][1]["ApproximateArrivalTimestamp"]
    return stream.read(shard, "AT_TIMESTAMP", Timestamp=later)


@observation
def a_timestamp_in_the_future_is_refused(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    moment = datetime.now(timezone.utc) + timedelta(minutes=5)
    return outcome(stream.iterator, shard, "AT_TIMESTAMP", Timestamp=moment)


@observation
def a_kind_without_its_value_is_refused(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    kinds = ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "AT_TIMESTAMP")
    return {kind: outcome(stream.iterator, shard, kind) for kind in kinds}


@observation
def a_shard_that_is_not_there_is_not_found(witness: Witness) -> object:
    stream = witness.stream()
    return outcome(stream.iterator, {"ShardId": "shardId-000000000099"})


@observation
def a_sequence_number_of_nothing_is_refused(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    number = stream.put("0", shard)["SequenceNumber"]
    ask = "AFTER_SEQUENCE_NUMBER"
    ahead = str(int(number) + 10**40)
    return [
        outcome(stream.iterator, shard, ask, StartingSequenceNumber=number)
        for number in ("1", ahead)
    ]


@observation
def a_sequence_number_of_letters_is_refused(witness: Witness) -> object:
    stream = witness.stream()
    (shard,) = stream.shards()
    return outcome(stream.iterator, shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber="abc")


@observation
def a_sequence_number_of_another_shard_is_refused(witness: Witness) -> object:
    stream = witness.stream()
    (parent,) = stream.shards()
    number = stream.put("0", parent)["SequenceNumber"]
    child = stream.split(parent)[0]
    return outcome(stream.iterator, child, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number)
