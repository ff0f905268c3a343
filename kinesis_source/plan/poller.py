"""Poller, on the driver: keeps the frontiers polled, also while Spark is busy with a batch.

Spark plans a batch only when the one before is done. With 1,000 shards a round of polls takes
seconds; made in threads of its own while the batch runs, it delays no batch, and the next one is
planned from what is known by then. A shard that AWS is slow to answer for holds up no other.

In: frontiers that have adopted shards. Out: nothing; ask the frontiers. What cannot be mended by
asking again is kept for the planner's next call.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kinesis_source.errors import KinesisSourceError
from kinesis_source.plan.followed import SLOW_S, FollowedShard
from kinesis_source.plan.frontier import StreamFrontier
from kinesis_source.plan.poll_slots import PollSlots
from kinesis_source.plan.runtime import Runtime

__all__ = ["Poller"]

IDLE_AFTER_S = 60.0
"""Nobody asked for so long: the trigger is slow, or the query is over. The next call polls anew."""
SHORTEST_TICK_S = 0.02
TICK_S_PER_SHARD = 0.000_02
"""Between two looks at what is due. Looking costs about a microsecond a shard."""


@dataclass(eq=False)
class _Look:
    """One look at one shard, waiting or under way."""

    frontier: StreamFrontier
    shard: FollowedShard
    is_slow: bool
    began_s: float = 0.0


class Poller:
    """Polls frontiers until it is closed. Begins with the first :meth:`awaken`.

    Parameters
    ----------
    frontiers : iterable of StreamFrontier
    runtime : Runtime
    """

    def __init__(self, frontiers: Iterable[StreamFrontier], runtime: Runtime) -> None:
        self._frontiers = tuple(frontiers)
        self._runtime = runtime
        self._lock = threading.Lock()  # over all that follows; never held during a call to AWS
        self._slots = PollSlots(runtime.monotonic, runtime.process_s)
        self._due: deque[_Look] = deque()
        self._slow_due: deque[_Look] = deque()
        self._under_way: list[_Look] = []
        self._jobs: set[Callable[[], None]] = set()
        self._is_running = False
        self._is_closed = False
        self._asked_s = float("-inf")
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
        with self._lock:
            error, self._error = self._error, None
            is_old = self._runtime.monotonic() - self._asked_s >= IDLE_AFTER_S
            if error is not None and not (is_old and _passes(error)):
                self._asked_s = float("-inf")
                raise error
            was_asleep = not self._is_awake()
            self._asked_s = self._runtime.monotonic()
            begins = not self._is_running and not self._is_closed
            self._is_running |= begins
        if was_asleep:
            for frontier in self._frontiers:
                frontier.forget_failures()
        if begins:
            self._runtime.spawn(self._run)
        return was_asleep

    @property
    def tick_s(self) -> float:
        """How long to wait between two looks at what was learned."""
        shards = sum(frontier.shard_count for frontier in self._frontiers)
        return max(SHORTEST_TICK_S, shards * TICK_S_PER_SHARD)

    def close(self) -> None:
        """Begin no more polls."""
        self._is_closed = True

    def _is_awake(self) -> bool:
        is_asked = self._runtime.monotonic() - self._asked_s < IDLE_AFTER_S
        return is_asked and self._error is None and not self._is_closed

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._is_awake():
                    self._is_running = False
                    return
            try:
                self._begin_what_is_due()
            except Exception as error:  # noqa: BLE001 - the planner raises it, and begins anew
                self._keep(error)
            self._runtime.sleep(self.tick_s)

    def _begin_what_is_due(self) -> None:
        for frontier in self._frontiers:
            facts = frontier.facts
            if facts.is_listing_due:
                self._begin_job(facts.list_shards)
            if facts.is_description_due:
                self._begin_job(facts.describe)
            for shard in frontier.take_due():
                look = _Look(frontier, shard, is_slow=shard.is_slow or shard.failures > 0)
                (self._slow_due if look.is_slow else self._due).append(look)
        self._begin_polls()

    def _begin_job(self, job: Callable[[], None]) -> None:
        """Run a frontier's own call, unless it is under way."""
        with self._lock:
            if job in self._jobs:
                return
            self._jobs.add(job)
        self._runtime.submit(lambda: self._run_job(job))

    def _run_job(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - the planner raises it
            self._keep(error)
        finally:
            with self._lock:
                self._jobs.discard(job)

    def _begin_polls(self) -> None:
        """Begin as many polls as there are slots, in the order in which they were due."""
        begun: list[_Look] = []
        with self._lock:
            now_s = self._runtime.monotonic()
            for look in self._under_way:
                if not look.is_slow and now_s - look.began_s > SLOW_S:
                    look.is_slow = True
                    self._slots.turn_slow()
            for due in (self._slow_due, self._due):
                while due and self._slots.take(is_slow=due[0].is_slow):
                    look = due.popleft()
                    look.began_s = now_s
                    begun.append(look)
            self._under_way.extend(begun)
        for look in begun:
            self._submit(look)

    def _submit(self, look: _Look) -> None:
        self._runtime.submit(lambda: self._poll(look))

    def _poll(self, look: _Look) -> None:
        try:
            if not self._is_closed:
                look.frontier.look(look.shard, shares_rate=self.is_batch_running)
        except Exception as error:  # noqa: BLE001 - the planner raises it
            self._keep(error)
        finally:
            with self._lock:
                self._under_way.remove(look)
                self._slots.give_back(is_slow=look.is_slow)
            if not self._is_closed:
                self._begin_polls()

    def _keep(self, error: Exception) -> None:
        self._error = error


def _passes(error: Exception) -> bool:
    """Say whether an error of long ago tells nothing of now."""
    return isinstance(error, KinesisSourceError) and error.is_worth_repeating
