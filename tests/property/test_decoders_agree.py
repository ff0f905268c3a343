"""The native decoder: it takes a body as the Python way and botocore do, or hands it back."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kinesis_source.native import NativeDecoder, find_decoder
from tests.decoding import need_native
from tests.fuzz.agreement import check_body, check_rows
from tests.fuzz.fuzz_decoder import sound_body
from tests.fuzz.odd_replies import MAGIC, PREFIXES, aggregate, payload, reply_body, spoil

QUICK = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow],
)
CHANCES = st.randoms(use_true_random=False)
NUMBERS = st.from_regex(r"\A(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?\Z")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.fixture(scope="module")
def native() -> NativeDecoder:
    need_native()
    found = find_decoder("native")
    assert found is not None
    return found


def body_of(**members: object) -> bytes:
    """Return a reply of one record with these members, written as they are."""
    record = {
        "SequenceNumber": '"1"',
        "PartitionKey": '"k"',
        "ApproximateArrivalTimestamp": "1.5",
        "Data": '"YQ=="',
        **members,
    }
    inner = ",".join(f'"{name}":{value}' for name, value in record.items())
    return f'{{"Records":[{{{inner}}}]}}'.encode("utf-8", "surrogatepass")


@QUICK
@given(CHANCES, st.sampled_from(PREFIXES))
def test_a_body_is_taken_as_the_python_way_takes_it_or_not_at_all(native, random, prefix):
    check_body(native, spoil(random, reply_body(random)), prefix)


@QUICK
@given(st.binary(max_size=60))
def test_any_bytes_are_no_surprise(native, body):
    check_body(native, body, b"")
    check_body(native, b'{"Records":' + body, b"")


@QUICK
@given(CHANCES, st.integers(1, 5), st.sampled_from([1, 20, 400, 1 << 24]), st.booleans())
def test_rows_of_aggregates_are_those_of_the_python_way(native, random, rows, size, take_apart):
    body = sound_body([payload(random) for _ in range(random.randrange(6))])
    check_rows(native, body, max_rows=rows, max_bytes=size, deaggregate=take_apart)


@QUICK
@given(CHANCES)
def test_an_odd_aggregate_gives_the_rows_of_the_python_way(native, random):
    body = sound_body([aggregate(random)])
    check_rows(native, body, max_rows=10_000, max_bytes=1 << 24, deaggregate=True)


@settings(QUICK, max_examples=1_000)
@given(NUMBERS)
@example("1.767225600123E9")
@example("1767225600.0005")
@example("0.0005")
@example("0.0015")
@example("4503599627370497.5e-5")
@example("9007199254740993e-4")
@example("253402300799.9995")
@example("253402300799.999")
def test_every_time_is_the_millisecond_that_python_makes_of_it(native, number):
    body = body_of(ApproximateArrivalTimestamp=number)
    reply = native.decode_reply(body, b"")
    if reply is not None:
        assert reply.arrival_ms[0] == round(float(number) * 1000)
        check_body(native, body, b"")


@pytest.mark.parametrize("number", ["1.767225600123E9", "1767225600.123", "1767225600", "0", "1E9"])
def test_times_as_they_are_written_are_not_handed_back(native, number):
    assert check_body(native, body_of(ApproximateArrivalTimestamp=number), b"")


@QUICK
@given(TEXTS, st.booleans())
@example("\U0001f600", True)
@example("\x00\x1f\x7f\u2028", True)
def test_keys_of_any_characters_are_taken_escaped_or_not(native, key, escaped):
    body = body_of(PartitionKey=json.dumps(key, ensure_ascii=escaped))
    assert check_body(native, body, b"")
    reply = native.decode_reply(body, b"")
    assert reply.partition_keys == [key]


@pytest.mark.parametrize(
    "members",
    [
        {"PartitionKey": '"\\ud83d"'},
        {"PartitionKey": '"\\ude00\\ud83d"'},
        {"PartitionKey": '"\ud83d"'},
        {"PartitionKey": '"a\tb"'},
        {"PartitionKey": '"\\q"'},
        {"PartitionKey": '"k","PartitionKey":"k"'},
        {"Data": '"YQ=="', "\\u0044ata": '"Yg=="'},
        {"Data": '"YR=="'},
        {"Data": '"YQ"'},
        {"Data": '"YQ==\\n"'},
        {"Data": '"Y Q=="'},
        {"Data": '"YQ-_"'},
        {"Data": "null"},
        {"ApproximateArrivalTimestamp": "-1"},
        {"ApproximateArrivalTimestamp": "253402300800"},
        {"ApproximateArrivalTimestamp": "01"},
        {"ApproximateArrivalTimestamp": '"1"'},
        {"Unknown": "[" * 100 + "]" * 100},
        {"Unknown": "NaN"},
        {"Unknown": "01"},
    ],
)
def test_what_aws_does_not_write_is_handed_back(native, members):
    assert native.decode_reply(body_of(**members), b"") is None


@pytest.mark.parametrize("prefix", PREFIXES)
def test_members_in_any_order_and_unknown_ones_are_taken(native, prefix):
    body = b"""
    { "MillisBehindLatest" : 5 , "Unknown" : { "a" : [ 1, -2.5e3, true, null, "\\u00e9" ] } ,
      "Records" : [ { "Data" : "YQ==" , "EncryptionType" : "KMS" , "PartitionKey" : "k" ,
        "ApproximateArrivalTimestamp" : 1.5 , "SequenceNumber" : "1" } ] ,
      "ChildShards" : [ { "ParentShards" : [ "p" ] , "ShardId" : "c" } ] ,
      "NextShardIterator" : null } """
    assert check_body(native, body, prefix)


def test_an_events_payload_is_taken_with_the_number_where_it_goes_on(native):
    body = b'{"Records":[],"ContinuationSequenceNumber":"77","MillisBehindLatest":0}'
    assert native.decode_reply(body, b"").continuation == "77"
    assert native.decode_reply(b'{"Records":[]}', b"").continuation is None


# Aggregates that no producer writes


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


def user_record(*fields: bytes, index: int = 0) -> bytes:
    return field(3, field(1, index) + b"".join(fields) + field(3, b"d"))


KEY = field(1, b"key")
GROUP = varint(9 * 8 + 3) + field(5, 1) + varint(9 * 8 + 4)
TAG = field(4, field(1, b"name") + field(2, b"value"))


@pytest.mark.parametrize(
    "body",
    [
        field(1, b"k" * 257) + user_record(),
        field(1, "é".encode() * 257) + user_record(),
        field(1, b"k" * 1_025) + user_record(),
        field(1, b"\xff") + user_record(),
        field(1, b"\xed\xa0\x80") + user_record(),
        KEY + user_record(index=1),
        KEY + user_record(index=2**32),
        KEY + user_record(index=2**64),
        user_record(),
        KEY + field(2, b"1" * 40) + user_record(),
        KEY + field(2, b"12a") + user_record(),
        KEY + field(2, "٣".encode()) + user_record(),
        KEY + user_record(field(2, 0)),
        KEY + field(2, b"1") + user_record(field(2, 1)),
        KEY + field(2, b"1") + user_record(field(2, 2**64)),
        KEY + field(3, field(3, b"d")),
        KEY + field(3, field(1, 0)),
        KEY + user_record() + varint(2) + b"\x00",
        KEY + user_record() + varint(9 * 8 + 4),
        KEY + user_record() + varint(9 * 8 + 3),
        KEY + user_record() + varint(9 * 8 + 6) + b"\x00",
        KEY + user_record() + varint(9 * 8 + 5) + b"\x00",
        KEY + user_record()[:-1],
        KEY + varint(3 * 8 + 2 + 2**64) + varint(5) + b"\x08\x00\x1a\x01d" + field(3, b""),
        KEY + user_record() + b"\x80" * 10 + b"\x00",
    ],
)
def test_what_is_no_aggregate_stays_the_record_that_it_is(native, body):
    assert _rows_of(native, body) == 1
    assert _rows_of(native, body, is_whole=False) == 1


@pytest.mark.parametrize(
    "body",
    [
        KEY + user_record() + user_record(),
        user_record() + user_record() + KEY,
        field(1, "é".encode() * 256) + user_record() * 2,
        field(1, "\U0001f600".encode() * 256) + user_record() * 2,
        KEY + field(2, b"1" * 39) + user_record(field(2, 0)) * 2,
        KEY + field(2, b"") + user_record() * 2,
        KEY + user_record(GROUP) + user_record(TAG) + GROUP,
        KEY + user_record(varint(9 * 8 + 1) + b"8bytes!!", varint(9 * 8 + 5) + b"four") * 2,
        KEY + user_record(field(3, b"earlier"), field(1, 0)) * 2,
        KEY + field(200, b"unknown") + user_record() * 2,
        KEY + b"\x9a\x00" + user_record()[1:] + user_record(),
    ],
)
def test_what_the_format_allows_is_taken_apart(native, body):
    assert _rows_of(native, body) == 2


def test_an_aggregate_of_nothing_gives_no_row(native):
    assert _rows_of(native, b"") == 0
    assert _rows_of(native, KEY) == 0


def _rows_of(native: NativeDecoder, body: bytes, *, is_whole: bool = True) -> int:
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    data = MAGIC + body + (digest if is_whole else digest[::-1])
    return check_rows(
        native, sound_body([data]), max_rows=10_000, max_bytes=1 << 24, deaggregate=True
    )
