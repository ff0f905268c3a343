"""Histories of hours and days: retention, downtime, late tasks, outages; and how to run them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from histories import Event, initial_position, nastiness
from hypothesis import strategies as st
from simulated_account import SimulatedAccount
from simulated_engine import Engine, settings_for
from simulated_history import DAY_MS
from simulated_stream import Nastiness, Outage, SimulatedStream

from kinesis_source.options.settings import StreamSettings

__all__ = [
    "HOUR_MS",
    "LONG_ACTIONS",
    "LONG_EVENTS",
    "LONG_NASTINESS",
    "OTHER",
    "LongEvent",
    "LongWorld",
    "make_long_world",
    "run_long",
    "schedule_long",
    "world_of",
]

HOUR_MS = 3_600_000
OTHER = StreamSettings("t", "t")
IDLE_STEPS = 4
MOST_STEPS = 150

LONG_NASTINESS = nastiness(
    ahead=True,
    contradicting=st.sampled_from([0.0, 0.0, 0.02]),
    trim_late_ms=st.sampled_from([0, 0, 30_000, 600_000]),
    empty_behind_trimmed=st.sampled_from([False, False, True]),
)


class LongEvent(NamedTuple):
    """What writers or operators do to a stream, ``gap_ms`` after the event before."""

    gap_ms: int
    kind: str
    pick: int
    count: int


LONG_EVENTS = st.builds(
    LongEvent,
    gap_ms=st.sampled_from(
        [0, 1_000, 60_000, HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS, 20 * HOUR_MS, 23 * HOUR_MS]
    ),
    kind=st.sampled_from(
        [*["put"] * 4, *["split"] * 2, "merge", "quiet", "raise", "lower", "throttled", "slow"]
    ),
    pick=st.integers(0, 7),
    count=st.integers(1, 8),
)

LONG_ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["step", "step", "step", "crash", "kill", "replay", "down", "down", "late", "wait"]
        ),
        st.sampled_from(
            [60_000, HOUR_MS, 10 * HOUR_MS, 19 * HOUR_MS, 22 * HOUR_MS, 25 * HOUR_MS, 30 * HOUR_MS]
        ),
    ),
    max_size=10,
)


def schedule_long(stream: SimulatedStream, events: list[LongEvent]) -> int:
    """Turn events into what happens to the stream; return when it is over."""
    at_ms = stream.server_ms
    for event in events:
        at_ms += event.gap_ms
        if event.kind == "raise":
            stream.at(at_ms, lambda n=event.count: stream.set_retention(DAY_MS * (1 + n)))
        elif event.kind == "lower":
            stream.at(at_ms, lambda: stream.set_retention(DAY_MS))
        elif event.kind in ("throttled", "slow"):
            _schedule_outage(stream, event, at_ms)
        else:
            schedule_one = Event(0, event.kind, event.pick, event.count, 500)
            _at(stream, schedule_one, at_ms)
    return at_ms


def _at(stream: SimulatedStream, event: Event, at_ms: int) -> None:
    def put() -> None:
        stream.put(event.pick, event.count, event.size, at_ms)

    actions = {
        "put": put,
        "split": lambda: stream.split(event.pick),
        "merge": lambda: stream.merge(event.pick),
    }
    stream.at(at_ms, actions.get(event.kind, lambda: None))


def _schedule_outage(stream: SimulatedStream, event: LongEvent, at_ms: int) -> None:
    def begin() -> None:
        shard_ids = sorted(stream.shards)[event.pick % 2 :: 2]
        now_s = stream.clock.now_s
        until_s = now_s + 100.0 * event.count
        stream.weather.outages.append(Outage(event.kind, frozenset(shard_ids), now_s, until_s))

    stream.at(at_ms, begin)


@dataclass
class LongWorld:
    """Streams, and a query that reads them, for days."""

    streams: list[SimulatedStream]
    account: SimulatedAccount
    engine: Engine

    def __enter__(self) -> LongWorld:  # noqa: PYI034 - not subclassed
        return self

    def __exit__(self, *_: object) -> None:
        self.account.clock.close()

    @property
    def is_quiet(self) -> bool:
        return all(stream.is_quiet for stream in self.account.streams.values())


def world_of(*streams: SimulatedStream, start: object = None, **changes: object) -> LongWorld:
    """Return a query of streams that share a clock, not started."""
    account = SimulatedAccount(streams)
    changes = {"poll_interval_ms": 2_000, "shard_fetch_interval_ms": 60_000, **changes}
    settings = settings_for(start, **changes)
    named = tuple(StreamSettings(stream.key, stream.key) for stream in streams)
    return LongWorld(list(streams), account, Engine(account, replace(settings, streams=named)))


def make_long_world(
    seed: int,
    nasty: Nastiness,
    past: list[LongEvent],
    events: list[LongEvent],
    *,
    start: str,
    fails: bool,
    is_double: bool,
) -> LongWorld:
    """Return a stream, or two, with a past and a future, and a query that is not started."""
    stream = SimulatedStream(seed, nasty, shards=1 + seed % 2)
    streams = [stream]
    if is_double:
        streams.append(SimulatedStream(seed + 1, nasty, stream.clock, 1, OTHER.key))
    began_ms, over_ms = stream.server_ms, stream.server_ms
    for each in streams:
        over_ms = max(over_ms, schedule_long(each, past))
    stream.clock.sleep((over_ms - began_ms) / 1000 + 10)
    for each in streams:
        schedule_long(each, events)
    return world_of(
        *streams,
        start=initial_position(start, max(began_ms, stream.server_ms - 2 * HOUR_MS)),
        max_records_per_fetch=10_000 if seed % 3 else 1,
        fail_on_data_loss=fails,
    )


def act_long(world: LongWorld, action: str, ms: int) -> None:
    """Do what happens to a query."""
    engine, seconds = world.engine, ms / 1000
    if action == "kill":
        engine.start_process()
    elif action == "replay" and engine.rows and len(engine.ends) == len(engine.rows):
        engine.start_process()
        engine.replay(len(engine.rows) - 1)
    elif action == "down":
        engine.stop(seconds)
    elif action == "wait":
        world.account.clock.sleep(seconds)
    engine.go_on(crashes=action == "crash", delay_s=seconds if action == "late" else 0.0)


def run_long(world: LongWorld, actions: list[tuple[str, int]]) -> None:
    """Run batches until the writers are done, all is read, and what was lost is reported.

    Between batches the query rests as a trigger lets it: sometimes seconds, sometimes hours.
    """
    engine, random = world.engine, world.streams[0].random
    for number in range(MOST_STEPS):
        if number < len(actions):
            act_long(world, *actions[number])
        elif engine.go_on():
            continue
        elif world.is_quiet and engine.is_settled():
            break
        elif not world.is_quiet:
            world.account.clock.sleep(random.choice([30, 600, 3_600, 8 * 3_600]))
    else:
        raise AssertionError(f"no end after {MOST_STEPS} batches: {engine.unread()}")
    for _ in range(IDLE_STEPS):
        engine.go_on()
    engine.check_losses()
