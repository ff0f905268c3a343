"""Every way to become somebody, against an emulator that checks signatures, trust and expiry."""

from __future__ import annotations

import itertools
import re
import textwrap
import time
import traceback

import pytest

from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.aws.credentials import Identity, build_session, is_aws_url, make_session_name
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.errors import CredentialError
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import (
    ClientSettings,
    IdentitySettings,
    RoleSettings,
    StreamSettings,
)

CLICKS = StreamSettings.from_key("clicks")
PATIENT = RetryPolicy(60_000, base_ms=5, throttle_base_ms=5, throttle_floor_ms=1)
"""Short waits, and a budget that a busy machine does not spend."""


def quick() -> RetryPolicy:
    """Return a policy for what stays down.

    Its clock goes on by 100 ms each time it is read, so that how often something is tried says
    nothing about the machine: a client's first call may take a busy one longer than the budget.
    """
    seconds = itertools.count(step=0.1)
    return RetryPolicy(
        600, base_ms=5, throttle_base_ms=5, throttle_floor_ms=1, clock=lambda: next(seconds)
    )


REGION = "us-east-1"


@pytest.fixture
def aws(kinesis_emulator):
    kinesis_emulator.account("222222222222").create_stream("clicks")
    yield kinesis_emulator
    kinesis_emulator.credential_lifetime_s = None


@pytest.fixture
def user(aws):
    return aws.account("111111111111").create_user("etl")


@pytest.fixture
def owner(aws):
    return aws.account("222222222222").create_user("owner")


def keys(who, **more) -> dict:
    return {"access_key": who.access_key, "secret_key": Secret(who.secret_key), **more}


def connect(aws, policy: RetryPolicy = PATIENT, **identity) -> BotoStreamApi:
    identity.setdefault("sts_endpoint", aws.endpoint_url)
    settings = ClientSettings(REGION, aws.endpoint_url, IdentitySettings(**identity))
    return BotoStreamApi(settings, policy)


def refused(api: BotoStreamApi) -> CredentialError:
    with pytest.raises(CredentialError) as failed:
        api.describe(CLICKS)
    return failed.value


def test_static_keys(aws, owner):
    api = connect(aws, **keys(owner))
    assert api.describe(CLICKS).status == "ACTIVE"
    assert api.identity.who() == owner.arn
    assert api.identity.account() == "222222222222"


def test_the_environment_is_found_by_the_default_chain(aws, owner, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", owner.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", owner.secret_key)
    assert connect(aws).describe(CLICKS).status == "ACTIVE"


