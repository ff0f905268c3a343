"""Losses that planning sees, on the driver: shards that vanished, streams that are others now.

Raises, or logs where the user wants to go on (``failOnDataLoss=false``). What the executors see is
in cursor/trimming.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from kinesis_source.cursor.naming import name_position, name_time
from kinesis_source.errors import DataLossError
from kinesis_source.model.offsets import StreamPosition
from kinesis_source.model.positions import TRIM_HORIZON, Position
from kinesis_source.options.settings import StreamSettings

__all__ = ["report_lost", "report_recreated"]

logger = logging.getLogger("kinesis_source")

NAMED_SHARDS = 10


def report_lost(
    stream: StreamSettings,
    losses: Mapping[str, Position],
    start: StreamPosition,
    *,
    fails: bool,
) -> None:
    """Report shards, or positions in them, that AWS knows no more.

    Raises
    ------
    DataLossError
        ``[DATA_LOSS_SHARD]``, if ``fails``.
    """
    places = "; ".join(
        f"{shard_id!r} behind {name_position(start.shards.get(shard_id, TRIM_HORIZON))}"
        for shard_id in sorted(losses)[:NAMED_SHARDS]
    )
    left = len(losses) - NAMED_SHARDS
    more = f" and {left} more" if left > 0 else ""
    _report(
        "DATA_LOSS_SHARD",
        f"Stream {stream.key!r} knows these shards, the positions in them or the children of "
        f"them no more: {places}{more}. What was unread there is gone: it is older than the "
        "retention.",
        "Read more often than the retention lasts, or lengthen it. Set failOnDataLoss=false "
        "to go on with the oldest records that are left.",
        fails=fails,
    )


def report_recreated(
    stream: StreamSettings, start: StreamPosition, created_ms: int, *, fails: bool
) -> None:
    """Report a stream that is not the one that the checkpoint belongs to.

    Raises
    ------
    DataLossError
        ``[DATA_LOSS_STREAM_RECREATED]``, if ``fails``.
    """
    _report(
        "DATA_LOSS_STREAM_RECREATED",
        f"Stream {stream.key!r} is not the one that the checkpoint belongs to: that one was "
        f"created at {name_time(start.created_ms)}, this one at {name_time(created_ms)}. It "
        "was deleted and created again, or it is that of another region or account. What was "
        "unread in the old one is not in this one.",
        "Check region and roleArn; start with a new checkpoint directory, or set "
        "failOnDataLoss=false to go on with the oldest record of the new stream.",
        fails=fails,
    )


def _report(code: str, problem: str, hint: str, *, fails: bool) -> None:
    if fails:
        raise DataLossError(code, problem, hint)
    logger.warning("[%s] %s Going on as failOnDataLoss=false says.", code, problem)
