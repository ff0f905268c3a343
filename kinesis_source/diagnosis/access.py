"""Who this process is to AWS, and what AWS lets it do: each link and each call by itself.

Runs on the user's machine, in the driver's workers and in Spark tasks. The errors are those of a
query; beside them stands what an administrator would paste to mend it.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from typing import Any, Final

from kinesis_source.aws.api import (
    IteratorExpiredError,
    PositionRefusedError,
    StreamApi,
    StreamDescription,
)
from kinesis_source.aws.credentials import Identity, is_aws_url
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.diagnosis.findings import FAILED, OK, WARNING, Finding
from kinesis_source.diagnosis.steps import Steps
from kinesis_source.errors import AccessDeniedError, CredentialError, StreamError
from kinesis_source.model.positions import TRIM_HORIZON
from kinesis_source.options.settings import (
    ClientSettings,
    IdentitySettings,
    RoleSettings,
    StreamSettings,
)
from kinesis_source.policies.documents import (
    assume_policy,
    key_policy_statement,
    permissions_policy,
    trust_policy,
)

__all__ = ["check_identity", "check_stream", "find_caller", "principal_of"]

_TRIED_SHARDS: Final = 3
_FIRST_SHARD: Final = "shardId-000000000000"
"""Where the shards may not be listed: asking for it says whether asking is allowed."""


def check_identity(steps: Steps, client: ClientSettings) -> None:
    """Find credentials, ask who they belong to, and assume each role over them."""
    settings = client.identity
    base = _identity(client, replace(settings, roles=()))
    steps.ask("credentials", lambda: _credentials(base))
    steps.ask(
        "caller", lambda: Finding("caller", OK, _sessionless(base.who())), needs="credentials"
    )
    before = base
    for number, role in enumerate(settings.roles, 1):
        step = "role" if len(settings.roles) == 1 else f"role {number}"
        identity = _identity(client, replace(settings, roles=settings.roles[:number]))

        def assume(
            step: str = step,
            identity: Identity = identity,
            before: Identity = before,
            role: RoleSettings = role,
        ) -> Finding:
            try:
                _keys(identity)
            except CredentialError as error:
                return _not_assumed(step, error, before, role.arn, role.external_id)
            with_id = " with an external id" if role.external_id else ""
            return Finding(step, OK, f"{role.arn}, assumed{with_id}")

        needs = "credentials" if number == 1 else f"role {number - 1}"
        steps.ask(step, assume, needs=needs)
        before = identity


def find_caller(client: ClientSettings) -> str:
    """Return who calls Kinesis: an ARN, or what is known without STS.

    Raises
    ------
    CredentialError
        There are no credentials, or a role cannot be assumed.
    """
    identity = _identity(client, client.identity)
    _keys(identity)
    return identity.who()


def _identity(client: ClientSettings, settings: IdentitySettings) -> Identity:
    policy = RetryPolicy(client.retry_budget_ms)
    return Identity(settings, client.region, policy, is_aws=is_aws_url(client.endpoint_url))


def _keys(identity: Identity) -> None:
    """Get the keys, which asks for them."""
    found: Any = identity.session.get_credentials()
    found.get_frozen_credentials()


def _credentials(identity: Identity) -> Finding:
    _keys(identity)
    key = identity.masked_access_key()
    return Finding("credentials", OK, f"{identity.source}: access key {key}")


def _not_assumed(
    step: str, error: CredentialError, before: Identity, role_arn: str, external_id: str | None
) -> Finding:
    paste = ""
    caller = principal_of(before.who())
    if caller is not None and error.code == "CREDENTIAL_ASSUME_ROLE":
        trust = json.dumps(trust_policy(caller, external_id), indent=2)
        own = json.dumps(assume_policy(role_arn), indent=2)
        paste = (
            f"# Trust policy of {role_arn}, in its account:\n{trust}\n"
            f"# Permissions of {caller}, in its own:\n{own}"
        )
    return Finding(step, FAILED, error.problem, error.hint, error.code, paste)


def _sessionless(who: str) -> str:
    """Return who somebody is, without the name of a session, which each process has its own."""
    return principal_of(who) or who


def principal_of(arn: str) -> str | None:
    """Return what a trust policy names: of a session its role, whose path its ARN does not have."""
    if not arn.startswith("arn:"):
        return None
    if ":assumed-role/" in arn:
        head, _, rest = arn.partition(":assumed-role/")
        return f"{head.replace(':sts:', ':iam:')}:role/{rest.split('/')[0]}"
    return arn


def check_stream(steps: Steps, api: StreamApi, stream: StreamSettings, last: str) -> None:
    """Make each call of a read once, in its order.

    Parameters
    ----------
    steps : Steps
    api : StreamApi
    stream : StreamSettings
    last : str
        The step that all calls rest on.
    """
    asked = _StreamCheck(api, stream)
    name = f" ({stream.key})" if steps.has_several else ""
    first = f"DescribeStreamSummary{name}"
    steps.ask(first, lambda: asked.describe(first), needs=last, mend=asked.mend)
    # Permissions are given action by action: one that is missing says nothing of the next.
    for operation, check, needs in (
        ("ListShards", asked.list_shards, first),
        ("GetShardIterator", asked.get_iterator, first),
        ("GetRecords", asked.get_records, f"GetShardIterator{name}"),
        ("encryption", asked.encryption, f"GetRecords{name}"),
    ):
        step = f"{operation}{name}"
        steps.ask(step, functools.partial(check, step), needs=needs, mend=asked.mend)


class _StreamCheck:
    """One stream, and what is known of it by now."""

    def __init__(self, api: StreamApi, stream: StreamSettings) -> None:
        self._api = api
        self._stream = stream
        self._description: StreamDescription | None = None
        self._shard_ids: list[str] = [_FIRST_SHARD]
        self._iterator: tuple[str, str] | None = None

    def describe(self, step: str) -> Finding:
        self._description = found = self._api.describe(self._stream)
        text = f"{found.arn}, {found.status}, keeps {found.retention_ms // 3_600_000} h"
        if found.status not in ("ACTIVE", "UPDATING"):
            return Finding(step, FAILED, text, "Wait until it is ACTIVE.", "STREAM_NOT_ACTIVE")
        return Finding(step, OK, text)

    def list_shards(self, step: str) -> Finding:
        shards = self._api.list_shards(self._stream)
        open_ids = [shard.shard_id for shard in shards if not shard.is_closed]
        self._shard_ids = (open_ids or [shard.shard_id for shard in shards])[:_TRIED_SHARDS]
        return Finding(step, OK, f"{len(open_ids)} open, {len(shards) - len(open_ids)} closed")

    def get_iterator(self, step: str) -> Finding:
        for shard_id in self._shard_ids:
            try:
                iterator = self._api.get_iterator(self._stream, shard_id, TRIM_HORIZON)
            except PositionRefusedError:
                continue
            except StreamError as error:
                if error.code != "STREAM_SHARD_NOT_FOUND":
                    raise
                continue
            self._iterator = (shard_id, iterator)
            return Finding(step, OK, f"{shard_id}, trim_horizon")
        text = f"allowed; Kinesis has no shard {' or '.join(self._shard_ids)} any more"
        return Finding(step, WARNING, text, "Ask again.")

    def get_records(self, step: str) -> Finding:
        if self._iterator is None:
            return Finding(step, WARNING, "no iterator to ask with", "Ask again.")
        shard_id, iterator = self._iterator
        try:
            page = self._api.get_page(self._stream, shard_id, iterator, 1)
        except IteratorExpiredError:
            return Finding(step, WARNING, "the iterator was too old", "Ask again.")
        behind_s = page.millis_behind_latest / 1000
        what = "a record" if len(page) else "no record, which is no error"
        text = f"{what}; the oldest is {behind_s:,.0f} s behind the newest"
        return Finding(step, OK, text, alike="answered")

    def encryption(self, step: str) -> Finding:
        key = self._description.kms_key if self._description else ""
        return Finding(step, OK, f"KMS key {key}, which may be used" if key else "none")

    def mend(self, error: Exception) -> str:
        """Return the policy that lets a call through, "" if that is not what is missing."""
        if not isinstance(error, AccessDeniedError):
            return ""
        if "KMS" in error.code:
            statement = key_policy_statement("<ARN of the identity>")
            return f"# In the key's own policy:\n{json.dumps(statement, indent=2)}"
        arn = self._description.arn if self._description else self._stream.arn
        if arn is None:
            arn = f"arn:aws:kinesis:<region>:<account>:stream/{self._stream.name}"
        return f"# Permissions of the identity:\n{json.dumps(permissions_policy([arn]), indent=2)}"
