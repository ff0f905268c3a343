"""Invariants 1 and 5: a batch that was logged but not committed has the same rows again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.spark.support import (
    BatchLog,
    Stream,
    Writer,
    logged_offset,
    source_options,
    wait_for_rows,
    wait_until,
)


def start(spark, aws, log: BatchLog, checkpoint: Path, **options: str) -> Any:
    return (
        spark.readStream.format("tecton-kinesis")
        .options(**source_options(aws, **options))
        .load()
        .writeStream.foreachBatch(log)
        .option("checkpointLocation", str(checkpoint))
        .start()
    )


def run_until_sink_fails(query: Any) -> None:
    with pytest.raises(Exception, match="the sink failed after it had the rows"):
        query.awaitTermination(90)


def test_a_later_batch_is_replayed_with_the_same_rows(spark, aws, make_stream, tmp_path):
    stream: Stream = make_stream()
    stream.put(100)
    log = BatchLog()
    query = start(spark, aws, log, tmp_path)
    wait_for_rows(query, log, 100)
    log.fail_before_commit = lambda batch_id, rows: len(rows) > 0
    stream.put(50, prefix="more")
    run_until_sink_fails(query)
    failed = max(log.batches)
    first_try = sorted(log.batches[failed])
    assert first_try

    stream.put(70, prefix="later")
    log.fail_before_commit = lambda batch_id, rows: False
    query = start(spark, aws, log, tmp_path)
    wait_for_rows(query, log, 220)
    query.stop()
    assert log.attempts.count(failed) == 2
    assert sorted(log.batches[failed]) == first_try
    assert sorted(log.rows) == sorted(stream.written)


@pytest.mark.parametrize("position", ["latest", "trim_horizon"])
def test_batch_0_is_replayed_with_the_same_rows(spark, aws, make_stream, tmp_path, position):
    """Also for LATEST: the start that counts is the one of the first try."""
    stream: Stream = make_stream()
    log = BatchLog()
    log.fail_before_commit = lambda batch_id, rows: True
    writer = Writer(stream)  # so that batch 0 has rows even at LATEST
    try:
        query = start(spark, aws, log, tmp_path, initialPosition=position)
        run_until_sink_fails(query)
    finally:
        writer.stop()
    first_try = sorted(log.batches[0])
    end = logged_offset(tmp_path, 0)
    assert log.attempts == [0]
    assert end["start"], "batch 0's end offset carries where the query started"

    stream.put(70, prefix="later")
    log.fail_before_commit = lambda batch_id, rows: False
    query = start(spark, aws, log, tmp_path, initialPosition=position)
    newest: dict[str, str] = {}
    for shard_id, sequence_number in stream.written:
        newest[shard_id] = max(sequence_number, newest.get(shard_id, ""), key=lambda n: int(n or 0))
    wait_until(lambda: set(newest.items()) <= set(log.rows), 90, "the newest row of each shard")
    query.stop()
    assert sorted(log.batches[0]) == first_try
    assert len(log.rows) == len(set(log.rows))
    # All that came after the first try's start is there: nothing fell between the two starts.
    oldest = dict.fromkeys(newest, 10**130)
    for shard_id, sequence_number in log.rows:
        oldest[shard_id] = min(int(sequence_number), oldest[shard_id])
    expected = {row for row in stream.written if int(row[1]) >= oldest[row[0]]}
    assert set(log.rows) == expected
    if position == "trim_horizon":
        assert expected == set(stream.written)


def test_a_commit_lost_on_the_way_changes_nothing(spark, aws, make_stream, tmp_path):
    """As after kill -9 between the offset log and the commit log."""
    stream: Stream = make_stream()
    stream.put(120)
    log = BatchLog()
    query = start(spark, aws, log, tmp_path)
    wait_for_rows(query, log, 120)
    query.stop()
    last = max(log.batches)
    before = sorted(log.batches[last])
    for name in (str(last), f".{last}.crc"):
        (tmp_path / "commits" / name).unlink(missing_ok=True)

    stream.put(30, prefix="later")
    query = start(spark, aws, log, tmp_path)
    wait_for_rows(query, log, 150)
    query.stop()
    assert sorted(log.batches[last]) == before
    assert sorted(log.rows) == sorted(stream.written)
