"""MicroBatchPlanner, on the driver: from one offset to the next.

Lives in the one process that Spark starts for a query's planning. Brings the streams' parts
together and knows when a batch is due; knows the order of Spark's calls, not their signatures
(those are in spark/stream.py). In and out: StreamOffset values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kinesis_source.aws.api import StreamApi, StreamDescription
from kinesis_source.cursor.losses import LossPolicy
from kinesis_source.errors import OffsetError
from kinesis_source.model.offsets import StreamOffset
from kinesis_source.model.shards import Lineage
from kinesis_source.options.settings import ReadSettings, StreamSettings
from kinesis_source.plan.admission import Admission
from kinesis_source.plan.batch_rules import StreamHints, awaits_children
from kinesis_source.plan.frontier import StreamFrontier
from kinesis_source.plan.poller import Poller
from kinesis_source.plan.runtime import Runtime, ThreadRuntime
from kinesis_source.plan.shares import Budget
from kinesis_source.plan.stream_planner import StreamPlan, StreamPlanner

__all__ = ["MicroBatchPlanner"]

CLOCK_GRAIN_MS = 1_000
"""The Date header has whole seconds: AWS's clock is at most this far ahead of what is known."""
STALL_S = 300.0
"""AvailableNow without any progress for this long is an error, not a wait."""
SEARCH_INTERVALS = 3
"""Poll intervals that a batch is looked for while it is open whether there is more: a poll may show
that without moving (plan/probe.py), the one after it moves. Spark's processAllAvailable() takes an
unchanged offset as proof that all is read."""
FIRST_ROUND_S = 30.0
"""How long a batch waits for all shards where nothing recent is known of them."""
FIRST_SEARCH_S = 1.5
"""How long the first batch after a start waits, where records are left, to know how far they go:
two looks more. Without, the first batches of an old backlog hold a page of each shard."""
GATHER_INTERVALS = 1.25
"""Poll intervals after the last plan in which a batch waits for all shards that are being polled.
Later, what is known of some will do: planning delays no batch."""


