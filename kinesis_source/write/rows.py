"""Rows to records: what Spark hands a task becomes OutRecords, or an error that names the row.

Runs on the driver (the schema) and on the executors (the rows); pure. Columns, in any case:

===================  ===================================================================
``data``             binary or string (as UTF-8); required, never null
``partitionKey``     string; null or no column: a random one
``explicitHashKey``  string of decimal digits below 2**128; null: none
``streamName``       string: another stream than the option's, of the same region and role
===================  ===================================================================
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kinesis_source.errors import OptionError, RecordError
from kinesis_source.model.outgoing import OutRecord

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import StructType

__all__ = ["InputColumns", "batches_of_rows", "check_record", "columns_of", "records_of"]

_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "data": ("binary", "string"),
    "partitionKey": ("string",),
    "explicitHashKey": ("string",),
    "streamName": ("string",),
}
_NAMES: Final = {name.lower(): name for name in _TYPES}
_ACCEPTED: Final = (
    "data (binary or string), and, where wanted, partitionKey, explicitHashKey and streamName"
    " (strings)"
)
LONGEST_KEY: Final = 256
ROWS_PER_BATCH: Final = 1_000
LARGEST_HASH_KEY: Final = 2**128 - 1
SHOWN_KEY: Final = 80


@dataclass(frozen=True)
class InputColumns:
    """Where in a row what stands; None: no such column.

    Parameters
    ----------
    data : int
    partition_key, explicit_hash_key, stream : int or None
    """

    data: int
    partition_key: int | None = None
    explicit_hash_key: int | None = None
    stream: int | None = None


def columns_of(schema: StructType) -> InputColumns:
    """Check the schema of what is to be written.

    Raises
    ------
    OptionError
        OPTION_SCHEMA: no data column, an unknown column, another type, one column twice.
    """
    found: dict[str, int] = {}
    for index, field in enumerate(schema.fields):
        name, kind = _NAMES.get(field.name.lower()), field.dataType.simpleString()
        if name is None:
            near = difflib.get_close_matches(field.name.lower(), _NAMES, n=1)
            hint = f" Did you mean {_NAMES[near[0]]!r}?" if near else ""
            raise _schema_error(f"Column {field.name!r} ({kind}) cannot be written.{hint}")
        if name in found:
            raise _schema_error(f"Column {name!r} is there twice.")
        if kind not in _TYPES[name]:
            wanted = " or ".join(_TYPES[name])
            raise _schema_error(f"Column {field.name!r} must be {wanted}, got {kind}.")
        found[name] = index
    if "data" not in found:
        raise _schema_error(f"There is no column 'data' among {[f.name for f in schema.fields]}.")
    return InputColumns(
        found["data"],
        found.get("partitionKey"),
        found.get("explicitHashKey"),
        found.get("streamName"),
    )


def _schema_error(problem: str) -> OptionError:
    return OptionError(
        "OPTION_SCHEMA",
        problem,
        f"Write {_ACCEPTED}: select them first, for example"
        " df.selectExpr('to_json(struct(*)) AS data', 'user AS partitionKey').",
    )


def records_of(
    batches: Iterator[pa.RecordBatch], columns: InputColumns
) -> Iterator[tuple[str | None, OutRecord]]:
    """Yield the records of Arrow batches, each with its stream's name (None: the option's).

    Raises
    ------
    RecordError
        ``[RECORD_NULL]`` for a row without data; and what check_record raises, but for sizes.
    """
    import pyarrow as pa

    for batch in batches:
        data = batch.column(columns.data)
        if not pa.types.is_binary(data.type):
            data = data.cast(pa.binary())
        keys = _texts(batch, columns.partition_key)
        hash_keys = _texts(batch, columns.explicit_hash_key)
        streams = _texts(batch, columns.stream)
        for row, payload in enumerate(data.to_pylist()):
            key = keys[row] if keys is not None else None
            record = OutRecord(
                payload,
                key if key is not None else f"{random.getrandbits(128):032x}",
                hash_keys[row] if hash_keys is not None else None,
            )
            if payload is None:
                raise RecordError(
                    "RECORD_NULL",
                    f"A row {_named(key)} has no data: its column 'data' is null.",
                    "Filter such rows, or fill them, before they are written.",
                )
            yield (streams[row] if streams is not None else None), record


def batches_of_rows(rows: Iterator[Any], columns: InputColumns) -> Iterator[pa.RecordBatch]:
    """Yield Spark's rows as Arrow batches: Spark 4.0 hands nothing else to a stream's writer."""
    import pyarrow as pa

    width = 1 + max(i for i in dataclasses.astuple(columns) if i is not None)
    while chunk := list(itertools.islice(rows, ROWS_PER_BATCH)):
        made = [
            pa.array(
                [_bytes_or(row[index]) if index == columns.data else row[index] for row in chunk],
                pa.binary() if index == columns.data else pa.string(),
            )
            for index in range(width)
        ]
        yield pa.RecordBatch.from_arrays(made, [str(index) for index in range(width)])


def _bytes_or(value: Any) -> bytes | None:
    if value is None:
        return None
    return value.encode() if isinstance(value, str) else bytes(value)


def _texts(batch: pa.RecordBatch, index: int | None) -> list[Any] | None:
    return None if index is None else batch.column(index).to_pylist()


def check_record(record: OutRecord, most_bytes: int) -> None:
    """Make sure that AWS will take a record.

    Parameters
    ----------
    record : OutRecord
    most_bytes : int
        Of data and partition key together, as the stream takes them.

    Raises
    ------
    RecordError
        ``[RECORD_KEY]``, ``[RECORD_HASH_KEY]``, ``[RECORD_SIZE]``. Names the partition key, never
        the data.
    """
    key = record.partition_key
    if not 1 <= len(key) <= LONGEST_KEY:
        raise RecordError(
            "RECORD_KEY",
            f"A row {_named(key)} has a partition key of {len(key)} characters.",
            f"Keys have 1 to {LONGEST_KEY} characters; null for a random one.",
        )
    hash_key = record.explicit_hash_key
    if hash_key is not None and not _is_hash_key(hash_key):
        raise RecordError(
            "RECORD_HASH_KEY",
            f"A row {_named(key)} has the explicitHashKey {hash_key[:SHOWN_KEY]!r}.",
            "Write decimal digits without leading zeros, at most 2**128 - 1; or null.",
        )
    if record.size_bytes > most_bytes:
        raise RecordError(
            "RECORD_SIZE",
            f"A row {_named(key)} has {record.size_bytes:,} bytes, data and partition key; the"
            f" stream takes {most_bytes:,}.",
            "Make it smaller, keep large objects elsewhere and write where they are, or raise the"
            " stream's limit (UpdateMaxRecordSize, at most 10 MiB).",
        )


def _is_hash_key(text: str) -> bool:
    if not (text.isascii() and text.isdecimal() and len(text) <= 39):
        return False
    return (text == "0" or text[0] != "0") and int(text) <= LARGEST_HASH_KEY


def _named(key: str | None) -> str:
    """Return how a row is named in a message: by its partition key, never by its data."""
    if key is None:
        return "without partition key"
    shown = key if len(key) <= SHOWN_KEY else key[:SHOWN_KEY] + "..."
    return f"with partition key {shown!r}"
