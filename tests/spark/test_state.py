"""Stateful queries: windows, de-duplication and keyed state, through resharding and restarts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyspark
import pytest
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from tests.spark.support import source_options

HAS_ADMISSION_CONTROL = tuple(map(int, pyspark.__version__.split(".")[:2])) >= (4, 2)
ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
PROVIDER = "spark.sql.streaming.stateStore.providerClass"
ARRIVED = "approximateArrivalTimestamp"


class Run:
    """One query that is run to what is there, stopped, and run again from its checkpoint."""

    def __init__(self, spark, aws, checkpoint: Path, transform, mode: str) -> None:
        self._spark, self._aws, self._checkpoint = spark, aws, checkpoint
        self._transform, self._mode = transform, mode
        self.batches: dict[int, list[Any]] = {}

    def to_the_end(self) -> None:
        # A run of Spark 4.0 and 4.1 is one batch: children are read by the next one.
        for _ in range(1 if HAS_ADMISSION_CONTROL else 3):
            self._once()

    def _once(self) -> None:
        frame = (
            self._spark.readStream.format("tecton-kinesis")
            .options(**source_options(self._aws))
            .load()
        )

        def keep(found, batch_id: int) -> None:
            self.batches[batch_id] = found.collect()

        query = (
            self._transform(frame)
            .writeStream.outputMode(self._mode)
            .foreachBatch(keep)
            .option("checkpointLocation", str(self._checkpoint))
            .trigger(availableNow=True)
            .start()
        )
        assert query.awaitTermination(120)
        assert query.exception() is None, str(query.exception())

    @property
    def rows(self) -> list[Any]:
        return [row for batch_id in sorted(self.batches) for row in self.batches[batch_id]]


@pytest.fixture(autouse=True)
def few_partitions(spark):
    spark.conf.set("spark.sql.shuffle.partitions", "2")
    yield
    spark.conf.unset("spark.sql.shuffle.partitions")


def test_windows_count_each_record_once(spark, aws, make_stream, tmp_path):
    stream = make_stream(shards=2)

    def counts(frame):
        in_time = frame.withWatermark(ARRIVED, "10 minutes")
        return in_time.groupBy(F.window(ARRIVED, "1 hour"), "shardId").count()

    run = Run(spark, aws, tmp_path, counts, "update")
    stream.put(100, prefix="a")
    run.to_the_end()
    stream.split()
    stream.put(100, prefix="b")
    run.to_the_end()
    stream.merge()
    stream.put(100, prefix="c")
    run.to_the_end()
    last = {(row.window.start, row.shardId): row["count"] for row in run.rows}
    by_shard: Counter[str] = Counter()
    for (_, shard_id), count in last.items():
        by_shard[shard_id] += count
    assert by_shard == Counter(shard_id for shard_id, _ in stream.written)


def test_duplicates_are_dropped_within_the_watermark(spark, aws, make_stream, tmp_path):
    stream = make_stream(shards=2)

    def once(frame):
        in_time = frame.withWatermark(ARRIVED, "1 hour")
        return in_time.withColumn(
            "event", F.col("data").cast("string")
        ).dropDuplicatesWithinWatermark(["event"])

    run = Run(spark, aws, tmp_path, once, "append")
    stream.put(50, prefix="x")
    run.to_the_end()
    stream.split()
    stream.put(80, prefix="x")  # 50 of them again, some in a child of the shard of the first
    run.to_the_end()
    stream.put(80, prefix="x")
    run.to_the_end()
    assert Counter(row.event for row in run.rows) == Counter(
        {data.decode(): 1 for data in set(stream.written.values())}
    )


def test_each_keys_records_come_in_order_across_batches(spark, aws, make_stream, tmp_path):
    """Keyed state sees a key's records as they were put: parents before children, also later."""
    pytest.importorskip("pandas")
    from pyspark.sql.streaming.stateful_processor import StatefulProcessor

    class LastSeen(StatefulProcessor):
        def init(self, handle) -> None:
            self.last = handle.getValueState("last", "n int")

        def handleInputRows(self, key, rows, timer_values):  # noqa: N802 - Spark's name
            import pandas as pd

            last = self.last.get()[0] if self.last.exists() else -1
            wrong = 0
            for frame in rows:
                for n in frame["n"]:
                    wrong += int(n) != last + 1
                    last = int(n)
            self.last.update((last,))
            yield pd.DataFrame({"key": [key[0]], "last": [last], "wrong": [wrong]})

        def close(self) -> None:
            pass

    def checked(frame):
        text = F.split(F.col("data").cast("string"), "-")
        keyed = frame.select(text[0].alias("key"), text[1].cast("int").alias("n"))
        return keyed.groupBy("key").transformWithStateInPandas(
            statefulProcessor=LastSeen(),
            outputStructType="key string, last int, wrong int",
            outputMode="Update",
            timeMode="None",
        )

    spark.conf.set(PROVIDER, ROCKSDB)
    try:
        stream = make_stream(shards=2)
        run = Run(spark, aws, tmp_path, checked, "update")
        done = 0

        def put(count: int) -> None:
            nonlocal done
            for n in range(done, done + count):
                for key in ("a", "b", "c", "d"):
                    stream.client.put_record(
                        StreamName=stream.name, Data=f"{key}-{n}".encode(), PartitionKey=key
                    )
            done += count

        put(20)
        run.to_the_end()
        stream.split()
        put(20)
        stream.split()
        put(20)
        run.to_the_end()
        stream.merge()
        put(20)
        run.to_the_end()
    finally:
        spark.conf.unset(PROVIDER)
    assert {row.key: row.last for row in run.rows} == dict.fromkeys("abcd", 79)
    assert sum(row.wrong for row in run.rows) == 0
