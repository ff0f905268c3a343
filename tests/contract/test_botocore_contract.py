"""What is used of botocore beyond calling its clients: a release that changes it fails here."""

from __future__ import annotations

import json

import botocore.session
import pytest
from botocore import credentials as boto_credentials

from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.aws.renewal import Lease, RenewingCredentials
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.aws.timestamps import from_epoch_ms
from kinesis_source.model.positions import AtTimestamp
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import ClientSettings, IdentitySettings, StreamSettings
from tests.contract.canned_replies import answer_with


@pytest.fixture
def client():
    session = botocore.session.Session()
    session.set_credentials("AKID", "secret")
    client = session.create_client("kinesis", region_name="us-east-1")
    yield client
    client.close()


def test_before_parse_hands_over_the_raw_body_and_takes_another(client):
    answer_with(client, b'{"Records":"not even a list"}')
    seen = []

    def handler(response_dict, customized_response_dict, **_):
        seen.append((response_dict["status_code"], response_dict["body"]))
        response_dict["body"] = b'{"Records":[]}'
        customized_response_dict["Extra"] = 7

    client.meta.events.register("before-parse.kinesis.GetRecords", handler)
    reply = client.get_records(ShardIterator="x")
    assert seen == [(200, b'{"Records":"not even a list"}')]
    assert (reply["Records"], reply["Extra"]) == ([], 7)


def test_a_handler_for_all_operations_runs_before_the_one_for_one(client):
    """guard_body must see a body before on_before_parse, and may run after it without harm."""
    answer_with(client, b"[1]")
    order: list[str] = []
    events = client.meta.events
    events.register("before-parse.kinesis.GetRecords", lambda **_: order.append("one"))
    events.register(
        "before-parse.kinesis",
        lambda response_dict, **_: order.append("all") or response_dict.update(body=b"{}"),
    )
    assert "Records" not in client.get_records(ShardIterator="x")
    assert sorted(order) == ["all", "one"]


def test_half_a_body_is_a_success_without_records(client):
    """Why a reply is checked for Records: botocore does not complain."""
    answer_with(client, b'{"Records":[{"Data":"aGVsbG8=","Seq')
    reply = client.get_records(ShardIterator="x")
    assert "Records" not in reply
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_after_call_shows_date_headers_of_refusals_too(client):
    body = json.dumps({"__type": "AccessDeniedException", "message": "no"}).encode()
    answer_with(client, body, 400, date="Thu, 01 Jan 2026 00:00:00 GMT")
    dates: list[str] = []
    client.meta.events.register(
        "after-call.kinesis",
        lambda parsed, **_: dates.append(parsed["ResponseMetadata"]["HTTPHeaders"]["date"]),
    )
    with pytest.raises(client.exceptions.AccessDeniedException):
        client.list_streams()
    assert dates == ["Thu, 01 Jan 2026 00:00:00 GMT"]


def test_a_refusal_without_type_gets_its_status_as_code(client):
    """How something that is not Kinesis is told from Kinesis."""
    answer_with(client, b"<html>no</html>", 404)
    with pytest.raises(client.exceptions.ClientError) as failed:
        client.list_streams()
    assert failed.value.response["Error"]["Code"] == "404"


def test_parameters_and_request_share_a_context(client):
    requests = answer_with(client, b'{"ShardIterator":"x"}')
    events = client.meta.events
    events.register("before-parameter-build.kinesis", lambda context, **_: context.update(mine=7))
    contexts: list[dict] = []
    events.register(
        "before-call.kinesis",
        lambda params, context, **_: contexts.append(context) or params.update(body=b"{}"),
    )
    client.get_shard_iterator(StreamName="s", ShardId="i", ShardIteratorType="LATEST")
    assert contexts[0]["mine"] == 7
    assert requests[0].body == b"{}"


def cut_to_seconds(params, **_: object) -> None:
    """Do to a request what older versions of botocore do."""
    body = json.loads(params["body"])
    holder = body.get("ShardFilter", body)
    holder["Timestamp"] = int(holder["Timestamp"])
    params["body"] = json.dumps(body).encode()


