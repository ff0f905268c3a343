"""Shards and their lineage, as ListShards shows them.

Pure values, used on the driver. A split makes two children of one parent, a merge one child of two
parents. ListShards promises no order, may show one child of a split before the other, and no longer
shows shards older than the retention: every question here is answered from parent ids and hash
ranges alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

__all__ = ["HASH_KEY_MAX", "Lineage", "Shard", "covers"]

HASH_KEY_MAX = 2**128 - 1
"""Largest hash key: MD5 of the partition key, read as an unsigned integer."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard of a listing.

    Parameters
    ----------
    shard_id : str
    parents : tuple of str
        None, one (split) or two (merge) shard ids; they need not be listed any more.
    first_hash_key, last_hash_key : int
        Both inclusive, 0 to 2**128 - 1.
    is_closed : bool
        Whether an ending sequence number was shown. Its value is not kept: emulators put it below
        the last record, so it must not end a read.
    """

    shard_id: str
    parents: tuple[str, ...]
    first_hash_key: int
    last_hash_key: int
    is_closed: bool


class Lineage:
    """All listed shards with their children.

    Parameters
    ----------
    shards : iterable of Shard
        One complete listing, in any order.
    """

    def __init__(self, shards: Iterable[Shard]) -> None:
        self.shards: Mapping[str, Shard] = {shard.shard_id: shard for shard in shards}
        children: dict[str, list[str]] = {}
        for shard in self.shards.values():
            for parent in shard.parents:
                children.setdefault(parent, []).append(shard.shard_id)
        self._children = children

    def __contains__(self, shard_id: str) -> bool:
        return shard_id in self.shards

    def __iter__(self) -> Iterator[Shard]:
        return iter(self.shards.values())

    def __len__(self) -> int:
        return len(self.shards)

    def children(self, shard_id: str) -> tuple[Shard, ...]:
        """Return the listed children of a shard, which itself need not be listed."""
        return tuple(self.shards[child] for child in self._children.get(shard_id, ()))

    def listed_parents(self, shard_id: str) -> tuple[str, ...]:
        """Return those parents of a listed shard that are still listed."""
        return tuple(parent for parent in self.shards[shard_id].parents if parent in self.shards)

    def ancestors(self, shard_ids: Iterable[str]) -> set[str]:
        """Return every shard, listed or named as a parent, that the given ones descend from."""
        found: set[str] = set()
        pending = [shard_id for shard_id in shard_ids if shard_id in self.shards]
        while pending:
            for parent in self.shards[pending.pop()].parents:
                if parent not in found:
                    found.add(parent)
                    if parent in self.shards:
                        pending.append(parent)
        return found

    def children_cover(self, shard_id: str) -> bool:
        """Say whether the listed children take over the shard's whole hash range."""
        shard = self.shards.get(shard_id)
        if shard is None:
            return False
        return covers(self.children(shard_id), shard.first_hash_key, shard.last_hash_key)

    @cached_property
    def is_complete(self) -> bool:
        """Whether the children of every closed shard cover it.

        False while a listing shows one child of a split before the other: then a shard whose parent
        is not listed may have a parent that is merely not shown yet.
        """
        return all(self.children_cover(shard.shard_id) for shard in self if shard.is_closed)

    @cached_property
    def roots(self) -> tuple[Shard, ...]:
        """The shards with no listed parent: where a read of everything starts."""
        return tuple(shard for shard in self if not self.listed_parents(shard.shard_id))

    @cached_property
    def open_shards(self) -> tuple[Shard, ...]:
        """The shards that still take records."""
        return tuple(shard for shard in self if not shard.is_closed)


def covers(shards: Iterable[Shard], first_hash_key: int, last_hash_key: int) -> bool:
    """Say whether hash ranges together cover ``first_hash_key`` to ``last_hash_key``, inclusive."""
    next_key = first_hash_key
    for shard in sorted(shards, key=lambda shard: shard.first_hash_key):
        if shard.first_hash_key > next_key:
            return False
        next_key = max(next_key, shard.last_hash_key + 1)
    return next_key > last_hash_key
