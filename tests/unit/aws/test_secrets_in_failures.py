"""No secret is in a failure, whatever brought the credentials; white space around them is harmless.

The keys are real ones of the emulator, spoilt in the way that secret stores and copying spoil them.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import types

import pytest

from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.datasource import KinesisDataSource
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import RoleSettings
from tests.unit.aws.identity_support import (
    CLICKS,
    all_shown,
    connect,
    printed_by_spark,
    refused,
    session_of,
)

SOURCES = ("environment", "profile", "provider", "mapping", "botocore", "process")


@pytest.fixture
def aws(kinesis_emulator):
    kinesis_emulator.account("222222222222").create_stream("clicks")
    return kinesis_emulator


@pytest.fixture
def owner(aws):
    return aws.account("222222222222").create_user("owner")


@pytest.fixture
def bring(monkeypatch, tmp_path):
    """Return a function that lets a source give keys, and the options for it."""

    def give(source: str, access_key: str, secret_key: str, token: str) -> dict:
        if source == "environment":
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)
            monkeypatch.setenv("AWS_SESSION_TOKEN", token)
            return {}
        config = tmp_path / "config"
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        if source == "profile":
            config.write_text(
                f"[profile p]\naws_access_key_id = {access_key}\n"
                f"aws_secret_access_key = {secret_key}\naws_session_token = {token}\n"
            )
            return {"profile": "p"}
        if source == "process":
            printed = tmp_path / "printed.json"
            names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
            keys = dict(zip(names, (access_key, secret_key, token), strict=True))
            printed.write_text(json.dumps({"Version": 1, **keys}))
            config.write_text(f"[profile p]\ncredential_process = cat {printed}\n")
            return {"profile": "p"}
        returned = {
            "provider": (access_key, secret_key, token),
            "mapping": {"access_key": access_key, "secret_key": secret_key, "token": token},
        }.get(source)
        if source == "botocore":
            from botocore.credentials import ReadOnlyCredentials

            returned = ReadOnlyCredentials(access_key, secret_key, token)
        module = types.ModuleType("keys_of_the_test")
        module.give = lambda: returned
        monkeypatch.setitem(sys.modules, "keys_of_the_test", module)
        return {"provider": "keys_of_the_test.give"}

    return give


@pytest.mark.parametrize("source", SOURCES)
def test_white_space_around_keys_is_taken_off(aws, owner, bring, source):
    given = session_of(aws, owner)
    options = bring(
        source,
        f"{given['AccessKeyId']}\n",
        f" {given['SecretAccessKey']}\r\n",
        f"{given['SessionToken']}\n",
    )
    assert connect(aws, **options).describe(CLICKS).status == "ACTIVE"


@pytest.mark.parametrize("spoilt", ["AccessKeyId", "SecretAccessKey", "SessionToken"])
@pytest.mark.parametrize("source", [name for name in SOURCES if name != "profile"])
def test_a_key_with_a_line_break_inside_is_refused_at_once_and_not_shown(
    aws, owner, bring, source, spoilt
):
    given = session_of(aws, owner)
    given[spoilt] = f"{given[spoilt][:9]}\n{given[spoilt][9:]}"
    options = bring(source, given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    began = time.monotonic()
    error = refused(connect(aws, RetryPolicy(20_000), **options))
    assert time.monotonic() - began < 10
    assert error.code == "CREDENTIAL_INVALID"
    shown = all_shown(error)
    for secret in (given["SecretAccessKey"], given["SessionToken"]):
        assert secret not in shown
        assert secret[-20:] not in shown
        assert repr(secret)[1:-1] not in shown


def test_keys_of_the_options_are_checked_too(aws, owner):
    secret = Secret(f"{owner.secret_key[:9]}\n{owner.secret_key[9:]}")
    error = refused(connect(aws, access_key=owner.access_key, secret_key=secret))
    assert error.code == "CREDENTIAL_INVALID"
    assert "from the options" in str(error)


def test_a_source_of_a_profiles_role_may_have_a_line_break_at_its_end(
    aws, owner, monkeypatch, tmp_path
):
    role = aws.account("222222222222").create_role("reader", trusts=[owner.arn])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"{owner.access_key}\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{owner.secret_key}\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.endpoint_url)
    config = tmp_path / "config"
    config.write_text(f"[profile p]\nrole_arn={role.arn}\ncredential_source=Environment\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    assert connect(aws, profile="p").describe(CLICKS).status == "ACTIVE"


def test_an_answer_of_sts_that_is_cut_does_not_show_the_session(aws, owner, caplog):
    """The library quotes the body that it could not read, secret key and token included."""
    role = aws.account("222222222222").create_role("reader", trusts=[owner.arn])
    aws.faults.add("cut_body", operation="AssumeRole")
    keys = {"access_key": owner.access_key, "secret_key": Secret(owner.secret_key)}
    api = connect(aws, RetryPolicy(600, base_ms=5), **keys, roles=(RoleSettings(role.arn),))
    error = refused(api)
    assert error.code == "CREDENTIAL_ASSUME_ROLE"
    assert "ResponseParserError" in str(error)
    shown = all_shown(error) + caplog.text
    sessions = aws._iam.sessions_of(role)
    assert sessions
    for session in sessions:
        assert session.secret_key not in shown
        assert session.session_token[:20] not in shown


def test_an_error_whose_text_quotes_a_secret_is_passed_on_without_it(aws, owner):
    """AWS's words, a proxy's or a library's: whoever writes them."""
    secret = owner.secret_key
    aws.faults.add("error", code="ValidationException", status=400, message=f"bad: {secret!r}!")
    error = refused(connect(aws, access_key=owner.access_key, secret_key=Secret(secret)))
    assert error.code == "SERVICE_ERROR"
    assert "bad: '***'!" in str(error)
    assert secret not in all_shown(error)


