"""Pages to Arrow batches: what arrives in Spark's columns."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone

import pyarrow as pa
import pytest

from kinesis_source.aws.api import Page
from kinesis_source.records.batches import MAX_BATCH_BYTES, MAX_BATCH_ROWS, BatchBuilder
from kinesis_source.records.schema import Content, OutputColumn
from tests.decoding import as_decoded

pytestmark = pytest.mark.usefixtures("decoder")
WHOLE = tuple(OutputColumn(content.value, content) for content in Content)
SHARD = "shardId-000000000007"
_BODY = b"\x0a\x01a\x0a\x01b\x1a\x05\x08\x00\x1a\x01x\x1a\x05\x08\x01\x1a\x01y"
AGGREGATE = b"\xf3\x89\x9a\xc2" + _BODY + hashlib.md5(_BODY, usedforsecurity=False).digest()
"""Two user records: key a with x, key b with y."""
EMPTY_AGGREGATE = b"\xf3\x89\x9a\xc2" + hashlib.md5(b"", usedforsecurity=False).digest()


def page_of(data: list[bytes]) -> Page:
    """Return records numbered 100, 101, ..., keys k0, k1, ..., one second apart."""
    count = range(len(data))
    return as_decoded(
        Page(
            [str(100 + i) for i in count],
            [f"k{i}" for i in count],
            [1_700_000_000_123 + 1_000 * i for i in count],
            data,
            next_iterator=None,
            millis_behind_latest=0,
        )
    )


def build(data, *, columns=WHOLE, deaggregate=True, **limits):
    builder = BatchBuilder(columns, "clicks", deaggregate=deaggregate, **limits)
    batches = list(builder.batches(SHARD, page_of(data)))
    for batch in batches:
        batch.validate(full=True)
        assert batch.schema.equals(builder.schema)
    return batches


def rows_of(batches):
    return [row for batch in batches for row in batch.to_pylist()]


def test_plain_records_fill_every_column():
    (batch,) = build([b"one", b""])
    assert batch.to_pylist() == [
        {
            "data": b"one",
            "streamName": "clicks",
            "partitionKey": "k0",
            "sequenceNumber": "100",
            "approximateArrivalTimestamp": datetime(
                2023, 11, 14, 22, 13, 20, 123_000, tzinfo=timezone.utc
            ),
            "shardId": SHARD,
            "subSequenceNumber": None,
        },
        {
            "data": b"",
            "streamName": "clicks",
            "partitionKey": "k1",
            "sequenceNumber": "101",
            "approximateArrivalTimestamp": datetime(
                2023, 11, 14, 22, 13, 21, 123_000, tzinfo=timezone.utc
            ),
            "shardId": SHARD,
            "subSequenceNumber": None,
        },
    ]
    assert batch.schema.field("approximateArrivalTimestamp").type == pa.timestamp("us", tz="UTC")


def test_no_records_give_no_batches():
    assert build([]) == []


def test_user_records_keep_the_kinesis_records_number_and_time():
    rows = rows_of(build([b"p", AGGREGATE, b"q"]))
    columns = ("sequenceNumber", "subSequenceNumber", "partitionKey", "data")
    assert [tuple(row[column] for column in columns) for row in rows] == [
        ("100", None, "k0", b"p"),
        ("101", 0, "a", b"x"),
        ("101", 1, "b", b"y"),
        ("102", None, "k2", b"q"),
    ]
    assert [row["approximateArrivalTimestamp"].second for row in rows] == [20, 21, 21, 22]


def test_damaged_aggregate_is_delivered_as_it_is():
    damaged = AGGREGATE[:-1] + bytes([AGGREGATE[-1] ^ 1])
    rows = rows_of(build([damaged, AGGREGATE]))
    assert [row["data"] for row in rows] == [damaged, b"x", b"y"]
    assert [row["subSequenceNumber"] for row in rows] == [None, 0, 1]
    assert rows[0]["partitionKey"] == "k0"


def test_aggregate_of_nothing_gives_no_row():
    assert build([EMPTY_AGGREGATE]) == []
    assert [row["sequenceNumber"] for row in rows_of(build([EMPTY_AGGREGATE, b"x"]))] == ["101"]


def test_aggregates_stay_whole_when_not_asked_to_take_them_apart():
    rows = rows_of(build([AGGREGATE], deaggregate=False))
    assert [(row["data"], row["subSequenceNumber"]) for row in rows] == [(AGGREGATE, None)]


@pytest.mark.parametrize("content", list(Content))
def test_one_column_alone_in_the_users_spelling(content):
    (batch,) = build([b"p", AGGREGATE], columns=(OutputColumn("MiNe", content),))
    assert batch.schema.names == ["MiNe"]
    assert batch.num_rows == 3


def test_columns_come_in_the_order_asked_for():
    columns = (
        OutputColumn("shardId", Content.SHARD_ID),
        OutputColumn("stream", Content.STREAM_NAME),
    )
    (batch,) = build([b"p"], columns=columns)
    assert list(batch.to_pylist()[0].items()) == [("shardId", SHARD), ("stream", "clicks")]


def test_no_columns_still_count_rows_across_the_wire_to_spark():
    batches = build([b"p", AGGREGATE], columns=(), max_rows=2)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
    with pa.ipc.open_stream(sink.getvalue()) as read:
        assert [batch.num_rows for batch in read] == [2, 1]


def test_row_limit_cuts():
    batches = build([b"x"] * 7, max_rows=3)
    assert [batch.num_rows for batch in batches] == [3, 3, 1]


def test_byte_limit_counts_data_and_keys():
    """Each record weighs 10 bytes of data and a key of two characters."""
    assert [batch.num_rows for batch in build([b"x" * 10] * 4, max_bytes=24)] == [2, 2]
    assert [batch.num_rows for batch in build([b"x" * 10] * 4, max_bytes=23)] == [1, 1, 1, 1]
    assert [batch.num_rows for batch in build([b"x" * 10] * 4, max_bytes=48)] == [4]


def test_record_above_the_byte_limit_has_its_own_batch():
    batches = build([b"s", b"x" * 100, b"s", b"s"], max_bytes=10)
    assert [batch.num_rows for batch in batches] == [1, 1, 2]
    assert [len(row["data"]) for row in rows_of(batches)] == [1, 100, 1, 1]


def test_defaults_never_cut_a_page_of_plain_records():
    """A page has at most 10,000 records and 10 MiB; a key has at most 256 characters."""
    assert MAX_BATCH_ROWS >= 10_000
    assert MAX_BATCH_BYTES >= 10 * 1024**2 + 10_000 * 256
    # At four bytes a character, one batch stays below Arrow's 32-bit offsets.
    assert 4 * MAX_BATCH_BYTES < 2**31


def test_repeated_long_key_of_an_aggregate_is_cut_by_bytes():
    """A key is in an aggregate once, and in the rows as often as it is used."""
    body = b"\x0a\x7f" + b"k" * 127 + b"\x1a\x05\x08\x00\x1a\x01x" * 10
    data = b"\xf3\x89\x9a\xc2" + body + hashlib.md5(body, usedforsecurity=False).digest()
    assert [batch.num_rows for batch in build([data], max_bytes=4 * 128)] == [4, 4, 2]


def test_builder_serves_many_shards():
    builder = BatchBuilder(WHOLE, "clicks", deaggregate=True)
    first = next(builder.batches("shardId-1", page_of([b"a"])))
    second = next(builder.batches("shardId-2", page_of([b"b"])))
    assert [batch.to_pylist()[0]["shardId"] for batch in (first, second)] == [
        "shardId-1",
        "shardId-2",
    ]
