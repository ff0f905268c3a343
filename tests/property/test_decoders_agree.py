"""The native decoder: it takes a body as the Python way and botocore do, or hands it back."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kinesis_source.native import NativeDecoder, find_decoder
from tests.decoding import need_native
from tests.fuzz.agreement import check_body, check_rows
from tests.fuzz.fuzz_decoder import sound_body
from tests.fuzz.odd_replies import PREFIXES, aggregate, payload, reply_body, spoil

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
