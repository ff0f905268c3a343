"""Where a query begins in a stream, on the driver: fixed positions for a start that may move.

Done once in the life of a checkpoint (invariant 5). In: the user's start and the listing. Out: a
StreamPosition, or a coded error.
"""

from __future__ import annotations

from kinesis_source.aws.api import PositionRefusedError, StreamApi
from kinesis_source.errors import OptionError
from kinesis_source.model.offsets import StreamPosition
from kinesis_source.model.positions import AtTimestamp, with_completeness
from kinesis_source.model.shards import Shard
from kinesis_source.options.settings import LATEST, InitialPosition, StreamSettings
from kinesis_source.plan.listing import ShardListing

__all__ = ["resolve_start"]

NEAR_FUTURE_MS = 2_000
"""AWS's clock is known to about a second: a start that seems to lie this near ahead has come."""


def resolve_start(
    api: StreamApi,
    stream: StreamSettings,
    listing: ShardListing,
    initial: InitialPosition,
    created_ms: int,
) -> StreamPosition:
    """Turn a start into fixed positions.

    LATEST becomes a moment that is not ahead of AWS's clock, so that nothing put after this call is
    missed; as the clock is known to about a second, a little of what came just before may be read.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    listing : ShardListing
    initial : InitialPosition
    created_ms : int
        The stream's creation time.

    Raises
    ------
    OptionError
        ``[OPTION_RANGE]`` if the start lies in the future.
    StreamError
        ``[STREAM_LISTING]`` if no listing without holes could be had in time.
    """
    at = AtTimestamp(api.now_ms()) if initial is LATEST else initial
    if isinstance(at, AtTimestamp):
        # The shards open at the very moment, not those open now: one that is closed since may
        # have got records.
        epoch_ms = at.epoch_ms
        shards = listing.complete(lambda: _open_at(api, stream, listing, epoch_ms))
    else:
        shards = listing.complete(lambda: listing.list_now().roots)
    whole = with_completeness(at, api.now_ms())
    return StreamPosition(created_ms, {shard.shard_id: whole for shard in shards})


def _open_at(
    api: StreamApi, stream: StreamSettings, listing: ShardListing, epoch_ms: int
) -> tuple[Shard, ...]:
    lineage = listing.list_now()
    # ListShards may take a moment that GetShardIterator refuses: do not rely on it.
    _refuse_future(api, stream, epoch_ms, NEAR_FUTURE_MS)
    try:
        found = api.list_shards(stream, open_at_ms=epoch_ms)
    except PositionRefusedError:
        _refuse_future(api, stream, epoch_ms)
        return lineage.roots  # older than the retention
    # The moment may be older than the retention, or than the stream: where no shard of then is
    # listed any more, the oldest that are listed took over.
    begun = {shard.shard_id for shard in found}
    begun |= lineage.ancestors(begun)
    return found + tuple(shard for shard in lineage.roots if shard.shard_id not in begun)


def _refuse_future(
    api: StreamApi, stream: StreamSettings, epoch_ms: int, tolerance_ms: int = 0
) -> None:
    now_ms = api.now_ms()
    if epoch_ms > now_ms + tolerance_ms:
        raise OptionError(
            "OPTION_RANGE",
            f"Option 'initialPosition' lies {epoch_ms - now_ms} ms in the future of AWS's "
            f"clock for stream {stream.key!r}.",
            "Write a time that has passed, or 'latest'.",
        )
