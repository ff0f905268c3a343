"""AWS Signature Version 4, the server's side: who calls, and is it really they.

Made from the AWS documentation "Create a signed AWS API request". A secret or signature never gets
into a message.
"""

import datetime
import hashlib
import hmac
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl, quote

from .errors import AwsError
from .iam import Credential, Iam, is_account_id

_ALGORITHM = "AWS4-HMAC-SHA256"
_FIELD = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")

INVALID_TOKEN = "The security token included in the request is invalid."  # noqa: S105
EXPIRED_TOKEN = "The security token included in the request is expired"  # noqa: S105
SKEW_S = 300
"""AWS takes a signature whose time is at most this far from its own clock."""

_DATE_FORM = "%Y%m%dT%H%M%SZ"
_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details."
)


class Scope(NamedTuple):
    """What an Authorization header claims."""

    access_key: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str


class SignedRequest(NamedTuple):
    """The parts of an HTTP request a signature covers; header names in lower case.

    ``port`` is the client's, which no signature covers: it tells a machine's processes apart.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    port: int | None = None


def read_scope(headers: dict[str, str]) -> Scope:
    """Parse the Authorization header.

    Raises
    ------
    AwsError
        MissingAuthenticationTokenException or IncompleteSignatureException.
    """
    header = headers.get("authorization")
    if not header:
        raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
    fields = dict(_FIELD.findall(header))
    parts = fields.get("Credential", "").split("/")
    complete = header.startswith(_ALGORITHM) and len(fields) == 3 and len(parts) == 5
    if not complete or parts[4] != "aws4_request" or "x-amz-date" not in headers:
        raise AwsError(
            "IncompleteSignatureException",
            "Authorization header requires 'Credential', 'Signature' and 'SignedHeaders' "
            "parameters and a 'X-Amz-Date' or a 'Date' header.",
        )
    signed = tuple(fields["SignedHeaders"].lower().split(";"))
    return Scope(parts[0], parts[1], parts[2], parts[3], signed, fields["Signature"])


def authenticate(iam: Iam, request: SignedRequest, scope: Scope) -> Credential:
    """Return the caller's credential once key, session token, signature and expiry hold."""
    credential = iam.credential(scope.access_key)
    if credential is None:
        raise AwsError("UnrecognizedClientException", INVALID_TOKEN)
    token = request.headers.get("x-amz-security-token")
    if credential.session_token is not None and token != credential.session_token:
        raise AwsError("UnrecognizedClientException", INVALID_TOKEN)
    lenient = iam.lenient and is_account_id(scope.access_key)
    if not lenient:
        _check_time(request.headers["x-amz-date"], scope, iam.signing_clock())
    if not lenient and not _signature_holds(credential.secret_key, request, scope):
        raise AwsError("InvalidSignatureException", _MISMATCH)
    if credential.expires_at_s is not None and iam.clock() >= credential.expires_at_s:
        raise AwsError("ExpiredTokenException", EXPIRED_TOKEN)
    return credential


def _check_time(amz_date: str, scope: Scope, now_s: float) -> None:
    """Refuse a signature of another time, in the words that AWS's services use."""
    signed_s = _epoch_s(amz_date)
    if signed_s is None:
        raise AwsError(
            "IncompleteSignatureException",
            f"Date must be in ISO-8601 'basic format'. Got '{amz_date}'. "
            "See http://en.wikipedia.org/wiki/ISO_8601",
        )
    now, minutes = int(now_s), SKEW_S // 60
    if signed_s < now - SKEW_S:
        raise AwsError(
            "InvalidSignatureException",
            f"Signature expired: {amz_date} is now earlier than {_basic(now - SKEW_S)} "
            f"({_basic(now)} - {minutes} min.)",
        )
    if signed_s > now + SKEW_S:
        raise AwsError(
            "InvalidSignatureException",
            f"Signature not yet current: {amz_date} is still later than {_basic(now + SKEW_S)} "
            f"({_basic(now)} + {minutes} min.)",
        )
    if scope.date != amz_date[:8]:
        raise AwsError(
            "InvalidSignatureException",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
            f"HTTP: '{scope.date}' != '{amz_date[:8]}', from '{amz_date}'.",
        )


def _epoch_s(amz_date: str) -> int | None:
    """Return a date of the basic format as epoch seconds; None if it is none."""
    if not _DATE.fullmatch(amz_date):
        return None
    try:
        moment = datetime.datetime.strptime(amz_date, _DATE_FORM)
    except ValueError:  # a 99th day
        return None
    return int(moment.replace(tzinfo=datetime.timezone.utc).timestamp())


def _basic(epoch_s: int) -> str:
    return datetime.datetime.fromtimestamp(epoch_s, datetime.timezone.utc).strftime(_DATE_FORM)


def _signature_holds(secret_key: str, request: SignedRequest, scope: Scope) -> bool:
    canonical = "\n".join(
        (
            request.method,
            _canonical_path(request.path),
            _canonical_query(request.query),
            *(f"{h}:{' '.join(request.headers.get(h, '').split())}" for h in scope.signed_headers),
            "",
            ";".join(scope.signed_headers),
            hashlib.sha256(request.body).hexdigest(),
        )
    )
    to_sign = "\n".join(
        (
            _ALGORITHM,
            request.headers["x-amz-date"],
            f"{scope.date}/{scope.region}/{scope.service}/aws4_request",
            hashlib.sha256(canonical.encode()).hexdigest(),
        )
    )
    key = _signing_key(secret_key, scope.date, scope.region, scope.service)
    expected = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    # As bytes: a text that is not ASCII is an error there, not a difference.
    return hmac.compare_digest(expected.encode(), scope.signature.encode())


@lru_cache(maxsize=256)
def _signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return key


def _canonical_path(path: str) -> str:
    # Every service but S3 encodes the path a second time.
    return quote(path or "/", safe="/~-._")


def _canonical_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    encoded = sorted((quote(k, safe="~-._"), quote(v, safe="~-._")) for k, v in pairs)
    return "&".join(f"{k}={v}" for k, v in encoded)
