"""Shards that are adopted too late, on the driver: children whose parents are no longer listed.

A closed shard leaves the listings when the last of its records is older than the retention. Until
then its children are whole: all they hold came later. After that the oldest of it may be gone, and
a parent that nobody read took its own records with it. Pure: positions and a listing in, what may
be lost out; who believes it, and when, is plan/frontier.py's part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kinesis_source.cursor.horizon import MARGIN_MS
from kinesis_source.model.positions import LOST, Position, ShardEnd
from kinesis_source.model.shards import Lineage

__all__ = ["LateShard", "late_shards"]


@dataclass(frozen=True)
class LateShard:
    """What adopting a shard means for what came before.

    Parameters
    ----------
    shard_id : str
        The shard that may begin.
    expired : tuple of str
        Parents that were read, and are older than the retention by now: records at the beginning of
        the shard may be gone.
    unread : tuple of str
        Parents that were never read, and are not listed any more.
    since_ms : int or None
        A moment before which nothing arrived in the shard, where it is known.
    """

    shard_id: str
    expired: tuple[str, ...]
    unread: tuple[str, ...]
    since_ms: int | None


def late_shards(
    start: Mapping[str, Position],
    lineage: Lineage,
    readable: Mapping[str, Position],
    now_ms: int,
    retention_ms: int,
) -> dict[str, LateShard]:
    """Return those of the readable shards that begin late.

    Parameters
    ----------
    start : mapping of shard id to Position
        Of the batch's start offset.
    lineage : Lineage
    readable : mapping of shard id to Position
        See readable_shards.
    now_ms : int
        AWS's clock.
    retention_ms : int

    Returns
    -------
    dict of shard id to LateShard
    """
    passed = lineage.ancestors(start)
    late: dict[str, LateShard] = {}
    for shard_id in readable:
        if shard_id in start or shard_id not in lineage:
            continue
        gone = [p for p in lineage.shards[shard_id].parents if p not in lineage]
        expired = tuple(
            p
            for p in gone
            if (p in start or p in passed)
            and not _tells_enough(start.get(p), now_ms - retention_ms + MARGIN_MS)
        )
        unread = tuple(p for p in gone if p not in start and p not in passed)
        if expired or unread:
            known = [getattr(start.get(p), "empty_ms", None) for p in expired]
            since_ms = max((ms for ms in known if ms is not None), default=None)
            late[shard_id] = LateShard(shard_id, expired, unread, since_ms)
    return late


def _tells_enough(parent: Position | None, horizon_ms: int) -> bool:
    """Say whether a parent's position shows that nothing of its children can be gone unsaid."""
    if parent is LOST:
        return True  # gone before the query began, or reported
    is_known = isinstance(parent, ShardEnd) and parent.empty_ms is not None
    return is_known and parent.empty_ms > horizon_ms  # type: ignore[union-attr,operator]
