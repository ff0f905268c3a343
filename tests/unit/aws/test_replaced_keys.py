"""A key that AWS does not know any more: others are got once, and the call goes on with them."""

from __future__ import annotations

import sys
import types

import pytest
from botocore.credentials import Credentials

from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import RoleSettings
from tests.unit.aws.identity_support import CLICKS, connect, refused


@pytest.fixture
def aws(kinesis_emulator):
    kinesis_emulator.account("222222222222").create_stream("clicks")
    return kinesis_emulator


@pytest.fixture
def people(aws):
    account = aws.account("222222222222")
    return [account.create_user("before"), account.create_user("after")]


@pytest.fixture
def provide(monkeypatch):
    def under_name(function) -> str:
        module = types.ModuleType("provider_of_the_test")
        module.give = function
        monkeypatch.setitem(sys.modules, "provider_of_the_test", module)
        return "provider_of_the_test.give"

    return under_name


def calls_since(aws, number: int) -> list:
    return aws.call_log("DescribeStreamSummary")[number:]


def test_a_provider_is_asked_for_the_new_key(aws, people, provide):
    current = [people[0]]
    api = connect(aws, provider=provide(lambda: (current[0].access_key, current[0].secret_key)))
    api.describe(CLICKS)
    current[0] = people[1]
    aws.delete_access_key(people[0])
    seen = len(aws.call_log("DescribeStreamSummary"))
    assert api.describe(CLICKS).status == "ACTIVE"
    assert len(calls_since(aws, seen)) == 2


def test_the_new_key_counts_that_a_providers_credentials_have_by_now(aws, people, provide):
    """They renewed themselves between the refused call and the question for other keys."""
    held = Credentials(people[0].access_key, people[0].secret_key)

    def renew_before_the_refusal(request, **_) -> None:
        held.access_key, held.secret_key = people[1].access_key, people[1].secret_key
        aws.delete_access_key(people[0])

    api = connect(aws, provider=provide(lambda: held))
    api.describe(CLICKS)
    api._caller.connect().client.meta.events.register(
        "before-send.kinesis", renew_before_the_refusal
    )
    assert api.describe(CLICKS).status == "ACTIVE"


def test_the_environment_is_read_again_for_the_new_key(aws, people, monkeypatch):
    def put(who) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", who.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", who.secret_key)

    put(people[0])
    api = connect(aws)
    api.describe(CLICKS)
    put(people[1])
    aws.delete_access_key(people[0])
    assert api.describe(CLICKS).status == "ACTIVE"


def test_the_base_of_a_role_is_replaced_when_sts_does_not_know_its_key(aws, people, provide):
    role = aws.account("222222222222").create_role("reader", trusts=[who.arn for who in people])
    current = [people[0]]
    api = connect(
        aws,
        provider=provide(lambda: (current[0].access_key, current[0].secret_key)),
        roles=(RoleSettings(role.arn),),
    )
    api.describe(CLICKS)
    current[0] = people[1]
    aws.delete_access_key(people[0])
    aws.faults.add("expired_token", operation="DescribeStreamSummary", count=1)
    assert api.describe(CLICKS).status == "ACTIVE"


def test_keys_that_nobody_replaces_end_after_one_more_try(aws, people):
    who = people[0]
    api = connect(aws, access_key=who.access_key, secret_key=Secret(who.secret_key))
    api.describe(CLICKS)
    aws.delete_access_key(who)
    seen = len(aws.call_log("DescribeStreamSummary"))
    error = refused(api)
    assert error.code == "CREDENTIAL_INVALID"
    assert len(calls_since(aws, seen)) <= 2


def test_a_provider_that_gives_ever_other_unknown_keys_is_not_asked_for_ever(aws, provide):
    asked: list[int] = []

    def give() -> tuple[str, str]:
        asked.append(1)
        return (f"AKIANOBODYKNOWS{len(asked):05}", "secret-of-nobody")

    assert refused(connect(aws, provider=provide(give))).code == "CREDENTIAL_INVALID"
    assert len(asked) <= 3
