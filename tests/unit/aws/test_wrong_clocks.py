"""Whose clock counts: AWS refuses signatures that are five minutes off, and moments to come."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate

import pytest

from kinesis_source.aws import direct as direct_module
from kinesis_source.aws.api import PositionRefusedError
from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.emulator import Emulator
from kinesis_source.errors import CredentialError
from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import (
    ClientSettings,
    IdentitySettings,
    RoleSettings,
    StreamSettings,
)
from tests.unit.aws.scripted_server import Peer, serving

CLICKS = StreamSettings.from_key("clicks")
SHARD = "shardId-000000000000"
HOUR_S = 3_600
DESCRIPTION = {
    "StreamDescriptionSummary": {
        "StreamName": "clicks",
        "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/clicks",
        "StreamStatus": "ACTIVE",
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 1_700_000_000.0,
        "OpenShardCount": 1,
        "EncryptionType": "NONE",
        "EnhancedMonitoring": [],
    }
}
KEYS = IdentitySettings("test", Secret("test"))


class Clock:
    """The server's: this machine's, some seconds off."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hours() -> int:
    """How far the server's clock is ahead."""
    return 0


@pytest.fixture
def aws(clock, hours) -> Iterator[Emulator]:
    clock.ahead_s = hours * HOUR_S
    with Emulator(clock=clock) as emulator:
        emulator.account().create_stream("clicks")
        yield emulator


@pytest.fixture(params=["direct", "botocore"])
def way(request, monkeypatch) -> str:
    if request.param == "botocore":
        monkeypatch.setattr(direct_module, "learn_pattern", lambda *_: None)
    return request.param


def connect(url: str, identity: IdentitySettings = KEYS, budget_ms: int = 5_000) -> BotoStreamApi:
    return BotoStreamApi(ClientSettings("us-east-1", url, identity), RetryPolicy(budget_ms))


def errors(aws: Emulator) -> Counter[str | None]:
    return Counter(call.error for call in aws.call_log() if call.error is not None)


def read(api: BotoStreamApi) -> int:
    iterator = api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
    return len(api.get_page(CLICKS, SHARD, iterator, 10))


# --- signatures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-5, 5, 24 * 400])
@pytest.mark.parametrize("budget_ms", [5_000, 0])
def test_a_machine_whose_clock_is_hours_off_is_refused_once_and_then_signs_by_awss(
    aws, way, hours, budget_ms
):
    aws.account().stream("clicks").put(b"x", "k")
    api = connect(aws.endpoint_url, budget_ms=budget_ms)
    assert [read(api) for _ in range(3)] == [1, 1, 1]
    assert errors(aws) == {"InvalidSignatureException": 1}
    api.close()


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_role_is_assumed_by_awss_clock(aws, hours):
    user = aws.account("111111111111").create_user("etl")
    role = aws.account().create_role("reader", trusts=[user.arn])
    identity = IdentitySettings(
        user.access_key,
        Secret(user.secret_key),
        roles=(RoleSettings(role.arn),),
        sts_endpoint=aws.endpoint_url,
    )
    api = connect(aws.endpoint_url, identity)
    assert api.describe(CLICKS).status == "ACTIVE"
    assert errors(aws) == {"SignatureDoesNotMatch": 1, "InvalidSignatureException": 1}
    assert ":assumed-role/reader/" in api.identity.who()
    api.close()


@pytest.mark.parametrize("jump_hours", [-2, 2])
def test_a_machine_whose_clock_jumps_goes_on_after_one_refusal(aws, clock, way, jump_hours):
    """Another way to see it: AWS's jumps, this machine's monotonic clock does not."""
    clock.ahead_s = 10 * HOUR_S
    api = connect(aws.endpoint_url)
    read(api)
    clock.ahead_s += jump_hours * HOUR_S
    for _ in range(3):
        read(api)
    assert errors(aws) == {"InvalidSignatureException": 2}
    api.close()


def test_a_proxys_date_in_awss_replies_does_not_spoil_signatures(way):
    """Then this machine's own clock is right after all."""
    with Emulator(clock=lambda: time.time() + 3 * HOUR_S, signing_clock=time.time) as aws:
        aws.account().create_stream("clicks")
        api = connect(aws.endpoint_url)
        for _ in range(3):
            read(api)
        assert errors(aws)["InvalidSignatureException"] <= 1
        api.close()