def test_explicit_keys_go_before_the_environment(aws, owner, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFSOMEBODYELSE00")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    assert connect(aws, **keys(owner)).identity.who() == "The owner of access key unknown"
    assert connect(aws, **keys(owner)).describe(CLICKS).status == "ACTIVE"


@pytest.fixture
def profiles(tmp_path, monkeypatch, owner):
    path = tmp_path / "credentials"
    path.write_text(
        textwrap.dedent(f"""\
        [owner]
        aws_access_key_id = {owner.access_key}
        aws_secret_access_key = {owner.secret_key}
        [empty]
        region = us-east-1
        [half]
        aws_access_key_id = {owner.access_key}
        """)
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    return path


def test_a_profile(aws, profiles):
    assert connect(aws, profile="owner").describe(CLICKS).status == "ACTIVE"


def test_an_unknown_profile_names_the_known_ones(aws, profiles):
    error = refused(connect(aws, profile="onwer"))
    assert error.code == "CREDENTIAL_PROFILE"
    assert "no profile 'onwer'" in str(error)
    assert "'owner'" in str(error)


def test_a_profile_of_the_environment_that_does_not_exist(aws, owner, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "ghost")
    error = refused(connect(aws))
    assert error.code == "CREDENTIAL_PROFILE"
    assert "from AWS_PROFILE" in str(error)


@pytest.mark.parametrize("profile", ["empty", "half"])
def test_a_profile_without_keys(aws, profiles, profile):
    error = refused(connect(aws, profile=profile))
    assert error.code == "CREDENTIAL_NOT_FOUND"
    assert repr(profile) in str(error)


def test_no_credentials_at_all_lists_where_was_looked(aws):
    error = refused(connect(aws))
    assert error.code == "CREDENTIAL_NOT_FOUND"
    for place in ("env", "shared-credentials-file", "container-role", "iam-role"):
        assert place in str(error)


def test_a_credential_process_that_fails_is_not_quoted(aws, tmp_path, monkeypatch):
    config = tmp_path / "config"
    config.write_text("[profile p]\ncredential_process = sh -c 'echo s3cr3t >&2; exit 1'\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    error = refused(connect(aws, profile="p"))
    assert error.code == "CREDENTIAL_NOT_FOUND"
    assert "s3cr3t" not in "".join(traceback.format_exception(error))


def test_a_token_file_that_is_missing_fails_at_once(aws, monkeypatch):
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::222222222222:role/reader")
    began_s = time.monotonic()
    error = refused(connect(aws))
    assert error.code == "CREDENTIAL_NOT_FOUND"
    assert time.monotonic() - began_s < PATIENT.budget_ms / 1000 / 2


def test_a_role_with_external_id(aws, user):
    role = aws.account("222222222222").create_role(
        "reader", trusts=[user.arn], external_id="abc", allow=["kinesis:*"]
    )
    api = connect(aws, **keys(user), roles=(RoleSettings(role.arn, "night-run", "abc"),))
    assert api.describe(CLICKS).status == "ACTIVE"
    assert api.identity.who() == "arn:aws:sts::222222222222:assumed-role/reader/night-run"


@pytest.mark.parametrize(
    ("external_id", "says"), [("wrong", "with external id 'wrong'"), (None, "without an external")]
)
def test_a_role_that_does_not_trust_says_who_asked_and_what_was_sent(aws, user, external_id, says):
    role = aws.account("222222222222").create_role(
        "reader", trusts=[user.arn], external_id="abc", allow=["kinesis:*"]
    )
    api = connect(aws, **keys(user), roles=(RoleSettings(role.arn, external_id=external_id),))
    error = refused(api)
    assert error.code == "CREDENTIAL_ASSUME_ROLE"
    for words in (user.arn, role.arn, says, "1 try"):
        assert words in str(error)
    assert "trust policy" in error.hint
    assert user.secret_key not in "".join(traceback.format_exception(error))


def test_roles_are_assumed_one_over_the_other(aws, user):
    hub = aws.account("333333333333").create_role("hub", trusts=[user.arn])
    leaf = aws.account("222222222222").create_role("leaf", trusts=[hub.arn], allow=["kinesis:*"])
    roles = (RoleSettings(hub.arn, "one"), RoleSettings(leaf.arn, "two"))
    api = connect(aws, **keys(user), roles=roles)
    assert api.describe(CLICKS).status == "ACTIVE"
    assert api.identity.who() == "arn:aws:sts::222222222222:assumed-role/leaf/two"
    assert len(aws.call_log("AssumeRole")) == 2


def test_a_broken_link_in_the_chain_names_that_link(aws, user):
    hub = aws.account("333333333333").create_role("hub", trusts=[user.arn])
    leaf = aws.account("222222222222").create_role("leaf", trusts=[user.arn])
    roles = (RoleSettings(hub.arn, "one"), RoleSettings(leaf.arn, "two"))
    error = refused(connect(aws, **keys(user), roles=roles))
    assert "assumed-role/hub/one may not assume the role" in str(error)
    assert leaf.arn in str(error)


def test_a_malformed_role_arn_fails_at_once(aws, user):
    error = refused(connect(aws, **keys(user), roles=(RoleSettings("reader"),)))
    assert error.code == "CREDENTIAL_ASSUME_ROLE"
    assert "1 try" in str(error)
    assert "ParamValidationError" in str(error)


def test_sts_that_stumbles_is_asked_again(aws, user):
    role = aws.account("222222222222").create_role("reader", trusts=[user.arn])
    aws.faults.add("sts_failure", operation="AssumeRole", count=2)
    api = connect(aws, **keys(user), roles=(RoleSettings(role.arn),))
    assert api.describe(CLICKS).status == "ACTIVE"
    assert len(aws.call_log("AssumeRole")) == 3


def test_sts_that_stays_down_fails_within_the_budget(aws, user):
    role = aws.account("222222222222").create_role("reader", trusts=[user.arn])
    aws.faults.add("sts_failure", operation="AssumeRole")
    error = refused(connect(aws, quick(), **keys(user), roles=(RoleSettings(role.arn),)))
    assert error.code == "CREDENTIAL_ASSUME_ROLE"
    assert re.search(r"\d+ tries in \d+\.\d s", str(error))
    assert aws.endpoint_url in str(error)


def test_sts_that_cannot_be_reached(aws, user):
    role = RoleSettings("arn:aws:iam::222222222222:role/reader")
    nowhere = "http://127.0.0.1:9"
    error = refused(connect(aws, quick(), **keys(user), roles=(role,), sts_endpoint=nowhere))
    assert error.code == "CREDENTIAL_ASSUME_ROLE"
    assert "http://127.0.0.1:9" in str(error)
    assert "stsEndpoint" in error.hint


def test_sts_of_the_environment(aws, user, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.endpoint_url)
    role = aws.account("222222222222").create_role("reader", trusts=[user.arn])
    api = connect(aws, **keys(user), roles=(RoleSettings(role.arn),), sts_endpoint=None)
    assert api.describe(CLICKS).status == "ACTIVE"


def test_sts_is_the_one_of_the_region():
    session = build_session(IdentitySettings("AKID", Secret("x")), "eu-central-1")
    client = session.create_client("sts")
    assert client.meta.endpoint_url == "https://sts.eu-central-1.amazonaws.com"


def test_wrong_secret(aws, owner):
    error = refused(connect(aws, access_key=owner.access_key, secret_key=Secret("wr0ng-secret")))
    assert error.code == "CREDENTIAL_INVALID"
    assert owner.access_key not in str(error)
    assert owner.access_key[-4:] in str(error)
    assert "wr0ng-secret" not in "".join(traceback.format_exception(error))


def test_unknown_key(aws):
    api = connect(aws, access_key="AKIAUNKNOWNKEY000000", secret_key=Secret("x"))
    assert refused(api).code == "CREDENTIAL_INVALID"


def test_a_session_token_that_has_expired(aws, owner):
    aws.faults.add("expired_token")
    error = refused(connect(aws, **keys(owner)))
    assert error.code == "CREDENTIAL_EXPIRED"
    assert "2 tries" in str(error)


def test_an_expired_base_is_told_apart_from_the_role(aws, user):
    role = aws.account("222222222222").create_role("reader", trusts=[user.arn])
    aws.faults.add("expired_token", operation="AssumeRole")
    error = refused(connect(aws, **keys(user), roles=(RoleSettings(role.arn),)))
    assert error.code == "CREDENTIAL_EXPIRED"
    assert role.arn in str(error)


def test_a_role_whose_sessions_live_for_seconds(aws, user):
    aws.credential_lifetime_s = 1.0
    role = aws.account("222222222222").create_role("reader", trusts=[user.arn])
    api = connect(aws, **keys(user), roles=(RoleSettings(role.arn),))
    for _ in range(3):
        assert api.describe(CLICKS).status == "ACTIVE"
    assert len(aws.call_log("AssumeRole")) == 3


def test_sessions_that_aws_ends_early_are_replaced_and_the_call_repeated(aws, user):
    hub = aws.account("333333333333").create_role("hub", trusts=[user.arn])
    leaf = aws.account("222222222222").create_role("leaf", trusts=[hub.arn])
    api = connect(aws, **keys(user), roles=(RoleSettings(hub.arn), RoleSettings(leaf.arn)))
    api.describe(CLICKS)
    aws.faults.add("expired_token", operation="DescribeStreamSummary", count=1)
    aws.faults.add("expired_token", operation="AssumeRole", count=1)
    assert api.describe(CLICKS).status == "ACTIVE"
    assert aws.call_log("DescribeStreamSummary")[-1].error is None


def test_a_token_that_was_replaced_in_the_file_is_found(aws, profiles, user, owner):
    profiles.write_text(profiles.read_text().replace(owner.access_key, user.access_key))
    profiles.write_text(profiles.read_text().replace(owner.secret_key, user.secret_key))
    api = connect(aws, profile="owner")
    with pytest.raises(Exception, match="STREAM_NOT_FOUND"):
        api.describe(CLICKS)
    profiles.write_text(profiles.read_text().replace(user.access_key, owner.access_key))
    profiles.write_text(profiles.read_text().replace(user.secret_key, owner.secret_key))
    aws.faults.add("expired_token", operation="DescribeStreamSummary", count=1)
    assert api.describe(CLICKS).status == "ACTIVE"


def test_nothing_prints_secrets(aws, owner):
    api = connect(aws, **keys(owner))
    api.describe(CLICKS)
    shown = f"{api!r} {api.settings!r} {api.identity!r} {api.identity.session.get_credentials()!r}"
    assert owner.secret_key not in shown
    assert owner.access_key not in shown


def test_who_never_fails(monkeypatch):
    settings = IdentitySettings("AKIAIOSFODNN7EXAMPLE", Secret("x"), sts_endpoint="http://[bad")
    identity = Identity(settings, REGION)
    assert identity.who() == "The owner of access key unknown"
    identity.session.get_credentials().get_frozen_credentials()
    assert identity.who() == "The owner of access key AKIA****MPLE"
    assert identity.account() is None


@pytest.mark.parametrize(
    ("url", "is_aws"),
    [
        (None, True),
        ("https://kinesis.eu-west-1.amazonaws.com", True),
        ("https://vpce-1.kinesis.us-east-1.vpce.amazonaws.com/", True),
        ("https://kinesis.cn-north-1.amazonaws.com.cn", True),
        ("http://127.0.0.1:4567", False),
        ("http://localhost.localstack.cloud:4566", False),
        ("https://amazonaws.com.example.org", False),
    ],
)
def test_urls_of_aws(url, is_aws):
    assert is_aws_url(url) is is_aws


def test_session_names_fit_sts(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "spärk_node.with spaces/" + "x" * 80)
    names = {make_session_name() for _ in range(50)}
    assert len(names) == 50
    assert all(re.fullmatch(r"[A-Za-z0-9_+=,.@-]{2,64}", name) for name in names)
