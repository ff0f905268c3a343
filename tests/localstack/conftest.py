"""Fixtures of the tests against LocalStack."""

import json
import uuid
from collections.abc import Callable

import pytest

from tests.localstack.localstack_harness.fixtures import LocalStack, localstack, mark, prepare
from tests.localstack.localstack_stream import OWNER, Stream

__all__ = ["localstack"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    prepare(session)


@pytest.fixture
def stream_name() -> str:
    # A name that comes back within a second can bring old sequence numbers with it.
    return f"stream-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def make_stream(localstack: LocalStack, stream_name: str) -> Callable[..., Stream]:
    def make(shards: int = 2, account: str | None = None) -> Stream:
        return Stream(localstack, stream_name, shards, account)

    return make


@pytest.fixture
def options(localstack: LocalStack, stream_name: str) -> dict[str, str]:
    """Options to read the test's stream with the key of LocalStack's default account."""
    return {
        "streamName": stream_name,
        "region": localstack.region,
        "endpointUrl": localstack.endpoint_url,
        "awsAccessKey": localstack.account,
        "awsSecretKey": "test",
        "initialPosition": "trim_horizon",
        "pollInterval": "500ms",
        "shardFetchInterval": "1s",
        # Beyond it a call fails: a test must not hang on a LocalStack that does.
        "retryBudget": "30s",
    }


@pytest.fixture
def role(localstack, stream_name) -> dict[str, str]:
    """Options to read through a role in the other account, which LocalStack lets anybody assume."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{localstack.account}:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    reply = localstack.client("iam", account=OWNER).create_role(
        RoleName=stream_name, AssumeRolePolicyDocument=json.dumps(trust)
    )
    return {"roleArn": reply["Role"]["Arn"], "stsEndpoint": localstack.endpoint_url}
