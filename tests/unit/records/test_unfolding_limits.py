"""What one aggregated record may become: rows, bytes, memory."""

from __future__ import annotations

import gc
import hashlib
import logging
import tracemalloc

import pyarrow as pa
import pytest

from kinesis_source.aws.api import Page
from kinesis_source.records import batches, kpl
from kinesis_source.records.batches import BatchBuilder
from kinesis_source.records.schema import Content, OutputColumn
from tests.decoding import as_decoded

pytestmark = pytest.mark.usefixtures("decoder")
WHOLE = tuple(OutputColumn(content.value, content) for content in Content)
MIB = 1024 * 1024
SMALLEST = b"\x1a\x04\x08\x00\x1a\x00"
"""A user record of key 0 without data: no six bytes of an aggregate make more of it."""


def seal(body: bytes) -> bytes:
    return b"\xf3\x89\x9a\xc2" + body + hashlib.md5(body, usedforsecurity=False).digest()


def key_field(key: bytes) -> bytes:
    size, shown = len(key), bytearray()
    while size >= 128:
        size, low = divmod(size, 128)
        shown.append(low + 128)
    return b"\x0a" + bytes([*shown, size]) + key


def full_aggregate(key: bytes, size_bytes: int) -> tuple[bytes, int]:
    """Return an aggregate of so many bytes, and its user records: as many as fit."""
    head = key_field(key)
    count = (size_bytes - 20 - len(head)) // len(SMALLEST)
    return seal(head + SMALLEST * count), count


def batches_of(data: list[bytes], stream: str = "clicks"):
    count = range(len(data))
    numbers, keys = [str(100 + i) for i in count], [f"k{i}" for i in count]
    page = as_decoded(Page(numbers, keys, [1_000] * len(data), data, None, 0))
    return BatchBuilder(WHOLE, stream, deaggregate=True).batches("shardId-000000000007", page)


@pytest.fixture(autouse=True)
def _nothing_logged_before(monkeypatch) -> None:
    monkeypatch.setattr(batches, "_streams_warned", set(), raising=False)


def test_a_megabyte_with_one_huge_key_is_one_row():
    data, _ = full_aggregate(b"k" * (512 * 1024), MIB)
    first = next(batches_of([data]))
    assert first.num_rows == 1
    assert first.to_pylist()[0]["data"] == data
    assert first.to_pylist()[0]["subSequenceNumber"] is None
    assert first.to_pylist()[0]["partitionKey"] == "k0"


def warm_up() -> None:
    """Let everything be imported, and what other tests left be gone, before memory is measured."""
    data, count = full_aggregate(b"key", 1_000)
    assert sum(batch.num_rows for batch in batches_of([data])) == count
    gc.collect()


def test_a_megabyte_that_repeats_the_longest_key_is_unfolded_within_bounds():
    """The most that producers can make: 172 MiB of rows."""
    key = "\U0001f600" * 256
    data, count = full_aggregate(key.encode(), MIB)
    rows = key_bytes = largest_bytes = arrow_bytes = 0
    warm_up()
    held_bytes = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        for batch in batches_of([data]):
            rows += batch.num_rows
            key_bytes += batch.column("partitionKey").nbytes
            largest_bytes = max(largest_bytes, batch.nbytes)
            arrow_bytes = max(arrow_bytes, pa.total_allocated_bytes() - held_bytes)
        python_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == count
    assert key_bytes > 170 * MIB
    assert python_bytes < 8 * MIB
    assert largest_bytes < 16 * MIB
    assert arrow_bytes < 40 * MIB


def test_a_page_of_tiny_user_records_takes_memory_of_a_batch_not_of_its_rows():
    data, count = full_aggregate(b"key", MIB // 4)
    warm_up()
    tracemalloc.start()
    try:
        rows = sum(batch.num_rows for batch in batches_of([data] * 4))
        python_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == 4 * count
    assert python_bytes < 6 * MIB


def test_what_unfolds_to_more_than_the_limit_stays_as_it_is_and_is_said_once(caplog):
    key = "\U0001f600" * 256
    count = kpl.MAX_UNFOLDED_BYTES // 1024
    allowed = seal(key_field(key.encode()) + SMALLEST * count)
    beyond = seal(key_field(key.encode()) + SMALLEST * (count + 1))
    with caplog.at_level(logging.WARNING):
        assert sum(batch.num_rows for batch in batches_of([allowed])) == count
        assert not caplog.records
        rows = [row for batch in batches_of([b"p", beyond, beyond]) for row in batch.to_pylist()]
        list(batches_of([beyond]))
    assert [row["data"] for row in rows] == [b"p", beyond, beyond]
    (record,) = caplog.records
    assert "'clicks'" in record.getMessage()
    assert "record 101" in record.getMessage()
    assert f"{kpl.MAX_UNFOLDED_BYTES} bytes" in record.getMessage()


def test_each_stream_has_a_line_of_its_own_without_the_data(caplog):
    damaged = seal(b"\x0a\x06secret" + b"\x1a\x7f")
    with caplog.at_level(logging.WARNING):
        for stream in ("clicks", "orders", "clicks"):
            assert [batch.num_rows for batch in batches_of([damaged], stream)] == [1]
    assert [text for text in ("clicks", "orders") if text in caplog.text] == ["clicks", "orders"]
    assert len(caplog.records) == 2
    assert "secret" not in caplog.text


def test_user_data_that_only_begins_like_an_aggregate_is_not_logged(caplog):
    with caplog.at_level(logging.WARNING):
        assert [batch.num_rows for batch in batches_of([b"\xf3\x89\x9a\xc2" + bytes(40)])] == [1]
    assert not caplog.records


def test_batches_of_unfolded_rows_are_full():
    data, count = full_aggregate(b"key", 256 * 1024)
    sizes = [batch.num_rows for batch in batches_of([data, b"p", data])]
    assert sum(sizes) == 2 * count + 1
    assert sizes[:-1] == [batches.MAX_BATCH_ROWS] * (len(sizes) - 1)
