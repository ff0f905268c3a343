"""The columns a query may ask for, and their Arrow twin."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pyarrow as pa
import pytest

types = pytest.importorskip("pyspark.sql.types")

from kinesis_source.errors import OptionError  # noqa: E402 - after the skip
from kinesis_source.records.schema import (  # noqa: E402
    SCHEMA_DDL,
    Content,
    OutputColumn,
    arrow_schema,
    resolve_columns,
    spark_schema,
)


def schema_of(*fields: tuple[str, types.DataType]) -> types.StructType:
    return types.StructType([types.StructField(name, kind) for name, kind in fields])


def test_whole_schema_has_the_documented_columns_in_order():
    assert SCHEMA_DDL == (
        "data binary, streamName string, partitionKey string, sequenceNumber string, "
        "approximateArrivalTimestamp timestamp_ltz, shardId string, subSequenceNumber bigint"
    )
    shown = [f"{field.name} {field.dataType.simpleString()}" for field in spark_schema().fields]
    assert ", ".join(shown).replace(" timestamp,", " timestamp_ltz,") == SCHEMA_DDL
    assert all(field.nullable for field in spark_schema().fields)


def test_arrow_twin_is_what_spark_compares_with():
    pandas_types = pytest.importorskip("pyspark.sql.pandas.types")
    twin = arrow_schema(resolve_columns(spark_schema()))
    assert twin.equals(pandas_types.to_arrow_schema(spark_schema(), timezone="UTC"))
    assert twin.field("approximateArrivalTimestamp").type == pa.timestamp("us", tz="UTC")
    assert twin.field("data").type == pa.binary()


def test_subset_keeps_order_and_spelling():
    asked = schema_of(
        ("SHARDID", types.StringType()),
        ("stream", types.StringType()),
        ("Data", types.BinaryType()),
    )
    columns = resolve_columns(asked)
    assert columns == (
        OutputColumn("SHARDID", Content.SHARD_ID),
        OutputColumn("stream", Content.STREAM_NAME),
        OutputColumn("Data", Content.DATA),
    )
    assert arrow_schema(columns).names == ["SHARDID", "stream", "Data"]


def test_empty_schema_is_allowed():
    assert resolve_columns(types.StructType([])) == ()
    assert arrow_schema(()).names == []


@pytest.mark.parametrize(
    ("name", "kind", "allowed"),
    [
        ("data", types.StringType(), "binary"),
        ("streamName", types.BinaryType(), "string"),
        ("stream", types.CharType(5), "string"),
        ("approximateArrivalTimestamp", types.TimestampNTZType(), "timestamp_ltz"),
        ("subSequenceNumber", types.IntegerType(), "bigint"),
        ("shardId", types.StructType([]), "string"),
    ],
)
def test_wrong_type_names_column_and_both_types(name, kind, allowed):
    with pytest.raises(OptionError) as caught:
        resolve_columns(schema_of((name, kind)))
    assert str(caught.value) == (
        f"[OPTION_SCHEMA] Column '{name}' of the schema must be {allowed}, "
        f"got {kind.simpleString()}. Write '{name} {allowed}' and cast it after load()."
    )


def test_unknown_column_is_answered_with_the_columns_there_are():
    with pytest.raises(OptionError, match=r"\[OPTION_SCHEMA\] Column 'user_id' \(int\)") as caught:
        resolve_columns(schema_of(("user_id", types.IntegerType())))
    assert SCHEMA_DDL in str(caught.value)
    assert "'stream'" in str(caught.value)


def test_not_null_is_refused_before_spark_fails_on_it():
    asked = types.StructType([types.StructField("data", types.BinaryType(), nullable=False)])
    with pytest.raises(OptionError, match=r"\[OPTION_SCHEMA\] Column 'data'.*got binary NOT NULL"):
        resolve_columns(asked)


@pytest.mark.parametrize("pair", [("stream", "streamName"), ("shardId", "shardid")])
def test_one_column_cannot_be_asked_for_twice(pair):
    asked = schema_of(*((name, types.StringType()) for name in pair))
    with pytest.raises(OptionError, match=rf"\[OPTION_SCHEMA\].*'{pair[0]}' and '{pair[1]}'"):
        resolve_columns(asked)


def test_columns_pickle():
    columns = resolve_columns(spark_schema())
    assert pickle.loads(pickle.dumps(columns)) == columns  # noqa: S301 - own bytes


def test_module_loads_without_pyspark():
    program = (
        "import sys; sys.modules['pyspark'] = None; import kinesis_source.records.batches as b;"
        "from kinesis_source.records.schema import *;"
        "print(arrow_schema((OutputColumn('data', Content.DATA),)).names)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "['data']"
