"""Pages as either decoder makes them, for tests that run both ways.

A test that uses the fixture ``decoder`` (tests/conftest.py) runs with the Python way and, where it
is installed, with the native decoder.
"""

from __future__ import annotations

import base64
import json
import os

import pytest

from kinesis_source.aws.api import Page
from kinesis_source.aws.decode import decode_body
from kinesis_source.errors import OptionError
from kinesis_source.native import find_decoder

REQUIRE_VARIABLE = "KINESIS_SOURCE_REQUIRE_NATIVE"


def need_native() -> None:
    """Skip where the native decoder is not installed; fail where it has to be."""
    try:
        find_decoder("native")
    except OptionError as error:
        if os.environ.get(REQUIRE_VARIABLE) == "1":
            pytest.fail(f"{REQUIRE_VARIABLE} is set: {error}")
        pytest.skip("kinesis_source_native is not installed: run make setup where cargo is")


def as_decoded(page: Page) -> Page:
    """Return a page as the decoder of this test makes it of AWS's reply."""
    native = find_decoder()
    if native is None:
        return page
    columns = (page.sequence_numbers, page.partition_keys, page.arrival_ms, page.data)
    records = [
        {
            "SequenceNumber": number,
            "PartitionKey": key,
            "ApproximateArrivalTimestamp": arrival_ms / 1000,
            "Data": base64.b64encode(data).decode(),
        }
        for number, key, arrival_ms, data in zip(*columns, strict=True)
    ]
    reply = {
        "Records": records,
        "NextShardIterator": page.next_iterator,
        "MillisBehindLatest": page.millis_behind_latest,
        "ChildShards": [{"ShardId": shard_id} for shard_id in page.child_shard_ids],
    }
    decoded = decode_body(json.dumps(reply).encode(), native=native)
    assert decoded == page
    assert type(decoded.data).__module__ == "kinesis_source_native"
    return decoded
