"""Spark reads streams of LocalStack exactly once: history, live records, resharding, restarts."""

import time
from collections import Counter

from tests.localstack.localstack_stream import Sink, start, wait_for_first_batch, wait_for_rows


def _assert_exactly_once(sink, stream):
    assert Counter(sink.rows) == Counter(stream.written)


def _assert_shard_order(sink):
    """Within a shard, rows come in the order in which records were put."""
    for shard_id in {row[0] for row in sink.rows}:
        numbers = [int(row[1]) for row in sink.rows if row[0] == shard_id]
        assert numbers == sorted(numbers)


def test_all_records_of_all_shards_come_once(spark, make_stream, options, tmp_path):
    stream, sink = make_stream(shards=3), Sink()
    stream.put(200, "history")

    query = start(spark, options, sink, tmp_path)
    wait_for_rows(query, sink, 200)
    stream.put(100, "live")
    wait_for_rows(query, sink, 300)
    query.processAllAvailable()
    query.stop()

    _assert_exactly_once(sink, stream)
    _assert_shard_order(sink)


def test_latest_leaves_the_history_out(spark, make_stream, options, tmp_path):
    stream, sink = make_stream(), Sink()
    stream.put(20, "history")
    stream.written.clear()
    time.sleep(1.2)  # "latest" is the moment of load(), by a clock that is known to the second

    query = start(spark, options | {"initialPosition": "latest"}, sink, tmp_path)
    # Once its first batch is logged, the query has fixed its start.
    wait_for_first_batch(query)
    stream.put(30, "live")
    wait_for_rows(query, sink, 30)
    query.processAllAvailable()
    query.stop()

    _assert_exactly_once(sink, stream)


def test_available_now_reads_what_is_there_and_ends(spark, make_stream, options, tmp_path):
    stream, sink = make_stream(), Sink()
    stream.put(100)

    frame = spark.readStream.format("tecton-kinesis").options(**options).load()
    query = (
        frame.writeStream.foreachBatch(sink)
        .option("checkpointLocation", str(tmp_path))
        .trigger(availableNow=True)
        .start()
    )

    assert query.awaitTermination(60)
    assert query.exception() is None
    _assert_exactly_once(sink, stream)


def test_resharding_under_a_running_query_and_a_restart(spark, make_stream, options, tmp_path):
    stream, sink = make_stream(shards=2), Sink()
    stream.put(60, "before")

    query = start(spark, options, sink, tmp_path)
    wait_for_rows(query, sink, 60)
    stream.split()
    stream.put(60, "after-split")
    wait_for_rows(query, sink, 120)
    stream.merge()
    stream.put(60, "after-merge")
    wait_for_rows(query, sink, 180)
    query.stop()

    # A reshard, and records on both sides of it, that no query sees happen.
    stream.put(30, "stopped")
    stream.split()
    stream.put(30, "stopped-after-split")
    query = start(spark, options, sink, tmp_path)
    wait_for_rows(query, sink, 240)
    stream.put(30, "restarted")
    wait_for_rows(query, sink, 270)
    query.processAllAvailable()
    query.stop()

    _assert_exactly_once(sink, stream)
    _assert_shard_order(sink)
    assert len({shard_id for shard_id, _, _ in sink.rows}) == 2 + 2 + 1 + 2