def test_a_wrong_secret_is_no_matter_of_clocks(aws):
    api = connect(aws.endpoint_url, IdentitySettings("test", Secret("wrong")))
    with pytest.raises(CredentialError, match=r"^\[CREDENTIAL_INVALID\]"):
        api.describe(CLICKS)
    assert errors(aws) == {"InvalidSignatureException": 1}
    api.close()


def test_a_wrong_secret_and_a_wrong_clock_end_at_once(aws, clock):
    clock.ahead_s = 5 * HOUR_S
    api = connect(aws.endpoint_url, IdentitySettings("test", Secret("wrong")))
    began = time.monotonic()
    with pytest.raises(CredentialError, match=r"^\[CREDENTIAL_INVALID\]"):
        api.describe(CLICKS)
    assert time.monotonic() - began < 4
    assert errors(aws)["InvalidSignatureException"] <= 3
    api.close()


# --- now ----------------------------------------------------------------------------------------


def test_a_proxys_refusal_does_not_tell_the_time(way):
    """Its clock is an hour ahead; a query at LATEST would wait that long, in silence."""
    refusals = ["refused"]

    def answer(operation: str, _: bytes, peer: Peer) -> None:
        if refusals:
            refusals.pop()
            ahead = formatdate(time.time() + HOUR_S, usegmt=True)
            peer.reply(b"<html>busy</html>", 503, Date=ahead, x_amzn_RequestId="")
        elif operation == "DescribeStreamSummary":
            peer.reply(json.dumps(DESCRIPTION).encode())
        else:
            peer.reply(b'{"ShardIterator":"x"}')

    with serving(answer) as server:
        api = connect(server.url)
        api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
        assert -3_000 < api.now_ms() - time.time() * 1000 <= 0
        api.close()


def kinesis_behind_proxy(ahead_s: float, *, tells: bool):
    """Kinesis, behind a proxy that puts its own Date into the replies."""

    def answer(operation: str, body: bytes, peer: Peer) -> None:
        date = formatdate(time.time() + ahead_s, usegmt=True)
        if operation == "DescribeStreamSummary":  # who forgot AWS's clock asks for it
            peer.reply(json.dumps(DESCRIPTION).encode(), Date=date)
            return
        asked_s = json.loads(body).get("Timestamp", 0)
        now_s = time.time()
        if asked_s <= now_s:
            peer.reply(b'{"ShardIterator":"x"}', Date=date)
            return
        told = f" timestampInMillis: 1, currentTimestampInMillis: {int(now_s * 1000)}"
        refusal = {
            "__type": "InvalidArgumentException",
            "message": f"The moment is to come.{told if tells else ''}",
        }
        peer.reply(json.dumps(refusal).encode(), 400, Date=date)

    return answer


@pytest.mark.parametrize("tells", [True, False])
def test_a_refused_now_disproves_the_clock(way, tells, caplog):
    with serving(kinesis_behind_proxy(HOUR_S, tells=tells)) as server:
        api = connect(server.url)
        api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
        refused = 0
        for _ in range(20):
            try:
                api.get_iterator(CLICKS, SHARD, AtTimestamp(api.now_ms() - 200))
                break
            except PositionRefusedError:
                refused += 1
        assert refused == 1 if tells else 1 < refused < 15
        assert api.now_ms() <= time.time() * 1000
        assert "proxy" in caplog.text
        api.close()


def test_a_caller_may_say_that_now_was_refused():
    with serving(kinesis_behind_proxy(HOUR_S, tells=False)) as server:
        api = connect(server.url)
        promised_ms = api.now_ms() if api.get_iterator(CLICKS, SHARD, TRIM_HORIZON) else 0
        api.refute_now(promised_ms)
        api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
        assert api.now_ms() < promised_ms
        api.close()


def test_a_start_in_the_future_disproves_nothing(aws):
    api = connect(aws.endpoint_url)
    before_ms = api.now_ms()
    with pytest.raises(PositionRefusedError):
        api.get_iterator(CLICKS, SHARD, AtTimestamp(before_ms + HOUR_S * 1000))
    calls = len(aws.call_log())
    assert api.now_ms() >= before_ms
    assert len(aws.call_log()) == calls
    api.close()
