"""Planning of many shards on the driver: what it costs, and how long batches wait for it.

The planner runs in this process alone, against a replay server that answers after 10 ms, as AWS
does, and refuses what AWS refuses. A batch is a pause of two seconds between two offsets. Offsets
make the way through JSON that they make in Spark.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from bench.measure._support import (
    BareQuery,
    assert_none_refused,
    calls_between,
    is_still_live,
    quantile,
    source_options,
    use_no_aws_settings,
    wait_for_silence,
)
from bench.replay import ReplayServer
from bench.report import Figure, figure_of, main, progress
from kinesis_source.aws.client import BotoStreamApi, stream_api
from kinesis_source.options.parse import parse_options

LATENCY_MS: Final = 10.0
BATCH_S: Final = 2.0
POLL_S: Final = 1.0
SAMPLED: Final = 20
ONE_POLL_S: Final = 0.5
"""Calls for a shard that come nearer than this belong to one poll."""
SETTLED: Final = 3
"""So many polls after the start the steady state begins."""
_turns = itertools.count(5_000)
WATCHDOG_S: Final = 180.0

_RECORDS_PER_S: Final = {"idle": 0.0, "trickle": 0.5, "full rate": 1_000.0}
_RECORD_BYTES: Final = 1_000


class _Sampled:
    """Notes when the calls for a few of the shards are made: polls are told apart by that.

    Parameters
    ----------
    api : BotoStreamApi
        The one that the planner uses.
    shards : int
    """

    def __init__(self, api: BotoStreamApi, shards: int) -> None:
        self._calls: dict[str, list[tuple[float, str]]] = {
            f"shardId-{index * shards // SAMPLED:012d}": [] for index in range(SAMPLED)
        }
        # On the instance that planning asks: a part of the process's own client.
        api = api.trying_once()
        api.get_iterator = self._noting("GetShardIterator", api.get_iterator)  # type: ignore[method-assign]
        api.get_page = self._noting("GetRecords", api.get_page)  # type: ignore[method-assign]

    def _noting(self, operation: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(stream: Any, shard_id: str, *arguments: Any, **rest: Any) -> Any:
            calls = self._calls.get(shard_id)
            if calls is not None:
                calls.append((time.monotonic(), operation))
            return call(stream, shard_id, *arguments, **rest)

        return noted

    def polls(self, since_s: float) -> list[list[list[tuple[float, str]]]]:
        """Return of each sampled shard the polls since then, each a list of calls."""
        found = []
        for calls in self._calls.values():
            polls: list[list[tuple[float, str]]] = []
            for call in list(calls):
                if call[0] >= since_s:
                    if not polls or call[0] - polls[-1][-1][0] > ONE_POLL_S:
                        polls.append([])
                    polls[-1].append(call)
            found.append(polls)
        return found

    def count(self, since_s: float) -> int:
        """Return how often each sampled shard was polled since then, at least."""
        return min(map(len, self.polls(since_s)))


@dataclass
class Planned:
    """A query that has started, and what its start took."""

    query: BareQuery
    sampled: _Sampled
    start_s: float
    first_s: float
    batch_0_bytes: int
    """Of batch 0's offset, which holds the resolved start too."""

    @property
    def shards(self) -> dict[str, Any]:
        """The positions of the offset, by shard."""
        found: dict[str, Any] = self.query.offset["streams"]["events"]["shards"]
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
    """Start a query from ``latest``, and plan batch 0."""
    # A client of its own for each: the process keeps one for each distinct settings.
    options = source_options(
        server.endpoint_url,
        initialPosition="latest",
        connectTimeout=f"{next(_turns)}ms",
    )
    began_s = time.perf_counter()
    sampled = _Sampled(stream_api(parse_options(options).client), server.settings.shards)
    query = BareQuery(options)
    try:
        start_s = time.perf_counter() - began_s
        began_s = time.perf_counter()
        query.plan()
        first_s = time.perf_counter() - began_s
        yield Planned(query, sampled, start_s, first_s, len(json.dumps(query.offset)))
    finally:
        query.close()
        wait_for_silence(server)


