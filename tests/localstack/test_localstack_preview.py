"""A preview of a stream in LocalStack: a table that fills while it is looked at."""

import json

import pytest
from pyspark.sql import functions

from kinesis_source import KinesisConfig, StreamSource
from tests.localstack.localstack_stream import wait_for


def _orders(frame):
    order = functions.from_json(
        functions.col("data").cast("string"), "order_id string, amount double"
    )
    return frame.select(order.alias("order"), "approximateArrivalTimestamp").select(
        "order.*", functions.col("approximateArrivalTimestamp").alias("ordered_at")
    )


@pytest.fixture
def source(options) -> StreamSource:
    stream_name, region = options.pop("streamName"), options.pop("region")
    return StreamSource(
        name="orders",
        stream_config=KinesisConfig(
            stream_name=stream_name,
            region=region,
            post_processor=_orders,
            timestamp_field="ordered_at",
            initial_stream_position=options.pop("initialPosition"),
            options=options,
        ),
    )


def _put_orders(stream, *ids):
    for order_id in ids:
        data = json.dumps({"order_id": order_id, "amount": 9.5}).encode()
        stream.client.put_record(StreamName=stream.name, Data=data, PartitionKey=order_id)


def _count(spark, table):
    return spark.sql(f"select count(*) from {table}").first()[0]  # noqa: S608 - the test's own name


def test_a_preview_shows_translated_rows_as_they_come(spark, make_stream, source):
    stream = make_stream()
    _put_orders(stream, "a", "b")

    query = source.start_stream_preview("orders_preview", spark=spark)
    wait_for(lambda: _count(spark, "orders_preview") >= 2, "two orders are in the table")
    _put_orders(stream, "c")
    wait_for(lambda: _count(spark, "orders_preview") >= 3, "the third order is in the table")
    rows = spark.sql("select order_id, amount, ordered_at from orders_preview").collect()
    query.stop()

    assert query.name == "orders_preview"
    assert sorted(row.order_id for row in rows) == ["a", "b", "c"]
    assert {row.amount for row in rows} == {9.5}
    assert all(row.ordered_at is not None for row in rows)


def test_a_preview_without_translator_shows_the_raw_records(spark, make_stream, source):
    stream = make_stream()
    _put_orders(stream, "a", "b", "a")

    query = source.start_stream_preview("orders_raw", apply_translator=False, spark=spark)
    wait_for(lambda: _count(spark, "orders_raw") >= 3, "three records are in the table")
    query.stop()

    rows = spark.sql("select * from orders_raw").collect()
    assert sorted(row.partitionKey for row in rows) == ["a", "a", "b"]
    assert {row.streamName for row in rows} == {stream.name}
    assert {json.loads(bytes(row.data))["order_id"] for row in rows} == {"a", "b"}
