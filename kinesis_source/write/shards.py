"""ShardMap: which shard a record goes to, as the last listing has it.

Pure; made on the driver, pickled into tasks. It decides nothing but the pace: AWS itself routes
each record, and says in its reply where it went.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from kinesis_source.model.shards import HASH_KEY_MAX, Shard, covers

__all__ = ["UNKNOWN_SHARD", "ShardMap"]

UNKNOWN_SHARD = ""
"""Where a record goes of which no listing says it."""


class ShardMap:
    """The open shards of a stream by hash key.

    Parameters
    ----------
    shards : iterable of Shard
        A listing.
    """

    def __init__(self, shards: Iterable[Shard] = ()) -> None:
        taking = [shard for shard in shards if not shard.is_closed]
        ordered = sorted(taking, key=lambda shard: shard.first_hash_key)
        self.is_known = covers(ordered, 0, HASH_KEY_MAX)
        self._firsts = [shard.first_hash_key for shard in ordered]
        self._ids = [shard.shard_id for shard in ordered]

    def __len__(self) -> int:
        return len(self._ids)

    def shard_of(self, hash_key: int) -> str:
        """Return the id of a hash key's shard."""
        if not self.is_known:
            return UNKNOWN_SHARD
        return self._ids[bisect_right(self._firsts, hash_key) - 1]

    def first_hash_key(self, shard_id: str) -> int:
        """Return the first hash key of a shard."""
        return self._firsts[self._ids.index(shard_id)] if shard_id in self._ids else 0
