"""Who calls AWS: a base identity, and roles assumed over it one after the other.

Runs on driver and executors alike: settings travel, credentials never do. In: IdentitySettings.
Out: an :class:`Identity` with a botocore session whose credentials renew themselves, or a
CredentialError that says who could not become what. Calls STS, and whatever botocore's default
chain asks (environment, files, container, instance).
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlsplit

import botocore.session
from botocore import exceptions as boto
from botocore.config import Config

from kinesis_source.aws.bounded import SOURCE_TIMEOUT_S, BoundedCall
from kinesis_source.aws.chain import CredentialChain
from kinesis_source.aws.clock import ServerClock
from kinesis_source.aws.databricks import service_credential
from kinesis_source.aws.failures import (
    aws_text,
    credential_failure,
    error_code,
    mask_access_key,
    quotable_cause,
)
from kinesis_source.aws.keys import KeyCheck
from kinesis_source.aws.provider import CredentialProvider
from kinesis_source.aws.redaction import redact
from kinesis_source.aws.renewal import Lease, RenewingCredentials
from kinesis_source.aws.replies import bound_replies
from kinesis_source.aws.retry import CallFailedError, IncompleteReplyError, RetryPolicy
from kinesis_source.aws.signing import SigningClock, sign_by
from kinesis_source.aws.timestamps import lifetime_s
from kinesis_source.aws.user_settings import endpoint_choices, new_session, unusable
from kinesis_source.errors import CredentialError
from kinesis_source.options.aws_hosts import is_aws_host
from kinesis_source.options.settings import IdentitySettings, RoleSettings

__all__ = ["Identity", "build_session", "is_aws_url", "make_session_name"]

# AWS's default for AssumeRole, and the most it allows for a role assumed by a role.
_DURATION_S: Final = 3600
_STS_TIMEOUT_S: Final = 10
_WHO_TIMEOUT_S: Final = 2


def build_session(
    identity: IdentitySettings, region: str, policy: RetryPolicy | None = None
) -> botocore.session.Session:
    """Return a botocore session that signs as the identity; see :class:`Identity`."""
    return Identity(identity, region, policy).session


class Identity:
    """The last link of the chain that the settings ask for. Thread-safe, asks nothing until used.

    Parameters
    ----------
    settings : IdentitySettings
    region : str
        Whose STS endpoint is asked, unless the settings or botocore's own configuration
        (``AWS_ENDPOINT_URL_STS``, ``AWS_ENDPOINT_URL``) name another one.
    policy : RetryPolicy or None
        For calls to STS.
    is_aws : bool
        Whether Kinesis itself is AWS's. With an emulator, AWS's own STS is not asked who the caller
        is: it knows nothing of the emulator's keys.
    source_timeout_s : float, seconds
        How long a provider, a source of botocore's chain or STS may take for one answer.
    """

    def __init__(
        self,
        settings: IdentitySettings,
        region: str,
        policy: RetryPolicy | None = None,
        *,
        is_aws: bool = True,
        source_timeout_s: float = SOURCE_TIMEOUT_S,
    ) -> None:
        self._policy = policy or RetryPolicy(budget_ms=60_000)
        base, self._source = _base(settings, region, self._policy, source_timeout_s)
        link = _Link(base, settings, region, is_aws=is_aws)
        for role in settings.roles:
            obtained = _assumed(role, link, self._policy, source_timeout_s)
            link = _Link(obtained, settings, region, is_aws=is_aws)
        self._link = link

    @property
    def session(self) -> botocore.session.Session:
        """The botocore session; its credentials renew themselves."""
        return self._link.session

    @property
    def source(self) -> str:
        """Where the base credentials come from, for a message."""
        return self._source()

    def renew(self, used_s: float) -> bool:
        """Replace credentials that AWS called expired or unknown, see RenewingCredentials.renew."""
        return self._link.credentials.renew(used_s)

    def who(self) -> str:
        """Return the caller for a message: its ARN, or what is known without STS. Never raises."""
        return self._link.who()

    def account(self) -> str | None:
        """Return the caller's account, None if STS does not tell. Never raises."""
        arn = self._link.arn()
        return arn.split(":")[4] if arn is not None and arn.count(":") >= 5 else None

    def masked_access_key(self) -> str:
        """Return the access key id in use for a message. Never raises."""
        return self._link.masked_access_key()


