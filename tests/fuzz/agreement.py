"""What both decoders must agree on, and botocore's parser with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import botocore.session
import pyarrow as pa
from botocore.parsers import create_parser

from kinesis_source.aws.api import ALL_DATA, Page
from kinesis_source.aws.decode import decode_body, page_from_reply
from kinesis_source.native import NativeDecoder
from kinesis_source.records.batches import BatchBuilder
from kinesis_source.records.schema import Content, OutputColumn

SHAPE = botocore.session.Session().get_service_model("kinesis").operation_model("GetRecords")
COLUMNS = tuple(OutputColumn(content.value, content) for content in Content)
WITHOUT_DATA = tuple(column for column in COLUMNS if column.content is not Content.DATA)


def check_body(native: NativeDecoder, body: bytes, data_prefix: bytes | None) -> bool:
    """Check a body; return whether the native decoder took it."""
    reply = native.decode_reply(body, data_prefix)
    if reply is None:
        return False
    ours = decode_body(body, data_prefix, native)
    pythons = decode_body(body, data_prefix)
    assert pythons is not None, f"the Python way refuses {body!r}"
    assert _members(ours) == _members(pythons), body
    if data_prefix == ALL_DATA:
        botocores = _botocores_page(body)
        assert botocores is None or _is_botocores(ours, botocores), body
    return True


def check_rows(
    native: NativeDecoder, body: bytes, *, max_rows: int, max_bytes: int, deaggregate: bool
) -> int:
    """Check the rows of a body with aggregates; return how many there are."""
    for columns in (COLUMNS, WITHOUT_DATA):
        builder = BatchBuilder(
            columns, "s", deaggregate=deaggregate, max_rows=max_rows, max_bytes=max_bytes
        )
        pages = [decode_body(body, builder.data_prefix, way) for way in (native, None)]
        ours, pythons = (list(builder.batches("shard", page)) for page in pages if page is not None)
        for batch in ours:
            batch.validate(full=True)
            assert 1 <= batch.num_rows <= max_rows
        tables = [pa.Table.from_batches(batches, builder.schema) for batches in (ours, pythons)]
        assert tables[0].equals(tables[1]), body
    return int(tables[0].num_rows)


def _members(page: Page | None) -> list[Any]:
    assert page is not None
    columns = (page.sequence_numbers, page.partition_keys, page.arrival_ms, page.data)
    return [
        *map(list, columns),
        page.next_iterator,
        page.millis_behind_latest,
        page.child_shard_ids,
        page.data_bytes,
        page.size_bytes,
    ]


def _is_botocores(ours: Page | None, botocores: Page) -> bool:
    """Say whether botocore has the same page.

    Its datetimes end at the microsecond, so that it rounds twice: of a time with more digits than
    AWS writes, beside the half of a millisecond, it makes the next one.
    """
    assert ours is not None
    twice = zip(ours.arrival_ms, botocores.arrival_ms, strict=True)
    is_near = all(abs(arrival_ms - other_ms) <= 1 for arrival_ms, other_ms in twice)
    return is_near and replace(ours, arrival_ms=[]) == replace(botocores, arrival_ms=[])


def _botocores_page(body: bytes) -> Page | None:
    """Return the page that botocore's own parser gives, None if it gives none."""
    response = {"status_code": 200, "headers": {}, "body": body}
    try:
        return page_from_reply(create_parser("json").parse(response, SHAPE.output_shape))
    except Exception:  # noqa: BLE001 - wrong types make it raise anything
        return None
