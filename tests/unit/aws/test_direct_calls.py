"""The short way of small calls: when it is taken, what it asks anew, when botocore goes on."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace

import botocore.client
import pytest
from botocore.awsrequest import AWSResponse
from urllib3.response import HTTPResponse

from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.aws.clock import ServerClock
from kinesis_source.aws.direct import Connection
from kinesis_source.aws.renewal import FrozenKeys
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.aws.signing import SigningClock
from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import ClientSettings, IdentitySettings, StreamSettings

SHARD = "shardId-000000000000"
CLICKS = StreamSettings.from_key("clicks")
BY_ARN = StreamSettings.from_key("arn:aws:kinesis:us-east-1:222222222222:stream/clicks")


class Keys:
    """Credentials that a test replaces."""

    def __init__(self) -> None:
        self.now = FrozenKeys("AKIAIOSFODNN7EXAMPLE", "secret", None)

    def get_frozen_credentials(self) -> FrozenKeys:
        return self.now

    def get_deferred_property(self, name: str):
        return lambda: getattr(self.now, name)

    def __getattr__(self, name: str):
        return getattr(self.now, name)


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def api(keys, monkeypatch):
    api = BotoStreamApi(
        ClientSettings("us-east-1", identity=IdentitySettings("x", Secret("y"))), RetryPolicy(0)
    )
    monkeypatch.setattr(api.identity._link.credentials, "_obtain", None)
    monkeypatch.setattr(api.identity._link.session, "get_credentials", lambda: keys)
    yield api
    api.close()


@pytest.fixture
def requests(api) -> list:
    """Every request, answered without a network."""
    seen: list = []

    def respond(request, **_) -> AWSResponse:
        seen.append(request)
        body = HTTPResponse(BytesIO(b'{"ShardIterator":"x","Records":[]}'), preload_content=False)
        return AWSResponse(request.url, 200, {"date": "Thu, 01 Jan 2026 00:00:00 GMT"}, body)

    api._caller.connect().client.meta.events.register("before-send.kinesis", respond)
    return seen


@pytest.fixture
def botocores(monkeypatch) -> list[str]:
    """The operations that went through botocore."""
    names: list[str] = []
    original = botocore.client.BaseClient._make_api_call

    def count(self, operation: str, params: dict):
        names.append(operation)
        return original(self, operation, params)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", count)
    return names


def poll(api: BotoStreamApi, stream: StreamSettings = CLICKS) -> None:
    api.get_page(stream, SHARD, api.get_iterator(stream, SHARD, AtTimestamp(1_500)), 10)


def test_botocore_sees_each_operation_once(api, requests, botocores):
    for _ in range(3):
        poll(api)
    api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
    assert botocores == ["GetShardIterator", "GetRecords"]
    assert len(requests) == 7


def test_a_stream_named_by_its_arn_has_the_host_that_botocore_chooses(api, requests, botocores):
    for _ in range(2):
        poll(api, CLICKS)
        poll(api, BY_ARN)
    by_name, by_arn = requests[:2], requests[2:4]
    assert [request.url for request in requests[4:]] == [
        request.url for request in by_name + by_arn
    ]
    assert by_name[0].url != by_arn[0].url
    assert len(botocores) == 4


def test_renewed_keys_sign_the_next_call(api, requests, keys, botocores):
    for secret in ("secret", "secret", "other"):
        keys.now = FrozenKeys(f"AKIA{secret}", secret, None)
        poll(api)
    assert "Credential=AKIAother/" in str(requests[-1].headers["Authorization"])
    assert len(botocores) == 2


@pytest.mark.parametrize(
    "after",
    [
        FrozenKeys("AKIAIOSFODNN7EXAMPLE", "secret", "token"),
        FrozenKeys("AKIAIOSFODNN7EXAMPLE", "secret", None, "333333333333"),
    ],
    ids=["token", "account"],
)
def test_keys_of_another_kind_are_shown_to_botocore_first(api, requests, keys, botocores, after):
    """A token is signed too, and botocore makes other hosts for the account of the keys."""
    poll(api)
    keys.now = after
    for _ in range(2):
        poll(api)
    assert len(botocores) == 4
    assert requests[-1].url == requests[-3].url
    assert requests[-1].headers.get("X-Amz-Security-Token") == after.token


def test_keys_renewed_in_the_middle_of_the_first_call_are_no_other_signer(
    api, requests, keys, botocores
):
    old = keys.now
    frozen = iter([old, FrozenKeys("AKIANEW", "new", None)])
    keys.get_frozen_credentials = lambda: next(frozen, keys.now)
    for _ in range(3):
        api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
    assert len(botocores) == 2


def test_a_signer_that_changes_the_request_stays_botocores(api, requests, botocores):
    """Whatever a plugin of botocore's does before signing, or to the signer."""
    events = api._caller.connect().client.meta.events
    events.register(
        "before-call.kinesis", lambda params, **_: params["headers"].update({"X-Odd": "a  b"})
    )
    for _ in range(3):
        api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
    assert len(botocores) == 3


def test_another_botocore_goes_on_without_the_short_way():
    calls: list[dict] = []
    client = SimpleNamespace(
        meta=SimpleNamespace(events=SimpleNamespace(register=lambda *_: None)),
        get_records=lambda **params: calls.append(params) or {"Records": []},
    )
    connection = Connection(client, Keys(), SigningClock(ServerClock()))
    for _ in range(2):
        reply = connection.ask(
            "GetRecords", {"ShardIterator": "x"}, lambda _: None, lambda reply: reply
        )
    assert reply == {"Records": []}
    assert calls == [{"ShardIterator": "x"}] * 2


def test_the_date_of_a_direct_reply_feeds_the_clock(api, requests, monkeypatch):
    dates: list[str | None] = []
    poll(api)
    monkeypatch.setattr(api._caller.clock, "observe", lambda headers: dates.append(headers["date"]))
    poll(api)
    assert dates == ["Thu, 01 Jan 2026 00:00:00 GMT"] * 2
