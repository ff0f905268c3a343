"""KPL aggregates, from bytes written by hand after the published format."""

from __future__ import annotations

import hashlib

import pytest

from kinesis_source.records.kpl import AggregateError, has_aggregates, open_aggregate

MAGIC = bytes.fromhex("F3899AC2")
KEY_A = b"\x0a\x01a"
KEY_B = b"\x0a\x01b"
HASH_KEY = b"\x12\x0242"
RECORD_A_X = b"\x1a\x05\x08\x00\x1a\x01x"
"""A record of key 0 with the data ``x``."""


def seal(body: bytes) -> bytes:
    return MAGIC + body + hashlib.md5(body, usedforsecurity=False).digest()


def record(inner: bytes) -> bytes:
    assert len(inner) < 128
    return b"\x1a" + bytes([len(inner)]) + inner


def deaggregate(data: bytes) -> tuple[list[str], list[bytes]] | None:
    """Return keys and payloads of the user records; None if the record stays as it is."""
    try:
        aggregate = open_aggregate(data)
    except AggregateError:
        return None
    return None if aggregate is None else aggregate.rows(0, len(aggregate))


def test_known_bytes_give_known_records():
    """The digest is written out too: nothing here is computed."""
    data = bytes.fromhex(
        "f3899ac2"
        "0a0161"  # partition key table: a
        "0a0162"  # b
        "12023432"  # explicit hash key table: 42
        "1a0508001a0178"  # a, x
        "1a07080110001a0179"  # b, hash key 42, y
        "0aadecbdf51b3dc29c424e273d5fe617"
    )
    assert deaggregate(data) == (["a", "b"], [b"x", b"y"])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"", ([], []), id="nothing in it"),
        pytest.param(KEY_A, ([], []), id="keys without records"),
        pytest.param(RECORD_A_X + KEY_A, (["a"], [b"x"]), id="table after the records"),
        pytest.param(
            KEY_A + record(b"\x1a\x01x\x08\x00"), (["a"], [b"x"]), id="fields in another order"
        ),
        pytest.param(
            KEY_A + KEY_B + record(b"\x08\x01\x08\x00\x1a\x01y\x1a\x01x"),
            (["a"], [b"x"]),
            id="the last of a repeated scalar counts",
        ),
        pytest.param(KEY_A + record(b"\x08\x00\x1a\x00"), (["a"], [b""]), id="empty data"),
        pytest.param(b"\x0a\x00" + RECORD_A_X, ([""], [b"x"]), id="empty key"),
        pytest.param(
            b"\x0a\x80\x08" + "\U0001f600".encode() * 256 + RECORD_A_X,
            (["\U0001f600" * 256], [b"x"]),
            id="key of 256 characters of four bytes",
        ),
        pytest.param(
            KEY_A + b"\x12\x27" + b"3" * 39 + record(b"\x08\x00\x10\x00\x1a\x01x"),
            (["a"], [b"x"]),
            id="hash key of 39 digits",
        ),
        pytest.param(KEY_A + b"\x12\x00" + RECORD_A_X, (["a"], [b"x"]), id="empty hash key"),
        pytest.param(b"\x0a\x02\xc3\xa9" + RECORD_A_X, (["\u00e9"], [b"x"]), id="key is UTF-8"),
        pytest.param(
            KEY_A + record(b"\x08\x00\x1a\x01x\x22\x05\x0a\x03tag"), (["a"], [b"x"]), id="tags"
        ),
        pytest.param(
            KEY_A + record(b"\x08\x80\x00\x1a\x81\x00x"), (["a"], [b"x"]), id="long varints"
        ),
        pytest.param(
            KEY_A + HASH_KEY + record(b"\x08\x00\x10\x80\x00\x1a\x01x"),
            (["a"], [b"x"]),
            id="long hash key index",
        ),
        pytest.param(
            KEY_A + record(b"\x08\x00\x1a\x81\x80\x00x"), (["a"], [b"x"]), id="longer size"
        ),
        pytest.param(
            KEY_A + HASH_KEY + record(b"\x1a\x01x\x10\x00\x08\x00"),
            (["a"], [b"x"]),
            id="hash key index in another place",
        ),
    ],
)
def test_intact_aggregate(body, expected):
    assert deaggregate(seal(body)) == expected


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param(b"\x20\xff\x01", id="varint"),
        pytest.param(b"\x21" + bytes(8), id="64 bits"),
        pytest.param(b"\x25" + bytes(4), id="32 bits"),
        pytest.param(b"\x2a\x02hi", id="bytes"),
        pytest.param(b"\x08\x07", id="a known number with another type"),
        pytest.param(b"\xa2\x06\x01z", id="a number of two bytes"),
        pytest.param(b"\x2b\x08\x01\x2c", id="group"),
        pytest.param(b"\x2b\x33\x0a\x01\x2c\x34\x2c", id="group in a group"),
    ],
)
def test_unknown_fields_are_skipped(unknown):
    inside = record(b"\x08\x00" + unknown.replace(b"\x08\x07", b"") + b"\x1a\x01x")
    body = unknown + KEY_A + unknown + inside + unknown
    assert deaggregate(seal(body)) == (["a"], [b"x"])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(RECORD_A_X, id="key index outside its table"),
        pytest.param(KEY_A + record(b"\x08\x01\x1a\x01x"), id="key index one too high"),
        pytest.param(KEY_A + record(b"\x08" + b"\xff" * 9 + b"\x01\x1a\x01x"), id="huge index"),
        pytest.param(
            KEY_A + record(b"\x08\x00\x10\x00\x1a\x01x"), id="hash key index outside its table"
        ),
        pytest.param(
            KEY_A + HASH_KEY + record(b"\x08\x00\x10\x01\x1a\x01x"), id="hash key index too high"
        ),
        pytest.param(KEY_A + record(b"\x08\x00"), id="no data"),
        pytest.param(KEY_A + record(b"\x1a\x01x"), id="no key index"),
        pytest.param(KEY_A + record(b""), id="empty record"),
        pytest.param(b"\x0a\x01\xff" + RECORD_A_X, id="key is no UTF-8"),
        pytest.param(b"\x0a\x81\x02" + b"k" * 257 + RECORD_A_X, id="key of 257 characters"),
        pytest.param(
            b"\x0a\x81\x08" + b"k" * 1025 + RECORD_A_X, id="key longer than any 256 characters"
        ),
        pytest.param(
            KEY_A + b"\x0a\x81\x02" + b"k" * 257 + RECORD_A_X, id="long key that nobody uses"
        ),
        pytest.param(KEY_A + b"\x12\x28" + b"4" * 40 + RECORD_A_X, id="hash key of 40 digits"),
        pytest.param(KEY_A + b"\x12\x024x" + RECORD_A_X, id="hash key that is no number"),
        pytest.param(KEY_A + b"\x1a\x7f\x08\x00", id="record longer than the body"),
        pytest.param(KEY_A + b"\x1a\x05\x08\x00\x1a\x02x", id="data longer than its record"),
        pytest.param(KEY_A + RECORD_A_X + b"\x1a", id="cut after a tag"),
        pytest.param(KEY_A + RECORD_A_X + b"\x20", id="cut before a varint"),
        pytest.param(KEY_A + RECORD_A_X + b"\x21" + bytes(7), id="64 bits cut"),
        pytest.param(KEY_A + RECORD_A_X + b"\x00\x00", id="field number 0"),
        pytest.param(KEY_A + RECORD_A_X + b"\x2e", id="wire type 6"),
        pytest.param(KEY_A + RECORD_A_X + b"\x2f", id="wire type 7"),
        pytest.param(KEY_A + RECORD_A_X + b"\x2c", id="end of no group"),
        pytest.param(KEY_A + RECORD_A_X + b"\x2b\x34", id="end of another group"),
        pytest.param(KEY_A + RECORD_A_X + b"\x2b", id="group without end"),
        pytest.param(KEY_A + RECORD_A_X + b"\x20" + b"\x80" * 10 + b"\x00", id="varint too long"),
    ],
)
def test_malformed_passes_as_it_is_even_with_a_right_digest(body):
    assert deaggregate(seal(body)) is None


