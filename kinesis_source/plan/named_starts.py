"""Where a query begins whose user named a place for each shard, on the driver.

The same as plan/start.py for another kind of start: done once in the life of a checkpoint
(invariant 5), places in and fixed positions out. A shard that is not named begins at its oldest
record, unless it descends from a named one, which it follows, or is an ancestor of one, which
counts as read.
"""

from __future__ import annotations

import time

from kinesis_source.aws.api import IteratorExpiredError, PositionRefusedError, StreamApi
from kinesis_source.cursor.losses import Loss, LossPolicy
from kinesis_source.cursor.naming import name_time
from kinesis_source.cursor.shard_cursor import ShardCursor
from kinesis_source.errors import OptionError, ServiceError, StreamError
from kinesis_source.model.offsets import StreamPosition
from kinesis_source.model.positions import (
    TRIM_HORIZON,
    AfterRecord,
    AtTimestamp,
    FromRecord,
    OldestSince,
    Position,
    ShardEnd,
    with_emptiness,
)
from kinesis_source.model.shards import Lineage
from kinesis_source.options.settings import (
    LATEST,
    NumberedRecord,
    ShardStart,
    ShardStarts,
    StreamSettings,
)
from kinesis_source.plan.listing import ShardListing
from kinesis_source.plan.start import latest_moment, refuse_future

__all__ = ["find_record", "resolve_shard_starts"]

EMPTY_TRIES = 20
"""Pages without records, in a row, that AWS may give before the one that answers."""


def resolve_shard_starts(
    api: StreamApi,
    stream: StreamSettings,
    listing: ShardListing,
    starts: ShardStarts,
    created_ms: int,
    losses: LossPolicy,
    loaded_ms: int | None = None,
) -> StreamPosition:
    """Turn named places into fixed positions.

    A record that is named must be there, or be gone by the retention: that is a loss, reported as
    every other one.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    listing : ShardListing
    starts : ShardStarts
    created_ms : int
        The stream's creation time.
    losses : LossPolicy
    loaded_ms : int or None
        See resolve_start.

    Raises
    ------
    OptionError
        ``[OPTION_VALUE]`` for a shard or a record that AWS does not know.
    DataLossError
        ``[DATA_LOSS_TRIMMED]`` if what came behind a record may be gone.
    """
    lineage = listing.list_now()
    named = dict(starts.shards)
    _expect_listed(stream, named, lineage)
    now_ms = api.now_ms()
    positions: dict[str, Position] = {}
    for shard_id, place in named.items():
        fixed = place
        if place is LATEST:
            fixed = latest_moment(api, stream, listing, loaded_ms)
        position = _resolve(api, stream, listing, shard_id, fixed, losses)
        positions[shard_id] = with_emptiness(position, created_ms)
    passed = lineage.ancestors(named)
    for shard in lineage.roots:
        if shard.shard_id not in named and shard.shard_id not in passed:
            oldest = with_emptiness(OldestSince(now_ms), created_ms)
            positions.setdefault(shard.shard_id, oldest)
    return StreamPosition(created_ms, positions)


def find_record(
    api: StreamApi, stream: StreamSettings, shard_id: str, number: str
) -> AfterRecord | None:
    """Return the place of the first record at or behind a number; None if there is none.

    Raises
    ------
    PositionRefusedError
        AWS does not know the number in this shard.
    """
    # The arrival time is not known, and no iterator at a number asks for it.
    place = FromRecord(number, 0)
    cursor = ShardCursor(api, stream, shard_id, place, monotonic=time.monotonic)
    for _ in range(EMPTY_TRIES):
        try:
            page = cursor.next_page(1)
        except IteratorExpiredError:
            continue
        if len(page):
            return AfterRecord(page.sequence_numbers[0], page.arrival_ms[0])
        if page.next_iterator is None or page.millis_behind_latest == 0:
            return None
    raise ServiceError(
        "SERVICE_STALLED",
        f"Shard {shard_id!r} of stream {stream.key!r}: AWS gave {EMPTY_TRIES} empty pages behind "
        f"sequence number {number}, and says that there is more.",
        "Start the query again.",
    )


def _expect_listed(stream: StreamSettings, named: dict[str, ShardStart], lineage: Lineage) -> None:
    for shard_id in sorted(named.keys() - lineage.shards.keys()):
        raise OptionError(
            "OPTION_VALUE",
            f"Option 'initialPosition' names shard {shard_id!r}, which stream {stream.key!r} does "
            f"not have: it has {_some(lineage)}.",
            "A shard that is older than the retention is listed no more: leave it out, its "
            "children begin at their oldest records.",
        )


def _some(lineage: Lineage) -> str:
    names = sorted(lineage.shards)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _resolve(
    api: StreamApi,
    stream: StreamSettings,
    listing: ShardListing,
    shard_id: str,
    place: ShardStart,
    losses: LossPolicy,
) -> Position:
    if isinstance(place, AtTimestamp):
        refuse_future(api, stream, place.epoch_ms)
        return AtTimestamp(place.epoch_ms, api.now_ms())
    if isinstance(place, NumberedRecord):
        return _resolve_record(api, stream, shard_id, place, losses)
    if place is TRIM_HORIZON:
        return OldestSince(api.now_ms())
    if isinstance(place, ShardEnd):
        if not listing.lineage().shards[shard_id].is_closed:
            raise OptionError(
                "OPTION_VALUE",
                f"Option 'initialPosition' says that shard {shard_id!r} of stream {stream.key!r} "
                "was read to its end, but it is open.",
                'Name its last record, {"after": "<sequence number>"}, or "latest".',
            )
        return place
    raise AssertionError(place)


def _resolve_record(
    api: StreamApi,
    stream: StreamSettings,
    shard_id: str,
    place: NumberedRecord,
    losses: LossPolicy,
) -> Position:
    number = place.sequence_number
    try:
        found = find_record(api, stream, shard_id, number)
    except (PositionRefusedError, StreamError) as error:
        if isinstance(error, StreamError) and error.code != "STREAM_SHARD_NOT_FOUND":
            raise
        raise OptionError(
            "OPTION_VALUE",
            f"Option 'initialPosition' names sequence number {number} in shard {shard_id!r} of "
            f"stream {stream.key!r}, which AWS does not know there ({error}).",
            "Name a record of that very shard, or a time.",
        ) from None
    if found is not None and found.sequence_number == number:
        if place.is_read:
            return found
        # There is no place before a record but its moment, which others may share.
        return AtTimestamp(found.arrival_ms, api.now_ms(), behind=str(int(number) - 1))
    losses.report(_gone(stream, shard_id, number, found))
    behind = number if place.is_read else str(int(number) - 1)
    return OldestSince(api.now_ms(), behind=behind)


def _gone(stream: StreamSettings, shard_id: str, number: str, found: AfterRecord | None) -> Loss:
    next_one = "nothing is left behind it"
    if found is not None:
        next_one = f"the next one is {found.sequence_number}, arrived {name_time(found.arrival_ms)}"
    return Loss(
        "DATA_LOSS_TRIMMED",
        f"Option 'initialPosition' names sequence number {number} in shard {shard_id!r} of stream "
        f"{stream.key!r}, and no such record is there; {next_one}. What came in between is older "
        "than the retention.",
        "Lengthen the retention before the next change.",
    )
