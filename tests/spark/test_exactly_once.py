"""Invariants 2, 3 and 4: every record once, parents before children, through restarts."""

from __future__ import annotations

from pathlib import Path

from tests.spark.support import (
    BatchLog,
    Stream,
    Writer,
    source_options,
    wait_for_rows,
    wait_until,
)


def test_resharding_and_restarts_lose_and_repeat_nothing(spark, aws, make_stream, tmp_path: Path):
    """4 shards, writes all the time, 2 splits and 1 merge, 3 stops and starts."""
    stream = make_stream(shards=4)
    log = BatchLog()

    def start():
        return (
            spark.readStream.format("tecton-kinesis")
            .options(**source_options(aws))
            .load()
            .writeStream.foreachBatch(log)
            .option("checkpointLocation", str(tmp_path / "checkpoint"))
            .start()
        )

    writer = Writer(stream)
    try:
        for reshard in (stream.split, stream.merge, stream.split):
            query = start()
            wait_for_rows(query, log, len(log.rows) + 50)
            reshard()
            wait_for_rows(query, log, len(log.rows) + 200)
            query.stop()
        # The third restart reads on while nothing but the tail is left.
        query = start()
        wait_for_rows(query, log, len(log.rows) + 50)
    finally:
        writer.stop()
    wait_until(lambda: len(log.rows) >= len(stream.written), 60, "the tail")
    query.stop()

    assert len(log.rows) == len(set(log.rows)), "a record was delivered twice"
    assert set(log.rows) == set(stream.written)
    _assert_order_within_shards(log)
    _assert_parents_first(stream, log)


def _assert_order_within_shards(log: BatchLog) -> None:
    last: dict[str, int] = {}
    for shard_id, sequence_number in log.rows:
        assert int(sequence_number) > last.get(shard_id, -1), f"order broken in {shard_id}"
        last[shard_id] = int(sequence_number)


def _assert_parents_first(stream: Stream, log: BatchLog) -> None:
    first_batch: dict[str, int] = {}
    last_batch: dict[str, int] = {}
    for batch_id, rows in log.batches.items():
        for shard_id, _ in rows:
            first_batch[shard_id] = min(batch_id, first_batch.get(shard_id, batch_id))
            last_batch[shard_id] = max(batch_id, last_batch.get(shard_id, batch_id))
    families = 0
    for shard in stream.shards():
        for key in ("ParentShardId", "AdjacentParentShardId"):
            parent = shard.get(key)
            if parent in last_batch and shard["ShardId"] in first_batch:
                families += 1
                assert first_batch[shard["ShardId"]] > last_batch[parent], (
                    shard["ShardId"],
                    parent,
                )
    assert families >= 5, "two splits and a merge make six pairs"
