"""The two witnesses: the project's own emulator, and LocalStack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import botocore.config
import pytest

from kinesis_source.emulator import Emulator
from tests.localstack.localstack_harness.fixtures import LocalStack, localstack, mark, prepare
from tests.parity.parity_script.witness import Witness

__all__ = ["localstack"]

_ACCOUNT = "000000000000"
_REGION = "us-east-1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    prepare(session)


@pytest.fixture(scope="session")
def own_emulator() -> Iterator[Emulator]:
    with Emulator(lenient_credentials=True) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def emulator_witness(own_emulator: Emulator) -> Witness:
    def connect(
        service: str, account: str | None = None, role: Mapping[str, Any] | None = None
    ) -> Any:
        keys = role or {"AccessKeyId": account or _ACCOUNT, "SecretAccessKey": "test"}
        return boto3.client(
            service,
            endpoint_url=own_emulator.endpoint_url,
            region_name=_REGION,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"),
            config=botocore.config.Config(retries={"total_max_attempts": 1}, proxies={}),
        )

    def make_role(account: str, name: str, external_id: str | None) -> str:
        owner = own_emulator.account(account)
        return owner.create_role(name, trusts=[_ACCOUNT], external_id=external_id).arn

    return Witness("emulator", own_emulator.endpoint_url, _ACCOUNT, _REGION, connect, make_role)


@pytest.fixture(scope="session")
def localstack_witness(localstack: LocalStack) -> Witness:
    def make_role(account: str, name: str, external_id: str | None) -> str:
        statement: dict[str, Any] = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{localstack.account}:root"},
            "Action": "sts:AssumeRole",
        }
        if external_id is not None:
            statement["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
        trust = {"Version": "2012-10-17", "Statement": [statement]}
        reply = localstack.client("iam", account=account).create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(trust)
        )
        return str(reply["Role"]["Arn"])

    return Witness(
        "localstack",
        localstack.endpoint_url,
        localstack.account,
        localstack.region,
        localstack.client,
        make_role,
    )
