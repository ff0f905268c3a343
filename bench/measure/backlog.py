"""A day of backlog: how evenly limited micro-batches cut it, and whether memory stays flat.

The planner alone, in this process, goes through a hundred shards whose records arrived over 24
hours; sizes follow from the sequence numbers. Then real Spark reads a smaller backlog while the
memory of its Python processes is watched.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bench.measure._support import (
    MIB,
    MemoryWatch,
    calls_between,
    source_options,
    use_no_aws_settings,
    wait_until,
)
from bench.replay import ReplayServer
from bench.replay.records import index_of_sequence
from bench.report import Figure, figure_of, main, progress
from kinesis_source.aws.access import check_access
from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.model.offsets import StreamOffset
from kinesis_source.options.parse import parse_options
from kinesis_source.plan.micro_batches import MicroBatchPlanner

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

SHARDS: Final = 100
DAY_S: Final = 24 * 3600
RECORD_BYTES: Final = 1_000
NEAR: Final = 1.5
DEADLINE_S: Final = 300.0


@dataclass
class Cuts:
    """What the planner made of a backlog, batch by batch."""

    sizes: list[int] = field(default_factory=list)
    """Records of each batch."""
    waits_s: list[float] = field(default_factory=list)
    starved: int = 0
    """The most batches in a row that gave a shard nothing while it had records left."""
    cpu_s: float = 0.0
    calls: dict[str, int] = field(default_factory=dict)


def _indexes(offset: dict[str, Any]) -> dict[str, int]:
    """Return how many records of each shard lie before an offset."""
    shards: dict[str, Any] = offset["streams"]["events"]["shards"]
    return {
        shard_id: index_of_sequence(int(position["after"]), after=True)
        if isinstance(position, dict) and "after" in position
        else 0
        for shard_id, position in shards.items()
    }


def cut_backlog(server: ReplayServer, **limits: str) -> Cuts:
    """Plan batch after batch until the offset is behind the last record of every shard."""
    options = source_options(server.endpoint_url, pollInterval="200ms", **limits)
    settings = parse_options(options)
    api = BotoStreamApi(settings.client)
    planner = MicroBatchPlanner(api, settings.read, lambda stream: check_access(api, stream))
    cuts = Cuts()
    hungry = dict.fromkeys((f"shardId-{index:012d}" for index in range(SHARDS)), 0)
    try:
        offset = planner.initial_offset()
        before, cpu_s, deadline_s = server.stats(), time.process_time(), time.monotonic()
        deadline_s += DEADLINE_S
        done = _indexes(offset.to_json())
        total = server.settings.records_per_shard
        while min(done.values()) < total:
            began_s = time.monotonic()
            end = planner.next_offset(offset)
            if end is offset:
                assert began_s < deadline_s, f"no progress at {sum(done.values()):,} records"
                continue
            cuts.waits_s.append(time.monotonic() - began_s)
            offset = StreamOffset.from_json(json.loads(json.dumps(end.to_json())))
            reached = _indexes(end.to_json())
            cuts.sizes.append(sum(reached[shard] - done[shard] for shard in done))
            for shard_id, index in done.items():
                is_starved = index < total and reached[shard_id] == index
                hungry[shard_id] = hungry[shard_id] + 1 if is_starved else 0
                cuts.starved = max(cuts.starved, hungry[shard_id])
            done = reached
        cuts.cpu_s = time.process_time() - cpu_s
        cuts.calls = calls_between(before, server.stats())
    finally:
        planner.close()
        api.close()
    assert sum(cuts.sizes) == SHARDS * total, f"{sum(cuts.sizes):,} records, not all"
    return cuts


def measure_cuts(
    server: ReplayServer, option: str, limit: str, limit_records: float
) -> list[Figure]:
    """Compare the batches' sizes with the limit."""
    name = f"{option}={limit}"
    progress(f"backlog: {name}")
    cuts = cut_backlog(server, **{option: limit})
    count = len(cuts.sizes)
    # The first ones hold what a look shows until the driver knows how far the shards go.
    first = next(i for i, size in enumerate(cuts.sizes) if size * NEAR >= limit_records)
    full = cuts.sizes[first:-1]
    factors = [max(size / limit_records, limit_records / max(1, size)) for size in full]
    near = sum(factor <= NEAR for factor in factors) / len(factors)
    shown = ", ".join(f"{op} {n / count / SHARDS:.2f}" for op, n in sorted(cuts.calls.items()))
    return [
        Figure(
            f"{name}: batches within a factor of {NEAR} of it",
            100 * near,
            "%",
            target=100.0,
            target_is="at least",
            note=(
                f"of {len(full)}, the last ({cuts.sizes[-1]:,} records) left out; {SHARDS} shards "
                f"of {server.settings.records_per_shard:,} records, 1 KB, evenly over 24 h"
            ),
        ),
        Figure(f"{name}: worst factor", max(factors), "x", target=NEAR, target_is="at most"),
        Figure(
            f"{name}: batches before the first full one",
            first,
            "batches",
            target=2.0,
            target_is="at most",
            note=f"of {cuts.sizes[:first]} records",
        ),
        Figure(
            f"{name}: batches in a row that gave a shard nothing",
            cuts.starved,
            "batches",
            target=1.0,
            target_is="at most",
        ),
        Figure(
            f"{name}: calls per batch and shard",
            sum(cuts.calls.values()) / count / SHARDS,
            "calls",
            note=f"{shown}; a poll every 200 ms, batches without any pause",
        ),
        figure_of(
            f"{name}: planning of a batch",
            cuts.waits_s,
            "s",
            note=f"latestOffset, calls take 10 ms; {cuts.cpu_s / count:.2f} s of CPU a batch",
        ),
    ]


