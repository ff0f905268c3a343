"""Poller, on the driver: keeps the frontiers polled while Spark is busy with a batch.

Spark plans a batch only when the one before is done. With 1,000 shards a round of polls takes
seconds; made in threads of its own while the batch runs, it delays no batch, and the next one is
planned from what is known by then. A shard that AWS is slow to answer for holds up no other.

In: frontiers that have adopted shards. Out: nothing; ask the frontiers. Failures are kept for the
planner's next call.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from kinesis_source.plan.frontier import StreamFrontier
from kinesis_source.plan.poll_slots import MOST_SLOTS, PollSlots
from kinesis_source.plan.probe import ShardProbe

__all__ = ["Poller"]

IDLE_AFTER_S = 60.0
"""Nobody asked for so long: the trigger is slow, or the query is over. The next call polls anew."""
SHORTEST_TICK_S = 0.02
TICK_S_PER_SHARD = 0.000_02
"""Between two looks at what is due. Looking costs about a microsecond a shard."""


class Poller:
    """Polls frontiers until it is closed. Begins with the first :meth:`awaken`.

    Parameters
    ----------
    frontiers : iterable of StreamFrontier
    """

    def __init__(self, frontiers: Iterable[StreamFrontier]) -> None:
        self._frontiers = tuple(frontiers)
        self._changed = threading.Condition()
        self._calls = ThreadPoolExecutor(MOST_SLOTS, thread_name_prefix="kinesis-poll")
        self._slots = PollSlots()
        self._due: deque[tuple[StreamFrontier, ShardProbe]] = deque()
        self._thread: threading.Thread | None = None
        self._asked_s = float("-inf")
        self._listings_under_way: set[StreamFrontier] = set()
        self._is_closed = False
        self._error: Exception | None = None
        self.is_batch_running = False
        """Set by the planner: executors are reading, and need the shards' rate."""

    def awaken(self) -> bool:
        """Go on polling for a while.

        Returns
        -------
        bool
            Whether it was asleep: what is known may be old.

        Raises
        ------
        KinesisSourceError
            What a poll failed with. Polling rests until the next call.
        """
        with self._changed:
            if self._error is not None:
                error, self._error = self._error, None
                self._asked_s = float("-inf")
                raise error
            was_asleep = not self._is_awake()
            self._asked_s = time.monotonic()
            is_running = self._thread is not None and self._thread.is_alive()
            if not is_running and not self._is_closed:
                self._thread = threading.Thread(
                    target=self._run, name="kinesis-poller", daemon=True
                )
                self._thread.start()
            self._changed.notify()
        return was_asleep

    @property
    def tick_s(self) -> float:
        """How long to wait between two looks at what was learned."""
        shards = sum(frontier.shard_count for frontier in self._frontiers)
        return max(SHORTEST_TICK_S, shards * TICK_S_PER_SHARD)

    def close(self) -> None:
        """End the threads; calls under way may last their time-outs."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._calls.shutdown(wait=False, cancel_futures=True)

    def _is_awake(self) -> bool:
        return self._error is None and time.monotonic() - self._asked_s < IDLE_AFTER_S

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._is_closed and not self._is_awake():
                    self._changed.wait(IDLE_AFTER_S)
                if self._is_closed:
                    return
            try:
                self._begin_what_is_due()
            except Exception as error:  # noqa: BLE001 - the planner raises it, and begins anew
                self._keep(error)
                return
            time.sleep(self.tick_s)

    def _begin_what_is_due(self) -> None:
        for frontier in self._frontiers:
            if frontier.listing.is_due and frontier not in self._listings_under_way:
                self._listings_under_way.add(frontier)
                self._calls.submit(self._list, frontier)
            for probe in frontier.take_due():
                self._due.append((frontier, probe))
                self._calls.submit(self._poll_next)

    def _list(self, frontier: StreamFrontier) -> None:
        try:
            frontier.listing.refresh()
        except Exception as error:  # noqa: BLE001 - the planner raises it
            self._keep(error)
        finally:
            self._listings_under_way.discard(frontier)

    def _poll_next(self) -> None:
        with self._slots:
            if not self._is_closed:
                # Only who has a slot takes a shard: threads overtake each other, shards do not.
                self._poll(*self._due.popleft())

    def _poll(self, frontier: StreamFrontier, probe: ShardProbe) -> None:
        try:
            frontier.settle(probe, probe.poll(shares_rate=self.is_batch_running))
        except Exception as error:  # noqa: BLE001 - the planner raises it
            self._keep(error)
        finally:
            frontier.give_up([probe])

    def _keep(self, error: Exception) -> None:
        with self._changed:
            self._error = error
