"""Whether an endpoint can be reached from this process, and what time it is there.

Runs on driver and executors, for a diagnosis only. One request without signature, through the same
proxy, certificates and time-outs that calls have: whatever answers it shows that the way is open.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from botocore import exceptions as boto
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from kinesis_source.aws.clock import ServerClock
from kinesis_source.aws.connection import connect
from kinesis_source.aws.credentials import Identity
from kinesis_source.aws.failures import aws_text
from kinesis_source.aws.redaction import redact
from kinesis_source.aws.signing import SigningClock
from kinesis_source.aws.timestamps import date_header_ms
from kinesis_source.errors import ServiceError
from kinesis_source.options.settings import ClientSettings

__all__ = ["Reached", "reach"]

_TIMEOUT_S: Final = 5
_TLS: Final = {
    "CERTIFICATE": "the certificate is not trusted here",
    "WRONG_VERSION": "what answers does not speak TLS",
}


@dataclass(frozen=True, slots=True)
class Reached:
    """An endpoint that answered.

    Parameters
    ----------
    url : str
    proxy : str
        "" if none is used.
    addresses : tuple of str
        Of the host, empty behind a proxy.
    ahead_s : float or None
        How far this machine's clock is ahead of the endpoint's, to about a second.
    took_ms : int
    """

    url: str
    proxy: str
    addresses: tuple[str, ...]
    ahead_s: float | None
    took_ms: int


def reach(settings: ClientSettings) -> Reached:
    """Ask the endpoint of a client anything.

    Raises
    ------
    ServiceError
        ``[SERVICE_ENDPOINT]`` with what is in the way: name, proxy, certificate, or no answer.
    """
    identity = Identity(settings.identity, settings.region)
    # For the URL and the certificates that a call would have; nothing is sent by it.
    client = connect(identity.session, settings, SigningClock(ServerClock())).client
    url = client.meta.endpoint_url
    verify = identity.session.get_config_variable("ca_bundle") or True
    client.close()
    proxies = get_environ_proxies(url)
    proxy = redact(proxies.get(urlsplit(url).scheme, ""))
    addresses = () if proxy else _addresses(url)
    http = URLLib3Session(verify=verify, proxies=proxies, timeout=_TIMEOUT_S)
    began_s = time.monotonic()
    try:
        reply = http.send(AWSRequest(method="GET", url=f"{url}/").prepare())
        received_s = time.time()
    except (boto.BotoCoreError, OSError) as error:
        raise _no_way(error, url, proxy) from None
    finally:
        http.close()
    date_ms = date_header_ms(reply.headers.get("Date"))
    return Reached(
        url,
        proxy,
        addresses,
        None if date_ms is None else received_s - date_ms / 1000,
        round((time.monotonic() - began_s) * 1000),
    )


def _addresses(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ServiceError(
            "SERVICE_ENDPOINT",
            f"The host {host!r} of {url} is not known to the name service here: {error}.",
            "Check region and endpointUrl; in a private network the VPC endpoint's private DNS, or"
            " name the endpoint with endpointUrl.",
        ) from None
    return tuple(sorted({str(entry[4][0]) for entry in found}))


def _no_way(error: Exception, url: str, proxy: str) -> ServiceError:
    text = redact(aws_text(error))
    by = f" through the proxy {proxy}" if proxy else ""
    hint = "Open the way to it (security group, route, VPC endpoint), or name another endpoint."
    if isinstance(error, boto.ProxyConnectionError):
        hint = "Correct HTTPS_PROXY, or take the host out of its way with NO_PROXY."
    elif isinstance(error, boto.SSLError):
        reason = next((why for word, why in _TLS.items() if word in text.upper()), "")
        text = f"{reason}: {text}" if reason else text
        hint = "Point AWS_CA_BUNDLE at the certificates that this network uses."
    elif isinstance(error, OSError):
        hint = "Correct AWS_CA_BUNDLE (ca_bundle in the shared configuration), or remove it."
    return ServiceError("SERVICE_ENDPOINT", f"{url} does not answer{by}: {text}.", hint)
