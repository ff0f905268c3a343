"""Which failures of a call are worth another try, and how long to wait before it.

Runs on driver and executors, for Kinesis and STS calls alike. botocore's own retries are off: here
each try is counted, so that an error can say how often and how long something was tried. Decides by
explicit lists of error codes and exception classes; whatever is not listed is final.
"""

from __future__ import annotations

import binascii
import http.client
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

import urllib3.exceptions
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

__all__ = [
    "CALL_ERRORS",
    "UNKNOWN_KEY_CODES",
    "CallFailedError",
    "IncompleteReplyError",
    "Kind",
    "ReplyTooLargeError",
    "RetryPolicy",
    "classify",
    "is_unsendable",
]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

FIRST_CONTACT_MS: Final = 10_000
"""Retry budget for connection problems as long as the endpoint never answered: a wrong host name
should show in seconds, not after the whole budget."""


class Kind(Enum):
    """What a failure means for the next try."""

    THROTTLED = "throttled"
    TRANSIENT = "transient"
    CONNECTION = "connection"
    INCOMPLETE = "incomplete"
    EXPIRED = "expired credentials"
    REVOKED = "revoked session"
    UNKNOWN_KEY = "unknown access key"
    SIGNATURE = "refused signature"
    WRONG_ENDPOINT = "wrong endpoint"
    FINAL = "final"


class IncompleteReplyError(Exception):
    """A reply with status 200 that lacks what it must hold.

    Parameters
    ----------
    missing : str
        The member that is missing.
    request_id : str or None
    content_type : str
        Of the reply; "" if it had none.
    """

    def __init__(self, missing: str, request_id: str | None = None, content_type: str = "") -> None:
        super().__init__(f"the reply has no {missing}")
        self.missing = missing
        self.request_id = request_id
        self.content_type = content_type


class ReplyTooLargeError(Exception):
    """A reply that is larger than any that AWS gives to the call.

    Parameters
    ----------
    most_bytes : int
        What was read at most.
    """

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"the reply has over {most_bytes:,} bytes")
        self.most_bytes = most_bytes


class CallFailedError(Exception):
    """A call that is not tried again.

    Parameters
    ----------
    error : Exception
        The last failure.
    kind : Kind
    attempts : int
        How often it was tried.
    elapsed_s : float
        Since the first try began.
    is_passing : bool
        Whether a policy with more time would have tried again.
    """

    def __init__(
        self,
        error: Exception,
        kind: Kind,
        attempts: int,
        elapsed_s: float,
        *,
        is_passing: bool = False,
    ) -> None:
        super().__init__(kind.value)
        self.error = error
        self.kind = kind
        self.attempts = attempts
        self.elapsed_s = elapsed_s
        self.is_passing = is_passing


