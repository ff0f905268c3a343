"""watch(): how far a backfill is, until it ends."""

from __future__ import annotations

import io
import re
import time

import pyspark
import pytest

import kinesis_source
from kinesis_source.errors import StreamError
from kinesis_source.preview.backlog import Backlog
from tests.spark.support import BatchLog, source_options

HAS_ADMISSION_CONTROL = tuple(map(int, pyspark.__version__.split(".")[:2])) >= (4, 2)


def start(spark, aws, sink, folder, **options: str):
    frame = spark.readStream.format("tecton-kinesis").options(**source_options(aws, **options))
    writer = frame.load().writeStream.foreachBatch(sink).queryName("backfill")
    return writer.option("checkpointLocation", str(folder)).trigger(availableNow=True).start()


def test_a_backfill_is_watched_to_its_end(spark, aws, make_stream, tmp_path):
    stream = make_stream(shards=1)
    for _ in range(4):
        stream.put(500)
        time.sleep(1.1)  # a thousand records a second and shard, as on AWS
    log = BatchLog()
    out = io.StringIO()
    query = start(spark, aws, log, tmp_path, maxRecordsPerTrigger="500")
    assert kinesis_source.watch(query, out=out)
    last = out.getvalue().splitlines()[-1]
    assert last.startswith("backfill: 100 % of the backlog by arrival time, ")
    if HAS_ADMISSION_CONTROL:
        assert len(log.rows) == 2_000
        assert re.search(r"2,000 rows in [3-9] batches, [\d,]+ rows/s", last)


def test_a_share_is_known_before_the_end(spark, aws, make_stream, tmp_path):
    if not HAS_ADMISSION_CONTROL:
        pytest.skip("one batch a run before Spark 4.2")
    stream = make_stream(shards=1)
    for _ in range(4):
        stream.put(500)
        time.sleep(1.1)
    shares: list[float | None] = []

    def sink(frame, _: int) -> None:
        frame.count()
        time.sleep(1.0)
        backlog = Backlog()
        backlog.take(list(query.recentProgress))
        shares.append(backlog.progress().share)

    query = start(spark, aws, sink, tmp_path, maxRecordsPerTrigger="500")
    assert query.awaitTermination(60)
    known = [share for share in shares if share is not None]
    assert known == sorted(known)
    assert any(0.1 < share < 0.95 for share in known), shares


def test_a_failure_is_raised_with_its_reason(spark, aws, make_stream, tmp_path):
    make_stream(shards=1).put(5)

    def sink(frame, batch_id: int) -> None:
        raise RuntimeError("the disk is full")

    query = start(spark, aws, sink, tmp_path)
    with pytest.raises(StreamError, match=r"\[QUERY_FAILED\] The query 'backfill' failed: "):
        kinesis_source.watch(query, out=io.StringIO())


def test_a_query_that_does_not_end_is_watched_for_a_time(spark, aws, make_stream, tmp_path):
    make_stream(shards=1).put(5)
    frame = spark.readStream.format("tecton-kinesis").options(**source_options(aws)).load()
    query = (
        frame.writeStream.foreachBatch(BatchLog())
        .option("checkpointLocation", str(tmp_path))
        .start()
    )
    out = io.StringIO()
    assert not kinesis_source.watch(query, timeout=2, out=out)
    assert query.isActive
    query.stop()
    assert "of the backlog by arrival time" in out.getvalue()
