"""From a put to the sink: how old records are when they reach it, through real Spark.

The emulator, who puts, and Spark each have processes of their own on this machine, so one clock
serves all. A record's data says when it was put; ``foreachBatch`` collects the rows on the driver
and looks at the clock.
"""

from __future__ import annotations

import multiprocessing
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.clients import plain_client
from bench.measure._support import quantile, source_options, use_no_aws_settings, wait_until
from bench.report import Figure, main, progress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SHARDS: Final = {"trickle": 4, "full rate": 1}
STAMP_DIGITS: Final = 19
"""Nanoseconds since 1970, at the beginning of each record."""
RECORD_BYTES: Final = 1_000
CALLS_PER_S: Final = 20
SETTLE_S: Final = 4.0
"""Records put in the first seconds do not count: workers and code are still warming up."""
LAST_S: Final = 1.0
"""What was put in the last second meets a silence behind it, and is a case of its own."""
ARRIVE_S: Final = 60.0


# -- who puts -------------------------------------------------------------------------------------


def _put(endpoint_url: str, stream: str, load: str, seconds: float, result: Connection) -> None:
    """Put in a process of its own; say how many records it were."""
    use_no_aws_settings()
    client = plain_client(endpoint_url)
    chosen = random.Random(1)  # noqa: S311 - no secret
    count = calls = 0
    began_s = next_s = time.monotonic()
    while next_s < began_s + seconds:
        time.sleep(max(0.0, next_s - time.monotonic()))
        records = 1 if load == "trickle" else 1_000 // CALLS_PER_S
        data = f"{time.time_ns()}".encode().ljust(RECORD_BYTES, b".")
        reply = client.put_records(
            StreamName=stream,
            Records=[{"Data": data, "PartitionKey": str(chosen.random())} for _ in range(records)],
        )
        assert reply["FailedRecordCount"] == 0
        count, calls = count + records, calls + 1
        next_s += chosen.uniform(0.2, 1.0) if load == "trickle" else 1 / CALLS_PER_S
    result.send(count)


@contextmanager
def _emulator() -> Iterator[str]:
    """Run the emulator in a process of its own; yield its endpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kinesis_source.emulator.server", "--port", "0"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        endpoint_url = process.stdout.readline().strip()
        assert endpoint_url, "the emulator did not start; its error is above"
        yield endpoint_url
    finally:
        process.terminate()
        process.wait(10)


# -- the sink -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Arrived:
    put_s: float
    age_s: float


class _Sink:
    """A ``foreachBatch`` function that keeps how old each row is."""

    def __init__(self) -> None:
        self.arrived: list[_Arrived] = []
        self.numbers: set[tuple[str, str]] = set()
        self.batches = 0
        self.is_ready = threading.Event()

    def __call__(self, frame: DataFrame, _batch_id: int) -> None:
        rows = frame.selectExpr(
            f"string(substring(data, 1, {STAMP_DIGITS})) AS put_ns", "shardId", "sequenceNumber"
        ).collect()
        now_s = time.time()
        self.numbers.update((row.shardId, row.sequenceNumber) for row in rows)
        self.batches += bool(rows)
        self.arrived += [
            _Arrived(int(row.put_ns) / 1e9, now_s - int(row.put_ns) / 1e9) for row in rows
        ]
        self.is_ready.set()


def run(
    spark: SparkSession, load: str, seconds: float, options: dict[str, str]
) -> tuple[list[float], float, int]:
    """Put for so long; return the ages in between, the oldest at the end, and how many batches."""
    sink = _Sink()
    with _emulator() as endpoint_url, tempfile.TemporaryDirectory() as checkpoint:
        client = plain_client(endpoint_url)
        client.create_stream(StreamName="events", ShardCount=SHARDS[load])
        client.get_waiter("stream_exists").wait(StreamName="events")
        query = (
            spark.readStream.format("tecton-kinesis")
            .options(**source_options(endpoint_url, initialPosition="latest", **options))
            .load()
            .writeStream.option("checkpointLocation", checkpoint)
            .foreachBatch(sink)
            .start()
        )
        try:
            wait_until(sink.is_ready.is_set, ARRIVE_S, "the first batch")
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.get_context("spawn").Process(
                target=_put, args=(endpoint_url, "events", load, seconds + SETTLE_S, theirs)
            )
            process.start()
            theirs.close()
            count = ours.recv()
            process.join(30)
            wait_until(lambda: len(sink.arrived) >= count, ARRIVE_S, f"{count} rows")
        finally:
            query.stop()
    assert len(sink.arrived) == len(sink.numbers) == count, (
        f"{len(sink.arrived)} rows, {len(sink.numbers)} different ones, of {count}"
    )
    begin_s = min(row.put_s for row in sink.arrived) + SETTLE_S
    end_s = max(row.put_s for row in sink.arrived) - LAST_S
    steady = [row.age_s for row in sink.arrived if begin_s <= row.put_s <= end_s]
    return steady, max(row.age_s for row in sink.arrived if row.put_s > end_s), sink.batches


def _figures(
    spark: SparkSession, load: str, seconds: float, poll_interval: str | None
) -> list[Figure]:
    shown = f"pollInterval {poll_interval or '1s (default)'}"
    progress(f"latency: {load}, {shown}, {seconds:.0f} s")
    options = {} if poll_interval is None else {"pollInterval": poll_interval}
    ages, last_s, batches = run(spark, load, seconds, options)
    puts = (
        "1 to 5 records/s over 4 shards"
        if load == "trickle"
        else f"1,000 records/s of 1 KB in {CALLS_PER_S} calls/s, one shard"
    )
    note = f"{puts}; {len(ages):,} records in {seconds:.0f} s, {batches} batches, local[2]"
    has_target = poll_interval is not None
    figures = [
        Figure(
            f"put to sink, {load}, {shown}: {name}",
            quantile(ages, share),
            "s",
            spread=(min(ages), max(ages)) if share == 0.5 else None,
            target=target if has_target else None,
            target_is="at most" if has_target else None,
            note=note if share == 0.5 else "",
        )
        for name, share, target in (("p50", 0.5, 1.0), ("p99", 0.99, 2.0))
    ]
    if load == "full rate":
        name = f"put to sink, {load}, {shown}: until the last one is there"
        note = "silence follows: the oldest of the records put in the last second"
        figures.append(Figure(name, last_s, "s", note=note))
    return figures


def measure(quick: bool) -> list[Figure]:
    """Return how old records are in the sink."""
    from bench.sources import spark_session

    use_no_aws_settings()
    with spark_session() as spark:
        figures = _figures(spark, "trickle", 8 if quick else 60, "500ms")
        if not quick:
            figures += _figures(spark, "trickle", 25, None)
            figures += _figures(spark, "full rate", 25, None)
    return figures


if __name__ == "__main__":
    main(measure)
