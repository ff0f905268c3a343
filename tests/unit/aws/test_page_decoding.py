"""GetRecords bodies: the fast way and botocore's give the same rows, damage gives none."""

from __future__ import annotations

import base64
import json

import botocore.session
import pytest
from botocore.parsers import create_parser

from kinesis_source.aws import decode
from kinesis_source.aws.api import ALL_DATA, NO_DATA, Page
from kinesis_source.aws.decode import guard_body, on_before_parse
from kinesis_source.aws.retry import IncompleteReplyError
from kinesis_source.native import find_decoder

pytestmark = pytest.mark.usefixtures("decoder")
SHAPE = botocore.session.Session().get_service_model("kinesis").operation_model("GetRecords")


def record(number: int, data: bytes = b"hello", **changes: object) -> dict[str, object]:
    return {
        "SequenceNumber": str(10**50 + number),
        "PartitionKey": f"kéy-{number}",
        "ApproximateArrivalTimestamp": 1_767_225_600.123 + number,
        "Data": base64.b64encode(data).decode(),
        **changes,
    }


def body(*records: dict[str, object], **changes: object) -> bytes:
    reply = {"Records": list(records), "NextShardIterator": "AAA", "MillisBehindLatest": 7}
    return json.dumps({**reply, **changes}).encode()


def decode_body(raw: bytes, data_prefix: bytes | None = ALL_DATA) -> Page | None:
    """Decode by the decoder of this test."""
    return decode.decode_body(raw, data_prefix, find_decoder())


def page_from_reply(reply: dict[str, object]) -> Page:
    return decode.page_from_reply(reply, native=find_decoder())


def through_botocore(raw: bytes, status: int = 200, *, fast: bool = True) -> dict[str, object]:
    """Do what botocore's endpoint does with a reply."""
    response = {"status_code": status, "headers": {}, "body": raw}
    custom: dict[str, object] = {}
    guard_body(response_dict=response)
    if fast:
        on_before_parse(response_dict=response, customized_response_dict=custom)
    parsed = create_parser("json").parse(response, SHAPE.output_shape)
    parsed.update(custom)
    return parsed


def test_columns_of_a_page():
    page = decode_body(body(record(1), record(2, b"\x00\xff" * 9)))
    assert page is not None
    assert page.sequence_numbers == [str(10**50 + 1), str(10**50 + 2)]
    assert page.partition_keys == ["kéy-1", "kéy-2"]
    assert page.arrival_ms == [1_767_225_601_123, 1_767_225_602_123]
    assert page.data == [b"hello", b"\x00\xff" * 9]
    assert (page.next_iterator, page.millis_behind_latest, page.child_shard_ids) == ("AAA", 7, ())


def test_the_page_that_ends_a_shard():
    children = [{"ShardId": "s-2", "ParentShards": ["s-1"]}, {"ShardId": "s-3"}]
    page = decode_body(body(record(1), NextShardIterator=None, ChildShards=children))
    assert page is not None
    assert page.is_shard_end
    assert page.child_shard_ids == ("s-2", "s-3")
    assert len(page) == 1


def test_an_empty_record_is_a_record():
    page = decode_body(body(record(1, b"")))
    assert page is not None
    assert page.data == [b""]


@pytest.mark.parametrize(
    "raw",
    [
        body(),
        body(record(1), record(2, b"x" * 1000)),
        body(record(1, ApproximateArrivalTimestamp=1_767_225_600)),
        body(record(1), NextShardIterator=None, ChildShards=[{"ShardId": "s-2"}]),
        json.dumps({"Records": [record(1)]}).encode(),
    ],
)
def test_both_ways_give_the_same_page(raw):
    fast = page_from_reply(through_botocore(raw))
    slow = page_from_reply(through_botocore(raw, fast=False))
    assert fast == slow


