"""Accounts, users, roles and temporary credentials: who may call what.

Plain data behind one lock; permissions are lists of allowed actions and resources, not IAM's policy
language. Identities may do everything in their own account unless told otherwise; nothing reaches
another account's streams except a role assumed there, as long as no resource policies exist.

Secrets stay out of every repr.
"""

import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from .clock import Clock

Grant = str | tuple[Any, Any] | list[Any] | Mapping[str, Any]
"""An allowed action ("kinesis:Get*"), or (actions, resources), or {"actions", "resources"}.
A resource is an ARN pattern or a pattern of stream names."""

ALLOW_ALL: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Statement:
    """Some actions allowed on some resources; `*` and `?` are wildcards."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]

    def allows(self, action: str, resource: str) -> bool:
        """Whether this statement alone permits the call."""
        named = any(fnmatchcase(action.lower(), a.lower()) for a in self.actions)
        return named and any(_resource_matches(r, resource) for r in self.resources)


def _resource_matches(pattern: str, resource: str) -> bool:
    if pattern == "*" or pattern.startswith("arn:"):
        return fnmatchcase(resource, pattern)
    return fnmatchcase(resource.partition("/")[2], pattern)


def statements(allow: Iterable[Grant]) -> tuple[Statement, ...]:
    """Return grants in any of their spellings as statements."""
    return tuple(_statement(grant) for grant in allow)


def _statement(grant: Grant) -> Statement:
    if isinstance(grant, str):
        return Statement((grant,), ("*",))
    if isinstance(grant, Mapping):
        return Statement(_words(grant["actions"]), _words(grant.get("resources", "*")))
    actions, resources = grant
    return Statement(_words(actions), _words(resources))


def _words(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@dataclass(eq=False)
class Identity:
    """A user, a role or an account's root, with what it may do."""

    account_id: str
    arn: str
    unique_id: str
    policy: tuple[Statement, ...] = field(default_factory=lambda: statements(ALLOW_ALL))

    def set_permissions(self, allow: Iterable[Grant]) -> None:
        """Replace what this identity may do, from the next call on."""
        self.policy = statements(allow)

    def may(self, action: str, resource: str) -> bool:
        """Whether a statement of this identity's policy allows the call."""
        return any(s.allows(action, resource) for s in self.policy)


@dataclass(eq=False)
class User(Identity):
    """A user with one pair of long-lived keys."""

    access_key: str = ""
    secret_key: str = field(default="", repr=False)


@dataclass(eq=False)
class Role(Identity):
    """A role that trusted principals may assume.

    `trusts` holds account ids, root, user, role or assumed-role ARNs, or ``*``.
    """

    name: str = ""
    trusts: tuple[str, ...] = ()
    external_id: str | None = None
    max_session_s: int = 3600
    revoked_before_s: float = float("-inf")


@dataclass(frozen=True, eq=False)
class Credential:
    """A key pair as the server sees it: whose it is and how long it lasts."""

    access_key: str
    secret_key: str = field(repr=False)
    identity: Identity
    session_token: str | None = field(default=None, repr=False)
    session_arn: str | None = None
    session_id: str | None = None
    issued_at_s: float = 0.0
    expires_at_s: float | None = None

    @property
    def arn(self) -> str:
        """ARN the caller is known by: the session's for temporary credentials of a role."""
        return self.session_arn or self.identity.arn

    @property
    def user_id(self) -> str:
        """What GetCallerIdentity gives as UserId."""
        return self.session_id or self.identity.unique_id

    @property
    def is_role_session(self) -> bool:
        """Whether the credentials came from AssumeRole."""
        return isinstance(self.identity, Role)


def _unique(prefix: str) -> str:
    return prefix + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16))


