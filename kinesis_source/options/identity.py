"""Who calls AWS: readers of identity options and what follows from them together.

Pure; runs in Spark's driver-side worker at ``load()``. No message here holds a secret key or a
session token; access key ids show their last four characters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kinesis_source.errors import OptionError
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import IdentitySettings, RoleSettings
from kinesis_source.options.values import BadValueError, masked, shown

__all__ = [
    "RolesOfAccounts",
    "choose_identity",
    "read_access_key",
    "read_external_id",
    "read_role_arns",
    "read_secret",
    "read_service_credential",
    "read_session_name",
]

# IAM: a path of printable ASCII between slashes, a name of at most 64 characters.
_ROLE = re.compile(
    r"arn:aws[a-z-]*:iam::[0-9]{12}:role/(?:[\x21-\x2e\x30-\x7e]{1,510}/){0,64}[A-Za-z0-9_+=,.@-]{1,64}"
)
# STS AssumeRole: RoleSessionName and ExternalId.
_SESSION_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
_ACCOUNT = re.compile(r"[0-9]{12}")
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_+=,.@:/-]{2,1224}")
_ACCESS_KEY = re.compile(r"[A-Za-z0-9_]{1,128}")
_MAX_EXTERNAL_IDS = 20 * 1225
_BASES: Final = ("awsAccessKey", "awsProfile", "credentialsProvider", "serviceCredential")
_SERVICE_CREDENTIAL = re.compile(r"[^\x00-\x1f\x7f/]{1,255}")
_NEED_ROLE: Final = ("roleSessionName", "roleExternalId", "stsEndpoint")


@dataclass(frozen=True)
class RolesOfAccounts:
    """Roles for the streams of each account.

    Parameters
    ----------
    roles : mapping of account id to tuple of str
        Each one's chain.
    """

    roles: Mapping[str, tuple[str, ...]]


def read_role_arns(text: str) -> tuple[str, ...] | RolesOfAccounts:
    """Read role ARNs to be assumed one over the other, separated by commas.

    Or a JSON object with such a text for the streams of each account.
    """
    if text.startswith("{"):
        return RolesOfAccounts(
            {account: _read_chain(arns) for account, arns in _of_accounts(text).items()}
        )
    return _read_chain(text)


def _of_accounts(text: str) -> dict[str, str]:
    """Read a JSON object of texts by account."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if (
        not isinstance(found, dict)
        or not found
        or not all(_ACCOUNT.fullmatch(account) for account in found)
        or not all(isinstance(value, str) and value.strip() for value in found.values())
    ):
        raise BadValueError(
            "OPTION_VALUE",
            f"looks like JSON, and is no object of texts by account: {shown(text, 200)}.",
            'Write {"<account of 12 digits>": "<text>", ...}, with the account that the streams'
            " are in.",
        )
    return {account: value.strip() for account, value in found.items()}


def _read_chain(text: str) -> tuple[str, ...]:
    # A role's name may hold a comma itself: only one before an ARN separates.
    arns = tuple(re.split(r"\s*,\s*(?=arn:)", text))
    for arn in arns:
        if len(arn) > 2048 or arn.endswith(",") or not _ROLE.fullmatch(arn):
            raise BadValueError(
                "OPTION_VALUE",
                f"has {shown(arn, 200)}, which is no role ARN.",
                "Write 'arn:aws:iam::<account of 12 digits>:role/<name>', with the path if the role"
                " has one; separate the roles of a chain by commas.",
            )
    return arns


def read_session_name(text: str) -> str:
    """Read the name of the sessions."""
    if not _SESSION_NAME.fullmatch(text):
        raise BadValueError(
            "OPTION_VALUE",
            f"must be 2 to 64 letters, digits or _+=,.@- (got {shown(text)}).",
            "Leave it out to have one made up.",
        )
    return text


def read_external_id(text: str) -> str:
    """Read one external id, or several separated by commas; see :func:`choose_identity`.

    Or a JSON object with such a text for the streams of each account.
    """
    if text.startswith("{"):
        for of_account in _of_accounts(text).values():
            _check_external_ids(of_account)
        return text
    return _check_external_ids(text)


def _check_external_ids(text: str) -> str:
    items = [item.strip() for item in text.split(",")]
    if len(text) > _MAX_EXTERNAL_IDS or not any(items):
        problem = "must be 2 to 1224 characters for each role."
    elif not all(_EXTERNAL_ID.fullmatch(item) for item in items if item) and not (
        _EXTERNAL_ID.fullmatch(text)
    ):
        problem = f"must be 2 to 1224 letters, digits or _+=,.@:/- (got {shown(text)})."
    else:
        return text
    raise BadValueError("OPTION_VALUE", problem, "Write it as the role's trust policy has it.")


