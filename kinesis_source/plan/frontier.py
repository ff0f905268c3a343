"""The frontier, on the driver: what is known of a stream, asked with few and small calls.

Holds the only state that planning has besides Spark's offsets, all of it a cache: the last listing
of the shards and one probe per shard that is being read. A new process needs the offset alone.
Polls of many shards run side by side, in the planner's own thread (:meth:`StreamFrontier.poll`) or
in a poller's (plan/poller.py); what they learn can be asked for at any time without a call. It
never decides what a batch reads; see the planner.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor

from kinesis_source.aws.api import StreamApi
from kinesis_source.model.positions import END, LOST, OldestSince, Position, is_finished
from kinesis_source.model.ranges import Density
from kinesis_source.model.shards import Lineage
from kinesis_source.options.settings import ReadSettings, StreamSettings
from kinesis_source.plan.listing import ShardListing
from kinesis_source.plan.probe import NOTE_EVERY_MS, Outcome, ShardProbe

__all__ = ["StreamFrontier"]

logger = logging.getLogger("kinesis_source")

UNANSWERED_INTERVAL_S = 0.334
"""AWS allows 5 GetRecords a second and shard; executors need the rest."""
CATCH_UP_INTERVAL_S = 0.5
"""Between two looks at a shard while a query waits for its tip: at most 4 GetRecords a second."""
ORPHANED_S = 60.0
"""How long a finished shard and all its children may be missing in the listings."""
SLOW_S = 2.0
"""A poll that takes longer is being repeated: no batch waits for it."""


class StreamFrontier:
    """The frontier of one stream.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    settings : ReadSettings
    executor : concurrent.futures.Executor
        Runs the polls of :meth:`poll` side by side.
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
        self.listing = ShardListing(
            api, stream, settings.shard_fetch_interval_ms, monotonic=monotonic, sleep=sleep
        )
        self._lock = threading.Lock()  # over all that follows; never held during a call to AWS
        self._probes: dict[str, ShardProbe] = {}
        self._due_s: dict[str, float] = {}
        self._under_way_s: dict[str, float] = {}
        self._answered_s: dict[str, float] = {}
        self._known: dict[str, Position] = {}
        self._unfinished: set[str] = set()
        self.learned = 0
        """Rises with each answer that changed what is known."""
        self._losses: dict[str, Position] = {}
        self._orphaned_since_s: dict[str, float] = {}
        self._polled_at_s: float | None = None
        self._not_after_ms: int | None = None
        self._closed_at_target: frozenset[str] = frozenset()

    # Which shards

    def adopt(self, readable: Mapping[str, Position], note_every_ms: int = NOTE_EVERY_MS) -> None:
        """Keep one probe for each shard that may be read, and no other. No I/O.

        Parameters
        ----------
        readable : mapping of shard id to Position
            With where the query is in them.
        note_every_ms : int
            See ShardProbe.
        """
        lineage = self.listing.lineage()
        with self._lock:
            for shard_id in self._probes.keys() - readable.keys():
                self._forget(shard_id)
            # New shards are polled together with the others from the start on.
            due_s = min(self._due_s.values(), default=self._monotonic())
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
                    self._due_s[shard_id] = due_s
                if self._ends_by_listing(shard_id, lineage):
                    self._probes[shard_id].bound = END

    def bounds(self, readable: Mapping[str, Position]) -> dict[str, Position]:
        """Return how far the adopted shards go, as far as is known. No I/O."""
        return {shard_id: self._probes[shard_id].bound for shard_id in readable}

    # Polls

    def poll(self) -> None:
        """Poll the adopted shards whose time has come, side by side, and wait for all."""
        due = self.take_due()
        try:
            for probe, outcome in zip(due, self._executor.map(ShardProbe.poll, due), strict=True):
                self.settle(probe, outcome)
        finally:
            self.give_up(due)

    def take_due(self) -> list[ShardProbe]:
        """Return the probes whose time has come; each must be settled or given up."""
        with self._lock:
            now_s = self._polled_at_s = self._monotonic()
            due = [
                probe
                for probe in self._open_probes()
                if self._due_s[probe.shard_id] <= now_s and probe.shard_id not in self._under_way_s
            ]
            self._under_way_s.update((probe.shard_id, now_s) for probe in due)
        return due

    def settle(self, probe: ShardProbe, outcome: Outcome) -> None:
        """Take in what a poll learned."""
        shard_id = probe.shard_id
        if outcome is Outcome.UNLISTED_END:
            self._close_if_listed(probe)
        with self._lock:
            if self._probes.get(shard_id) is not probe or shard_id not in self._under_way_s:
                return  # not adopted any more
            began_s = self._under_way_s.pop(shard_id)
            self._answered_s[shard_id] = began_s
            if outcome is not Outcome.TIP or probe.bound != self._known.get(shard_id):
                self._known[shard_id] = probe.bound
                self.learned += 1
            self._due_s[shard_id] = began_s + self._pause_s(probe, outcome)
            if outcome in (Outcome.MORE, Outcome.UNANSWERED):
                self._unfinished.add(shard_id)
            else:
                self._unfinished.discard(shard_id)
            if outcome is Outcome.GONE:
                self._losses[shard_id] = LOST
            elif outcome is Outcome.REFUSED:
                self._losses[shard_id] = OldestSince(self._api.now_ms())
            elif outcome is not Outcome.UNLISTED_END and probe.bound is END:
                self.listing.ask_for_another()  # children are wanted

    def give_up(self, probes: list[ShardProbe]) -> None:
        """Let probes be polled again that were not settled."""
        with self._lock:
            for probe in probes:
                if self._probes.get(probe.shard_id) is probe:
                    self._under_way_s.pop(probe.shard_id, None)

    def is_settled(self, since_s: float) -> bool:
        """Say whether no poll is due or under way of a shard without an answer since a time.

        Polls that take long do not count.
        """
        with self._lock:
            now_s = self._monotonic()
            return not any(
                self._answered_s.get(probe.shard_id, float("-inf")) < since_s
                and self._is_awaited(probe.shard_id, now_s)
                for probe in self._open_probes()
            )

    def _is_awaited(self, shard_id: str, now_s: float) -> bool:
        began_s = self._under_way_s.get(shard_id)
        if began_s is not None:
            return now_s - began_s < SLOW_S
        return self._due_s[shard_id] <= now_s

    @property
    def shard_count(self) -> int:
        """How many shards are adopted."""
        return len(self._probes)

    @property
    def is_searching(self) -> bool:
        """Whether some shard's last answer left open if there is more."""
        with self._lock:
            return any(probe.shard_id in self._unfinished for probe in self._open_probes())

    @property
    def next_poll_s(self) -> float:
        """When the next poll is due, by the monotonic clock; long ago if there was none yet."""
        with self._lock:
            if self._polled_at_s is None:
                return 0.0
            return min(
                (
                    self._due_s[probe.shard_id]
                    for probe in self._open_probes()
                    if probe.shard_id not in self._under_way_s
                ),
                default=self._polled_at_s + self._settings.poll_interval_ms / 1000,
            )

    # What was learned

    @property
    def densities(self) -> dict[str, Density]:
        """How dense the shards are of which records were seen. No I/O."""
        with self._lock:
            return {
                shard_id: probe.density
                for shard_id, probe in self._probes.items()
                if probe.density is not None
            }

    @property
    def first_arrivals_ms(self) -> dict[str, int]:
        """Arrival of the first record behind a start that is no record, where one was seen."""
        with self._lock:
            return {
                shard_id: probe.first_ms
                for shard_id, probe in self._probes.items()
                if probe.first_ms is not None
            }

    def note_orphans(self, orphans: list[str]) -> None:
        """Take finished shards for lost whose children are not listed for too long to be late."""
        now_s = self._monotonic()
        with self._lock:
            self._orphaned_since_s = {
                shard_id: self._orphaned_since_s.get(shard_id, now_s) for shard_id in orphans
            }
            for shard_id, since_s in self._orphaned_since_s.items():
                self.listing.ask_for_another()
                if now_s - since_s > ORPHANED_S:
                    self._losses[shard_id] = LOST

    def take_losses(self) -> dict[str, Position]:
        """Return the shards that AWS knows no more, or whose position it does not know.

        With how to go on there. Forgets them, and the probes of these shards.
        """
        with self._lock:
            losses, self._losses = self._losses, {}
            for shard_id in losses:
                self._forget(shard_id)
        return losses

    @property
    def is_exhausted(self) -> bool:
        """Whether every probe knows the last record that the target allows."""
        with self._lock:
            return not self._open_probes()

    def note_closed(self) -> None:
        """List now, and let AvailableNow read the shards that are closed by now to their ends."""
        self._closed_at_target = frozenset(
            shard.shard_id for shard in self.listing.list_now() if shard.is_closed
        )

    def set_target(self, not_after_ms: int | None) -> None:
        """Refuse records that arrive later as bounds (AvailableNow); None: follow the stream."""
        with self._lock:
            self._not_after_ms = not_after_ms
            for shard_id in list(self._probes):
                self._forget(shard_id)

    def metrics(self) -> dict[str, int]:
        """Return numbers for Spark's progress report. No I/O."""
        with self._lock:
            lags = [
                probe.millis_behind_latest
                for probe in self._probes.values()
                if probe.millis_behind_latest is not None and not is_finished(probe.bound)
            ]
        lineage = self.listing.last
        shards = len(lineage) if lineage else 0
        closed = sum(shard.is_closed for shard in lineage) if lineage else 0
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

    def _forget(self, shard_id: str) -> None:
        self._probes.pop(shard_id, None)
        self._due_s.pop(shard_id, None)
        self._under_way_s.pop(shard_id, None)
        self._answered_s.pop(shard_id, None)
        self._known.pop(shard_id, None)
        self._unfinished.discard(shard_id)

    def _ends_by_listing(self, shard_id: str, lineage: Lineage) -> bool:
        """Say whether the listing alone makes END the bound: executors find the end themselves."""
        if self._not_after_ms is not None:
            return shard_id in self._closed_at_target
        return shard_id in lineage and lineage.shards[shard_id].is_closed

    def _close_if_listed(self, probe: ShardProbe) -> None:
        """Believe a missing next iterator only if a fresh listing shows the shard closed."""
        # Many shards may end at once: one listing that began after their polls serves all.
        lineage = self.listing.newer_than(self._under_way_s.get(probe.shard_id))
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
