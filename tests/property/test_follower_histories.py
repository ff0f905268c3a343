"""Planning beside batches: slow and throttled shards, streams that begin, ends that race."""

from __future__ import annotations

from histories import HISTORIES
from hypothesis import given, settings
from hypothesis import strategies as st
from long_histories import OTHER, run_long, world_of
from simulated_runtime import FakeClock, SimulatedRuntime
from simulated_stream import Nastiness, Outage, SimulatedStream

from kinesis_source.model.positions import TRIM_HORIZON
from kinesis_source.options.settings import LATEST

POSITIONS = st.sampled_from([LATEST, TRIM_HORIZON])


@settings(HISTORIES, max_examples=8)
@given(
    seed=st.integers(0, 2**32),
    # limit: more slow shards than there are threads for calls do hold up others.
    ill=st.sampled_from(
        [("throttled", 1), ("throttled", 40), ("throttled", 70), ("slow", 1), ("slow", 40)]
    ),
    limit=st.sampled_from([None, 1_000]),
)
def test_slow_and_throttled_shards_hold_up_no_others(seed, ill, limit) -> None:
    """Of 80 shards; records in the healthy ones come within ten seconds, all are polled on."""
    stream = SimulatedStream(seed, Nastiness(latency_ms=30), shards=80)
    shard_ids = list(stream.shards)
    with world_of(
        stream, start=LATEST, poll_interval_ms=1_000, max_records_per_trigger=limit
    ) as world:
        engine = world.engine
        for _ in range(3):
            engine.go_on()
        now_s = stream.clock.now_s
        kind, bad = ill
        outage = Outage(kind, frozenset(shard_ids[:bad]), now_s, now_s + 90)
        stream.weather.outages.append(outage)
        stream.clock.sleep(2)
        for pick in range(80):
            stream.put(pick, 2)
        put_s = stream.clock.now_s
        healthy = shard_ids[bad:]
        polled = {shard_id: stream.driver_calls["page", shard_id] for shard_id in healthy}
        # A batch that reads a slow shard lasts as long as its slowest task.
        while kind == "throttled" and any(map(engine.unread().get, healthy)):
            engine.go_on()
            assert stream.clock.now_s - put_s < 10, f"unread: {sorted(engine.unread())}"
        stream.clock.sleep(max(0, put_s + 10 - stream.clock.now_s))
        unpolled = [s for s in healthy if stream.driver_calls["page", s] - polled[s] < 3]
        assert not unpolled, f"polled less than thrice in ten seconds: {unpolled}"
        run_long(world, [])


@settings(HISTORIES, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    is_added=st.booleans(),
    is_available_now=st.booleans(),
    start=POSITIONS,
    empty_page=st.sampled_from([0.0, 0.3]),
    records=st.integers(0, 30),
)
def test_a_stream_that_begins_later_is_resolved_once(
    seed, is_added, is_available_now, start, empty_page, records
) -> None:
    """Added to the options, or created again; calls stay within limits."""
    nasty = Nastiness(empty_page=empty_page, latency_ms=30)
    first = SimulatedStream(seed, nasty, shards=2)
    other = SimulatedStream(seed + 1, nasty, first.clock, 1, OTHER.key)
    with world_of(first, other, start=start, fail_on_data_loss=is_added) as world:
        engine = world.engine
        if is_added:
            engine.start_process(streams=engine.settings.streams[:1])
        for pick in range(3):
            first.put(pick, records)
            other.put(0, records)
            engine.go_on()
        if not is_added:
            other = world.account.recreate(OTHER.key)
        first.clock.sleep(5)
        other.put(0, records)
        engine.is_available_now = is_available_now
        engine.start_process(streams=(engine.settings.streams[0], OTHER))
        began_s = first.clock.now_s
        for _ in range(20):
            if not engine.go_on() and is_available_now:
                break
        assert first.clock.now_s - began_s < 120
        engine.is_available_now = False
        engine.start_process()
        other.put(0, 2)
        run_long(world, [])
        assert any(stream is other for stream in engine.beginnings)


@settings(HISTORIES, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    expired=st.sampled_from([0.0, 0.3, 0.6]),
    late_ms=st.sampled_from([0, 500]),
    latency_ms=st.sampled_from([30, 400, 1_500]),
    moments_ms=st.lists(st.integers(0, 12_000), min_size=1, max_size=6),
    start=POSITIONS,
)
def test_a_shard_may_close_at_any_moment_of_a_poll(
    seed, expired, late_ms, latency_ms, moments_ms, start
) -> None:
    nasty = Nastiness(
        expired=expired, child_late_ms=late_ms, latency_ms=latency_ms, empty_page=0.1, late_end=0.5
    )
    stream = SimulatedStream(seed, nasty)
    stream.rates.most_driver_pages *= 2
    with world_of(
        stream, start=start, poll_interval_ms=1_000, shard_fetch_interval_ms=1_000
    ) as world:
        from_ms = stream.server_ms
        for n, moment_ms in enumerate(moments_ms):
            stream.at(from_ms + moment_ms, lambda n=n: stream.put(n, 3))
            stream.at(from_ms + moment_ms + 200, lambda n=n: stream.split(n))
        run_long(world, [("step", 0)] * 12)
        assert not world.engine.verdict.reports


def test_the_same_seed_gives_the_same_history() -> None:
    def history() -> tuple[object, ...]:
        nasty = Nastiness(empty_page=0.2, expired=0.2, child_late_ms=500, latency_ms=30)
        stream = SimulatedStream(7, nasty, shards=3)
        with world_of(stream, start=TRIM_HORIZON) as world:
            for n in range(8):
                stream.at(stream.server_ms + 700 * n, lambda n=n: stream.put(n, 5))
                stream.at(stream.server_ms + 900 * n, lambda n=n: stream.split(n))
            run_long(world, [("step", 0)] * 10)
            return world.engine.ends, world.engine.rows, stream.calls, stream.clock.now_s

    assert history() == history()


def test_a_query_that_is_stopped_makes_no_more_calls() -> None:
    stream = SimulatedStream(3, Nastiness(latency_ms=30), shards=5)
    with world_of(stream, start=LATEST) as world:
        for _ in range(3):
            world.engine.go_on()
        world.engine.planner.close()
        stream.clock.sleep(60)
        made = sum(stream.calls.values())
        stream.clock.sleep(600)
        assert sum(stream.calls.values()) == made


def test_a_world_where_nobody_can_go_on_is_an_error() -> None:
    clock = FakeClock()
    runtime = SimulatedRuntime(clock)
    stuck = runtime.submit(clock.rest)
    error = _error_of(lambda: clock.wait([stuck]))
    assert str(error) == "deadlock: everybody waits, and nothing is to come"
    clock.close()


def test_a_loop_that_never_waits_is_an_error() -> None:
    clock = FakeClock()
    runtime = SimulatedRuntime(clock)

    def spin() -> None:
        while True:
            runtime.sleep(0)

    runtime.spawn(spin)
    assert "time does not pass" in str(_error_of(lambda: clock.sleep(1)))
    clock.close()


def _error_of(call) -> BaseException:
    try:
        call()
    except AssertionError as error:
        return error
    raise AssertionError("no error")
