"""The frontier, on the driver: what is known of a stream, asked with few and small calls.

Holds the only state that planning has besides Spark's offsets, all of it a cache: the stream's
description, the last listing of its shards, and one record for each shard that is being followed. A
new process needs the offset alone. The poller (plan/poller.py) makes its calls; what they learn can
be asked for at any time without a call. It never decides what a batch reads; see the batch rules.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping

from kinesis_source.aws.api import StreamApi, StreamDescription
from kinesis_source.cursor.horizon import SHORTEST_RETENTION_MS
from kinesis_source.cursor.naming import name_position
from kinesis_source.errors import ThrottledError
from kinesis_source.model.positions import FromRecord, Position, is_finished
from kinesis_source.model.ranges import Density
from kinesis_source.model.shards import Lineage
from kinesis_source.options.settings import ReadSettings, StreamSettings
from kinesis_source.plan.claims import LossClaims
from kinesis_source.plan.finding import Finding, Outcome
from kinesis_source.plan.followed import FollowedShard
from kinesis_source.plan.late_shards import LateShard
from kinesis_source.plan.pauses import interval_s
from kinesis_source.plan.probe import ShardProbe
from kinesis_source.plan.runtime import Runtime
from kinesis_source.plan.stream_facts import StreamFacts

__all__ = ["StreamFrontier"]

logger = logging.getLogger("kinesis_source")

WARN_EVERY_S = 60.0


class StreamFrontier:
    """The frontier of one stream.

    Parameters
    ----------
    api : StreamApi
        Patient; what is polled is asked once at a time.
    stream : StreamSettings
    settings : ReadSettings
    check_access : callable
        Describes the stream after making sure that it may be read; raises the coded error if not.
    runtime : Runtime
    failing_budget_s : float
        How long a shard, a listing or a description may fail before the query does.
    """

    def __init__(
        self,
        api: StreamApi,
        stream: StreamSettings,
        settings: ReadSettings,
        check_access: Callable[[StreamSettings], StreamDescription],
        runtime: Runtime,
        failing_budget_s: float,
    ) -> None:
        self._api = api
        self._once = api.trying_once()
        self._stream = stream
        self._settings = settings
        self._runtime = runtime
        self._budget_s = failing_budget_s
        self.facts = StreamFacts(api, stream, settings, check_access, runtime, failing_budget_s)
        self.listing = self.facts.listing
        self._lock = threading.Lock()  # over all that follows; never held during a call to AWS
        self._created_ms: int | None = None
        self._retention_ms = SHORTEST_RETENTION_MS
        self._shards: dict[str, FollowedShard] = {}
        self._claims = LossClaims()
        self._learned = 0
        self._throttled_calls = 0
        self._not_after_ms: int | None = None
        self._closed_at_target: frozenset[str] = frozenset()
        self._warned_s = float("-inf")

    # Which shards

    def adopt(self, readable: Mapping[str, Position], created_ms: int, retention_ms: int) -> None:
        """Follow each shard that may be read, and no other. No I/O.

        Parameters
        ----------
        readable : mapping of shard id to Position
            With where the query is in them.
        created_ms : int
            When the stream was created: another one has other shards under the same ids.
        retention_ms : int
            By which the age of the positions is judged.
        """
        lineage = self.listing.lineage()
        with self._lock:
            self._retention_ms = retention_ms
            if created_ms != self._created_ms:
                self._created_ms = created_ms
                self._shards.clear()
                self._claims = LossClaims()
            now_s = self._runtime.monotonic()
            for shard_id in self._shards.keys() - readable.keys():
                del self._shards[shard_id]
            # New shards are polled together with the others from the start on.
            due_s = min((shard.due_s for shard in self._shards.values()), default=now_s)
            for shard_id, position in readable.items():
                shard = self._shards.get(shard_id)
                if shard is None or not shard.leads_from(position):
                    shard = self._follow(shard_id, position, min(due_s, now_s))
                    self._shards[shard_id] = shard
                if shard.is_open and shard.may_end and self._ends_by_listing(shard_id, lineage):
                    shard.end()

    def _follow(self, shard_id: str, position: Position, due_s: float) -> FollowedShard:
        probe = ShardProbe(
            self._once,
            self._stream,
            shard_id,
            position,
            monotonic=self._runtime.monotonic,
            not_after_ms=self._not_after_ms,
            retention_ms=lambda: self._retention_ms,
        )
        return FollowedShard(shard_id, position, probe, due_s)

    def _ends_by_listing(self, shard_id: str, lineage: Lineage) -> bool:
        """Say whether the listing alone makes the shard's end the bound."""
        if self._not_after_ms is not None:
            return shard_id in self._closed_at_target
        return shard_id in lineage and lineage.shards[shard_id].is_closed

    # Polls

    def take_due(self) -> list[FollowedShard]:
        """Return the shards whose time has come; each must be looked at or given up."""
        with self._lock:
            now_s = self._runtime.monotonic()
            due = [
                shard
                for shard in self._shards.values()
                if shard.due_s <= now_s and shard.looking_since_s is None and shard.is_open
            ]
            for shard in due:
                shard.looking_since_s = now_s
        return due

    def look(self, shard: FollowedShard, *, shares_rate: bool) -> None:
        """Poll a shard that was taken.

        Raises
        ------
        KinesisSourceError
            What does not pass by itself, or has not for the whole retry budget.
        """
        with self._lock:
            # It may have waited for a slot: the look begins now.
            shard.looking_since_s = self._runtime.monotonic()
        try:
            finding = shard.probe.poll(shares_rate=shares_rate)
        except BaseException:
            self.give_up(shard)
            raise
        self.settle(shard, finding, shares_rate=shares_rate)

    def settle(self, shard: FollowedShard, finding: Finding, *, shares_rate: bool = False) -> None:
        """Take in what a poll learned."""
        with self._lock:
            if self._shards.get(shard.shard_id) is not shard or shard.looking_since_s is None:
                return  # not followed any more
            now_s, began_s = self._runtime.monotonic(), shard.looking_since_s
            if shard.take(finding) or finding.outcome is not Outcome.TIP:
                self._learned += 1
            shard.note_look(finding, now_s)
            self._throttled_calls += isinstance(finding.error, ThrottledError)
            self._note_claims(shard, finding, began_s, now_s)
            shard.due_s = max(now_s, began_s + self._pause_s(shard, finding, shares_rate))
            if finding.outcome is Outcome.UNLISTED_END or is_finished(shard.bound):
                self.listing.ask_for_another()  # children are wanted
        if finding.outcome is Outcome.IN_FUTURE:
            self._warn_of_future(shard, now_s)
        if (error := shard.given_up(now_s, self._budget_s)) is not None:
            raise error

    def give_up(self, shard: FollowedShard) -> None:
        """Let a shard be polled again whose look brought no finding."""
        with self._lock:
            shard.looking_since_s = None

    def forget_failures(self) -> None:
        """Begin with new budgets: nobody asked for a while, nor did the calls go on."""
        self.facts.forget_failures()
        with self._lock:
            for shard in self._shards.values():
                shard.failures, shard.failing_since_s = 0, None

    def _note_claims(
        self, shard: FollowedShard, finding: Finding, asked_s: float, now_s: float
    ) -> None:
        """One reply that denies a shard or a record proves nothing."""
        if finding.outcome is Outcome.REFUSED:
            self.facts.doubt_description()
            self._claims.refuse(shard.shard_id, finding.place, asked_s, now_s)
        elif finding.outcome is Outcome.DENIED:
            self.facts.doubt_description()
            self.listing.ask_for_another()
            self._claims.deny(shard.shard_id, now_s)
        elif finding.outcome is not Outcome.LATER:
            self._claims.answer(shard.shard_id)

    def _warn_of_future(self, shard: FollowedShard, now_s: float) -> None:
        if now_s - self._warned_s >= WARN_EVERY_S:
            self._warned_s = now_s
            logger.warning(
                "Shard %s of stream %s: AWS says that %s has not come yet, so nothing can be read; "
                "asking again. If it lies far ahead, start with a new checkpoint directory.",
                shard.shard_id,
                self._stream.key,
                name_position(shard.start),
            )

    def _pause_s(self, shard: FollowedShard, finding: Finding, shares_rate: bool) -> float:
        if shard.failing_since_s is not None:
            # A budget that ends shows at its end.
            left_s = shard.failing_since_s + self._budget_s - self._runtime.monotonic()
            return min(shard.delay_s, left_s) if left_s > 0 else shard.delay_s
        asked_s = interval_s(
            self._settings.poll_interval_ms / 1000,
            finding,
            has_target=self._not_after_ms is not None,
            is_quiet=not shares_rate,
            has_looked=shard.has_looked,
        )
        return asked_s + shard.yields_s

    # What was learned

    @property
    def state(self) -> tuple[object, ...]:
        """A value that changes when something new is known."""
        return self._learned, self.facts.changes, self.listing.last, self.listing.listed_s

    def is_settled(self, since_s: float) -> bool:
        """Say whether no look is due or under way at a shard without an answer since a time.

        Looks that take long do not count.
        """
        with self._lock:
            now_s = self._runtime.monotonic()
            return not any(
                shard.answered_s < since_s and shard.is_awaited(now_s)
                for shard in self._shards.values()
                if shard.is_open
            )

    def bounds(self, readable: Iterable[str]) -> dict[str, Position]:
        """Return how far the followed shards go, as far as is known. No I/O."""
        with self._lock:
            return {
                shard_id: self._shards[shard_id].bound
                for shard_id in readable
                if shard_id in self._shards
            }

    @property
    def firsts(self) -> dict[str, FromRecord]:
        """The first record behind each start that is no record, where one was seen."""
        with self._lock:
            return {
                shard_id: shard.first
                for shard_id, shard in self._shards.items()
                if shard.first is not None
            }

    @property
    def densities(self) -> dict[str, Density]:
        """How dense the shards are of which records were seen. No I/O."""
        with self._lock:
            return {
                shard_id: shard.density
                for shard_id, shard in self._shards.items()
                if shard.density is not None
            }

    @property
    def shard_count(self) -> int:
        """How many shards are followed."""
        return len(self._shards)

    @property
    def has_unknown_ends(self) -> bool:
        """Whether records are left in some shard, and it is open how far they go."""
        with self._lock:
            return any(shard.is_searching for shard in self._shards.values() if shard.is_open)

    @property
    def is_searching(self) -> bool:
        """Whether some shard's last answer left open if there is more."""
        with self._lock:
            return any(shard.is_unfinished for shard in self._shards.values() if shard.is_open)

    @property
    def is_exhausted(self) -> bool:
        """Whether the last record that the target allows is known of every shard."""
        with self._lock:
            return not any(shard.is_open for shard in self._shards.values())

    # Losses

    def take_losses(self, orphans: list[str]) -> dict[str, Position]:
        """Return the shards that AWS knows no more, or whose position it does not know.

        Forgets them, and what was known of these shards.

        Parameters
        ----------
        orphans : list of str
            Finished shards that are not listed, nor any child of theirs.

        Returns
        -------
        dict of shard id to Position
            LOST, or the position that AWS refuses.
        """
        lineage = self.listing.lineage()
        if orphans:
            self.facts.doubt_description()
        with self._lock:
            now_s = self._runtime.monotonic()
            self._claims.hold_against(lineage, self.listing.listed_s, orphans, now_s)
            losses = self._claims.take_losses(self.facts.described_s)
            for shard_id in losses:
                self._shards.pop(shard_id, None)
            if self._claims.are_any:
                self.listing.ask_for_another()
        return losses

    @property
    def unwatched(self) -> set[str]:
        """Shards behind whose start records may have come, and gone, before anybody looked."""
        with self._lock:
            return {shard_id for shard_id, shard in self._shards.items() if shard.is_unwatched}

    def note_said(self, shard_ids: Iterable[str], again: Iterable[str]) -> None:
        """Note that what may be gone of shards was said; follow some again, from a new position."""
        with self._lock:
            for shard_id in shard_ids:
                self._shards[shard_id].is_unwatched = False
            for shard_id in again:
                del self._shards[shard_id]

    @property
    def has_claims(self) -> bool:
        """Whether something is said to be gone, and neither believed nor contradicted yet."""
        with self._lock:
            return self._claims.are_any

    def strangers(self, shard_ids: Collection[str]) -> set[str]:
        """Return those new shards without parents that may be of another stream."""
        if shard_ids:
            self.facts.doubt_description()
        with self._lock:
            now_s = self._runtime.monotonic()
            return self._claims.are_strangers(shard_ids, self.facts.described_s, now_s)

    def believed_late(self, late: Mapping[str, LateShard]) -> dict[str, LateShard]:
        """Return those late shards whose parents several listings agree not to show any more."""
        with self._lock:
            now_s = self._runtime.monotonic()
            believed = self._claims.believed_late(late, self.listing.listed_s, now_s)
            if len(believed) < len(late):
                self.listing.ask_for_another()
        return believed

    # The target of AvailableNow

    def note_closed(self) -> None:
        """List now, and let AvailableNow read the shards that are closed by now to their ends."""
        self._closed_at_target = frozenset(
            shard.shard_id for shard in self.listing.list_now() if shard.is_closed
        )

    def set_target(self, not_after_ms: int | None) -> None:
        """Refuse records that arrive later as bounds (AvailableNow); None: follow the stream."""
        with self._lock:
            self._not_after_ms = not_after_ms
            self._shards.clear()

    def metrics(self) -> dict[str, int]:
        """Return numbers for Spark's progress report. No I/O."""
        with self._lock:
            shards = list(self._shards.values())
            throttled_calls = self._throttled_calls
        open_shards = [shard for shard in shards if not is_finished(shard.bound)]
        lags = [s.millis_behind_latest for s in open_shards if s.millis_behind_latest is not None]
        lineage = self.listing.last or ()
        metrics = {
            "numTotalShards": len(lineage),
            "numClosedShards": sum(shard.is_closed for shard in lineage),
            "numOpenShards": sum(not shard.is_closed for shard in lineage),
            "numShardsBehind": sum(lag > 0 for lag in lags),
            "numThrottledShards": sum(shard.yields_s > 0 for shard in open_shards),
            "numThrottledCalls": throttled_calls,
            "numUnansweredShards": sum(s.is_in_future or s.failures > 0 for s in open_shards),
        }
        if lags:
            metrics["minMsBehindLatest"] = min(lags)
            metrics["avgMsBehindLatest"] = sum(lags) // len(lags)
            metrics["maxMsBehindLatest"] = max(lags)
        return metrics
