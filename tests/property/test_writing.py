"""Writing: nothing is lost, nothing is out of order that must not be, no limit is broken."""

from __future__ import annotations

import functools
import random
import threading
from collections import defaultdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesis_source.model.outgoing import OutRecord, PutOutcome
from kinesis_source.model.shards import HASH_KEY_MAX, Shard
from kinesis_source.options.settings import StreamSettings, WriteSettings
from kinesis_source.records.kpl import open_aggregate
from kinesis_source.write import pace
from kinesis_source.write.aggregate import AGGREGATE_BYTES, Aggregator
from kinesis_source.write.queues import MOST_RECORDS, MOST_REQUEST_BYTES, Queued, ShardQueues
from kinesis_source.write.shards import ShardMap
from kinesis_source.write.stream_writer import StreamWriter, Target

STREAM = StreamSettings("s", "s")
KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=20)
RECORDS = st.builds(
    OutRecord,
    st.binary(max_size=300),
    KEYS,
    st.none() | st.integers(0, HASH_KEY_MAX).map(str),
)


def shards_of(count: int, first: int = 0) -> tuple[Shard, ...]:
    width = (HASH_KEY_MAX + 1) // count
    return tuple(
        Shard(
            f"shard-{first + n}",
            (),
            n * width,
            HASH_KEY_MAX if n == count - 1 else (n + 1) * width - 1,
            is_closed=False,
        )
        for n in range(count)
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(RECORDS, min_size=2, max_size=50))
def test_what_is_packed_comes_out_the_same(records: list[OutRecord]) -> None:
    aggregator = Aggregator(7)
    for record in records:
        assert aggregator.takes(record)
        aggregator.add(record)
    made, inside = aggregator.take()
    assert inside == records
    assert made.size_bytes <= AGGREGATE_BYTES
    assert (made.partition_key, made.explicit_hash_key) == ("a", "7")
    opened = open_aggregate(made.data)
    assert opened is not None
    keys, payloads = opened.rows(0, len(opened))
    assert keys == [record.partition_key for record in records]
    assert payloads == [record.data for record in records]
    assert _by_protobuf(made.data) == [
        (record.partition_key, record.explicit_hash_key, record.data) for record in records
    ]
    assert not aggregator.records, "the next one is empty"


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 1_500_000), min_size=1, max_size=40),
    shards=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_no_request_breaks_a_limit_and_lanes_go_one_by_one(sizes, shards, seed) -> None:
    chance = random.Random(seed)  # noqa: S311 - a replayable game
    queues, now_s = ShardQueues(), 0.0
    everything = []
    for n, size in enumerate(sizes):
        lane = chance.choice([None, "a", "b"])
        queued = Queued(OutRecord(bytes(size), f"k{n}"), f"shard-{n % shards}", lane)
        everything.append(queued)
        queues.add(queued)
    taken: list[Queued] = []
    on_way: list[list[Queued]] = []
    for _ in range(4_000):
        now_s += 0.05
        request = queues.take_request(now_s, is_last=True)
        if request:
            assert len(request) <= MOST_RECORDS
            assert len(request) == 1 or sum(q.size_bytes for q in request) <= MOST_REQUEST_BYTES
            on_way.append(request)
            lanes = [q.lane for way in on_way for q in way if q.lane]
            assert len(lanes) == len(set(lanes)), "two of one lane on their way"
        if on_way and (not request or chance.random() < 0.5):
            done = on_way.pop(0)
            rejected = [q for q in done if chance.random() < 0.2]
            taken += [q for q in done if q not in rejected]
            queues.free_lanes(done)
            queues.give_back(rejected)
        if not queues.count and not on_way:
            break
    assert queues.count == queues.size_bytes == 0
    assert {id(q) for q in taken} == {id(q) for q in everything}
    for shard in range(shards):
        for lane in ("a", "b"):
            order = [q for q in everything if (q.shard_id, q.lane) == (f"shard-{shard}", lane)]
            assert [q for q in taken if q in order] == order


