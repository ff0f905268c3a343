"""StreamPlanner, on the driver: one stream's part in the next micro-batch.

Brings together the frontier's facts and the batch rules for one stream, says what is lost, and
resolves where the stream begins, once. In: the stream's position in the start offset. Out: a
StreamPlan, from which the end follows once admission has cut it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from kinesis_source.aws.api import StreamApi
from kinesis_source.cursor.horizon import SHORTEST_RETENTION_MS
from kinesis_source.cursor.losses import LossPolicy
from kinesis_source.model.offsets import StreamPosition
from kinesis_source.model.positions import (
    TRIM_HORIZON,
    AfterRecord,
    FromRecord,
    OldestSince,
    Position,
    is_ahead,
    is_finished,
    is_same_place,
    with_emptiness,
)
from kinesis_source.model.shards import Lineage
from kinesis_source.options.settings import ShardStarts, StreamSettings, StreamStart
from kinesis_source.plan.admission import Request
from kinesis_source.plan.batch_rules import (
    next_retention,
    orphaned_shards,
    plan_end,
    readable_shards,
    shorter_retention,
)
from kinesis_source.plan.frontier import StreamFrontier
from kinesis_source.plan.late_shards import late_shards
from kinesis_source.plan.loss_texts import begun_late, created_anew, gone_unwatched, vanished
from kinesis_source.plan.named_starts import resolve_shard_starts
from kinesis_source.plan.start import resolve_start

__all__ = ["StreamPlan", "StreamPlanner"]


@dataclass(frozen=True)
class StreamPlan:
    """What a batch could read of one stream.

    Parameters
    ----------
    stream : StreamSettings
    start : StreamPosition
        Where the batch begins.
    lineage : Lineage
    readable, bounds : mapping of shard id to Position
        Where it begins in the shards that it may read, and how far they go.
    firsts : mapping of shard id to FromRecord
    resets : mapping of shard id to Position
        After losses that were reported.
    retention_ms : int
        By which ages are judged.
    described_ms : int or None
        The stream's retention, None: as noted.
    now_ms : int
        AWS's clock.
    """

    stream: StreamSettings
    start: StreamPosition
    lineage: Lineage = field(default_factory=lambda: Lineage(()))
    readable: Mapping[str, Position] = field(default_factory=dict)
    bounds: Mapping[str, Position] = field(default_factory=dict)
    firsts: Mapping[str, FromRecord] = field(default_factory=dict)
    resets: Mapping[str, Position] = field(default_factory=dict)
    retention_ms: int = SHORTEST_RETENTION_MS
    described_ms: int | None = None
    now_ms: int = 0

    def requests(self) -> list[Request]:
        """Return what the shards would like to bring into the batch."""
        return [
            Request(
                self.stream,
                shard_id,
                position,
                self.bounds.get(shard_id, position),
                self.firsts[shard_id].arrival_ms if shard_id in self.firsts else None,
                self.retention_ms,
            )
            for shard_id, position in self.readable.items()
        ]

    def end(self, limited: Mapping[tuple[str, str], Position] | None) -> StreamPosition:
        """Return where the batch ends; with the bounds that admission left."""
        bounds = dict(self.bounds)
        if limited is not None:
            bounds = {shard_id: limited[self.stream.key, shard_id] for shard_id in self.readable}
        end = plan_end(self.start.shards, self.lineage, self.readable, bounds, self.resets)
        noted_ms = self.start.retention_ms
        if self.described_ms is not None:
            noted_ms = next_retention(noted_ms, self.described_ms, end, self.now_ms)
        return StreamPosition(self.start.created_ms, end, noted_ms)

    def begins(self, end: StreamPosition) -> dict[str, FromRecord]:
        """Return with which records the batch begins in shards where its start is no record."""
        return {
            shard_id: self.firsts[shard_id]
            for shard_id, position in self.readable.items()
            if shard_id in self.firsts
            and not isinstance(position, AfterRecord)
            and end.shards.get(shard_id) != position
        }


class StreamPlanner:
    """Plans one stream's part of each batch.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    initial : StreamStart
        Where a stream without position begins.
    frontier : StreamFrontier
    losses : LossPolicy
    loaded_ms : int or None
        When ``load()`` was called, by this machine's clock.
    """

    def __init__(
        self,
        api: StreamApi,
        stream: StreamSettings,
        initial: StreamStart,
        frontier: StreamFrontier,
        losses: LossPolicy,
        loaded_ms: int | None = None,
    ) -> None:
        self._api = api
        self._stream = stream
        self._initial = initial
        self._frontier = frontier
        self._losses = losses
        self._loaded_ms = loaded_ms
        # By the start asked for and the stream's creation: resolved once, however often planned.
        self._resolved: dict[tuple[StreamStart, int], StreamPosition] = {}
        self._said_anew: set[tuple[int, int]] = set()
        self._batch = _Batch()

    def resolve(self) -> StreamPosition:
        """Return where a query without checkpoint begins in the stream."""
        return self._begin(self._initial, self._frontier.facts.description().created_ms)

    def adopt(self, start: StreamPosition | None) -> None:
        """Let the frontier follow the shards that a batch which begins here may read."""
        if start is not None and self._is_same_stream(start):
            batch = self._batch_from(start)
            readable = self._readable(batch, start, self._frontier.listing.lineage())
            self._follow(start, readable)

    def plan(self, start: StreamPosition | None) -> StreamPlan:
        """Return what the next batch could read, by what is known now.

        Parameters
        ----------
        start : StreamPosition or None
            None: a stream that was added to the query.

        Raises
        ------
        DataLossError
            If something is lost, and the user wants queries to fail.
        """
        if start is None:
            return StreamPlan(self._stream, self.resolve())
        if not self._is_same_stream(start):
            return StreamPlan(self._stream, self._begin_anew(start))
        frontier, batch = self._frontier, self._batch_from(start)
        lineage = frontier.listing.lineage()
        self._take_losses(batch, start, lineage)
        readable = self._readable(batch, start, lineage)
        self._judge_late(batch, start, lineage, readable)
        self._follow(start, readable)
        self._report_unwatched(batch, readable, start)
        return StreamPlan(
            self._stream,
            start,
            lineage,
            readable,
            frontier.bounds(readable),
            frontier.firsts,
            batch.resets,
            self._retention_ms(start),
            frontier.facts.description().retention_ms,
            self._api.now_ms(),
        )

    def metrics(self) -> dict[str, int]:
        """Return numbers for Spark's progress report. No I/O."""
        return {**self._frontier.metrics(), "numDataLosses": self._losses.count}

    def _batch_from(self, start: StreamPosition) -> _Batch:
        """Return what planning found since a batch first began at a start."""
        if self._batch.start != start:
            self._batch = _Batch(start)
        return self._batch

    def _readable(
        self, batch: _Batch, start: StreamPosition, lineage: Lineage
    ) -> dict[str, Position]:
        readable = readable_shards(start.shards, lineage, self._api.now_ms())
        for shard_id in readable.keys() - start.shards.keys():
            # Where it began when the batch was first planned: time is no news.
            readable[shard_id] = batch.begun.setdefault(shard_id, readable[shard_id])
        for shard_id, reset in batch.resets.items():
            readable.pop(shard_id, None)
            if not is_finished(reset):
                readable[shard_id] = reset
        return readable

    def _retention_ms(self, start: StreamPosition) -> int:
        """Return the retention by which the positions of an offset are judged."""
        described_ms = self._frontier.facts.description().retention_ms
        return shorter_retention(described_ms, start.retention_ms) or described_ms

    def _follow(self, start: StreamPosition, readable: Mapping[str, Position]) -> None:
        self._frontier.adopt(readable, start.created_ms, self._retention_ms(start))

    # Where a stream begins

    def _is_same_stream(self, start: StreamPosition) -> bool:
        return start.created_ms == self._frontier.facts.description().created_ms

    def _begin(self, initial: StreamStart, created_ms: int) -> StreamPosition:
        key = (initial, created_ms)
        if key not in self._resolved:
            start = self._resolve(initial, created_ms)
            retention_ms = self._frontier.facts.description().retention_ms
            self._resolved[key] = replace(start, retention_ms=retention_ms)
        return self._resolved[key]

    def _resolve(self, initial: StreamStart, created_ms: int) -> StreamPosition:
        listing = self._frontier.listing
        if isinstance(initial, ShardStarts):
            return resolve_shard_starts(
                self._api,
                self._stream,
                listing,
                initial,
                created_ms,
                self._losses,
                self._loaded_ms,
            )
        return resolve_start(self._api, self._stream, listing, initial, created_ms, self._loaded_ms)

    def _begin_anew(self, start: StreamPosition) -> StreamPosition:
        created_ms = self._frontier.facts.description().created_ms
        if (start.created_ms, created_ms) not in self._said_anew:
            self._losses.report(created_anew(self._stream.key, start, created_ms))
            self._said_anew.add((start.created_ms, created_ms))
        return self._begin(TRIM_HORIZON, created_ms)

    # What is lost

    def _judge_late(
        self,
        batch: _Batch,
        start: StreamPosition,
        lineage: Lineage,
        readable: dict[str, Position],
    ) -> None:
        """Let shards wait that begin late, until that is believed and said."""
        roots = [
            shard_id
            for shard_id in readable.keys() - start.shards.keys()
            if shard_id in lineage and not lineage.shards[shard_id].parents
        ]
        for shard_id in self._frontier.strangers(roots):
            del readable[shard_id]
        now_ms, retention_ms = self._api.now_ms(), self._retention_ms(start)
        late = late_shards(start.shards, lineage, readable, now_ms, retention_ms)
        late = {shard_id: late[shard_id] for shard_id in late.keys() - batch.said_late}
        believed = self._frontier.believed_late(late)
        for shard_id in late.keys() - believed.keys():
            del readable[shard_id]
        if believed:
            shards = [believed[shard_id] for shard_id in sorted(believed)]
            self._losses.report(begun_late(self._stream.key, shards))
            batch.said_late.update(believed)
            for shard_id in believed:
                # What is there now is whole: more is said only of what goes later.
                batch.begun[shard_id] = readable[shard_id] = OldestSince(now_ms)
            self._frontier.believed_late({})

    def _report_unwatched(
        self, batch: _Batch, readable: dict[str, Position], start: StreamPosition
    ) -> None:
        """Say once where records may have come and gone before anybody looked."""
        unwatched = {
            shard_id: readable[shard_id]
            for shard_id in self._frontier.unwatched
            if shard_id in readable
        }
        if not unwatched:
            return
        retention_ms = self._retention_ms(start)
        self._losses.report(gone_unwatched(self._stream.key, unwatched, retention_ms))
        # From here on they are watched again. What was found behind one is the batch's part.
        bounds, now_ms = self._frontier.bounds(unwatched), self._api.now_ms()
        idle = [k for k, position in unwatched.items() if not is_ahead(bounds[k], position)]
        self._frontier.note_said(unwatched, idle)
        for shard_id in idle:
            reset = with_emptiness(unwatched[shard_id], now_ms)
            batch.resets[shard_id] = readable[shard_id] = reset
        self._follow(start, readable)

    def _take_losses(self, batch: _Batch, start: StreamPosition, lineage: Lineage) -> None:
        """Take in what is believed to be gone, and say so once."""
        orphans = [
            shard_id
            for shard_id in orphaned_shards(start.shards, lineage)
            if shard_id not in batch.resets
        ]
        resets: dict[str, Position] = {}
        for shard_id, refused in self._frontier.take_losses(orphans).items():
            position = start.shards.get(shard_id)
            if not isinstance(refused, AfterRecord):
                resets[shard_id] = refused
            elif isinstance(position, AfterRecord) and is_same_place(position, refused):
                # What was read stays read: the number is kept, and repeats are cut.
                number = position.sequence_number
                resets[shard_id] = OldestSince(self._api.now_ms(), behind=number)
            # Else a bound was refused, which nobody has read up to: it is found anew.
        resets = {k: v for k, v in resets.items() if k not in batch.resets}
        if resets and self._is_same_stream(start):
            self._losses.report(vanished(self._stream.key, start, resets))
            batch.resets.update(resets)


@dataclass
class _Batch:
    """What planning found since a batch first began at a start; it is planned again and again."""

    start: StreamPosition | None = None
    begun: dict[str, Position] = field(default_factory=dict)
    resets: dict[str, Position] = field(default_factory=dict)
    said_late: set[str] = field(default_factory=set)
