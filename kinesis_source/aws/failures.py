"""What went wrong in a call, as an error of the source: code, facts, advice.

Runs on driver and executors. In: the last failure of a call that is not repeated, and what the call
was about. Out: one of :mod:`kinesis_source.errors`, with operation, stream, region, shard, tries,
seconds and request id in its text. Never quotes what may hold a secret: every text of AWS's or of a
library's goes through :mod:`kinesis_source.aws.redaction`, and AWS's answer to a wrong signature,
which repeats the signed headers, session token included, is not quoted at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from kinesis_source.aws.redaction import mask_access_key, redact
from kinesis_source.aws.retry import (
    UNKNOWN_KEY_CODES,
    CallFailedError,
    IncompleteReplyError,
    Kind,
    ReplyTooLargeError,
    is_unsendable,
)
from kinesis_source.errors import (
    AccessDeniedError,
    CredentialError,
    KinesisSourceError,
    ServiceError,
    StreamError,
    ThrottledError,
)
from kinesis_source.options.settings import StreamSettings

__all__ = [
    "CallFacts",
    "aws_text",
    "credential_failure",
    "error_code",
    "explain",
    "mask_access_key",
    "quotable_cause",
    "stream_deleting",
]

_SIGNATURE_CODES: Final = frozenset(
    {
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
_DENIED_CODES: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"}
)
_ACTION: Final = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z*]+)")
_CALLER: Final = re.compile(r"User: (arn:\S+)")
_RESOURCE: Final = re.compile(r"on resource:? (arn:\S+)")
_QUOTE_CHARS: Final = 300


@dataclass(frozen=True)
class CallFacts:
    """What a call was about.

    Parameters
    ----------
    operation : str
        AWS's name, like GetRecords.
    region : str
    endpoint : str
        URL, or a word for AWS's own.
    who : callable
        Returns the caller for a message; may ask STS, never raises.
    account : callable
        Returns the caller's account, or None.
    stream_status : callable
        Returns the stream's status if it can be had, or None.
    stream : StreamSettings or None
    shard_id : str or None
    """

    operation: str
    region: str
    endpoint: str
    who: Callable[[], str]
    account: Callable[[], str | None]
    stream_status: Callable[[], str | None]
    stream: StreamSettings | None = None
    shard_id: str | None = None

    @property
    def target(self) -> str:
        """The stream as it reads in a sentence."""
        name = f"stream {self.stream.key!r}" if self.stream is not None else "Kinesis"
        return f"{name} in {self.region}"

    @property
    def subject(self) -> str:
        """The same at the start of a sentence."""
        return self.target[0].upper() + self.target[1:]


def error_code(error: Exception) -> str:
    """Return AWS's error code, "" if the failure is no answer of AWS's."""
    if isinstance(error, boto.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def aws_text(error: Exception) -> str:
    """Return what AWS or botocore said, cut, and without what may hold a secret."""
    if isinstance(error, boto.ClientError):
        code = error_code(error)
        if code in _SIGNATURE_CODES:
            return code
        message = _one_line(str(error.response.get("Error", {}).get("Message") or ""))
        code = _one_line(code)
        return f"{code}: {message}" if message else code
    text = str(error)
    if isinstance(error, ResponseParserError):
        text = text.partition("\n")[0]  # the body follows: STS's hold credentials
    return f"{type(error).__name__}: {_one_line(text)}"


def quotable_cause(error: Exception) -> Exception | None:
    """Return a failure for ``raise ... from``; None if its text may hold a secret.

    Without its frames, whose variables hold signed headers and keys, and without what led to it.
    """
    if error_code(error) in _SIGNATURE_CODES or isinstance(error, ResponseParserError):
        return None
    if any(redact(text) != text for text in (str(error), repr(error))):
        return None
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def credential_failure(error: Exception, what: str, access_key: str) -> CredentialError | None:
    """Return the error for keys that AWS does not take; None if that is not the failure.

    Parameters
    ----------
    error : Exception
    what : str
        The call, as it reads in brackets.
    access_key : str
        Masked.
    """
    code = error_code(error)
    if code in UNKNOWN_KEY_CODES:
        return CredentialError(
            "CREDENTIAL_INVALID",
            f"AWS does not know the access key {access_key} or its session token ({what}): {code}.",
            "Check that key, secret and session token belong together, that the key is active, "
            "and that it belongs to the partition of the region.",
        )
    if code in _SIGNATURE_CODES:
        return CredentialError(
            "CREDENTIAL_INVALID",
            f"AWS refused the signature made with access key {access_key} ({what}): {code}.",
            "Check the secret key, that region and endpoint belong together, and that this "
            "machine's clock is right to within 5 minutes.",
        )
    if is_unsendable(error):
        return CredentialError(
            "CREDENTIAL_INVALID",
            f"No request can be made with access key {access_key} ({what}): key, session token or "
            "another header has a line break or another character that cannot be sent.",
            "Check how key, secret and session token were read; their values are not shown here.",
        )
    if code.startswith("ExpiredToken") or code == "TokenRefreshRequired":
        return CredentialError(
            "CREDENTIAL_EXPIRED",
            f"The session token of access key {access_key} has expired and the same one was found "
            f"again ({what}).",
            "Give fresh keys and token, or use something that renews itself: roleArn, a profile, "
            "credentialsProvider, or the role of the machine.",
        )
    return None


def explain(failed: CallFailedError, facts: CallFacts, access_key: str) -> KinesisSourceError:
    """Return the error of the source for a Kinesis call that is not tried again.

    What would be tried again if there were time for it is marked ``is_worth_repeating``.
    """
    error = _explained(failed, facts, access_key)
    error.is_worth_repeating = failed.is_passing and error.code != "STREAM_DELETING"
    return error


def _explained(failed: CallFailedError, facts: CallFacts, access_key: str) -> KinesisSourceError:
    error, code = failed.error, error_code(failed.error)
    what = _describe_call(failed, facts)
    if (keys := credential_failure(error, what, access_key)) is not None:
        return keys
    if code.startswith("KMS") and failed.kind is not Kind.THROTTLED:
        return _kms_denied(error, facts, what)
    if code in _DENIED_CODES:
        return _denied(error, facts, what)
    if code == "ResourceNotFoundException":
        return _not_found(error, facts, what)
    if code == "ResourceInUseException":
        return _not_active(facts, what)
    return _service_failure(failed, facts, what)


def _service_failure(failed: CallFailedError, facts: CallFacts, what: str) -> KinesisSourceError:
    said = aws_text(failed.error)
    if failed.kind in (Kind.WRONG_ENDPOINT, Kind.CONNECTION):
        return _endpoint_failure(failed, facts, what)
    if failed.kind is Kind.THROTTLED:
        return ThrottledError(
            "SERVICE_THROTTLED",
            f"{facts.subject}: AWS throttled the calls until the retry budget was spent ({what}): "
            f"{said}.",
            "Other readers share the 5 calls/s and 2 MiB/s of each shard: give them less to read, "
            "add shards, or raise retryBudget.",
        )
    if isinstance(failed.error, ReplyTooLargeError):
        return ServiceError(
            "SERVICE_REPLY_SIZE",
            f"{facts.subject}: the replies were larger than Kinesis's ever are, and were not read "
            f"to their end ({what}): {failed.error}.",
            "Look for a proxy or something else than Kinesis at that endpoint; for an emulator "
            "without AWS's limit of 10 MiB a page set a smaller maxRecordsPerFetch.",
        )
    if failed.kind is Kind.INCOMPLETE:
        return ServiceError(
            "SERVICE_INCOMPLETE_REPLY",
            f"{facts.subject}: the replies were cut or unreadable each time ({what}): {said}.",
            "Look for a proxy or an emulator between here and Kinesis that shortens replies.",
        )
    if failed.kind is Kind.TRANSIENT:
        return ServiceError(
            "SERVICE_UNAVAILABLE",
            f"{facts.subject}: Kinesis did not answer until the retry budget was spent ({what}): "
            f"{said}.",
            "See the AWS health dashboard and the network; the query can be started again.",
        )
    return ServiceError(
        "SERVICE_ERROR",
        f"{facts.subject}: Kinesis refused the call ({what}): {said}.",
        "The call is not worth repeating as it is; the text above says what AWS did not like.",
    )


def _endpoint_failure(failed: CallFailedError, facts: CallFacts, what: str) -> ServiceError:
    if isinstance(failed.error, IncompleteReplyError):
        answer = _one_line(failed.error.content_type) or "something"
        said = f"it answered {answer} without the reply asked for"
    elif isinstance(failed.error, boto.ClientError):
        said = f"it answered {aws_text(failed.error) or 'an error without name'}"
    else:
        said = aws_text(failed.error)
    return ServiceError(
        "SERVICE_ENDPOINT",
        f"No Kinesis was reached at {redact(facts.endpoint)} for {facts.target} ({what}): {said}.",
        "Check region and endpointUrl, and that DNS, routes, proxy and certificates "
        "(AWS_CA_BUNDLE) allow this machine to reach it.",
    )


def _denied(error: Exception, facts: CallFacts, what: str) -> AccessDeniedError:
    text = aws_text(error)
    action = _found(_ACTION, text) or f"kinesis:{facts.operation}"
    caller = _found(_CALLER, text) or facts.who()
    resource = _found(_RESOURCE, text) or (
        (facts.stream.arn or facts.stream.key) if facts.stream is not None else "Kinesis"
    )
    code = "ACCESS_KMS" if action.startswith("kms:") else "ACCESS_DENIED"
    return AccessDeniedError(
        code,
        f"{caller} may not call {action} on {resource}, {facts.target} ({what}): {text}.",
        f"Allow {action} on it in the policies of that identity; for a stream of another account "
        "set roleArn to a role there, or name the stream by its ARN and allow the identity in the "
        "stream's resource policy.",
    )


def _kms_denied(error: Exception, facts: CallFacts, what: str) -> AccessDeniedError:
    return AccessDeniedError(
        "ACCESS_KMS",
        f"{facts.who()} cannot use the KMS key that encrypts {facts.target} ({what}): "
        f"{aws_text(error)}.",
        "Allow kms:Decrypt on the key, in the policies of that identity and in the key's own, and "
        "see that the key is enabled.",
    )


def _not_found(error: Exception, facts: CallFacts, what: str) -> StreamError:
    status = facts.stream_status() if facts.shard_id is not None else None
    if status == "DELETING":
        return stream_deleting(facts.subject, what)
    if status is not None:
        return StreamError(
            "STREAM_SHARD_NOT_FOUND",
            f"{facts.subject} has no shard {facts.shard_id!r} any more ({what}): "
            f"{aws_text(error)}.",
            "A closed shard goes when the last of its records is older than the retention; or the "
            "stream was deleted and made anew.",
        )
    account = _arn_account(facts.stream) or facts.account() or "unknown"
    return StreamError(
        "STREAM_NOT_FOUND",
        f"There is no {facts.target}, account {account} ({what}): {aws_text(error)}.",
        "Check name and region; for a stream of another account set roleArn to a role there, or "
        "name the stream by its ARN.",
    )


def _not_active(facts: CallFacts, what: str) -> StreamError:
    status = facts.stream_status()
    if status == "DELETING":
        return stream_deleting(facts.subject, what)
    return StreamError(
        "STREAM_NOT_ACTIVE",
        f"{facts.subject} is in use: its status is {status or 'unknown'} ({what}).",
        "Wait until it is ACTIVE and start the query again.",
    )


def stream_deleting(subject: str, what: str) -> StreamError:
    """Return the error for a stream that is being deleted."""
    return StreamError(
        "STREAM_DELETING",
        f"{subject} is being deleted ({what}).",
        "Stop the query; for a new stream of that name use a new checkpoint directory.",
    )


def _describe_call(failed: CallFailedError, facts: CallFacts) -> str:
    parts = [facts.operation]
    if facts.shard_id is not None:
        parts.append(f"shard {facts.shard_id!r}")
    tries = "1 try" if failed.attempts == 1 else f"{failed.attempts} tries"
    parts.append(f"{tries} in {failed.elapsed_s:.1f} s")
    request_id = _request_id(failed.error)
    if request_id:
        parts.append(f"request id {_one_line(request_id)}")
    return ", ".join(parts)


def _request_id(error: Exception) -> str | None:
    if isinstance(error, boto.ClientError):
        return error.response.get("ResponseMetadata", {}).get("RequestId") or None
    return error.request_id if isinstance(error, IncompleteReplyError) else None


def _arn_account(stream: StreamSettings | None) -> str | None:
    if stream is None or stream.arn is None:
        return None
    parts = stream.arn.split(":")
    return parts[4] if len(parts) > 5 else None


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match.group(1).rstrip(".,;") if match else None


def _one_line(text: str) -> str:
    """Return a text of somebody else's for a sentence of ours: no secret, one line, not too long.

    In this order: a secret with a line break in it would not be found in one line.
    """
    text = " ".join(redact(text).split()).rstrip(".")
    return text if len(text) <= _QUOTE_CHARS else text[:_QUOTE_CHARS] + "..."
