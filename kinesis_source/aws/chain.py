"""botocore's own ways to find credentials, its default chain or one profile, made fit for workers.

Runs on driver and executors. Nobody is there to be asked: what prompts or needs a person to log in
is refused, and whatever takes too long is left behind. Each source that is found and fails becomes
a CredentialError that names it. The chain is asked anew when AWS calls what it found expired or
unknown: a key in the environment or in a file may have been replaced since. What botocore itself
asks of STS here (web identity, a profile's role) follows AWS_ENDPOINT_URL_STS, not the option
stsEndpoint.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

from botocore import exceptions as boto

from kinesis_source.aws.bounded import SOURCE_TIMEOUT_S, BoundedCall, OverdueError, answers_at_once
from kinesis_source.aws.failures import aws_text, credential_failure, quotable_cause
from kinesis_source.aws.keys import FrozenKeys, KeyCheck
from kinesis_source.aws.process import BoundedProcess
from kinesis_source.aws.renewal import Lease
from kinesis_source.aws.retry import CallFailedError, RetryPolicy
from kinesis_source.aws.user_settings import new_session, unreadable_variable, unusable
from kinesis_source.errors import CredentialError

__all__ = ["CredentialChain"]

_T = TypeVar("_T")

# botocore's METHOD of a provider, as its place reads in a sentence.
_PLACES: Final = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "assume-role": "the role_arn of {profile}",
    "assume-role-with-web-identity": "the web identity (AWS_WEB_IDENTITY_TOKEN_FILE or {profile})",
    "sso": "the SSO login of {profile}",
    "login": "the console login of {profile}",
    "shared-credentials-file": "{profile} in the shared credentials file",
    "custom-process": "the credential_process of {profile}",
    "config-file": "{profile} in the shared configuration file",
    "container-role": "the container (AWS_CONTAINER_CREDENTIALS_...)",
    "iam-role": "the instance's metadata service",
}
# botocore's errors whose remedy is a person at a browser. Older releases lack some of them.
_LOGIN_ERRORS: Final = tuple(
    getattr(boto, name)
    for name in ("SSOError", "SSOTokenLoadError", "TokenRetrievalError", "LoginError")
    if hasattr(boto, name)
)
_SETTING_ERRORS: Final = (
    boto.InvalidConfigError,
    boto.InvalidRegionError,
    boto.InvalidRetryModeError,
)
# The key variables that botocore's EnvProvider reads.
_KEY_VARIABLES: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
)


class CredentialChain:
    """A profile, or botocore's default chain. Thread-safe.

    Parameters
    ----------
    profile : str or None
    region : str
    policy : RetryPolicy
        For what is asked over the network.
    timeout_s : float, seconds
        For one answer of one source.
    """

    def __init__(
        self,
        profile: str | None,
        region: str,
        policy: RetryPolicy,
        timeout_s: float = SOURCE_TIMEOUT_S,
    ) -> None:
        self._profile = profile
        self._region = region
        self._policy = policy
        self._timeout_s = timeout_s
        # What is being asked, for messages: one look is under way at a time.
        self._at = _origin(profile)
        self._look = BoundedCall(self._walk, "kinesis-source-chain")

    @property
    def place(self) -> str:
        """What was asked last: what gave the credentials, once they are there."""
        return self._at

    def obtain(self) -> Lease:
        """Look for credentials.

        Raises
        ------
        CredentialError
            ``[CREDENTIAL_PROFILE]``, ``[CREDENTIAL_NOT_FOUND]``, ``[CREDENTIAL_INTERACTIVE]``,
            ``[CREDENTIAL_TIMEOUT]``, ``[CREDENTIAL_SETTINGS]``, or what AWS said on the way.
        """
        found, place = self._ask(self._look)
        check = KeyCheck(place)
        renewal = BoundedCall(found.get_frozen_credentials, "kinesis-source-renewal")

        def freeze() -> FrozenKeys:
            # botocore renews these itself, and may call STS, SSO or the metadata service here.
            keys = found if answers_at_once(found) else None
            frozen = keys.get_frozen_credentials() if keys else self._ask(renewal, place)
            return check(
                frozen.access_key,
                frozen.secret_key,
                frozen.token,
                getattr(frozen, "account_id", None),
            )

        return Lease(freeze)

    def _walk(self) -> tuple[Any, str]:
        """Return the first credentials of the chain, and their place."""
        self._at = _origin(self._profile)
        session = new_session(self._profile, self._region)
        profile = f"profile {session.get_config_variable('profile') or 'default'!r}"
        resolver = _resolver(session)
        _leave_unattended(resolver, self._timeout_s)
        for provider in resolver.providers:
            method = str(provider.METHOD)
            self._at = _PLACES.get(method, f"botocore's source {method}").format(profile=profile)
            found = provider.load()
            if found is not None:
                return found, self._at
        looked_at = ", ".join(str(provider.METHOD) for provider in resolver.providers)
        named = self._profile is not None
        where = f"The profile {self._profile!r} holds" if named else "There are"
        raise CredentialError(
            "CREDENTIAL_NOT_FOUND",
            f"{where} no AWS credentials; looked at: {looked_at}.",
            "Give the machine a role, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where driver "
            "and executors run, or use the options for keys, awsProfile or credentialsProvider.",
        )

    def _ask(self, call: BoundedCall[_T], place: str | None = None) -> _T:
        """Ask a source, again where that can help."""
        cause: Exception | None = None
        try:
            return self._policy.run(lambda: self._try(call, place), lambda _: False)
        except CallFailedError as failed:
            failure = _call_failure(failed, place or self._at)
            cause = quotable_cause(failed.error) if _is_quotable(failed.error) else None
        except CredentialError as error:
            failure = error
        # A source may raise anything: KeyError for a reply that lacks a member, JSON's errors for a
        # program that prints none, errors of plug-ins.
        except Exception as error:  # noqa: BLE001
            failure = _odd_failure(error, place or self._at)
        raise failure from cause

    def _try(self, call: BoundedCall[_T], place: str | None) -> _T:
        try:
            return call.ask(self._timeout_s)
        except OverdueError as overdue:
            failure = _overdue(place or self._at, overdue)
        except UnicodeError as error:
            # Of a program or a file: no reply that was cut, which would be asked for again.
            failure = _odd_failure(error, place or self._at)
        raise failure


def _resolver(session: Any) -> Any:
    try:
        return session.get_component("credential_provider")
    # botocore reads numbers of the environment here.
    except (boto.BotoCoreError, ValueError, TypeError) as error:
        failure = unusable(error, unreadable_variable(session))
    raise failure


def _leave_unattended(resolver: Any, timeout_s: float) -> None:
    """Take from botocore's providers what asks a person or waits without end."""

    def bounded(providers: list[Any]) -> list[Any]:
        for provider in providers:
            method = str(provider.METHOD)
            if method == "custom-process":
                provider._popen = _popen_for(provider._profile_name, timeout_s)
            elif method == "env":
                provider.environ = {**os.environ, **_stripped_keys()}
        return providers

    for provider in bounded(resolver.providers):
        if str(provider.METHOD) == "assume-role":
            provider._prompter = _refuse_prompt
            # The environment again, for credential_source.
            bounded(provider._credential_sourcer._providers)
            builder = provider._profile_provider_builder
            # Of a source_profile: made when it is looked at.
            of_profile = builder.providers
            builder.providers = lambda *args, _of=of_profile, **more: bounded(_of(*args, **more))


