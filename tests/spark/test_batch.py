"""spark.read: everything between two ends, once, whatever happens meanwhile."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections import Counter
from datetime import datetime, timezone

import pyspark
import pytest
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from kinesis_source.emulator import Emulator
from kinesis_source.emulator.clock import ManualClock
from kinesis_source.errors import find_code
from tests.spark.support import Stream, kinesis_client, source_options, wait_until

HAS_PUSHDOWN = tuple(map(int, pyspark.__version__.split(".")[:2])) >= (4, 1)
ARRIVED = "approximateArrivalTimestamp"
PUSHDOWN = "spark.sql.python.filterPushdown.enabled"


def read(spark, aws, **options: str):
    return spark.read.format("tecton-kinesis").options(**given_options(aws, **options)).load()


def given_options(aws, **options: str) -> dict[str, str]:
    given = source_options(aws, **options)
    del given["initialPosition"]
    return given


def keys(frame) -> Counter[tuple[str, str]]:
    rows = frame.select("shardId", "sequenceNumber").collect()
    return Counter((row.shardId, row.sequenceNumber) for row in rows)


def once(numbers) -> Counter[tuple[str, str]]:
    return Counter(dict.fromkeys(numbers, 1))


@pytest.fixture
def resharded(make_stream):
    """A stream with parents, children and grandchildren, all with records."""
    stream = make_stream(shards=2)
    stream.put(300, prefix="a")
    stream.split()
    stream.put(300, prefix="b")
    stream.merge()
    stream.put(300, prefix="c")
    return stream


def test_everything_is_read_once_and_each_shard_in_order(spark, aws, resharded):
    frame = read(spark, aws, shardsPerTask="1")
    assert keys(frame) == once(resharded.written)
    rows = frame.select(F.spark_partition_id().alias("part"), "shardId", "sequenceNumber").collect()
    first_part: dict[str, int] = {}
    last_number: dict[str, int] = {}
    for row in rows:
        number = int(row.sequenceNumber)
        assert number > last_number.get(row.shardId, -1), "order within a shard"
        last_number[row.shardId] = number
        first_part.setdefault(row.shardId, row.part)
    for shard in resharded.shards():
        for parent in ("ParentShardId", "AdjacentParentShardId"):
            if parent in shard and shard["ShardId"] in first_part:
                assert first_part[shard[parent]] < first_part[shard["ShardId"]]


def test_two_actions_see_the_same_rows(spark, aws, make_stream):
    stream = make_stream(shards=2)
    before = stream.put(200)
    frame = read(spark, aws)
    stream.put(50, prefix="later")
    assert keys(frame) == once(before), "the end is the moment of load()"
    stream.put(50, prefix="much later")
    assert keys(frame.where("shardId is not null")) == once(before)
    assert len(keys(read(spark, aws))) == 300, "a new load() sees all"


def test_an_empty_stream_is_an_empty_frame(spark, aws, make_stream):
    make_stream(shards=3)
    assert read(spark, aws).count() == 0


def test_moments_are_inclusive_at_the_start_and_exclusive_at_the_end(spark, aws, make_stream):
    stream = make_stream(shards=1)
    for prefix in ("a", "b", "c"):
        stream.put(40, prefix=prefix)
        moment = datetime.now(timezone.utc)
        wait_until(lambda m=moment: (datetime.now(timezone.utc) - m).total_seconds() > 0.02)
    rows = read(spark, aws).select("approximateArrivalTimestamp", "data").collect()
    times = sorted({row[0] for row in rows})
    first, last = times[0], times[-1]

    def between(start, end=None):
        ends = {} if end is None else {"endingPosition": _iso(end)}
        found = read(spark, aws, startingPosition=_iso(start), **ends)
        return sorted(bytes(row.data) for row in found.select("data").collect())

    middle = sorted(bytes(row.data) for row in rows if first <= row[0] < last)
    assert between(first, last) == middle
    rest = sorted(bytes(row.data) for row in rows if row[0] >= last)
    assert between(last) == rest
    assert len(middle) + len(rest) == 120


@pytest.mark.parametrize("disorder_ms", [2, 20, 3_000])
def test_windows_that_follow_each_other_have_each_record_once(spark, aws, make_stream, disorder_ms):
    """Arrival times are approximate: they do not always rise."""
    stream = make_stream(shards=1)
    base_ms, count = int(time.time() * 1000) - 600_000, itertools.count()
    dice = random.Random(7)  # noqa: S311 - repeatable
    aws.arrival_hook = lambda *_: (
        base_ms + next(count) * disorder_ms // 2 + dice.randrange(-disorder_ms, disorder_ms)
    )
    stream.put(100)
    aws.arrival_hook = None
    arrivals = sorted(row[0] for row in read(spark, aws).select(ARRIVED).collect())
    for at in (10, 36, 70):
        moment = _iso(arrivals[at])
        before = keys(read(spark, aws, endingPosition=moment))
        behind = keys(read(spark, aws, startingPosition=moment))
        assert before + behind == keys(read(spark, aws))


def test_places_of_shards_begin_and_end_a_read(spark, aws, make_stream):
    stream = make_stream(shards=2)
    first = stream.put(100, prefix="a")
    last_of = dict(first)
    later = stream.put(100, prefix="b")
    places = json.dumps({shard: {"after": number} for shard, number in last_of.items()})
    assert keys(read(spark, aws, startingPosition=places)) == once(later)
    assert keys(read(spark, aws, endingPosition=places)) == once(first)
    exactly = json.dumps({shard: {"from": number} for shard, number in last_of.items()})
    found = keys(read(spark, aws, startingPosition=exactly))
    assert found == once([*later, *last_of.items()])


def test_what_descends_from_a_shard_that_has_an_end_is_not_read(spark, aws, make_stream):
    stream = make_stream(shards=1)
    before = stream.put(50)
    place = json.dumps({before[-1][0]: {"after": before[9][1]}})
    stream.split()
    stream.put(50, prefix="child")
    assert keys(read(spark, aws, endingPosition=place)) == once(before[:10])


def test_a_read_to_shards_ends_begins_with_their_children(spark, aws, make_stream):
    stream = make_stream(shards=1)
    stream.put(50)
    parent = stream.split()
    children = stream.put(50, prefix="child")
    places = json.dumps({parent: "end"})
    assert keys(read(spark, aws, startingPosition=places)) == once(children)


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"startingPosition": "latest"}, "OPTION_CONFLICT", "nothing would be read"),
        (
            {"startingPosition": "2024-01-02", "endingPosition": "2024-01-01"},
            "OPTION_CONFLICT",
            "does not lie behind",
        ),
        (
            {"startingPosition": '{"shardId-000000000009": "trim_horizon"}'},
            "OPTION_VALUE",
            "does not have",
        ),
        (
            {"startingPosition": '{"shardId-000000000000": "end"}'},
            "OPTION_VALUE",
            "but it is open",
        ),
        (
            {"startingPosition": '{"shardId-000000000000": {"after": "12"}}'},
            "OPTION_VALUE",
            "sequence number 12",
        ),
        (
            {"endingPosition": '{"shardId-000000000000": {"after": "12"}}'},
            "OPTION_VALUE",
            "sequence number 12",
        ),
        (
            {"endingPosition": '{"shardId-000000000099": {"after": "12"}}'},
            "OPTION_VALUE",
            "names shard 'shardId-000000000099'",
        ),
        ({"startingPosition": '{"events": "latest"}'}, "OPTION_CONFLICT", "nothing of it"),
    ],
)
def test_what_cannot_be_read_is_said(spark, aws, make_stream, options, code, text):
    make_stream(shards=1).put(5)
    with pytest.raises(Exception, match=text) as caught:
        read(spark, aws, **options).count()
    assert find_code(caught.value) == code


@pytest.mark.parametrize("option", ["endingPosition", "minPartitions", "filterPushdown"])
def test_a_stream_takes_no_end(spark, aws, make_stream, tmp_path, option):
    make_stream(shards=1)
    value = {"endingPosition": "latest", "minPartitions": "4", "filterPushdown": "true"}[option]
    frame = (
        spark.readStream.format("tecton-kinesis")
        .options(**source_options(aws, **{option: value}))
        .load()
    )
    query = frame.writeStream.format("noop").option("checkpointLocation", str(tmp_path)).start()
    with pytest.raises(Exception, match=r"is for spark\.read") as caught:
        query.awaitTermination(60)
    assert find_code(caught.value) == "OPTION_UNSUPPORTED"


def test_long_ranges_are_cut_into_as_many_tasks_as_asked_for(spark, aws, make_stream):
    stream = make_stream(shards=2)
    for turn in range(8):
        stream.put(40, prefix=f"t{turn}")
        before = datetime.now(timezone.utc)
        wait_until(lambda m=before: (datetime.now(timezone.utc) - m).total_seconds() > 0.05)
    frame = read(spark, aws, minPartitions="6")
    assert frame.select(F.spark_partition_id()).distinct().count() >= 6
    assert keys(frame) == once(stream.written)


def test_columns_and_sql(spark, aws, make_stream):
    stream = make_stream(shards=1)
    stream.put(20)
    some = spark.read.format("tecton-kinesis").schema("data BINARY, shardId STRING")
    frame = some.options(**given_options(aws)).load()
    assert frame.columns == ["data", "shardId"]
    assert frame.count() == 20
    given = given_options(aws)
    options = ", ".join(f"{name} '{value}'" for name, value in given.items())
    spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW v USING `tecton-kinesis` OPTIONS ({options})")
    assert spark.sql("SELECT count(*) AS n FROM v").first().n == 20


@pytest.fixture
def pushdown(spark):
    spark.conf.set(PUSHDOWN, "true")
    yield
    spark.conf.unset(PUSHDOWN)


@pytest.fixture
def hours():
    """Three hours of a shard: 500 records every ten minutes."""
    clock = ManualClock(time.time() - 12_000)
    with Emulator(clock=clock, signing_clock=time.time) as aws:
        client = kinesis_client(aws)
        client.create_stream(StreamName="events", ShardCount=1)
        clock.advance(60)
        stream = Stream(aws, "events", client)
        for _ in range(20):
            stream.put(500, size=100)
            clock.advance(600)
        yield aws


@pytest.mark.skipif(not HAS_PUSHDOWN, reason="Spark pushes filters from 4.1 on")
class TestFilters:
    """The same rows as without, for fewer records; one load() for each query."""

    def test_a_time_filter_does_not_read_the_rest_of_the_shard(self, spark, hours, pushdown):
        aws = hours
        times = sorted(row[0] for row in read(spark, aws).select(ARRIVED).collect())
        assert len(times) == 10_000
        column = F.col(ARRIVED)
        for condition in (
            column >= F.lit(times[-1_000]),
            column <= F.lit(times[999]),
            column.between(F.lit(times[4_000]), F.lit(times[4_999])),
        ):
            since = len(aws.call_log())
            frame = read(spark, aws, filterPushdown="true").where(condition)
            assert frame.count() == 1_000
            given = _records_given(aws, since)
            assert given <= 3_000, (str(condition), given)

    def test_filters_on_shards_and_numbers_give_the_same_rows(
        self, spark, aws, resharded, pushdown
    ):
        rows = read(spark, aws).select("shardId", "sequenceNumber", "streamName").collect()
        some = rows[len(rows) // 3]
        shard, number = F.col("shardId"), F.col("sequenceNumber")
        for condition, is_wanted in (
            (shard == some.shardId, lambda r: r.shardId == some.shardId),
            (shard.isin("nowhere", "elsewhere"), lambda r: False),
            (F.col("streamName") == "other", lambda r: False),
            (number == some.sequenceNumber, lambda r: r.sequenceNumber == some.sequenceNumber),
            (number > some.sequenceNumber, lambda r: r.sequenceNumber > some.sequenceNumber),
            (number <= some.sequenceNumber, lambda r: r.sequenceNumber <= some.sequenceNumber),
            ((shard == some.shardId) | shard.isNull(), lambda r: r.shardId == some.shardId),
        ):
            frame = read(spark, aws, filterPushdown="true")
            assert frame.where(condition).count() == sum(map(is_wanted, rows)), str(condition)

    def test_without_the_option_a_frame_may_be_filtered_again_and_again(
        self, spark, aws, make_stream, pushdown
    ):
        """Spark 4.3.0 keeps what a pushed filter has narrowed, and gives it to the next query."""
        stream = make_stream(shards=2)
        put = stream.put(60)
        frame = read(spark, aws)
        in_one = sum(shard_id == put[0][0] for shard_id, _ in put)
        assert frame.where(F.col("shardId") == put[0][0]).count() == in_one
        assert frame.count() == 60
        assert frame.where("shardId is null or length(data) > 0").count() == 60

    def test_a_setting_that_is_off_does_no_harm_to_the_option(self, spark, aws, make_stream):
        make_stream(shards=1).put(10)
        frame = read(spark, aws, filterPushdown="true")
        assert frame.where("shardId = 'shardId-000000000000'").count() == 10


def _iso(moment: datetime) -> str:
    aware = moment.astimezone(timezone.utc) if moment.tzinfo else moment
    return aware.isoformat()


def _records_given(aws, since: int = 0) -> int:
    return sum(call.records for call in aws.call_log()[since:] if call.operation == "GetRecords")