# -- steady state -------------------------------------------------------------------------------


@dataclass
class Steady:
    """What some batches' planning took."""

    waits_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    poll_s: float = 0.0
    """From one poll of a shard to the next."""
    poll_calls: dict[str, float] = field(default_factory=dict)
    """Calls of one poll of a shard, by operation."""
    server_cpu_s: float = 0.0
    listings: int = 0


def run_batches(planned: Planned, server: ReplayServer, polls: int) -> Steady:
    """Plan batches of two seconds until a shard was polled so often; empty offsets make none."""
    shards = server.settings.shards
    stop_s = time.monotonic() + WATCHDOG_S
    while planned.sampled.count(0.0) < (SETTLED if shards == 1_000 else 1):
        assert time.monotonic() < stop_s, "a sampled shard is not polled"
        if planned.query.plan():
            time.sleep(BATCH_S)
    found = Steady()
    before, cpu_s, since_s = server.stats(), time.process_time(), time.monotonic()
    while planned.sampled.count(since_s) <= polls:
        began_s = time.monotonic()
        is_batch = bool(planned.query.plan())
        found.waits_s.append(time.monotonic() - began_s)
        if is_batch:
            time.sleep(BATCH_S)
        assert time.monotonic() < since_s + WATCHDOG_S, "polls take too long"
    found.cpu_s = time.process_time() - cpu_s
    after, until_s = server.stats(), time.monotonic()
    assert is_still_live(server.settings), "the records ended before the measurement did"
    found.wall_s = until_s - since_s
    found.listings = calls_between(before, after).get("ListShards", 0)
    every = planned.sampled.polls(since_s)
    found.poll_s = statistics.mean(
        (polls[-1][0][0] - polls[0][0][0]) / (len(polls) - 1) for polls in every
    )
    # The first and the last one may have begun before or gone on behind.
    whole = [poll for polls in every for poll in polls[1:-1]]
    calls = Counter(operation for poll in whole for _, operation in poll)
    found.poll_calls = {name: count / len(whole) for name, count in sorted(calls.items())}
    found.server_cpu_s = after["cpu_s"] - before["cpu_s"]
    return found


def _steady_figures(shards: int, load: str, steady: Steady) -> list[Figure]:
    case = f"{shards:,} shards, {load}"
    is_1000 = shards == 1_000
    shown = ", ".join(f"{operation} {count:.2f}" for operation, count in steady.poll_calls.items())
    polls = steady.wall_s / steady.poll_s
    figures = [
        figure_of(
            f"{case}: CPU per poll",
            [steady.cpu_s / polls],
            "s",
            target=2.0 if is_1000 else None,
            target_is="at most" if is_1000 else None,
            note=(
                f"{steady.wall_s:.0f} s with batches of {BATCH_S:.0f} s; each shard polled every "
                f"{steady.poll_s:.2f} s; {steady.cpu_s / steady.wall_s:.0%} of a core; the server: "
                f"{steady.server_cpu_s / polls:.2f} s of CPU a poll"
            ),
        ),
        figure_of(
            f"{case}: calls per shard and poll",
            [sum(steady.poll_calls.values())],
            "calls",
            target={"idle": 1.05, "trickle": 2.0, "full rate": 2.0}[load],
            target_is="at most",
            note=f"{shown}; none refused; ListShards {steady.listings} in all",
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
                    size = len(json.dumps(planned.query.offset))
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
            note="latestOffset of batch 0",
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
        planned.query.plan()
        before = server.stats()
        server.reshard()
        began_s = time.monotonic()
        children = {f"shardId-{index:012d}" for index in range(shards, 3 * shards)}
        batches = 0
        while not children <= planned.shards.keys():
            planned.query.plan()
            batches += 1
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
        return measure_load(1_000, "full rate", polls=2, starts=1)
    figures = []
    for load in _RECORDS_PER_S:
        figures += measure_load(1_000, load, polls=10, starts=2 if load == "full rate" else 1)
    figures += measure_load(5_000, "full rate", polls=2, starts=1)
    figures += measure_resharding(1_000)
    return figures


if __name__ == "__main__":
    main(measure)
