"""Rows to records: what a schema must have, and what a row may not be."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyspark.sql import Row
from pyspark.sql.types import (
    BinaryType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from kinesis_source.errors import OptionError, RecordError
from kinesis_source.model.outgoing import OutRecord
from kinesis_source.write.rows import (
    InputColumns,
    batches_of_rows,
    check_record,
    columns_of,
    records_of,
)

MIB = 1024 * 1024
TYPES = {"string": StringType, "binary": BinaryType, "int": IntegerType, "bigint": LongType}


def schema_of(ddl: str) -> StructType:
    """Return a schema without a JVM, which Spark's own reader of DDL needs."""
    fields = [part.split() for part in ddl.split(",")]
    return StructType([StructField(name, TYPES[kind]()) for name, kind in fields])


def test_columns_are_found_in_any_case_and_order() -> None:
    schema = schema_of("PartitionKey string, DATA binary, streamname string")
    assert columns_of(schema) == InputColumns(1, 0, None, 2)


@pytest.mark.parametrize(
    ("ddl", "says"),
    [
        ("partitionKey string", "no column 'data'"),
        ("data binary, key string", "Column 'key' (string) cannot be written"),
        ("data binary, partitonKey string", "Did you mean 'partitionKey'?"),
        ("data int", "must be binary or string, got int"),
        ("data binary, explicitHashKey bigint", "must be string, got bigint"),
        ("data binary, DATA string", "is there twice"),
    ],
)
def test_schemas_that_cannot_be_written(ddl: str, says: str) -> None:
    with pytest.raises(OptionError) as caught:
        columns_of(schema_of(ddl))
    assert caught.value.code == "OPTION_SCHEMA"
    assert says in str(caught.value)


def test_records_of_arrow_and_of_rows_are_the_same() -> None:
    columns = InputColumns(0, 1, 2, 3)
    rows = [("a\u00e9", "k", "5", "other"), ("b", None, None, None)]
    names = ["data", "partitionKey", "explicitHashKey", "streamName"]
    arrow = [pa.RecordBatch.from_pylist([dict(zip(names, row, strict=True)) for row in rows])]
    spark = batches_of_rows((Row(*row) for row in rows), columns)
    for batches in (iter(arrow), spark):
        (stream, first), (none, second) = records_of(batches, columns)
        assert (stream, first) == ("other", OutRecord("a\u00e9".encode(), "k", "5"))
        assert (none, second.data, second.explicit_hash_key) == (None, b"b", None)
        assert len(second.partition_key) == 32, "a random one"


def test_binary_data_of_rows_is_taken_as_it_is() -> None:
    (batch,) = batches_of_rows(iter([Row(bytearray(b"\xff\x00"))]), InputColumns(0))
    ((_, record),) = records_of(iter([batch]), InputColumns(0))
    assert record.data == b"\xff\x00"


def test_a_row_without_data_is_named_by_its_key() -> None:
    batch = pa.RecordBatch.from_pydict(
        {"data": pa.array([None], pa.string()), "partitionKey": ["user-7"]}
    )
    with pytest.raises(RecordError, match="with partition key 'user-7' has no data"):
        list(records_of(iter([batch]), InputColumns(0, 1)))


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (OutRecord(b"x" * (MIB - 1), "k"), None),
        (OutRecord(b"x" * MIB, "k"), "RECORD_SIZE"),
        (OutRecord(b"x" * (MIB - 2), "\u00e9"), None),
        (OutRecord(b"x" * (MIB - 1), "\u00e9"), "RECORD_SIZE"),
        (OutRecord(b"", ""), "RECORD_KEY"),
        (OutRecord(b"", "k" * 256), None),
        (OutRecord(b"", "k" * 257), "RECORD_KEY"),
        (OutRecord(b"", "k", "0"), None),
        (OutRecord(b"", "k", str(2**128 - 1)), None),
        (OutRecord(b"", "k", str(2**128)), "RECORD_HASH_KEY"),
        (OutRecord(b"", "k", "007"), "RECORD_HASH_KEY"),
        (OutRecord(b"", "k", "\u0663"), "RECORD_HASH_KEY"),
        (OutRecord(b"", "k", ""), "RECORD_HASH_KEY"),
    ],
)
def test_what_aws_would_not_take(record: OutRecord, code: str | None) -> None:
    if code is None:
        check_record(record, MIB)
        return
    with pytest.raises(RecordError) as caught:
        check_record(record, MIB)
    assert caught.value.code == code
    assert "xxxx" not in str(caught.value)
