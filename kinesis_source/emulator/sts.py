"""AWS Security Token Service: AssumeRole, GetCallerIdentity, GetSessionToken.

The query protocol: a form in, XML out. Refusals carry STS's own codes and HTTP 403, which differ
from those of Kinesis for the same mistake.
"""

import datetime
import re
from collections.abc import Callable
from xml.sax.saxutils import escape

from .errors import AwsError, validation
from .iam import Credential, Iam, Role, is_revoked, refuse_unless, trusted

_XMLNS = "https://sts.amazonaws.com/doc/2011-06-15/"
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_ROLE_ARN = re.compile(r"arn:aws[-a-z]*:iam::\d{12}:role/[\w+=,.@/-]+", re.ASCII)

# Kinesis and STS name the same refusals differently.
_STS_CODES = {
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
    "AccessDeniedException": ("AccessDenied", 403),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "IncompleteSignatureException": ("IncompleteSignature", 400),
    "InternalFailureException": ("InternalFailure", 500),
    "ValidationException": ("ValidationError", 400),
}

_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)

Form = dict[str, str]
Result = dict[str, str | dict[str, str]]


def as_sts_error(error: AwsError) -> AwsError:
    """Return an error under the code and status STS uses for it."""
    code, status = _STS_CODES.get(error.code, (error.code, error.status))
    return AwsError(code, error.message, status)


def render(action: str, result: Result, request_id: str) -> bytes:
    """Return the XML of a successful reply."""
    return (
        f'<{action}Response xmlns="{_XMLNS}"><{action}Result>{_elements(result)}</{action}Result>'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        f"</{action}Response>"
    ).encode()


def render_error(error: AwsError, request_id: str) -> bytes:
    """Return the XML of a refusal."""
    kind = "Receiver" if error.status >= 500 else "Sender"
    return (
        f'<ErrorResponse xmlns="{_XMLNS}"><Error><Type>{kind}</Type><Code>{escape(error.code)}'
        f"</Code><Message>{escape(error.message)}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()


def _elements(result: Result) -> str:
    return "".join(
        f"<{name}>{_elements(dict(value)) if isinstance(value, dict) else escape(value)}</{name}>"
        for name, value in result.items()
    )


def call(iam: Iam, caller: Credential, form: Form) -> Result:
    """Carry out one STS action for an authenticated caller."""
    handler = _ACTIONS.get(form.get("Action", ""))
    if handler is None:
        raise AwsError(
            "InvalidAction", f"Could not find operation {form.get('Action')} for version 2011-06-15"
        )
    return handler(iam, caller, form)


def _get_caller_identity(_iam: Iam, caller: Credential, _form: Form) -> Result:
    return {
        "Arn": caller.arn,
        "UserId": caller.user_id,
        "Account": caller.identity.account_id,
    }


def _get_session_token(iam: Iam, caller: Credential, form: Form) -> Result:
    if caller.session_token is not None:
        raise AwsError("AccessDenied", "Cannot call GetSessionToken with session credentials", 403)
    duration_s = _duration(form, default_s=43_200, most_s=129_600)
    return {"Credentials": _shown(iam.open_session(caller.identity, "", duration_s))}


def _assume_role(iam: Iam, caller: Credential, form: Form) -> Result:
    arn, session = form.get("RoleArn", ""), form.get("RoleSessionName", "")
    _check(_ROLE_ARN, arn, "roleArn", "arn:aws...:iam::<account>:role/<name>")
    _check(_SESSION_NAME, session, "roleSessionName", r"[\w+=,.@-]{2,64}")
    duration_s = _duration(form, default_s=3600, most_s=43_200)
    role = iam.role(arn)
    # An unknown role is refused in the same words, so that nobody can probe for role names.
    if role is None or not _may_assume(role, caller, form.get("ExternalId")):
        raise AwsError(
            "AccessDenied",
            f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}",
            403,
        )
    if caller.is_role_session and duration_s > 3600:
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by "
            "role chaining",
        )
    if duration_s > role.max_session_s:
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
    credential = iam.open_session(role, session, duration_s, role.name)
    return {
        "AssumedRoleUser": {"AssumedRoleId": credential.user_id, "Arn": credential.arn},
        "Credentials": _shown(credential),
    }


def _may_assume(role: Role, caller: Credential, external_id: str | None) -> bool:
    if role.external_id is not None and external_id != role.external_id:
        return False
    # Within one account a trust policy that names the caller itself is enough; across accounts, and
    # where it names only the account, the caller's own permissions must allow the call as well.
    named = caller.identity.arn in role.trusts or caller.arn in role.trusts
    if named and caller.identity.account_id == role.account_id and not is_revoked(caller):
        return True
    allowed = refuse_unless(caller, "sts:AssumeRole", role.arn, same_account=True) is None
    return allowed and trusted(role, caller)


def _check(pattern: re.Pattern[str], value: str, name: str, shown: str) -> None:
    if not pattern.fullmatch(value):
        raise AwsError(
            "ValidationError",
            f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy "
            f"constraint: Member must satisfy regular expression pattern: {shown}",
        )


def _duration(form: Form, *, default_s: int, most_s: int) -> int:
    text = form.get("DurationSeconds", str(default_s))
    if not _WHOLE.fullmatch(text):
        raise validation(f"DurationSeconds must be a whole number, got '{text}'.")
    value = int(text)
    if not 900 <= value <= most_s:
        bound = "greater than or equal to 900" if value < 900 else f"less than or equal to {most_s}"
        raise AwsError(
            "ValidationError",
            f"1 validation error detected: Value '{value}' at 'durationSeconds' failed to satisfy "
            f"constraint: Member must have value {bound}",
        )
    return value


def _shown(credential: Credential) -> dict[str, str]:
    expires = datetime.datetime.fromtimestamp(credential.expires_at_s or 0, datetime.timezone.utc)
    return {
        "AccessKeyId": credential.access_key,
        "SecretAccessKey": credential.secret_key,
        "SessionToken": credential.session_token or "",
        "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
    }


_ACTIONS: dict[str, Callable[[Iam, Credential, Form], Result]] = {
    "AssumeRole": _assume_role,
    "GetCallerIdentity": _get_caller_identity,
    "GetSessionToken": _get_session_token,
}
