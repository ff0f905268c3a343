"""RequestPattern: what stays the same in the requests of one operation, and their signature.

Runs on driver and executors. In: a request that botocore made and signed, and the keys it was
signed with. Out: headers for further requests, each with a Signature Version 4 of its own. A
pattern exists only if it gives that first request botocore's own signature: nothing is sent that
botocore would have signed in another way.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from kinesis_source.aws.renewal import FrozenKeys

__all__ = ["RequestPattern", "is_signed_with", "learn_pattern"]

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_AUTHORIZATION: Final = re.compile(
    rf"{_ALGORITHM} Credential=(?P<access_key>[^,]+)/\d{{8}}/(?P<region>[^/,]+)/"
    r"(?P<service>[^/,]+)/aws4_request, SignedHeaders=(?P<signed>[^,]+), Signature=[0-9a-f]{64}"
)
_DATE: Final = "X-Amz-Date"
_TOKEN: Final = "X-Amz-Security-Token"  # noqa: S105 - the name of a header
# Different in each request; amz-sdk-*, unsigned, counts botocore's retries, which are off.
_OF_ONE_REQUEST: Final = re.compile(
    r"authorization|x-amz-date|x-amz-security-token|content-length|amz-sdk-.*", re.IGNORECASE
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class RequestPattern:
    """URL, fixed headers and signing scope of one operation's requests. Immutable.

    Parameters
    ----------
    url : str
    fixed : dict of str to str
        Headers of each request.
    region, service : str
        Of the signature.
    signed : str
        Names of the signed headers, in lower case, sorted, with semicolons between.
    """

    def __init__(
        self, url: str, fixed: dict[str, str], region: str, service: str, signed: str
    ) -> None:
        self.url = url
        self._fixed = fixed
        self._scope = f"{region}/{service}/aws4_request"
        self._key_parts = (region, service, "aws4_request")
        self._signed = signed
        self._names = signed.split(";")
        parts = urlsplit(url)
        self._path = parts.path
        self._values = {name.lower(): value for name, value in fixed.items()}
        self._values.setdefault("host", _host(parts))

    def headers(self, body: bytes, keys: FrozenKeys, date: str) -> dict[str, str]:
        """Return all headers of a request.

        Parameters
        ----------
        body : bytes
        keys : FrozenKeys
        date : str
            Now, like 20260101T120000Z.
        """
        headers = {**self._fixed, _DATE: date}
        if keys.token:
            headers[_TOKEN] = keys.token
        headers["Authorization"] = self.authorization(body, keys, date)
        headers["Content-Length"] = str(len(body))
        return headers

    def authorization(self, body: bytes, keys: FrozenKeys, date: str) -> str:
        """Return the Authorization header, Signature Version 4."""
        values = {**self._values, "x-amz-date": date, "x-amz-security-token": keys.token}
        lines = [f"{name}:{values[name]}" for name in self._names]
        digest = hashlib.sha256(body).hexdigest()
        request = "\n".join(("POST", self._path, "", *lines, "", self._signed, digest))
        scope = f"{date[:8]}/{self._scope}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        to_sign = f"{_ALGORITHM}\n{date}\n{scope}\n{digest}"
        # Derived anew each time: 7 us of about 400, and no key material is kept.
        key = f"AWS4{keys.secret_key}".encode()
        for part in (date[:8], *self._key_parts):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        return (
            f"{_ALGORITHM} Credential={keys.access_key}/{scope}, "
            f"SignedHeaders={self._signed}, Signature={signature}"
        )


def learn_pattern(request: Any, body: bytes, keys: FrozenKeys) -> RequestPattern | None:
    """Return the pattern of a request that botocore made.

    Parameters
    ----------
    request : botocore.awsrequest.AWSPreparedRequest
        Signed.
    body : bytes
        What :mod:`kinesis_source.aws.direct` would have sent.
    keys : FrozenKeys
        What it was signed with.

    Returns
    -------
    RequestPattern or None
        None if the pattern does not lead to the same request: another body, another signer.
    """
    headers = {name: _text(value) for name, value in request.headers.items()}
    found = _AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
    if found is None or request.method != "POST" or not _is_same_json(request.body, body):
        return None
    pattern = RequestPattern(
        url=request.url,
        fixed={name: value for name, value in headers.items() if not _OF_ONE_REQUEST.match(name)},
        region=found["region"],
        service=found["service"],
        signed=found["signed"],
    )
    try:
        authorization = pattern.authorization(request.body, keys, headers[_DATE])
    except KeyError:  # a header is signed that is not there, or there is no date
        return None
    return pattern if authorization == headers["Authorization"] else None


def is_signed_with(request: Any, keys: FrozenKeys) -> bool:
    """Say whether a request of botocore's names these keys: they may have been renewed since."""
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    token = headers.get(_TOKEN.lower())
    return found is None or (found["access_key"], token) == (keys.access_key, keys.token or None)


def _is_same_json(ours: Any, theirs: bytes) -> bool:
    try:
        return bool(msgspec.json.decode(ours) == msgspec.json.decode(theirs))
    except (msgspec.MsgspecError, TypeError):
        return False


def _host(parts: Any) -> str:
    """Return the Host header as HTTP clients write it; a wrong guess shows in the signature."""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    is_default = parts.port in (None, _DEFAULT_PORTS.get(parts.scheme))
    return str(host) if is_default else f"{host}:{parts.port}"


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