class _Link:
    """Credentials, the session that signs with them, and the STS client for the next link."""

    def __init__(
        self,
        credentials: RenewingCredentials,
        settings: IdentitySettings,
        region: str,
        *,
        is_aws: bool,
    ) -> None:
        self.credentials = credentials
        self._endpoint = settings.sts_endpoint
        self._is_aws = is_aws
        self._profile = settings.profile
        self._region = region
        self._lock = threading.RLock()
        self._sts: Any = None
        self.signing = SigningClock(ServerClock())
        self._arn: str | None = None

    @cached_property
    def session(self) -> botocore.session.Session:
        session = new_session(self._profile, self._region)
        session.register_component("credential_provider", _Resolver(self.credentials))
        return session

    def sts(self) -> Any:
        """Return the STS client that signs with these credentials."""
        with self._lock:
            if self._sts is None:
                self._sts = self._make_sts(_STS_TIMEOUT_S)
            return self._sts

    def _make_sts(self, timeout_s: float, **keys: str | None) -> Any:
        config = Config(
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=timeout_s,
            read_timeout=timeout_s,
            tcp_keepalive=True,
            **endpoint_choices(self._endpoint),
        )
        try:
            client = self.session.create_client(
                "sts", region_name=self._region, endpoint_url=self._endpoint, config=config, **keys
            )
        except CredentialError:
            raise
        # botocore raises ValueError for a URL it cannot read, and others for other settings.
        except (boto.BotoCoreError, ValueError, TypeError, AttributeError, OSError) as error:
            failure = self._no_sts(error)
        else:
            sign_by(client, self.signing)
            bound_replies(client)
            return client
        raise failure

    def _no_sts(self, error: Exception) -> CredentialError:
        if not isinstance(error, (boto.InvalidRegionError, ValueError)):
            return unusable(error)
        at = self._endpoint or "AWS's own endpoint"
        return CredentialError(
            "CREDENTIAL_ASSUME_ROLE",
            f"STS cannot be asked in region {self._region!r} at {redact(at)}: {aws_text(error)}.",
            "Check region and stsEndpoint, or AWS_ENDPOINT_URL_STS and AWS_ENDPOINT_URL.",
        )

    def arn(self) -> str | None:
        """Ask STS once who this is, with the keys at hand; None if that fails."""
        if self._arn is None:
            try:
                self._arn = self._ask_arn()
            # Best effort: this only adds to the text of another error, which must not get lost.
            except Exception:  # noqa: BLE001
                return None
        return self._arn

    def _ask_arn(self) -> str | None:
        keys = self.credentials.held_keys()
        if keys is None:
            return None
        client = self._make_sts(
            _WHO_TIMEOUT_S,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.token,
        )
        try:
            if not self._is_aws and is_aws_url(client.meta.endpoint_url):
                return None
            reply = RetryPolicy(0).run(
                client.get_caller_identity, lambda _: False, sign_anew=self.signing.is_another
            )
            arn = reply.get("Arn")
        finally:
            client.close()
        return arn if isinstance(arn, str) else None

    def who(self) -> str:
        return self.arn() or f"The owner of access key {self.masked_access_key()}"

    def masked_access_key(self) -> str:
        try:
            keys = self.credentials.held_keys()
        except CredentialError:
            keys = None
        return mask_access_key(keys.access_key) if keys is not None else "unknown"


