"""A batch read against a stream's run over the same backlog, and what a pushed time filter spares.

Both read all shards with two tasks on two cores into the noop sink, turn about, in one session; a
rate is data bytes over the whole call, planning included. The filter keeps the last tenth of the
stream by arrival time; calls and records are those that the server gave.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from bench.replay import ReplayServer
from bench.report import Figure, figure_of, main, progress
from bench.sources import CORES, run_available_now, source_options, spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SHARDS: Final = 16 * CORES
_RECORD_BYTES: Final = 1_000
_RECORDS: Final = 25_000
_KEPT: Final = 0.1


def measure(quick: bool) -> list[Figure]:
    """Measure both ways of reading, then the filter."""
    repeats = 1 if quick else 3
    batches, streams = [], []
    with (
        spark_session() as spark,
        ReplayServer(
            shards=_SHARDS,
            record_bytes=_RECORD_BYTES,
            records_per_shard=_RECORDS,
            records_per_s=1_000.0,
        ) as server,
    ):
        _batch_s(spark, server)  # warms up
        for turn in range(1, repeats + 1):
            batches.append(_megabytes() / _batch_s(spark, server))
            streams.append(_megabytes() / _stream_s(spark, server))
            progress(f"{turn}/{repeats}: batch {batches[-1]:.0f} MB/s, stream {streams[-1]:.0f}")
        whole = _asked(spark, server, None)
        part = _asked(spark, server, _KEPT)
    ratios = [batch / stream for batch, stream in zip(batches, streams, strict=True)]
    return [
        figure_of("batch read, whole call", batches, "MB/s"),
        figure_of("availableNow run, whole call", streams, "MB/s"),
        figure_of("batch / availableNow", ratios, "x", target=0.8, target_is="at least"),
        figure_of(
            "bytes given for the last tenth / for all",
            [part["bytes"] / whole["bytes"]],
            "x",
            target=0.5,
            target_is="at most",
            note=f"calls {part['calls']} of {whole['calls']}",
        ),
    ]


def _megabytes() -> float:
    return _SHARDS * _RECORDS * _RECORD_BYTES / 1e6


def _options(server: ReplayServer, **more: str) -> dict[str, str]:
    return source_options(server.endpoint_url, shardsPerTask=str(_SHARDS // CORES), **more)


def _batch_s(spark: SparkSession, server: ReplayServer) -> float:
    options = {k: v for k, v in _options(server).items() if k != "initialPosition"}
    began_s = time.monotonic()
    frame = spark.read.format("tecton-kinesis").options(**options).load()
    frame.write.format("noop").mode("overwrite").save()
    return time.monotonic() - began_s


def _stream_s(spark: SparkSession, server: ReplayServer) -> float:
    began_s = time.monotonic()
    run = run_available_now(spark, "tecton-kinesis", _options(server, maxBytesPerTrigger="1024g"))
    assert run.rows == _SHARDS * _RECORDS
    return time.monotonic() - began_s


def _asked(spark: SparkSession, server: ReplayServer, kept: float | None) -> dict[str, Any]:
    """Count what the server gave for a read of the whole stream, or of its end."""
    from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

    column = "approximateArrivalTimestamp"
    options = {k: v for k, v in _options(server).items() if k != "initialPosition"}
    reader = spark.read.format("tecton-kinesis").options(**options)
    spark.conf.set("spark.sql.python.filterPushdown.enabled", "true")
    frame = reader.load()
    if kept is not None:
        first, last = frame.agg(F.min(column), F.max(column)).collect()[0]
        frame = reader.option("filterPushdown", "true").load()
        frame = frame.where(F.col(column) >= F.lit(last - (last - first) * kept))
    server.reset_stats()
    frame.write.format("noop").mode("overwrite").save()
    stats = server.stats()
    return {"bytes": stats["record_bytes"], "calls": stats["calls"]["GetRecords"]}


if __name__ == "__main__":
    main(measure)
