"""Exchange: one request and its reply on a connection that botocore's HTTP session keeps open.

Runs on driver and executors, in the path of every call that goes the short way (aws/direct.py). Of
its cost, urllib3 and http.client are three fifths: they build a request piece by piece and parse
a reply's head as if it were mail. Here a request is one write, and the head of a reply is split.

A body is read into memory that the thread keeps: a page of 4 MB in pieces is copied twice, into
memory that malloc takes from the system and gives back each time.

Only what every server does for every call is done here. Connections are opened by botocore's
session, with its proxies, certificates and time-outs, and come from its pools and go back there.
Where none lies open, the caller goes through the session. A reply whose length is not told by a
Content-Length is left to http.client. Errors are those that the session raises.
"""

from __future__ import annotations

import errno
import http.client
import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from botocore import exceptions as boto

from kinesis_source.aws.replies import ReplyBounds, reply_on

__all__ = ["Exchange", "Reply"]

_log = logging.getLogger(__name__)

_HEAD: Final = re.compile(
    r"HTTP/1\.1 ([2-5]\d\d)(?: [^\r\n]*)?(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n]*)*"
)
_LINE_BREAK: Final = re.compile(r"[\r\n]")
_ONCE: Final = frozenset({"connection", "content-length"})
_WITHOUT_BODY: Final = frozenset({204, 304})
_PIECE_BYTES: Final = 16 * 1024
"""Of the first read: the head, and the whole of most replies."""
_GONE: Final = frozenset({errno.EPIPE, errno.EPROTOTYPE, errno.ECONNRESET})
"""What a write may fail with although the reply is there: urllib3 reads it all the same."""
_MOST_KEPT_BYTES: Final = 8 * 1024 * 1024
"""Each thread may keep so much: the JSON of the largest page that is asked for without need."""

_thread = threading.local()


@dataclass(frozen=True)
class Reply:
    """A reply that was read.

    Parameters
    ----------
    status : int
    headers : mapping of str to str
        By names in lower case; of a name that came twice the first.
    body : bytes or memoryview
        A view is good until this thread's next call. As much as came: a cut body is no error here.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | memoryview


@dataclass(frozen=True)
class _Head:
    status: int
    headers: dict[str, str]
    length: int


class Exchange:
    """The open connections of an HTTP session of botocore's. Thread-safe.

    Parameters
    ----------
    session : botocore.httpsession.URLLib3Session
        tests/contract/ pins what is used of it and of urllib3. With another, nothing goes this way.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        # By URL; None: this URL does not go this way.
        self._pools: dict[str, tuple[Any, str] | None] = {}

    def post(self, request: Any) -> Reply | None:
        """Send a request and read its reply.

        Parameters
        ----------
        request : botocore.awsrequest.AWSPreparedRequest
            A POST whose body is bytes; complete, but for the Host.

        Returns
        -------
        Reply or None
            None: nothing was sent, let the session send it.

        Raises
        ------
        botocore.exceptions.HTTPClientError
            ConnectionClosedError or ReadTimeoutError, as the session raises them.
        kinesis_source.aws.retry.ReplyTooLargeError
            The reply is larger than this thread's limit.
        """
        way = self._way(request.url)
        if way is None:
            return None
        pool, start = way
        content = _content(start, request.headers, request.body)
        if content is None:
            return None
        try:
            connection = pool._get_conn()
        except Exception:  # noqa: BLE001 - the pool was closed, as with the session
            self._pools.pop(request.url, None)
            return None
        is_kept = False
        try:
            if connection.sock is None:
                return None
            reply, is_kept = _exchange(connection.sock, content, pool.timeout.read_timeout)
        except TimeoutError as error:
            raise boto.ReadTimeoutError(endpoint_url=request.url, error=error) from error
        except (OSError, http.client.HTTPException) as error:
            raise boto.ConnectionClosedError(endpoint_url=request.url, error=error) from error
        finally:
            if not is_kept:
                connection.close()
            pool._put_conn(connection)
        return reply

    def _way(self, url: str) -> tuple[Any, str] | None:
        if url not in self._pools:
            self._pools[url] = self._find_way(url)
        return self._pools[url]

    def _find_way(self, url: str) -> tuple[Any, str] | None:
        """Return the pool that the session has for a URL, and the first lines of a request."""
        session = self._session
        try:
            proxy_url = session._proxy_config.proxy_url_for(url)
            target = session._get_request_target(url, proxy_url)
            manager = session._get_connection_manager(url, proxy_url)
            pool = manager.connection_from_url(url)
            is_known = all(callable(getattr(pool, name)) for name in ("_get_conn", "_put_conn"))
            is_known &= isinstance(pool.timeout.read_timeout, int | float)
        except (AttributeError, TypeError) as error:
            _log.info("Calls go through botocore's session, which has another form: %r", error)
            return None
        parts = urlsplit(url)
        if not is_known or not target.startswith("/"):  # else a proxy reads it
            return None
        host = parts.netloc.rpartition("@")[2]
        return pool, f"POST {target} HTTP/1.1\r\nAccept-Encoding: identity\r\nHost: {host}\r\n"


