"""Both decoders through Spark: the same rows."""

from __future__ import annotations

import hashlib

import pytest

from tests.decoding import need_native
from tests.spark.support import source_options


def aggregate(*payloads: bytes) -> bytes:
    """Make a KPL aggregate of short records with one key."""

    def field(number: int, body: bytes) -> bytes:
        return bytes([number << 3 | 2, len(body)]) + body

    message = field(1, "kéy".encode())
    message += b"".join(field(3, b"\x08\x00" + field(3, payload)) for payload in payloads)
    return b"\xf3\x89\x9a\xc2" + message + hashlib.md5(message, usedforsecurity=False).digest()


@pytest.fixture(params=["python", "native"])
def way(request) -> str:
    if request.param == "native":
        need_native()
    return request.param


@pytest.mark.parametrize("schema", [None, "subSequenceNumber BIGINT, partitionKey STRING"])
def test_rows_are_the_same_with_either_decoder(spark, aws, make_stream, way, schema):
    stream = make_stream(shards=1)
    stream.put(3)
    put = stream.client.put_record
    put(StreamName="events", Data=aggregate(b"one", b"two"), PartitionKey="aggregate")
    put(StreamName="events", Data=aggregate(b"one", b"two")[:-1], PartitionKey="damaged")
    reader = spark.readStream.format("tecton-kinesis").options(**source_options(aws, decoder=way))
    if schema is not None:
        reader = reader.schema(schema)
    query = (
        reader.load().writeStream.format("memory").queryName("decoded").trigger(availableNow=True)
    ).start()
    assert query.awaitTermination(60)
    rows = spark.table("decoded").collect()
    assert [(row.partitionKey, row.subSequenceNumber) for row in rows] == [
        ("k-0", None),
        ("k-1", None),
        ("k-2", None),
        ("kéy", 0),
        ("kéy", 1),
        ("damaged", None),
    ]
    if schema is None:
        assert [bytes(row.data) for row in rows[3:5]] == [b"one", b"two"]
        assert len({row.sequenceNumber for row in rows}) == 5
