"""start_stream_preview on a real Spark session against the emulator."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import functions as F  # noqa: N812 - as everybody writes it

from kinesis_source import KinesisConfig, KinesisDSConfig, StreamDataSource, StreamSource, find_code
from kinesis_source.errors import AccessDeniedError, CredentialError, OptionError, StreamError

REGION = "us-east-1"
RAW_COLUMNS = [
    "data",
    "streamName",
    "partitionKey",
    "sequenceNumber",
    "approximateArrivalTimestamp",
    "shardId",
    "subSequenceNumber",
]


def parse_clicks(frame):
    """Turn raw records into typed columns."""
    event = F.from_json(F.col("data").cast("string"), "user string, page string, ts timestamp")
    return frame.select(event.alias("event")).select("event.*")


def click(number: int, user: str = "u1") -> bytes:
    return json.dumps({"user": user, "page": f"/p/{number}", "ts": "2026-01-02T03:04:05Z"}).encode()


class Cross:
    """A stream of one account, and what a reader of another needs to get at it."""

    def __init__(self, aws: Any) -> None:
        owner = aws.account("222222222222")
        self.stream = owner.create_stream("clicks", shards=2)
        self.reader = aws.account("111111111111").create_user("etl")
        self.role = owner.create_role("reader", trusts=[self.reader.arn], external_id="abc-123")
        self.options = {
            "endpointUrl": aws.endpoint_url,
            "stsEndpoint": aws.endpoint_url,
            "awsAccessKey": self.reader.access_key,
            "awsSecretKey": self.reader.secret_key,
            "roleArn": self.role.arn,
            "roleExternalId": "abc-123",
            "pollInterval": "200ms",
        }

    def source(self, **changes: Any) -> StreamSource:
        options = {**self.options, **changes.pop("options", {})}
        given = {
            "stream_name": "clicks",
            "region": REGION,
            "post_processor": parse_clicks,
            "timestamp_field": "ts",
            "initial_stream_position": "trim_horizon",
            **changes,
        }
        return StreamSource(name="clicks", stream_config=KinesisConfig(**given, options=options))


@pytest.fixture
def cross(aws) -> Cross:
    return Cross(aws)


def wait_for(condition: Callable[[], Any], query: Any = None, limit_s: float = 120.0) -> Any:
    """Wait for a condition; a query that fails meanwhile fails the test with its reason."""
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        if query is not None and query.exception() is not None:
            raise query.exception()
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.1)
    return found


def count(spark: Any, table: str) -> int:
    return spark.table(table).count()


def test_a_preview_through_a_cross_account_role_shows_typed_rows(spark, cross) -> None:
    cross.stream.put_many([(click(number), f"k{number}") for number in range(20)])

    query = cross.source().start_stream_preview("clicks_typed", spark=spark)

    assert query.name == "clicks_typed"
    assert query.isActive
    wait_for(lambda: count(spark, "clicks_typed") == 20, query)
    cross.stream.put(click(20, "u2"), "late")
    wait_for(lambda: count(spark, "clicks_typed") == 21, query)
    row = spark.sql("select * from clicks_typed where user = 'u2'").first()
    assert row.page == "/p/20"
    assert (
        row.ts.replace(tzinfo=timezone.utc).timestamp()
        == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc).timestamp()
    )
    query.stop()
    assert count(spark, "clicks_typed") == 21


def test_without_translator_the_raw_records_show_undeduplicated(spark, cross) -> None:
    cross.stream.put_many([(b"\x00\xff raw", "k1"), (b"\x00\xff raw", "k1")])
    source = cross.source(deduplication_columns=["user"])

    query = source.start_stream_preview("clicks_raw", apply_translator=False)

    wait_for(lambda: count(spark, "clicks_raw") == 2, query)
    frame = spark.table("clicks_raw")
    assert frame.columns == RAW_COLUMNS
    assert [bytes(row.data) for row in frame.collect()] == [b"\x00\xff raw"] * 2
    assert {(row.streamName, row.partitionKey) for row in frame.collect()} == {("clicks", "k1")}


def test_deduplication_columns_drop_events_seen_before(spark, cross) -> None:
    cross.stream.put_many([(click(1, f"u{number % 3}"), f"k{number}") for number in range(12)])
    source = cross.source(deduplication_columns=["user"])

    query = source.start_stream_preview("clicks_once")
    wait_for(lambda: count(spark, "clicks_once") == 3, query)
    cross.stream.put_many([(click(2, "u1"), "x"), (click(2, "u9"), "x")])

    wait_for(lambda: count(spark, "clicks_once") == 4, query)
    users = sorted(row.user for row in spark.table("clicks_once").collect())
    assert users == ["u0", "u1", "u2", "u9"]


def test_overrides_beat_the_config_in_any_spelling(spark, cross) -> None:
    cross.stream.put(click(1), "old")
    time.sleep(1.2)  # "latest" is the moment of the call, by a clock that is known to the second
    source = cross.source(options={"initialposition": "trim_horizon"})

    query = source.start_stream_preview(
        "clicks_latest", option_overrides={"STARTINGPOSITION": "latest"}
    )
    wait_for(lambda: query.lastProgress is not None, query)
    cross.stream.put(click(2), "new")

    wait_for(lambda: count(spark, "clicks_latest") == 1, query)
    assert spark.table("clicks_latest").first().page == "/p/2"


def test_latest_on_an_idle_stream_is_an_empty_table_without_error(spark, cross) -> None:
    query = cross.source(initial_stream_position=None).start_stream_preview("clicks_idle")

    wait_for(lambda: query.lastProgress is not None, query)
    assert count(spark, "clicks_idle") == 0
    assert query.exception() is None


def test_latest_shows_what_is_put_as_soon_as_the_call_has_returned(spark, cross) -> None:
    """The query's first question comes seconds later; nobody at the prompt knows that."""
    query = cross.source(initial_stream_position="latest").start_stream_preview("clicks_early")
    cross.stream.put_many([(click(number), f"k{number}") for number in range(5)])

    wait_for(lambda: count(spark, "clicks_early") == 5, query)
    query.stop()


