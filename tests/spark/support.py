"""Helpers of the tests on real Spark: streams to fill, queries to run, rows to compare."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from kinesis_source.emulator import Emulator

REGION = "us-east-1"


def kinesis_client(aws: Emulator, access_key: str = "test", secret_key: str = "test", **kwargs):
    return boto3.client(
        "kinesis",
        endpoint_url=aws.endpoint_url,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(max_pool_connections=20),
        **kwargs,
    )


class Stream:
    """A stream under test, filled and resharded with plain boto3."""

    def __init__(self, aws: Emulator, name: str, client: Any) -> None:
        self.aws = aws
        self.name = name
        self.client = client
        self.written: dict[tuple[str, str], bytes] = {}
        self._lock = threading.Lock()

    def put(self, count: int, size: int = 20, prefix: str = "k") -> list[tuple[str, str]]:
        """Put records; return their (shard id, sequence number)."""
        done: list[tuple[str, str]] = []
        for first in range(0, count, 500):
            batch = [
                {
                    "Data": f"{prefix}-{number}".encode().ljust(size, b"."),
                    "PartitionKey": f"{prefix}-{number}",
                }
                for number in range(first, min(count, first + 500))
            ]
            reply = self.client.put_records(StreamName=self.name, Records=batch)
            assert reply["FailedRecordCount"] == 0
            for record, result in zip(batch, reply["Records"], strict=True):
                done.append((result["ShardId"], result["SequenceNumber"]))
                with self._lock:
                    self.written[done[-1]] = record["Data"]
        return done

    def shards(self) -> list[dict[str, Any]]:
        return self.client.list_shards(StreamName=self.name)["Shards"]

    def open_shards(self) -> list[dict[str, Any]]:
        return [s for s in self.shards() if "EndingSequenceNumber" not in s["SequenceNumberRange"]]

    def split(self) -> str:
        """Split the widest open shard in the middle; return its id."""
        shard = max(self.open_shards(), key=_width)
        keys = shard["HashKeyRange"]
        middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
        self.client.split_shard(
            StreamName=self.name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle)
        )
        return shard["ShardId"]

    def merge(self) -> tuple[str, str]:
        """Merge the first two neighbours; return their ids."""
        shards = sorted(self.open_shards(), key=lambda s: int(s["HashKeyRange"]["StartingHashKey"]))
        first, second = shards[0]["ShardId"], shards[1]["ShardId"]
        self.client.merge_shards(
            StreamName=self.name, ShardToMerge=first, AdjacentShardToMerge=second
        )
        return first, second


def _width(shard: dict[str, Any]) -> int:
    keys = shard["HashKeyRange"]
    return int(keys["EndingHashKey"]) - int(keys["StartingHashKey"])


def source_options(aws: Emulator, stream: str = "events", **options: str) -> dict[str, str]:
    return {
        "streamName": stream,
        "region": REGION,
        "endpointUrl": aws.endpoint_url,
        "awsAccessKey": "test",
        "awsSecretKey": "test",
        "initialPosition": "trim_horizon",
        "pollInterval": "200ms",
        "shardFetchInterval": "500ms",
        **options,
    }


class BatchLog:
    """A sink that keeps, for every batch id, the rows of its last attempt."""

    def __init__(self) -> None:
        self.batches: dict[int, list[tuple[str, str]]] = {}
        self.attempts: list[int] = []
        self.fail_before_commit: Callable[[int, list[tuple[str, str]]], bool] = (
            lambda batch_id, rows: False
        )

    def __call__(self, frame: Any, batch_id: int) -> None:
        rows = [
            (r.shardId, r.sequenceNumber)
            for r in frame.select("shardId", "sequenceNumber").collect()
        ]
        self.attempts.append(batch_id)
        self.batches[batch_id] = rows
        if self.fail_before_commit(batch_id, rows):
            raise RuntimeError("the sink failed after it had the rows")

    @property
    def rows(self) -> list[tuple[str, str]]:
        return [row for batch_id in sorted(self.batches) for row in self.batches[batch_id]]


def wait_until(condition: Callable[[], bool], timeout_s: float = 60, what: str = "") -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def wait_for_rows(query: Any, log: BatchLog, count: int, timeout_s: float = 90) -> None:
    """Wait until a query has delivered so many rows; fail at once if the query fails."""

    def enough() -> bool:
        if not query.isActive and query.exception() is not None:
            raise AssertionError(str(query.exception()))
        return len(log.rows) >= count

    wait_until(enough, timeout_s, f"{count} rows, {len(log.rows)} so far")


def logged_offset(checkpoint: Path, batch_id: int) -> dict[str, Any]:
    """Return the offset that Spark logged for a batch."""
    text = (checkpoint / "offsets" / str(batch_id)).read_text()
    return json.loads(text.splitlines()[2])


class Writer:
    """Writes in the background until it is stopped."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.error: Exception | None = None
        self._thread.start()

    def _write(self) -> None:
        number = 0
        try:
            while not self._stop.wait(0.05):
                self._stream.put(20, prefix=f"w{number}")
                number += 1
        except Exception as error:  # noqa: BLE001 - shown by stop()
            self.error = error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert self.error is None
        assert not self._thread.is_alive()
