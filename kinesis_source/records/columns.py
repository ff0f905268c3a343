"""Columns of a page to Arrow arrays: lists are copied, columns of the native decoder handed over.

Runs on the executors, in the path of every byte. A page that the native decoder made is cut, and
its KPL aggregates taken apart, without a Python object for any row.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kinesis_source.native import NativeDecoder, decoder_of

__all__ = ["PieceLimits", "Rows", "native_pieces", "repeated", "to_arrow"]

# pyarrow takes the PyCapsule interface from version 14 on.
_TAKES_CAPSULES = hasattr(pa.Array, "_import_from_c_capsule")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one shard as columns; ``sub_sequence_numbers`` is None if all are null."""

    shard_id: str
    sequence_numbers: Sequence[str]
    partition_keys: Sequence[str]
    arrival_ms: Sequence[int]
    data: Sequence[bytes]
    size_bytes: int
    sub_sequence_numbers: Sequence[int | None] | None = None

    def __len__(self) -> int:
        return len(self.sequence_numbers)

    def cut(self, first: int, stop: int, size_bytes: int) -> Rows:
        """Return the rows [first, stop), which have this size."""
        part = slice(first, stop)
        subs = self.sub_sequence_numbers
        return Rows(
            shard_id=self.shard_id,
            sequence_numbers=self.sequence_numbers[part],
            partition_keys=self.partition_keys[part],
            arrival_ms=self.arrival_ms[part],
            data=self.data[part],
            size_bytes=size_bytes,
            sub_sequence_numbers=None if subs is None else subs[part],
        )


@dataclass(frozen=True, slots=True)
class PieceLimits:
    """What one batch may hold: rows, and bytes of data and characters of partition keys."""

    max_rows: int
    max_bytes: int


def native_pieces(
    native: NativeDecoder,
    rows: Rows,
    limits: PieceLimits,
    *,
    deaggregate: bool,
    keeps_data: bool,
) -> Iterator[tuple[Rows, list[int]]]:
    """Cut the rows of a native page, each piece small enough for a batch.

    Parameters
    ----------
    native : NativeDecoder
    rows : Rows
        All of native columns.
    limits : PieceLimits
    deaggregate : bool
        Whether KPL aggregates become their user records.
    keeps_data : bool
        Whether the data is a column of the batches.

    Yields
    ------
    (Rows, list of int)
        A piece, and the records of ``rows`` in it that have magic and digest of an aggregate and
        cannot be taken apart.
    """
    columns = (rows.sequence_numbers, rows.partition_keys, rows.arrival_ms, rows.data)
    for numbers, keys, arrival_ms, data, subs, refused in native.unfold(
        columns,
        deaggregate=deaggregate,
        keeps_data=keeps_data,
        max_rows=limits.max_rows,
        max_bytes=limits.max_bytes,
    ):
        # The pieces are small enough: nobody asks for their size any more.
        yield Rows(rows.shard_id, numbers, keys, arrival_ms, data, 0, subs), refused


def to_arrow(column: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return a column as an array; a native one without a copy.

    Parameters
    ----------
    column : sequence
    kind : pyarrow.DataType
        A native column has it already.
    """
    if decoder_of(column) is None:
        return pa.array(column, kind)
    return pa.array(column) if _TAKES_CAPSULES else pa.array(list(column), kind)


def repeated(text: str, count: int) -> pa.Array:
    """Return a column of strings that has the same text in each row.

    ``pa.repeat`` takes a scalar, and the first scalar or list that pyarrow is given makes it import
    pandas, if that is installed: 0.4 s of CPU in each worker.
    """
    data = text.encode()
    buffers = [None, _offsets(len(data), 1 << (count - 1).bit_length()), pa.py_buffer(data * count)]
    return pa.Array.from_buffers(pa.string(), count, buffers)


@functools.lru_cache(maxsize=64)  # texts of a query have few lengths, and pages few sizes
def _offsets(step: int, count: int) -> pa.Buffer:
    return pa.py_buffer(array("i", [step * index for index in range(count + 1)]))