def test_the_older_spellings_preview_as_well(spark, cross) -> None:
    cross.stream.put(click(7), "k")
    config = KinesisDSConfig(
        "clicks", REGION, parse_clicks, "ts", "trim_horizon", "24 hours", options=cross.options
    )
    source = StreamDataSource(name="clicks", stream_ds_config=config)

    query = source.start_stream_preview("clicks_old")

    wait_for(lambda: count(spark, "clicks_old") == 1, query)


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"options": {"roleExternalId": "wrong"}}, (CredentialError, AccessDeniedError), "reader"),
        ({"stream_name": "clacks"}, (StreamError, AccessDeniedError), "clacks"),
        ({"region": "eu-west-1"}, (StreamError, AccessDeniedError), "eu-west-1"),
    ],
)
def test_access_errors_fail_the_call_itself_within_seconds(
    spark, cross, change: dict[str, Any], error: type[Exception], named: str
) -> None:
    started = time.monotonic()

    with pytest.raises(error) as caught:
        cross.source(**change).start_stream_preview("clicks_denied")

    assert time.monotonic() - started < 10
    assert named in str(caught.value)
    assert find_code(caught.value)
    assert cross.reader.secret_key not in str(caught.value)
    assert not spark.streams.active


def test_a_role_that_may_not_read_is_named_with_the_missing_action(spark, cross) -> None:
    cross.role.set_permissions(["kinesis:DescribeStreamSummary", "kinesis:ListShards"])

    with pytest.raises(AccessDeniedError, match="GetShardIterator") as caught:
        cross.source().start_stream_preview("clicks_denied")

    assert "reader" in str(caught.value)


