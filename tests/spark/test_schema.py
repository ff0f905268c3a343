"""What a query gets: columns, names, values, look-up of the format."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from kinesis_source import find_code, register
from tests.spark.support import source_options


def read_all(spark, aws, schema: str | None = None, name: str = "tecton-kinesis", **options: str):
    """Return all rows of the stream, by a memory table."""
    reader = spark.readStream.format(name).options(**source_options(aws, **options))
    if schema is not None:
        reader = reader.schema(schema)
    query = (
        reader.load().writeStream.format("memory").queryName("result").trigger(availableNow=True)
    ).start()
    assert query.awaitTermination(60)
    return spark.table("result")


def test_the_columns_in_their_order(spark, aws, make_stream):
    stream = make_stream(shards=1)
    ((shard_id, sequence_number),) = stream.put(1, prefix="one")
    frame = read_all(spark, aws)
    assert frame.dtypes == [
        ("data", "binary"),
        ("streamName", "string"),
        ("partitionKey", "string"),
        ("sequenceNumber", "string"),
        ("approximateArrivalTimestamp", "timestamp"),
        ("shardId", "string"),
        ("subSequenceNumber", "bigint"),
    ]
    row = frame.first()
    record = aws.account().stream("events").records()[0]
    assert bytes(row.data) == stream.written[shard_id, sequence_number]
    assert row.streamName == "events"
    assert row.partitionKey == "one-0"
    assert row.sequenceNumber == sequence_number
    assert row.shardId == shard_id
    assert row.subSequenceNumber is None
    arrival_ms = frame.selectExpr("unix_millis(approximateArrivalTimestamp) ms").first().ms
    assert arrival_ms == pytest.approx(record["ApproximateArrivalTimestamp"] * 1000, abs=0.6)


def test_a_subset_in_another_order_with_stream_as_name(spark, aws, make_stream):
    make_stream(shards=1).put(3)
    frame = read_all(spark, aws, "shardId STRING, stream STRING, data BINARY")
    assert frame.columns == ["shardId", "stream", "data"]
    rows = sorted(frame.collect(), key=lambda row: bytes(row.data))
    assert [(r.shardId, r.stream) for r in rows] == [("shardId-000000000000", "events")] * 3
    assert [bytes(r.data).rstrip(b".") for r in rows] == [b"k-0", b"k-1", b"k-2"]


@pytest.mark.parametrize(
    ("schema", "message"),
    [("data STRING", "data"), ("payload BINARY", "payload"), ("data BINARY NOT NULL", "data")],
)
def test_a_wrong_schema_is_named(spark, aws, make_stream, schema, message):
    make_stream()
    with pytest.raises(Exception, match=r"\[OPTION_SCHEMA\]") as caught:
        read_all(spark, aws, schema)
    assert message in str(caught.value)
    assert find_code(caught.value) == "OPTION_SCHEMA"


def aggregate(records: list[tuple[str, bytes]]) -> bytes:
    """Make a KPL aggregate of short records, by the published format."""

    def field(number: int, body: bytes) -> bytes:
        return bytes([number << 3 | 2, len(body)]) + body

    message = b"".join(field(1, key.encode()) for key, _ in records)
    for index, (_, data) in enumerate(records):
        message += field(3, bytes([0x08, index]) + field(3, data))
    return b"\xf3\x89\x9a\xc2" + message + hashlib.md5(message).digest()


def test_kpl_aggregates_are_taken_apart_unless_switched_off(spark, aws, make_stream):
    stream = make_stream(shards=1)
    packed = aggregate([("user-1", b"first"), ("user-2", b"second")])
    damaged = packed[:-1] + bytes([packed[-1] ^ 1])
    for data in (b"plain", packed, damaged):
        stream.client.put_record(StreamName="events", Data=data, PartitionKey="p")
    rows = read_all(spark, aws).orderBy("sequenceNumber", "subSequenceNumber").collect()
    assert [(bytes(r.data), r.partitionKey, r.subSequenceNumber) for r in rows] == [
        (b"plain", "p", None),
        (b"first", "user-1", 0),
        (b"second", "user-2", 1),
        (damaged, "p", None),
    ]
    assert rows[1].sequenceNumber == rows[2].sequenceNumber
    raw = read_all(spark, aws, deaggregate="false").orderBy("sequenceNumber").collect()
    assert [bytes(r.data) for r in raw] == [b"plain", packed, damaged]


def test_an_alias_serves_programs_of_another_connector(spark, aws, make_stream):
    make_stream(shards=1).put(4)
    with pytest.raises(Exception, match="DATA_SOURCE_NOT_FOUND"):
        spark.readStream.format("kinesis").load()
    register(spark, aliases=("kinesis",))
    options = source_options(aws)
    for ours, theirs in (
        ("streamName", "kinesis.streamName"),
        ("endpointUrl", "kinesis.endpointUrl"),
        ("initialPosition", "kinesis.startingPosition"),
        ("awsAccessKey", "kinesis.awsAccessKeyId"),
    ):
        options[theirs] = options.pop(ours)
    query = (
        spark.readStream.format("kinesis")
        .options(**options)
        .load()
        .writeStream.format("memory")
        .queryName("aliased")
        .trigger(availableNow=True)
        .start()
    )
    assert query.awaitTermination(60)
    assert spark.table("aliased").count() == 4


LOOK_UP = """
import sys
from pyspark.sql import SparkSession
spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
         .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
         .getOrCreate())
frame = (spark.readStream.format("tecton-kinesis").option("streamName", "events")
         .option("region", "us-east-1").load())
print("COLUMNS", ",".join(frame.columns))
spark.stop()
"""


def test_the_format_is_found_without_a_register_call():
    done = subprocess.run(
        [sys.executable, "-c", LOOK_UP], capture_output=True, text=True, timeout=120, check=False
    )
    assert "COLUMNS data,streamName,partitionKey" in done.stdout, done.stderr[-3000:]
