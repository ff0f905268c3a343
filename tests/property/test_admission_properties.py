"""Bounded batches: near the limit, nobody starves, and nothing of exactly-once is given up."""

from __future__ import annotations

import json

import pytest
from histories import EVENTS, HISTORIES, STARTS, make_world, nastiness
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_engine import Engine, settings_for
from simulated_stream import SimulatedStream

from kinesis_source.model.offsets import StreamOffset
from kinesis_source.model.positions import TRIM_HORIZON
from kinesis_source.plan.admission import deal_shares

SHARDS = 6
MINUTES = 30


def backlog(records_per_s: int, size: int = 100) -> SimulatedStream:
    """Return a stream whose shards got records at a steady rate for half an hour."""
    stream = SimulatedStream(shards=SHARDS)
    began_ms = stream.server_ms
    for second in range(MINUTES * 60):
        for shard in range(SHARDS):
            for part in range(records_per_s):
                when_ms = began_ms + second * 1000 + part * 1000 // records_per_s
                stream.put(shard, size=size, when_ms=when_ms)
    stream.clock.sleep(MINUTES * 60)
    return stream


def sizes_of(engine: Engine) -> list[int]:
    return [sum(map(len, rows.values())) for rows in engine.rows]


def run_down(stream: SimulatedStream, engine: Engine, most_batches: int = 400) -> None:
    for _ in range(most_batches):
        engine.go_on()
        if stream.is_quiet and engine.is_settled():
            return
    raise AssertionError(f"still unread after {most_batches} batches: {engine.unread()}")


@pytest.mark.parametrize(
    ("limits", "per_batch"),
    [
        ({"max_records_per_trigger": 3_000}, 3_000),
        ({"max_bytes_per_trigger": 400_000}, 4_000),
        ({"max_records_per_trigger": 2_000, "max_bytes_per_trigger": 900_000}, 2_000),
    ],
)
def test_a_backlog_is_worked_off_in_batches_near_the_limit(limits, per_batch) -> None:
    stream = backlog(records_per_s=4)
    engine = Engine(stream, settings_for(TRIM_HORIZON, **limits))
    run_down(stream, engine)
    sizes = sizes_of(engine)
    total = SHARDS * MINUTES * 60 * 4
    assert sum(sizes) == total
    assert max(sizes) <= per_batch * 1.5
    full = sizes[: total // per_batch - 2]  # the very first among them
    assert min(full) >= per_batch / 1.5, sizes
    for rows in engine.rows[: len(full)]:
        shares = [len(rows.get(shard_id, ())) for shard_id in stream.shards]
        assert min(shares) >= per_batch / SHARDS / 2, f"a shard starves: {shares}"


def test_a_small_shard_is_read_in_full_beside_large_ones() -> None:
    stream = backlog(records_per_s=2)
    stream.split(0)  # the children are nearly empty
    stream.put(SHARDS - 1, count=5)
    engine = Engine(stream, settings_for(TRIM_HORIZON, max_records_per_trigger=1_200))
    run_down(stream, engine)
    assert sum(sizes_of(engine)) == SHARDS * MINUTES * 60 * 2 + 5
    assert max(sizes_of(engine)) <= 1_800


def test_without_a_limit_a_batch_takes_128_mib_of_a_shard() -> None:
    stream = SimulatedStream(shards=1)
    began_ms = stream.server_ms
    for second in range(600):  # 600 MB at a shard's full rate
        stream.put(0, size=1_000_000, when_ms=began_ms + second * 1000)
    stream.clock.sleep(600)
    engine = Engine(stream, settings_for(TRIM_HORIZON))
    run_down(stream, engine)
    sizes = sizes_of(engine)
    assert sum(sizes) == 600
    assert max(sizes) <= 134 * 1.5
    assert len(sizes) <= 20, sizes  # the last ones close in on the tip of the silent stream


def test_once_takes_all_whatever_the_limit() -> None:
    stream = backlog(records_per_s=1)
    engine = Engine(stream, settings_for(TRIM_HORIZON, max_records_per_trigger=100))
    end = engine.planner.next_offset(engine.planner.initial_offset(), to_the_tip=True)
    positions = end.streams["s"].shards
    for shard_id, shard in stream.shards.items():
        assert positions[shard_id].sequence_number == str(shard.numbers[-1])


def test_a_shard_that_is_not_behind_costs_no_call() -> None:
    stream = SimulatedStream(shards=4)
    engine = Engine(stream, settings_for(TRIM_HORIZON, max_records_per_trigger=100_000))
    for number in range(6):
        for shard in range(4):
            stream.put(shard, count=3)
        if number == 0:  # until a record was read, nobody knows how old the first one may be
            engine.step()
            continue
        stream.calls.clear()
        stream.clock.sleep(1)
        engine.planner.next_offset(_last(engine))
        assert all(
            stream.calls["page", shard] <= 1 and not stream.calls["iterator", shard]
            for shard in stream.shards
        )
        engine.step()


def _last(engine: Engine):
    return StreamOffset.from_json(json.loads(engine.ends[-1]))


@settings(HISTORIES, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    nasty=nastiness(ahead=True),
    past=st.lists(EVENTS, max_size=6),
    events=st.lists(EVENTS, max_size=8),
    start=STARTS,
    records=st.sampled_from([None, 1, 7, 100]),
    size_bytes=st.sampled_from([None, 1, 10_000]),
)
def test_limits_give_up_nothing(seed, nasty, past, events, start, records, size_bytes) -> None:
    """Exactly once, in order, parents first, replayable: with any limit."""
    with make_world(seed, nasty, past, events, start=start) as world:
        stream, engine = world
        engine.start_process(max_records_per_trigger=records, max_bytes_per_trigger=size_bytes)
        run_down(stream, engine, most_batches=3_000)
        engine.check_losses()
        engine.start_process()
        for batch in range(0, len(engine.ends), 1 + len(engine.ends) // 10):
            engine.replay(batch)


@given(
    wanted=st.dictionaries(st.text(max_size=3), st.floats(0, 1e6), min_size=1, max_size=20),
    total=st.floats(0.001, 1e6),
)
def test_shares_use_the_total_and_starve_nobody(wanted, total) -> None:
    shares = deal_shares(wanted, total)
    assert shares.keys() == wanted.keys()
    assert all(0 <= shares[name] <= wanted[name] for name in wanted)
    assert sum(shares.values()) <= total * 1.000001
    assert sum(shares.values()) >= min(total, sum(wanted.values())) * 0.999999
    even = total / len(wanted)
    assert all(shares[name] >= min(wanted[name], even) * 0.999999 for name in wanted)
