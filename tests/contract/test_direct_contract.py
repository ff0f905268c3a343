"""The short way of two calls: what it sends, and what it makes of replies, is botocore's.

A release of botocore that changes a request or a parser fails here; users of it lose nothing, their
calls go through botocore (aws/pattern.py).
"""

from __future__ import annotations

import json

import botocore.session
import pytest
from botocore import credentials as boto_credentials
from botocore import exceptions as boto
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse

from kinesis_source.aws.clock import ServerClock
from kinesis_source.aws.connection import connect
from kinesis_source.aws.direct import Connection
from kinesis_source.aws.pattern import learn_pattern
from kinesis_source.aws.renewal import FrozenKeys, Lease, RenewingCredentials
from kinesis_source.aws.signing import SigningClock
from kinesis_source.aws.timestamps import from_epoch_ms
from kinesis_source.options.settings import ClientSettings
from tests.contract.canned_replies import Raw, answer_with

MOMENT = from_epoch_ms(1_767_225_600_123)
KEYS = FrozenKeys("AKID", "secret", None)
START = {"StreamName": "clicks", "ShardId": "shardId-0", "ShardIteratorType": "AT_TIMESTAMP"}
PAGE = b'{"Records":[],"NextShardIterator":"y"}'
REFUSAL = b'{"__type":"com.amazonaws#ExpiredIteratorException","message":"too old"}'
JSON_TYPE = {"x-amzn-requestid": "r-1", "content-type": "application/x-amz-json-1.1"}


def new_connection(keys: FrozenKeys, url: str | None = None) -> Connection:
    credentials = RenewingCredentials(lambda _: Lease(lambda: keys), "test")

    class Resolver:
        def load_credentials(self) -> RenewingCredentials:
            return credentials

    session = botocore.session.Session()
    session.register_component("credential_provider", Resolver())
    return connect(session, ClientSettings("us-east-1", url), SigningClock(ServerClock()))


def ask(connection: Connection, operation: str, params: dict) -> dict:
    """Return botocore's form of a reply, whichever way it came."""
    return connection.ask(operation, params, lambda _: None, lambda reply: reply)


@pytest.mark.parametrize("token", [None, "a+token/of=some="])
@pytest.mark.parametrize(
    "url", [None, "http://127.0.0.1:4567", "https://Host.example:443/some/path", "http://[::1]:80"]
)
@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("GetShardIterator", {**START, "Timestamp": MOMENT}),
        ("GetShardIterator", {**START, "Timestamp": from_epoch_ms(1_767_225_600_000)}),
        ("GetRecords", {"ShardIterator": "x", "Limit": 7}),
    ],
)
def test_a_direct_request_is_botocores_request(url, token, operation, params):
    """Same URL, JSON and headers; only what counts botocore's retries is left out."""
    connection = new_connection(FrozenKeys("AKID", "secret", token), url)
    requests = answer_with(connection.client, PAGE)
    for _ in range(2):
        ask(connection, operation, params)
    connection.client.close()
    theirs, ours = requests
    assert (theirs.method, theirs.url) == (ours.method, ours.url)
    assert json.loads(theirs.body) == json.loads(ours.body)
    names = {name for name in theirs.headers if not name.startswith("amz-sdk-")}
    assert names == set(ours.headers)
    changing = {"Authorization", "X-Amz-Date", "Content-Length"}
    for name in names - changing:
        value = theirs.headers[name]
        assert ours.headers[name] == (value.decode() if isinstance(value, bytes) else value)
    assert ours.headers["Content-Length"] == str(len(ours.body))
    assert ours.headers["Authorization"] == signed_by_botocore(ours, token)


