"""The wire forms of Kinesis: AWS JSON 1.1 and CBOR 1.1, requests in and replies out.

A GetRecords reply in JSON is a join of texts made when the records were put. `Response` also says
whether the connection is to be broken, for scripted faults.
"""

import json
from dataclasses import dataclass
from typing import Any

from . import cbor
from .errors import AwsError
from .ops_data import RecordsPage
from .shards import Record
from .streams import Timestamp

JSON_TYPE = "application/x-amz-json-1.1"
CBOR_TYPE = "application/x-amz-cbor-1.1"
XML_TYPE = "text/xml"


@dataclass
class Response:
    """An HTTP reply. `drop` breaks the connection: before any byte ("all") or in mid body."""

    status: int
    content_type: str
    body: bytes
    drop: str | None = None


def decode_params(content_type: str, body: bytes) -> dict[str, Any]:
    """Return a request's parameters; SerializationException when the body is broken."""
    try:
        params = cbor.decode(body) if is_cbor(content_type) else json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise AwsError("SerializationException", "The request body cannot be read.") from error
    if not isinstance(params, dict):
        raise AwsError("SerializationException", "The request body must be an object.")
    return params


def is_cbor(content_type: str) -> bool:
    """Whether the caller speaks CBOR."""
    return content_type.partition(";")[0].strip().lower() == CBOR_TYPE


def encode_reply(reply: dict[str, Any] | RecordsPage, *, as_cbor: bool) -> Response:
    """Return a successful reply; an empty one has an empty body, as AWS sends it."""
    if as_cbor:
        shown = _cbor_page(reply) if isinstance(reply, RecordsPage) else reply
        return Response(200, CBOR_TYPE, cbor.encode(shown) if shown else b"")
    if isinstance(reply, RecordsPage):
        return Response(200, JSON_TYPE, _json_page(reply))
    return Response(200, JSON_TYPE, json.dumps(reply).encode() if reply else b"")


def encode_error(error: AwsError, *, as_cbor: bool) -> Response:
    """Return a refusal."""
    shown = {"__type": error.code, "message": error.message}
    if as_cbor:
        return Response(error.status, CBOR_TYPE, cbor.encode(shown))
    return Response(error.status, JSON_TYPE, json.dumps(shown).encode())


def _json_page(page: RecordsPage) -> bytes:
    rest = json.dumps(page.rest()).encode()
    if page.records is None:
        return rest
    records = b",".join([record.json_text for record in page.records])
    return b'{"Records":[' + records + b"]," + rest[1:]


def _cbor_page(page: RecordsPage) -> dict[str, Any]:
    shown = page.rest()
    if page.records is not None:
        shown["Records"] = [_cbor_record(record) for record in page.records]
    return shown


def _cbor_record(record: Record) -> dict[str, Any]:
    shown = record.to_dict()
    shown["ApproximateArrivalTimestamp"] = Timestamp(record.arrival_ms / 1000)
    return shown