class MicroBatchPlanner:
    """Plans the micro-batches of one query.

    Parameters
    ----------
    api : StreamApi
    settings : ReadSettings
    check_access : callable
        Describes a stream after making sure that it may be read; raises the coded error if not.
    runtime : Runtime or None
        Clock and threads; None: the machine's.
    failing_budget_s : float
        How long calls for one shard may fail in ways that pass before the query does.
    """

    def __init__(
        self,
        api: StreamApi,
        settings: ReadSettings,
        check_access: Callable[[StreamSettings], StreamDescription],
        *,
        runtime: Runtime | None = None,
        failing_budget_s: float = 120.0,
    ) -> None:
        self._api = api
        self._settings = settings
        self._runtime = runtime or ThreadRuntime()
        self._interval_s = settings.poll_interval_ms / 1000
        self._frontiers = {
            stream.key: StreamFrontier(
                api, stream, settings, check_access, self._runtime, failing_budget_s
            )
            for stream in settings.streams
        }
        self._streams = {
            stream.key: StreamPlanner(
                api,
                stream,
                settings.initial_of(stream),
                self._frontiers[stream.key],
                LossPolicy(fails=settings.fail_on_data_loss),
                settings.loaded_ms,
            )
            for stream in settings.streams
        }
        self._poller = Poller(self._frontiers.values(), self._runtime)
        budget = Budget.of(settings.max_records_per_trigger, settings.max_bytes_per_trigger)
        self._admission = Admission(api, budget, self._runtime, failing_budget_s)
        self._planned_s = float("-inf")
        self._initial: StreamOffset | None = None
        self._not_after_ms: int | None = None

    def close(self) -> None:
        """End the polling threads. Spark does not promise to call this."""
        self._poller.close()
        self._runtime.close()

    def initial_offset(self) -> StreamOffset:
        """Resolve where the query starts: once in this process, see the module of offsets."""
        if self._initial is None:
            self._initial = StreamOffset(
                {key: stream.resolve() for key, stream in self._streams.items()}, is_initial=True
            )
        return self._initial

    def fix_target(self, not_after_ms: int | None = None) -> None:
        """Fix what "available now" means, before the first batch of such a run.

        Whatever is in the streams when this is called arrived before ``now_ms() +
        CLOCK_GRAIN_MS``, taken after the listings: they last longer than the way back of a reply,
        which is what else ``now_ms`` may be late by. Records that arrive later are not read.

        Parameters
        ----------
        not_after_ms : int or None
            Another moment, that has passed. A shard that is closed by now may hold later records.
        """
        for frontier in self._frontiers.values():
            frontier.facts.description()
            if not_after_ms is None:
                frontier.note_closed()
        if not_after_ms is None:
            not_after_ms = self._api.now_ms() + CLOCK_GRAIN_MS
        self._set_target(not_after_ms)

    def next_offset(self, start: StreamOffset, *, to_the_tip: bool = False) -> StreamOffset:
        """Return where the batch that begins at ``start`` ends; ``start`` itself if nothing is new.

        Blocks as long as nothing is new: for one poll interval, or a few while some shard's last
        answer left open if there is more.

        Parameters
        ----------
        start : StreamOffset
            The end of the batch before, or the initial offset.
        to_the_tip : bool
            Look until the last record is known that is there now, and take it all (Trigger.Once).
        """
        self._expect_our_streams(start)
        if self._not_after_ms is not None:
            return self._catch_up(start, is_limited=not to_the_tip)
        if to_the_tip:
            self.fix_target()
            try:
                return self._catch_up(start, is_limited=False)
            finally:
                self._set_target(None)
        return self._follow(start)

    def lineages(self) -> dict[str, Lineage]:
        """Return the last listing of each stream's shards."""
        return {key: frontier.listing.lineage() for key, frontier in self._frontiers.items()}

    def hints(self) -> dict[str, StreamHints]:
        """Return what is known of each stream and spares its readers the asking. No I/O."""
        return {
            key: StreamHints(frontier.densities, frontier.facts.retention_ms)
            for key, frontier in self._frontiers.items()
        }

    def metrics(self) -> dict[str, dict[str, int]]:
        """Return numbers per stream for Spark's progress report. No I/O."""
        return {key: stream.metrics() for key, stream in self._streams.items()}

    # Following a stream

    def _follow(self, start: StreamOffset) -> StreamOffset:
        """Plan from what the poller knows; wait for it only where that is nothing new."""
        called_s = self._runtime.monotonic()
        self._poller.is_batch_running = False
        self._adopt(start)
        searched_s = called_s
        if self._poller.awaken():
            gathered_s = called_s + FIRST_ROUND_S
            searched_s += FIRST_SEARCH_S
        else:
            gathered_s = self._planned_s + GATHER_INTERVALS * self._interval_s
        since_s = max(self._planned_s, called_s - 2 * self._interval_s)
        end, seen, planned_s = start, None, called_s
        while True:
            is_settled = all(f.is_settled(since_s) for f in self._frontiers.values())
            if is_settled and self._runtime.monotonic() < searched_s:
                is_settled = not any(f.has_unknown_ends for f in self._frontiers.values())
            if is_settled or self._runtime.monotonic() >= gathered_s:
                if (known := self._known()) != seen:
                    seen = known
                    planned_s = self._runtime.monotonic()
                    end = self._end(start, self._plans(start), is_limited=True)
                if end is not start:
                    self._planned_s = planned_s
                    self._adopt(end)  # so that its shards are polled while the batch runs
                    self._poller.is_batch_running = True
                    return end
                if self._runtime.monotonic() >= self._give_up_s(called_s):
                    return start
            self._runtime.sleep(self._poller.tick_s)
            self._poller.awaken()

    def _known(self) -> tuple[object, ...]:
        return tuple(frontier.state for frontier in self._frontiers.values())

    def _give_up_s(self, called_s: float) -> float:
        """Return until when a call waits for news."""
        is_searching = any(frontier.is_searching for frontier in self._frontiers.values())
        return called_s + (SEARCH_INTERVALS if is_searching else 1) * self._interval_s

    def _adopt(self, offset: StreamOffset) -> None:
        """Let the frontiers follow the shards that a batch which begins at an offset may read."""
        for key, stream in self._streams.items():
            stream.adopt(offset.streams.get(key))

    def _plans(self, start: StreamOffset) -> dict[str, StreamPlan]:
        return {key: stream.plan(start.streams.get(key)) for key, stream in self._streams.items()}

    def _end(
        self, start: StreamOffset, plans: Mapping[str, StreamPlan], *, is_limited: bool
    ) -> StreamOffset:
        """Return the end of a batch; ``start`` itself if there is no news."""
        limited = None
        if is_limited:
            requests = [request for plan in plans.values() for request in plan.requests()]
            limited = self._admission.limit(requests)
        ends = {key: plan.end(limited) for key, plan in plans.items()}
        streams = {**start.streams, **ends}
        begins = {key: plan.begins(ends[key]) for key, plan in plans.items()}
        if start.is_initial:
            # Always a new text: batch 0 must be logged even without rows, or a restart would
            # resolve LATEST anew and lose what came in between.
            return StreamOffset(streams, start=start.streams, begins=begins)
        return start if streams == start.streams else StreamOffset(streams, begins=begins)

    # AvailableNow and Once

    def _catch_up(self, start: StreamOffset, *, is_limited: bool) -> StreamOffset:
        """Wait until every readable shard's last record within the target is known."""
        self._adopt(start)
        self._poller.awaken()
        last, seen, progress_s = start, None, self._runtime.monotonic()
        while True:
            if (known := self._known()) != seen:
                seen = known
                plans = self._plans(start)
                end = self._end(start, plans, is_limited=False)
                if self._is_all_known(end):
                    found = self._end(start, plans, is_limited=True) if is_limited else end
                    if found is not start or end is start:
                        return found
                    # All that is there waits for its samples: that is no end of the run.
                    seen = None
                    self._runtime.sleep(self._interval_s)
                if end != last:
                    last, progress_s = end, self._runtime.monotonic()
            if self._runtime.monotonic() >= progress_s + STALL_S:
                raise OffsetError(
                    "OFFSET_STALLED",
                    f"For {STALL_S:.0f} s AWS showed neither a new record nor the end of what is "
                    f"available in {sorted(self._frontiers)}.",
                    "Start the query again; if it stays, look at the streams' iterator age.",
                )
            self._runtime.sleep(self._poller.tick_s)
            self._poller.awaken()

    def _is_all_known(self, end: StreamOffset) -> bool:
        """Say whether nothing is left to look for, children that a listing hides included."""
        is_known = True
        for key, frontier in self._frontiers.items():
            if awaits_children(end.streams[key].shards, frontier.listing.lineage()):
                frontier.listing.ask_for_another()
                is_known = False
            elif not frontier.is_exhausted or frontier.has_claims:
                is_known = False
        return is_known

    def _set_target(self, not_after_ms: int | None) -> None:
        self._not_after_ms = not_after_ms
        for frontier in self._frontiers.values():
            frontier.set_target(not_after_ms)

    def _expect_our_streams(self, start: StreamOffset) -> None:
        """Refuse a checkpoint that holds none of the streams: it belongs to another query."""
        if start.streams and not set(start.streams) & set(self._frontiers):
            raise OffsetError(
                "OFFSET_OTHER_STREAM",
                f"The checkpoint belongs to {sorted(start.streams)}, the query reads "
                f"{sorted(self._frontiers)}.",
                "Name the stream as before (name or ARN), or use a new checkpoint directory.",
            )
