"""From a GetRecords reply to Arrow record batches, on one core, without network and Spark.

The source's client and plain boto3 get the same reply from a stubbed HTTP session, so both pay for
what botocore does around a call: endpoint, signature, events. Behind boto3's parser the records go
through the same ``BatchBuilder``. Rates are data bytes for each second of CPU, so that other
programs on the machine count little.

Where the native decoder is installed, it and the Python way decode the same bodies, without a
client around them, turn about; KPL aggregates among them.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

import boto3
import numpy as np
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.httpsession import URLLib3Session

from bench.measure._support import use_no_aws_settings
from bench.replay import ReplaySettings
from bench.replay.records import KEY_BYTES, RecordBuffer
from bench.report import Figure, figure_of, main, progress
from kinesis_source.aws.api import Page
from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.aws.decode import decode_body
from kinesis_source.errors import OptionError
from kinesis_source.native import NativeDecoder, find_decoder
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import ClientSettings, IdentitySettings, StreamSettings
from kinesis_source.records.batches import BatchBuilder
from kinesis_source.records.schema import Content, OutputColumn

_SHARD: Final = "shardId-000000000000"
_STREAM: Final = StreamSettings("bench", "bench")
_PAGE_BYTES: Final = 10 * 1024 * 1024
_PAGE_RECORDS: Final = 10_000
_SIZES: Final = {
    "10 B": 10,
    "100 B": 100,
    "1 KB": 1_000,
    "10 KB": 10_000,
    "100 KB": 100_000,
    "1 MiB": 1_048_560,  # with its partition key
}
_QUICK: Final = ("100 B", "1 KB", "1 MiB")
_LEAST_RATIO: Final = {"1 KB": 8.0}
_LEAST_NATIVE_RATIO: Final = {"100 B": 4.0, "1 KB": 5.0, "10 KB": 3.0}
_LEAST_NATIVE_KPL_RATIO: Final = 6.0
_AGGREGATES: Final = 25
_USER_RECORDS: Final = 400  # of 100 B: 51,200 bytes is where the KPL closes an aggregate by default
_USER_RECORD_BYTES: Final = 100
_ALL: Final = tuple(Content)
_DATA: Final = (Content.DATA,)
_WITHOUT_DATA: Final = tuple(content for content in Content if content is not Content.DATA)


def measure(quick: bool) -> list[Figure]:
    """Measure full pages of each size."""
    use_no_aws_settings()
    repeats, seconds = (2, 0.15) if quick else (3, 0.35)
    figures: list[Figure] = []
    for label, record_bytes in _SIZES.items():
        if quick and label not in _QUICK:
            continue
        body, records = _page(record_bytes)
        with _replies(body):
            figures += _figures(label, records * record_bytes, records, repeats, seconds)
        progress(f"{figures[-1].measure}: {figures[-1].value:.1f} x")
        least = _LEAST_NATIVE_RATIO.get(label)
        figures += _native_figures(label, body, records, records * record_bytes, least, seconds)
    user_records = _AGGREGATES * _USER_RECORDS
    data_bytes = user_records * _USER_RECORD_BYTES
    label = f"KPL, {_USER_RECORD_BYTES} B user records"
    body = _kpl_body()
    return figures + _native_figures(
        label, body, user_records, data_bytes, _LEAST_NATIVE_KPL_RATIO, seconds
    )


def _figures(
    label: str, data_bytes: int, records: int, repeats: int, seconds: float
) -> list[Figure]:
    ways = {
        "source": _source_way(_ALL, records),
        "botocore": _botocore_way(_ALL, records),
        "source, data": _source_way(_DATA, records),
        "botocore, data": _botocore_way(_DATA, records),
        "source, without data": _source_way(_WITHOUT_DATA, records),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():  # turn about: what slows one down slows all
            rates[name].append(_pages_per_s(way, seconds))
    page_mb = data_bytes / 1e6

    def speed(measured: str, name: str) -> Figure:
        return figure_of(f"{label}, {measured}", [r * page_mb for r in rates[name]], "MB/s")

    def ratio(measured: str, name: str, other: str, target: float | None = None) -> Figure:
        pairs = zip(rates[name], rates[other], strict=True)
        rest: dict[str, Any] = {} if target is None else {"target": target, "target_is": "at least"}
        return figure_of(f"{label}, {measured}", [a / b for a, b in pairs], "x", **rest)

    per_s = [rate * records for rate in rates["source"]]
    boto_per_s = [rate * records for rate in rates["botocore"]]
    return [
        speed("all columns", "source"),
        figure_of(f"{label}, all columns, records", per_s, "records/s"),
        speed("all columns, botocore", "botocore"),
        figure_of(f"{label}, all columns, botocore, records", boto_per_s, "records/s"),
        speed("data alone", "source, data"),
        speed("data alone, botocore", "botocore, data"),
        speed("without data", "source, without data"),
        ratio("data alone, source / botocore", "source, data", "botocore, data"),
        ratio("all columns, source / botocore", "source", "botocore", _LEAST_RATIO.get(label)),
    ]


def _native_figures(
    label: str, body: bytes, rows: int, data_bytes: int, least: float | None, seconds: float
) -> list[Figure]:
    """Measure both decoders, turn about, in eight short rounds; none where there is one only."""
    native = _native()
    if native is None:
        progress(f"{label}: kinesis_source_native is not installed, so the Python way alone is")
        return []
    ways = {"native": _decoding(native, body, rows), "Python": _decoding(None, body, rows)}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(8):
        for name, way in ways.items():
            rates[name].append(_pages_per_s(way, seconds / 4))
    pairs = zip(rates["native"], rates["Python"], strict=True)
    rest: dict[str, Any] = {} if least is None else {"target": least, "target_is": "at least"}
    ratio = figure_of(f"{label}, decoding, native / Python", [a / b for a, b in pairs], "x", **rest)
    progress(f"{ratio.measure}: {ratio.value:.1f} x")
    return [
        *(
            figure_of(
                f"{label}, decoding, {name}", [rate * data_bytes / 1e6 for rate in found], "MB/s"
            )
            for name, found in rates.items()
        ),
        ratio,
    ]


def _native() -> NativeDecoder | None:
    try:
        return find_decoder("native")
    except OptionError:
        return None


def _decoding(native: NativeDecoder | None, body: bytes, rows: int) -> Callable[[], int]:
    """Return what makes batches of a body, with all columns."""
    builder = _builder(_ALL)

    def decode() -> int:
        page = decode_body(body, builder.data_prefix, native)
        assert page is not None
        return _rows(builder, page, rows)

    decode()
    return decode


def _pages_per_s(way: Callable[[], int], seconds: float) -> float:
    """Return pages for each second of CPU, over at least so many seconds."""
    pages, began_s = 0, time.process_time()
    while (took_s := time.process_time() - began_s) < seconds or not pages:
        way()
        pages += 1
    return pages / took_s


# -- the two ways -------------------------------------------------------------------------------


def _source_way(contents: tuple[Content, ...], records: int) -> Callable[[], int]:
    api = BotoStreamApi(
        ClientSettings(
            region="us-east-1",
            endpoint_url="http://127.0.0.1:1",  # nothing is sent
            identity=IdentitySettings(access_key="test", secret_key=Secret("test")),
            decoder="python",
        )
    )
    builder = _builder(contents)

    def read() -> int:
        page = api.get_page(_STREAM, _SHARD, "0:0", _PAGE_RECORDS, builder.data_prefix)
        return _rows(builder, page, records)

    read()  # makes the client
    return read


def _botocore_way(contents: tuple[Content, ...], records: int) -> Callable[[], int]:
    client = boto3.client(
        "kinesis",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - nothing is sent
        config=Config(retries={"total_max_attempts": 1}),
    )
    builder = _builder(contents)

    def read() -> int:
        found = client.get_records(ShardIterator="0:0", Limit=_PAGE_RECORDS)["Records"]
        page = Page(
            [record["SequenceNumber"] for record in found],
            [record["PartitionKey"] for record in found],
            [round(record["ApproximateArrivalTimestamp"].timestamp() * 1000) for record in found],
            [record["Data"] for record in found],
            next_iterator=None,
            millis_behind_latest=0,
        )
        return _rows(builder, page, records)

    read()
    return read


def _builder(contents: tuple[Content, ...]) -> BatchBuilder:
    columns = tuple(OutputColumn(content.value, content) for content in contents)
    return BatchBuilder(columns, _STREAM.key, deaggregate=True)


def _rows(builder: BatchBuilder, page: Page, expected: int) -> int:
    rows: int = sum(batch.num_rows for batch in builder.batches(_SHARD, page))
    assert rows == expected, f"{rows} rows, expected {expected}"
    return rows


# -- the reply ----------------------------------------------------------------------------------


def _page(record_bytes: int) -> tuple[bytes, int]:
    """Return the body of a full page, as the replay server sends it, and its records."""
    records = min(_PAGE_RECORDS, _PAGE_BYTES // (record_bytes + KEY_BYTES))
    settings = ReplaySettings(record_bytes=record_bytes, records_per_shard=records).resolved()
    rendered = RecordBuffer(settings).json(0, records)
    rest = b'],"NextShardIterator":"0:10000","MillisBehindLatest":1000}'
    return b'{"Records":[' + rendered + rest, records


def _kpl_body() -> bytes:
    """Return the body of a page of full aggregates, each user record with a key of its own."""
    generator = np.random.default_rng(20260101)
    records = []
    for number in range(_AGGREGATES):
        keys = [b"customer-%07d" % (number * _USER_RECORDS + i) for i in range(_USER_RECORDS)]
        table = b"".join(_field(1, key) for key in keys)
        users = b"".join(
            _field(3, b"\x08" + _varint(i) + _field(3, generator.bytes(_USER_RECORD_BYTES)))
            for i in range(_USER_RECORDS)
        )
        digest = hashlib.md5(table + users, usedforsecurity=False).digest()
        data = b"\xf3\x89\x9a\xc2" + table + users + digest
        records.append(
            {
                "SequenceNumber": str(10**55 + number),
                "ApproximateArrivalTimestamp": 1_767_225_600.123 + number,
                "Data": base64.b64encode(data).decode(),
                "PartitionKey": "a",
            }
        )
    return json.dumps({"Records": records, "MillisBehindLatest": 0}).encode()


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    """Return a number below 16,384."""
    return bytes([number]) if number < 128 else bytes([number % 128 + 128, number // 128])


class _Raw:
    """Stands for the open connection."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


@contextmanager
def _replies(body: bytes) -> Iterator[None]:
    """Let botocore's HTTP session give one reply, whatever is asked."""
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "Content-Length": str(len(body)),
        "Date": email.utils.formatdate(usegmt=True),
        "x-amzn-RequestId": "00000000-0000-4000-8000-000000000001",
    }

    def send(_: URLLib3Session, request: Any) -> AWSResponse:
        return AWSResponse(request.url, 200, headers, _Raw(body))

    with mock.patch.object(URLLib3Session, "send", send):
        yield


if __name__ == "__main__":
    main(measure)
