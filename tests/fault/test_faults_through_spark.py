"""The faults that matter most, through real Spark: driver and executors in their own processes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kinesis_source.emulator import Emulator
from kinesis_source.errors import find_code
from tests.fault.support import fill, written
from tests.spark.support import BatchLog, source_options, wait_for_rows


def begin(spark: Any, aws: Emulator, log: BatchLog, checkpoint: Path, **options: str) -> Any:
    return (
        spark.readStream.format("tecton-kinesis")
        .options(**source_options(aws, **{"retryBudget": "30s", "readTimeout": "2s", **options}))
        .load()
        .writeStream.foreachBatch(log)
        .option("checkpointLocation", str(checkpoint))
        .start()
    )


def assert_delivered_once(log: BatchLog, stream: Any) -> None:
    assert Counter(log.rows) == Counter(written(stream))


STORMS: dict[str, list[dict[str, Any]]] = {
    "throttling": [{"kind": "throttle", "probability": 0.25}],
    "expired iterators": [
        {"kind": "expired_iterator", "operation": "GetRecords", "probability": 0.4}
    ],
    "cut bodies": [
        {"kind": "cut_body", "operation": "GetRecords", "probability": 0.15},
        {"kind": "no_records", "operation": "GetRecords", "probability": 0.1},
        {"kind": "reset_mid_body", "operation": "GetRecords", "probability": 0.15},
    ],
}


@pytest.mark.parametrize("storm", list(STORMS))
def test_a_storm_loses_and_repeats_nothing(spark, aws, tmp_path: Path, storm: str):
    stream = aws.account().create_stream("events", shards=2)
    fill(stream, 200)
    rules = [aws.faults.add(**rule) for rule in STORMS[storm]]
    log = BatchLog()
    query = begin(spark, aws, log, tmp_path / "checkpoint", maxRecordsPerFetch="40")
    wait_for_rows(query, log, 200, timeout_s=100)
    fill(stream, 100, prefix="later")
    wait_for_rows(query, log, 300, timeout_s=100)
    query.stop()
    assert sum(rule.hits for rule in rules) >= 2
    assert_delivered_once(log, stream)


def test_resharding_under_faults_and_a_restart(spark, aws, tmp_path: Path):
    stream = aws.account().create_stream("events", shards=2)
    for kind in ("reset_mid_body", "expired_iterator", "no_next_iterator", "empty_page"):
        aws.faults.add(kind, operation="GetRecords", probability=0.08)
    aws.faults.add("throttle", operation="ListShards", probability=0.1)
    log = BatchLog()
    query = begin(spark, aws, log, tmp_path / "checkpoint")
    total = 0
    for turn in range(3):
        fill(stream, 80, prefix=f"turn {turn}")
        total += 80
        wait_for_rows(query, log, total, timeout_s=100)
        shards = stream.open_shard_ids()
        if turn == 1:
            stream.merge(shards[0], shards[1])
            query.stop()
            query = begin(spark, aws, log, tmp_path / "checkpoint")
        else:
            stream.split(shards[0])
    fill(stream, 80, prefix="last")
    wait_for_rows(query, log, total + 80, timeout_s=100)
    query.stop()
    assert any(rule.hits for rule in aws.faults.rules())
    assert_delivered_once(log, stream)


def test_a_spent_budget_shows_its_code_and_the_restarted_query_goes_on(spark, aws, tmp_path: Path):
    stream = aws.account().create_stream("events")
    fill(stream, 50)
    log = BatchLog()
    query = begin(spark, aws, log, tmp_path / "checkpoint", retryBudget="1s")
    wait_for_rows(query, log, 50)
    aws.faults.add("throttle", operation="GetRecords")
    fill(stream, 50, prefix="later")
    with pytest.raises(Exception, match="SERVICE_THROTTLED") as caught:
        query.awaitTermination(60)
    assert find_code(caught.value) == "SERVICE_THROTTLED"
    aws.faults.clear()
    query = begin(spark, aws, log, tmp_path / "checkpoint")
    wait_for_rows(query, log, 100)
    query.stop()
    assert_delivered_once(log, stream)
