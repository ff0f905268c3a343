"""Sources of credentials that ask, hang or answer nonsense: each ends in time, coded and named."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import threading
import time
import types
from pathlib import Path

import pytest

from kinesis_source.aws.credentials import Identity
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.errors import CredentialError
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import IdentitySettings, RoleSettings
from tests.unit.aws.identity_support import CLICKS, REGION, all_shown, connect, refused

SOON = RetryPolicy(600, base_ms=5, throttle_base_ms=5, throttle_floor_ms=1)
ROLE = "arn:aws:iam::222222222222:role/reader"


@pytest.fixture
def aws(kinesis_emulator):
    kinesis_emulator.account("222222222222").create_stream("clicks")
    return kinesis_emulator


@pytest.fixture
def owner(aws):
    return aws.account("222222222222").create_user("owner")


@pytest.fixture
def configure(tmp_path, monkeypatch):
    """Return a function that writes the shared configuration."""

    def write(text: str) -> None:
        (tmp_path / "config").write_text(textwrap.dedent(text))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    return write


@pytest.fixture
def provide(monkeypatch):
    """Return a function that makes a callable a provider, and gives its dotted path."""

    def under_name(function) -> str:
        module = types.ModuleType("provider_of_the_test")
        module.give = function
        monkeypatch.setitem(sys.modules, "provider_of_the_test", module)
        return "provider_of_the_test.give"

    return under_name


def impatient(aws, timeout_s: float = 0.3, **identity) -> Identity:
    """Return an identity whose sources have to answer soon."""
    identity.setdefault("sts_endpoint", aws.endpoint_url)
    return Identity(IdentitySettings(**identity), REGION, SOON, source_timeout_s=timeout_s)


def keys_of(identity: Identity):
    return identity.session.get_credentials().get_frozen_credentials()


class Hanging:
    """A provider that hangs until it is let go."""

    def __init__(self) -> None:
        self.calls = 0
        self.leave = threading.Event()

    def __call__(self) -> tuple[str, str]:
        self.calls += 1
        self.leave.wait(60)
        return ("AKIDLATE", "late-secret")


@pytest.fixture
def hanging():
    provider = Hanging()
    yield provider
    provider.leave.set()


def test_a_provider_that_hangs_is_left_behind_by_every_thread_that_waits(aws, hanging, provide):
    identity = impatient(aws, provider=provide(hanging))
    failures: list[CredentialError] = []

    def ask() -> None:
        try:
            keys_of(identity)
        except CredentialError as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [failure.code for failure in failures] == ["CREDENTIAL_TIMEOUT"] * 4
    assert "provider_of_the_test.give" in str(failures[0])
    assert hanging.calls == 1, "one hanging thread for a source is enough"


def test_an_answer_that_came_late_is_taken_by_who_asks_next(aws, hanging, provide):
    identity = impatient(aws, provider=provide(hanging))
    with pytest.raises(CredentialError, match="CREDENTIAL_TIMEOUT"):
        keys_of(identity)
    hanging.leave.set()
    assert keys_of(identity).access_key == "AKIDLATE"
    assert hanging.calls == 1


def test_keys_that_a_provider_renews_itself_have_a_deadline_too(aws, provide):
    leave = threading.Event()

    class Renewing:
        access_key = secret_key = token = None

        def get_frozen_credentials(self):
            leave.wait(60)

    identity = impatient(aws, provider=provide(Renewing))
    try:
        with pytest.raises(CredentialError, match="CREDENTIAL_TIMEOUT"):
            keys_of(identity)
    finally:
        leave.set()


def test_a_provider_that_ends_the_process_is_an_error_of_the_provider(aws, provide):
    error = refused(connect(aws, provider=provide(lambda: sys.exit(3))))
    assert error.code == "CREDENTIAL_PROVIDER"
    assert "SystemExit" in str(error)


def test_a_credential_process_that_hangs_is_ended_with_what_it_started(
    aws, configure, tmp_path, monkeypatch
):
    pids = tmp_path / "pids"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $$ >> {pids}\nsleep 300 &\necho $! >> {pids}\nwait\n")
    program.chmod(0o755)
    configure(f"[profile p]\ncredential_process = {program}\n")
    with pytest.raises(CredentialError) as failed:
        keys_of(impatient(aws, 3.0, profile="p"))  # a busy machine starts it late
    assert failed.value.code == "CREDENTIAL_TIMEOUT"
    assert "profile 'p'" in str(failed.value)
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in started):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def test_a_credential_process_that_asks_finds_no_input(aws, configure, monkeypatch):
    read_end, write_end = os.pipe()  # what a worker's standard input may be: open, and silent
    stdin = os.dup(0)
    os.dup2(read_end, 0)
    try:
        configure("[profile p]\ncredential_process = sh -c 'read code && echo {}'\n")
        error = refused(connect(aws, SOON, profile="p"))
    finally:
        os.dup2(stdin, 0)
        for end in (read_end, write_end, stdin):
            os.close(end)
    assert error.code == "CREDENTIAL_NOT_FOUND"
    assert "exit code 1" in str(error)


def test_a_credential_process_that_prints_for_ever_is_ended(aws, configure):
    configure("[profile p]\ncredential_process = yes\n")
    error = refused(connect(aws, SOON, profile="p"))
    assert error.code == "CREDENTIAL_NOT_FOUND"
    assert "printed over" in str(error)


def test_a_credential_process_gives_keys(aws, owner, configure, tmp_path):
    keys = {"AccessKeyId": owner.access_key, "SecretAccessKey": owner.secret_key}
    (tmp_path / "keys.json").write_text(json.dumps({"Version": 1, **keys}))
    configure(f"[profile p]\ncredential_process = cat {tmp_path}/keys.json\n")
    assert connect(aws, profile="p").describe(CLICKS).status == "ACTIVE"


def with_source(owner, more: str, profile: str = "p") -> str:
    return (
        f"[profile {profile}]\nrole_arn = {ROLE}\nsource_profile = q\n{more}\n[profile q]\n"
        f"aws_access_key_id = {owner.access_key}\naws_secret_access_key = {owner.secret_key}\n"
    )


def test_a_profile_that_needs_an_mfa_code_prompts_nobody(aws, owner, configure, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or "123456")
    configure(with_source(owner, "mfa_serial = arn:aws:iam::222222222222:mfa/me"))
    error = refused(connect(aws, SOON, profile="p"))
    assert error.code == "CREDENTIAL_INTERACTIVE"
    assert "'arn:aws:iam::222222222222:mfa/me'" in str(error)
    assert asked == []


def test_an_mfa_code_of_a_profile_that_is_only_a_source_prompts_nobody(aws, owner, configure):
    configure(
        with_source(owner, "mfa_serial = arn:aws:iam::222222222222:mfa/me")
        + f"[profile outer]\nrole_arn = {ROLE}\nsource_profile = p\n"
    )
    assert refused(connect(aws, SOON, profile="outer")).code == "CREDENTIAL_INTERACTIVE"


SSO = "sso_account_id = 222222222222\nsso_role_name = reader\n"


@pytest.mark.parametrize(
    "profile",
    [
        f"[profile p]\nsso_start_url = https://x\nsso_region = us-east-1\n{SSO}",
        f"[profile p]\nsso_session = s\n{SSO}"
        "[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x\n",
    ],
    ids=["legacy", "session"],
)
def test_a_login_at_a_browser_is_not_waited_for(aws, configure, profile, tmp_path, monkeypatch):
    configure(profile)
    error = refused(connect(aws, SOON, profile="p"))
    assert error.code == "CREDENTIAL_INTERACTIVE"
    assert "SSO login of profile 'p'" in str(error)
    assert "aws sso login" in error.hint


SETTINGS, NOT_FOUND = "CREDENTIAL_SETTINGS", "CREDENTIAL_NOT_FOUND"
LOOP = f"role_arn = {ROLE}\nsource_profile = q\n[profile q]\nrole_arn = {ROLE}\nsource_profile = p"
BOTH = f"role_arn = {ROLE}\ncredential_source = Environment\nsource_profile = q"
PROCESS = "The credential_process of profile 'p'"


@pytest.mark.parametrize(
    ("code", "names", "profile"),
    [
        (NOT_FOUND, PROCESS, "credential_process = echo hello"),
        (NOT_FOUND, PROCESS, "credential_process = echo []"),
        (NOT_FOUND, PROCESS, "credential_process = echo null"),
        (NOT_FOUND, PROCESS, "credential_process = echo"),
        (NOT_FOUND, PROCESS, """credential_process = echo '{"Version": 1}'"""),
        (NOT_FOUND, PROCESS, """credential_process = echo '{"Version": 2}'"""),
        (NOT_FOUND, PROCESS, "credential_process = printf '\\377'"),
        (NOT_FOUND, PROCESS, 'credential_process = "unclosed'),
        (NOT_FOUND, PROCESS, "credential_process = /nonexistent/program"),
        (NOT_FOUND, PROCESS, "credential_process = /dev/null"),
        (NOT_FOUND, PROCESS, "credential_process = false"),
        (SETTINGS, "source_profile", f"role_arn = {ROLE}\nsource_profile = nobody"),
        (SETTINGS, "already", LOOP),
        (SETTINGS, "Moon", f"role_arn = {ROLE}\ncredential_source = Moon"),
        (SETTINGS, "both", BOTH),
        (NOT_FOUND, "The role_arn of profile 'p'", f"role_arn = {ROLE}"),
        (SETTINGS, "SSO", "sso_account_id = 222222222222"),
        (SETTINGS, '"nothing"', f"sso_session = nothing\n{SSO}"),
        ("CREDENTIAL_", "console login of profile 'p'", "login_session = arn:aws:iam::1:user/me"),
        (NOT_FOUND, "web identity", f"role_arn = {ROLE}\nweb_identity_token_file = /nonexistent"),
        (NOT_FOUND, "web identity", f"role_arn = {ROLE}\nweb_identity_token_file = /dev/null/x"),
    ],
)  # fmt: skip
def test_a_profile_that_cannot_give_credentials_says_what_failed(
    aws, configure, code, names, profile
):
    configure(f"[profile p]\n{profile}\n")
    began = time.monotonic()
    error = refused(connect(aws, RetryPolicy(20_000), profile="p"))
    assert error.code.startswith(code)
    assert names in str(error)
    assert time.monotonic() - began < 10, "nothing that stays as it is is repeated"


@pytest.mark.parametrize(
    ("code", "names", "environment"),
    [
        (NOT_FOUND, "container", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/x"}),
        (
            NOT_FOUND,
            "container",
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/x",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": "s3cr3t-of\nthe-container",
            },
        ),
        (
            NOT_FOUND,
            "container",
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/x",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nonexistent",
            },
        ),
        (NOT_FOUND, "environment", {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"}),
        (SETTINGS, "role ARN", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent"}),
        (SETTINGS, "metadata_service_timeout", {"AWS_METADATA_SERVICE_TIMEOUT": "soon"}),
        (SETTINGS, "metadata_service_num_attempts", {"AWS_METADATA_SERVICE_NUM_ATTEMPTS": "x"}),
        (SETTINGS, "bogus", {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "bogus"}),
    ],
)
def test_an_environment_that_cannot_give_credentials_says_what_failed(
    aws, monkeypatch, code, names, environment
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()
    error = refused(connect(aws, RetryPolicy(20_000)))
    assert error.code == code
    assert names in str(error)
    assert "s3cr3t" not in all_shown(error)
    assert time.monotonic() - began < 10


def test_a_shared_configuration_that_is_no_such_file(aws, tmp_path, monkeypatch):
    for content in (b"[default\nfoo", b"\xff\xfe\x00[default]\n"):
        (tmp_path / "config").write_bytes(content)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        error = refused(connect(aws))
        assert error.code == "CREDENTIAL_SETTINGS"
        assert "AWS_CONFIG_FILE" in error.hint


def test_an_sts_endpoint_that_is_no_url_is_an_error_of_the_role(aws, owner):
    keys = {"access_key": owner.access_key, "secret_key": Secret(owner.secret_key)}
    api = connect(aws, SOON, **keys, roles=(RoleSettings(ROLE),), sts_endpoint="http://[bad")
    error = refused(api)
    assert error.code == "CREDENTIAL_ASSUME_ROLE"
    assert "http://[bad" in str(error)


def test_a_setting_that_botocore_refuses_is_no_fault_of_the_endpoint(aws, owner, monkeypatch):
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "bogus")
    keys = {"access_key": owner.access_key, "secret_key": Secret(owner.secret_key)}
    error = refused(connect(aws, **keys))
    assert error.code == "CREDENTIAL_SETTINGS"
    assert "account_id_endpoint_mode" in str(error)


def test_keys_of_the_options_work_beside_an_sso_profile_that_is_not_complete(aws, owner, configure):
    configure(f"[default]\nsso_session = nothing\n{SSO}")
    keys = {"access_key": owner.access_key, "secret_key": Secret(owner.secret_key)}
    assert connect(aws, **keys).describe(CLICKS).status == "ACTIVE"


def test_an_sts_that_trickles_is_given_up(aws, owner):
    """The time-out of botocore is for each read: a byte now and then keeps it waiting for ever."""
    aws.faults.add("delay", operation="AssumeRole", delay_s=5)
    keys = {"access_key": owner.access_key, "secret_key": Secret(owner.secret_key)}
    identity = impatient(aws, 0.2, **keys, roles=(RoleSettings(ROLE),))
    began = time.monotonic()
    with pytest.raises(CredentialError) as failed:
        keys_of(identity)
    assert failed.value.code == "CREDENTIAL_ASSUME_ROLE"
    assert "OverdueError" in str(failed.value)
    assert time.monotonic() - began < 4
