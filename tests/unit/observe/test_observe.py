"""Metrics: what Spark's reports say, and what becomes of it."""

from __future__ import annotations

import io
import json
import logging
import urllib.request
from types import SimpleNamespace
from typing import Any

import pytest

from kinesis_source.observe.listener import KinesisQueryListener
from kinesis_source.observe.outputs import EmbeddedMetrics, History, LogLines
from kinesis_source.observe.prometheus import PrometheusEndpoint, PrometheusFile
from kinesis_source.observe.sample import sample_of

NUMBERS = {
    "numTotalShards": 6,
    "numOpenShards": 4,
    "numClosedShards": 2,
    "numShardsBehind": 3,
    "numThrottledShards": 1,
    "numThrottledCalls": 17,
    "numUnansweredShards": 0,
    "minMsBehindLatest": 0,
    "avgMsBehindLatest": 900,
    "maxMsBehindLatest": 2_500,
    "numDataLosses": 0,
}
OFFSET = {"v": 2, "streams": {"clicks": {"created": 1, "shards": {}}}}


def progress(**changes: Any) -> dict[str, Any]:
    return {
        "id": "1-2",
        "runId": "3-4",
        "name": "copy",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "batchId": 7,
        "numInputRows": 1_000,
        "processedRowsPerSecond": 500.0,
        "durationMs": {"triggerExecution": 2_000, "addBatch": 1_500},
        "sources": [
            {
                "description": "tecton-kinesis",
                "endOffset": OFFSET,
                "latestOffset": {"clicks": NUMBERS},
                "numInputRows": 1_000,
            }
        ],
        **changes,
    }


def event(report: dict[str, Any]) -> Any:
    return SimpleNamespace(progress=SimpleNamespace(json=json.dumps(report)))


def ended(exception: str | None = None) -> Any:
    return SimpleNamespace(runId="3-4", exception=exception)


def test_a_report_of_spark_4_2_and_later() -> None:
    sample = sample_of(progress())
    assert sample is not None
    assert (sample.query, sample.batch_id, sample.rows, sample.batch_ms) == (
        "copy",
        7,
        1_000,
        2_000,
    )
    assert sample.streams == {"clicks": NUMBERS}
    assert sample.worst("maxMsBehindLatest") == 2_500


def test_offsets_that_come_as_text() -> None:
    source = {"endOffset": json.dumps(OFFSET), "latestOffset": json.dumps({"clicks": NUMBERS})}
    sample = sample_of(progress(sources=[source]))
    assert sample is not None
    assert sample.streams == {"clicks": NUMBERS}


def test_a_report_of_spark_4_0_has_no_numbers_of_the_source() -> None:
    sample = sample_of(progress(sources=[{"endOffset": OFFSET, "latestOffset": None}], name=None))
    assert sample is not None
    assert sample.query == "1-2"
    assert sample.streams == {"clicks": {}}
    assert sample.worst("maxMsBehindLatest") is None


@pytest.mark.parametrize(
    "report",
    [
        progress(sources=[]),
        progress(sources=None),
        progress(sources=[{"endOffset": {"topic": {"0": 5}}}]),
        progress(sources=[{"endOffset": "5"}]),
        progress(sources=[{"endOffset": None}]),
        {},
    ],
)
def test_queries_of_other_sources_are_no_concern(report: dict[str, Any]) -> None:
    history = History()
    KinesisQueryListener(history).onQueryProgress(event(report))
    assert not history.samples


