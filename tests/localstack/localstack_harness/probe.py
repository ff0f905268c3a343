"""Ask a LocalStack whether it serves, with nothing but HTTP.

Runs in the process of pytest and of ``scripts/localstack_host.py``; the latter has no boto3.
LocalStack takes the account from a signature's credential and does not check the signature, so a
header that looks like one is enough here.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable

__all__ = ["NotServingError", "Probe", "health", "kinesis", "sts", "wait_until"]

Probe = Callable[[str, float], None]
"""Called with an endpoint URL and seconds; raises NotServingError unless it is served."""

# A loopback URL must not go through a proxy.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotServingError(Exception):
    """The endpoint gave no good answer."""


def wait_until(
    ask: Probe,
    endpoint_url: str,
    timeout_s: float,
    check_alive: Callable[[], None] = lambda: None,
) -> None:
    """Repeat a probe until it succeeds.

    Parameters
    ----------
    ask : Probe
    endpoint_url : str
    timeout_s : float
    check_alive : callable, optional
        Called before each try; raises where waiting on is useless.

    Raises
    ------
    NotServingError
        The probe did not succeed in time; the text has the last reason.
    """
    deadline = time.monotonic() + timeout_s
    while (reason := _try(ask, endpoint_url, deadline - time.monotonic())) is not None:
        check_alive()
        if time.monotonic() > deadline:
            raise NotServingError(
                f"LocalStack does not serve '{ask.__name__}' after {timeout_s:.0f} s ({reason})"
            )
        time.sleep(0.1)


def _try(ask: Probe, endpoint_url: str, timeout_s: float) -> str | None:
    try:
        ask(endpoint_url, timeout_s)
    except NotServingError as error:
        return str(error)
    return None


def health(endpoint_url: str, timeout_s: float) -> None:
    """Check that it is LocalStack, and up.

    Raises
    ------
    NotServingError
        No LocalStack answers there.
    """
    body = _ask(urllib.request.Request(f"{endpoint_url}/_localstack/health"), timeout_s)
    try:
        services = json.loads(body)["services"]
    except (ValueError, KeyError, TypeError):
        raise NotServingError(f"{endpoint_url} answers, but not as LocalStack does") from None
    missing = [name for name in ("kinesis", "sts") if services.get(name, "disabled") == "disabled"]
    if missing:
        raise NotServingError(
            f"LocalStack at {endpoint_url} does not offer {' and '.join(missing)}"
        )


def kinesis(endpoint_url: str, timeout_s: float) -> None:
    """Call ListStreams once, which starts the Kinesis engine.

    Raises
    ------
    NotServingError
        Kinesis does not answer.
    """
    headers = {
        "X-Amz-Target": "Kinesis_20131202.ListStreams",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": _authorization("kinesis"),
    }
    _ask(urllib.request.Request(endpoint_url, b"{}", headers), timeout_s)


def sts(endpoint_url: str, timeout_s: float) -> None:
    """Call GetCallerIdentity once, which loads STS.

    Raises
    ------
    NotServingError
        STS does not answer.
    """
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Authorization": _authorization("sts"),
    }
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    _ask(urllib.request.Request(endpoint_url, body, headers), timeout_s)


def _authorization(service: str) -> str:
    scope = f"000000000000/20000101/us-east-1/{service}/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"


def _ask(request: urllib.request.Request, timeout_s: float) -> bytes:
    try:
        with _OPENER.open(request, timeout=max(timeout_s, 0.1)) as response:
            return bytes(response.read())
    except (OSError, http.client.HTTPException, urllib.error.URLError) as error:
        raise NotServingError(f"{type(error).__name__}: {error}") from None
