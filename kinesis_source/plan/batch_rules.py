"""The rules of a micro-batch, on the driver: facts in, the batch's end and its ranges out.

Pure: no clock, no AWS, no Spark. They get the start offset's positions, the lineage of one listing
and the bounds that the frontier found, and never ask for more. What they keep:

- a shard is readable in a batch only if all its parents were finished at the batch's START, so a
  child's records are never in the same batch as its parent's last ones (invariant 3);
- the ranges of a batch follow from its two offsets alone, so a replay reads the same (invariant 1);
- a finished shard stays in the offset as its end until its listed children cover its whole hash
  range and all have come into the offset: ListShards may show one child of a split before the
  other. What it knows of its time goes to the children (invariant 7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kinesis_source.cursor.horizon import MARGIN_MS
from kinesis_source.errors import OffsetError
from kinesis_source.model.offsets import StreamOffset, StreamPosition
from kinesis_source.model.positions import (
    END,
    LOST,
    TRIM_HORIZON,
    AfterRecord,
    FromRecord,
    OldestSince,
    Position,
    ShardEnd,
    empty_at_ms,
    is_ahead,
    is_finished,
    is_later,
)
from kinesis_source.model.ranges import Density, ShardRange
from kinesis_source.model.shards import Lineage, Shard

__all__ = [
    "StreamHints",
    "awaits_children",
    "group_ranges",
    "next_retention",
    "orphaned_shards",
    "plan_end",
    "plan_ranges",
    "readable_shards",
    "shorter_retention",
]

Positions = Mapping[str, Position]


@dataclass(frozen=True)
class StreamHints:
    """What the driver knows of a stream and spares its tasks the asking. Decides nothing.

    Parameters
    ----------
    densities : mapping of shard id to Density
    retention_ms : int or None
    """

    densities: Mapping[str, Density] = field(default_factory=dict)
    retention_ms: int | None = None


def readable_shards(start: Positions, lineage: Lineage, now_ms: int) -> dict[str, Position]:
    """Return the shards that a batch which begins at ``start`` may read, and from where.

    Parameters
    ----------
    start : mapping of shard id to Position
        Of the batch's start offset.
    lineage : Lineage
        A listing made at any later time.
    now_ms : int
        A moment not ahead of AWS's clock.

    Returns
    -------
    dict of shard id to Position
        Shards of the offset that are not finished, and new ones at their oldest record: all whose
        parents are finished in ``start``. Whether a new one came too late is asked elsewhere
        (plan/late_shards.py).
    """
    passed = lineage.ancestors(start)
    # A listing that lacks a shard may make an old one look like a new root. Then only shards that
    # follow a known one are taken; the rest waits for the next listing.
    is_trusted = lineage.is_complete and all(
        shard_id in lineage for shard_id, position in start.items() if not is_finished(position)
    )
    readable: dict[str, Position] = {
        shard_id: position
        for shard_id, position in start.items()
        if not is_finished(position) and _known_parents_are_finished(shard_id, start, lineage)
    }
    for shard in lineage:
        if shard.shard_id in start or shard.shard_id in passed:
            continue
        if _is_next(shard, start, passed, lineage, is_trusted=is_trusted):
            readable[shard.shard_id] = OldestSince(now_ms, _children_since_ms(shard, start))
    return readable


def _children_since_ms(shard: Shard, start: Positions) -> int | None:
    """Return a moment before which nothing can have arrived in a new shard: a parent was open."""
    known = [
        position.empty_ms
        for position in map(start.get, shard.parents)
        if isinstance(position, ShardEnd) and position.empty_ms is not None
    ]
    return max(known, default=None)


def _known_parents_are_finished(shard_id: str, start: Positions, lineage: Lineage) -> bool:
    """Say whether a shard of the offset may be read: a start at a moment may hold parents too."""
    if shard_id not in lineage:
        return True
    return all(is_finished(start.get(parent, END)) for parent in lineage.shards[shard_id].parents)


def _is_next(
    shard: Shard, start: Positions, passed: set[str], lineage: Lineage, *, is_trusted: bool
) -> bool:
    """Say whether a shard without position may begin: all its parents are finished."""
    follows_known = bool(shard.parents)
    for parent in shard.parents:
        if parent in start:
            if not is_finished(start[parent]):
                return False
        elif parent not in passed:
            if parent in lineage:
                return False
            follows_known = False
    return follows_known or is_trusted


def plan_end(
    start: Positions,
    lineage: Lineage,
    readable: Positions,
    bounds: Positions,
    resets: Positions | None = None,
) -> dict[str, Position]:
    """Return where a batch that begins at ``start`` ends.

    Parameters
    ----------
    start : mapping of shard id to Position
    lineage : Lineage
    readable : mapping of shard id to Position
        Of :func:`readable_shards`, or fewer: a shard that is left out waits.
    bounds : mapping of shard id to Position
        What the frontier found: the position of a record that exists, or the end of a closed shard.
        Shards without news may be missing; bounds of shards that may not be read yet are ignored.
    resets : mapping of shard id to Position, optional
        After a loss that was reported: LOST for a shard that vanished, OldestSince for one whose
        position AWS knows no more.

    Returns
    -------
    dict of shard id to Position
        Equal to ``start`` if there is no news.
    """
    end = dict(start)
    for shard_id, position in readable.items():
        bound = bounds.get(shard_id, position)
        if is_later(bound, position):
            end[shard_id] = bound
        elif shard_id not in start:
            end[shard_id] = position
    end.update(resets or {})
    passed = lineage.ancestors(end)
    for shard_id, position in start.items():
        if is_finished(position) and _is_succeeded(shard_id, end, passed, lineage):
            del end[shard_id]
    return end


def awaits_children(positions: Positions, lineage: Lineage) -> bool:
    """Say whether a finished shard's children are not all listed yet.

    Parameters
    ----------
    positions : mapping of shard id to Position
        Of an offset: finished shards leave it when their children have come into it.
    lineage : Lineage
        A later listing.
    """
    return any(
        isinstance(position, ShardEnd)
        and shard_id in lineage
        and not lineage.children_cover(shard_id)
        for shard_id, position in positions.items()
    )


def orphaned_shards(start: Positions, lineage: Lineage) -> list[str]:
    """Return finished shards that are no longer listed, nor any child of theirs.

    Either the listing is behind, or the children vanished before they were read.
    """
    return [
        shard_id
        for shard_id, position in start.items()
        if isinstance(position, ShardEnd)
        and shard_id not in lineage
        and not lineage.children(shard_id)
    ]


def _is_succeeded(shard_id: str, positions: Positions, passed: set[str], lineage: Lineage) -> bool:
    """Say whether a finished shard's place is taken by shards that have positions."""
    children = lineage.children(shard_id)
    if shard_id in lineage:
        if not lineage.children_cover(shard_id):
            return False
    elif not children or not lineage.is_complete:
        # No longer listed, so its hash range is not known. limit: a shard that outlives all its
        # children in the offset stays there as one short entry.
        return False
    return all(child.shard_id in positions or child.shard_id in passed for child in children)


