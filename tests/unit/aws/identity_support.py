"""What the tests of identities share: a client of the emulator, and what its failures show."""

from __future__ import annotations

import io
import os
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from pyspark.util import handle_worker_exception

from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.errors import KinesisSourceError
from kinesis_source.options.settings import ClientSettings, IdentitySettings, StreamSettings

CLICKS = StreamSettings.from_key("clicks")
REGION = "us-east-1"
PATIENT = RetryPolicy(60_000, base_ms=5, throttle_base_ms=5, throttle_floor_ms=1)


def connect(aws, policy: RetryPolicy = PATIENT, **identity: Any) -> BotoStreamApi:
    identity.setdefault("sts_endpoint", aws.endpoint_url)
    settings = ClientSettings(REGION, aws.endpoint_url, IdentitySettings(**identity))
    return BotoStreamApi(settings, policy)


def refused(api: BotoStreamApi) -> KinesisSourceError:
    with pytest.raises(KinesisSourceError) as failed:
        api.describe(CLICKS)
    return failed.value


def session_of(aws, who) -> dict[str, str]:
    """Return a user's temporary credentials, as STS gives them."""
    client = boto3.client(
        "sts",
        region_name=REGION,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=who.access_key,
        aws_secret_access_key=who.secret_key,
    )
    given: dict[str, str] = client.get_session_token()["Credentials"]
    client.close()
    return given


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that led to it, shown or not."""
    seen: list[BaseException] = [error]
    while seen:
        one = seen.pop()
        yield one
        seen += [other for other in (one.__cause__, one.__context__) if other is not None]


def all_shown(error: BaseException) -> str:
    """Return whatever any tool might print of an exception."""
    parts = ["".join(traceback.format_exception(error))]
    for one in chain_of(error):
        parts += [str(one), repr(one), repr(one.args), repr(vars(one))]
    return "\n".join(parts)


def printed_by_spark(failing: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a Spark worker sends of a failed call with SPARK_TRACEBACK_WITH_LOCALS."""
    monkeypatch.setitem(os.environ, "SPARK_TRACEBACK_WITH_LOCALS", "1")
    sent = io.BytesIO()
    try:
        failing()
    except KinesisSourceError as error:
        handle_worker_exception(error, sent, hide_traceback=False)
    return sent.getvalue().decode(errors="replace")
