"""ServerClock: a moment that has certainly come on AWS's side.

Runs on driver and executors; fed with the Date header of each reply. The driver's own wall clock is
never asked: AWS refuses timestamps that lie in its future, and a wall clock may be hours off.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from kinesis_source.aws.timestamps import date_header_ms

__all__ = ["ServerClock"]

# An old reply plus the time since is a lower bound only as long as this machine's monotonic clock
# does not run faster than AWS's. At the 500 ppm that NTP may slew, ten minutes add 0.3 s at most;
# without forgetting, a query of some months could get ahead of AWS by minutes.
WINDOW_S: Final = 300.0


class ServerClock:
    """Lower bound of AWS's clock. Thread-safe.

    Parameters
    ----------
    clock : callable
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._window_began = 0.0
        # (Date - monotonic clock) in ms: the largest of this window, and of the one before.
        self._current: float | None = None
        self._previous: float | None = None

    def observe(self, date_header: str | None) -> None:
        """Take note of a reply's Date header, right after the reply came; bad ones are ignored."""
        received_s = self._clock()
        date_ms = date_header_ms(date_header)
        if date_ms is None:
            return
        offset_ms = date_ms - received_s * 1000
        with self._lock:
            if self._current is None or received_s - self._window_began >= WINDOW_S:
                self._previous = self._current
                self._current = offset_ms
                self._window_began = received_s
            else:
                self._current = max(self._current, offset_ms)

    def now_ms(self) -> int | None:
        """Return the bound in ms since 1970; None if no reply had a Date header yet."""
        with self._lock:
            if self._current is None:
                return None
            offset_ms = self._current
            if self._previous is not None:
                offset_ms = max(offset_ms, self._previous)
        return int(offset_ms + self._clock() * 1000)
