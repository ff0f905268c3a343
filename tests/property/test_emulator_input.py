"""Bad input to the emulator is the caller's mistake, never the server's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kinesis_source.emulator import Emulator
from kinesis_source.emulator import cbor as cbor_form
from kinesis_source.emulator.service import OPERATIONS
from kinesis_source.emulator.sigv4 import SignedRequest

MODEL = botocore.session.Session().get_service_model("kinesis")
KEYS = Credentials("test", "test")
SHARD = "shardId-000000000000"

TEXTS = st.one_of(
    st.sampled_from(
        [
            *("clicks", "0", "1", "9" * 130, "9" * 5_000, "٣", "QQ==", "UNIFORM_SCALING", SHARD),
            *("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "AFTER_SHARD_ID"),
            *("arn:aws:kinesis:us-east-1:000000000000:stream/clicks", "\ud800", "a\udfff", "\x00"),
        ]
    ),
    st.text(st.characters(exclude_categories=()), max_size=20),
)
NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([0, 1, 24, 10_000, 2**63, 10**400, time.time()]),
    st.floats(allow_nan=True, allow_infinity=True),
)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def of_shape(shape: Any) -> st.SearchStrategy[Any]:
    """Return values that fit a member of the API's model, mostly."""
    kinds = {"string": TEXTS, "blob": TEXTS, "timestamp": NUMBERS, "boolean": st.booleans()}
    if shape.type_name == "structure":
        members = {name: of_shape(member) for name, member in shape.members.items()}
        fitting: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional=members)
    elif shape.type_name == "list":
        fitting = st.lists(of_shape(shape.member), max_size=3)
    elif shape.type_name == "map":
        fitting = st.dictionaries(TEXTS, of_shape(shape.value), max_size=3)
    else:
        fitting = kinds.get(shape.type_name, NUMBERS)
    return st.one_of(fitting, fitting, fitting, ANYTHING)


def parameters(operation: str) -> st.SearchStrategy[dict[str, Any]]:
    shape = MODEL.operation_model(operation).input_shape
    members = {name: of_shape(member) for name, member in shape.members.items()}
    likely = {"StreamName": st.just("clicks"), "ShardId": st.just(SHARD)}
    likely |= {"ShardToSplit": st.just(SHARD), "Data": st.just("QQ=="), "PartitionKey": TEXTS}
    for name in likely.keys() & members.keys():
        members[name] = st.one_of(likely[name], members[name])
    return st.fixed_dictionaries({}, optional=members)


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    emulator = Emulator()
    emulator.account().create_stream("clicks")
    return emulator


def ask(aws: Emulator, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """Send a signed request, without the way over HTTP."""
    request = AWSRequest("POST", "http://127.0.0.1/", headers={**headers, "Host": "x"}, data=body)
    service = "kinesis" if "X-Amz-Target" in headers else "sts"
    SigV4Auth(KEYS, service, "us-east-1").add_auth(request)
    sent = {name.lower(): value for name, value in request.headers.items()}
    reply = aws._service.answer(SignedRequest("POST", "/", "", sent, body))
    return reply.status, reply.body


def ask_kinesis(aws: Emulator, operation: str, body: bytes, form: str) -> tuple[int, bytes]:
    target = {"X-Amz-Target": f"Kinesis_20131202.{operation}"}
    return ask(aws, body, {**target, "Content-Type": f"application/x-amz-{form}-1.1"})


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_no_parameters_of_any_operation_are_the_servers_fault(aws, operation):
    @settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
    @given(parameters(operation))
    @example({"StreamName": "clicks", "PartitionKey": "\ud800", "Data": "QQ=="})
    @example({"StreamName": "clicks", "Records": [{"PartitionKey": "\ud800", "Data": "QQ=="}]})
    @example({"StreamName": "clicks", "Records": [None, 5, "x", []]})
    @example({"StreamName": "clicks", "ShardFilter": "AT_LATEST", "Tags": [1], "TagKeys": [[]]})
    @example({"StreamName": "clicks", "StreamModeDetails": "ON_DEMAND", "ShardCount": 10**400})
    @example({"StreamName": "clicks", "ShardFilter": {"Type": ["AT_LATEST"]}})
    @example({"StreamName": "clicks", "ShardToSplit": SHARD, "NewStartingHashKey": "9" * 5_000})
    @example(
        {
            "StreamName": "clicks",
            "ShardId": SHARD,
            "ShardIteratorType": "AT_TIMESTAMP",
            "Timestamp": float("nan"),
            "StreamCreationTimestamp": float("inf"),
        }
    )
    def check(given_params: dict[str, Any]) -> None:
        if "clicks" not in aws.account().streams():
            aws.account().create_stream("clicks")
        status, reply = ask_kinesis(aws, operation, json.dumps(given_params).encode(), "json")
        assert status < 500, reply
        try:
            as_cbor = cbor_form.encode(given_params)
        except ValueError:  # what CBOR cannot even write
            return
        status, reply = ask_kinesis(aws, operation, as_cbor, "cbor")
        assert status < 500, reply

    check()


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.sampled_from(sorted(OPERATIONS)), st.binary(max_size=60), st.sampled_from(["json", "cbor"])
)
def test_no_body_is_the_servers_fault(aws, operation, body, form):
    status, reply = ask_kinesis(aws, operation, body, form)
    assert status < 500, reply


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.sampled_from(["AssumeRole", "GetCallerIdentity", "GetSessionToken", "Nope", ""]),
    st.dictionaries(
        st.sampled_from(["RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId", "X"]),
        st.one_of(st.text(max_size=20), st.sampled_from(["900", "٣٣٣٣", "9" * 5_000, "a/b"])),
    ),
)
def test_no_form_of_sts_is_the_servers_fault(aws, action, form):
    text = "&".join(f"{name}={value}" for name, value in {"Action": action, **form}.items())
    body = text.encode("utf-8", "surrogatepass")
    status, reply = ask(aws, body, {"Content-Type": "application/x-www-form-urlencoded"})
    assert status < 500, reply


@settings(max_examples=200, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.text(st.characters(max_codepoint=255), max_size=80),
    st.text(st.characters(max_codepoint=255), max_size=20),
)
@example(
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kinesis/aws4_request, "
    "SignedHeaders=host, Signature=\xff",
    "20260101T000000Z",
)
@example(
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kinesis/aws4_request, "
    "SignedHeaders=host, Signature=aa",
    "20269999T000000Z",
)
def test_no_signature_is_the_servers_fault(authorization, amz_date):
    aws = Emulator(signing_clock=lambda: 1_767_225_600.0)
    headers = {"authorization": authorization, "x-amz-date": amz_date}
    for target in ({"x-amz-target": "Kinesis_20131202.ListStreams"}, {}):
        request = SignedRequest("POST", "/", "", {**headers, **target}, b"{}")
        assert 400 <= aws._service.answer(request).status < 500
