"""What a preview shows, and what can be done with it beside stopping it."""

from __future__ import annotations

import gzip
import json
import threading
import time

import pytest
from pyspark.sql.streaming.query import StreamingQuery

from kinesis_source import KinesisConfig, StreamSource
from kinesis_source.errors import OptionError, StreamError
from tests.spark.support import source_options


def preview_source(aws, post_processor=None, **options: str) -> StreamSource:
    given = {**source_options(aws), **options}
    config = KinesisConfig(
        given.pop("streamName"),
        given.pop("region"),
        post_processor,
        "ts",
        given.pop("initialPosition"),
        options=given,
    )
    return StreamSource(name="events", stream_config=config)


@pytest.fixture
def preview(spark, aws, make_stream, request):
    """A running preview of raw JSON records."""
    stream = make_stream(shards=2)
    put_json(stream, range(12))
    name = f"eye_{request.node.name[-20:].strip('[]').replace('-', '_')}_{time.time_ns() % 10**6}"
    query = preview_source(aws).start_stream_preview(name, apply_translator=False, spark=spark)
    yield query
    query.stop()


def put_json(stream, numbers) -> None:
    records = [
        {"Data": json.dumps({"n": n, "user": f"jörg {n}"}).encode(), "PartitionKey": f"k{n}"}
        for n in numbers
    ]
    assert (
        stream.client.put_records(StreamName=stream.name, Records=records)["FailedRecordCount"] == 0
    )


def test_it_is_spark_s_query_and_waits_for_rows(preview, spark):
    assert isinstance(preview, StreamingQuery)
    assert preview.wait_for_rows(12) == 12
    assert preview.isActive
    assert any(query.id == preview.id for query in spark.streams.active)
    assert len(preview.to_pandas()) == 12


def test_text_for_a_terminal(preview, capsys):
    preview.wait_for_rows(12)
    preview.show(3)
    text = capsys.readouterr().out
    assert f"{preview.name} [running] Running: " in text
    assert "12 rows" in text
    assert '"user": "j' in text, "data is readable"
    assert "rows by shard  000000000000: " in text
    assert "[7B" not in text
    preview.stop()
    preview.show(1)
    assert "[stopped] Stopped, with 12 rows from stream events, from trim_horizon." in (
        capsys.readouterr().out
    )


def test_html_for_a_notebook(preview):
    preview.wait_for_rows(12)
    shown = preview._repr_html_()
    assert ">running</span>" in shown
    assert "newest rows" in shown
    assert "&quot;user&quot;" in shown
    assert "jörg" in shown or "j\\u00f6rg" in shown


def test_a_schema_of_what_was_seen_can_be_used_at_once(preview, spark, aws):
    preview.wait_for_rows(12)
    hint = preview.schema_hint()
    assert hint.ddl == "n BIGINT, user STRING"
    assert hint.records == 12
    assert "def post_processor(raw):" in repr(hint)
    preview.stop()
    name = f"{preview.name}_typed"
    typed = preview_source(aws, hint.post_processor).start_stream_preview(name, spark=spark)
    typed.wait_for_rows(12)
    assert sorted(row.n for row in spark.table(name).collect()) == list(range(12))
    with pytest.raises(OptionError, match="apply_translator=False"):
        typed.schema_hint()
    typed.stop()
    scope: dict = {}
    exec(hint.code, scope)  # noqa: S102 - what a user would paste
    assert callable(scope["post_processor"])


def test_waiting_says_what_for(spark, aws, make_stream):
    make_stream(shards=3)
    query = preview_source(aws, initialPosition="latest").start_stream_preview(
        "eye_waiting", apply_translator=False, spark=spark
    )
    try:
        with pytest.raises(TimeoutError, match=r"eye_waiting has 0 of 1 rows after 8 s\. \w+"):
            query.wait_for_rows(1, timeout=8)
        deadline = time.monotonic() + 60
        while query.lastProgress is None and time.monotonic() < deadline:
            time.sleep(0.1)
        shown = query._repr_html_()
        assert "Waiting for the first record: " in shown
        assert "stream events, from latest" in shown
        with pytest.raises(OptionError, match="nothing"):
            query.schema_hint()
    finally:
        query.stop()


def test_a_forgotten_preview_ends_at_max_rows(spark, aws, make_stream, capsys):
    stream = make_stream(shards=1)
    put_json(stream, range(30))
    query = preview_source(aws).start_stream_preview(
        "eye_full", apply_translator=False, spark=spark, max_rows=20
    )
    assert query.awaitTermination(60)
    deadline = time.monotonic() + 10
    while query._preview_watcher.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    query.show()
    text = capsys.readouterr().out
    assert "Stopped at max_rows = 20: the oldest rows stay" in text
    assert query.exception() is None
    assert query.wait_for_rows(20) == 30, "one batch had them all"


def test_an_error_of_the_query_is_shown_with_its_code(spark, aws, make_stream):
    stream = make_stream(shards=1)
    put_json(stream, range(5))
    query = preview_source(aws, retryBudget="1s").start_stream_preview(
        "eye_failed", apply_translator=False, spark=spark
    )
    query.wait_for_rows(5)
    stream.client.delete_stream(StreamName=stream.name)
    with pytest.raises(StreamError, match=r"\[PREVIEW_ENDED\].* with 5 of 6 rows: \[STREAM_"):
        query.wait_for_rows(6, timeout=100)
    shown = query._repr_html_()
    assert ">failed</span>" in shown
    assert "[STREAM_" in shown


@pytest.mark.parametrize("max_rows", [0, -1])
def test_a_limit_needs_room(aws, spark, make_stream, max_rows):
    with pytest.raises(OptionError, match="max_rows"):
        preview_source(aws).start_stream_preview("eye_none", spark=spark, max_rows=max_rows)


def test_compressed_data_is_opened(spark, aws, make_stream, capsys):
    stream = make_stream(shards=1)
    stream.client.put_record(
        StreamName=stream.name, Data=gzip.compress(b'{"n": 1}'), PartitionKey="k"
    )
    query = preview_source(aws).start_stream_preview(
        "eye_gzip", apply_translator=False, spark=spark
    )
    query.wait_for_rows(1)
    query.show()
    assert 'gzip, json: {"n": 1}' in capsys.readouterr().out
    assert query.schema_hint().ddl == "n BIGINT"
    query.stop()


def test_nothing_of_it_stays_behind(preview):
    preview.wait_for_rows(1)
    preview.stop()
    names = [thread.name for thread in threading.enumerate()]
    assert f"preview-{preview.name}" not in names
