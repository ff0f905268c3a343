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
    "bound_replies",
    "page_bytes",
    "reply_limits",
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


class _Reply(http.client.HTTPResponse):
    """A reply that is read within the limits of the thread that asked for it."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        self._bounds = _Bounds(sock)
        super().__init__(self._bounds, *args, **kwargs)  # type: ignore[arg-type]

    def begin(self) -> None:
        super().begin()
        bounds = self._bounds
        if self.status != http.client.OK:
            bounds.most_bytes = min(bounds.most_bytes, ERROR_REPLY_BYTES)
        if self.length is not None and self.length > bounds.most_bytes:
            raise ReplyTooLargeError(bounds.most_bytes)


class _Bounds:
    """In the place of a socket: all that http.client asks of it is a file to read from."""

    def __init__(self, sock: Any) -> None:
        now_s = time.monotonic()
        self._sock = sock
        self._timeout_s: float = sock.gettimeout() or _DEFAULT_TIME_S
        limits: tuple[float, int] | None = getattr(_thread, "limits", None)
        self._ends_s, self.most_bytes = limits or (now_s + _DEFAULT_TIME_S, SMALL_REPLY_BYTES)
        self._due_s = now_s + self._timeout_s
        self._count = 0

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock.makefile(mode, buffering=0), self))

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
        self._count += count
        if self._count > self.most_bytes + _HEAD_BYTES:
            raise ReplyTooLargeError(self.most_bytes)


class _Reader(io.RawIOBase):
    """The socket's own file, watched."""

    def __init__(self, raw: Any, bounds: _Bounds) -> None:
        super().__init__()
        self._raw = raw
        self._bounds = bounds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._bounds.before_read()
        count: int | None = self._raw.readinto(buffer)
        self._bounds.after_read(count or 0)
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()