def _popen_for(profile: str, timeout_s: float) -> Callable[..., BoundedProcess]:
    return lambda command, **_: BoundedProcess(command, timeout_s, profile)


def _stripped_keys() -> dict[str, str]:
    """Return the key variables without the line break that a secret store may have added."""
    return {name: os.environ[name].strip() for name in _KEY_VARIABLES if name in os.environ}


def _refuse_prompt(prompt: str) -> NoReturn:
    serial = prompt.rpartition(" for ")[2].strip(": ")
    raise CredentialError(
        "CREDENTIAL_INTERACTIVE",
        f"A profile of the shared AWS configuration asks for a code of the MFA device {serial!r}, "
        "and nobody can be asked in Spark's processes.",
        "Get a session with the code outside and give its keys and token, or use a profile or role "
        "that needs no MFA.",
    )


def _call_failure(failed: CallFailedError, place: str) -> CredentialError:
    error = failed.error
    tries = "1 try" if failed.attempts == 1 else f"{failed.attempts} tries"
    if isinstance(error, _LOGIN_ERRORS):
        return CredentialError(
            "CREDENTIAL_INTERACTIVE",
            f"{_subject(place)} has no session that holds: {aws_text(error)}.",
            "Log in ('aws sso login' or 'aws login') on every machine of the cluster, or better "
            "use what needs nobody: roleArn, keys, or the role of the machine.",
        )
    if isinstance(error, boto.ProfileNotFound):
        return CredentialError(
            "CREDENTIAL_PROFILE", f"{aws_text(error)}.", "Correct source_profile or awsProfile."
        )
    operation = getattr(error, "operation_name", "")
    what = f"{place}, {operation + ', ' if operation else ''}{tries} in {failed.elapsed_s:.1f} s"
    keys = credential_failure(error, what, "of the base identity")
    if keys is not None:
        return keys
    if isinstance(error, boto.ClientError):
        return CredentialError(
            "CREDENTIAL_ASSUME_ROLE",
            f"{_subject(place)} could not get credentials ({what}): {aws_text(error)}.",
            "Check the role, its trust policy and the token that botocore's configuration names.",
        )
    if isinstance(error, _SETTING_ERRORS):
        return unusable(error, place)
    detail = aws_text(error) if _is_quotable(error) else type(error).__name__
    return CredentialError(
        "CREDENTIAL_NOT_FOUND",
        f"{_subject(place)} failed to give credentials after {failed.elapsed_s:.1f} s: {detail}.",
        "Check that source of credentials with 'aws sts get-caller-identity' on the same machine.",
    )


