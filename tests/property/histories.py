"""What the generated histories are made of: events, chances, actions, and a world to run in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from simulated_engine import Engine, settings_for
from simulated_history import DAY_MS
from simulated_stream import Nastiness, SimulatedShard, SimulatedStream

from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp
from kinesis_source.options.settings import LATEST

__all__ = [
    "ACTIONS",
    "CHANCES",
    "EVENTS",
    "HISTORIES",
    "MOST_BATCHES",
    "STARTS",
    "Event",
    "World",
    "act",
    "check_start",
    "initial_position",
    "make_world",
    "nastiness",
    "run_to_the_end",
    "schedule",
]

HISTORIES = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
MOST_BATCHES = 2_000
STARTS = st.sampled_from(["latest", "trim_horizon", "timestamp"])


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


def nastiness(*, ahead: bool, **more: st.SearchStrategy[object]) -> st.SearchStrategy[Nastiness]:
    """Draw chances; with ``ahead``, also arrival times that no moment can be told from."""
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
        **more,  # type: ignore[arg-type]
    )


def schedule(stream: SimulatedStream, events: Iterable[Event]) -> int:
    """Turn events into what happens to the stream while its clock runs; return when it is over."""
    moment_ms = stream.server_ms
    for event in events:
        moment_ms += event.gap_ms
        _schedule_one(stream, event, moment_ms)
    return moment_ms


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
    """A stream, and a query that reads it. Ends with the block that it is made for."""

    stream: SimulatedStream
    engine: Engine

    def __enter__(self) -> World:  # noqa: PYI034 - not subclassed
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.clock.close()


def initial_position(start: str, moment_ms: int) -> object:
    return {
        "latest": LATEST,
        "trim_horizon": TRIM_HORIZON,
        "timestamp": AtTimestamp(moment_ms),
    }[start]


def make_world(
    seed: int,
    nasty: Nastiness,
    past: list[Event],
    events: list[Event],
    *,
    start: str,
    poll_interval_ms: int = 1_000,
) -> World:
    """Return a stream with a past, a future that is scheduled, and a query that is not started.

    One seed in four lets the retention end in the middle of the past.
    """
    stream = SimulatedStream(seed, nasty, shards=1 + seed % 3)
    began_ms = stream.server_ms
    past_ms = schedule(stream, past)
    middle_ms = (began_ms + past_ms) // 2
    # What happened long ago is shown by every listing.
    now_ms = middle_ms + DAY_MS if seed % 4 == 0 else past_ms + 20_000
    stream.clock.sleep((now_ms - stream.server_ms) / 1000)
    schedule(stream, events)
    if poll_interval_ms < 1_000:  # a poll makes two GetRecords at most, and more where pages lie
        stream.rates.most_driver_pages *= 1_000 // poll_interval_ms
    read = settings_for(
        initial_position(start, min(middle_ms, stream.server_ms)),
        poll_interval_ms=poll_interval_ms,
        max_records_per_fetch=10_000 if seed % 3 else 50,
        shard_fetch_interval_ms=1_000 if seed % 2 else 10_000,
    )
    return World(stream, Engine(stream, read))


def check_start(world: World, start: str) -> None:
    """Check that the query began where it was told to."""
    stream, engine = world
    beginning = engine.beginnings[stream]
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
        part = slice(beginning.trimmed.get(shard.shard_id, 0), first)
        skipped = zip(shard.arrivals[part], shard.puts[part], strict=True)
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
    engine.check_losses()


def act(world: World, action: str) -> None:
    stream, engine = world
    if action == "restart":
        engine.stop()
    elif action == "replay" and engine.ends:
        engine.replay(len(engine.ends) - 1)
    elif action == "restart and replay" and engine.ends:
        engine.start_process()
        engine.replay(len(engine.ends) - 1)
    elif action == "pause":
        stream.clock.sleep(400)
    engine.go_on(crashes=action == "crash")


ACTIONS = st.lists(
    st.sampled_from(
        ["step", "step", "step", "restart", "crash", "replay", "restart and replay", "pause"]
    ),
    max_size=12,
)
