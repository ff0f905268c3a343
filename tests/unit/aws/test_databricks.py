"""Service credentials: what Databricks documents, and a Python that is not Databricks'."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from botocore.credentials import Credentials

from kinesis_source.aws.credentials import Identity
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.errors import CredentialError, OptionError
from kinesis_source.options.parse import parse_options

OPTIONS = {"streamName": "s", "region": "us-east-1", "serviceCredential": "reader"}


def identity() -> Identity:
    settings = parse_options(OPTIONS).client
    return Identity(settings.identity, settings.region, RetryPolicy(1_000), is_aws=True)


def test_what_databricks_gives_calls_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def __init__(self, name: str) -> None:
            self.name = name

        def get_credentials(self) -> Credentials:
            return Credentials(f"AKIA{self.name.upper()}", "asecret", "atoken")

    module = ModuleType("databricks.service_credentials")
    module.getServiceCredentialsProvider = Session  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "databricks", ModuleType("databricks"))
    monkeypatch.setitem(sys.modules, "databricks.service_credentials", module)
    keys = identity().session.get_credentials().get_frozen_credentials()
    assert (keys.access_key, keys.token) == ("AKIAREADER", "atoken")


def test_elsewhere_it_is_said_what_to_use_instead() -> None:
    with pytest.raises(CredentialError, match="not one of a Databricks runtime") as caught:
        identity().session.get_credentials().get_frozen_credentials()
    assert caught.value.code == "CREDENTIAL_PROVIDER"


def test_it_is_a_base_identity_like_the_others() -> None:
    with pytest.raises(OptionError, match="both say who calls AWS"):
        parse_options({**OPTIONS, "awsProfile": "p"})