def test_a_profiles_role_whose_sts_answers_nonsense_shows_no_secret_in_any_log(
    aws, owner, monkeypatch, tmp_path, caplog
):
    """The library itself warns, with the exception, when a renewal fails."""
    role = aws.account("222222222222").create_role("reader", trusts=[owner.arn])
    aws.faults.add("cut_body", operation="AssumeRole")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.endpoint_url)
    config = tmp_path / "config"
    config.write_text(
        f"[profile p]\nrole_arn={role.arn}\nsource_profile=q\n[profile q]\n"
        f"aws_access_key_id={owner.access_key}\naws_secret_access_key={owner.secret_key}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with caplog.at_level(logging.WARNING):
        error = refused(connect(aws, RetryPolicy(300, base_ms=5), profile="p"))
    assert error.code == "CREDENTIAL_NOT_FOUND"
    assert "Refreshing temporary credentials failed" in caplog.text
    shown = all_shown(error) + caplog.text
    for session in aws._iam.sessions_of(role):
        assert session.secret_key not in shown
        assert session.session_token[:20] not in shown


def test_a_credential_process_that_prints_no_json_is_named_and_not_quoted(
    aws, monkeypatch, tmp_path, caplog
):
    config = tmp_path / "config"
    config.write_text("[profile p]\ncredential_process = echo s3cr3t-of-the-process\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    error = refused(connect(aws, profile="p"))
    assert error.code == "CREDENTIAL_NOT_FOUND"
    assert "credential_process of profile 'p'" in str(error)
    assert "s3cr3t" not in all_shown(error) + caplog.text


@pytest.mark.parametrize("how", ["wrong_secret", "refused", "unreachable", "role", "cut"])
def test_spark_shows_no_secret_when_it_prints_the_variables_of_each_frame(
    aws, owner, monkeypatch, how
):
    given = session_of(aws, owner)
    secret = "wr0ng/secret+of/the/test0123456789abcdef" if how == "wrong_secret" else None
    options = {
        "access_key": given["AccessKeyId"],
        "secret_key": Secret(secret or given["SecretAccessKey"]),
        "session_token": Secret(given["SessionToken"]),
    }
    if how == "refused":
        aws.faults.add("error", code="ValidationException", status=400)
    elif how == "unreachable":
        aws.faults.add("reset_before_work")
    elif how == "cut":
        aws.faults.add("cut_body")
    elif how == "role":
        options["roles"] = (RoleSettings("arn:aws:iam::222222222222:role/nobody"),)
    api = connect(aws, RetryPolicy(300, base_ms=5), **options)
    printed = printed_by_spark(lambda: api.describe(CLICKS), monkeypatch)
    assert "policy = " in printed or "self = " in printed, "variables are shown"
    for value in (secret or given["SecretAccessKey"], given["SessionToken"]):
        assert value not in printed
        assert value[:16] not in printed


@pytest.mark.parametrize("source", ["provider", "environment", "process"])
def test_spark_shows_no_secret_of_a_source_whose_keys_are_spoilt(
    aws, owner, bring, monkeypatch, source
):
    given = session_of(aws, owner)
    spoilt = f"{given['SessionToken'][:30]}\n{given['SessionToken'][30:]}"
    options = bring(source, given["AccessKeyId"], given["SecretAccessKey"], spoilt)
    api = connect(aws, RetryPolicy(300, base_ms=5), **options)
    printed = printed_by_spark(lambda: api.describe(CLICKS), monkeypatch)
    assert "CREDENTIAL_INVALID" in printed
    for value in (given["SecretAccessKey"], spoilt[:30], spoilt[31:60]):
        assert value not in printed


class Load:
    """Makes the source, as Spark does: with options that no variable of a frame here shows."""

    def __init__(self, options: dict[str, str]) -> None:
        self._options = options

    def __call__(self) -> None:
        KinesisDataSource(self._options)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pollInterval": "bogus"},
        {"awsSecretKye": "s3cr3t/of+the/options"},
        {"awsProfile": "p"},
        {"awsSessionToken": "s3cr3t of+the/options"},
        {"initialPosition": "2999-01-01T00:00:00Z"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_spark_shows_no_secret_when_load_refuses_the_options(monkeypatch, wrong):
    options = {
        "streamName": "clicks",
        "region": "us-east-1",
        "awsAccessKey": "AKIDEXAMPLE",
        "awsSecretKey": "s3cr3t/of+the/options",
        **wrong,
    }
    printed = printed_by_spark(Load(options), monkeypatch)
    assert "[OPTION_" in printed
    assert "self = " in printed, "variables are shown"
    assert "s3cr3t" not in printed
