"""Thousands of generated histories of a stream that is as nasty as AWS's documentation allows.

The planner and the reader are driven as Spark drives them; :mod:`simulated_engine` checks every
batch (invariants 1 to 6), this file checks the whole: nothing missing, and an end in good time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_engine import Engine, settings_for
from simulated_stream import Nastiness, SerialExecutor, SimulatedShard, SimulatedStream

from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp
from kinesis_source.options.settings import LATEST
from kinesis_source.plan import micro_batches

HISTORIES = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
MOST_BATCHES = 2_000


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(micro_batches, "ThreadPoolExecutor", SerialExecutor)
        yield


class Event(NamedTuple):
    """What writers or operators do, ``gap_ms`` after the event before."""

    gap_ms: int
    kind: str
    pick: int
    count: int
    size: int


GAPS = st.sampled_from([0, 1, 40, 300, 1_000, 2_500, 20_000])
SIZES = st.sampled_from([1, 100, 1_000, 60_000, 1_048_576])
EVENTS = st.builds(
    Event,
    gap_ms=GAPS,
    kind=st.sampled_from(
        ["put", "put", "put", "burst", "trickle", "full rate", "split", "split", "merge", "quiet"]
    ),
    pick=st.integers(0, 7),
    count=st.integers(1, 20),
    size=SIZES,
)
CHANCES = st.sampled_from([0.0, 0.0, 0.05, 0.3])


def nastiness(*, ahead: bool) -> st.SearchStrategy[Nastiness]:
    return st.builds(
        Nastiness,
        empty_page=CHANCES,
        short_page=CHANCES,
        behind_at_tip=CHANCES,
        expired=CHANCES,
        damaged=CHANCES,
        late_end=CHANCES,
        repeated=CHANCES,
        disorder_back_ms=st.sampled_from([0, 0, 30, 1_500]),
        disorder_ahead_ms=st.sampled_from([0, 0, 30, 1_500]) if ahead else st.just(0),
        arrival_grain_ms=st.sampled_from([1, 1, 100, 1_000]) if ahead else st.just(1),
        stale_listing=CHANCES,
        stale_ms=st.sampled_from([200, 3_000]),
        child_late_ms=st.sampled_from([0, 0, 500, 4_000]),
        latency_ms=st.sampled_from([1, 30]),
        clock_late_ms=st.sampled_from([0, 1_000]),
    )


def schedule(stream: SimulatedStream, events: list[Event]) -> None:
    """Turn events into what happens to the stream while its clock runs."""
    moment_ms = stream.server_ms
    for event in events:
        moment_ms += event.gap_ms
        _schedule_one(stream, event, moment_ms)


def _schedule_one(stream: SimulatedStream, event: Event, at_ms: int) -> None:
    _, kind, pick, count, size = event

    def put(when_ms: int, records: int, record_bytes: int) -> None:
        stream.at(when_ms, lambda: stream.put(pick, records, record_bytes, when_ms))

    if kind == "put":
        put(at_ms, count, size)
    elif kind == "burst":
        put(at_ms, min(count * 100, 5_000_000 // size + 1), size)
    elif kind == "trickle":
        for n in range(count):
            put(at_ms + n * 350, 1, size)
    elif kind == "full rate":
        for n in range(20):
            put(at_ms + n * 50, 50, min(size, 1_000))
    elif kind == "split":
        stream.at(at_ms, lambda: stream.split(pick))
    elif kind == "merge":
        stream.at(at_ms, lambda: stream.merge(pick))


class World(NamedTuple):
    stream: SimulatedStream
    engine: Engine


def make_world(
    seed: int,
    nasty: Nastiness,
    past: list[Event],
    events: list[Event],
    *,
    start: str,
    poll_interval_ms: int = 1_000,
) -> World:
    """Return a stream with a past, a future that is scheduled, and a query that is not started."""
    stream = SimulatedStream(seed, nasty, shards=1 + seed % 3)
    schedule(stream, past)
    trim = seed % 4 == 0
    middle_ms = stream.server_ms + sum(event.gap_ms for event in past) // 2
    if trim:
        stream.at(middle_ms, stream.hide_closed)
    while not stream.is_quiet:
        stream.clock.sleep(5)
        stream.catch_up()
    # What happened long ago is shown by every listing.
    stream.clock.sleep(10)
    schedule(stream, events)
    initial = {
        "latest": LATEST,
        "trim_horizon": TRIM_HORIZON,
        "timestamp": AtTimestamp(min(middle_ms, stream.server_ms)),
    }[start]
    read = settings_for(
        initial,
        poll_interval_ms=poll_interval_ms,
        max_records_per_fetch=10_000 if seed % 3 else 50,
        shard_fetch_interval_ms=1_000 if seed % 2 else 10_000,
    )
    return World(stream, Engine(stream, read))


def check_start(world: World, start: str) -> None:
    """Check that the query began where it was told to."""
    stream, engine = world
    first_ms = {
        "latest": engine.started_ms,
        "trim_horizon": 0,
        "timestamp": getattr(engine.settings.initial_position, "epoch_ms", 0),
    }[start]
    for shard in stream.shards.values():
        if shard.shard_id in stream.hidden:
            continue
        first = len(shard.numbers)
        if engine.is_in_scope(shard.shard_id):
            first = engine.first_index(shard)
        skipped = zip(shard.arrivals[:first], shard.puts[:first], strict=True)
        assert all(arrival < first_ms or put < first_ms for arrival, put in skipped), (
            f"{shard.shard_id}: records after the start were skipped"
        )


def looks_allowed(shard: SimulatedShard) -> int:
    """Return how many GetRecords of the driver may pass from the last write to the last bound.

    Calm, halving takes about 2 log2(30 s / 50 ms) = 18 polls; chance wastes a part of them. What
    arrived in one millisecond is walked through by 64 KiB, every second poll.
    """
    walks = sum(min(1.0, size / 65_536) for size in shard.sizes)
    return 150 + int(5 * walks)


def run_to_the_end(world: World, actions: list[str]) -> None:
    """Run batches until the writers are done and all is read."""
    stream, engine = world
    for number in range(MOST_BATCHES):
        act(world, actions[number % len(actions)] if actions and number < 60 else "step")
        if not stream.is_quiet:
            engine.looks.clear()
        elif engine.is_settled():
            break
    else:
        raise AssertionError(f"no end after {MOST_BATCHES} batches: {engine.unread()}")
    for shard_id, looks in engine.looks.items():
        assert looks <= looks_allowed(stream.shards[shard_id]), f"{looks} looks at {shard_id}"


def act(world: World, action: str) -> None:
    stream, engine = world
    if action == "restart":
        engine.start_process()
    elif action == "replay" and engine.ends:
        engine.replay(len(engine.ends) - 1)
    elif action == "restart and replay" and engine.ends:
        engine.start_process()
        engine.replay(len(engine.ends) - 1)
    elif action == "pause":
        stream.clock.sleep(400)
    engine.step(crashes=action == "crash")


ACTIONS = st.lists(
    st.sampled_from(
        ["step", "step", "step", "restart", "crash", "replay", "restart and replay", "pause"]
    ),
    max_size=12,
)


@settings(HISTORIES, max_examples=700)
@given(
    seed=st.integers(0, 2**32),
    nasty=nastiness(ahead=True),
    past=st.lists(EVENTS, max_size=6),
    events=st.lists(EVENTS, max_size=12),
    actions=ACTIONS,
    start=st.sampled_from(["latest", "trim_horizon", "timestamp"]),
    poll_interval_ms=st.sampled_from([200, 1_000, 5_000]),
)
def test_everything_is_read_exactly_once_and_in_order(
    seed, nasty, past, events, actions, start, poll_interval_ms
) -> None:
    world = make_world(seed, nasty, past, events, start=start, poll_interval_ms=poll_interval_ms)
    run_to_the_end(world, actions)
    check_start(world, start)
    # From then on silence has no news.
    for _ in range(3):
        assert not world.engine.step()
    # Any batch may be replayed, at any later time.
    world.engine.start_process()
    for batch in range(len(world.engine.ends)):
        world.engine.replay(batch)


@settings(HISTORIES, max_examples=700)
@given(
    seed=st.integers(0, 2**32),
    nasty=nastiness(ahead=False),
    past=st.lists(EVENTS, max_size=10),
    events=st.lists(EVENTS, max_size=8),
    batches_before=st.integers(0, 2),
    start=st.sampled_from(["latest", "trim_horizon", "timestamp"]),
)
def test_available_now_reads_what_was_there_and_ends(
    seed, nasty, past, events, batches_before, start
) -> None:
    world = make_world(seed, nasty, past, events, start=start)
    stream, engine = world
    for _ in range(batches_before):  # a run before this one
        engine.step()
    engine.start_process()
    before = {shard_id: len(shard.numbers) for shard_id, shard in stream.shards.items()}
    engine.planner.fix_target()
    latest_ms = stream.server_ms + micro_batches.CLOCK_GRAIN_MS
    batches_of_run = len(engine.ends)
    while engine.step():
        assert len(engine.ends) < MOST_BATCHES
    check_start(world, start)
    for shard_id, count in before.items():
        if shard_id in stream.hidden or not engine.is_in_scope(shard_id):
            continue
        shard = stream.shards[shard_id]
        read = engine.read_up_to.get(shard_id, engine.first_index(shard))
        assert read >= count, f"{shard_id}: {count - read} records that were there are unread"
    for batch in range(batches_of_run, len(engine.ends)):
        for shard_range in engine.ranges(batch):
            arrival = getattr(shard_range.end, "arrival_ms", 0)
            assert arrival <= latest_ms, "a bound that arrived after the target"
