"""Planning of many shards on the driver: what it costs, and how long batches wait for it.

The planner runs in this process alone, against a replay server that answers after 10 ms, as AWS
does, and refuses what AWS refuses. A batch is a pause of two seconds between two offsets. Offsets
make the way through JSON that they make in Spark.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from bench.measure._support import (
    assert_none_refused,
    calls_between,
    is_still_live,
    quantile,
    source_options,
    use_no_aws_settings,
)
from bench.replay import ReplayServer
from bench.report import Figure, figure_of, main, progress
from kinesis_source.aws.access import check_access
from kinesis_source.aws.api import Page
from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.model.offsets import StreamOffset
from kinesis_source.options.parse import parse_options
from kinesis_source.options.settings import StreamSettings
from kinesis_source.read.micro_batches import MicroBatchPlanner

LATENCY_MS: Final = 10.0
BATCH_S: Final = 2.0
POLL_S: Final = 1.0
SAMPLED: Final = 5
ONE_POLL_S: Final = 0.5
"""Calls for a shard that come nearer than this belong to one poll."""
SETTLED: Final = 3
"""So many polls after the start the steady state begins."""
WATCHDOG_S: Final = 180.0

_RECORDS_PER_S: Final = {"idle": 0.0, "trickle": 0.5, "full rate": 1_000.0}
_RECORD_BYTES: Final = 1_000


class _SampledApi(BotoStreamApi):
    """Notes when the calls for a few of the shards are made: polls are told apart by that."""

    sampled: dict[str, list[float]]

    def get_iterator(self, *arguments: Any, **rest: Any) -> str:
        """Return an iterator, see StreamApi."""
        self._note(*arguments[:2])
        return super().get_iterator(*arguments, **rest)

    def get_page(self, *arguments: Any, **rest: Any) -> Page:
        """Read one page, see StreamApi."""
        self._note(*arguments[:2])
        return super().get_page(*arguments, **rest)

    def _note(self, _stream: StreamSettings, shard_id: str) -> None:
        times = self.sampled.get(shard_id)
        if times is not None:
            times.append(time.monotonic())

    def polls(self, since_s: float, until_s: float) -> float:
        """Return how often each sampled shard was polled within a time, on average."""
        counts = []
        for times in self.sampled.values():
            within = [at for at in times if since_s <= at <= until_s]
            gaps = zip([float("-inf"), *within], within, strict=False)
            counts.append(sum(later - earlier > ONE_POLL_S for earlier, later in gaps))
        return statistics.mean(counts)


@dataclass
class Planned:
    """A planner that has started, and what its start took."""

    api: _SampledApi
    planner: MicroBatchPlanner
    offset: dict[str, Any]
    start_s: float
    first_s: float
    batch_0_bytes: int
    """Of batch 0's offset, which holds the resolved start too."""

    def next(self) -> bool:
        """Ask for the next offset as Spark does; say whether it is a new one."""
        start = StreamOffset.from_json(self.offset)
        end = self.planner.next_offset(start)
        if end is start:
            return False
        self.offset = json.loads(json.dumps(end.to_json()))
        return True

    @property
    def shards(self) -> dict[str, Any]:
        """The positions of the offset, by shard."""
        found: dict[str, Any] = self.offset["streams"]["events"]["shards"]
        return found


def serve(shards: int, load: str, seconds: int) -> ReplayServer:
    """Return a server that gets records from now on for so long, or has got its last one."""
    rate = _RECORDS_PER_S[load]
    return ReplayServer(
        shards=shards,
        latency_ms=LATENCY_MS,
        limits=True,
        record_bytes=_RECORD_BYTES,
        records_per_shard=int(rate * seconds) or 1_000,
        records_per_s=rate or 1_000.0,
        is_live=rate > 0,
    )


@contextmanager
def planning(server: ReplayServer) -> Iterator[Planned]:
    """Start a query from ``latest`` in the planner's protocol: start, offset of batch 0."""
    settings = parse_options(source_options(server.endpoint_url, initialPosition="latest"))
    api = _SampledApi(settings.client)
    count = server.settings.shards
    api.sampled = {f"shardId-{i * count // SAMPLED:012d}": [] for i in range(SAMPLED)}
    began_s = time.perf_counter()
    planner = MicroBatchPlanner(api, settings.read, lambda stream: check_access(api, stream))
    try:
        initial = planner.initial_offset()
        start_s = time.perf_counter() - began_s
        began_s = time.perf_counter()
        text = json.dumps(planner.next_offset(initial).to_json())
        first_s = time.perf_counter() - began_s
        yield Planned(api, planner, json.loads(text), start_s, first_s, len(text))
    finally:
        planner.close()
        api.close()


# -- steady state -------------------------------------------------------------------------------


@dataclass
class Steady:
    """What some batches' planning took."""

    waits_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    polls: float = 0.0
    server_cpu_s: float = 0.0
    calls: dict[str, int] = field(default_factory=dict)


def run_batches(planned: Planned, server: ReplayServer, polls: int) -> Steady:
    """Plan batches of two seconds until a shard was polled so often; empty offsets make none."""
    while planned.api.polls(0.0, time.monotonic()) < SETTLED:
        if planned.next():
            time.sleep(BATCH_S)
    found = Steady()
    before, cpu_s, since_s = server.stats(), time.process_time(), time.monotonic()
    while planned.api.polls(since_s, time.monotonic()) < polls:
        began_s = time.monotonic()
        is_batch = planned.next()
        found.waits_s.append(time.monotonic() - began_s)
        if is_batch:
            time.sleep(BATCH_S)
        assert time.monotonic() < since_s + WATCHDOG_S, "polls take too long"
    found.cpu_s = time.process_time() - cpu_s
    after, until_s = server.stats(), time.monotonic()
    assert is_still_live(server.settings), "the records ended before the measurement did"
    found.wall_s = until_s - since_s
    found.polls = planned.api.polls(since_s, until_s)
    found.calls = calls_between(before, after)
    found.server_cpu_s = after["cpu_s"] - before["cpu_s"]
    return found


