"""GetRecords bodies to columns, without botocore's parser.

Runs on driver and executors. :mod:`kinesis_source.aws.direct` hands bodies to :func:`decode_body`.
Where calls go through botocore, it emits ``before-parse.kinesis.GetRecords`` with the raw body:
:func:`on_before_parse` sets it aside and leaves botocore ``{"Records":[]}``, and
:func:`page_from_reply` decodes it.

In: the body, and which data is wanted. The native decoder is tried first, where this process has
it (:mod:`kinesis_source.native`); what it hands back is decoded here. Out: a Page, the rows of
which are those that botocore's parser gives. Forms that AWS does not write and botocore takes
(times as text, line breaks in base64) go a slower way to the same rows. Any other body is
incomplete: IncompleteReplyError, and the call is repeated. docs/PERFORMANCE.md has the measurements
that chose this way; tests/contract/test_botocore_contract.py pins what is used of botocore.
"""

from __future__ import annotations

import datetime
import functools
import json
from typing import Any, Final

import msgspec
import pybase64
from botocore.utils import parse_timestamp

from kinesis_source.aws.api import ALL_DATA, Page
from kinesis_source.aws.retry import IncompleteReplyError
from kinesis_source.model.arrivals import ArrivalTimes
from kinesis_source.model.outgoing import PutOutcome
from kinesis_source.model.positions import LAST_EPOCH_MS
from kinesis_source.native import NativeDecoder, NativeReply

__all__ = [
    "decode_body",
    "decode_iterator",
    "decode_outcomes",
    "guard_body",
    "on_before_parse",
    "page_from_reply",
    "to_epoch_ms",
]

