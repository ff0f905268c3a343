"""Virtual time: a clock that passes only while everybody waits, and threads that take turns.

One :class:`VirtualTime` is a world. In it live processes (:class:`SimulatedRuntime`, what planning
gets for its time and threads), the test itself, and whatever was scheduled to happen. Exactly one
thread runs at any moment; it gives its turn away where it waits (``sleep``, ``wait``, a call to the
simulated stream), and time then jumps to the earliest waking. Who wakes first of those that wake at
the same moment is drawn from the seed, so the same seed gives the same history, and days of a
stream's life take milliseconds. The threads are real ones that pass a baton: what runs here is the
code that runs in production, with its locks.

Found by itself, as an AssertionError in the test's thread: nobody can ever go on (deadlock); time
does not pass although there is no end of turns (a loop that never waits); an error that ended a
spawned thread; a wait with a lock held that another thread wants.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import threading
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, TypeVar

from kinesis_source.plan.runtime import MOST_CALLS

__all__ = ["FakeClock", "ProcessKilledError", "SimulatedRuntime", "VirtualTime", "close_worlds"]

_T = TypeVar("_T")

MOST_TURNS_AT_ONCE = 50_000
"""Turns, and looks at the clock, without time passing."""
HUNG_S = 60.0
"""Real seconds in which no thread gave its turn away: it waits for a lock that another holds."""
CPU_S_PER_TURN = 0.000_3
"""What counts as the process's use of a core."""

_worlds: set[VirtualTime] = set()


class ProcessKilledError(BaseException):
    """Ends a thread of a process that was killed, wherever it waits."""


class _Thread:
    """One thread of the world, and its turn."""

    def __init__(self, process: SimulatedRuntime | None) -> None:
        self.process = process
        self.baton = threading.Lock()
        self.baton.acquire()
        self.wakes = 0  # a waking that was meant for an earlier wait counts no more
        self.is_killed = False
        self.hands_back_to: _Thread | None = None
        self.tries_once = False  # see simulated_weather.py


class VirtualTime:
    """A world's clock, and whose turn it is. Made by the test's thread, which is part of it.

    Parameters
    ----------
    seed : int
        Decides who goes first of those that wake at the same moment.
    """

    def __init__(self, seed: int = 0) -> None:
        self.now_s = 1_000.0
        self._random = random.Random(seed)  # noqa: S311 - a replayable game
        self._main = self.current = _Thread(None)
        self._count = itertools.count()
        self._queue: list[tuple[float, float, int, _Thread | Callable[[], None], int]] = []
        self._turns_at_once = 0
        self._failure: BaseException | None = None
        self._processes: list[SimulatedRuntime] = []

    # What everybody may do

    def monotonic(self) -> float:
        """Return the world's seconds."""
        self._note_turn()
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Wait."""
        assert seconds >= 0, f"a sleep of {seconds} s"
        self._check_alive()
        self._note_turn()
        until_s = self.now_s + seconds
        if not self._queue or self._queue[0][0] > until_s:
            self._pass_to(until_s)  # nobody else has anything to do until then
            return
        self._push(until_s, self.current, self.current.wakes)
        self._give_turn_away()

    def wait(self, futures: Collection[Future[Any]], timeout_s: float = math.inf) -> None:
        """Wait until all are done, or the time is over."""
        self._check_alive()
        pending = [future for future in futures if not future.done()]
        if not pending or timeout_s <= 0:
            self.sleep(0)
            return
        waiting, wakes, left = self.current, self.current.wakes, [len(pending)]

        def note_done(_: Future[Any]) -> None:
            left[0] -= 1
            if not left[0] and waiting.wakes == wakes:
                self._push(self.now_s, waiting, wakes)

        for future in pending:
            future.add_done_callback(note_done)
        if timeout_s < math.inf:
            self._push(self.now_s + timeout_s, waiting, wakes)
        self._note_turn()
        self._give_turn_away()

    def at(self, when_s: float, action: Callable[[], None]) -> None:
        """Let something happen at a moment; at once if that is over."""
        self._push(max(when_s, self.now_s), action, 0)

    def run(self, process: SimulatedRuntime, function: Callable[[], None]) -> None:
        """Run a function in a thread of its own; its first turn comes when somebody waits."""
        thread = _Thread(process)
        process.threads.append(thread)
        self._push(self.now_s, thread, thread.wakes)
        _worlds.add(self)
        threading.Thread(target=self._live, args=(thread, function), daemon=True).start()

    def wake(self, thread: _Thread) -> None:
        """Let a thread go on that waits for it in :meth:`rest`."""
        self._push(self.now_s, thread, thread.wakes)

    def rest(self) -> None:
        """Wait for :meth:`wake`."""
        self._note_turn()
        self._give_turn_away()

    def begin(self, process: SimulatedRuntime) -> None:
        """Note a process, to be ended with the world."""
        self._processes.append(process)

    def kill(self, process: SimulatedRuntime) -> None:
        """End all threads of a process where they wait, at once."""
        me = self.current
        assert me.process is not process, "a process that kills itself"
        for thread in list(process.threads):
            thread.is_killed, thread.hands_back_to = True, me
            thread.wakes += 1
            self._hand_to(thread)
            self._await_turn(me)
        if process in self._processes:
            self._processes.remove(process)

    def close(self) -> None:
        """End all threads."""
        self._failure = None
        for process in list(self._processes):
            self.kill(process)
        self._queue.clear()
        _worlds.discard(self)

    # Turns

    def _push(self, when_s: float, target: _Thread | Callable[[], None], wakes: int) -> None:
        tie = self._random.random()
        heapq.heappush(self._queue, (when_s, tie, next(self._count), target, wakes))

    def _pass_to(self, when_s: float) -> None:
        if when_s > self.now_s:
            self.now_s = when_s
            self._turns_at_once = 0

    def _note_turn(self) -> None:
        self._turns_at_once += 1
        if self._turns_at_once > MOST_TURNS_AT_ONCE:
            self._turns_at_once = 0
            self._failure = AssertionError(
                f"time does not pass: {MOST_TURNS_AT_ONCE} turns at {self.now_s} s"
            )
            raise self._failure

    def _next(self) -> _Thread:
        """Return who wakes next, after all that happens before that."""
        while self._queue and self._failure is None:
            when_s, _, _, target, wakes = heapq.heappop(self._queue)
            if isinstance(target, _Thread):
                if target.wakes != wakes:
                    continue
                self._pass_to(when_s)
                target.wakes += 1
                return target
            self._pass_to(when_s)
            try:
                target()
            except BaseException as error:  # noqa: BLE001 - the test's thread raises it
                self._failure = error
        if self._failure is None:
            self._failure = AssertionError("deadlock: everybody waits, and nothing is to come")
        self._main.wakes += 1
        return self._main

    def _give_turn_away(self) -> None:
        me, following = self.current, self._next()
        if following is not me:
            self._hand_to(following)
            self._await_turn(me)
        if me is self._main and self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        self._check_alive()

    def _hand_to(self, thread: _Thread) -> None:
        self.current = thread
        thread.baton.release()

    def _await_turn(self, me: _Thread) -> None:
        if me is not self._main:
            me.baton.acquire()
            return
        seen = -1
        while not me.baton.acquire(timeout=HUNG_S):
            turns = next(self._count)
            if turns == seen + 1:
                raise AssertionError("hung: a thread waits with a lock held that another one wants")
            seen = turns

    def _check_alive(self) -> None:
        if self.current.is_killed:
            raise ProcessKilledError

    def _live(self, thread: _Thread, function: Callable[[], None]) -> None:
        thread.baton.acquire()
        try:
            if not thread.is_killed:
                function()
        except ProcessKilledError:
            pass
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            self._failure = self._failure or error
        if thread.process is not None:
            thread.process.threads.remove(thread)
        self._hand_to(thread.hands_back_to or self._next())


class FakeClock(VirtualTime):
    """A world for tests that need no more than a clock."""


class _VirtualFuture(Future[_T]):
    """A future whose result is waited for in virtual time."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time

    def result(self, timeout: float | None = None) -> _T:
        if not self.done():
            self._time.wait([self], math.inf if timeout is None else timeout)
        return super().result(0)


