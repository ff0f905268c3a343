"""The machine's AWS settings: what is fixed has no effect on calls, what is honoured has one."""

from __future__ import annotations

import json
import socket
import textwrap

import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES

from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import ClientSettings, IdentitySettings, RoleSettings
from tests.unit.aws.identity_support import CLICKS, PATIENT, REGION, connect, refused

ONCE = RetryPolicy(0)
FIXED = [
    "api_versions",
    "auth_scheme_preference",
    "csm_client_id",
    "csm_enabled",
    "csm_host",
    "csm_port",
    "data_path",
    "defaults_mode",
    "disable_host_prefix_injection",
    "disable_request_compression",
    "endpoint_discovery_enabled",
    "max_attempts",
    "parameter_validation",
    "region",
    "request_checksum_calculation",
    "request_min_compression_size_bytes",
    "response_checksum_validation",
    "retry_mode",
    "s3_disable_express_session_auth",
    "sigv4a_signing_region_set",
    "sts_regional_endpoints",
    "tcp_keepalive",
]


@pytest.fixture
def aws(kinesis_emulator):
    kinesis_emulator.account("222222222222").create_stream("clicks")
    return kinesis_emulator


@pytest.fixture
def keys(aws):
    owner = aws.account("222222222222").create_user("owner")
    return {"access_key": owner.access_key, "secret_key": Secret(owner.secret_key)}


@pytest.fixture
def role(aws):
    return aws.account("222222222222").create_role("reader", trusts=["*"])


@pytest.fixture
def configure(tmp_path, monkeypatch):
    def write(text: str) -> None:
        (tmp_path / "config").write_text(textwrap.dedent(text))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    return write


def client_without_endpoint(keys) -> BotoStreamApi:
    return BotoStreamApi(ClientSettings(REGION, None, IdentitySettings(**keys)), PATIENT)


@pytest.mark.parametrize("name", FIXED)
def test_what_is_fixed_may_be_set_to_nonsense(aws, keys, role, configure, monkeypatch, name):
    """In the environment and in the shared configuration, for Kinesis and for STS."""
    in_file, in_environment, *_ = BOTOCORE_DEFAUT_SESSION_VARIABLES[name]
    if in_environment is not None:
        monkeypatch.setenv(in_environment, "/non sense/")
    if in_file is not None:
        configure(f"[default]\n{in_file} = /non sense/\n")
    api = connect(aws, **keys, roles=(RoleSettings(role.arn),))
    assert api.describe(CLICKS).status == "ACTIVE"


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_botocore_repeats_nothing_by_itself(aws, keys, configure, monkeypatch, mode):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "4")
    monkeypatch.setenv("AWS_RETRY_MODE", mode)
    configure("[default]\nmax_attempts = 4\nretry_mode = adaptive\n")
    aws.faults.add("throttle", operation="DescribeStreamSummary")
    api = connect(aws, ONCE, **keys)
    assert "1 try" in str(refused(api))
    assert len(aws.call_log("DescribeStreamSummary")) == 1
    assert api._caller.connect().client.meta.config.retries["mode"] == "standard"


def test_botocore_repeats_nothing_on_the_way_to_credentials(
    aws, keys, role, configure, monkeypatch
):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "4")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.endpoint_url)
    configure(
        f"""\
        [profile p]
        role_arn = {role.arn}
        source_profile = q
        [profile q]
        aws_access_key_id = {keys["access_key"]}
        aws_secret_access_key = {keys["secret_key"].reveal()}
        """
    )
    aws.faults.add("sts_failure", operation="AssumeRole")
    refused(connect(aws, ONCE, profile="p"))
    assert len(aws.call_log("AssumeRole")) == 1


def test_a_model_of_kinesis_from_elsewhere_is_not_used(aws, keys, tmp_path, monkeypatch):
    folder = tmp_path / "models" / "kinesis" / "2013-12-02"
    folder.mkdir(parents=True)
    (folder / "service-2.json").write_text(json.dumps({"metadata": {}, "operations": {}}))
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path / "models"))
    assert connect(aws, **keys).describe(CLICKS).status == "ACTIVE"


def test_a_signature_version_of_a_profiles_section_is_not_used(aws, keys, role, configure):
    configure(
        """\
        [default]
        kinesis =
          signature_version = v2
        sts =
          signature_version = v2
        """
    )
    api = connect(aws, **keys, roles=(RoleSettings(role.arn),))
    assert api.describe(CLICKS).status == "ACTIVE"


def test_parameters_are_checked_whatever_is_configured(aws, keys, configure):
    configure("[default]\nparameter_validation = false\n")
    error = refused(connect(aws, ONCE, **keys, roles=(RoleSettings("reader"),)))
    assert "ParamValidationError" in str(error)


def test_no_call_is_told_to_a_monitor(aws, keys, monkeypatch):
    """It would be sent access key id and session token, in plain text."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as monitor:
        monitor.bind(("127.0.0.1", 0))
        monitor.settimeout(0.2)
        monkeypatch.setenv("AWS_CSM_ENABLED", "true")
        monkeypatch.setenv("AWS_CSM_PORT", str(monitor.getsockname()[1]))
        assert connect(aws, **keys).describe(CLICKS).status == "ACTIVE"
        with pytest.raises(TimeoutError):
            monitor.recv(10_000)


@pytest.mark.parametrize("name", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
def test_an_endpoint_that_is_named_is_taken_as_it_is(aws, keys, role, monkeypatch, name):
    monkeypatch.setenv(name, "true")
    api = connect(aws, **keys, roles=(RoleSettings(role.arn),))
    assert api.describe(CLICKS).status == "ACTIVE"


@pytest.mark.parametrize(
    ("name", "value", "host"),
    [
        ("AWS_USE_FIPS_ENDPOINT", "true", "https://kinesis-fips.us-east-1.amazonaws.com"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "true", "https://kinesis.us-east-1.api.aws"),
        ("AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:9", "http://127.0.0.1:9"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "http://127.0.0.1:9"),
    ],
)
def test_aws_endpoints_are_chosen_as_the_environment_says(keys, monkeypatch, name, value, host):
    monkeypatch.setenv(name, value)
    assert client_without_endpoint(keys)._caller.connect().client.meta.endpoint_url == host


def test_configured_endpoints_can_be_switched_off(keys, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    url = client_without_endpoint(keys)._caller.connect().client.meta.endpoint_url
    assert url == "https://kinesis.us-east-1.amazonaws.com"


def test_a_bundle_of_certificates_is_used(keys, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", "/company/certificates.pem")
    client = client_without_endpoint(keys)._caller.connect().client
    assert client._endpoint.http_session._verify == "/company/certificates.pem"


def test_a_bundle_of_certificates_that_is_missing_is_told_at_once(keys, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        settings = ClientSettings(REGION, url, IdentitySettings(**keys))
        error = refused(BotoStreamApi(settings, RetryPolicy(20_000)))
    assert error.code == "SERVICE_ENDPOINT"
    assert "1 try" in str(error)
    assert "AWS_CA_BUNDLE" in error.hint


def test_the_users_application_id_ends_the_user_agent(aws, keys, monkeypatch):
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "nightly run\n")
    api = connect(aws, **keys)
    sent = []
    events = api._caller.connect().client.meta.events
    events.register("before-send.kinesis", lambda request, **_: sent.append(request.headers))
    api.describe(CLICKS)
    agent = sent[0]["User-Agent"]
    agent = agent.decode() if isinstance(agent, bytes) else agent
    assert agent.startswith("kinesis-source/")
    assert agent.endswith(" app/nightly-run")
