"""One emulator on a hand-moved clock, emptied before each test; plain boto3 over HTTP."""

import time

import boto3
import pytest
from botocore.config import Config

from kinesis_source.emulator import Emulator, ManualClock

START_S = 1_700_000_000.0
REGION = "us-east-1"


@pytest.fixture(scope="session")
def _server():
    clock = ManualClock(START_S)
    # boto3 signs by this machine's clock, whatever the emulator's shows.
    with Emulator(clock=clock, signing_clock=time.time) as emulator:
        yield emulator, clock


@pytest.fixture
def clock(_server):
    clock = _server[1]
    clock.set(START_S)
    return clock


@pytest.fixture
def aws(_server, clock):
    """An emulator with nothing in it."""
    emulator = _server[0]
    emulator.reset()
    emulator.reset_identities()
    emulator.credential_lifetime_s = None
    emulator.strict_limits = None
    return emulator


@pytest.fixture(scope="session")
def connect(_server):
    """(service, access key, secret, token, region) -> a boto3 client that never retries."""
    session = boto3.session.Session()
    config = Config(retries={"total_max_attempts": 1}, read_timeout=10, connect_timeout=5)
    clients = {}

    def make(service, key="test", secret="test", token=None, region=REGION):
        identity = (service, key, secret, token, region)
        if identity not in clients:
            clients[identity] = session.client(
                service,
                endpoint_url=_server[0].endpoint_url,
                region_name=region,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                aws_session_token=token,
                config=config,
            )
        return clients[identity]

    yield make
    for client in clients.values():
        client.close()


@pytest.fixture
def kinesis(aws, connect):
    """Kinesis as root of the default account."""
    return connect("kinesis")


@pytest.fixture
def refused():
    """(call, **parameters) -> the error code AWS's client raised."""

    def run(call, **parameters):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the code is asserted by callers
            call(**parameters)
        error = getattr(caught.value, "response", {}).get("Error", {})
        assert "Code" in error, repr(caught.value)
        return error["Code"]

    return run


@pytest.fixture
def iterator(kinesis):
    """(stream, shard, type, **more) -> a shard iterator."""

    def make(stream, shard_id="shardId-000000000000", kind="TRIM_HORIZON", **more):
        reply = kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard_id, ShardIteratorType=kind, **more
        )
        return reply["ShardIterator"]

    return make


@pytest.fixture
def read(kinesis, iterator):
    """(stream, shard, type, **more) -> the data of the first page from there."""

    def make(stream, shard_id="shardId-000000000000", kind="TRIM_HORIZON", **more):
        page = kinesis.get_records(ShardIterator=iterator(stream, shard_id, kind, **more))
        return [record["Data"] for record in page["Records"]]

    return make
