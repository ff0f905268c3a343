"""The cases that are frozen for each release: real queries, ended in the midst of something."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kinesis_source.emulator import Emulator
from tests.compat.compat_support import (
    STREAM,
    Case,
    Row,
    ShiftedClock,
    batch_ids,
    open_stream,
    start,
)
from tests.spark.support import BatchLog, logged_offset, wait_for_rows, wait_until


class World:
    """An emulator, a stream and a query that one case works with."""

    def __init__(self, spark: Any, aws: Emulator, clock: ShiftedClock, checkpoint: Path) -> None:
        self.spark = spark
        self.aws = aws
        self.clock = clock
        self.checkpoint = checkpoint
        self.log = BatchLog()
        self.options: dict[str, str] = {}
        self.before_start: set[Row] = set()
        self.query: Any = None

    def create(self, shards: int) -> None:
        self.handle = self.aws.account().create_stream(STREAM, shards=shards)
        self.stream = open_stream(self.aws)

    def put_before_start(self, count: int) -> None:
        """Put records that the query never reads, long before its start."""
        self.before_start = set(self.stream.put(count, prefix="before"))
        self.clock.advance(10)

    def put_elsewhere(self, count: int, empty: str, prefix: str = "k") -> None:
        """Put records into all shards but one."""
        ranges = {shard["ShardId"]: shard["HashKeyRange"] for shard in self.stream.shards()}
        low, high = (int(ranges[empty][end]) for end in ("StartingHashKey", "EndingHashKey"))
        number = done = 0
        while done < count:
            number += 1
            key = f"{prefix}-{number}"
            digest = hashlib.md5(key.encode(), usedforsecurity=False).digest()
            if not low <= int.from_bytes(digest, "big") <= high:
                reply = self.stream.client.put_record(
                    StreamName=STREAM, Data=key.encode(), PartitionKey=key
                )
                self.stream.written[reply["ShardId"], reply["SequenceNumber"]] = key.encode()
                done += 1

    def run(self, **options: str) -> None:
        self.options = options
        self.query = start(self.spark, self.aws, options, self.log, self.checkpoint)

    def read(self, count: int) -> None:
        wait_for_rows(self.query, self.log, count)

    def stop(self) -> None:
        """Stop when all that was delivered is committed."""
        offsets = partial(batch_ids, self.checkpoint, "offsets")
        wait_until(lambda: self.commits()[-1:] == offsets()[-1:], what="commit")
        self.query.stop()

    def fail(self) -> None:
        """Wait for the sink to fail: a batch that is logged, not committed."""
        wait_until(lambda: not self.query.isActive, what="the sink fails")

    def commits(self) -> list[int]:
        return batch_ids(self.checkpoint, "commits")

    def offset(self) -> dict[str, Any]:
        return logged_offset(self.checkpoint, batch_ids(self.checkpoint, "offsets")[-1])

    def case(self, description: str) -> Case:
        commits = self.commits()
        done = {row for batch in commits for row in self.log.batches.get(batch, [])}
        last = batch_ids(self.checkpoint, "offsets")[-1]
        logged = None
        if last not in commits:
            rows = self.log.batches.get(last)  # None: planned, but stopped before it ran
            logged = {"batch": last, "rows": None if rows is None else sorted(rows)}
        rest = set(self.stream.written) - done - self.before_start
        return Case(description, self.options, sorted(rest), logged)


def latest_idle_committed(world: World) -> None:
    """LATEST on an idle stream: batch 0 is committed and empty; records came while it was away."""
    world.create(2)
    world.put_before_start(10)
    world.run(initialPosition="latest")
    wait_until(lambda: world.commits() == [0], what="batch 0")
    world.stop()
    world.stream.put(10, prefix="away")


def latest_idle_uncommitted(world: World) -> None:
    """LATEST on an idle stream: batch 0 is logged, empty and not committed."""
    world.create(2)
    world.put_before_start(10)
    world.log.fail_before_commit = lambda batch_id, rows: True
    world.run(initialPosition="latest")
    world.fail()
    world.stream.put(10, prefix="away")


def midstream(world: World) -> None:
    """Several batches of four shards, all committed; one shard never had a record."""
    world.create(4)
    empty = world.handle.open_shard_ids()[3]
    world.put_elsewhere(40, empty)
    world.run()
    world.read(40)
    world.put_elsewhere(20, empty, prefix="more")
    world.read(60)
    world.stop()
    world.stream.put(20, prefix="away")


def midstream_by_arn(world: World) -> None:
    """The stream named by its ARN, which is its key in the offset."""
    world.create(2)
    world.stream.put(30)
    world.run(streamARN=world.handle.arn)
    world.read(30)
    world.stop()
    world.stream.put(20, prefix="away")


def finished_parent(world: World) -> None:
    """A split parent stands as finished, because one of its children was not listed yet."""
    world.create(2)
    world.stream.put(30)
    world.run()
    world.read(30)
    world.aws.faults.add("hide_shard", shard_id="shardId-000000000003")
    parent = world.stream.split()
    world.stream.put(40, prefix="children")

    def is_finished() -> bool:
        shards = world.offset()["streams"][STREAM]["shards"]
        return "end" in shards.get(parent, "") and "shardId-000000000002" in shards

    wait_until(is_finished, what="the parent is finished")
    world.stop()
    world.aws.faults.clear()


def merged(world: World) -> None:
    """Two shards became one; their child is being read, they have left the offset."""
    world.create(2)
    world.stream.put(30)
    world.run()
    world.read(30)
    world.stream.merge()
    world.stream.put(20, prefix="child")
    world.read(50)
    wait_until(lambda: len(world.offset()["streams"][STREAM]["shards"]) == 1, what="one shard")
    world.stop()
    world.stream.put(10, prefix="away")


def timestamp(world: World) -> None:
    """A start at a moment; batch 0 is committed, one shard has had no record since."""
    world.create(2)
    world.put_before_start(20)
    moment = datetime.datetime.fromtimestamp(world.clock() - 5, datetime.timezone.utc)
    second = world.handle.open_shard_ids()[1]
    world.put_elsewhere(10, second)
    world.run(initialPosition=moment.isoformat(timespec="milliseconds"))
    world.read(10)
    world.stop()
    world.stream.put(10, prefix="away")


def timestamp_uncommitted(world: World) -> None:
    """A start at a moment; batch 0 has rows and is not committed."""
    world.create(2)
    world.put_before_start(20)
    moment = datetime.datetime.fromtimestamp(world.clock() - 5, datetime.timezone.utc)
    world.stream.put(10)
    world.log.fail_before_commit = lambda batch_id, rows: True
    world.run(initialPosition=moment.isoformat(timespec="milliseconds"))
    world.fail()
    world.stream.put(10, prefix="away")


def uncommitted_last_batch(world: World) -> None:
    """The last batch was delivered, not committed; a shard was split in the meantime."""
    world.create(2)
    world.stream.put(30)
    world.run()
    world.read(30)
    world.log.fail_before_commit = lambda batch_id, rows: bool(rows)
    world.stream.put(20, prefix="logged")
    world.fail()
    world.stream.split()
    world.stream.put(20, prefix="away")


CASES: tuple[Callable[[World], None], ...] = (
    latest_idle_committed,
    latest_idle_uncommitted,
    midstream,
    midstream_by_arn,
    finished_parent,
    merged,
    timestamp,
    timestamp_uncommitted,
    uncommitted_last_batch,
)