# -- memory, through Spark ------------------------------------------------------------------------


def measure_memory() -> list[Figure]:
    """Watch Spark's Python processes while they read a backlog in equal batches."""
    from bench.sources import spark_session

    progress("backlog: memory through Spark")
    shards, records = 20, 30_000
    with (
        ReplayServer(
            shards=shards, records_per_shard=records, records_per_s=records / DAY_S
        ) as server,
        spark_session() as spark,
        MemoryWatch() as watch,
    ):
        batches, third_s, end_s = _read(spark, server, shards * records)
    figures = []
    for kind in ("planner", "worker"):
        early = watch.peak_bytes(kind, third_s - 1.0, third_s + 1.0)
        late = watch.peak_bytes(kind, end_s - 2.0, end_s)
        figures.append(
            Figure(
                f"memory of the largest {kind}, at the end / after the third batch",
                late / early,
                "x",
                target=1.2,
                target_is="at most",
                note=(
                    f"{early / 1e6:.0f} MB, then {late / 1e6:.0f} MB, peak "
                    f"{watch.peak_bytes(kind) / 1e6:.0f} MB; {batches} batches of 32 MiB, "
                    f"{shards} shards, {end_s - third_s:.0f} s apart"
                ),
            )
        )
    return figures


def _read(spark: SparkSession, server: ReplayServer, rows: int) -> tuple[int, float, float]:
    """Read all rows; return the batches, and when the third and the last one ended."""
    options = source_options(
        server.endpoint_url,
        maxBytesPerTrigger="32m",
        maxFetchRate="unlimited",
        pollInterval="200ms",
    )
    with tempfile.TemporaryDirectory() as checkpoint:
        query = (
            spark.readStream.format("tecton-kinesis")
            .options(**options)
            .load()
            .writeStream.format("noop")
            .option("checkpointLocation", checkpoint)
            .start()
        )
        try:
            wait_until(lambda: len(_sizes(query)) >= 3, DEADLINE_S, "three batches")
            third_s = time.monotonic()
            wait_until(lambda: sum(_sizes(query)) >= rows, DEADLINE_S, f"{rows} rows")
            end_s = time.monotonic()
            sizes = _sizes(query)
        finally:
            query.stop()
    assert sum(sizes) == rows, f"{sum(sizes)} rows, expected {rows}"
    return len(sizes), third_s, end_s


def _sizes(query: StreamingQuery) -> list[int]:
    """Return the rows of each batch that had any; raise what ended the query."""
    error = query.exception()
    if error is not None:
        raise error
    return [batch["numInputRows"] for batch in query.recentProgress if batch["numInputRows"]]


def measure(quick: bool) -> list[Figure]:
    """Return what becomes of a backlog."""
    use_no_aws_settings()
    records = 8_000 if quick else 15_000
    with ReplayServer(
        shards=SHARDS,
        record_bytes=RECORD_BYTES,
        records_per_shard=records,
        records_per_s=records / DAY_S,
        latency_ms=10.0,
    ) as server:
        figures = measure_cuts(server, "maxBytesPerTrigger", "64m", 64 * MIB / RECORD_BYTES)
        if quick:
            return figures
        figures += measure_cuts(server, "maxRecordsPerTrigger", "100000", 100_000)
    return [*figures, *measure_memory()]


if __name__ == "__main__":
    main(measure)
