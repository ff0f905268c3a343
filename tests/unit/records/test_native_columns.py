"""Columns of the native decoder on their way to Arrow."""

from __future__ import annotations

import pytest

from kinesis_source.aws.api import Page
from kinesis_source.native import DECODER_VARIABLE
from kinesis_source.records import columns
from kinesis_source.records.batches import BatchBuilder
from kinesis_source.records.schema import Content, OutputColumn
from tests.decoding import as_decoded, need_native

WHOLE = tuple(OutputColumn(content.value, content) for content in Content)


@pytest.fixture
def page(monkeypatch) -> Page:
    need_native()
    monkeypatch.setenv(DECODER_VARIABLE, "native")
    count = 50
    return as_decoded(
        Page(
            [str(number) for number in range(count)],
            [f"kéy-{number}" for number in range(count)],
            [1_700_000_000_123 + number for number in range(count)],
            [b"x" * number for number in range(count)],
            next_iterator=None,
            millis_behind_latest=0,
        )
    )


def test_batches_share_the_pages_own_memory(page):
    (batch,) = BatchBuilder(WHOLE, "clicks", deaggregate=True).batches("shard", page)
    (again,) = BatchBuilder(WHOLE, "clicks", deaggregate=True).batches("shard", page)
    for name in ("data", "partitionKey", "sequenceNumber", "approximateArrivalTimestamp"):
        buffers = [part.column(name).buffers()[1] for part in (batch, again)]
        assert buffers[0].address == buffers[1].address, name


def test_a_cut_page_gives_the_rows_that_were_cut(page):
    part = Page(
        page.sequence_numbers[10:20],
        page.partition_keys[10:20],
        page.arrival_ms[10:20],
        page.data[10:20],
        None,
        0,
    )
    assert part.size_bytes == sum(range(10, 20)) + 10 * len("kéy-10")
    (batch,) = BatchBuilder(WHOLE, "clicks", deaggregate=True).batches("shard", part)
    batch.validate(full=True)
    assert batch.column("sequenceNumber").to_pylist() == [str(n) for n in range(10, 20)]
    assert batch.column("data").to_pylist() == [b"x" * n for n in range(10, 20)]


def test_an_old_pyarrow_gets_the_same_rows(page, monkeypatch):
    (batch,) = BatchBuilder(WHOLE, "clicks", deaggregate=True).batches("shard", page)
    monkeypatch.setattr(columns, "_TAKES_CAPSULES", False)
    (old,) = BatchBuilder(WHOLE, "clicks", deaggregate=True).batches("shard", page)
    assert old.equals(batch)
