"""PollSlots, on the driver: how many polls are made at a time.

Polls mostly wait for AWS. But each takes about a millisecond of CPU around its calls, and only one
thread has the interpreter: beyond about two thirds of a core more threads poll no faster, they only
take it from each other, for twice the CPU a poll. How many threads that is depends on how far away
AWS is: 8 at 10 ms a call, 50 at 80 ms. So their number follows what the process uses.

Shards that AWS is slow to answer for, or throttles, have a quarter as many slots of their own, and
a look that turns out slow gives its slot back before it ends: they hold up each other, not the
rest. Pure arithmetic; callers hold a lock.
"""

from __future__ import annotations

from collections.abc import Callable

from kinesis_source.plan.runtime import MOST_CALLS

__all__ = ["PollSlots"]

LEAST_SLOTS = 8
MOST_SLOTS = 28
MOST_LOOKS = MOST_CALLS - 4
"""Slow ones included; the rest of the threads lists, describes and samples."""
SLOW_PART = 4
BUSY_SHARE = 0.6
"""Of a core. Above it there is one slot less, below it one more if all are taken."""
WINDOW_S = 0.2


class PollSlots:
    """Counts polls under way.

    Parameters
    ----------
    monotonic, process_s : callable
        Seconds that passed, and that this process used of a core.
    """

    def __init__(self, monotonic: Callable[[], float], process_s: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._process_s = process_s
        self._taken = 0
        self._slow_taken = 0
        self._was_full = False
        self._window = (monotonic(), process_s())
        self.count = LEAST_SLOTS

    def take(self, *, is_slow: bool) -> bool:
        """Take a slot for a poll; False if none is free."""
        self._adjust()
        if self._taken + self._slow_taken >= MOST_LOOKS:
            return False
        if is_slow:
            if self._slow_taken >= self.count // SLOW_PART:
                return False
            self._slow_taken += 1
            return True
        if self._taken >= self.count:
            self._was_full = True
            return False
        self._taken += 1
        return True

    def turn_slow(self) -> None:
        """Count a look among the slow ones, in whatever number: it is under way."""
        self._taken -= 1
        self._slow_taken += 1

    def give_back(self, *, is_slow: bool) -> None:
        """Give back a slot that was taken."""
        if is_slow:
            self._slow_taken -= 1
        else:
            self._taken -= 1

    def _adjust(self) -> None:
        """At the end of a window, look how busy the process was in it."""
        began_s, used_s = self._window
        now_s = self._monotonic()
        if now_s - began_s < WINDOW_S:
            return
        process_s = self._process_s()
        share = (process_s - used_s) / (now_s - began_s)
        if share > BUSY_SHARE:
            self.count = max(LEAST_SLOTS, self.count - 1)
        elif self._was_full:
            self.count = min(MOST_SLOTS, self.count + 1)
        self._window = (now_s, process_s)
        self._was_full = False
