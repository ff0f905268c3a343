"""Large reply bodies, read into memory that a thread keeps.

Runs on executors, in the path of every byte. botocore reads a body in pieces of 64 KiB and joins
them: a page of 4 MB is copied twice, into memory that malloc takes from the system and gives back
each time. Read at once into a buffer that stays, a page costs up to a sixth less CPU in all
(docs/PERFORMANCE.md). Small bodies, very large ones and replies of another form are read as ever.
"""

from __future__ import annotations

import http.client
import threading
from typing import Any, Final

from botocore import exceptions as boto

__all__ = ["read_body"]

_SMALLEST: Final = 128 * 1024
# Above the JSON of the largest page that is asked for without need; each thread may keep so much.
_LARGEST: Final = 8 * 1024 * 1024

_thread = threading.local()


def read_body(response: Any) -> bytes | memoryview:
    """Read the body of a reply that was sent for with ``stream_output``.

    Parameters
    ----------
    response : botocore.awsrequest.AWSResponse

    Returns
    -------
    bytes or memoryview
        A view is good until this thread's next call. As much as came: a cut body is no error here.

    Raises
    ------
    botocore.exceptions.HTTPClientError
        As botocore's session raises it: the connection broke, or nothing came in time.
    """
    length = _plain_length(response)
    # urllib3's own readinto() copies; the reader below it does not, and has no public name.
    reader = getattr(response.raw, "_fp", None)
    if length is None or not isinstance(reader, http.client.HTTPResponse):
        return _read_as_ever(response)
    view = memoryview(_buffer(length))[:length]
    count = 0
    try:
        while count < length:
            read = reader.readinto(view[count:])
            if not read:
                break
            count += read
    except TimeoutError as error:
        response.raw.close()
        raise boto.ReadTimeoutError(endpoint_url=response.url, error=error) from error
    except (OSError, http.client.HTTPException) as error:
        response.raw.close()
        raise boto.ConnectionClosedError(endpoint_url=response.url, error=error) from error
    if count == length:
        response.raw.release_conn()
    else:
        response.raw.close()
    return view[:count]


def _read_as_ever(response: Any) -> bytes:
    body: bytes = response.content
    return body


def _plain_length(response: Any) -> int | None:
    """Return how long a body is, None if it is not read here."""
    headers = response.headers
    if "transfer-encoding" in headers or "content-encoding" in headers:
        return None
    length = str(headers.get("content-length", ""))
    if not length.isdecimal() or not _SMALLEST <= int(length) <= _LARGEST:
        return None
    return int(length)


def _buffer(length: int) -> bytearray:
    kept: bytearray = getattr(_thread, "buffer", bytearray())
    if len(kept) < length:
        kept = _thread.buffer = bytearray(length)
    return kept