def signed_by_botocore(request, token: str | None) -> str:
    keys = boto_credentials.ReadOnlyCredentials("AKID", "secret", token)
    again = AWSRequest("POST", request.url, data=request.body)
    for name in ("X-Amz-Target", "Content-Type", "X-Amz-Date", "X-Amz-Security-Token"):
        if name in request.headers:
            again.headers[name] = request.headers[name]
    again.context["timestamp"] = request.headers["X-Amz-Date"]
    signer = SigV4Auth(keys, "kinesis", "us-east-1")
    text = signer.string_to_sign(again, signer.canonical_request(again))
    signer._inject_signature_to_request(again, signer.signature(text, again))
    return again.headers["Authorization"]


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, JSON_TYPE, PAGE),
        (200, JSON_TYPE, b'{"Records":[{"Data":"aGVsbG8=","Seq'),
        (200, JSON_TYPE, b"[1]"),
        (200, {"content-type": "text/html"}, b"<html>Welcome</html>"),
        (400, JSON_TYPE, REFUSAL),
        (400, JSON_TYPE, b'{"__type":"ThrottlingException","Message":"slow"}'),
        (400, JSON_TYPE, b'{"__type":"NobodyKnowsThisException"}'),
        (500, JSON_TYPE, b'{"__type":"InternalFailure"}'),
        (503, {}, b"<html>busy</html>"),
        (503, {}, b""),
        (404, {}, b"<html>no</html>"),
        (302, {"location": "http://elsewhere"}, b""),
        (400, JSON_TYPE, b"\xff\xfe"),
        (400, JSON_TYPE, b"[1]"),
    ],
)
@pytest.mark.parametrize("operation", ["GetRecords", "GetShardIterator"])
def test_a_direct_reply_becomes_what_botocore_makes_of_it(operation, status, headers, body):
    params = {"ShardIterator": "x"} if operation == "GetRecords" else {**START, "Timestamp": MOMENT}
    learned = new_connection(KEYS)
    first = AWSResponse("", 200, {}, Raw(PAGE))
    events = learned.client.meta.events
    events.register("before-send.kinesis", teach := lambda **_: first)
    ask(learned, operation, params)
    events.unregister("before-send.kinesis", teach)
    plain = new_connection(KEYS)
    plain._is_direct = False
    outcomes = []
    for connection in (learned, plain):
        answer_with(connection.client, body, status, **headers)
        outcomes.append(outcome(connection, operation, params))
        connection.client.close()
    assert None not in learned._patterns.values()
    assert outcomes[0] == outcomes[1]


def outcome(connection: Connection, operation: str, params: dict) -> tuple:
    """Return what became of a call, without botocore's count of its retries, which are off."""
    try:
        reply = ask(connection, operation, params)
        kind = "reply"
    except boto.ClientError as error:
        reply, kind = error.response, type(error).__name__
    except Exception as error:  # noqa: BLE001 - what a body can do to the parser, it does both ways
        return type(error), str(error)
    for counted in ("RetryAttempts", "MaxAttemptsReached"):
        reply["ResponseMetadata"].pop(counted, None)
    named = ("Records", "NextShardIterator", "ShardIterator", "Error", "ResponseMetadata")
    return kind, {name: reply[name] for name in named if name in reply}


def test_other_signers_and_other_bodies_are_left_to_botocore():
    connection = new_connection(KEYS)
    requests = answer_with(connection.client, PAGE)
    ask(connection, "GetRecords", {"ShardIterator": "x"})
    connection.client.close()
    (sent,) = requests
    body = b'{"ShardIterator":"x"}'
    assert learn_pattern(sent, body, KEYS) is not None
    assert learn_pattern(sent, b'{"ShardIterator":"y"}', KEYS) is None
    assert learn_pattern(sent, body, FrozenKeys("AKID", "other", None)) is None
    bearer = AWSRequest("POST", sent.url, {"Authorization": "Bearer x"}, sent.body).prepare()
    assert learn_pattern(bearer, body, KEYS) is None


def test_the_http_session_of_a_client():
    """The one private name that is used of botocore for the short way."""
    connection = new_connection(KEYS)
    assert connection._is_direct
    assert connection._http is connection.client._endpoint.http_session
    connection.client.close()
