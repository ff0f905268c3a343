"""The writer of one task, against a stream whose listing is behind."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from kinesis_source.model.outgoing import OutRecord, PutOutcome
from kinesis_source.model.shards import Shard
from kinesis_source.options.settings import StreamSettings, WriteSettings
from kinesis_source.records.kpl import open_aggregate
from kinesis_source.write.shards import ShardMap
from kinesis_source.write.stream_writer import StreamWriter, Target

STREAM = StreamSettings.from_key("clicks")
LAST_KEY = 2**128 - 1
MIDDLE = 2**127
WHOLE = Shard("shardId-0", (), 0, LAST_KEY, is_closed=False)
HALVES = (
    Shard("shardId-0", (), 0, LAST_KEY, is_closed=True),
    Shard("shardId-1", ("shardId-0",), 0, MIDDLE - 1, is_closed=False),
    Shard("shardId-2", ("shardId-0",), MIDDLE, LAST_KEY, is_closed=False),
)


class SplitStream:
    """Has been split after a few calls; the listing shows that, or never does."""

    def __init__(self, *, is_shown: bool) -> None:
        self.put: list[tuple[str, OutRecord]] = []
        self._is_shown = is_shown
        self._calls = 0
        self._lock = threading.Lock()

    def list_shards(self, stream: StreamSettings) -> tuple[Shard, ...]:
        assert stream == STREAM
        return HALVES if self._is_shown and self._calls > 3 else (WHOLE,)

    def put_records(self, stream: StreamSettings, records: list[OutRecord]) -> list[PutOutcome]:
        assert stream == STREAM
        with self._lock:
            self._calls += 1
            is_split = self._calls > 3
            outcomes = []
            for record in records:
                half = "shardId-1" if record.hash_key < MIDDLE else "shardId-2"
                shard_id = half if is_split else "shardId-0"
                self.put.append((shard_id, record))
                outcomes.append(PutOutcome(shard_id))
        return outcomes


@pytest.mark.timeout(60)
@pytest.mark.parametrize("is_shown", [True, False])
def test_packed_records_that_a_split_led_astray_are_put_once_more_and_not_for_ever(is_shown):
    api = SplitStream(is_shown=is_shown)
    target = Target(STREAM, ShardMap(api.list_shards(STREAM)))
    writer = StreamWriter(api, target, WriteSettings(aggregate=True), budget_s=10)
    records = [OutRecord(b"%06d" % n + b"x" * 300, f"key {n % 500}") for n in range(2_000)]
    for at in range(0, len(records), 250):
        writer.add(records[at : at + 250])
    writer.flush()
    writer.close()

    put_bytes = sum(record.size_bytes for _, record in api.put)
    assert put_bytes < 2.6 * sum(record.size_bytes for record in records)
    right: Counter[bytes] = Counter()
    for shard_id, record in api.put:
        for key, data in inside(record):
            half = "shardId-1" if OutRecord(data, key).hash_key < MIDDLE else "shardId-2"
            if shard_id in ("shardId-0", half):
                right[data] += 1
    assert set(right) == {record.data for record in records}, "each is where its key belongs"


def inside(record: OutRecord) -> list[tuple[str, bytes]]:
    aggregate = open_aggregate(record.data)
    if aggregate is None:
        return [(record.partition_key, record.data)]
    keys, data = aggregate.rows(0, len(aggregate))
    return [(key, bytes(one)) for key, one in zip(keys, data, strict=True)]
