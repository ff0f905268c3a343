"""Metrics of a real query: Spark's reports reach the outputs, with this source's numbers."""

from __future__ import annotations

import pyspark
import pytest

from kinesis_source import KinesisQueryListener
from kinesis_source.observe.outputs import History
from tests.spark.support import BatchLog, source_options, wait_for_rows, wait_until

HAS_NUMBERS = tuple(map(int, pyspark.__version__.split(".")[:2])) >= (4, 2)


@pytest.fixture
def history(spark):
    history = History()
    listener = KinesisQueryListener(history)
    spark.streams.addListener(listener)
    yield history
    spark.streams.removeListener(listener)


def test_reports_of_a_query_with_a_throttled_shard(spark, aws, make_stream, tmp_path, history):
    stream = make_stream(shards=3)
    stream.put(60)
    log = BatchLog()
    query = (
        spark.readStream.format("tecton-kinesis")
        .options(**source_options(aws))
        .load()
        .writeStream.queryName("watched")
        .foreachBatch(log)
        .option("checkpointLocation", str(tmp_path))
        .start()
    )
    wait_for_rows(query, log, 60)
    throttled = stream.open_shards()[0]["ShardId"]
    fault = aws.faults.add("throttle", operation="GetRecords", shard_id=throttled)

    def put_and_look() -> bool:
        stream.put(6, prefix="more")
        seen = [sample for sample in history.samples if sample.query == "watched"]
        if not HAS_NUMBERS:
            return sum(sample.rows for sample in seen) >= 60
        return any(sample.total("numThrottledShards") >= 1 for sample in seen)

    wait_until(put_and_look, 60, "a report with the throttled shard")
    aws.faults.remove(fault)
    query.stop()
    sample = [sample for sample in history.samples if sample.query == "watched"][-1]
    assert set(sample.streams) == {"events"}
    assert sample.batch_ms > 0
    if HAS_NUMBERS:
        numbers = sample.streams["events"]
        assert numbers["numOpenShards"] == 3
        assert numbers["numThrottledCalls"] >= 1
        assert 0 <= numbers["minMsBehindLatest"] <= numbers["maxMsBehindLatest"]
    frame = history.to_pandas()
    assert frame["rows"].sum() >= 60


def test_queries_without_kinesis_are_not_reported(spark, history, tmp_path):
    frame = spark.readStream.format("rate").option("rowsPerSecond", 10).load()
    query = frame.writeStream.format("noop").option("checkpointLocation", str(tmp_path)).start()
    wait_until(lambda: len(query.recentProgress) >= 2, 60, "reports")
    query.stop()
    assert not history.samples