class _Resolver:
    """What botocore's session asks for credentials."""

    def __init__(self, credentials: RenewingCredentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> RenewingCredentials:
        return self._credentials


def _base(
    settings: IdentitySettings, region: str, policy: RetryPolicy, timeout_s: float
) -> tuple[RenewingCredentials, Callable[[], str]]:
    """Return the base credentials, and what says where they come from."""
    if settings.access_key is not None and settings.secret_key is not None:
        keys = RenewingCredentials(_lease_of_keys(settings), "kinesis-source-keys", policy.clock)
        return keys, lambda: "the options awsAccessKey and awsSecretKey"
    if settings.service_credential is not None:
        name = settings.service_credential
        service = CredentialProvider(name, timeout_s, service_credential)
        found = RenewingCredentials(service.obtain, "kinesis-source-service", policy.clock)
        return found, lambda: f"the service credential {name!r}"
    if settings.provider is not None:
        given = settings.provider
        provider = CredentialProvider(given, timeout_s)
        found = RenewingCredentials(provider.obtain, "kinesis-source-provider", policy.clock)
        return found, lambda: f"the credentialsProvider {given!r}"
    chain = CredentialChain(settings.profile, region, policy, timeout_s)
    found = RenewingCredentials(lambda _: chain.obtain(), "kinesis-source-chain", policy.clock)
    return found, lambda: chain.place


def _lease_of_keys(settings: IdentitySettings) -> Callable[[bool], Lease]:
    check = KeyCheck("the options")

    def obtain(_: bool) -> Lease:
        secret, token = settings.secret_key, settings.session_token
        keys = check(
            settings.access_key,
            secret.reveal() if secret is not None else None,
            token.reveal() if token is not None else None,
        )
        return Lease(lambda: keys)

    return obtain


def _assumed(
    role: RoleSettings, base: _Link, policy: RetryPolicy, timeout_s: float
) -> RenewingCredentials:
    request: dict[str, Any] = {
        "RoleArn": role.arn,
        "RoleSessionName": role.session_name or make_session_name(),
        "DurationSeconds": _DURATION_S,
    }
    if role.external_id is not None:
        request["ExternalId"] = role.external_id
    quick = RetryPolicy(0, sleep=policy.sleep, clock=policy.clock, random=policy.random)
    check = KeyCheck(f"STS, for the role {role.arn}")
    # botocore's time-outs are for each byte: an answer that trickles needs an end too.
    call = BoundedCall(lambda: _signed_anew(base, request), "kinesis-source-sts")

    def ask() -> Lease:
        # Takes its own time, and is at hand when STS is asked.
        base.credentials.get_frozen_credentials()
        return _lease(call.ask(timeout_s), check)

    def obtain(patient: bool) -> Lease:
        cause: Exception | None = None
        try:
            return (policy if patient else quick).run(ask, base.credentials.renew)
        except CallFailedError as failed:
            failure = _role_failure(failed, role, base)
            cause = quotable_cause(failed.error)
        raise failure from cause

    return RenewingCredentials(obtain, "kinesis-source-role", policy.clock)


def _signed_anew(base: _Link, request: dict[str, Any]) -> Any:
    """Call AssumeRole, and again where AWS refused the time of the signature.

    All of it in one thread: a SigningClock keeps what it signed by thread.
    """
    once = RetryPolicy(0)
    try:
        return once.run(
            lambda: base.sts().assume_role(**request),
            lambda _: False,
            sign_anew=base.signing.is_another,
        )
    except CallFailedError as failed:
        raise failed.error from None


def _lease(reply: dict[str, Any], check: KeyCheck) -> Lease:
    given = reply.get("Credentials") or {}
    metadata = reply.get("ResponseMetadata", {})
    headers = metadata.get("HTTPHeaders", {})
    for member in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"):
        if not given.get(member):
            raise IncompleteReplyError(
                member, metadata.get("RequestId"), headers.get("content-type", "")
            )
    keys = check(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    return Lease(lambda: keys, lifetime_s(given["Expiration"], headers.get("date")))


def _role_failure(failed: CallFailedError, role: RoleSettings, base: _Link) -> CredentialError:
    tries = "1 try" if failed.attempts == 1 else f"{failed.attempts} tries"
    endpoint = redact(base.sts().meta.endpoint_url)
    what = f"AssumeRole of {role.arn} at {endpoint}, {tries} in {failed.elapsed_s:.1f} s"
    keys = credential_failure(failed.error, what, base.masked_access_key())
    if keys is not None:
        return keys
    with_id = "without an external id"
    if role.external_id is not None:
        with_id = f"with external id {role.external_id!r}"
    if error_code(failed.error) in ("AccessDenied", "AccessDeniedException"):
        return CredentialError(
            "CREDENTIAL_ASSUME_ROLE",
            f"{base.who()} may not assume the role {role.arn} ({with_id}, {what}): "
            f"{aws_text(failed.error)}.",
            "The trust policy of the role must name that caller, the caller needs sts:AssumeRole "
            "on the role, and where the trust policy asks for sts:ExternalId, roleExternalId must "
            "be the same.",
        )
    hint = "Check roleArn and roleSessionName, and that STS can be reached from here (stsEndpoint)."
    if isinstance(failed.error, boto.ParamValidationError):
        hint = "Check roleArn, roleSessionName and roleExternalId: STS does not take their form."
    return CredentialError(
        "CREDENTIAL_ASSUME_ROLE",
        f"The role {role.arn} could not be assumed ({with_id}, {what}): {aws_text(failed.error)}.",
        hint,
    )


def is_aws_url(url: str | None) -> bool:
    """Say whether a URL (None: botocore's choice) belongs to AWS."""
    if url is None:
        return True
    try:
        host = urlsplit(url).hostname
    except ValueError:  # no URL at all: making the client says so
        return False
    return host is not None and is_aws_host(host)


def make_session_name() -> str:
    """Make up a role session name of at most 64 characters: CloudTrail shows the machine by it."""
    host = re.sub(r"[^\w+=,.@-]", "-", socket.gethostname(), flags=re.ASCII)[:32]
    return f"kinesis-source-{host}-{secrets.token_hex(4)}"
