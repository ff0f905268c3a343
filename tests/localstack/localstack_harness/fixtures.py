"""The fixture ``localstack``: a running LocalStack and boto3 clients for any account in it.

Runs in the process of pytest. A ``conftest.py`` that imports :func:`localstack` from here offers
the fixture; however many do, one LocalStack serves the whole session.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.config
import pytest

from .choose import UnavailableError, obtain

__all__ = ["REQUIRE_VARIABLE", "LocalStack", "localstack", "mark", "prepare"]

REQUIRE_VARIABLE = "KINESIS_SOURCE_REQUIRE_LOCALSTACK"
"""Set to 1, tests fail where they would skip."""

_CHECKOUT = Path(__file__).resolve().parents[3]
_FOUND = pytest.StashKey["LocalStack | UnavailableError"]()


@dataclass(frozen=True)
class LocalStack:
    """A LocalStack that serves Kinesis and STS.

    Parameters
    ----------
    endpoint_url : str
    region : str
    account : str
        The account of callers that name none.
    """

    endpoint_url: str
    region: str = "us-east-1"
    account: str = "000000000000"

    def client(
        self, service: str, account: str | None = None, role: Mapping[str, Any] | None = None
    ) -> Any:
        """Return a boto3 client.

        Parameters
        ----------
        service : str
        account : str, optional
            12 digits: LocalStack takes such an access key for the account itself.
        role : mapping, optional
            ``Credentials`` of an AssumeRole answer, in place of an account's own key.
        """
        from localstack_client.session import Session

        keys = role or {"AccessKeyId": account or self.account, "SecretAccessKey": "test"}
        session = Session(
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            region_name=self.region,
            localstack_host=urlsplit(self.endpoint_url).netloc,
        )
        client = session.client(
            service,
            aws_session_token=keys.get("SessionToken"),
            config=botocore.config.Config(
                connect_timeout=5,
                read_timeout=30,
                # What a test looks at is the first answer, not what retries made of it.
                retries={"total_max_attempts": 1},
                proxies={},
            ),
        )
        if client.meta.endpoint_url != self.endpoint_url:
            # localstack-client lets AWS_ENDPOINT_URL win over what it is told.
            pytest.fail(
                f"localstack-client made a client for {client.meta.endpoint_url}, the tests' "
                f"LocalStack is {self.endpoint_url}. Unset AWS_ENDPOINT_URL and USE_SSL."
            )
        return client


@pytest.fixture(scope="session")
def localstack(pytestconfig: pytest.Config) -> LocalStack:
    """Return the session's LocalStack, which is stopped when pytest ends."""
    found = _find(pytestconfig)
    if isinstance(found, LocalStack):
        return found
    if os.environ.get(REQUIRE_VARIABLE, "") not in ("", "0"):
        pytest.fail(f"{found}\n({REQUIRE_VARIABLE} is set, so this is a failure.)", pytrace=False)
    pytest.skip(str(found))


def mark(items: list[pytest.Item]) -> None:
    """Mark the tests that use LocalStack, so that ``-m "not localstack"`` leaves them out."""
    for item in items:
        if _uses_localstack(item):
            item.add_marker("localstack")


def prepare(session: pytest.Session) -> None:
    """Start LocalStack if a selected test uses it: installing may take longer than a test may."""
    if session.config.option.collectonly:
        return
    if any(_uses_localstack(item) for item in session.items):
        _find(session.config)


def _uses_localstack(item: pytest.Item) -> bool:
    return "localstack" in getattr(item, "fixturenames", ())


def _find(config: pytest.Config) -> LocalStack | UnavailableError:
    found = config.stash.get(_FOUND, None)
    if found is None:
        try:
            endpoint_url, stop = obtain(_CHECKOUT, _say(config))
        except UnavailableError as error:
            found = error
        else:
            config.add_cleanup(stop)
            found = LocalStack(endpoint_url)
        config.stash[_FOUND] = found
    return found


def _say(config: pytest.Config) -> Callable[[str], None]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return reporter.write_line if reporter is not None else print
