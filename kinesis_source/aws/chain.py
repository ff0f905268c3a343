"""botocore's own ways to find credentials: its default chain, or one profile.

Runs on driver and executors. The chain is asked anew when AWS calls what it found expired: a token
in the environment or in a file may have been replaced since. What botocore itself asks of STS here
(web identity, a profile's role) follows AWS_ENDPOINT_URL_STS, not the option stsEndpoint.
"""

from __future__ import annotations

from typing import Any

import botocore.session
from botocore import exceptions as boto

from kinesis_source.aws.failures import aws_text, credential_failure, quotable_cause
from kinesis_source.aws.renewal import FrozenKeys, Lease
from kinesis_source.aws.retry import CallFailedError, RetryPolicy
from kinesis_source.errors import CredentialError

__all__ = ["find_credentials", "new_session"]


def new_session(profile: str | None, region: str) -> botocore.session.Session:
    """Return a botocore session for a profile and a region.

    Raises
    ------
    CredentialError
        ``[CREDENTIAL_PROFILE]`` if the profile, or the one AWS_PROFILE names, does not exist.
    """
    session = botocore.session.Session(profile=profile)
    session.set_config_variable("region", region)
    # boto3 before 1.40 asked the global endpoint from some regions.
    session.set_config_variable("sts_regional_endpoints", "regional")
    try:
        session.get_scoped_config()
    except boto.ProfileNotFound:
        raise _unknown_profile(session, profile) from None
    except boto.BotoCoreError as error:
        raise CredentialError(
            "CREDENTIAL_PROFILE",
            f"The shared AWS configuration cannot be read: {type(error).__name__}.",
            "Check the files that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name "
            "(~/.aws/config, ~/.aws/credentials).",
        ) from None
    return session


def find_credentials(profile: str | None, region: str, policy: RetryPolicy) -> Lease:
    """Ask a profile, or botocore's default chain, for credentials.

    Raises
    ------
    CredentialError
        ``[CREDENTIAL_PROFILE]``, ``[CREDENTIAL_NOT_FOUND]``, or what AWS said on the way.
    """
    session = new_session(profile, region)
    resolver = session.get_component("credential_provider")
    found = _ask(resolver.load_credentials, profile, policy)
    if found is None:
        looked_at = ", ".join(str(provider.METHOD) for provider in resolver.providers)
        where = f"The profile {profile!r} holds" if profile is not None else "There are"
        raise CredentialError(
            "CREDENTIAL_NOT_FOUND",
            f"{where} no AWS credentials; looked at: {looked_at}.",
            "Give the machine a role, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where driver "
            "and executors run, or use the options for keys, awsProfile or credentialsProvider.",
        )

    def freeze() -> FrozenKeys:
        # botocore renews these itself, and may call STS, SSO or the metadata service here.
        keys = _ask(found.get_frozen_credentials, profile, policy)
        return FrozenKeys(
            keys.access_key, keys.secret_key, keys.token, getattr(keys, "account_id", None)
        )

    return Lease(freeze)


def _ask(function: Any, profile: str | None, policy: RetryPolicy) -> Any:
    try:
        return policy.run(function, lambda _: False)
    except CallFailedError as failed:
        raise _chain_failure(failed, profile) from _cause(failed.error)
    except RuntimeError:
        # botocore 1.44.5, RefreshableCredentials: what was refreshed is expired already.
        raise CredentialError(
            "CREDENTIAL_EXPIRED",
            f"{_origin(profile)} gave credentials that have expired already.",
            "Check the clock of this machine and the source of the credentials.",
        ) from None


def _chain_failure(failed: CallFailedError, profile: str | None) -> CredentialError:
    error = failed.error
    if isinstance(error, boto.ProfileNotFound):
        return CredentialError(
            "CREDENTIAL_PROFILE", f"{aws_text(error)}.", "Correct source_profile or awsProfile."
        )
    if isinstance(error, boto.ClientError):
        what = f"{error.operation_name}, {failed.attempts} tries in {failed.elapsed_s:.1f} s"
        keys = credential_failure(error, what, "of the base identity")
        return keys or CredentialError(
            "CREDENTIAL_ASSUME_ROLE",
            f"{_origin(profile)} could not get credentials ({what}): {aws_text(error)}.",
            "Check the role, its trust policy and the token that botocore's configuration names.",
        )
    detail = aws_text(error) if _is_quotable(error) else type(error).__name__
    return CredentialError(
        "CREDENTIAL_NOT_FOUND",
        f"{_origin(profile)} failed to get credentials after {failed.elapsed_s:.1f} s: {detail}.",
        "Check that source of credentials with 'aws sts get-caller-identity' on the same machine.",
    )


def _is_quotable(error: Exception) -> bool:
    # CredentialRetrievalError quotes what a credential_process printed.
    return not isinstance(error, boto.CredentialRetrievalError)


def _cause(error: Exception) -> Exception | None:
    return quotable_cause(error) if _is_quotable(error) else None


def _origin(profile: str | None) -> str:
    return f"The profile {profile!r}" if profile is not None else "botocore's default chain"


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
