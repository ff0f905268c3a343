"""Credential providers for the tests, good and bad."""

from __future__ import annotations

import datetime
from typing import Any

from botocore.credentials import Credentials, ReadOnlyCredentials

GIVEN: dict[str, Any] = {}
"""What :func:`given` returns or raises."""

SECRET = "s3cr3t-of-the-provider"
NOT_CALLABLE = 7


def given() -> Any:
    value = GIVEN["value"]
    if isinstance(value, Exception):
        raise value
    return value() if callable(value) else value


def botocore_credentials() -> Credentials:
    return Credentials("AKIDEXAMPLE", SECRET, "token")


def frozen_credentials() -> ReadOnlyCredentials:
    return ReadOnlyCredentials("AKIDEXAMPLE", SECRET, "token")


def in_seconds(seconds: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
