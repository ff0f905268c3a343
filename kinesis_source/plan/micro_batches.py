"""MicroBatchPlanner, on the driver: from one offset to the next.

Lives in the one process that Spark starts for a query's planning. Brings together the frontier's
facts and the planner's decisions; knows the order of Spark's calls, not their signatures (those are
in spark/stream.py). In and out: StreamOffset values.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from kinesis_source.aws.api import StreamApi, StreamDescription
from kinesis_source.errors import OffsetError
from kinesis_source.model.offsets import StreamOffset, StreamPosition
from kinesis_source.model.positions import TRIM_HORIZON
from kinesis_source.model.ranges import Density
from kinesis_source.options.settings import InitialPosition, ReadSettings, StreamSettings
from kinesis_source.plan.admission import Admission, Budget
from kinesis_source.plan.batch_rules import (
    awaits_children,
    orphaned_shards,
    plan_end,
    readable_shards,
)
from kinesis_source.plan.frontier import StreamFrontier
from kinesis_source.plan.losses import report_lost, report_recreated
from kinesis_source.plan.poller import Poller
from kinesis_source.plan.start import resolve_start

__all__ = ["MicroBatchPlanner"]

CLOCK_GRAIN_MS = 1_000
"""The Date header has whole seconds: AWS's clock is at most this far ahead of what is known."""
PLAN_THREADS = 16
"""Each waits for AWS most of the time."""
STALL_S = 300.0
"""AvailableNow without any progress for this long is an error, not a wait."""
SEARCH_INTERVALS = 3
"""Poll intervals that a batch is looked for while it is open whether there is more: a poll may show
that without moving (plan/probe.py), the one after it moves. Spark's processAllAvailable() takes an
unchanged offset as proof that all is read."""
FIRST_ROUND_S = 30.0
"""How long a batch waits for all shards where nothing recent is known of them."""
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
    polls_ahead : bool
        Poll while Spark is busy with a batch, in threads of its own.
    monotonic, sleep : callable
        Clock and pause, in seconds.
    """

    def __init__(
        self,
        api: StreamApi,
        settings: ReadSettings,
        check_access: Callable[[StreamSettings], StreamDescription],
        *,
        polls_ahead: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._settings = settings
        self._interval_s = settings.poll_interval_ms / 1000
        self._check_access = check_access
        self._monotonic = monotonic
        self._sleep = sleep
        self._executor = ThreadPoolExecutor(PLAN_THREADS, thread_name_prefix="kinesis-plan")
        self._descriptions: dict[str, StreamDescription] = {}
        self._frontiers = {
            stream.key: StreamFrontier(
                api, stream, settings, self._executor, monotonic=monotonic, sleep=sleep
            )
            for stream in settings.streams
        }
        self._poller = Poller(self._frontiers.values()) if polls_ahead else None
        self._planned_s = float("-inf")
        self._admissions = {
            stream.key: Admission(api, stream, self._executor) for stream in settings.streams
        }
        self._budget = Budget.of(
            _share(settings.max_records_per_trigger, len(settings.streams)),
            _share(settings.max_bytes_per_trigger, len(settings.streams)),
        )
        self._initial: StreamOffset | None = None
        self._not_after_ms: int | None = None

    def close(self) -> None:
        """End the polling threads. Spark does not promise to call this."""
        if self._poller is not None:
            self._poller.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def initial_offset(self) -> StreamOffset:
        """Resolve where the query starts: once in this process, see the module of offsets."""
        if self._initial is None:
            self._initial = StreamOffset(
                {stream.key: self._resolve(stream) for stream in self._settings.streams},
                is_initial=True,
            )
        return self._initial

    def fix_target(self) -> None:
        """Fix what "available now" means, before the first batch of such a run.

        Whatever is in the streams when this is called arrived before ``now_ms() +
        CLOCK_GRAIN_MS``, taken after the listings: they last longer than the way back of a reply,
        which is what else ``now_ms`` may be late by. Records that arrive later are not read.
        """
        for stream in self._settings.streams:
            self._describe(stream)
            self._frontiers[stream.key].note_closed()
        self._set_target(self._api.now_ms() + CLOCK_GRAIN_MS)

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
        if self._poller is None:
            return self._follow(start)
        return self._follow_ahead(start, self._poller)

    def densities(self) -> dict[str, dict[str, Density]]:
        """Return what is known of each stream's shards, as hints for their readers. No I/O."""
        return {key: frontier.densities for key, frontier in self._frontiers.items()}

    def metrics(self) -> dict[str, dict[str, int]]:
        """Return numbers per stream for Spark's progress report. No I/O."""
        return {key: frontier.metrics() for key, frontier in self._frontiers.items()}

    # Following a stream

    def _follow(self, start: StreamOffset) -> StreamOffset:
        """Poll when it is time, here and now."""
        called_s = self._monotonic()
        while True:
            self._wait_for_poll(self._give_up_s(called_s))
            end = self._look(start, is_limited=True)
            if end is not start or self._monotonic() >= self._give_up_s(called_s):
                return end

    def _follow_ahead(self, start: StreamOffset, poller: Poller) -> StreamOffset:
        """Plan from what the poller knows; wait for it only where that is nothing new."""
        called_s = self._monotonic()
        poller.is_batch_running = False
        self._adopt(start)
        if poller.awaken():
            gathered_s = called_s + FIRST_ROUND_S
        else:
            gathered_s = self._planned_s + GATHER_INTERVALS * self._interval_s
        since_s = max(self._planned_s, called_s - 2 * self._interval_s)
        end, seen, planned_s = start, None, called_s
        while True:
            is_settled = all(f.is_settled(since_s) for f in self._frontiers.values())
            if is_settled or self._monotonic() >= gathered_s:
                known = [(f.learned, f.listing.last) for f in self._frontiers.values()]
                if known != seen:
                    seen = known
                    planned_s = self._monotonic()
                    end = self._look(start, is_limited=True, polls=False)
                if end is not start:
                    self._planned_s = planned_s
                    self._adopt(end)  # so that its shards are polled while the batch runs
                    poller.is_batch_running = True
                    return end
                if self._monotonic() >= self._give_up_s(called_s):
                    return start
            self._sleep(poller.tick_s)
            poller.awaken()

    def _give_up_s(self, called_s: float) -> float:
        """Return until when a call waits for news."""
        is_searching = any(frontier.is_searching for frontier in self._frontiers.values())
        return called_s + (SEARCH_INTERVALS if is_searching else 1) * self._interval_s

    def _adopt(self, offset: StreamOffset) -> None:
        """Let the frontiers poll the shards that a batch which begins at an offset may read."""
        for stream in self._settings.streams:
            position = offset.streams.get(stream.key)
            description = self._describe(stream)
            if position is not None and position.created_ms == description.created_ms:
                frontier = self._frontiers[stream.key]
                readable = readable_shards(position.shards, frontier.listing.lineage())
                frontier.adopt(readable, description.retention_ms // 4)

    def _wait_for_poll(self, at_most_until_s: float) -> None:
        next_s = min(frontier.next_poll_s for frontier in self._frontiers.values())
        wait_s = min(next_s, at_most_until_s) - self._monotonic()
        if wait_s > 0:
            self._sleep(wait_s)

    def _look(self, start: StreamOffset, *, is_limited: bool, polls: bool = True) -> StreamOffset:
        """Poll once, or take what is known; return the new end, or ``start`` itself."""
        streams = dict(start.streams)
        for stream in self._settings.streams:
            position = start.streams.get(stream.key)
            streams[stream.key] = self._advance(
                stream, position, is_limited=is_limited, polls=polls
            )
        if start.is_initial:
            # Always a new text: batch 0 must be logged even without rows, or a restart would
            # resolve LATEST anew and lose what came in between.
            return StreamOffset(streams, start=start.streams)
        return start if streams == start.streams else StreamOffset(streams)

    def _advance(
        self,
        stream: StreamSettings,
        start: StreamPosition | None,
        *,
        is_limited: bool,
        polls: bool,
    ) -> StreamPosition:
        if start is None:
            return self._resolve(stream)  # a stream that was added to the query
        description = self._describe(stream)
        if start.created_ms != description.created_ms:
            return self._begin_recreated(stream, start, description.created_ms)
        frontier = self._frontiers[stream.key]
        listing = frontier.listing
        lineage = listing.refresh() if polls else listing.lineage()
        readable = readable_shards(start.shards, lineage)
        frontier.adopt(readable, description.retention_ms // 4)
        if polls:
            frontier.poll()
        bounds = frontier.bounds(readable)
        frontier.note_orphans(orphaned_shards(start.shards, listing.lineage()))
        losses = frontier.take_losses()
        if losses:
            self._descriptions.pop(stream.key)  # or is it another stream by now?
            created_ms = self._describe(stream).created_ms
            if start.created_ms != created_ms:
                return self._begin_recreated(stream, start, created_ms)
            report_lost(stream, losses, start, fails=self._settings.fail_on_data_loss)
        if is_limited:
            bounds = self._admissions[stream.key].limit(
                readable, bounds, self._budget, frontier.first_arrivals_ms
            )
        # The listing may be newer than the one that the poll was made with, never older.
        end = plan_end(start.shards, listing.lineage(), bounds, self._api.now_ms(), losses)
        return StreamPosition(start.created_ms, end)

    def _begin_recreated(
        self, stream: StreamSettings, start: StreamPosition, created_ms: int
    ) -> StreamPosition:
        report_recreated(stream, start, created_ms, fails=self._settings.fail_on_data_loss)
        return self._begin(stream, TRIM_HORIZON, created_ms)

    # AvailableNow and Once

    def _catch_up(self, start: StreamOffset, *, is_limited: bool) -> StreamOffset:
        """Look until every readable shard's last record within the target is known."""
        last, progress_s = start, self._monotonic()
        while True:
            end = self._look(start, is_limited=False)
            if self._is_all_known(end):
                return self._look(start, is_limited=True) if is_limited else end
            if end != last:
                last, progress_s = end, self._monotonic()
            elif self._monotonic() >= progress_s + STALL_S:
                raise OffsetError(
                    "OFFSET_STALLED",
                    f"For {STALL_S:.0f} s AWS showed neither a new record nor the end of what is "
                    f"available in {sorted(self._frontiers)}.",
                    "Start the query again; if it stays, look at the streams' iterator age.",
                )
            self._wait_for_poll(progress_s + STALL_S)

    def _is_all_known(self, end: StreamOffset) -> bool:
        """Say whether nothing is left to look for, children that a listing hides included."""
        is_known = True
        for key, frontier in self._frontiers.items():
            if awaits_children(end.streams[key].shards, frontier.listing.lineage()):
                frontier.listing.ask_for_another()
                is_known = False
            elif not frontier.is_exhausted:
                is_known = False
        return is_known

    def _set_target(self, not_after_ms: int | None) -> None:
        self._not_after_ms = not_after_ms
        for frontier in self._frontiers.values():
            frontier.set_target(not_after_ms)

    # Streams

    def _resolve(self, stream: StreamSettings) -> StreamPosition:
        created_ms = self._describe(stream).created_ms
        return self._begin(stream, self._settings.initial_position, created_ms)

    def _begin(
        self, stream: StreamSettings, initial: InitialPosition, created_ms: int
    ) -> StreamPosition:
        listing = self._frontiers[stream.key].listing
        return resolve_start(self._api, stream, listing, initial, created_ms)

    def _describe(self, stream: StreamSettings) -> StreamDescription:
        """Check access and describe, once per process and stream."""
        if stream.key not in self._descriptions:
            self._descriptions[stream.key] = self._check_access(stream)
        return self._descriptions[stream.key]

    def _expect_our_streams(self, start: StreamOffset) -> None:
        """Refuse a checkpoint that holds none of the streams: it belongs to another query."""
        if start.streams and not set(start.streams) & set(self._frontiers):
            raise OffsetError(
                "OFFSET_OTHER_STREAM",
                f"The checkpoint belongs to {sorted(start.streams)}, the query reads "
                f"{sorted(self._frontiers)}.",
                "Name the stream as before (name or ARN), or use a new checkpoint directory.",
            )


def _share(total: int | None, streams: int) -> int | None:
    """Return one stream's part of a limit, at least one."""
    return None if total is None else max(1, total // streams)
