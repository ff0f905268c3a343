"""Through real Spark into the noop sink: how fast a backlog is read.

Compared in one session, turn about: the source, Spark's ceiling for batches of Arrow from memory,
and plain boto3 (``bench.sources``), each with two tasks on two cores. A rate is data bytes over
Spark's ``addBatch``. The replay server runs on the same cores, and is measured by itself too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.replay import ReplayServer
from bench.report import Figure, figure_of, main, progress
from bench.sources import CORES, Run, run_available_now, source_options, spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TASKS: Final = CORES
# The source makes four calls a second for one shard, as AWS allows no more than five: fewer shards
# would measure that. A task reads sixteen side by side.
_SHARDS: Final = 16 * _TASKS
# At a tenth of the rate, all shards would take minutes.
_BOTO_SHARDS: Final = 4


@dataclass(frozen=True)
class _Size:
    """A size of records, how many of them each shard holds, and the targets."""

    label: str
    record_bytes: int
    records_per_shard: int
    least_of_ceiling: float | None = None
    least_of_boto: float | None = None


_COMPARED: Final = (
    _Size("1 KB", 1_000, 50_000, 0.60, 5.0),
    _Size("100 B", 100, 60_000, 0.45, 12.0),
)
_OTHERS: Final = (
    _Size("10 B", 10, 60_000),
    _Size("10 KB", 10_000, 5_000),
    _Size("100 KB", 100_000, 500),
    _Size("1 MiB", 1_048_560, 50),  # with its partition key
)


def measure(quick: bool) -> list[Figure]:
    """Measure the replay server, then the sources side by side, then the source alone."""
    repeats = 1 if quick else 3
    figures = [*_server_figures(quick)]
    with spark_session() as spark:
        for size in _COMPARED:
            figures += _compare(spark, _shortened(size) if quick else size, repeats)
        for size in () if quick else _OTHERS:
            figures += _alone(spark, size)
    return figures


# -- the sources --------------------------------------------------------------------------------


def _serve(size: _Size) -> ReplayServer:
    # As dense as a shard can be on AWS: 1,000 records or 1 MB a second.
    return ReplayServer(
        shards=_SHARDS,
        record_bytes=size.record_bytes,
        records_per_shard=size.records_per_shard,
        records_per_s=min(1_000.0, 1_000_000 / size.record_bytes),
    )


def _shortened(size: _Size) -> _Size:
    return dataclasses.replace(size, records_per_shard=size.records_per_shard // 2)


def _compare(spark: SparkSession, size: _Size, repeats: int) -> list[Figure]:
    ours, ceiling, boto = [], [], []
    with _serve(size) as server:
        # Warms up the JVM, for which all three are one and the same source.
        warm_up = _run_source(spark, server, size)
        progress(f"{size.label}, warm-up: {_rate(size, warm_up):.0f} MB/s")
        for turn in range(1, repeats + 1):
            server.reset_stats()
            ours.append(_run_source(spark, server, size))
            busy = _busy_share(server, ours[-1])
            ceiling.append(_run_other(spark, server, size, "bench-ceiling"))
            boto.append(_run_other(spark, server, size, "bench-boto3"))
            progress(
                f"{size.label}, {turn}/{repeats}: "
                f"{_rate(size, ours[-1]):.0f} MB/s, ceiling {_rate(size, ceiling[-1]):.0f}, "
                f"boto3 {_rate(size, boto[-1]):.1f}"
            )
    return [
        *_rates(f"{size.label} through Spark", size, ours, f"server: {busy:.0%} of a core"),
        *_rates(f"{size.label} Spark's ceiling", size, ceiling),
        *_rates(f"{size.label} plain boto3", size, boto),
        figure_of(
            f"{size.label} source / ceiling",
            _ratios(size, ours, ceiling),
            "x",
            target=size.least_of_ceiling,
            target_is="at least",
        ),
        figure_of(
            f"{size.label} source / boto3",
            _ratios(size, ours, boto),
            "x",
            target=size.least_of_boto,
            target_is="at least",
        ),
        _wall(size, ours),
    ]


def _alone(spark: SparkSession, size: _Size) -> list[Figure]:
    with _serve(size) as server:
        run = _run_source(spark, server, size)
    progress(f"{size.label}: {_rate(size, run):.1f} MB/s")
    return [*_rates(f"{size.label} through Spark", size, [run]), _wall(size, [run])]


def _run_source(spark: SparkSession, server: ReplayServer, size: _Size) -> Run:
    options = source_options(
        server.endpoint_url, shardsPerTask=str(_SHARDS // _TASKS), maxBytesPerTrigger="1024g"
    )
    return _counted(
        run_available_now(spark, "tecton-kinesis", options), _SHARDS * size.records_per_shard
    )


def _run_other(spark: SparkSession, server: ReplayServer, size: _Size, source: str) -> Run:
    shards = _BOTO_SHARDS if source == "bench-boto3" else _SHARDS
    options = {
        "tasks": str(_TASKS),
        "shards": str(shards),
        "recordBytes": str(size.record_bytes),
        "rowsPerShard": str(size.records_per_shard),
        "endpointUrl": server.endpoint_url,
    }
    return _counted(run_available_now(spark, source, options), shards * size.records_per_shard)


def _counted(run: Run, expected_rows: int) -> Run:
    # A benchmark that loses rows measures nothing.
    assert run.rows == expected_rows, f"{run.rows} rows, expected {expected_rows}"
    return run


def _busy_share(server: ReplayServer, run: Run) -> float:
    """Return the part of one core that the server took while a query read."""
    return float(server.stats()["cpu_s"]) / run.add_batch_s


def _rate(size: _Size, run: Run) -> float:
    return run.rows * size.record_bytes / run.add_batch_s / 1e6


def _rates(measure_name: str, size: _Size, runs: list[Run], note: str = "") -> list[Figure]:
    records = [run.rows / run.add_batch_s for run in runs]
    return [
        figure_of(measure_name, [_rate(size, run) for run in runs], "MB/s", note=note),
        figure_of(f"{measure_name}, records", records, "records/s"),
    ]


def _ratios(size: _Size, ours: list[Run], others: list[Run]) -> list[float]:
    """Return the ratio of each turn: what slows the machine down meets both sides of it."""
    pairs = zip(ours, others, strict=True)
    return [_rate(size, our) / _rate(size, other) for our, other in pairs]


def _wall(size: _Size, runs: list[Run]) -> Figure:
    note = f"{runs[0].rows * size.record_bytes / 1e6:.0f} MB, {runs[0].batches} batches"
    return figure_of(
        f"{size.label} whole query, start to end", [run.wall_s for run in runs], "s", note=note
    )


# -- the replay server --------------------------------------------------------------------------


def _server_figures(quick: bool) -> list[Figure]:
    """Measure what the server gives to a client that only receives."""
    seconds = 1.0 if quick else 3.0
    with ReplayServer(record_bytes=1_000, records_per_shard=20_000) as server:
        pages = _receive(server, 10_000, 1, seconds)
        # Several in flight: else it is measured how fast the system wakes two processes in turn.
        calls = _receive(server, 1, 16, seconds)
    mb_per_s = pages["record_bytes"] / pages["took_s"] / 1e6
    calls_per_s = calls["calls"] / calls["took_s"]
    progress(f"replay server: {mb_per_s:.0f} MB/s, {calls_per_s:.0f} calls/s")
    return [
        Figure(
            "replay server, pages of 10 MB",
            mb_per_s,
            "MB/s",
            note=f"record data to a raw socket; {_cpu_per_call(pages, 1e3):.1f} ms of CPU a page",
        ),
        Figure(
            "replay server, pages of 1 record",
            calls_per_s,
            "calls/s",
            note=f"16 connections; {_cpu_per_call(calls, 1e6):.0f} us of CPU a call",
        ),
    ]


def _cpu_per_call(received: dict[str, float], factor: float) -> float:
    return received["cpu_s"] / received["calls"] * factor


def _receive(
    server: ReplayServer, limit: int, connections: int, seconds: float
) -> dict[str, float]:
    """Ask for the same page again and again, with one call in flight on each connection."""
    body = f'{{"ShardIterator":"0:0","Limit":{limit}}}'.encode()
    request = (
        b"POST / HTTP/1.1\r\nHost: replay\r\nX-Amz-Target: Kinesis_20131202.GetRecords\r\n"
        b"Content-Type: application/x-amz-json-1.1\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    buffer = memoryview(bytearray(1024 * 1024))
    calls = 0
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            for _ in range(connections)
        ]
        server.reset_stats()
        began_s = time.monotonic()
        while time.monotonic() - began_s < seconds:
            for connection in opened:
                connection.sendall(request)
            for connection in opened:
                _receive_reply(connection, buffer)
            calls += connections
        took_s = time.monotonic() - began_s
    stats = server.stats()
    return {
        "calls": calls,
        "took_s": took_s,
        "record_bytes": stats["record_bytes"],
        "cpu_s": stats["cpu_s"],
    }


def _receive_reply(connection: socket.socket, buffer: memoryview) -> None:
    got = connection.recv_into(buffer)
    head, separator, _ = bytes(buffer[: min(got, 1024)]).partition(b"\r\n\r\n")
    assert separator, "the head of the reply came in parts"
    length = int(head.rpartition(b"Content-Length: ")[2])
    left = len(head) + len(separator) + length - got
    while left > 0:
        left -= connection.recv_into(buffer, min(left, len(buffer)))


if __name__ == "__main__":
    main(measure)