# Kinesis API model and the common errors of AWS's JSON services.
_THROTTLED_CODES: Final = frozenset(
    {
        "KMSThrottlingException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_TRANSIENT_CODES: Final = frozenset(
    {
        "IDPCommunicationError",  # STS could not reach the identity provider
        "InternalError",
        "InternalFailure",
        "InternalFailureException",
        "InternalServerError",
        "InternalServerException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ResourceInUseException",  # a stream between two states: it settles within seconds
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
_EXPIRED_CODES: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
# The key was deleted or replaced, or is not known everywhere yet.
UNKNOWN_KEY_CODES: Final = frozenset(
    {
        "AuthFailure",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)
# Also what a wrong secret key gets: only another time is worth another try.
_SIGNATURE_CODES: Final = frozenset(
    {
        "InvalidSignatureException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
# AWS's, as replies tell it, and this machine's.
_CLOCKS: Final = 2
# "Revoke active sessions" in IAM denies sessions of before, explicitly; a new one is welcome.
_DENIED_CODES: Final = frozenset({"AccessDenied", "AccessDeniedException"})
_WRONG_SERVICE_CODES: Final = frozenset(
    {"InvalidAction", "MissingAction", "UnknownOperation", "UnknownOperationException"}
)
_TRANSIENT_STATUS: Final = frozenset({408, 500, 502, 503, 504})

_CONNECTION_ERRORS: Final = (
    boto.EndpointConnectionError,
    boto.ConnectTimeoutError,
    boto.ProxyConnectionError,
    boto.SSLError,
)
_TRANSIENT_ERRORS: Final = (
    boto.HTTPClientError,  # ConnectionClosedError, ReadTimeoutError, ResponseStreamingError, ...
    boto.IncompleteReadError,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)
# A token file or a certificate bundle that is not there.
_LASTING_OS_ERRORS: Final = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)
_INCOMPLETE_ERRORS: Final = (
    IncompleteReplyError,
    ReplyTooLargeError,
    ResponseParserError,
    UnicodeDecodeError,
    binascii.Error,
)
# The first that fits counts: a missing file is an OSError, a bad byte a ValueError.
_KINDS: Final = (
    (_INCOMPLETE_ERRORS, Kind.INCOMPLETE),
    (_CONNECTION_ERRORS, Kind.CONNECTION),
    (_LASTING_OS_ERRORS, Kind.FINAL),
    (_TRANSIENT_ERRORS, Kind.TRANSIENT),
)
# How often other keys are got for a refusal. A deny that also meets the new session is meant. A key
# may be unknown that another thread just got: the second time is for one that is newer still.
_OTHER_KEYS_HELP: Final = {Kind.REVOKED: 1, Kind.UNKNOWN_KEY: 2}
CALL_ERRORS: Final = (
    boto.ClientError,
    boto.BotoCoreError,
    *_TRANSIENT_ERRORS,
    *_INCOMPLETE_ERRORS,
)


def classify(error: Exception) -> Kind:
    """Say what a failure of a botocore call means for the next try."""
    if isinstance(error, boto.ClientError):
        return _classify_reply(error)
    if isinstance(error, IncompleteReplyError) and "html" in error.content_type:
        return Kind.CONNECTION  # some proxy or web server; Kinesis answers JSON, cut or not
    if is_unsendable(error):
        return Kind.FINAL
    if isinstance(error, boto.SSLError) and _is_lasting_tls_failure(error):
        return Kind.WRONG_ENDPOINT
    return next((kind for kinds, kind in _KINDS if isinstance(error, kinds)), Kind.FINAL)


def is_unsendable(error: Exception) -> bool:
    """Say whether nothing was sent because a header's text cannot stand in one.

    http.client and urllib3 raise ValueError for it, UnicodeEncodeError among them, and botocore
    makes a failure of the connection of that.
    """
    if type(error) is not boto.HTTPClientError:
        return False
    return isinstance(error.kwargs.get("error"), ValueError)


def _cause(error: Exception) -> Exception:
    """Return what botocore wrapped as a failure of HTTP, where it is this package's own."""
    wrapped = error.kwargs.get("error") if isinstance(error, boto.HTTPClientError) else None
    return wrapped if isinstance(wrapped, ReplyTooLargeError) else error


def _classify_reply(error: boto.ClientError) -> Kind:  # noqa: PLR0911 - one return for each kind
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _THROTTLED_CODES or status == 429:
        return Kind.THROTTLED
    if code in _TRANSIENT_CODES or status in _TRANSIENT_STATUS:
        return Kind.TRANSIENT
    if code in _EXPIRED_CODES or code in UNKNOWN_KEY_CODES:
        return Kind.EXPIRED if code in _EXPIRED_CODES else Kind.UNKNOWN_KEY
    if code in _SIGNATURE_CODES:
        return Kind.SIGNATURE
    if code in _DENIED_CODES and "explicit deny" in _message(error):
        return Kind.REVOKED
    # botocore puts the bare status where the body names no error: AWS always names one.
    if code in _WRONG_SERVICE_CODES or code.isdigit() or not code:
        return Kind.WRONG_ENDPOINT
    return Kind.FINAL


def _message(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message") or "")


def _is_lasting_tls_failure(error: Exception) -> bool:
    text = str(error).upper()
    # The last is a bundle of certificates that is not there.
    lasting = ("CERTIFICATE", "WRONG_VERSION_NUMBER", "HOSTNAME", "NO SUCH FILE")
    return any(words in text for words in lasting)


def _is_passing(kind: Kind, *, has_answered: bool) -> bool:
    """Say whether a failure may be over with the next try."""
    # What answered before may be hidden by a proxy's page for a while; what never did is wrong.
    if kind is Kind.WRONG_ENDPOINT:
        return has_answered
    return kind not in (Kind.FINAL, Kind.SIGNATURE, *_OTHER_KEYS_HELP)


@dataclass(frozen=True)
class RetryPolicy:
    """Full-jitter exponential back-off inside a time budget.

    Parameters
    ----------
    budget_ms : int
        No new try begins later than this after the first; 0: one try.
    base_ms, throttle_base_ms : int
        Upper bound of the first wait. AWS clears a throttled shard in about a second, so waits
        after throttling start higher, and never go below ``throttle_floor_ms``.
    throttle_floor_ms, cap_ms : int
        A page of 10 MiB blocks its shard for 5 s: longer waits are of no use.
    tries_once : bool
        Nothing is repeated, whatever the budget, but what renewed credentials allow at once.
    sleep, clock, random : callable
        Seconds, seconds (monotonic), and a number in [0, 1).
    """

    budget_ms: int
    base_ms: int = 200
    throttle_base_ms: int = 700
    throttle_floor_ms: int = 300
    cap_ms: int = 5_000
    tries_once: bool = False
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random

    def run(
        self,
        call: Callable[[], _T],
        renew: Callable[[float], bool],
        has_answered: Callable[[], bool] = lambda: True,
        sign_anew: Callable[[], bool] = lambda: False,
    ) -> _T:
        """Make a call, and again where that can help.

        Parameters
        ----------
        call : callable
        renew : callable
            Replaces credentials that AWS called expired or unknown, given the ``clock`` time at
            which the try began; says whether they are others now.
        has_answered : callable
            Whether the endpoint ever gave a sound answer.
        sign_anew : callable
            Told that AWS refused a signature; says whether the next one will be at another time.

        Raises
        ------
        CallFailedError
            The call failed for good. Errors of the source itself pass through.
        """
        started = self.clock()
        attempts = expired = resigned = 0
        renewed = dict.fromkeys(_OTHER_KEYS_HELP, 0)
        while True:
            began = self.clock()
            attempts += 1
            try:
                return call()
            except CALL_ERRORS as failure:
                error = _cause(failure)
            kind = classify(error)
            answered = has_answered()
            is_passing = _is_passing(kind, has_answered=answered)
            if kind in _OTHER_KEYS_HELP and renewed[kind] < _OTHER_KEYS_HELP[kind]:
                renewed[kind] += 1
                if renew(began):
                    continue
            if kind is Kind.SIGNATURE and resigned < _CLOCKS and sign_anew():
                resigned += 1
                continue
            if kind is Kind.EXPIRED:
                expired += 1
                # The first time even unchanged credentials get another try: it costs one call, and
                # an answer that comes from a stale cache of AWS's is not rare.
                is_passing = renew(began) or expired == 1
                if expired == 1 and self.budget_ms > 0:
                    continue
            if not is_passing or not self._wait(kind, attempts, started, answered):
                raise CallFailedError(
                    error, kind, attempts, self.clock() - started, is_passing=is_passing
                )
            _log.debug("try %d after %s: %s", attempts + 1, kind.value, type(error).__name__)

    def _wait(self, kind: Kind, attempts: int, started: float, has_answered: bool) -> bool:
        """Sleep before the next try; False if there is no time for one."""
        budget_ms = self.budget_ms
        if kind is Kind.CONNECTION and not has_answered:
            budget_ms = min(budget_ms, FIRST_CONTACT_MS)
        left_s = started + budget_ms / 1000 - self.clock()
        if self.tries_once or left_s <= 0:
            return False
        self.sleep(min(left_s, self.delay_s(kind, attempts)))
        return True

    def delay_s(self, kind: Kind, attempts: int) -> float:
        """Return the jittered wait after a number of failed tries, in seconds."""
        throttled = kind is Kind.THROTTLED
        base_ms = self.throttle_base_ms if throttled else self.base_ms
        floor_ms = self.throttle_floor_ms if throttled else 0
        # 20 doublings are far above any cap.
        span_ms = min(self.cap_ms, base_ms << min(attempts - 1, 20))
        return max(floor_ms, self.random() * span_ms) / 1000