def test_an_endpoint_that_is_not_there_does_not_keep_the_caller_for_minutes(spark, cross) -> None:
    # Port 9 of loopback: nothing listens there.
    changes = {"endpointUrl": "http://127.0.0.1:9", "stsEndpoint": "http://127.0.0.1:9"}
    started = time.monotonic()

    with pytest.raises(Exception, match=r"127\.0\.0\.1:9") as caught:
        cross.source(options=changes).start_stream_preview("clicks_nowhere")

    assert time.monotonic() - started < 40
    assert find_code(caught.value)


def test_a_name_in_use_is_refused_until_its_query_stops(spark, cross) -> None:
    source = cross.source()
    first = source.start_stream_preview("clicks_busy")

    with pytest.raises(OptionError, match="clicks_busy") as caught:
        source.start_stream_preview("CLICKS_busy")
    assert caught.value.code == "OPTION_CONFLICT"
    assert first.isActive

    first.stop()
    cross.stream.put(click(1), "k")
    second = source.start_stream_preview("clicks_busy")
    wait_for(lambda: count(spark, "clicks_busy") == 1, second)


def test_a_table_that_spark_cannot_make_leaves_no_query_behind(spark, cross, tmp_path) -> None:
    # Reserved words are refused by Spark only when asked for, and only after the query started.
    spark.conf.set("spark.sql.ansi.enforceReservedKeywords", "true")
    try:
        with pytest.raises(AnalysisException):
            cross.source().start_stream_preview("select", checkpoint_dir=tmp_path)
    finally:
        spark.conf.unset("spark.sql.ansi.enforceReservedKeywords")

    assert not spark.streams.active
    assert not list(tmp_path.iterdir())


def test_an_error_in_post_processor_reaches_the_caller_unchanged(spark, cross) -> None:
    class MyError(Exception):
        pass

    def broken(frame):
        raise MyError("my own words")

    with pytest.raises(MyError, match=r"^my own words$"):
        cross.source(post_processor=broken).start_stream_preview("clicks_broken")
    with pytest.raises(AnalysisException, match="no_such_column"):
        cross.source(
            post_processor=lambda frame: frame.select("no_such_column")
        ).start_stream_preview("clicks_broken")
    with pytest.raises(TypeError, match="post_processor returned NoneType"):
        cross.source(post_processor=lambda frame: None).start_stream_preview("clicks_broken")
    assert not spark.streams.active


def test_the_checkpoint_lives_in_the_parent_while_the_query_runs(
    spark, cross, tmp_path: Path
) -> None:
    parent = tmp_path / "a parent 100%"
    parent.mkdir()
    cross.stream.put(click(1), "k")

    query = cross.source().start_stream_preview("clicks_kept", checkpoint_dir=str(parent))

    wait_for(lambda: count(spark, "clicks_kept") == 1, query)
    (own,) = parent.iterdir()
    assert list((own / "offsets").iterdir())
    query.stop()
    wait_for(lambda: not list(parent.iterdir()))
    wait_for(lambda: not [t for t in threading.enumerate() if t.name.endswith("clicks_kept")])


def test_the_checkpoint_goes_when_the_query_fails_or_never_starts(
    spark, cross, tmp_path: Path
) -> None:
    def not_a_stream(frame):
        return spark.range(1)

    with pytest.raises(AnalysisException):
        cross.source(post_processor=not_a_stream).start_stream_preview(
            "clicks_static", checkpoint_dir=tmp_path
        )
    assert not list(tmp_path.iterdir())

    def failing(frame):
        return frame.select(F.raise_error(F.lit("boom")))

    cross.stream.put(click(1), "k")
    query = cross.source(post_processor=failing).start_stream_preview(
        "clicks_fails", checkpoint_dir=tmp_path
    )
    wait_for(lambda: not query.isActive)
    wait_for(lambda: not list(tmp_path.iterdir()))
