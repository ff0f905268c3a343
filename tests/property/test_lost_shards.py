"""Shards that expire one by one, before their children were read; and replies that deny a shard."""

from __future__ import annotations

from histories import HISTORIES
from hypothesis import given, settings
from hypothesis import strategies as st
from long_histories import HOUR_MS, LongEvent, run_long, schedule_long, world_of
from simulated_stream import Nastiness, SimulatedStream

from kinesis_source.model.positions import TRIM_HORIZON
from kinesis_source.options.settings import LATEST

GAPS_MS = st.sampled_from([0, 60_000, HOUR_MS, 5 * HOUR_MS, 11 * HOUR_MS])
LINEAGE = st.lists(
    st.builds(
        LongEvent,
        gap_ms=GAPS_MS,
        kind=st.sampled_from(["put", "put", "split", "merge"]),
        pick=st.integers(0, 3),
        count=st.integers(1, 4),
    ),
    min_size=1,
    max_size=8,
)


@settings(HISTORIES, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    nasty=st.builds(
        Nastiness,
        child_late_ms=st.sampled_from([0, 4_000, 60_000]),
        trim_late_ms=st.sampled_from([0, 600_000]),
        latency_ms=st.sampled_from([1, 30]),
        empty_behind_trimmed=st.booleans(),
    ),
    shards=st.integers(1, 2),
    before=LINEAGE,
    steps=st.integers(1, 6),
    while_down=LINEAGE,
    down_h=st.sampled_from([1, 12, 20, 25, 30, 49]),
    fails=st.booleans(),
    start=st.sampled_from([LATEST, TRIM_HORIZON]),
)
def test_what_expired_before_its_children_were_read_is_reported(
    seed, nasty, shards, before, steps, while_down, down_h, fails, start
) -> None:
    """The query stops where a parent is at its end and its children are not yet in the offset."""
    stream = SimulatedStream(seed, nasty, shards=shards)
    read = {"fail_on_data_loss": fails, "shard_fetch_interval_ms": 5_000}
    with world_of(stream, start=start, **read) as world:
        engine = world.engine
        engine.go_on()
        stream.put(0, 2)
        stream.split(0)
        stream.put(1, 40)
        for _ in range(steps):
            engine.go_on()
            if engine.finished_in:
                break
        schedule_long(stream, before[:3])
        schedule_long(stream, while_down)
        engine.stop(down_h * 3_600)
        run_long(world, [])


@settings(HISTORIES, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    latency_ms=st.sampled_from([1, 30]),
    after_s=st.lists(st.floats(0, 20), min_size=1, max_size=5),
    calls=st.sampled_from([1, 1, 2]),
    page_records=st.sampled_from([1, 5, 10_000]),
    fails=st.booleans(),
    splits=st.booleans(),
    start=st.sampled_from([LATEST, TRIM_HORIZON]),
)
def test_one_answer_that_contradicts_the_others_is_no_loss(
    seed, latency_ms, after_s, calls, page_records, fails, splits, start
) -> None:
    stream = SimulatedStream(seed, Nastiness(latency_ms=latency_ms), shards=2)
    stream.put(0, 35)
    stream.put(1, 5)
    with world_of(
        stream, start=start, fail_on_data_loss=fails, max_records_per_fetch=page_records
    ) as world:
        world.engine.go_on()
        from_ms = stream.server_ms
        for n, seconds in enumerate(after_s):
            at_ms = from_ms + int(seconds * 1000)
            stream.at(at_ms, lambda n=n: stream.put(n, 3))
            shard_id = f"shardId-{(seed + n) % 2:012d}"
            stream.at(at_ms, lambda s=shard_id: stream.weather.contradict_next(s, calls))
        if splits:
            stream.at(from_ms + 7_000, lambda: stream.split(0))
        run_long(world, [("step", 0)] * 20)
        assert not world.engine.verdict.reports
