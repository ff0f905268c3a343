"""Time for the emulator: any callable that returns epoch seconds, and one that tests move by hand.

Retention, iterator and token life, credential expiry, arrival times, strict limits, the `Date`
header and the check of signatures' times all read the same injected clock, so a test can age a
stream by a day in no time. Clients that sign by this machine's clock, as boto3 does, are then
refused as AWS would refuse them, unless the emulator gets ``signing_clock=time.time``.
"""

import threading
from collections.abc import Callable

Clock = Callable[[], float]


class ManualClock:
    """A clock that stands still until it is told to move.

    Parameters
    ----------
    start_s : float, epoch seconds, default 1700000000.0
        The first reading.

    Examples
    --------
    >>> clock = ManualClock(1_700_000_000.0)
    >>> clock.advance(3600)
    >>> clock()
    1700003600.0
    """

    def __init__(self, start_s: float = 1_700_000_000.0) -> None:
        self._now_s = start_s
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the current reading, epoch seconds."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Move the clock on by `seconds` (>= 0)."""
        if seconds < 0:
            raise ValueError(f"A clock cannot go back: advance() got {seconds}. Use set().")
        with self._lock:
            self._now_s += seconds

    def set(self, epoch_s: float) -> None:
        """Put the clock to `epoch_s`, forward or back, as a badly kept server clock would be."""
        with self._lock:
            self._now_s = epoch_s


def milliseconds(clock: Clock) -> int:
    """Return the clock's reading in whole epoch milliseconds."""
    return round(clock() * 1000)
