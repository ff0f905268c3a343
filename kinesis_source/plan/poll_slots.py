"""PollSlots, on the driver: how many polls are made at a time.

Polls mostly wait for AWS. But each takes about a millisecond of CPU around its calls, and only one
thread has the interpreter: beyond about two thirds of a core more threads poll no faster, they only
take it from each other, for twice the CPU a poll. How many threads that is depends on how far away
AWS is: 8 at 10 ms a call, 50 at 80 ms. So their number follows what the process uses. No I/O.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["MOST_SLOTS", "PollSlots"]

LEAST_SLOTS = 8
MOST_SLOTS = 32
BUSY_SHARE = 0.6
"""Of a core. Above it there is one slot less, below it one more if all are taken."""
WINDOW_S = 0.2


class PollSlots:
    """A context for each poll; waits until one may begin. Thread-safe.

    Parameters
    ----------
    monotonic, process_time : callable
        Seconds that passed, and that this process used of a core.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        process_time: Callable[[], float] = time.process_time,
    ) -> None:
        self._monotonic = monotonic
        self._process_time = process_time
        self._freed = threading.Condition()
        self._taken = 0
        self._was_full = False
        self._window = (monotonic(), process_time())
        self.count = LEAST_SLOTS

    def __enter__(self) -> None:
        with self._freed:
            while self._taken >= self.count:
                self._was_full = True
                if not self._freed.wait(WINDOW_S):
                    self._adjust()  # polls that AWS lets wait end no window
            self._taken += 1

    def __exit__(self, *_: object) -> None:
        with self._freed:
            self._taken -= 1
            self._adjust()
            self._freed.notify(self.count - self._taken)

    def _adjust(self) -> None:
        """At the end of a window, look how busy the process was in it."""
        began_s, used_s = self._window
        now_s = self._monotonic()
        if now_s - began_s < WINDOW_S:
            return
        process_s = self._process_time()
        share = (process_s - used_s) / (now_s - began_s)
        if share > BUSY_SHARE:
            self.count = max(LEAST_SLOTS, self.count - 1)
        elif self._was_full:
            self.count = min(MOST_SLOTS, self.count + 1)
        self._window = (now_s, process_s)
        self._was_full = False