def plan_ranges(
    start: StreamOffset, end: StreamOffset, hints: Mapping[str, StreamHints] | None = None
) -> list[ShardRange]:
    """Return what a batch reads. A function of its two offsets alone, hints aside.

    Parameters
    ----------
    start, end : StreamOffset
    hints : mapping of stream key to StreamHints, optional

    Raises
    ------
    OffsetError
        ``[OFFSET_MISMATCH]`` if a shard that is not finished in ``start`` is missing in ``end``.
    """
    if end.start is not None:
        # Batch 0: Spark asks again where it starts, the end offset knows (invariant 5).
        starts = end.start if start.is_initial else start.streams
    else:
        starts = start.streams
    ranges: list[ShardRange] = []
    for key, stream_end in sorted(end.streams.items()):
        stream_start = starts.get(key)
        if stream_start is not None:
            begins = end.begins.get(key, {})
            hint = (hints or {}).get(key) or StreamHints()
            ranges.extend(_stream_ranges(key, stream_start, stream_end, begins, hint))
    return ranges


def _stream_ranges(
    key: str,
    start: StreamPosition,
    end: StreamPosition,
    begins: Mapping[str, FromRecord],
    hints: StreamHints,
) -> Iterable[ShardRange]:
    # A stream that was deleted and created again has other shards under the same ids.
    positions = start.shards if start.created_ms == end.created_ms else {}
    for shard_id, position in positions.items():
        if not is_finished(position) and shard_id not in end.shards:
            raise OffsetError(
                "OFFSET_MISMATCH",
                f"Shard {shard_id!r} of stream {key!r} is in a batch's start offset but not in "
                "its end offset.",
                "Restore the checkpoint from a copy, or start with a new checkpoint directory.",
            )
    for shard_id, last in sorted(end.shards.items()):
        first = positions.get(shard_id, TRIM_HORIZON)
        begin: Position | FromRecord = first
        if not isinstance(first, AfterRecord):
            begin = begins.get(shard_id, first)
        if is_ahead(last, first):
            yield ShardRange(
                key,
                shard_id,
                begin,
                END if isinstance(last, ShardEnd) else last,
                hints.densities.get(shard_id),
                shorter_retention(hints.retention_ms, start.retention_ms),
            )


def shorter_retention(described_ms: int | None, noted_ms: int | None) -> int | None:
    """Return the retention by which a position's age is judged: raising it brings nothing back."""
    known = [ms for ms in (described_ms, noted_ms) if ms is not None]
    return min(known, default=None)


def next_retention(
    noted_ms: int | None, described_ms: int, positions: Positions, now_ms: int
) -> int:
    """Return the retention that an end offset notes.

    A longer one counts only when all that the positions say is young enough to have been true
    under the shorter one: else what that took would look as if it were kept.
    """
    if noted_ms is None or described_ms <= noted_ms:
        return described_ms
    horizon_ms = now_ms - noted_ms + MARGIN_MS
    # Finished shards too: their children begin by what they say.
    known = [empty_at_ms(p) for p in positions.values() if p is not LOST]
    is_young = all(ms is not None and ms > horizon_ms for ms in known)
    return described_ms if is_young else noted_ms


def group_ranges(ranges: list[ShardRange], shards_per_task: int) -> list[tuple[ShardRange, ...]]:
    """Deal ranges to tasks, at most ``shards_per_task`` each, as evenly as can be."""
    if not ranges:
        return []
    tasks = -(-len(ranges) // shards_per_task)
    return [tuple(ranges[task::tasks]) for task in range(tasks)]
