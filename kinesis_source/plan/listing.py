"""ShardListing, on the driver: the shards of one stream, as last listed.

A cache of ListShards; a new process needs none of it. Used by the planner's thread and by the
threads that poll: a listing is replaced as a whole, never changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from kinesis_source.aws.api import StreamApi
from kinesis_source.errors import StreamError
from kinesis_source.model.shards import HASH_KEY_MAX, Lineage, Shard, covers
from kinesis_source.options.settings import StreamSettings

__all__ = ["ShardListing"]

DEADLINE_S = 30.0
"""How long a listing with a hole is asked for again before a query can start."""


class ShardListing:
    """The shards of one stream.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    fetch_interval_ms : int
        A listing that is older is made anew by :meth:`refresh`.
    monotonic, sleep : callable
        Clock and pause, in seconds.
    """

    def __init__(
        self,
        api: StreamApi,
        stream: StreamSettings,
        fetch_interval_ms: int,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._api = api
        self._stream = stream
        self._fetch_interval_s = fetch_interval_ms / 1000
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._lineage: Lineage | None = None
        self._listed_at_s = 0.0
        self._is_asked_for = False

    @property
    def last(self) -> Lineage | None:
        """The last listing. No I/O."""
        return self._lineage

    def lineage(self) -> Lineage:
        """Return the last listing, made now only if there is none."""
        return self._lineage or self.list_now()

    def refresh(self) -> Lineage:
        """Return the last listing, made now if the fetch interval is over or one was asked for."""
        lineage = self._lineage
        return self.list_now() if lineage is None or self.is_due else lineage

    @property
    def is_due(self) -> bool:
        """Whether the fetch interval is over, or another listing was asked for."""
        age_s = self._monotonic() - self._listed_at_s
        return self._is_asked_for or age_s >= self._fetch_interval_s

    def ask_for_another(self) -> None:
        """Let :meth:`refresh` not wait for the fetch interval: shards are missing in the last."""
        self._is_asked_for = True

    def list_now(self) -> Lineage:
        """List, whatever is known."""
        with self._lock:
            return self._list()

    def newer_than(self, time_s: float | None) -> Lineage:
        """Return a listing that began later than a time; made now if the last one did not."""
        with self._lock:
            if self._lineage is None or time_s is None or self._listed_at_s <= time_s:
                return self._list()
            return self._lineage

    def _list(self) -> Lineage:
        self._is_asked_for = False
        self._listed_at_s = self._monotonic()
        shards = self._api.list_shards(self._stream)
        self._lineage = Lineage(self._with_sticky_closes(shards))
        return self._lineage

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
        deadline_s = self._monotonic() + DEADLINE_S
        while True:
            found = shards()
            if covers(found, 0, HASH_KEY_MAX) and self.lineage().is_complete:
                return found
            if self._monotonic() >= deadline_s:
                raise StreamError(
                    "STREAM_LISTING",
                    f"The shards listed for stream {self._stream.key!r} left part of the hash key "
                    f"range without a shard for {DEADLINE_S:.0f} s ({len(found)} shards).",
                    "The stream is being resharded or deleted: start the query again in a minute.",
                )
            self._sleep(0.5)

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