def _content(start: str, headers: dict[str, str], body: bytes) -> bytes | None:
    """Return all that is sent; None if http.client would refuse the headers, or write them anew."""
    lines = [start]
    for name, value in headers.items():
        if not isinstance(value, str) or _LINE_BREAK.search(value) or name.lower() == "host":
            return None
        lines.append(f"{name}: {value}\r\n")
    lines.append("\r\n")
    try:
        return "".join(lines).encode("latin-1") + body
    except UnicodeEncodeError:
        return None


def _exchange(sock: Any, content: bytes, read_timeout_s: float) -> tuple[Reply, bool]:
    """Return the reply, and whether the connection is good for another."""
    sock.settimeout(read_timeout_s)
    try:
        sock.sendall(content)
    except OSError as error:
        if error.errno not in _GONE:
            raise
    bounds = ReplyBounds(sock)
    came = b""
    while (end := came.find(b"\r\n\r\n")) < 0:
        piece = bounds.receive(_PIECE_BYTES)
        if not piece:
            break
        came += piece
    head = _parse(came[:end].decode("latin-1")) if end >= 0 else None
    if head is None:
        return _read_by_http_client(bounds, came), False
    bounds.expect(head.status, head.length)
    body = _memory(head.length)
    begun = came[end + 4 :]
    count = min(len(begun), head.length)
    body[:count] = begun[:count]
    while count < head.length:
        read = bounds.receive_into(body[count:])
        if not read:
            break
        count += read
    is_whole = count == head.length and len(begun) <= head.length
    is_kept = is_whole and "close" not in head.headers.get("connection", "").lower()
    return Reply(head.status, head.headers, body[:count]), is_kept


def _memory(length: int) -> memoryview:
    if length > _MOST_KEPT_BYTES:
        return memoryview(bytearray(length))
    kept: bytearray = getattr(_thread, "memory", bytearray())
    if len(kept) < length:
        kept = _thread.memory = bytearray(length)
    return memoryview(kept)[:length]


def _parse(text: str) -> _Head | None:
    """Return the head of a reply in the form that all servers use; None for any other."""
    form = _HEAD.fullmatch(text)
    if form is None:
        return None
    headers: dict[str, str] = {}
    for line in text.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        name = name.lower()
        if name in headers and name in _ONCE:
            return None
        headers.setdefault(name, value.strip(" \t"))
    status = int(form[1])
    length = headers.get("content-length", "")
    is_told = length.isascii() and length.isdecimal() and "transfer-encoding" not in headers
    if not is_told or status in _WITHOUT_BODY:
        return None
    return _Head(status, headers, int(length))


def _read_by_http_client(bounds: ReplyBounds, came: bytes) -> Reply:
    reply = reply_on(bounds, came)
    try:
        reply.begin()
        body = reply.read()
        headers: dict[str, str] = {}
        for name, value in reply.headers.items():
            headers.setdefault(name.lower(), value)
        return Reply(reply.status, headers, body)
    finally:
        reply.close()