_BODY_KEY: Final = "KinesisSourceBody"
_EMPTY_BODY: Final = b'{"Records":[]}'
_NO_MEMBERS: Final = b"{}"
_LAST_EPOCH_S: Final = LAST_EPOCH_MS / 1000
# Everything that wrong types, missing members, bad base64 and impossible times can raise.
_WRONG_FORM: Final = (
    msgspec.MsgspecError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
# First bytes of JSON arrays, strings, numbers, true, false and null.
_JSON: Final = frozenset(bytes([byte]) for byte in b'["-0123456789tfn')
_DATA_MEMBER: Final = b'"Data":"'
LONG_DATA_CHARS: Final = 400
"""From here on pybase64, at a call for each record, beats msgspec, which decodes base64 while it
parses: twice as fast at 10 KB, two thirds as fast at 100 B (docs/PERFORMANCE.md)."""


_HEAD_BYTES: Final = 2_048
"""Holds the first record's other members, and the beginning of its data."""


class _Child(msgspec.Struct, gc=False):
    ShardId: str


class _Record(msgspec.Struct, gc=False):
    """A record whose data is decoded by msgspec; members that are not named are skipped."""

    SequenceNumber: str
    PartitionKey: str
    ApproximateArrivalTimestamp: float
    Data: bytes


class _CodedRecord(msgspec.Struct, gc=False):
    """A record whose data is left in base64."""

    SequenceNumber: str
    PartitionKey: str
    ApproximateArrivalTimestamp: float
    Data: str


class _Reply(msgspec.Struct, gc=False):
    Records: list[_Record]
    NextShardIterator: str | None = None
    MillisBehindLatest: int | None = None
    ChildShards: list[_Child] | None = None


class _CodedReply(msgspec.Struct, gc=False):
    Records: list[_CodedRecord]
    NextShardIterator: str | None = None
    MillisBehindLatest: int | None = None
    ChildShards: list[_Child] | None = None


class _IteratorReply(msgspec.Struct, gc=False):
    ShardIterator: str


class _PutResult(msgspec.Struct, gc=False):
    ShardId: str | None = None
    SequenceNumber: str | None = None
    ErrorCode: str | None = None
    ErrorMessage: str | None = None


class _PutReply(msgspec.Struct, gc=False):
    Records: list[_PutResult]


_REPLY: Final = msgspec.json.Decoder(_Reply)
_CODED_REPLY: Final = msgspec.json.Decoder(_CodedReply)
_ITERATOR_REPLY: Final = msgspec.json.Decoder(_IteratorReply)
_PUT_REPLY: Final = msgspec.json.Decoder(_PutReply)


def on_before_parse(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Handle botocore's ``before-parse.kinesis.GetRecords`` event."""
    if response_dict.get("status_code") == 200:
        customized_response_dict[_BODY_KEY] = response_dict["body"]
        response_dict["body"] = _EMPTY_BODY


def guard_body(response_dict: dict[str, Any], **_: Any) -> None:
    """Handle ``before-parse.kinesis``: replace a body that would crash botocore's parser.

    JSON that is no object raises AttributeError there; an empty object is simply incomplete.
    """
    if response_dict.get("status_code") == 200 and response_dict["body"][:64].lstrip()[:1] in _JSON:
        response_dict["body"] = _NO_MEMBERS


def page_from_reply(
    reply: dict[str, Any],
    data_prefix: bytes | None = ALL_DATA,
    native: NativeDecoder | None = None,
) -> Page:
    """Return the page of a GetRecords reply of botocore's.

    Parameters
    ----------
    reply : dict
    data_prefix : bytes or None
        See StreamApi.get_page.
    native : NativeDecoder or None
        Tried first.

    Raises
    ------
    IncompleteReplyError
        The reply has no Records, or a record lacks a member. botocore parses half a body without
        complaint.
    """
    if _BODY_KEY in reply:
        body = reply[_BODY_KEY]
        page = decode_body(body, data_prefix, native) or _decode_odd_body(body)
        if page is None:
            raise IncompleteReplyError("Records")
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
            child_shard_ids=tuple(child["ShardId"] for child in reply.get("ChildShards") or ()),
        )
    except KeyError as error:
        raise IncompleteReplyError(str(error.args[0])) from None


def decode_body(
    body: bytes | memoryview,
    data_prefix: bytes | None = ALL_DATA,
    native: NativeDecoder | None = None,
) -> Page | None:
    """Decode a GetRecords body.

    Parameters
    ----------
    body : bytes
    data_prefix : bytes or None
        See StreamApi.get_page.
    native : NativeDecoder or None
        Tried first.

    Returns
    -------
    Page or None
        None if the body is cut, or not of the form that AWS documents.
    """
    if native is not None:
        found = native.decode_reply(body, data_prefix)
        if found is not None:
            return _native_page(found)
    return _decode_in_python(body, data_prefix)


def _native_page(reply: NativeReply) -> Page:
    return Page(
        sequence_numbers=reply.sequence_numbers,
        partition_keys=reply.partition_keys,
        arrival_ms=reply.arrival_ms,
        data=reply.data,
        next_iterator=reply.next_iterator,
        millis_behind_latest=reply.millis_behind_latest,
        child_shard_ids=reply.child_shard_ids,
        skipped_bytes=reply.skipped_bytes,
    )


def _decode_in_python(body: bytes | memoryview, data_prefix: bytes | None) -> Page | None:
    try:
        if data_prefix == ALL_DATA and not _has_long_data(body):
            decoded = _REPLY.decode(body)
            reply: _Reply | _CodedReply = decoded
            data = [record.Data for record in decoded.Records]
            skipped_bytes = 0
        else:
            reply = coded = _CODED_REPLY.decode(body)
            data, skipped_bytes = _data_of([record.Data for record in coded.Records], data_prefix)
        records = reply.Records
        arrivals = [record.ApproximateArrivalTimestamp for record in records]
        if arrivals and (min(arrivals) < 0 or max(arrivals) > _LAST_EPOCH_S):
            return None
        return Page(
            sequence_numbers=[record.SequenceNumber for record in records],
            partition_keys=[record.PartitionKey for record in records],
            arrival_ms=ArrivalTimes(arrivals),
            data=data,
            next_iterator=reply.NextShardIterator,
            millis_behind_latest=reply.MillisBehindLatest or 0,
            child_shard_ids=tuple(child.ShardId for child in reply.ChildShards or ()),
            skipped_bytes=skipped_bytes,
        )
    except _WRONG_FORM:
        return None


def decode_iterator(body: bytes | memoryview) -> str | None:
    """Return the iterator of a GetShardIterator body; None if it is cut or has none."""
    try:
        return _ITERATOR_REPLY.decode(body).ShardIterator
    except _WRONG_FORM:
        return None


def decode_outcomes(body: bytes | memoryview, count: int) -> list[PutOutcome] | None:
    """Return the outcomes of a PutRecords body; None if it is cut or of another form."""
    try:
        results = _PUT_REPLY.decode(body).Records
    except _WRONG_FORM:
        return None
    if len(results) != count:
        return None
    outcomes = [PutOutcome(r.ShardId, r.ErrorCode, r.ErrorMessage or "") for r in results]
    is_whole = all(o.error_code is not None or o.shard_id is not None for o in outcomes)
    return outcomes if is_whole else None


def _has_long_data(body: bytes | memoryview) -> bool:
    """Say which way is faster, by the first record: those of a shard are mostly alike."""
    head = bytes(body[:_HEAD_BYTES])
    start = head.find(_DATA_MEMBER) + len(_DATA_MEMBER)
    return head.find(b'"', start, start + LONG_DATA_CHARS) < 0


def _data_of(texts: list[str], data_prefix: bytes | None) -> tuple[list[bytes], int]:
    """Return the data of base64 texts, or nothing and how many bytes it would be."""
    if data_prefix is not None and any(_begins_with(text, data_prefix) for text in texts):
        decode = pybase64.b64decode
        return [decode(text, None, True) for text in texts], 0
    return [], sum(len(text) // 4 * 3 for text in texts)


def _begins_with(text: str, prefix: bytes) -> bool:
    if not prefix:
        return True
    # The characters that the prefix alone decides: almost no other text begins so.
    if not text.startswith(_coded(prefix)):
        return False
    # Whole groups of four characters that hold the prefix.
    chars = -(-len(prefix) // 3) * 4
    return pybase64.b64decode(text[:chars]).startswith(prefix)


@functools.cache
def _coded(prefix: bytes) -> str:
    return pybase64.b64encode(prefix).decode()[: len(prefix) * 8 // 6]


def _decode_odd_body(body: bytes) -> Page | None:
    """Decode what AWS does not write and botocore's parser takes all the same; None: neither."""
    try:
        reply = msgspec.json.decode(body)
        for record in reply["Records"]:
            moment = record["ApproximateArrivalTimestamp"]
            if isinstance(moment, str):
                record["ApproximateArrivalTimestamp"] = parse_timestamp(moment).timestamp()
            if not isinstance(record["Data"], str):
                return None
            data = pybase64.b64decode(record["Data"])
            record["Data"] = pybase64.b64encode(data).decode()
        return decode_body(json.dumps(reply).encode())
    except _WRONG_FORM:
        return None


def to_epoch_ms(moment: datetime.datetime) -> int:
    """Return an aware datetime as ms since 1970, rounded."""
    return round(moment.timestamp() * 1000)
