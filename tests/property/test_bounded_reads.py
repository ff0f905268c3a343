"""A bounded read gives what lies between its ends, once, whatever the stream went through.

The simulated stream, the planner and the reader of production; virtual time.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter

from histories import HISTORIES
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_engine import STREAM, settings_for
from simulated_runtime import SimulatedRuntime, close_worlds
from simulated_stream import Nastiness, SimulatedStream

from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.settings import (
    LATEST,
    BoundedSettings,
    NumberedRecord,
    ShardStarts,
    StreamStarts,
)
from kinesis_source.plan.bounded import FILTER_MARGIN_MS, plan_bounded
from kinesis_source.plan.selection import EVERYTHING, Selection
from kinesis_source.read.shard_reader import ShardReader

WORLDS = st.builds(
    Nastiness,
    empty_page=st.sampled_from([0.0, 0.1]),
    short_page=st.sampled_from([0.0, 0.3]),
    expired=st.sampled_from([0.0, 0.05]),
    late_end=st.sampled_from([0.0, 1.0]),
    latency_ms=st.sampled_from([1, 40]),
)
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "split", "merge", "wait"]),
        st.integers(0, 7),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=25,
)


def play(stream: SimulatedStream, actions: list[tuple[str, int, int]]) -> list[int]:
    """Let writers write; return the moments between."""
    moments = [stream.server_ms]
    for action, pick, count in actions:
        if action == "put":
            stream.put(pick, count)
        elif action == "wait":
            stream.clock.sleep(count * 20.0)
        else:
            getattr(stream, action)(pick)
        stream.clock.sleep(0.5)
        moments.append(stream.server_ms)
    stream.clock.sleep(2.0)
    return moments


def plan(
    stream: SimulatedStream, bounded: BoundedSettings, selection: Selection = EVERYTHING
) -> list[tuple[ShardRange, ...]]:
    return plan_bounded(
        stream,
        settings_for(TRIM_HORIZON, loaded_ms=time.time_ns() // 1_000_000),
        bounded,
        stream.describe,
        selection=selection,
        runtime=SimulatedRuntime(stream.clock),
    )


def read(stream: SimulatedStream, tasks: list[tuple[ShardRange, ...]]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for task in tasks:
        for shard_range in task:
            reader = ShardReader(
                stream,
                STREAM,
                shard_range,
                settings_for(TRIM_HORIZON),
                monotonic=stream.clock.monotonic,
                sleep=stream.clock.sleep,
            )
            for page in reader.pages():
                rows.setdefault(shard_range.shard_id, []).extend(map(int, page.sequence_numbers))
    return rows


def between(stream: SimulatedStream, start_ms: int, end_ms: int) -> dict[str, list[int]]:
    """Return what arrived from one moment on and before another."""
    wanted = {}
    for shard in stream.shards.values():
        first, stop = bisect_left(shard.arrivals, start_ms), bisect_left(shard.arrivals, end_ms)
        if first < stop:
            wanted[shard.shard_id] = shard.numbers[first:stop]
    return wanted


@settings(HISTORIES, max_examples=120)
@given(seed=st.integers(0, 2**32), nasty=WORLDS, actions=ACTIONS, shards=st.integers(1, 3))
def test_all_that_is_there_is_read_once_and_nothing_that_comes_later(
    seed, nasty, actions, shards
) -> None:
    stream = SimulatedStream(seed, nasty, shards=shards)
    try:
        play(stream, actions)
        wanted = between(stream, 0, stream.server_ms)
        for n in range(30):  # what comes while the read is planned, and while it runs
            stream.at(stream.server_ms + 1_000 + 200 * n, lambda n=n: stream.put(n, 2))
        tasks = plan(stream, BoundedSettings())
        stream.clock.sleep(10)
        assert read(stream, tasks) == wanted
        assert read(stream, tasks) == wanted, "a task that is run again"
    finally:
        close_worlds()


@settings(HISTORIES, max_examples=120)
@given(
    seed=st.integers(0, 2**32),
    nasty=WORLDS,
    actions=ACTIONS,
    ends=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    parts=st.sampled_from([None, 2, 7]),
)
def test_what_arrived_between_two_moments_is_read(seed, nasty, actions, ends, parts) -> None:
    stream = SimulatedStream(seed, nasty, shards=2)
    try:
        moments = play(stream, actions)
        start_ms, end_ms = sorted(moments[at % len(moments)] for at in ends)
        if start_ms == end_ms:
            end_ms += 1
        bounded = BoundedSettings(AtTimestamp(start_ms), AtTimestamp(end_ms), parts)
        tasks = plan(stream, bounded)
        assert read(stream, tasks) == between(stream, start_ms, end_ms)
    finally:
        close_worlds()


@settings(HISTORIES, max_examples=60)
@given(seed=st.integers(0, 2**32), nasty=WORLDS, actions=ACTIONS, data=st.data())
def test_places_of_shards_begin_a_read(seed, nasty, actions, data) -> None:
    stream = SimulatedStream(seed, nasty, shards=2)
    try:
        play(stream, actions)
        before = {key: list(shard.numbers) for key, shard in stream.shards.items()}
        named = {}
        for key, shard in stream.shards.items():
            if shard.numbers and shard.closed_ms is None:
                index = data.draw(st.integers(0, len(shard.numbers) - 1))
                is_read = data.draw(st.booleans())
                named[key] = NumberedRecord(str(shard.numbers[index]), is_read=is_read)
                before[key] = shard.numbers[: index + is_read]
        if not named:
            return
        starts = StreamStarts((("s", ShardStarts(tuple(sorted(named.items())))),))
        tasks = plan(stream, BoundedSettings(starts, LATEST))
        got = read(stream, tasks)
        passed = {parent for key in named for parent in _ancestors(stream, key)}
        for key, shard in stream.shards.items():
            wanted = [] if key in passed else shard.numbers
            if key in named:
                wanted = shard.numbers[len(before[key]) :]
            assert got.get(key, []) == wanted, key
    finally:
        close_worlds()


@settings(HISTORIES, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    actions=ACTIONS,
    at=st.integers(0, 30),
)
def test_a_time_filter_leaves_out_nothing_that_it_lets_through(seed, actions, at) -> None:
    nasty = Nastiness(disorder_back_ms=300, disorder_ahead_ms=300)
    stream = SimulatedStream(seed, nasty, shards=2)
    try:
        moments = play(stream, actions)
        since_ms = moments[at % len(moments)]
        selection = Selection(since_ms=since_ms, until_ms=since_ms + 3_000)
        got = read(stream, plan(stream, BoundedSettings(), selection))
        for shard in stream.shards.values():
            counts = Counter(got.get(shard.shard_id, []))
            assert not counts or max(counts.values()) == 1
            for number, arrival in zip(shard.numbers, shard.arrivals, strict=True):
                if since_ms <= arrival <= since_ms + 3_000:
                    assert counts[number] == 1
                if not since_ms - 2 * FILTER_MARGIN_MS <= arrival <= since_ms + 20_000:
                    assert not counts[number], "far outside, and read"
    finally:
        close_worlds()


def _ancestors(stream: SimulatedStream, shard_id: str) -> set[str]:
    found, pending = set(), [shard_id]
    while pending:
        for parent in stream.shards[pending.pop()].parents:
            if parent not in found:
                found.add(parent)
                pending.append(parent)
    return found