def _odd_failure(error: Exception, place: str) -> CredentialError:
    """Return the error for what no library says it raises; its text may quote anything."""
    if isinstance(error, RuntimeError) and "expired" in str(error):
        # botocore 1.44.5, RefreshableCredentials: what was refreshed is expired already.
        return CredentialError(
            "CREDENTIAL_EXPIRED",
            f"{_subject(place)} gave credentials that have expired already.",
            "Check the clock of this machine and the source of the credentials.",
        )
    return CredentialError(
        "CREDENTIAL_NOT_FOUND",
        f"{_subject(place)} gave something that is no answer of such a source "
        f"({type(error).__name__}; its text may hold a secret and is not shown).",
        "Check that source of credentials with 'aws sts get-caller-identity' on the same machine.",
    )


def _overdue(place: str, overdue: OverdueError) -> CredentialError:
    return CredentialError(
        "CREDENTIAL_TIMEOUT",
        f"{_subject(place)} gave no credentials within {overdue.timeout_s:g} s.",
        "Check that source of credentials with 'aws sts get-caller-identity' on the same machine.",
    )


def _is_quotable(error: Exception) -> bool:
    # CredentialRetrievalError quotes what a credential_process or a container printed.
    return not isinstance(error, (boto.CredentialRetrievalError, boto.MetadataRetrievalError))


def _origin(profile: str | None) -> str:
    return f"the profile {profile!r}" if profile is not None else "botocore's default chain"


def _subject(place: str) -> str:
    return place if place.startswith("botocore") else place[0].upper() + place[1:]
