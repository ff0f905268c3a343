"""The sink's writer beside plain boto3, and beside what a shard takes.

Without Spark: a task's writer in this process, the server in another one. *Source / boto3*: the
same records, by the writer and by `put_records` of 500 at a time in a loop, turn about, into a
stream that refuses nothing, 10 ms a call. *A shard's limits*: one task that has more than AWS would
take, and the emulator with AWS's limits.
"""

from __future__ import annotations

import multiprocessing
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final

from bench.measure._support import use_no_aws_settings
from bench.report import Figure, figure_of, main, progress
from kinesis_source.aws.routing import source_api
from kinesis_source.emulator import Emulator
from kinesis_source.model.outgoing import OutRecord
from kinesis_source.model.shards import HASH_KEY_MAX, Shard
from kinesis_source.options.parse import parse_options
from kinesis_source.options.settings import SourceSettings, StreamSettings
from kinesis_source.write import pace
from kinesis_source.write.shards import ShardMap
from kinesis_source.write.stream_writer import Target, WriteCounts
from kinesis_source.write.task_writer import find_target, write_records

RECORD_BYTES: Final = 1_000
RECORDS: Final = 40_000
LIMITED_S: Final = 20
SHARDS: Final = 4
LATENCY_S: Final = 0.01
_ONE_SHARD: Final = Target(
    StreamSettings("events", "events"),
    ShardMap([Shard("shardId-000000000000", (), 0, HASH_KEY_MAX, is_closed=False)]),
)


def _accept(connection: Connection) -> None:
    """Take every PutRecords call after LATENCY_S, and say so."""
    reply = b'{"ShardId":"shardId-000000000000","SequenceNumber":"1"}'

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                length = 0
                while line not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                    line = self.rfile.readline()
                count = self.rfile.read(length).count(b'"PartitionKey"')
                time.sleep(LATENCY_S)
                results = b",".join([reply] * count)
                body = b'{"FailedRecordCount":0,"Records":[%s]}' % results
                self.wfile.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n"
                    b"x-amzn-RequestId: 1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
                )

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection.send(f"http://127.0.0.1:{server.server_address[1]}")
        connection.recv()
        server.shutdown()


def _limit(connection: Connection) -> None:
    with Emulator(strict_limits=True) as emulator:
        emulator.account().create_stream("events", shards=SHARDS)
        connection.send(emulator.endpoint_url)
        connection.recv()


@contextmanager
def _server(serve: Callable[..., None], *given: object) -> Iterator[SourceSettings]:
    """Run a server in a process of its own; yield the settings for it."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, *given), daemon=True
    )
    process.start()
    try:
        yield parse_options(
            {
                "streamName": "events",
                "region": "us-east-1",
                "endpointUrl": ours.recv(),
                "awsAccessKey": "test",
                "awsSecretKey": "test",
            }
        )
    finally:
        ours.send("end")
        process.join(30)


def _records(count: int) -> Iterator[tuple[None, OutRecord]]:
    data = b"x" * RECORD_BYTES
    for number in range(count):
        yield None, OutRecord(data, f"key {number}")


def _write(
    settings: SourceSettings, count: int, target: Target | None = None
) -> tuple[float, float, WriteCounts]:
    """Return wall and CPU seconds, and the counts."""
    api, stream = source_api(settings), settings.read.streams[0]
    target = target or find_target(api, stream)
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    counts = write_records(
        api, _records(count), {stream.key: target}, stream.key, settings.write, 60.0
    )
    return time.monotonic() - began_s, time.process_time() - began_cpu_s, counts


def _put_plainly(settings: SourceSettings, count: int) -> tuple[float, float]:
    import boto3

    client: Any = boto3.client(
        "kinesis",
        region_name="us-east-1",
        endpoint_url=settings.client.endpoint_url,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the emulator's
    )
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    batch: list[dict[str, Any]] = []
    for _, record in _records(count):
        batch.append({"Data": record.data, "PartitionKey": record.partition_key})
        if len(batch) == 500:
            client.put_records(StreamName="events", Records=batch)
            batch = []
    return time.monotonic() - began_s, time.process_time() - began_cpu_s


def measure(quick: bool) -> list[Figure]:
    """Measure all of it."""
    use_no_aws_settings()
    return [*_beside_boto3(quick=quick), *_limits(quick=quick)]


def _beside_boto3(*, quick: bool) -> list[Figure]:
    count = RECORDS // (4 if quick else 1)
    rates, plain_rates, cpu, plain_cpu = [], [], [], []
    megabytes = count * RECORD_BYTES / 1e6
    # Nothing is refused here, so nothing needs a pace.
    before = pace.RECORDS_PER_S, pace.BYTES_PER_S
    pace.RECORDS_PER_S, pace.BYTES_PER_S = 10**9, 10**12  # type: ignore[misc]
    try:
        with _server(_accept) as settings:
            for turn in range(4):
                progress(f"sink: turn {turn}")
                wall_s, cpu_s, counts = _write(settings, count, _ONE_SHARD)
                assert counts.records == count, counts
                plain_s, plain_cpu_s = _put_plainly(settings, count)
                if turn:  # the first one connects
                    rates.append(megabytes / wall_s)
                    plain_rates.append(megabytes / plain_s)
                    cpu.append(cpu_s * 1000 / megabytes)
                    plain_cpu.append(plain_cpu_s * 1000 / megabytes)
    finally:
        pace.RECORDS_PER_S, pace.BYTES_PER_S = before  # type: ignore[misc]
    note = f"{count} records of 1 KB, 10 ms a call; the server takes part of the cores"
    return [
        figure_of("1 KB, writer", rates, "MB/s", note=note),
        figure_of("1 KB, boto3 put_records", plain_rates, "MB/s"),
        figure_of(
            "1 KB, writer / boto3",
            [a / b for a, b in zip(rates, plain_rates, strict=True)],
            "x",
            target=3.0,
        ),
        figure_of("1 KB, writer's CPU", cpu, "ms/MB"),
        figure_of("1 KB, boto3's CPU", plain_cpu, "ms/MB"),
        figure_of(
            "1 KB, CPU, boto3 / writer",
            [b / a for a, b in zip(cpu, plain_cpu, strict=True)],
            "x",
        ),
    ]


def _limits(*, quick: bool) -> list[Figure]:
    seconds = LIMITED_S // (2 if quick else 1)
    count = SHARDS * 1_000 * seconds
    with _server(_limit) as settings:
        progress(f"sink: {SHARDS} shards at their limit")
        wall_s, _, counts = _write(settings, count)
    share = counts.records / wall_s / (SHARDS * 1_000) * 100
    rejected = counts.rejected / (counts.records + counts.rejected) * 100
    note = f"{counts.requests} requests; 1,000 records a second and shard is the limit"
    return [
        figure_of("share of the shards' limit", [share], "%", target=95.0, note=note),
        figure_of("rejected records", [rejected], "%", target=1.0, target_is="at most"),
    ]


if __name__ == "__main__":
    main(measure)