class Iam:
    """Every identity and key of one emulator.

    Parameters
    ----------
    clock : callable
        Epoch seconds; decides expiry.
    lenient : bool
        Take any 12-digit access key as the root user of that account, with any secret.
    signing_clock : callable, optional
        What the time of a signature is checked against; the clock, if not given.
    """

    def __init__(
        self, clock: Clock, *, lenient: bool = False, signing_clock: Clock | None = None
    ) -> None:
        self.clock = clock
        self.signing_clock = signing_clock or clock
        self.lenient = lenient
        self.credential_lifetime_s: float | None = None
        self._lock = threading.RLock()
        self._credentials: dict[str, Credential] = {}
        self._roles: dict[str, Role] = {}
        self.clear()

    def clear(self) -> None:
        """Go back to the one default identity: root of account 000000000000, key test/test."""
        with self._lock:
            self._credentials.clear()
            self._roles.clear()
            root = self._root("000000000000")
            self._credentials["test"] = Credential("test", "test", root)

    def create_user(self, account_id: str, name: str, allow: Iterable[Grant]) -> User:
        """Create a user with a fresh key pair."""
        access_key, secret_key = _unique("AKIA"), secrets.token_hex(20)
        user = User(
            account_id,
            f"arn:aws:iam::{account_id}:user/{name}",
            _unique("AIDA"),
            statements(allow),
            access_key,
            secret_key,
        )
        with self._lock:
            self._credentials[access_key] = Credential(access_key, secret_key, user)
        return user

    def delete_key(self, access_key: str) -> None:
        """Make a key pair unknown at once, a user's or a session's."""
        with self._lock:
            self._credentials.pop(access_key, None)

    def create_role(
        self,
        account_id: str,
        name: str,
        trusts: Iterable[str],
        allow: Iterable[Grant],
        external_id: str | None = None,
        max_session_s: int = 3600,
    ) -> Role:
        """Create or replace a role."""
        role = Role(
            account_id,
            f"arn:aws:iam::{account_id}:role/{name}",
            _unique("AROA"),
            statements(allow),
            name.rpartition("/")[2],
            tuple(trusts),
            external_id,
            max_session_s,
        )
        with self._lock:
            self._roles[role.arn] = role
        return role

    def delete_role(self, role: Role) -> None:
        """Delete a role; its sessions become unknown with it."""
        with self._lock:
            self._roles.pop(role.arn, None)
            for credential in self.sessions_of(role):
                self._credentials.pop(credential.access_key, None)

    def role(self, arn: str) -> Role | None:
        """Return a role by ARN, or None."""
        with self._lock:
            return self._roles.get(arn)

    def open_session(
        self, identity: Identity, name: str, duration_s: float, policy_name: str | None = None
    ) -> Credential:
        """Issue temporary credentials; `credential_lifetime_s` overrides the duration asked for."""
        lifetime_s = (
            duration_s if self.credential_lifetime_s is None else self.credential_lifetime_s
        )
        now_s = self.clock()
        session_arn = session_id = None
        if policy_name is not None:
            session_arn = f"arn:aws:sts::{identity.account_id}:assumed-role/{policy_name}/{name}"
            session_id = f"{identity.unique_id}:{name}"
        credential = Credential(
            _unique("ASIA"),
            secrets.token_hex(20),
            identity,
            secrets.token_urlsafe(120),
            session_arn,
            session_id,
            now_s,
            now_s + lifetime_s,
        )
        with self._lock:
            self._credentials[credential.access_key] = credential
        return credential

    def sessions_of(self, identity: Identity) -> list[Credential]:
        """Return the temporary credentials issued for an identity."""
        with self._lock:
            return [
                c
                for c in self._credentials.values()
                if c.identity is identity and c.session_token is not None
            ]

    def expire_sessions(self, identity: Identity) -> int:
        """Let an identity's temporary credentials run out now; return how many there were."""
        with self._lock:
            sessions = self.sessions_of(identity)
            for c in sessions:
                self._credentials[c.access_key] = Credential(
                    c.access_key,
                    c.secret_key,
                    c.identity,
                    c.session_token,
                    c.session_arn,
                    c.session_id,
                    c.issued_at_s,
                    self.clock(),
                )
            return len(sessions)

    def credential(self, access_key: str) -> Credential | None:
        """Return the credential of an access key, or None when nobody has it."""
        with self._lock:
            found = self._credentials.get(access_key)
            if found is None and self.lenient and is_account_id(access_key):
                found = Credential(access_key, "", self._root(access_key))
                self._credentials[access_key] = found
            return found

    def _root(self, account_id: str) -> Identity:
        return Identity(account_id, f"arn:aws:iam::{account_id}:root", account_id)


def is_account_id(text: str) -> bool:
    """Whether a text has the form of an account id: 12 digits."""
    return len(text) == 12 and text.isascii() and text.isdecimal()


def refuse_unless(
    credential: Credential, action: str, resource: str, *, same_account: bool
) -> str | None:
    """Return why a call is refused, in AWS's words, or None when it is allowed."""
    who = f"User: {credential.arn} is not authorized to perform: {action} on resource: {resource}"
    identity = credential.identity
    if is_revoked(credential):
        return f"{who} with an explicit deny in an identity-based policy"
    if not identity.may(action, resource):
        return f"{who} because no identity-based policy allows the {action} action"
    if not same_account:
        return f"{who} because no resource-based policy allows the {action} action"
    return None


def is_revoked(credential: Credential) -> bool:
    """Whether the credential is a role session issued before the role's sessions were revoked."""
    role = credential.identity
    return isinstance(role, Role) and credential.issued_at_s < role.revoked_before_s


def trusted(role: Role, credential: Credential) -> bool:
    """Whether a role's trust policy names the caller."""
    identity = credential.identity
    names = {
        "*",
        identity.account_id,
        f"arn:aws:iam::{identity.account_id}:root",
        identity.arn,
        credential.arn,
    }
    return any(principal in names for principal in role.trusts)