@pytest.mark.parametrize("epoch_ms", [1_767_225_600_001, 1_767_225_600_999, 1_767_225_600_000])
@pytest.mark.parametrize("before_call", [cut_to_seconds, lambda **_: None])
def test_timestamps_leave_with_their_milliseconds(epoch_ms, before_call):
    settings = ClientSettings("us-east-1", identity=IdentitySettings("AKID", Secret("x")))
    api = BotoStreamApi(settings, RetryPolicy(0))
    stream = StreamSettings.from_key("clicks")
    requests = answer_with(api._caller.connect().client, b'{"ShardIterator":"x","Shards":[]}')
    api._caller.connect().client.meta.events.register_first("before-call.kinesis", before_call)
    api.get_iterator(stream, "shardId-0", AtTimestamp(epoch_ms))
    api.list_shards(stream, epoch_ms)
    api.close()
    sent = [json.loads(request.body) for request in requests]
    assert sent[0]["Timestamp"] == epoch_ms / 1000
    assert sent[1]["ShardFilter"]["Timestamp"] == epoch_ms / 1000
    assert round(from_epoch_ms(epoch_ms).timestamp() * 1000) == epoch_ms


def test_a_session_takes_credentials_from_a_registered_component():
    keys = boto_credentials.ReadOnlyCredentials("AKID", "secret", "token")
    credentials = RenewingCredentials(lambda _: Lease(lambda: keys), "test")

    class Resolver:
        def load_credentials(self) -> RenewingCredentials:
            return credentials

    session = botocore.session.Session()
    session.register_component("credential_provider", Resolver())
    client = session.create_client("kinesis", region_name="us-east-1")
    requests = answer_with(client, b'{"StreamNames":[],"HasMoreStreams":false}')
    client.list_streams()
    client.close()
    assert session.get_credentials() is credentials
    assert "Credential=AKID/" in str(requests[0].headers["Authorization"])
    assert "token" in str(requests[0].headers["X-Amz-Security-Token"])


def test_the_default_chain_names_its_places():
    resolver = botocore.session.Session().get_component("credential_provider")
    assert {"env", "shared-credentials-file", "container-role", "iam-role"} <= {
        provider.METHOD for provider in resolver.providers
    }


def test_the_errors_of_the_model_are_the_ones_that_are_mapped():
    """A new error of GetRecords should be given a place in retry.py and failures.py."""
    model = botocore.session.Session().get_service_model("kinesis")
    known = {
        "AccessDeniedException", "DryRunOperationException", "ExpiredIteratorException",
        "ExpiredNextTokenException", "InternalFailureException", "InvalidArgumentException",
        "KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException",
        "KMSNotFoundException", "KMSOptInRequired", "KMSThrottlingException",
        "LimitExceededException", "ProvisionedThroughputExceededException",
        "ResourceInUseException", "ResourceNotFoundException",
    }  # fmt: skip
    for operation in ("GetRecords", "GetShardIterator", "ListShards", "DescribeStreamSummary"):
        errors = {shape.name for shape in model.operation_model(operation).error_shapes}
        assert errors <= known


def test_the_providers_of_the_chain_have_what_is_replaced_in_them(monkeypatch):
    """What asks or waits is taken from them by name: see kinesis_source.aws.chain."""
    session = botocore.session.Session()
    providers = {p.METHOD: p for p in session.get_component("credential_provider").providers}
    assert callable(providers["custom-process"]._popen)
    assert isinstance(providers["custom-process"]._profile_name, str)
    assert "environ" in vars(providers["env"])
    role = providers["assume-role"]
    assert callable(role._prompter)
    assert callable(role._profile_provider_builder.providers)
    sources = {p.METHOD: p for p in role._credential_sourcer._providers}
    assert "environ" in vars(sources["env"])
    made = role._profile_provider_builder.providers(profile_name="p", disable_env_vars=True)
    assert "custom-process" in {provider.METHOD for provider in made}


def test_every_source_of_the_chain_has_a_name_in_messages():
    from kinesis_source.aws.chain import _PLACES

    providers = botocore.session.Session().get_component("credential_provider").providers
    unnamed = {provider.METHOD for provider in providers} - set(_PLACES)
    assert unnamed == {"ec2-credentials-file", "boto-config"}, "of before 2013, and botocore's new"