def read_access_key(text: str) -> str:
    """Read an access key id; a secret key put here by mistake is noticed."""
    if len(text) == 40 and text.upper() != text:
        raise BadValueError(
            "OPTION_VALUE",
            f"looks like a secret key, got {masked(text)}.",
            "Put the id of the key here, usually 20 capital letters and digits, and the secret into"
            " 'awsSecretKey'.",
        )
    if not _ACCESS_KEY.fullmatch(text):
        raise BadValueError(
            "OPTION_VALUE",
            f"must be the id of an access key, got {masked(text)}.",
            "Write the id, usually 20 capital letters and digits.",
        )
    return text


def read_secret(text: str) -> Secret:
    """Read a secret; its text is never shown."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise BadValueError(
            "OPTION_VALUE",
            "has a blank, a line break or a character outside ASCII in it, which no AWS key has.",
            "Check how it was read; its value is not shown here.",
        )
    return Secret(text)


def read_service_credential(text: str) -> str:
    """Read the name of a service credential."""
    if not _SERVICE_CREDENTIAL.fullmatch(text):
        raise BadValueError(
            "OPTION_VALUE",
            f"must be 1 to 255 characters without slashes (got {shown(text)}).",
            "Write the credential's name as Unity Catalog has it.",
        )
    return text


def choose_identity(values: Mapping[str, Any], account: str | None = None) -> IdentitySettings:
    """Return the identity that the options together ask for.

    Parameters
    ----------
    values : mapping of str to value
        Option names to values as read; options that were not given are absent.
    account : str or None
        Whose streams are read, where roles are given by account: one without a role is read by the
        base identity.

    Raises
    ------
    OptionError
        ``OPTION_MISSING`` or ``OPTION_CONFLICT``.
    """
    _check_base(values)
    arns: tuple[str, ...] | RolesOfAccounts = values.get("roleArn", ())
    if isinstance(arns, RolesOfAccounts):
        arns = arns.roles.get(account or "", ())
    if "roleArn" not in values:
        for name in _NEED_ROLE:
            if name in values:
                raise OptionError(
                    "OPTION_CONFLICT",
                    f"Option {name!r} has no effect without 'roleArn'.",
                    "Set 'roleArn' to the role to assume, or leave it out.",
                )
    external_ids = _external_ids(_of_account(values.get("roleExternalId"), account), len(arns))
    return IdentitySettings(
        access_key=values.get("awsAccessKey"),
        secret_key=values.get("awsSecretKey"),
        session_token=values.get("awsSessionToken"),
        profile=values.get("awsProfile"),
        provider=values.get("credentialsProvider"),
        service_credential=values.get("serviceCredential"),
        roles=tuple(
            RoleSettings(arn, values.get("roleSessionName"), external_id)
            for arn, external_id in zip(arns, external_ids, strict=True)
        ),
        sts_endpoint=values.get("stsEndpoint") if arns else None,
    )


def _of_account(external_ids: str | None, account: str | None) -> str | None:
    if external_ids is None or not external_ids.startswith("{"):
        return external_ids
    return _of_accounts(external_ids).get(account or "")


def _check_base(values: Mapping[str, Any]) -> None:
    pair = ("awsAccessKey", "awsSecretKey")
    for name, other in (pair, pair[::-1]):
        if name in values and other not in values:
            raise OptionError(
                "OPTION_MISSING",
                f"Option {name!r} is set without {other!r}.",
                "Set both, or neither for the default credentials.",
            )
    if "awsSessionToken" in values and "awsAccessKey" not in values:
        raise OptionError(
            "OPTION_MISSING",
            "Option 'awsSessionToken' is set without 'awsAccessKey' and 'awsSecretKey'.",
            "Set the key that the token belongs to, or leave the token out.",
        )
    bases = [name for name in _BASES if name in values]
    if len(bases) > 1:
        raise OptionError(
            "OPTION_CONFLICT",
            f"Options {bases[0]!r} and {bases[1]!r} both say who calls AWS.",
            "Set one of them.",
        )


def _external_ids(text: str | None, roles: int) -> list[str | None]:
    """Give each role its external id.

    As many items as roles: one each, an empty one for none. Otherwise the whole text belongs to the
    last role, since a comma may be part of an id.
    """
    if text is None or not roles:
        return [None] * roles
    items = [item.strip() for item in text.split(",")]
    if roles == 1 or len(items) != roles:
        items = [""] * (roles - 1) + [text]
    for item in items:
        if item and not _EXTERNAL_ID.fullmatch(item):
            raise OptionError(
                "OPTION_VALUE",
                f"Option 'roleExternalId' has {shown(item)}, which is no external id.",
                f"Write 2 to 1224 letters, digits or _+=,.@:/-; for {roles} role(s), one id for the"
                " last role or as many ids as roles, separated by commas.",
            )
    return [item or None for item in items]
