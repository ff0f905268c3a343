"""StreamPlanner, on the driver: one stream's part in the next micro-batch.

Brings together the frontier's facts and the batch rules for one stream, says what is lost, and
resolves where the stream begins, once. In: the stream's position in the start offset. Out: a
StreamPlan, from which the end follows once admission has cut it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kinesis_source.aws.api import StreamApi
from kinesis_source.cursor.losses import Loss, LossPolicy
from kinesis_source.cursor.naming import name_position, name_time
from kinesis_source.model.offsets import StreamPosition
from kinesis_source.model.positions import TRIM_HORIZON, AfterRecord, FromRecord, Position
from kinesis_source.model.shards import Lineage
from kinesis_source.options.settings import InitialPosition, StreamSettings
from kinesis_source.plan.admission import Request
from kinesis_source.plan.batch_rules import orphaned_shards, plan_end, readable_shards
from kinesis_source.plan.frontier import StreamFrontier
from kinesis_source.plan.late_shards import LateShard, late_shards
from kinesis_source.plan.start import resolve_start

__all__ = ["StreamPlan", "StreamPlanner"]

NAMED_SHARDS = 10
_HINT = "Read more often than the retention lasts, or lengthen it."


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
    """

    stream: StreamSettings
    start: StreamPosition
    lineage: Lineage = field(default_factory=lambda: Lineage(()))
    readable: Mapping[str, Position] = field(default_factory=dict)
    bounds: Mapping[str, Position] = field(default_factory=dict)
    firsts: Mapping[str, FromRecord] = field(default_factory=dict)
    resets: Mapping[str, Position] = field(default_factory=dict)

    def requests(self) -> list[Request]:
        """Return what the shards would like to bring into the batch."""
        return [
            Request(
                self.stream,
                shard_id,
                position,
                self.bounds.get(shard_id, position),
                self.firsts[shard_id].arrival_ms if shard_id in self.firsts else None,
            )
            for shard_id, position in self.readable.items()
        ]

    def end(self, limited: Mapping[tuple[str, str], Position] | None) -> StreamPosition:
        """Return where the batch ends; with the bounds that admission left."""
        bounds = dict(self.bounds)
        if limited is not None:
            bounds = {shard_id: limited[self.stream.key, shard_id] for shard_id in self.readable}
        end = plan_end(self.start.shards, self.lineage, self.readable, bounds, self.resets)
        return StreamPosition(self.start.created_ms, end)

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
    initial : InitialPosition
        Where a stream without position begins.
    frontier : StreamFrontier
    losses : LossPolicy
    """

    def __init__(
        self,
        api: StreamApi,
        stream: StreamSettings,
        initial: InitialPosition,
        frontier: StreamFrontier,
        losses: LossPolicy,
    ) -> None:
        self._api = api
        self._stream = stream
        self._initial = initial
        self._frontier = frontier
        self._losses = losses
        # By the start asked for and the stream's creation: resolved once, however often planned.
        self._resolved: dict[tuple[InitialPosition, int], StreamPosition] = {}

    def resolve(self) -> StreamPosition:
        """Return where a query without checkpoint begins in the stream."""
        return self._begin(self._initial, self._frontier.facts.description().created_ms)

    def adopt(self, start: StreamPosition | None) -> None:
        """Let the frontier follow the shards that a batch which begins here may read."""
        if start is not None and self._is_same_stream(start):
            readable = self._readable(start, self._frontier.listing.lineage())
            self._frontier.adopt(readable, start.created_ms)

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
            return StreamPlan(self._stream, self._begin_recreated(start))
        frontier = self._frontier
        lineage = frontier.listing.lineage()
        readable = self._readable(start, lineage)
        late = self._late(start, lineage, readable)
        believed = frontier.believed_late(late)
        for shard_id in late.keys() - believed.keys():
            del readable[shard_id]
        if believed:
            self._report_late([believed[shard_id] for shard_id in sorted(believed)])
        resets = frontier.take_losses(orphaned_shards(start.shards, lineage))
        if resets:
            if not self._is_same_stream(start):
                return StreamPlan(self._stream, self._begin_recreated(start))
            self._report_lost(start, resets)
        frontier.adopt(readable, start.created_ms)
        bounds = frontier.bounds(readable)
        return StreamPlan(self._stream, start, lineage, readable, bounds, frontier.firsts, resets)

    def metrics(self) -> dict[str, int]:
        """Return numbers for Spark's progress report. No I/O."""
        return {**self._frontier.metrics(), "numDataLosses": self._losses.count}

    def _readable(self, start: StreamPosition, lineage: Lineage) -> dict[str, Position]:
        return readable_shards(start.shards, lineage, self._api.now_ms())

    def _late(
        self, start: StreamPosition, lineage: Lineage, readable: Mapping[str, Position]
    ) -> dict[str, LateShard]:
        retention_ms = self._frontier.facts.description().retention_ms
        return late_shards(start.shards, lineage, readable, self._api.now_ms(), retention_ms)

    # Where a stream begins

    def _is_same_stream(self, start: StreamPosition) -> bool:
        return start.created_ms == self._frontier.facts.description().created_ms

    def _begin(self, initial: InitialPosition, created_ms: int) -> StreamPosition:
        key = (initial, created_ms)
        if key not in self._resolved:
            self._resolved[key] = resolve_start(
                self._api, self._stream, self._frontier.listing, initial, created_ms
            )
        return self._resolved[key]

    def _begin_recreated(self, start: StreamPosition) -> StreamPosition:
        created_ms = self._frontier.facts.description().created_ms
        if (TRIM_HORIZON, created_ms) not in self._resolved:
            self._report_recreated(start, created_ms)
        return self._begin(TRIM_HORIZON, created_ms)

    # What is lost

    def _report_recreated(self, start: StreamPosition, created_ms: int) -> None:
        self._losses.report(
            Loss(
                "DATA_LOSS_STREAM_RECREATED",
                f"Stream {self._stream.key!r} is not the one that the checkpoint belongs to: that "
                f"one was created at {name_time(start.created_ms)}, this one at "
                f"{name_time(created_ms)}. It was deleted and created again, or it is that of "
                "another region or account. What was unread in the old one is not in this one.",
                "Check region and roleArn; start with a new checkpoint directory, or set "
                "failOnDataLoss=false to go on with the oldest record of the new stream.",
                go_on="",
            )
        )

    def _report_lost(self, start: StreamPosition, resets: Mapping[str, Position]) -> None:
        places = "; ".join(
            f"{shard_id!r} behind {name_position(start.shards.get(shard_id, TRIM_HORIZON))}"
            for shard_id in sorted(resets)[:NAMED_SHARDS]
        )
        left = len(resets) - NAMED_SHARDS
        more = f" and {left} more" if left > 0 else ""
        self._losses.report(
            Loss(
                "DATA_LOSS_SHARD",
                f"Stream {self._stream.key!r} knows these shards, the positions in them or the "
                f"children of them no more: {places}{more}. What was unread there is gone: it is "
                "older than the retention.",
                _HINT,
            )
        )

    def _report_late(self, late: Sequence[LateShard]) -> None:
        """Report all in one: the first report may end the query."""
        stream = f"of stream {self._stream.key!r}"
        named = late[:NAMED_SHARDS]
        texts = [
            f"Shard {shard.shard_id!r} {stream} begins without its parent "
            f"{_names(shard.unread)}, which is not listed any more and was never read: what it "
            "held is gone, and the first records of the shard itself may be gone."
            for shard in named
            if shard.unread
        ]
        texts += [
            f"Shard {shard.shard_id!r} {stream} begins when its parent {_names(shard.expired)} is "
            f"older than the retention: records that came into it{_since(shard)} and are older "
            "than the retention may be gone."
            for shard in named
            if not shard.unread
        ]
        if len(late) > NAMED_SHARDS:
            texts.append(f"So do {len(late) - NAMED_SHARDS} shards more.")
        is_unread = any(shard.unread for shard in late)
        code = "DATA_LOSS_SHARD" if is_unread else "DATA_LOSS_TRIMMED"
        self._losses.report(Loss(code, " ".join(texts), _HINT))


def _names(shard_ids: Sequence[str]) -> str:
    return " and ".join(map(repr, shard_ids))


def _since(late: LateShard) -> str:
    return f" since {name_time(late.since_ms)}" if late.since_ms is not None else ""
