"""What one reply may take: so much time, and so many bytes.

Runs on driver and executors, below botocore's HTTP. A time-out of a socket counts from one byte to
the next, so that a reply of one byte each half second never ends; and a reply has as many bytes as
its sender likes. Each byte of a reply, heads and proxies' greetings included, is read through
here, whichever way the call takes.

A reply must begin within the read time-out and go on with MIN_BYTES_PER_S on average; it is over by
the end that :func:`reply_limits` sets for the thread, whatever its rate. One that is too slow ends
as a read time-out of botocore's, one that is too large with ReplyTooLargeError: by its
Content-Length before it is read, else as soon as it is too large. Replies are never decompressed.
"""

from __future__ import annotations

import functools
import http.client
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from kinesis_source.aws.retry import ReplyTooLargeError

__all__ = [
    "LIST_REPLY_BYTES",
    "MIN_BYTES_PER_S",
    "SMALL_REPLY_BYTES",
    "ReplyBounds",
    "bound_replies",
    "page_bytes",
    "reply_limits",
    "reply_on",
]

MIN_BYTES_PER_S: Final = 16 * 1024
"""The least average rate. The largest page, 14 MB in base64, takes 15 minutes at it: the retry
budget, two minutes by default, asks for 1 Mbit/s."""

SMALL_REPLY_BYTES: Final = 1024 * 1024
"""The most of any reply that has no list in it."""
LIST_REPLY_BYTES: Final = 8 * 1024 * 1024
"""The most of 1,000 shards (about 0.5 KB each) and a token (AWS: at most 1 MiB)."""
ERROR_REPLY_BYTES: Final = 256 * 1024
"""The most of a refusal: AWS's have some hundred bytes, pages of proxies some thousand."""
_PAGE_BYTES: Final = 64 * 1024 * 1024
_RECORD_BYTES: Final = 10 * 1024 * 1024 * 4 // 3 + 16 * 1024
_HEAD_BYTES: Final = 128 * 1024
_DEFAULT_TIME_S: Final = 60.0

_thread = threading.local()


def page_bytes(limit: int) -> int:
    """Return the most bytes of a GetRecords reply.

    A record has at most 10 MiB, in base64 a third more, and a key of 256 characters, each up to 12
    bytes as JSON escapes it. A page of AWS's has 10 MiB of data: 49 MiB with 10,000 of the longest
    keys. There are emulators that know no such limit: they get up to 64 MiB.

    Parameters
    ----------
    limit : int
        The Limit asked for.
    """
    return min(limit * _RECORD_BYTES, _PAGE_BYTES)


@contextmanager
def reply_limits(time_s: float, most_bytes: int) -> Iterator[None]:
    """Bound the replies that this thread reads meanwhile.

    Parameters
    ----------
    time_s : float
        All of them are over by then, seconds from now.
    most_bytes : int
        Of each body.
    """
    before = getattr(_thread, "limits", None)
    _thread.limits = (time.monotonic() + time_s, most_bytes)
    try:
        yield
    finally:
        _thread.limits = before


def bound_replies(client: Any) -> bool:
    """Let a botocore client read its replies within limits; call it before its first request.

    Returns
    -------
    bool
        Whether that could be done. tests/contract/ pins what is used of botocore.
    """
    session = getattr(getattr(client, "_endpoint", None), "http_session", None)
    pools = getattr(session, "_pool_classes_by_scheme", None)
    if not isinstance(pools, dict):
        return False
    # In place: the sessions' managers, those of proxies too, hold this very dict.
    for scheme, pool_class in pools.items():
        pools[scheme] = _bounded_pool(pool_class)
    return True


@functools.cache
def _bounded_pool(pool_class: Any) -> Any:
    connection = pool_class.ConnectionCls
    bounded = type(f"Bounded{connection.__name__}", (connection,), {"response_class": _Reply})
    return type(f"Bounded{pool_class.__name__}", (pool_class,), {"ConnectionCls": bounded})


def reply_on(bounds: ReplyBounds, came: bytes) -> http.client.HTTPResponse:
    """Return a reply to a POST, of which some bytes were read already; not begun."""
    bounds.came = came
    return _Reply(bounds, method="POST")


class _Reply(http.client.HTTPResponse):
    """A reply that is read within the limits of the thread that asked for it."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        self._bounds = sock if isinstance(sock, ReplyBounds) else ReplyBounds(sock)
        super().__init__(self._bounds, *args, **kwargs)  # type: ignore[arg-type]

    def begin(self) -> None:
        super().begin()
        self._bounds.expect(self.status, self.length)


class ReplyBounds:
    """What is left of one reply's time and bytes. Reads it, or lets http.client read it.

    In the place of a socket: all that http.client asks of one is a file to read from.

    Parameters
    ----------
    sock : socket.socket or another that urllib3 connects with
        Its time-out is the read time-out.
    """

    def __init__(self, sock: Any) -> None:
        now_s = time.monotonic()
        self._sock = sock
        self._timeout_s: float = sock.gettimeout() or _DEFAULT_TIME_S
        limits: tuple[float, int] | None = getattr(_thread, "limits", None)
        self._ends_s, self.most_bytes = limits or (now_s + _DEFAULT_TIME_S, SMALL_REPLY_BYTES)
        self._due_s = now_s + self._timeout_s
        self._count = 0
        self.came = b""
        """What was read already of what :meth:`makefile` is asked for."""

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a file of the reply's bytes."""
        return io.BufferedReader(_Reader(self._sock.makefile(mode, buffering=0), self))

    def expect(self, status: int, length: int | None) -> None:
        """Refuse what is too large by its head.

        Raises
        ------
        ReplyTooLargeError
        """
        if status != http.client.OK:
            self.most_bytes = min(self.most_bytes, ERROR_REPLY_BYTES)
        if length is not None and length > self.most_bytes:
            raise ReplyTooLargeError(self.most_bytes)

    def receive(self, most_bytes: int) -> bytes:
        """Return the next bytes, none at the end."""
        self.before_read()
        piece: bytes = self._sock.recv(most_bytes)
        self.after_read(len(piece))
        return piece

    def receive_into(self, view: memoryview) -> int:
        """Read the next bytes into a view; return how many, 0 at the end."""
        self.before_read()
        count: int = self._sock.recv_into(view)
        self.after_read(count)
        return count

    def before_read(self) -> None:
        """Let the next read wait no longer than the reply may take."""
        due_s = self._due_s + self._count / MIN_BYTES_PER_S
        left_s = min(due_s, self._ends_s) - time.monotonic()
        if left_s <= 0:
            message = "the reply came too slowly"
            raise TimeoutError(message)
        # urllib3 sets the time-out again with each request.
        if left_s < self._timeout_s:
            self._sock.settimeout(left_s)

    def after_read(self, count: int) -> None:
        """Count what came."""
        self._count += count
        if self._count > self.most_bytes + _HEAD_BYTES:
            raise ReplyTooLargeError(self.most_bytes)


class _Reader(io.RawIOBase):
    """The socket's own file, watched."""

    def __init__(self, raw: Any, bounds: ReplyBounds) -> None:
        super().__init__()
        self._raw = raw
        self._bounds = bounds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if came := self._bounds.came:
            begun = came[: len(buffer)]
            buffer[: len(begun)] = begun
            self._bounds.came = came[len(begun) :]
            return len(begun)
        self._bounds.before_read()
        count: int | None = self._raw.readinto(buffer)
        self._bounds.after_read(count or 0)
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()