@pytest.mark.parametrize("size", [0, 1, 2, 3, 10, 100, 999, 1_000, 10_000, 100_000, 2**20])
def test_both_ways_give_the_same_page_at_any_size(size):
    data = [bytes([number]) * (size + number % 3) for number in range(5)]
    raw = body(*(record(number, part) for number, part in enumerate(data)))
    fast = decode_body(raw)
    assert fast == page_from_reply(through_botocore(raw, fast=False))
    assert fast is not None
    assert fast.data == data


def test_a_page_of_all_sizes():
    """Which of the two decoders is asked depends on the first record alone."""
    data = [b"x" * size for size in (5, 2_000, 0, 100_000)]
    for order in (data, data[::-1]):
        page = decode_body(body(*(record(number, part) for number, part in enumerate(order))))
        assert page is not None
        assert page.data == order


@pytest.mark.parametrize("size", [1, 100, 5_000])
def test_data_that_nobody_wants_is_counted_only(size):
    raw = body(*(record(number, b"z" * size) for number in range(3)))
    page, whole = decode_body(raw, NO_DATA), decode_body(raw)
    assert page is not None
    assert whole is not None
    assert page.data == []
    assert 3 * size <= page.data_bytes <= 3 * (size + 2)
    assert whole.data_bytes == 3 * size
    assert page.sequence_numbers == whole.sequence_numbers
    assert page.arrival_ms == whole.arrival_ms
    assert page.partition_keys == whole.partition_keys


@pytest.mark.parametrize("marked", [b"\xf3\x89\x9a\xc2", b"\xf3\x89\x9a\xc2 and more"])
def test_data_is_decoded_if_one_record_begins_like_an_aggregate(marked):
    prefix = b"\xf3\x89\x9a\xc2"
    plain = [b"", b"a", b"plain", b"\xf3\x89\x9a\xc3 nearly", b"\xf3\x89\x9a"]
    without = decode_body(body(*(record(n, part) for n, part in enumerate(plain))), prefix)
    assert without is not None
    assert without.data == []
    mixed = [*plain, marked]
    page = decode_body(body(*(record(n, part) for n, part in enumerate(mixed))), prefix)
    assert page is not None
    assert page.data == mixed


@pytest.mark.parametrize(
    ("changes", "data", "arrival_ms"),
    [
        ({"ApproximateArrivalTimestamp": "2026-01-01T00:00:00.123Z"}, b"hello", 1_767_225_600_123),
        ({"Data": "aGVs\nbG8="}, b"hello", 1_767_225_601_123),
        ({"Data": base64.encodebytes(b"hi" * 999).decode()}, b"hi" * 999, 1_767_225_601_123),
    ],
)
def test_odd_forms_are_left_to_botocore(changes, data, arrival_ms):
    raw = body(record(1, **changes))
    assert decode_body(raw) is None
    page = page_from_reply(through_botocore(raw))
    assert (page.data, page.arrival_ms) == ([data], [arrival_ms])


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        body(record(1), record(2))[:150],
        b"<html>hello</html>",
        b"{}",
        b"[1]",
        b"null",
        b'"text"',
        b"  7",
        b'{"Records":5}',
        b'{"Records":[5]}',
        b'{"Records":null}',
        b'{"Records":[{"Data":"aGVsbG8="}]}',
        body(record(1, Data=12345678)),
        body(record(1, b"x" * 2_000), record(2, Data=12345678)),
        body(record(1, b"x" * 2_000), record(2, b"x" * 2_000))[:-300],
        body({key: value for key, value in record(1).items() if key != "Data"}),
        body({key: value for key, value in record(1).items() if key != "SequenceNumber"}),
    ],
)
def test_a_damaged_reply_is_incomplete_not_empty(raw):
    with pytest.raises(IncompleteReplyError):
        page_from_reply(through_botocore(raw))


def test_refusals_are_left_to_botocore():
    raw = json.dumps({"__type": "ExpiredIteratorException", "message": "too old"}).encode()
    assert through_botocore(raw, 400)["Error"]["Code"] == "ExpiredIteratorException"
