"""Right at the edge of the retention: what is there is read, what fell out is reported, no more.

Focused generators; :mod:`test_loss_histories` has the general one. The verdict is that of
:mod:`simulated_verdict`.
"""

from __future__ import annotations

from histories import HISTORIES
from hypothesis import given, settings
from hypothesis import strategies as st
from long_histories import HOUR_MS, LongWorld, run_long, world_of
from simulated_history import DAY_MS
from simulated_stream import Nastiness, SimulatedStream

from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp
from kinesis_source.options.settings import LATEST

MINUTE_S = 60
HOUR_S = 3_600

WORLDS = st.builds(
    Nastiness,
    empty_page=st.sampled_from([0.0, 0.0, 0.05]),
    latency_ms=st.sampled_from([1, 30]),
    clock_late_ms=st.sampled_from([0, 1_000]),
    trim_late_ms=st.sampled_from([0, 0, 300_000]),
    empty_behind_trimmed=st.booleans(),
)


def put_evenly(stream: SimulatedStream, count: int, gap_s: float, size: int = 100) -> None:
    """Put records now, one after the other, into the first shard."""
    for _ in range(count):
        stream.put(0, 1, size)
        stream.clock.sleep(gap_s)


def wait_until_old(stream: SimulatedStream, left_s: float) -> None:
    """Let time pass until the oldest record of the first shard has so long to live."""
    oldest_ms = next(iter(stream.shards.values())).arrivals[0]
    stream.clock.sleep((oldest_ms + stream.retention_ms - stream.server_ms) / 1000 + left_s * -1)


@settings(HISTORIES, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    nasty=WORLDS,
    count=st.integers(1, 10),
    size=st.sampled_from([100, 600_000, 1_000_000]),
    gap_s=st.sampled_from([0.001, 1.0, 60.0]),
    left_s=st.sampled_from([1, 30, 5 * MINUTE_S, 9 * MINUTE_S, 20 * MINUTE_S]),
    page_records=st.sampled_from([1, 10_000]),
    is_moment=st.booleans(),
)
def test_a_read_from_the_horizon_gets_on(
    seed, nasty, count, size, gap_s, left_s, page_records, is_moment
) -> None:
    stream = SimulatedStream(seed, nasty)
    first_ms = stream.server_ms
    put_evenly(stream, count, gap_s, size)
    wait_until_old(stream, left_s)
    start = AtTimestamp(first_ms) if is_moment else TRIM_HORIZON
    with world_of(stream, start=start, max_records_per_fetch=page_records) as world:
        run_long(world, [])
        pages = stream.calls["page", "shardId-000000000000"]
        assert pages <= 60 + 6 * count, f"{pages} GetRecords for {count} records"


@settings(HISTORIES, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    nasty=WORLDS,
    count=st.integers(2, 30),
    gap_s=st.sampled_from([1.0, 30.0, 10.0 * MINUTE_S]),
    left_s=st.sampled_from([30, 5 * MINUTE_S, HOUR_S]),
    delay_s=st.sampled_from([0, 30, 10 * MINUTE_S, 2 * HOUR_S, 25 * HOUR_S]),
    is_moment=st.booleans(),
    fails=st.booleans(),
    crashes=st.booleans(),
)
def test_rows_that_fall_out_between_plan_and_run_are_reported(
    seed, nasty, count, gap_s, left_s, delay_s, is_moment, fails, crashes
) -> None:
    stream = SimulatedStream(seed, nasty)
    first_ms = stream.server_ms
    put_evenly(stream, count, gap_s)
    wait_until_old(stream, left_s)
    start = AtTimestamp(first_ms) if is_moment else TRIM_HORIZON
    with world_of(stream, start=start, fail_on_data_loss=fails) as world:
        world.engine.go_on(crashes=crashes, delay_s=delay_s)
        run_long(world, [("late", delay_s * 1000)])


@settings(HISTORIES, max_examples=50)
@given(
    seed=st.integers(0, 2**32),
    nasty=WORLDS,
    days=st.sampled_from([1, 1, 2, 7]),
    idle_h=st.sampled_from([0, 0, 5, 30]),
    lowers=st.sampled_from(["no", "running", "down"]),
    downtimes=st.lists(st.sampled_from([0.3, 0.76, 0.8, 0.94, 1.05, 1.5]), max_size=3),
    puts=st.sampled_from(["before", "after", "while down", "none"]),
    start=st.sampled_from([LATEST, TRIM_HORIZON]),
    fails=st.booleans(),
)
def test_quiet_shards_are_no_loss(
    seed, nasty, days, idle_h, lowers, downtimes, puts, start, fails
) -> None:
    """Down for most of the retention, idle for longer than all of it, with another retention."""
    stream = SimulatedStream(seed, nasty, shards=2)
    stream.set_retention(days * DAY_MS)
    with world_of(stream, start=start, fail_on_data_loss=fails) as world:
        engine = world.engine
        engine.go_on()
        if puts != "none":
            stream.put(0, 3)
        for _ in range(3):
            engine.go_on()
        idle(world, idle_h)
        if lowers == "running":
            stream.set_retention(DAY_MS)
            idle(world, 1)
        for share in downtimes:
            if puts == "before":
                stream.put(0, 1)
                engine.go_on()
            down_s = share * stream.retention_ms / 1000
            if puts == "while down":
                stream.at(stream.server_ms + int(down_s * 500), lambda: stream.put(0, 2))
            if lowers == "down":
                stream.at(stream.server_ms + HOUR_MS, lambda: stream.set_retention(DAY_MS))
            engine.stop(down_s)
            if puts == "after":
                stream.put(0, 1)
            engine.go_on()
        stream.put(0, 1)
        run_long(world, [])


def idle(world: LongWorld, hours: int) -> None:
    """Let the query run, asked by its trigger every hour."""
    for _ in range(hours):
        world.engine.go_on()
        world.account.clock.sleep(HOUR_S)
