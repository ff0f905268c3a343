"""The frontier, on the driver: what is known of a stream, asked with few and small calls.

Holds the only state that planning has besides Spark's offsets, all of it a cache: the last listing
of the shards and one probe per shard that is being read. A new process needs the offset alone.
Polls of many shards run side by side. It never decides what a batch reads; see the planner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor

from kinesis_source.aws.api import PositionRefusedError, StreamApi
from kinesis_source.errors import OptionError, StreamError
from kinesis_source.model.offsets import StreamPosition
from kinesis_source.model.positions import (
    END,
    LOST,
    AtTimestamp,
    OldestSince,
    Position,
    is_finished,
    with_completeness,
)
from kinesis_source.model.shards import HASH_KEY_MAX, Lineage, Shard, covers
from kinesis_source.options.settings import LATEST, InitialPosition, ReadSettings, StreamSettings
from kinesis_source.read.probe import NOTE_EVERY_MS, Outcome, ShardProbe

__all__ = ["StreamFrontier"]

logger = logging.getLogger("kinesis_source")

UNANSWERED_INTERVAL_S = 0.334
"""AWS allows 5 GetRecords a second and shard; executors need the rest."""
CATCH_UP_INTERVAL_S = 0.5
"""Between two looks at a shard while a query waits for its tip: at most 4 GetRecords a second."""
ORPHANED_S = 60.0
"""How long a finished shard and all its children may be missing in the listings."""
NEAR_FUTURE_MS = 2_000
"""AWS's clock is known to about a second: a start that seems to lie this near ahead has come."""
LISTING_DEADLINE_S = 30.0
"""How long a listing with a hole is asked for again before a query can start."""


