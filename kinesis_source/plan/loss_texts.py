"""What planning says of losses, on the driver: facts in, a Loss out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kinesis_source.cursor.losses import Loss
from kinesis_source.cursor.naming import name_position, name_time
from kinesis_source.model.offsets import StreamPosition
from kinesis_source.model.positions import TRIM_HORIZON, Position
from kinesis_source.plan.late_shards import LateShard

__all__ = ["begun_late", "created_anew", "gone_unwatched", "vanished"]

NAMED_SHARDS = 10
_HINT = "Read more often than the retention lasts, or lengthen it."


def created_anew(stream_key: str, start: StreamPosition, created_ms: int) -> Loss:
    """Say that a stream is not the one that the checkpoint belongs to."""
    return Loss(
        "DATA_LOSS_STREAM_RECREATED",
        f"Stream {stream_key!r} is not the one that the checkpoint belongs to: that one was "
        f"created at {name_time(start.created_ms)}, this one at {name_time(created_ms)}. It was "
        "deleted and created again, or it is that of another region or account. What was unread "
        "in the old one is not in this one.",
        "Check region and roleArn; start with a new checkpoint directory, or set "
        "failOnDataLoss=false to go on with the oldest record of the new stream.",
        go_on="",
    )


def vanished(stream_key: str, start: StreamPosition, resets: Mapping[str, Position]) -> Loss:
    """Say that AWS knows shards, or the positions in them, no more."""
    starts = {shard_id: start.shards.get(shard_id, TRIM_HORIZON) for shard_id in resets}
    return Loss(
        "DATA_LOSS_SHARD",
        f"Stream {stream_key!r} knows these shards, the positions in them or the children of them "
        f"no more: {_places(starts)}. What was unread there may be gone: it is older than the "
        "retention.",
        _HINT,
    )


def gone_unwatched(stream_key: str, starts: Mapping[str, Position], retention_ms: int) -> Loss:
    """Say that records may have come, and gone, before anybody looked."""
    return Loss(
        "DATA_LOSS_TRIMMED",
        f"Stream {stream_key!r}: records may be gone that came into these shards and grew older "
        f"than the retention of {retention_ms // 3_600_000} h before the query looked: "
        f"{_places(starts)}.",
        _HINT,
    )


def begun_late(stream_key: str, late: Sequence[LateShard]) -> Loss:
    """Say which shards begin without their parents; all in one, it may end the query."""
    stream = f"of stream {stream_key!r}"
    named = late[:NAMED_SHARDS]
    texts = [
        f"Shard {shard.shard_id!r} {stream} begins without its parent {_names(shard.unread)}, "
        "which is not listed any more and was never read: what it held is gone, and the first "
        "records of the shard itself may be gone."
        for shard in named
        if shard.unread
    ]
    texts += [
        f"Shard {shard.shard_id!r} {stream} begins when its parent {_names(shard.expired)} is "
        f"older than the retention: records that came into it{_since(shard)} and are older than "
        "the retention may be gone."
        for shard in named
        if not shard.unread
    ]
    if len(late) > NAMED_SHARDS:
        texts.append(f"So do {len(late) - NAMED_SHARDS} shards more.")
    is_unread = any(shard.unread for shard in late)
    code = "DATA_LOSS_SHARD" if is_unread else "DATA_LOSS_TRIMMED"
    return Loss(code, " ".join(texts), _HINT)


def _places(starts: Mapping[str, Position]) -> str:
    places = "; ".join(
        f"{shard_id!r} behind {name_position(starts[shard_id])}"
        for shard_id in sorted(starts)[:NAMED_SHARDS]
    )
    left = len(starts) - NAMED_SHARDS
    return f"{places} and {left} more" if left > 0 else places


def _names(shard_ids: Sequence[str]) -> str:
    return " and ".join(map(repr, shard_ids))


def _since(late: LateShard) -> str:
    return f" since {name_time(late.since_ms)}" if late.since_ms is not None else ""