class Server:
    """Takes records, rejects some, and may have other shards from some call on."""

    def __init__(self, seed: int, shards: int, *, rejects: float, reshards_at: int | None) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a replayable game
        self.shards = shards_of(shards)
        self.rejects, self.reshards_at = rejects, reshards_at
        self.lock = threading.Lock()
        self.calls = 0
        self.stored: dict[str, list[OutRecord]] = defaultdict(list)

    def list_shards(self, stream, open_at_ms=None):
        return self.shards

    def put_records(self, stream, records):
        assert 1 <= len(records) <= MOST_RECORDS
        with self.lock:
            self.calls += 1
            if self.calls == self.reshards_at:
                self.shards = shards_of(len(self.shards) + 1, first=100)
            outcomes = []
            for record in records:
                if self.random.random() < self.rejects:
                    error = "ProvisionedThroughputExceededException"
                    outcomes.append(PutOutcome(None, error, "Rate exceeded"))
                    continue
                shard_id = ShardMap(self.shards).shard_of(record.hash_key)
                self.stored[shard_id].append(record)
                outcomes.append(PutOutcome(shard_id))
            return outcomes


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 1_500),
    keys=st.integers(1, 30),
    shards=st.integers(1, 5),
    rejects=st.sampled_from([0.0, 0.02, 0.3]),
    reshards_at=st.sampled_from([None, 1, 2]),
    ordered=st.booleans(),
    aggregate=st.booleans(),
)
def test_all_is_written_and_in_order_where_that_is_asked_for(
    seed, count, keys, shards, rejects, reshards_at, ordered, aggregate
) -> None:
    server = Server(seed, shards, rejects=rejects, reshards_at=reshards_at)
    target = Target(STREAM, ShardMap(server.shards))
    fast = {"RECORDS_PER_S": 10**9, "BYTES_PER_S": 10**12}
    before = {name: getattr(pace, name) for name in fast}
    for name, value in fast.items():
        setattr(pace, name, value)
    try:
        writer = StreamWriter(
            server,  # type: ignore[arg-type]
            target,
            WriteSettings(ordered=ordered, aggregate=aggregate),
            60.0,
        )
        for n in range(count):
            writer.add([OutRecord(str(n).encode(), f"key {n % keys}")])
        writer.flush()
        writer.close()
    finally:
        for name, value in before.items():
            setattr(pace, name, value)
    seen: dict[str, list[int]] = defaultdict(list)
    for records in server.stored.values():
        for record in records:
            for key, data in _user_records(record):
                seen[key].append(int(data))
    for key in range(min(keys, count)):
        wanted = list(range(key, count, keys))
        got = seen[f"key {key}"]
        assert set(got) == set(wanted), "nothing is lost"
        if reshards_at is None or not aggregate:
            assert len(got) == len(wanted), "nothing is written twice"
            if ordered and reshards_at is None:
                assert got == wanted
    assert writer.counts.rows == count


def _user_records(record: OutRecord):
    if record.partition_key != "a" or not record.data.startswith(b"\xf3\x89\x9a\xc2"):
        return [(record.partition_key, record.data)]
    opened = open_aggregate(record.data)
    assert opened is not None
    return list(zip(*opened.rows(0, len(opened)), strict=True))


def _by_protobuf(data: bytes):
    """Take an aggregate apart with Google's own library, by the format's published fields."""
    message = _aggregated_record()()
    body = data[4:-16]
    message.ParseFromString(body)
    assert message.SerializeToString() == body, "in the order that protobuf writes"
    return [
        (
            message.partition_key_table[one.partition_key_index],
            message.explicit_hash_key_table[one.explicit_hash_key_index]
            if one.HasField("explicit_hash_key_index")
            else None,
            one.data,
        )
        for one in message.records
    ]


@functools.cache
def _aggregated_record():
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="kpl.proto", package="kpl", syntax="proto2")
    record = file.message_type.add(name="Record")
    record.field.add(name="partition_key_index", number=1, type=field.TYPE_UINT64, label=2)
    record.field.add(name="explicit_hash_key_index", number=2, type=field.TYPE_UINT64, label=1)
    record.field.add(name="data", number=3, type=field.TYPE_BYTES, label=2)
    whole = file.message_type.add(name="AggregatedRecord")
    whole.field.add(name="partition_key_table", number=1, type=field.TYPE_STRING, label=3)
    whole.field.add(name="explicit_hash_key_table", number=2, type=field.TYPE_STRING, label=3)
    whole.field.add(
        name="records", number=3, type=field.TYPE_MESSAGE, label=3, type_name=".kpl.Record"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("kpl.AggregatedRecord"))
