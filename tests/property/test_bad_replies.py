"""Whatever a GetRecords reply holds: botocore's page, or a failure that is worth another try.

Nothing else may be raised, and what is handed on can be turned into rows.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from bad_values import JSON, QUICK, spoilt
from botocore.parsers import create_parser
from hypothesis import example, given
from hypothesis import strategies as st

from kinesis_source.aws import decode
from kinesis_source.aws.api import ALL_DATA, NO_DATA, Page
from kinesis_source.aws.decode import guard_body, on_before_parse
from kinesis_source.aws.retry import CallFailedError, Kind, RetryPolicy
from kinesis_source.native import find_decoder

pytestmark = pytest.mark.usefixtures("decoder")
SHAPE = botocore.session.Session().get_service_model("kinesis").operation_model("GetRecords")
RECORDS = st.fixed_dictionaries(
    {
        "SequenceNumber": st.integers(0, 10**56).map(str),
        "PartitionKey": st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        "ApproximateArrivalTimestamp": st.one_of(
            st.floats(1.7e9, 1.8e9),
            st.integers(1_700_000_000, 1_800_000_000),
            st.sampled_from([1e15, 1e300, 10**15, -1e15, True, "2026-01-01T00:00:00.123Z"]),
        ),
        "Data": st.binary(max_size=30).map(lambda data: base64.b64encode(data).decode()),
    }
)
BODIES = st.fixed_dictionaries(
    {"Records": st.lists(RECORDS, max_size=4)},
    optional={
        "NextShardIterator": st.one_of(st.none(), st.just("AAA"), JSON),
        "MillisBehindLatest": st.one_of(st.integers(0, 10**12), JSON),
        "ChildShards": st.one_of(
            st.just([{"ShardId": "s-2", "ParentShards": ["s-1"]}]), st.lists(JSON, max_size=2), JSON
        ),
    },
)


def decode_body(body: bytes, data_prefix: bytes | None = ALL_DATA) -> Page | None:
    """Decode by the decoder of this test."""
    return decode.decode_body(body, data_prefix, find_decoder())


def page_from_reply(reply: dict[str, Any]) -> Page:
    return decode.page_from_reply(reply, native=find_decoder())


def page_of(body: bytes) -> Page | Kind:
    """Return what a call gives for a body: a page, or how it fails for good."""

    def call() -> Page:
        response = {"status_code": 200, "headers": {}, "body": body}
        custom: dict[str, object] = {}
        guard_body(response_dict=response)
        on_before_parse(response_dict=response, customized_response_dict=custom)
        parsed = create_parser("json").parse(response, SHAPE.output_shape)
        return page_from_reply({**parsed, **custom})

    try:
        return RetryPolicy(0).run(call, lambda _: False)
    except CallFailedError as failed:
        return failed.kind


def botocores_page(body: bytes) -> Page | None:
    """Return the page that botocore's own parser gives, None if it gives none."""
    response = {"status_code": 200, "headers": {}, "body": body}
    try:
        return page_from_reply(create_parser("json").parse(response, SHAPE.output_shape))
    except Exception:  # noqa: BLE001 - wrong types make it raise anything
        return None


def assert_sound(page: Page) -> None:
    """Whatever is handed on can be turned into rows and asked for more."""
    assert all(type(part) is str for part in (*page.sequence_numbers, *page.partition_keys))
    assert all(type(data) is bytes for data in page.data)
    assert all(type(ms) is int and 0 <= ms < 253_402_300_800_000 for ms in page.arrival_ms)
    assert len({len(page), len(page.partition_keys), len(page.arrival_ms), len(page.data)}) == 1
    assert page.next_iterator is None or type(page.next_iterator) is str
    assert type(page.millis_behind_latest) is int
    assert all(type(child) is str for child in page.child_shard_ids)


def check_body(body: bytes) -> None:
    direct = decode_body(body)
    if direct is not None:
        # The decoder of long records agrees, though these are short.
        without = decode_body(body, NO_DATA)
        assert without is not None
        assert replace(without, skipped_bytes=0) == replace(direct, data=[])
    page = page_of(body)
    if isinstance(page, Page):
        assert_sound(page)
    else:
        assert page is Kind.INCOMPLETE
    if direct is not None:
        assert page == direct
        assert botocores_page(body) in (direct, None)


@QUICK
@given(st.one_of(st.binary(max_size=200), JSON.map(lambda value: json.dumps(value).encode())))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"Records":' + b"[" * 100_000)
@example(b'{"Records":{}}')
@example(b'{"Records":""}')
@example(b'{"Records":[],"ChildShards":5}')
@example(b'{"Records":[],"NextShardIterator":5}')
@example(b"\xff\xfe\x00")
def test_any_body_is_a_page_or_incomplete(body: bytes) -> None:
    check_body(body)


@QUICK
@given(spoilt(BODIES), st.one_of(st.just(1.0), st.floats(0, 1)))
def test_a_spoilt_body_is_botocores_page_or_incomplete(reply: Any, kept: float) -> None:
    body = json.dumps(reply).encode()
    check_body(body[: round(len(body) * kept)])