def test_deep_groups_do_not_exhaust_the_stack():
    depth = 20_000
    body = b"\x2b" * depth + b"\x2c" * depth + KEY_A + RECORD_A_X
    assert deaggregate(seal(body)) == (["a"], [b"x"])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="text"),
        pytest.param(MAGIC, id="magic alone"),
        pytest.param(MAGIC + bytes(15), id="too short for a digest"),
        pytest.param(MAGIC + KEY_A + RECORD_A_X + bytes(16), id="wrong digest"),
        pytest.param(seal(KEY_A + RECORD_A_X)[:-1], id="cut"),
        pytest.param(seal(KEY_A + RECORD_A_X) + b"!", id="one byte more"),
        pytest.param(b"\xf3\x89\x9a\xc3" + seal(KEY_A)[4:], id="another magic"),
    ],
)
def test_what_only_looks_alike_passes_as_it_is(data):
    assert deaggregate(data) is None


def test_sizes_around_a_varint_byte():
    for size in (126, 127, 128, 16_383, 16_384, 20_000):
        payload = b"x" * size
        length = _varint(size)
        inner = b"\x08\x00\x1a" + length + payload
        body = KEY_A + b"\x1a" + _varint(len(inner)) + inner
        assert deaggregate(seal(body)) == (["a"], [payload])


def test_index_whose_second_byte_looks_like_the_data_field():
    """Index 3328 ends in 1A, the tag of data; 25 bytes of payload make the rest fit by chance."""
    payload = b"p" * 25
    tail = b"\x80\x1a\x1a\x19" + payload
    keys = b"\x0a\x00" * 3328 + KEY_A
    assert deaggregate(seal(keys + record(b"\x08" + tail))) == (["a"], [payload])

    hash_keys = b"\x12\x00" * 3328
    body = KEY_A + hash_keys + record(b"\x08\x00\x10" + tail)
    assert deaggregate(seal(body)) is None
    assert deaggregate(seal(HASH_KEY + body)) == (["a"], [payload])


def _varint(number: int) -> bytes:
    shown = bytearray()
    while number >= 128:
        shown.append(number % 128 + 128)
        number //= 128
    return bytes([*shown, number])


def test_page_is_searched_for_the_magic():
    assert not has_aggregates([])
    assert not has_aggregates([b"", b"{}", b"\xf3\x89\x9a", b"\xff" * 30, b" " + MAGIC])
    assert has_aggregates([b"{}", MAGIC, b"{}"])
