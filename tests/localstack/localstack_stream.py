"""What the Spark tests on LocalStack share: a stream to fill and reshard, a sink, waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.localstack.localstack_harness.fixtures import LocalStack

# LocalStack is slow and shares the machine with Spark; an idle one needs a tenth of this.
WAIT_S = 120.0

OWNER = "222222222222"
"""An account beside LocalStack's default one."""
Row = tuple[str, str, bytes]


class Stream:
    """A stream of an account in LocalStack, written and resharded through localstack-client."""

    def __init__(self, localstack: LocalStack, name: str, shards: int, account: str | None) -> None:
        self.name = name
        self.client = localstack.client("kinesis", account=account)
        self.written: set[Row] = set()
        self.client.create_stream(StreamName=name, ShardCount=shards)
        self._wait_active()

    def put(self, count: int, prefix: str = "record") -> None:
        """Put records under keys that spread over all shards."""
        texts = [f"{prefix}-{number}" for number in range(count)]
        for start in range(0, count, 500):
            batch = texts[start : start + 500]
            reply = self.client.put_records(
                StreamName=self.name,
                Records=[{"Data": text.encode(), "PartitionKey": text} for text in batch],
            )
            assert reply["FailedRecordCount"] == 0
            self.written |= {
                (result["ShardId"], result["SequenceNumber"], text.encode())
                for text, result in zip(batch, reply["Records"], strict=True)
            }

    def stored(self) -> list[tuple[str, bytes]]:
        """Return partition key and data of all records, shard by shard, each in its order."""
        found = []
        for shard in self.client.list_shards(StreamName=self.name)["Shards"]:
            iterator = self.client.get_shard_iterator(
                StreamName=self.name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while iterator is not None:
                reply = self.client.get_records(ShardIterator=iterator)
                found += [(record["PartitionKey"], record["Data"]) for record in reply["Records"]]
                iterator = reply.get("NextShardIterator")
                if not reply["Records"] and reply["MillisBehindLatest"] == 0:
                    break
        return found

    def split(self) -> None:
        """Split the first open shard in the middle."""
        shard = self._open_shards()[0]
        low, high = _hash_range(shard)
        self.client.split_shard(
            StreamName=self.name,
            ShardToSplit=shard["ShardId"],
            NewStartingHashKey=str((low + high) // 2),
        )
        self._wait_active()

    def merge(self) -> None:
        """Merge the first two open shards."""
        first, second = self._open_shards()[:2]
        self.client.merge_shards(
            StreamName=self.name,
            ShardToMerge=first["ShardId"],
            AdjacentShardToMerge=second["ShardId"],
        )
        self._wait_active()

    def _open_shards(self) -> list[dict[str, Any]]:
        """Return the open shards by hash range."""
        shards = self.client.list_shards(StreamName=self.name)["Shards"]
        is_open = [s for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
        return sorted(is_open, key=_hash_range)

    def _wait_active(self) -> None:
        def is_active() -> bool:
            reply = self.client.describe_stream_summary(StreamName=self.name)
            return bool(reply["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE")

        wait_for(is_active, f"stream {self.name} is ACTIVE")


class Sink:
    """What a query delivered, batch by batch; a replayed batch replaces its first try."""

    def __init__(self) -> None:
        self._batches: dict[int, list[Row]] = {}

    def __call__(self, frame: Any, batch_id: int) -> None:
        rows = frame.select("shardId", "sequenceNumber", "data").collect()
        self._batches[batch_id] = [(r.shardId, r.sequenceNumber, bytes(r.data)) for r in rows]

    @property
    def rows(self) -> list[Row]:
        return [row for batch_id in sorted(self._batches) for row in self._batches[batch_id]]


def start(spark: Any, options: dict[str, str], sink: Sink, checkpoint: Path) -> Any:
    """Start a query that reads a stream into a sink."""
    frame = spark.readStream.format("tecton-kinesis").options(**options).load()
    writer = frame.writeStream.foreachBatch(sink)
    return writer.option("checkpointLocation", str(checkpoint)).start()


def wait_for_rows(query: Any, sink: Sink, count: int) -> None:
    """Wait until so many rows came; a query that failed is reported with its error."""

    def has_rows() -> bool:
        if not query.isActive:
            raise AssertionError(f"the query ended: {query.exception()}")
        return len(sink.rows) >= count

    wait_for(has_rows, lambda: f"{count} rows came, {len(sink.rows)} did")


def wait_for_first_batch(query: Any) -> None:
    """Wait until a query has logged its first batch, and with it where it starts."""

    def has_batch() -> bool:
        if not query.isActive:
            raise AssertionError(f"the query ended: {query.exception()}")
        return query.lastProgress is not None

    wait_for(has_batch, "the first batch is done")


def wait_for(is_true: Callable[[], bool], what: str | Callable[[], str]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + WAIT_S
    while not is_true():
        if time.monotonic() > deadline:
            text = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {WAIT_S:.0f} s: {text}")
        time.sleep(0.1)


def _hash_range(shard: dict[str, Any]) -> tuple[int, int]:
    keys = shard["HashKeyRange"]
    return int(keys["StartingHashKey"]), int(keys["EndingHashKey"])
