"""Every trigger, and an idle stream that does not spin."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pyspark
import pytest

from tests.spark.support import (
    BatchLog,
    Writer,
    logged_offset,
    source_options,
    wait_for_rows,
    wait_until,
)

HAS_ADMISSION_CONTROL = tuple(map(int, pyspark.__version__.split(".")[:2])) >= (4, 2)


def stream_writer(spark, aws, log, checkpoint: Path, **options: str):
    return (
        spark.readStream.format("tecton-kinesis")
        .options(**source_options(aws, **options))
        .load()
        .writeStream.foreachBatch(log)
        .option("checkpointLocation", str(checkpoint))
    )


def test_available_now_reads_what_is_there_and_ends(spark, aws, make_stream, tmp_path):
    stream = make_stream(shards=3)
    before = set(stream.put(5_000, size=300))
    log = BatchLog()
    writer = Writer(stream)  # what comes during the run must not keep it going
    try:
        query = stream_writer(spark, aws, log, tmp_path).trigger(availableNow=True).start()
        assert query.awaitTermination(60), "the run must end although records keep coming"
    finally:
        writer.stop()
    assert query.exception() is None
    assert before <= set(log.rows), "everything from before the start is read"
    assert len(log.rows) == len(set(log.rows))


def test_available_now_reads_nothing_newer_than_its_start(spark, aws, make_stream, tmp_path):
    stream = make_stream(shards=1)
    stream.put(10)
    log = BatchLog()
    release = threading.Event()

    def hold(batch_id, rows):
        # While the first batch with rows is being processed, much later records arrive.
        if rows and not release.is_set():
            time.sleep(2.5)  # the target may lie a second after the start, no more
            stream.put(10, prefix="newer")
            release.set()
        return False

    log.fail_before_commit = hold
    query = stream_writer(spark, aws, log, tmp_path).trigger(availableNow=True).start()
    assert query.awaitTermination(60)
    assert {stream.written[row].split(b"-")[0] for row in log.rows} == {b"k"}
    assert len(log.rows) == 10

    query = stream_writer(spark, aws, log, tmp_path).trigger(availableNow=True).start()
    assert query.awaitTermination(60)
    assert sorted(log.rows) == sorted(stream.written), "the next run reads them, once"


@pytest.mark.skipif(not HAS_ADMISSION_CONTROL, reason="one batch a run before Spark 4.2")
def test_available_now_follows_resharding_to_the_newest_generation(
    spark, aws, make_stream, tmp_path
):
    stream = make_stream(shards=2)
    for reshard in (stream.split, stream.merge, stream.split):
        stream.put(100, prefix=reshard.__name__)
        reshard()
    stream.put(100, prefix="last")
    log = BatchLog()
    query = stream_writer(spark, aws, log, tmp_path).trigger(availableNow=True).start()
    assert query.awaitTermination(90)
    assert sorted(log.rows) == sorted(stream.written)


def test_once_reads_all_in_a_single_batch(spark, aws, make_stream, tmp_path):
    stream = make_stream(shards=2)
    stream.put(6_000, size=200)
    log = BatchLog()
    query = stream_writer(spark, aws, log, tmp_path).trigger(once=True).start()
    assert query.awaitTermination(60)
    assert log.attempts == [0]
    assert sorted(log.rows) == sorted(stream.written)


def test_processing_time_delivers_as_records_come(spark, aws, make_stream, tmp_path):
    stream = make_stream()
    log = BatchLog()
    query = (
        stream_writer(spark, aws, log, tmp_path).trigger(processingTime="300 milliseconds").start()
    )
    for number in range(3):
        stream.put(10, prefix=f"round{number}")
        wait_for_rows(query, log, 10 * (number + 1))
    query.stop()
    assert sorted(log.rows) == sorted(stream.written)


def test_an_idle_stream_makes_batch_0_and_then_no_batch_and_few_calls(
    spark, aws, make_stream, tmp_path
):
    """Steady state of the frontier's budget: one GetRecords per shard and poll interval."""
    make_stream(shards=2)
    log = BatchLog()
    query = stream_writer(
        spark, aws, log, tmp_path, initialPosition="latest", pollInterval="500ms"
    ).start()
    wait_until(lambda: (tmp_path / "commits" / "0").exists(), 60, "batch 0")
    assert logged_offset(tmp_path, 0)["start"]
    aws.calls.clear()
    began = time.monotonic()
    wait_until(lambda: aws.calls.count("GetRecords") >= 12, 30, "six polls of two shards")
    seconds = time.monotonic() - began
    query.stop()
    assert log.attempts == [0], "no batch without news"
    for shard_id in ("shardId-000000000000", "shardId-000000000001"):
        assert aws.calls.count("GetRecords", shard_id=shard_id) <= seconds / 0.5 + 2
        assert aws.calls.count("GetShardIterator", shard_id=shard_id) <= 1


def test_latest_keeps_what_came_while_the_query_was_down(spark, aws, make_stream, tmp_path):
    """Trap: LATEST resolved anew at a restart loses what came in between."""
    stream = make_stream()
    log = BatchLog()
    query = stream_writer(spark, aws, log, tmp_path, initialPosition="latest").start()
    wait_until(lambda: (tmp_path / "commits" / "0").exists(), 60, "batch 0")
    query.stop()
    stream.put(40, prefix="while-down")
    query = stream_writer(spark, aws, log, tmp_path, initialPosition="latest").start()
    wait_for_rows(query, log, 40)
    query.stop()
    assert sorted(log.rows) == sorted(stream.written)


def test_a_timestamp_start_reads_from_that_moment(spark, aws, make_stream, tmp_path):
    stream = make_stream()
    stream.put(20, prefix="old")
    time.sleep(0.02)
    moment_ms = int(time.time() * 1000)
    time.sleep(0.02)
    stream.put(30, prefix="new")
    wait_until(lambda: time.time() * 1000 > moment_ms + 1000, 5, "the moment is past everywhere")
    log = BatchLog()
    query = (
        stream_writer(spark, aws, log, tmp_path, initialPosition=str(moment_ms))
        .trigger(availableNow=True)
        .start()
    )
    assert query.awaitTermination(60)
    assert {stream.written[row].split(b"-")[0] for row in log.rows} == {b"new"}
    assert len(log.rows) == 30


@pytest.mark.skipif(not HAS_ADMISSION_CONTROL, reason="one batch a run before Spark 4.2")
def test_available_now_works_a_backlog_off_in_bounded_batches(spark, aws, make_stream, tmp_path):
    stream = make_stream(shards=3)
    stream.put(2_000)
    log = BatchLog()
    query = (
        stream_writer(spark, aws, log, tmp_path, maxRecordsPerTrigger="300")
        .trigger(availableNow=True)
        .start()
    )
    assert query.awaitTermination(120)
    assert sorted(log.rows) == sorted(stream.written)
    sizes = [len(rows) for rows in log.batches.values() if rows]
    assert max(sizes) <= 450
    assert len(sizes) >= 5
