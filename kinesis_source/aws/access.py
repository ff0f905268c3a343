"""check_access: find out at the start of a query, not in its first batch, what is not allowed.

Runs on the driver, once for each stream. Makes each call that a read makes, in a read's order:
DescribeStreamSummary, ListShards, GetShardIterator, GetRecords (one record: an encrypted stream
shows here whether its key may be used). The errors are those of the calls, and name who called.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from kinesis_source.aws.api import (
    IteratorExpiredError,
    PositionRefusedError,
    StreamApi,
    StreamDescription,
)
from kinesis_source.aws.failures import stream_deleting
from kinesis_source.errors import StreamError
from kinesis_source.model.positions import TRIM_HORIZON
from kinesis_source.options.settings import StreamSettings

__all__ = ["check_access"]

_CREATING_S: Final = 30.0
_POLL_S: Final = 1.0
_SHARDS_TRIED: Final = 3
_CAN_BE_READ: Final = ("ACTIVE", "UPDATING")


def check_access(
    api: StreamApi,
    stream: StreamSettings,
    *,
    creating_s: float = _CREATING_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> StreamDescription:
    """Make sure that a stream can be read.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    creating_s : float
        How long to wait for a stream that is being created, seconds.
    sleep, clock : callable

    Returns
    -------
    StreamDescription

    Raises
    ------
    StreamError
        ``[STREAM_NOT_FOUND]``, ``[STREAM_DELETING]``, or ``[STREAM_NOT_ACTIVE]`` if it is not
        ready in time.
    AccessDeniedError, CredentialError, ThrottledError, ServiceError
        From the calls.
    """
    description = _wait_until_readable(api, stream, creating_s, sleep, clock)
    shards = api.list_shards(stream)
    # A stream has open shards at all times; a listing that is behind may show none.
    candidates = [shard for shard in shards if not shard.is_closed] or list(shards)
    for shard in candidates[:_SHARDS_TRIED]:
        if _answers(api, stream, shard.shard_id):
            break
    return description


def _answers(api: StreamApi, stream: StreamSettings, shard_id: str) -> bool:
    """Read one record at most; False if AWS contradicts the listing that shows the shard.

    Whoever is not allowed to call is told so before it matters what the call was about.
    """
    try:
        iterator = api.get_iterator(stream, shard_id, TRIM_HORIZON)
        api.get_page(stream, shard_id, iterator, 1)
    except (PositionRefusedError, IteratorExpiredError):
        return False
    except StreamError as error:
        if error.code != "STREAM_SHARD_NOT_FOUND":
            raise
        return False
    return True


def _wait_until_readable(
    api: StreamApi,
    stream: StreamSettings,
    creating_s: float,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> StreamDescription:
    deadline_s = clock() + creating_s
    while True:
        description = api.describe(stream)
        if description.status in _CAN_BE_READ:
            return description
        subject = f"Stream {stream.key!r} ({description.arn})"
        if description.status == "DELETING":
            raise stream_deleting(subject, "DescribeStreamSummary")
        left_s = deadline_s - clock()
        if left_s <= 0:
            raise StreamError(
                "STREAM_NOT_ACTIVE",
                f"{subject} is still {description.status} after {creating_s:.0f} s "
                "(DescribeStreamSummary).",
                "Wait until it is ACTIVE and start the query again.",
            )
        sleep(min(_POLL_S, left_s))
