"""KPL de-aggregation and batches, for whatever records there may be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesis_source.aws.api import Page
from kinesis_source.records.batches import BatchBuilder
from kinesis_source.records.kpl import AggregateError, has_aggregates, open_aggregate
from kinesis_source.records.schema import Content, OutputColumn
from tests.decoding import as_decoded

pytestmark = pytest.mark.usefixtures("decoder")
MAGIC = bytes.fromhex("F3899AC2")
WHOLE = tuple(OutputColumn(content.value, content) for content in Content)
# No .hypothesis folder, the same examples on each machine.
quick = settings(derandomize=True, database=None, deadline=None, max_examples=150)

partition_keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
payloads = st.one_of(st.binary(max_size=40), st.binary(min_size=120, max_size=300))
user_records = st.lists(st.tuples(partition_keys, payloads), max_size=12)


@dataclass(frozen=True)
class Shape:
    """How a producer lays an aggregate out, within what the format allows."""

    with_hash_keys: bool = False
    with_tags: bool = False
    tables_last: bool = False
    data_first: bool = False
    filler_keys: int = 0


PLAIN = Shape()
shapes = st.builds(
    Shape,
    with_hash_keys=st.booleans(),
    with_tags=st.booleans(),
    tables_last=st.booleans(),
    data_first=st.booleans(),
    filler_keys=st.sampled_from([0, 1, 200]),
)


def varint(number: int) -> bytes:
    shown = bytearray()
    while number >= 128:
        shown.append(number % 128 + 128)
        number //= 128
    return bytes([*shown, number])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number * 8) + varint(value)
    return varint(number * 8 + 2) + varint(len(value)) + value


def encode(records: list[tuple[str, bytes]], shape: Shape = PLAIN) -> bytes:
    """Aggregate user records as a producer does."""
    keys = [f"filler-{i}" for i in range(shape.filler_keys)]
    keys += dict.fromkeys(key for key, _ in records)
    table = b"".join(field(1, key.encode()) for key in keys)
    if shape.with_hash_keys:
        table += b"".join(field(2, str(i).encode()) for i in range(len(keys)))
    body = b""
    for key, payload in records:
        parts = [field(1, keys.index(key))]
        if shape.with_hash_keys:
            parts.append(field(2, keys.index(key)))
        parts.append(field(3, payload))
        if shape.with_tags:
            parts.append(field(4, field(1, b"name") + field(2, b"value")))
        if shape.data_first:
            parts.reverse()
        body += field(3, b"".join(parts))
    body = body + table if shape.tables_last else table + body
    return MAGIC + body + hashlib.md5(body, usedforsecurity=False).digest()


def deaggregate(data: bytes) -> tuple[list[str], list[bytes]] | None:
    """Return keys and payloads of the user records; None if the record stays as it is."""
    try:
        aggregate = open_aggregate(data)
    except AggregateError:
        return None
    return None if aggregate is None else aggregate.rows(0, len(aggregate))


def page_of(data: list[bytes]) -> Page:
    count = range(len(data))
    return as_decoded(
        Page(
            [str(7 * i) for i in count],
            [f"key-{i}" for i in count],
            [1_000 - i for i in count],
            data,
            next_iterator=None,
            millis_behind_latest=0,
        )
    )


@quick
@given(user_records, shapes)
def test_what_was_aggregated_comes_out_again(records, shape):
    assert deaggregate(encode(records, shape)) == (
        [key for key, _ in records],
        [payload for _, payload in records],
    )


@quick
@given(st.binary(max_size=200))
def test_any_other_bytes_pass(data):
    assert deaggregate(data) is None
    assert deaggregate(MAGIC + data) is None


@quick
@given(st.binary(max_size=60))
def test_any_body_with_a_right_digest_is_answered_and_never_raises(body):
    opened = deaggregate(MAGIC + body + hashlib.md5(body, usedforsecurity=False).digest())
    if opened is not None:
        keys, data = opened
        assert len(keys) == len(data)


@quick
@given(st.data(), user_records, shapes)
def test_one_flipped_bit_makes_it_plain_data(draw, records, shape):
    whole = bytearray(encode(records, shape))
    bit = draw.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    assert deaggregate(bytes(whole)) is None


@quick
@given(st.data(), user_records, shapes)
def test_flipped_bit_under_a_right_digest_never_raises(draw, records, shape):
    body = bytearray(encode(records, shape)[4:-16])
    if body:
        bit = draw.draw(st.integers(0, len(body) * 8 - 1))
        body[bit // 8] ^= 1 << bit % 8
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    opened = deaggregate(MAGIC + bytes(body) + digest)
    if opened is not None:
        keys, data = opened
        assert len(keys) == len(data)


@quick
@given(st.lists(st.binary(max_size=8) | user_records.map(encode), max_size=6))
def test_search_finds_what_can_be_taken_apart(data):
    assert has_aggregates(data) == any(payload.startswith(MAGIC) for payload in data)


@quick
@given(
    st.lists(payloads | user_records, max_size=10),
    st.integers(1, 12),
    st.integers(1, 400),
    st.booleans(),
)
def test_batches_joined_are_the_input_in_order(records, max_rows, max_bytes, take_apart):
    data = [encode(record) if isinstance(record, list) else record for record in records]
    page = page_of(data)
    expected = []
    for i, record in enumerate(records):
        if take_apart and isinstance(record, list):
            expected += [
                (payload, key, str(7 * i), 1_000 - i, sub)
                for sub, (key, payload) in enumerate(record)
            ]
        else:
            expected.append((data[i], f"key-{i}", str(7 * i), 1_000 - i, None))

    builder = BatchBuilder(
        WHOLE, "s", deaggregate=take_apart, max_rows=max_rows, max_bytes=max_bytes
    )
    batches = list(builder.batches("shard", page))

    shown = []
    for batch in batches:
        assert 1 <= batch.num_rows <= max_rows
        rows = batch.to_pylist()
        weight = sum(len(row["data"]) + len(row["partitionKey"]) for row in rows)
        assert weight <= max_bytes or batch.num_rows == 1
        shown += [
            (
                row["data"],
                row["partitionKey"],
                row["sequenceNumber"],
                round(row["approximateArrivalTimestamp"].timestamp() * 1_000),
                row["subSequenceNumber"],
            )
            for row in rows
        ]
        assert {(row["streamName"], row["shardId"]) for row in rows} == {("s", "shard")}
    assert shown == expected