class SimulatedRuntime:
    """The time and the threads of one process; a :class:`kinesis_source.plan.runtime.Runtime`.

    Parameters
    ----------
    time : VirtualTime
    role : str
        Who calls: "driver" or "executor".
    """

    def __init__(self, time: VirtualTime, role: str = "driver") -> None:
        self.role = role
        self.threads: list[_Thread] = []
        self._time = time
        self._jobs: deque[tuple[_VirtualFuture[Any], Callable[[], Any]]] = deque()
        self._idle: list[_Thread] = []
        self._workers = 0
        self._is_closed = False
        self._turns = 0
        time.begin(self)

    def monotonic(self) -> float:
        return self._time.monotonic()

    def process_s(self) -> float:
        self._turns += 1
        return self._turns * CPU_S_PER_TURN

    def sleep(self, seconds: float) -> None:
        self._time.sleep(seconds)

    def wait(self, futures: Collection[Future[Any]], timeout_s: float) -> None:
        self._time.wait(futures, timeout_s)

    def submit(self, function: Callable[[], _T]) -> Future[_T]:
        if self._is_closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: _VirtualFuture[_T] = _VirtualFuture(self._time)
        self._jobs.append((future, function))
        if self._idle:
            self._time.wake(self._idle.pop())
        elif self._workers < MOST_CALLS:
            self._workers += 1
            self._time.run(self, self._work)
        return future

    def spawn(self, function: Callable[[], None]) -> None:
        self._time.run(self, function)

    def close(self) -> None:
        self._is_closed = True
        while self._jobs:
            self._jobs.popleft()[0].cancel()
        while self._idle:
            self._time.wake(self._idle.pop())

    def kill(self) -> None:
        """End the process as ``kill -9`` does."""
        self._time.kill(self)

    def _work(self) -> None:
        while self._jobs or not self._is_closed:
            if not self._jobs:
                self._idle.append(self._time.current)
                self._time.rest()
                continue
            future, function = self._jobs.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = function()
            except Exception as error:  # noqa: BLE001 - a future carries whatever was raised
                future.set_exception(error)
            else:
                future.set_result(result)
        self._workers -= 1


def close_worlds() -> None:
    """End the threads of all worlds; after each test."""
    for world in list(_worlds):
        world.close()
