"""Pytest fixture ``kinesis_emulator``: a fresh Kinesis for every test, for your own pipelines too.

Loaded by pytest through the ``pytest11`` entry point; importing it costs nothing until the fixture
is used. One server serves the session; before each test its streams, faults, calls, users and roles
are gone.

    import boto3

    def test_my_pipeline(kinesis_emulator):
        stream = kinesis_emulator.account().create_stream("clicks", shards=2)
        client = boto3.client("kinesis", endpoint_url=kinesis_emulator.endpoint_url,
                              region_name="us-east-1", aws_access_key_id="test",
                              aws_secret_access_key="test")
        client.put_record(StreamName="clicks", Data=b"hello", PartitionKey="k")
        assert [r["Data"] for r in stream.records()] == [b"hello"]
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .server import Emulator


@pytest.fixture(scope="session")
def _kinesis_emulator_server() -> "Iterator[Emulator]":
    from .server import Emulator

    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def kinesis_emulator(_kinesis_emulator_server: "Emulator") -> "Iterator[Emulator]":
    """Return a running emulator with nothing in it (`.endpoint_url`, `.account()`, `.faults`)."""
    emulator = _kinesis_emulator_server
    emulator.reset()
    emulator.reset_identities()
    emulator.credential_lifetime_s = None
    emulator.strict_limits = None
    yield emulator
    emulator.reset()