class StreamFrontier:
    """The frontier of one stream.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    settings : ReadSettings
    executor : concurrent.futures.Executor
        Runs the polls side by side.
    monotonic, sleep : callable
        Clock and pause, in seconds.
    """

    def __init__(
        self,
        api: StreamApi,
        stream: StreamSettings,
        settings: ReadSettings,
        executor: Executor,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._api = api
        self._stream = stream
        self._settings = settings
        self._executor = executor
        self._monotonic = monotonic
        self._sleep = sleep
        self._lineage: Lineage | None = None
        self._listed_at_s = 0.0
        self._listing_is_due = False
        self._probes: dict[str, ShardProbe] = {}
        self.losses: dict[str, Position] = {}
        """Shards that AWS knows no more, or whose position it does not know: how to go on there."""
        self._orphaned_since_s: dict[str, float] = {}
        self._due_s: dict[str, float] = {}
        self._polled_at_s: float | None = None
        self._not_after_ms: int | None = None
        self._closed_at_target: frozenset[str] = frozenset()

    # Listing

    def lineage(self) -> Lineage:
        """Return the last listing, made now if there is none or the fetch interval is over."""
        age_s = self._monotonic() - self._listed_at_s
        interval_s = self._settings.shard_fetch_interval_ms / 1000
        if self._lineage is None or self._listing_is_due or age_s >= interval_s:
            return self._list()
        return self._lineage

    def _list(self) -> Lineage:
        shards = self._api.list_shards(self._stream)
        self._lineage = Lineage(self._with_sticky_closes(shards))
        self._listed_at_s = self._monotonic()
        self._listing_is_due = False
        return self._lineage

    def list_at_next_poll(self) -> None:
        """Do not wait for the fetch interval: shards are missing in the last listing."""
        self._listing_is_due = True

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

    # Start

    def resolve_start(self, initial: InitialPosition, created_ms: int) -> StreamPosition:
        """Turn a start into fixed positions, once for the life of a checkpoint (invariant 5).

        LATEST becomes a moment that is not ahead of AWS's clock, so that nothing put after this
        call is missed; as the clock is known to about a second, a little of what came just before
        may be read.

        Raises
        ------
        OptionError
            ``[OPTION_RANGE]`` if the start lies in the future.
        StreamError
            ``[STREAM_LISTING]`` if no listing without holes could be had in time.
        """
        at = AtTimestamp(self._api.now_ms()) if initial is LATEST else initial
        if isinstance(at, AtTimestamp):
            # The shards open at the very moment, not those open now: one that is closed since may
            # have got records.
            epoch_ms = at.epoch_ms
            shards = self._complete_listing(lambda: self._open_at(epoch_ms))
        else:
            shards = self._complete_listing(lambda: self._list().roots)
        whole = with_completeness(at, self._api.now_ms())
        return StreamPosition(created_ms, {shard.shard_id: whole for shard in shards})

    def _open_at(self, epoch_ms: int) -> tuple[Shard, ...]:
        lineage = self._list()
        # ListShards may take a moment that GetShardIterator refuses: do not rely on it.
        self._refuse_future(epoch_ms, NEAR_FUTURE_MS)
        try:
            found = self._api.list_shards(self._stream, open_at_ms=epoch_ms)
        except PositionRefusedError:
            self._refuse_future(epoch_ms)
            return lineage.roots  # older than the retention
        # The moment may be older than the retention, or than the stream: where no shard of then is
        # listed any more, the oldest that are listed took over.
        begun = {shard.shard_id for shard in found}
        begun |= lineage.ancestors(begun)
        return found + tuple(shard for shard in lineage.roots if shard.shard_id not in begun)

    def _refuse_future(self, epoch_ms: int, tolerance_ms: int = 0) -> None:
        now_ms = self._api.now_ms()
        if epoch_ms > now_ms + tolerance_ms:
            raise OptionError(
                "OPTION_RANGE",
                f"Option 'initialPosition' lies {epoch_ms - now_ms} ms in the future of AWS's "
                f"clock for stream {self._stream.key!r}.",
                "Write a time that has passed, or 'latest'.",
            )

    def _complete_listing(self, shards: Callable[[], tuple[Shard, ...]]) -> tuple[Shard, ...]:
        """List until the starting shards cover every hash key: each record has one of them."""
        deadline_s = self._monotonic() + LISTING_DEADLINE_S
        while True:
            found = shards()
            lineage = self.lineage()
            if covers(found, 0, HASH_KEY_MAX) and lineage.is_complete:
                return found
            if self._monotonic() >= deadline_s:
                raise StreamError(
                    "STREAM_LISTING",
                    f"The shards listed for stream {self._stream.key!r} left part of the hash key "
                    f"range without a shard for {LISTING_DEADLINE_S:.0f} s ({len(found)} shards).",
                    "The stream is being resharded or deleted: start the query again in a minute.",
                )
            self._sleep(0.5)

    # Polls

    def poll(
        self, readable: Mapping[str, Position], note_every_ms: int = NOTE_EVERY_MS
    ) -> dict[str, Position]:
        """Poll the shards whose time has come; return the bounds of all.

        Parameters
        ----------
        readable : mapping of shard id to Position
            The shards that may be read, with where the query is in them.
        note_every_ms : int
            See ShardProbe.

        Returns
        -------
        dict of shard id to Position
            See :attr:`losses` for what AWS knows no more.
        """
        self._adopt(readable, note_every_ms)
        now_s = self._polled_at_s = self._monotonic()
        due = [probe for probe in self._open_probes() if self._due_s[probe.shard_id] <= now_s]
        for probe, outcome in zip(due, self._executor.map(ShardProbe.poll, due), strict=True):
            self._due_s[probe.shard_id] = now_s + self._pause_s(probe, outcome)
            if outcome is Outcome.UNLISTED_END:
                self._close_if_listed(probe)
            elif outcome is Outcome.GONE:
                self.losses[probe.shard_id] = LOST
            elif outcome is Outcome.REFUSED:
                self.losses[probe.shard_id] = OldestSince(self._api.now_ms())
            elif probe.bound is END:
                self._listing_is_due = True  # children are wanted
        return {shard_id: self._probes[shard_id].bound for shard_id in readable}

    @property
    def first_arrivals_ms(self) -> dict[str, int]:
        """Arrival of the first record behind a start that is no record, where one was seen."""
        return {
            shard_id: probe.first_ms
            for shard_id, probe in self._probes.items()
            if probe.first_ms is not None
        }

    def note_orphans(self, orphans: list[str]) -> None:
        """Take finished shards for lost whose children are not listed for too long to be late."""
        now_s = self._monotonic()
        self._orphaned_since_s = {
            shard_id: self._orphaned_since_s.get(shard_id, now_s) for shard_id in orphans
        }
        for shard_id, since_s in self._orphaned_since_s.items():
            self._listing_is_due = True
            if now_s - since_s > ORPHANED_S:
                self.losses[shard_id] = LOST

    def take_losses(self) -> dict[str, Position]:
        """Return the losses, and forget them with the probes of their shards."""
        losses, self.losses = self.losses, {}
        for shard_id in losses:
            self._probes.pop(shard_id, None)
        return losses

    @property
    def next_poll_s(self) -> float:
        """When the next poll is due, by the monotonic clock; long ago if there was none yet."""
        if self._polled_at_s is None:
            return 0.0
        return min(
            (self._due_s[probe.shard_id] for probe in self._open_probes()),
            default=self._polled_at_s + self._settings.poll_interval_ms / 1000,
        )

    @property
    def is_exhausted(self) -> bool:
        """Whether every probe knows the last record that the target allows."""
        return not self._open_probes()

    def note_closed(self) -> None:
        """List now, and let AvailableNow read the shards that are closed by now to their ends."""
        self._closed_at_target = frozenset(
            shard.shard_id for shard in self._list() if shard.is_closed
        )

    def set_target(self, not_after_ms: int | None) -> None:
        """Refuse records that arrive later as bounds (AvailableNow); None: follow the stream."""
        self._not_after_ms = not_after_ms
        self._probes.clear()
        self._due_s.clear()

    def metrics(self) -> dict[str, int]:
        """Return numbers for Spark's progress report. No I/O."""
        lags = [
            probe.millis_behind_latest
            for probe in self._probes.values()
            if probe.millis_behind_latest is not None and not is_finished(probe.bound)
        ]
        shards = len(self._lineage) if self._lineage else 0
        closed = sum(shard.is_closed for shard in self._lineage) if self._lineage else 0
        metrics = {"numTotalShards": shards, "numClosedShards": closed}
        if lags:
            metrics["minMsBehindLatest"] = min(lags)
            metrics["avgMsBehindLatest"] = sum(lags) // len(lags)
            metrics["maxMsBehindLatest"] = max(lags)
        return metrics

    def _open_probes(self) -> list[ShardProbe]:
        return [
            probe
            for probe in self._probes.values()
            if not is_finished(probe.bound) and not probe.is_exhausted
        ]

    def _adopt(self, readable: Mapping[str, Position], note_every_ms: int) -> None:
        """Keep one probe for each readable shard, and no other."""
        lineage = self.lineage()
        for shard_id in self._probes.keys() - readable.keys():
            del self._probes[shard_id]
            self._due_s.pop(shard_id, None)
        for shard_id, position in readable.items():
            if shard_id not in self._probes:
                self._probes[shard_id] = ShardProbe(
                    self._api,
                    self._stream,
                    shard_id,
                    position,
                    monotonic=self._monotonic,
                    not_after_ms=self._not_after_ms,
                    note_every_ms=note_every_ms,
                )
                self._due_s[shard_id] = self._monotonic()
            if self._ends_by_listing(shard_id, lineage):
                self._probes[shard_id].bound = END

    def _ends_by_listing(self, shard_id: str, lineage: Lineage) -> bool:
        """Say whether the listing alone makes END the bound: executors find the end themselves."""
        if self._not_after_ms is not None:
            return shard_id in self._closed_at_target
        return shard_id in lineage and lineage.shards[shard_id].is_closed

    def _close_if_listed(self, probe: ShardProbe) -> None:
        """Believe a missing next iterator only if a fresh listing shows the shard closed."""
        lineage = self._list()
        if probe.shard_id in lineage and lineage.shards[probe.shard_id].is_closed:
            probe.bound = END
        else:
            logger.warning(
                "Shard %s of stream %s: a reply had no next iterator, but the shard is open; "
                "it is read again.",
                probe.shard_id,
                self._stream.key,
            )

    def _pause_s(self, probe: ShardProbe, outcome: Outcome) -> float:
        if self._not_after_ms is not None:
            return CATCH_UP_INTERVAL_S
        interval_s = probe.interval_s(self._settings.poll_interval_ms / 1000)
        if outcome is Outcome.UNANSWERED:
            return min(interval_s, UNANSWERED_INTERVAL_S)
        return interval_s