def _steady_figures(shards: int, load: str, steady: Steady) -> list[Figure]:
    case = f"{shards:,} shards, {load}"
    calls = {
        operation: count / shards / steady.polls
        for operation, count in sorted(steady.calls.items())
        if operation != "ListShards"
    }
    is_1000 = shards == 1_000
    shown = ", ".join(f"{operation} {count:.2f}" for operation, count in calls.items())
    figures = [
        figure_of(
            f"{case}: CPU per poll",
            [steady.cpu_s / steady.polls],
            "s",
            target=2.0 if is_1000 else None,
            target_is="at most" if is_1000 else None,
            note=(
                f"{steady.polls:.0f} polls in {steady.wall_s:.0f} s with batches of {BATCH_S:.0f} s"
                f"; the server's CPU was {steady.server_cpu_s / steady.polls:.2f} s a poll"
            ),
        ),
        figure_of(
            f"{case}: calls per shard and poll",
            [sum(calls.values())],
            "calls",
            target={"idle": 1.05, "trickle": 2.0, "full rate": 2.0}[load],
            target_is="at most",
            note=f"{shown}; none refused; ListShards {steady.calls.get('ListShards', 0)} in all",
        ),
    ]
    if load != "idle":
        figures.insert(
            1,
            Figure(
                f"{case}: a batch waits for its offset",
                statistics.median(steady.waits_s),
                "s",
                spread=(min(steady.waits_s), max(steady.waits_s)),
                target=POLL_S if is_1000 else None,
                target_is="at most" if is_1000 else None,
                note=(
                    f"latestOffset after a batch of {BATCH_S:.0f} s, {len(steady.waits_s)} times; "
                    f"p90 {quantile(steady.waits_s, 0.9):.2f} s"
                ),
            ),
        )
    return figures


def measure_load(shards: int, load: str, *, polls: int, starts: int) -> list[Figure]:
    """Measure start and steady state with one kind of traffic."""
    progress(f"planning: {shards:,} shards, {load}")
    with serve(shards, load, 60 + polls * shards // 100) as server:
        start_s, first_s = [], []
        for attempt in range(starts):
            with planning(server) as planned:
                assert len(planned.shards) == shards
                start_s.append(planned.start_s)
                first_s.append(planned.first_s)
                if attempt == starts - 1:
                    steady = run_batches(planned, server, polls)
                    size = len(json.dumps(planned.offset))
                    batch_0_bytes = planned.batch_0_bytes
        assert_none_refused(server)
    figures = [
        figure_of(
            f"{shards:,} shards, {load}: start of the query",
            start_s,
            "s",
            note="initialOffset with client and access check, from latest",
        ),
        figure_of(
            f"{shards:,} shards, {load}: offset of the first batch",
            first_s,
            "s",
            note="latestOffset, each shard asked for the first time",
        ),
        *_steady_figures(shards, load, steady),
    ]
    if load == "full rate":
        note = f"each shard behind a record; batch 0, with the start, has {batch_0_bytes:,} bytes"
        figures.append(Figure(f"{shards:,} shards: size of the offset", size, "bytes", note=note))
    return figures


# -- resharding ---------------------------------------------------------------------------------


def measure_resharding(shards: int) -> list[Figure]:
    """Split all shards at once, and wait until the offset has a position in each child."""
    progress(f"planning: {shards:,} shards become {2 * shards:,}")
    with (
        serve(shards, "trickle", 300) as server,
        planning(server) as planned,
    ):
        planned.next()
        before = server.stats()
        server.reshard()
        began_s = time.monotonic()
        children = {f"shardId-{index:012d}" for index in range(shards, 3 * shards)}
        batches = 0
        while not children <= planned.shards.keys():
            batches += planned.next()
            assert time.monotonic() < began_s + 2 * WATCHDOG_S, "the children do not come"
        took_s = time.monotonic() - began_s
        calls = calls_between(before, server.stats())
        assert_none_refused(server)
    shown = ", ".join(f"{operation} {count:,}" for operation, count in sorted(calls.items()))
    return [
        Figure(
            f"{shards:,} shards are split: positions in all children",
            took_s,
            "s",
            note=f"in {batches} empty batches, trickle; listing every 10 s; calls: {shown}",
        ),
        Figure(
            f"{shards:,} shards are split: calls per child until then",
            sum(calls.values()) / (2 * shards),
            "calls",
            note="all operations",
        ),
    ]


def measure(quick: bool) -> list[Figure]:
    """Return what planning costs."""
    use_no_aws_settings()
    if quick:
        return [
            *measure_load(1_000, "full rate", polls=3, starts=1),
            *measure_load(1_000, "idle", polls=3, starts=1),
        ]
    figures = []
    for load in _RECORDS_PER_S:
        figures += measure_load(1_000, load, polls=11, starts=3)
    figures += measure_load(5_000, "full rate", polls=3, starts=1)
    figures += measure_load(5_000, "idle", polls=3, starts=1)
    figures += measure_resharding(1_000)
    return figures


if __name__ == "__main__":
    main(measure)
