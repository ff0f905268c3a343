"""How soon a query that finds itself behind plans its first large batch.

The planner alone, in this process, against a replay server that refuses what AWS refuses. A small
batch is a pause of half a second before the next one is planned.
"""

from __future__ import annotations

import time
from typing import Any, Final

from bench.measure._support import (
    MIB,
    BareQuery,
    calls_between,
    source_options,
    use_no_aws_settings,
)
from bench.replay import ReplayServer
from bench.replay.records import index_of_sequence
from bench.report import Figure, figure_of, main, progress

SHARDS: Final = 32
RECORD_BYTES: Final = 1_000
RECORDS: Final = 75_000
LARGE_BYTES: Final = 64 * MIB
BATCH_S: Final = 0.5
MOST_BATCHES: Final = 50


def _records_before(offset: dict[str, Any]) -> int:
    """Return how many records lie before an offset."""
    shards: dict[str, Any] = offset["streams"]["events"]["shards"]
    return sum(
        index_of_sequence(int(position["after"]), after=True)
        for position in shards.values()
        if isinstance(position, dict) and "after" in position
    )


def _plan_until_large(server: ReplayServer, turn: int) -> tuple[float, int]:
    """Return the seconds from the first planning to a large batch, and the number of that batch."""
    # Another time-out makes another client of the process's cache.
    options = source_options(
        server.endpoint_url, initialPosition="trim_horizon", connectTimeout=f"{6_000 + turn}ms"
    )
    query = BareQuery(options)
    try:
        began_s = time.monotonic()
        done = 0
        for number in range(MOST_BATCHES):
            query.plan()
            reached = _records_before(query.offset)
            if (reached - done) * RECORD_BYTES >= LARGE_BYTES:
                return time.monotonic() - began_s, number
            done = reached
            time.sleep(BATCH_S)
    finally:
        query.close()
    raise AssertionError(f"no large batch among the first {MOST_BATCHES}")


def measure(quick: bool) -> list[Figure]:
    """Return how long the first large batch of a backlog is waited for."""
    use_no_aws_settings()
    progress("first batch of a backlog")
    with ReplayServer(
        shards=SHARDS,
        record_bytes=RECORD_BYTES,
        records_per_shard=RECORDS,
        records_per_s=1_000.0,
        latency_ms=10.0,
        limits=True,
    ) as server:
        before = server.stats()
        turns = [_plan_until_large(server, turn) for turn in range(3 if quick else 5)]
        calls = calls_between(before, server.stats())
        refused = calls_between(before, server.stats(), "refused")
    shown = ", ".join(f"{name} {n / len(turns) / SHARDS:.2f}" for name, n in sorted(calls.items()))
    return [
        figure_of(
            f"backlog of {SHARDS} shards: first batch of 64 MiB planned after",
            [took_s for took_s, _ in turns],
            "s",
            target=2.5,
            target_is="at most",
            note=(
                f"{RECORDS:,} records of 1 KB in each, the last ones just written; calls a shard: "
                f"{shown}; refused: {sum(refused.values())}"
            ),
        ),
        figure_of(
            f"backlog of {SHARDS} shards: number of that batch",
            [float(number) for _, number in turns],
            "",
            target=1.0,
            target_is="at most",
            note="the first is 0",
        ),
    ]


if __name__ == "__main__":
    main(measure)
