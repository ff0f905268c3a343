"""The api that makes one try: for a caller that looks again anyway."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from kinesis_source.aws.api import IteratorExpiredError, PositionRefusedError
from kinesis_source.aws.client import BotoStreamApi, stream_api
from kinesis_source.aws.retry import FIRST_CONTACT_MS, RetryPolicy
from kinesis_source.errors import (
    AccessDeniedError,
    KinesisSourceError,
    ServiceError,
    StreamError,
    ThrottledError,
)
from kinesis_source.model.positions import TRIM_HORIZON, AfterRecord
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import (
    ClientSettings,
    IdentitySettings,
    RoleSettings,
    StreamSettings,
)

CLICKS = StreamSettings.from_key("clicks")
SHARD = "shardId-000000000000"


def copied(value: Any) -> Any:
    """Return what another process gets."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own


class Time:
    """Notes who sleeps; nobody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def policy(self) -> RetryPolicy:
        return RetryPolicy(60_000, sleep=self.sleep, clock=lambda: self.now_s)


@pytest.fixture
def aws(kinesis_emulator):
    kinesis_emulator.account().create_stream("clicks")
    return kinesis_emulator


@pytest.fixture
def passing() -> Time:
    return Time()


@pytest.fixture
def patient(aws, passing) -> Iterator[BotoStreamApi]:
    settings = ClientSettings(
        "us-east-1", aws.endpoint_url, IdentitySettings("test", Secret("test"))
    )
    api = BotoStreamApi(settings, passing.policy())
    yield api
    api.close()


@pytest.mark.parametrize("operation", ["GetShardIterator", "ListShards", "DescribeStreamSummary"])
@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ("throttle", ThrottledError, "SERVICE_THROTTLED"),
        ("http_error", ServiceError, "SERVICE_UNAVAILABLE"),
        ("reset_before_work", ServiceError, "SERVICE_UNAVAILABLE"),
        ("cut_body", ServiceError, "SERVICE_INCOMPLETE_REPLY"),
    ],
)
def test_what_can_pass_is_raised_at_once_as_worth_repeating(
    aws, patient, passing, operation, fault, kind, code
):
    api = patient.trying_once()
    api.describe(CLICKS)
    aws.calls.clear()
    aws.faults.add(fault, operation=operation, count=1)
    call = {
        "GetShardIterator": lambda: api.get_iterator(CLICKS, SHARD, TRIM_HORIZON),
        "ListShards": lambda: api.list_shards(CLICKS),
        "DescribeStreamSummary": lambda: api.describe(CLICKS),
    }[operation]
    with pytest.raises(kind) as failed:
        call()
    assert failed.value.code == code
    assert failed.value.is_worth_repeating
    assert copied(failed.value).is_worth_repeating
    assert passing.slept == []
    assert len(aws.call_log(operation)) == 1
    call()  # and it was


def test_what_is_final_is_not_worth_repeating(aws, patient):
    poor = aws.account().create_user("poor", allow=[])
    settings = ClientSettings(
        "us-east-1", aws.endpoint_url, IdentitySettings(poor.access_key, Secret(poor.secret_key))
    )
    denied = BotoStreamApi(settings).trying_once()
    for api, name, kind in ((patient, "nope", StreamError), (denied, "clicks", AccessDeniedError)):
        with pytest.raises(kind) as failed:
            api.trying_once().describe(StreamSettings.from_key(name))
        assert not failed.value.is_worth_repeating
        assert not copied(failed.value).is_worth_repeating
    denied.close()


def test_answers_stay_answers(patient, aws, kinesis_emulator):
    api = patient.trying_once()
    with pytest.raises(PositionRefusedError):
        api.get_iterator(CLICKS, SHARD, AfterRecord("5", 1))
    iterator = api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
    aws.faults.add("expired_iterator", operation="GetRecords", count=1)
    with pytest.raises(IteratorExpiredError):
        api.get_page(CLICKS, SHARD, iterator, 1)


def test_the_patient_api_goes_on_to_repeat(aws, patient, passing):
    patient.trying_once().describe(CLICKS)
    aws.faults.add("throttle", operation="DescribeStreamSummary", count=2)
    patient.describe(CLICKS)
    assert len(passing.slept) == 2


def test_an_error_after_the_last_try_of_the_patient_api_is_worth_repeating_too(aws, patient):
    aws.faults.add("throttle", operation="DescribeStreamSummary")
    with pytest.raises(ThrottledError) as failed:
        patient.describe(CLICKS)
    assert failed.value.is_worth_repeating


def test_expired_credentials_are_renewed_and_the_call_made_again(aws, passing):
    user = aws.account("111111111111").create_user("etl")
    role = aws.account().create_role("reader", trusts=[user.arn])
    identity = IdentitySettings(
        user.access_key,
        Secret(user.secret_key),
        roles=(RoleSettings(role.arn),),
        sts_endpoint=aws.endpoint_url,
    )
    settings = ClientSettings("us-east-1", aws.endpoint_url, identity)
    api = BotoStreamApi(settings, passing.policy()).trying_once()
    api.describe(CLICKS)
    aws.expire_sessions(role)
    aws.calls.clear()
    assert api.describe(CLICKS).status == "ACTIVE"
    assert [call.error for call in aws.call_log("DescribeStreamSummary")] == [
        "ExpiredTokenException",
        None,
    ]
    assert passing.slept == []
    api.close()


def test_an_endpoint_that_never_answers_is_final_after_some_seconds(passing):
    settings = ClientSettings(
        "us-east-1", "http://127.0.0.1:9", IdentitySettings("test", Secret("test"))
    )
    api = BotoStreamApi(settings, passing.policy()).trying_once()
    verdicts = []
    for _ in range(3):
        with pytest.raises(KinesisSourceError, match=r"^\[SERVICE_ENDPOINT\]") as failed:
            api.describe(CLICKS)
        verdicts.append(failed.value.is_worth_repeating)
        passing.now_s += FIRST_CONTACT_MS / 2_000
    assert verdicts == [True, True, False]
    assert passing.slept == []
    api.close()


def test_an_endpoint_that_answered_before_is_worth_waiting_for(aws, patient, passing):
    api = patient.trying_once()
    api.describe(CLICKS)
    passing.now_s += 3_600
    aws.faults.add("reset_before_work", operation="DescribeStreamSummary", count=1)
    with pytest.raises(ServiceError) as failed:
        api.describe(CLICKS)
    assert failed.value.is_worth_repeating


def test_both_ways_to_call_share_connection_identity_and_clock(aws, patient):
    once = patient.trying_once()
    assert once is patient.trying_once()
    assert once is once.trying_once()
    assert once.identity is patient.identity
    once.describe(CLICKS)
    calls = len(aws.call_log())
    patient.now_ms()
    assert len(aws.call_log()) == calls


def test_it_travels_to_other_processes_as_its_settings(patient):
    again = copied(patient.trying_once())
    assert again is stream_api(patient.settings).trying_once()
    assert copied(patient) is stream_api(patient.settings)
