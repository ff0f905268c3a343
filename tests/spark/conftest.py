"""Fixtures of the tests on real Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kinesis_source.emulator import Emulator
from tests.spark.support import Stream, kinesis_client


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def make_stream(aws: Emulator) -> Callable[..., Stream]:
    def make(name: str = "events", shards: int = 2) -> Stream:
        client = kinesis_client(aws)
        client.create_stream(StreamName=name, ShardCount=shards)
        client.get_waiter("stream_exists").wait(StreamName=name)
        return Stream(aws, name, client)

    return make
