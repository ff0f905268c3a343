"""Where a query begins in a stream, on the driver: fixed positions for a start that may move.

Done once in the life of a checkpoint (invariant 5). In: the user's start and the listing. Out: a
StreamPosition, or a coded error.
"""

from __future__ import annotations

import time

from kinesis_source.aws.api import PositionRefusedError, StreamApi
from kinesis_source.cursor.horizon import MARGIN_MS, SHORTEST_RETENTION_MS
from kinesis_source.errors import OptionError, ServiceError, StreamError
from kinesis_source.model.offsets import StreamPosition
from kinesis_source.model.positions import (
    LOST,
    AtTimestamp,
    OldestSince,
    Position,
    with_emptiness,
)
from kinesis_source.model.shards import Lineage, Shard
from kinesis_source.options.settings import LATEST, StreamSettings, StreamStart
from kinesis_source.plan.listing import Choice, ShardListing

__all__ = ["latest_moment", "refuse_future", "resolve_start"]

LATEST_TRIES = 5
LONGEST_BACK_MS = 10_000
"""How much earlier than the first question "latest" may be: so long after ``load()`` a query starts
that somebody waits for, who may have put records since."""
NEAR_FUTURE_MS = 2_000
"""AWS's clock is known to about a second: a start that seems to lie this near ahead has come."""


def resolve_start(
    api: StreamApi,
    stream: StreamSettings,
    listing: ShardListing,
    initial: StreamStart,
    created_ms: int,
    loaded_ms: int | None = None,
) -> StreamPosition:
    """Turn a start into fixed positions.

    LATEST becomes a moment that is not ahead of AWS's clock, so that nothing put after ``load()``
    is missed where the query starts within seconds of it, nor anything after its start; as the
    clock is known to about a second, a little of what came just before may be read. AWS itself is
    asked whether the moment has come: what it refuses never gets into a checkpoint.

    A shard of which one parent is listed and the other is not, a merge at the edge of the
    retention, begins after the one that is left. The other one was gone before the query began: it
    stands in the start as lost.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    listing : ShardListing
    initial : StreamStart
        Not one of shards, see plan/named_starts.py.
    created_ms : int
        The stream's creation time.
    loaded_ms : int or None
        When ``load()`` was called, by this machine's clock.

    Raises
    ------
    OptionError
        ``[OPTION_RANGE]`` if the start lies in the future.
    StreamError
        ``[STREAM_LISTING]`` if no listing without holes could be had in time.
    """
    at = latest_moment(api, stream, listing, loaded_ms) if initial is LATEST else initial
    is_old = api.now_ms() - created_ms >= SHORTEST_RETENTION_MS - MARGIN_MS
    if isinstance(at, AtTimestamp):
        # The shards open at the very moment, not those open now: one that is closed since may
        # have got records.
        epoch_ms = at.epoch_ms
        shards = listing.complete(
            lambda: _open_at(api, stream, listing, epoch_ms), may_be_gone=is_old
        )
        position: Position = AtTimestamp(epoch_ms, api.now_ms())
    else:
        shards = listing.complete(
            lambda: _choice((), _oldest(listing.list_now()), listing.lineage()), may_be_gone=is_old
        )
        position = OldestSince(api.now_ms())
    lineage = listing.lineage()
    # Nothing is older than the stream.
    position = with_emptiness(position, created_ms)
    start = {
        shard.shard_id: position for shard in shards if not _waits_for_other(shard, lineage, shards)
    }
    gone = {
        parent: LOST
        for shard in shards
        if shard.shard_id not in start
        for parent in shard.parents
        if parent not in lineage
    }
    return StreamPosition(created_ms, start | gone)


def latest_moment(
    api: StreamApi, stream: StreamSettings, listing: ShardListing, loaded_ms: int | None = None
) -> AtTimestamp:
    """Return a moment that AWS agrees has come: that of ``load()``, or seconds before now."""
    for _ in range(LATEST_TRIES):
        at = AtTimestamp(api.now_ms() - _since_load_ms(loaded_ms))
        shards = listing.list_now().open_shards
        if not shards:
            return at
        try:
            api.get_iterator(stream, shards[0].shard_id, at)
        except PositionRefusedError:
            api.refute_now(at.epoch_ms)
        except StreamError as error:
            if error.code != "STREAM_SHARD_NOT_FOUND":
                raise
        else:
            return at
    raise ServiceError(
        "SERVICE_CLOCK",
        f"AWS refused the present moment as one of its future {LATEST_TRIES} times for stream "
        f"{stream.key!r}: the Date headers of its replies are ahead of its own clock.",
        "Look for a proxy that answers in Kinesis's place; or start at a time of your own.",
    )


def _since_load_ms(loaded_ms: int | None) -> int:
    """Return how long ago ``load()`` was, at most LONGEST_BACK_MS: the difference of one clock."""
    if loaded_ms is None:
        return 0
    return min(LONGEST_BACK_MS, max(0, time.time_ns() // 1_000_000 - loaded_ms))


def _oldest(lineage: Lineage) -> tuple[Shard, ...]:
    """Return the shards to start with at the oldest record, and those that wait for one of them.

    Together they hold every hash key: a merge whose one parent is gone stands for that one.
    """
    roots = {shard.shard_id for shard in lineage.roots}
    return tuple(
        shard
        for shard in lineage
        if shard.shard_id in roots or (_lacks_parent(shard, lineage) and shard.parents)
    )


def _choice(open_then: tuple[Shard, ...], oldest: tuple[Shard, ...], lineage: Lineage) -> Choice:
    gone = {parent for shard in oldest for parent in shard.parents if parent not in lineage}
    return Choice(open_then + oldest, frozenset(gone))


def _lacks_parent(shard: Shard, lineage: Lineage) -> bool:
    return any(parent not in lineage for parent in shard.parents)


def _waits_for_other(shard: Shard, lineage: Lineage, chosen: tuple[Shard, ...]) -> bool:
    """Say whether a chosen shard is one that follows another chosen one."""
    started = {other.shard_id for other in chosen}
    return bool(started & lineage.ancestors([shard.shard_id])) and _lacks_parent(shard, lineage)


def _open_at(
    api: StreamApi, stream: StreamSettings, listing: ShardListing, epoch_ms: int
) -> Choice:
    lineage = listing.list_now()
    # ListShards may take a moment that GetShardIterator refuses: do not rely on it.
    refuse_future(api, stream, epoch_ms, NEAR_FUTURE_MS)
    try:
        found = api.list_shards(stream, open_at_ms=epoch_ms)
    except PositionRefusedError:
        refuse_future(api, stream, epoch_ms)
        return _choice((), _oldest(lineage), lineage)  # older than the retention
    # The moment may be older than the retention, or than the stream: where no shard of then is
    # listed any more, the oldest that are listed took over.
    begun = {shard.shard_id for shard in found}
    begun |= lineage.ancestors(begun)
    others = tuple(shard for shard in _oldest(lineage) if shard.shard_id not in begun)
    return _choice(found, others, lineage)


def refuse_future(
    api: StreamApi, stream: StreamSettings, epoch_ms: int, tolerance_ms: int = 0
) -> None:
    """Raise the coded error for a start that lies ahead of AWS's clock."""
    now_ms = api.now_ms()
    if epoch_ms > now_ms + tolerance_ms:
        raise OptionError(
            "OPTION_RANGE",
            f"Option 'initialPosition' lies {epoch_ms - now_ms} ms in the future of AWS's "
            f"clock for stream {stream.key!r}.",
            "Write a time that has passed, or 'latest'.",
        )
