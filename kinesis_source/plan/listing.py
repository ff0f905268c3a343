"""ShardListing, on the driver: the shards of one stream, as last listed.

A cache of ListShards; a new process needs none of it. Used by the planning thread and by the ones
that poll: a listing is replaced as a whole, never changed, and no lock is held during the call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from kinesis_source.aws.api import StreamApi
from kinesis_source.errors import StreamError
from kinesis_source.model.shards import HASH_KEY_MAX, Lineage, Shard, covers
from kinesis_source.options.settings import StreamSettings
from kinesis_source.plan.runtime import Runtime

__all__ = ["ShardListing"]

DEADLINE_S = 30.0
"""How long a listing with a hole is asked for again before a query can start."""
LEAST_INTERVAL_S = 0.5
"""Between two listings that are asked for because shards are missing in the last."""


class ShardListing:
    """The shards of one stream.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    fetch_interval_ms : int
        A listing that is older is due.
    runtime : Runtime
    """

    def __init__(
        self, api: StreamApi, stream: StreamSettings, fetch_interval_ms: int, runtime: Runtime
    ) -> None:
        self._api = api
        self._stream = stream
        self._fetch_interval_s = fetch_interval_ms / 1000
        self._runtime = runtime
        self._lock = threading.Lock()
        self._lineage: Lineage | None = None
        self._is_asked_for = False
        self.listed_s = float("-inf")
        """When the last listing was begun."""

    @property
    def last(self) -> Lineage | None:
        """The last listing. No I/O."""
        return self._lineage

    def lineage(self) -> Lineage:
        """Return the last listing, made now only if there is none."""
        return self._lineage or self.list_now()

    @property
    def is_due(self) -> bool:
        """Whether the fetch interval is over, or another listing was asked for."""
        age_s = self._runtime.monotonic() - self.listed_s
        return age_s >= (LEAST_INTERVAL_S if self._is_asked_for else self._fetch_interval_s)

    def ask_for_another(self) -> None:
        """Let the next listing not wait for the fetch interval: shards are missing in the last."""
        self._is_asked_for = True

    def forget(self) -> None:
        """Know nothing: the stream is another one by now."""
        with self._lock:
            self._lineage = None
            self.listed_s = float("-inf")

    def list_now(self, api: StreamApi | None = None) -> Lineage:
        """List, whatever is known.

        Parameters
        ----------
        api : StreamApi or None
            Another one than the listing's own, such as one that tries once.
        """
        began_s = self._runtime.monotonic()
        self._is_asked_for = False
        shards = (api or self._api).list_shards(self._stream)
        with self._lock:
            lineage = Lineage(self._with_sticky_closes(shards))
            if began_s >= self.listed_s:  # two at a time: the one that began later counts
                self._lineage, self.listed_s = lineage, began_s
            return self._lineage or lineage

    def complete(self, shards: Callable[[], tuple[Shard, ...]]) -> tuple[Shard, ...]:
        """List until the shards that a query starts with cover every hash key.

        Each record has one of them then.

        Parameters
        ----------
        shards : callable
            Lists, and chooses the shards to start with.

        Raises
        ------
        StreamError
            ``[STREAM_LISTING]`` if no listing without holes could be had in time.
        """
        deadline_s = self._runtime.monotonic() + DEADLINE_S
        while True:
            found = shards()
            if covers(found, 0, HASH_KEY_MAX) and self.lineage().is_complete:
                return found
            if self._runtime.monotonic() >= deadline_s:
                raise StreamError(
                    "STREAM_LISTING",
                    f"The shards listed for stream {self._stream.key!r} left part of the hash key "
                    f"range without a shard for {DEADLINE_S:.0f} s ({len(found)} shards).",
                    "The stream is being resharded or deleted: start the query again in a minute.",
                )
            self._runtime.sleep(LEAST_INTERVAL_S)

    def _with_sticky_closes(self, shards: tuple[Shard, ...]) -> tuple[Shard, ...]:
        """Keep a shard closed that an older listing showed closed: shards never open again."""
        if self._lineage is None:
            return shards
        known = self._lineage.shards
        return tuple(
            known[shard.shard_id]
            if shard.shard_id in known and known[shard.shard_id].is_closed
            else shard
            for shard in shards
        )
