"""Which of the user's AWS settings count, and the botocore sessions in which no others do.

Runs on driver and executors. The environment and the shared configuration of a machine say who the
user is, how AWS is reached from there and what the organisation demands of endpoints: that is
honoured. How often and how long something is tried, how fast it is asked, and how requests are
written is promised by this source, whatever a machine is set to: that is not left to them. D-0015
has the reason for each; a test compares it with the variables of the botocore installed.
"""

from __future__ import annotations

import re
from typing import Any, Final

import botocore.session
from botocore import exceptions as boto
from botocore.config import Config
from botocore.loaders import Loader

from kinesis_source.aws.failures import aws_text
from kinesis_source.errors import CredentialError

__all__ = [
    "FIXED",
    "HONOURED",
    "app_id_suffix",
    "endpoint_choices",
    "new_session",
    "unreadable_variable",
    "unusable",
]

HONOURED: Final = frozenset(
    {
        "account_id_endpoint_mode",
        "ca_bundle",
        "config_file",
        "credentials_file",
        "ec2_metadata_service_endpoint",
        "ec2_metadata_service_endpoint_mode",
        "ec2_metadata_v1_disabled",
        "ignore_configured_endpoint_urls",
        "imds_use_ipv6",
        "metadata_service_num_attempts",
        "metadata_service_timeout",
        "profile",
        "use_dualstack_endpoint",
        "use_fips_endpoint",
        "user_agent_appid",
    }
)
"""botocore's names of variables that the environment and the shared configuration decide."""

FIXED: Final[dict[str, Any]] = {
    "api_versions": {},
    "auth_scheme_preference": None,
    "csm_client_id": "",
    "csm_enabled": False,
    "csm_host": "127.0.0.1",
    "csm_port": 31000,
    "data_path": None,
    "defaults_mode": "legacy",
    "disable_host_prefix_injection": None,
    "disable_request_compression": True,
    "endpoint_discovery_enabled": False,
    "max_attempts": 1,
    "parameter_validation": True,
    "request_checksum_calculation": "when_required",
    "request_min_compression_size_bytes": 10240,
    "response_checksum_validation": "when_required",
    "retry_mode": "standard",
    "s3": None,
    "s3_disable_express_session_auth": None,
    "sigv4a_signing_region_set": None,
    # boto3 before 1.40 asked the global endpoint from some regions.
    "sts_regional_endpoints": "regional",
    "tcp_keepalive": True,
}
"""Values of those that are this source's to decide; ``region`` is the option's."""

# For what botocore itself asks on the way to credentials; the source's own clients say their own.
_CHAIN_CONFIG: Final = {
    "retries": {"total_max_attempts": 1, "mode": "standard"},
    "connect_timeout": 10,
    "read_timeout": 10,
}
# Sections of a profile in which botocore's clients look for a signature of their own.
_SECTIONS: Final = frozenset({"kinesis", "sts", "s3"})
_NO_APP_ID: Final = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_APP_ID_CHARS: Final = 50


class _Session(botocore.session.Session):  # type: ignore[misc]  # botocore has no types
    """A botocore session whose clients do not see what is fixed."""

    def get_scoped_config(self) -> dict[str, Any]:
        profile = super().get_scoped_config()
        return {
            name: value
            for name, value in profile.items()
            if name not in FIXED and name not in _SECTIONS
        }


class _NoTokens:
    """In place of botocore's bearer tokens: Kinesis and STS take signatures only.

    botocore looks for tokens whenever it makes a client, and fails where a profile's SSO session is
    not complete, even if keys are given.
    """

    def load_token(self, **_: Any) -> None:
        return None


def new_session(profile: str | None, region: str) -> botocore.session.Session:
    """Return a botocore session for a profile and a region.

    Raises
    ------
    CredentialError
        ``[CREDENTIAL_PROFILE]`` if the profile, or the one AWS_PROFILE names, does not exist;
        ``[CREDENTIAL_SETTINGS]`` if the shared configuration cannot be read.
    """
    session = _Session(profile=profile)
    # The session's own set_config_variable takes None for "not set", and asks the environment.
    config_store = session.get_component("config_store")
    for name, value in FIXED.items():
        config_store.set_config_variable(name, value)
    session.set_config_variable("region", region)
    session.set_default_client_config(Config(**_CHAIN_CONFIG))
    # Without ~/.aws/models: a model of Kinesis from there would change what is sent and parsed.
    loader = Loader(
        extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False
    )
    session.register_component("data_loader", loader)
    session.register_component("token_provider", _NoTokens())
    failure: CredentialError
    try:
        session.get_scoped_config()
    except boto.ProfileNotFound:
        failure = _unknown_profile(session, profile)
    # ConfigParseError, and what open() and the decoder raise.
    except (boto.BotoCoreError, OSError, ValueError) as error:
        failure = CredentialError(
            "CREDENTIAL_SETTINGS",
            f"The shared AWS configuration cannot be read: {type(error).__name__}.",
            "Check the files that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name "
            "(~/.aws/config, ~/.aws/credentials).",
        )
    else:
        return session
    raise failure


def endpoint_choices(endpoint_url: str | None) -> dict[str, Any]:
    """Return what a client's Config says of the kind of endpoint.

    An option that names the endpoint says all: FIPS or dual stack of the environment belongs to
    AWS's own endpoints, and botocore refuses both together.
    """
    if endpoint_url is None:
        return {}
    return {"use_fips_endpoint": False, "use_dualstack_endpoint": False}


def app_id_suffix(session: botocore.session.Session) -> str:
    """Return AWS_SDK_UA_APP_ID as it ends a user agent, "" if there is none."""
    app_id = session.get_config_variable("user_agent_appid")
    if not app_id:
        return ""
    return " app/" + _NO_APP_ID.sub("-", str(app_id).strip())[:_APP_ID_CHARS]


def unusable(error: Exception, place: str | None = None) -> CredentialError:
    """Return the error for a setting of the machine's that botocore does not take.

    Parameters
    ----------
    error : Exception
    place : str or None
        The setting, or the source of credentials that it belongs to, if that is known.
    """
    where = f" ({place})" if place is not None else ""
    return CredentialError(
        "CREDENTIAL_SETTINGS",
        "The AWS settings of this machine, environment variables AWS_... and shared "
        f"configuration, cannot be used{where}: {aws_text(error)}.",
        "Correct or remove the setting on the driver and on every executor.",
    )


def unreadable_variable(session: botocore.session.Session) -> str | None:
    """Return botocore's name of the first variable whose value cannot be read."""
    return next((name for name in sorted(HONOURED) if not _is_readable(session, name)), None)


def _is_readable(session: botocore.session.Session, name: str) -> bool:
    try:
        session.get_config_variable(name)
    except ValueError:
        return False
    return True


def _unknown_profile(session: botocore.session.Session, profile: str | None) -> CredentialError:
    named = profile if profile is not None else session.get_config_variable("profile")
    by = "option awsProfile" if profile is not None else "AWS_PROFILE"
    known = ", ".join(repr(name) for name in session.available_profiles) or "none"
    return CredentialError(
        "CREDENTIAL_PROFILE",
        f"The shared AWS configuration of this machine has no profile {named!r} (from {by}); it "
        f"has: {known}.",
        "Correct the name, or put the profile on the driver and on every executor.",
    )
