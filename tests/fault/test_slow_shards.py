"""Shards that AWS throttles, or is slow to answer for, hold up each other and nothing else."""

from __future__ import annotations

import time

import pytest

from tests.fault.support import assert_exactly_once, fill

SHARDS = 80
BAD = 40


def hash_key(stream, shard_id: str) -> str:
    shard = next(s for s in stream.shards() if s["ShardId"] == shard_id)
    return str(shard["HashKeyRange"]["StartingHashKey"])


@pytest.mark.parametrize(
    "fault", [{"kind": "throttle"}, {"kind": "delay", "delay_s": 20.0}], ids=["throttled", "slow"]
)
def test_healthy_shards_are_polled_and_read_while_half_of_them_are_not_answered_for(
    aws, start_query, fault
) -> None:
    stream = aws.account().create_stream("events", shards=SHARDS)
    ids = stream.open_shard_ids()
    query = start_query(retryBudget="120s", readTimeout="30s", initialPosition="latest")
    query.read(query.plan())
    for shard_id in ids[:BAD]:
        aws.faults.add(operation="GetRecords", shard_id=shard_id, **fault)
    time.sleep(1.0)  # they are being asked
    began_s = time.monotonic()
    for shard_id in ids[BAD:]:
        stream.put_many(
            [(b"x", str(n)) for n in range(20)], explicit_hash_key=hash_key(stream, shard_id)
        )
    query.run(20 * (SHARDS - BAD), deadline_s=25)
    assert time.monotonic() - began_s < 25
    seen = {call.shard_id for call in aws.call_log("GetRecords") if call.error is None}
    assert set(ids[BAD:]) <= seen
    assert_exactly_once(query, stream)


def test_a_limited_batch_does_not_wait_for_the_sample_of_one_slow_shard(aws, start_query) -> None:
    stream = aws.account().create_stream("events", shards=20)
    fill(stream, 2_000)
    ids = stream.open_shard_ids()
    query = start_query(readTimeout="30s", maxRecordsPerTrigger="400")
    query.read(query.plan())  # all shards are known to be behind
    aws.faults.add("delay", operation="GetRecords", shard_id=ids[3], delay_s=20.0)
    began_s = time.monotonic()
    rows = query.read(query.plan())
    assert rows
    assert time.monotonic() - began_s < 10
    aws.faults.clear()
    query.run(2_000, deadline_s=60)
    assert_exactly_once(query, stream)
