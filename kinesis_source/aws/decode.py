"""GetRecords bodies to columns, without botocore's parser.

Runs on driver and executors, inside botocore's call. botocore reads 3 to 40 MB/s of JSON a core,
orjson and pybase64 several times that. botocore emits ``before-parse.kinesis.GetRecords`` with the
raw body: it is decoded here, handed on through ``customized_response_dict``, and botocore gets
``{"Records":[]}`` to parse. Signing, endpoints and errors stay botocore's. Forms that botocore's
parser takes as well (times as text, line breaks in base64) give the rows that it gives. Any other
body is incomplete: botocore gets ``{}``, because wrong types make its parser raise anything.
tests/contract/test_botocore_contract.py pins what is used of botocore.
"""

from __future__ import annotations

import datetime
from typing import Any, Final

import orjson
import pybase64
from botocore.utils import parse_timestamp

from kinesis_source.aws.api import Page
from kinesis_source.aws.retry import IncompleteReplyError
from kinesis_source.model.positions import LAST_EPOCH_MS

__all__ = ["decode_body", "guard_body", "on_before_parse", "page_from_reply", "to_epoch_ms"]

_PAGE_KEY: Final = "KinesisSourcePage"
_EMPTY_BODY: Final = b'{"Records":[]}'
_NO_MEMBERS: Final = b"{}"
# Everything that wrong types, missing members, bad base64 and impossible times can raise.
_WRONG_FORM: Final = (ValueError, KeyError, TypeError, AttributeError, OverflowError)
# First bytes of JSON arrays, strings, numbers, true, false and null.
_JSON: Final = frozenset(bytes([byte]) for byte in b'["-0123456789tfn')


def on_before_parse(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Handle botocore's ``before-parse.kinesis.GetRecords`` event."""
    if response_dict.get("status_code") != 200:
        return
    page = decode_body(response_dict["body"]) or _decode_odd_body(response_dict["body"])
    if page is not None:
        response_dict["body"] = _EMPTY_BODY
        customized_response_dict[_PAGE_KEY] = page
    else:
        response_dict["body"] = _NO_MEMBERS


def guard_body(response_dict: dict[str, Any], **_: Any) -> None:
    """Handle ``before-parse.kinesis``: replace a body that would crash botocore's parser.

    JSON that is no object raises AttributeError there; an empty object is simply incomplete.
    """
    if response_dict.get("status_code") == 200 and response_dict["body"][:64].lstrip()[:1] in _JSON:
        response_dict["body"] = _NO_MEMBERS


def decode_body(body: bytes) -> Page | None:
    """Decode a GetRecords body.

    Returns
    -------
    Page or None
        None if the body is cut, or not of the form that AWS documents.
    """
    decode = pybase64.b64decode
    try:
        reply = orjson.loads(body)
        records = _list(reply["Records"])
        page = Page(
            sequence_numbers=[_text(record["SequenceNumber"]) for record in records],
            partition_keys=[_text(record["PartitionKey"]) for record in records],
            arrival_ms=[round(record["ApproximateArrivalTimestamp"] * 1000) for record in records],
            data=[decode(record["Data"], validate=True) for record in records],
            next_iterator=_text_or_none(reply.get("NextShardIterator")),
            millis_behind_latest=_whole(reply.get("MillisBehindLatest")),
            child_shard_ids=_child_ids(reply),
        )
    except _WRONG_FORM:
        return None
    return page if _are_moments(page.arrival_ms) else None


def _decode_odd_body(body: bytes) -> Page | None:
    """Decode what AWS does not write and botocore's parser takes all the same; None: neither."""
    try:
        reply = orjson.loads(body)
        for record in _list(reply["Records"]):
            moment = record["ApproximateArrivalTimestamp"]
            if isinstance(moment, str):
                record["ApproximateArrivalTimestamp"] = parse_timestamp(moment).timestamp()
            data = pybase64.b64decode(_text(record["Data"]))
            record["Data"] = pybase64.b64encode(data).decode()
        return decode_body(orjson.dumps(reply))
    except _WRONG_FORM:
        return None


def page_from_reply(reply: dict[str, Any]) -> Page:
    """Return the page of a GetRecords reply of botocore's.

    Raises
    ------
    IncompleteReplyError
        The reply has no Records, or a record lacks a member. botocore parses half a body without
        complaint.
    """
    page = reply.get(_PAGE_KEY)
    if isinstance(page, Page):
        return page
    try:
        records = reply["Records"]
        return Page(
            sequence_numbers=[record["SequenceNumber"] for record in records],
            partition_keys=[record["PartitionKey"] for record in records],
            arrival_ms=[to_epoch_ms(record["ApproximateArrivalTimestamp"]) for record in records],
            data=[record["Data"] for record in records],
            next_iterator=reply.get("NextShardIterator"),
            millis_behind_latest=reply.get("MillisBehindLatest") or 0,
            child_shard_ids=_child_ids(reply),
        )
    except KeyError as error:
        raise IncompleteReplyError(str(error.args[0])) from None


def to_epoch_ms(moment: datetime.datetime) -> int:
    """Return an aware datetime as ms since 1970, rounded."""
    return round(moment.timestamp() * 1000)


def _are_moments(arrival_ms: list[int]) -> bool:
    return not arrival_ms or (min(arrival_ms) >= 0 and max(arrival_ms) <= LAST_EPOCH_MS)


def _child_ids(reply: dict[str, Any]) -> tuple[str, ...]:
    children = reply.get("ChildShards")
    return tuple(_text(child["ShardId"]) for child in _list(children)) if children else ()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    """Return a whole number; None counts as 0."""
    if value is None:
        return 0
    if type(value) is not int:
        raise TypeError
    return value