def test_nothing_that_fails_reaches_spark(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def write(self, sample: Any) -> None:
            raise OSError("disk full")

        ended = write

    history = History()
    listener = KinesisQueryListener(Broken(), history)  # type: ignore[arg-type]
    listener.onQueryProgress(SimpleNamespace(progress=SimpleNamespace(json="{")))
    for _ in range(3):
        listener.onQueryProgress(event(progress()))
    assert len(history.samples) == 3, "the other outputs get theirs"
    assert sum("disk full" in record.getMessage() for record in caplog.records) == 1


def test_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    listener = KinesisQueryListener(LogLines(every_s=1_000))
    with caplog.at_level(logging.INFO, "kinesis_source.observe"):
        listener.onQueryProgress(event(progress()))
        listener.onQueryProgress(event(progress(batchId=8)))
        lost = {"clicks": {**NUMBERS, "numDataLosses": 2}}
        listener.onQueryProgress(
            event(progress(sources=[{"endOffset": OFFSET, "latestOffset": lost}]))
        )
        listener.onQueryTerminated(ended("... [DATA_LOSS_TRIMMED] gone"))
    first, bad, last = caplog.records
    assert "query copy batch 7: 1000 rows in 2.0 s, 2.5 s behind, 3 of 4" in first.getMessage()
    assert (bad.levelno, last.levelno) == (logging.WARNING, logging.ERROR)
    assert "2 losses" in bad.getMessage()
    assert "ended with [DATA_LOSS_TRIMMED]" in last.getMessage()


def test_embedded_metrics(tmp_path: Any) -> None:
    to, path = io.StringIO(), tmp_path / "metrics.log"
    listener = KinesisQueryListener(EmbeddedMetrics(to), EmbeddedMetrics(path, "Mine"))
    listener.onQueryProgress(event(progress()))
    listener.onQueryTerminated(ended())
    line, end = map(json.loads, to.getvalue().splitlines())
    (metrics,) = line["_aws"]["CloudWatchMetrics"]
    assert line["_aws"]["Timestamp"] == 1_767_323_045_678
    assert metrics["Dimensions"] == [["query", "stream"]]
    units = {metric["Name"]: metric["Unit"] for metric in metrics["Metrics"]}
    assert units["maxMsBehindLatest"] == "Milliseconds"
    assert units["numOpenShards"] == "Count"
    assert all(isinstance(line[name], int) for name in units)
    assert (line["query"], line["stream"], line["rows"]) == ("copy", "clicks", 1_000)
    assert end == {"query": "copy", "ended": True, "errorCode": None}
    assert '"Namespace": "Mine"' in path.read_text()


def test_a_history_forgets_the_oldest_and_is_a_frame() -> None:
    pytest.importorskip("pandas")
    history = History(most=2)
    listener = KinesisQueryListener(history)
    for batch_id in (1, 2, 3):
        listener.onQueryProgress(event(progress(batchId=batch_id)))
    frame = history.to_pandas()
    assert list(frame["batchId"]) == [2, 3]
    assert set(frame["maxMsBehindLatest"]) == {2_500}
    assert set(frame["stream"]) == {"clicks"}


def test_prometheus_over_http_and_in_a_file(tmp_path: Any) -> None:
    pytest.importorskip("prometheus_client")
    path = tmp_path / "kinesis.prom"
    endpoint = PrometheusEndpoint(port=0)
    listener = KinesisQueryListener(endpoint, PrometheusFile(path))
    try:
        listener.onQueryProgress(event(progress()))
        listener.onQueryProgress(event(progress()))
        listener.onQueryProgress(event(progress(batchId=8, numInputRows=5)))
        with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics") as reply:
            text = reply.read().decode()
        for line in (
            'kinesis_source_query_active{query="copy"} 1.0',
            'kinesis_source_rows_total{query="copy"} 1005.0',
            'kinesis_source_behind_latest_seconds{over="max",query="copy",stream="clicks"} 2.5',
            'kinesis_source_shards{query="copy",state="behind",stream="clicks"} 3.0',
            'kinesis_source_throttled_calls{query="copy",stream="clicks"} 17.0',
        ):
            assert line in text, text
            assert line in path.read_text()
        listener.onQueryTerminated(ended("[STREAM_NOT_FOUND] gone"))
        assert 'kinesis_source_query_active{query="copy"} 0.0' in path.read_text()
        assert 'code="STREAM_NOT_FOUND",query="copy"} 1.0' in path.read_text()
    finally:
        endpoint.close()
