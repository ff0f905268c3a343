"""The columns of the source: Spark's schema, its Arrow twin, and the schemas a user may ask for.

Runs on the driver (to answer and to check a schema) and on the executors (Arrow twin). All columns
are nullable, because Spark compares the nullability of Arrow batches too, and in this order::

    data binary, streamName string, partitionKey string, sequenceNumber string,
    approximateArrivalTimestamp timestamp, shardId string, subSequenceNumber bigint

A user's schema may name any of them, in any order and any case, and ``stream`` for ``streamName``.
Nothing is cast: Spark 4.0 checks only the number and names of the columns and then takes them by
position, so a type that slipped through here would come out as wrong values without an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from kinesis_source.errors import OptionError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import StructField, StructType

__all__ = [
    "SCHEMA_DDL",
    "Content",
    "OutputColumn",
    "arrow_schema",
    "resolve_columns",
    "spark_schema",
]


class Content(Enum):
    """What a column holds; the value is the column's own name."""

    DATA = "data"
    STREAM_NAME = "streamName"
    PARTITION_KEY = "partitionKey"
    SEQUENCE_NUMBER = "sequenceNumber"
    ARRIVAL = "approximateArrivalTimestamp"
    SHARD_ID = "shardId"
    SUB_SEQUENCE_NUMBER = "subSequenceNumber"


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """One column that a query asks for. Hashable, pickles without pyspark.

    Parameters
    ----------
    name : str
        In the user's own spelling: Spark compares the names of Arrow batches with it.
    content : Content
    """

    name: str
    content: Content


_SPARK_TYPES: Final = {
    Content.DATA: "binary",
    Content.STREAM_NAME: "string",
    Content.PARTITION_KEY: "string",
    Content.SEQUENCE_NUMBER: "string",
    Content.ARRIVAL: "timestamp",
    Content.SHARD_ID: "string",
    Content.SUB_SEQUENCE_NUMBER: "bigint",
}
_CONTENT_BY_NAME: Final = {
    "stream": Content.STREAM_NAME,
    **{content.value.lower(): content for content in Content},
}

# What a user must write to get a type, whatever the session is set to: with
# spark.sql.timestampType=TIMESTAMP_NTZ the word "timestamp" means another type.
_WRITTEN_TYPES: Final = {"timestamp": "timestamp_ltz"}

SCHEMA_DDL: Final = ", ".join(
    f"{content.value} {_WRITTEN_TYPES.get(kind, kind)}" for content, kind in _SPARK_TYPES.items()
)
"""The whole schema, as Spark's DDL, in words that mean the same in each session."""


def spark_schema() -> StructType:
    """Return the whole schema as Spark's type (imports pyspark)."""
    from pyspark.sql import types

    made = {
        "binary": types.BinaryType(),
        "string": types.StringType(),
        "timestamp": types.TimestampType(),
        "bigint": types.LongType(),
    }
    return types.StructType(
        [types.StructField(content.value, made[kind]) for content, kind in _SPARK_TYPES.items()]
    )


def resolve_columns(schema: StructType) -> tuple[OutputColumn, ...]:
    """Check a schema that Spark passes, and say what each of its columns holds.

    Parameters
    ----------
    schema : StructType
        The source's own, or the one of the user's ``.schema(...)``. May be empty: rows only count.

    Returns
    -------
    tuple of OutputColumn
        In the order of the schema.

    Raises
    ------
    OptionError
        OPTION_SCHEMA: an unknown column, another type, ``NOT NULL``, or one column asked for twice.
    """
    columns: list[OutputColumn] = []
    taken: dict[Content, str] = {}
    for field in schema.fields:
        content = _check_field(field)
        if content in taken:
            raise OptionError(
                "OPTION_SCHEMA",
                f"Columns {taken[content]!r} and {field.name!r} of the schema both mean "
                f"{content.value!r}.",
                "Name each column once; copy it with withColumn() after load().",
            )
        taken[content] = field.name
        columns.append(OutputColumn(field.name, content))
    return tuple(columns)


def _check_field(field: StructField) -> Content:
    content = _CONTENT_BY_NAME.get(field.name.lower())
    if content is None:
        raise OptionError(
            "OPTION_SCHEMA",
            f"Column {field.name!r} ({field.dataType.simpleString()}) of the schema is unknown.",
            f"Take some or all of: {SCHEMA_DDL} ('stream' is another name of 'streamName'), "
            "and parse the data column after load().",
        )
    asked, allowed = field.dataType.simpleString(), _SPARK_TYPES[content]
    written = _WRITTEN_TYPES.get(allowed, allowed)
    if asked != allowed:
        raise OptionError(
            "OPTION_SCHEMA",
            f"Column {field.name!r} of the schema must be {written}, got {asked}.",
            f"Write '{field.name} {written}' and cast it after load().",
        )
    if not field.nullable:
        raise OptionError(
            "OPTION_SCHEMA",
            f"Column {field.name!r} of the schema must be nullable, got {written} NOT NULL.",
            "Leave NOT NULL out: Spark takes only nullable columns from a Python data source.",
        )
    return content


def arrow_schema(columns: Iterable[OutputColumn]) -> pa.Schema:
    """Return the Arrow schema that Spark expects for these columns.

    Parameters
    ----------
    columns : iterable of OutputColumn

    Returns
    -------
    pyarrow.Schema
        All fields nullable, in the same order and spelling.
    """
    import pyarrow as pa  # load() needs none of it

    # What Spark 4 makes of these types itself (pyspark.sql.pandas.types.to_arrow_type): 32-bit
    # offsets.
    types = {
        "binary": pa.binary(),
        "string": pa.string(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "bigint": pa.int64(),
    }
    return pa.schema(
        [pa.field(column.name, types[_SPARK_TYPES[column.content]]) for column in columns]
    )
