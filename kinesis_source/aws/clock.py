"""ServerClock: a moment that has certainly come on AWS's side.

Runs on driver and executors; fed with the headers of each reply. The driver's own wall clock is
never asked: AWS refuses timestamps that lie in its future, and a wall clock may be hours off.
Believed are only replies that carry AWS's request id: a proxy answers with a clock of its own. Some
proxies put their own Date even into AWS's replies; what AWS refuses as future disproves that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from kinesis_source.aws.timestamps import date_header_ms

__all__ = ["ServerClock", "is_from_aws"]

_log = logging.getLogger(__name__)

# An old reply plus the time since is a lower bound only as long as this machine's monotonic clock
# does not run faster than AWS's. At the 500 ppm that NTP may slew, ten minutes add 0.3 s at most;
# without forgetting, a query of some months could get ahead of AWS by minutes.
WINDOW_S: Final = 300.0
# A refusal proves an upper bound. It is kept so long: the monotonic clock stands still in suspend,
# and a bound for ever would hold the time back by as much.
DISPROOF_S: Final = 900.0
# How far below the refused moment the clock is put: for the first refusal the difference between
# two of AWS's machines; each further one doubles it, so that a proxy whose clock is hours ahead is
# corrected within a dozen and not a refused call for each second.
_FIRST_MARGIN_MS: Final = 1_000
_MOST_MARGIN_MS: Final = 24 * 3_600_000
# Who asks about "now" asks for moments close to it. A much older one may have been refused for
# another reason, and must not put the clock back by its age.
_NOW_MS: Final = 3_600_000
_REQUEST_IDS: Final = frozenset({"x-amzn-requestid", "x-amz-request-id"})


def is_from_aws(headers: Mapping[str, str]) -> bool:
    """Say whether a reply carries a request id, as each of AWS's does (names in any case)."""
    return any(
        name.lower() in _REQUEST_IDS and bool(value.strip()) for name, value in headers.items()
    )


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
        # The same of the last moment refused, less the margin, and when it was refused.
        self._ceiling: float | None = None
        self._refuted_s = float("-inf")
        self._margin_ms = _FIRST_MARGIN_MS

    def observe(self, headers: Mapping[str, str]) -> None:
        """Take note of a reply's headers, right after it came; strangers and bad dates are not."""
        received_s = self._clock()
        date_ms = self.time_of(headers)
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

    def begin_with(self, headers: Mapping[str, str]) -> None:
        """Forget what earlier replies told: AWS refused a signature made by it, with this reply."""
        with self._lock:
            self._current = self._previous = None
        self.observe(headers)

    @staticmethod
    def time_of(headers: Mapping[str, str]) -> int | None:
        """Return AWS's time in a reply's headers, ms since 1970; None if they do not tell it."""
        return date_header_ms(_date_of(headers)) if is_from_aws(headers) else None

    def refute(self, moment_ms: int, told_ms: int | None = None) -> bool:
        """Take note that AWS just refused a moment as lying in its future.

        Parameters
        ----------
        moment_ms : int
        told_ms : int or None
            AWS's time, where the refusal told it.

        Returns
        -------
        bool
            Whether the clock had called it past, and has now forgotten what it believed.
        """
        with self._lock:
            now_s = self._clock()
            now_ms = self._now_ms(now_s)
            if now_ms is None or moment_ms > now_ms:
                return False
            self._current = self._previous = None
            if told_ms is not None and told_ms < moment_ms:
                self._refuted_s = now_s
                self._ceiling = told_ms - now_s * 1000
            elif now_ms - moment_ms <= _NOW_MS:
                is_first = now_s - self._refuted_s >= DISPROOF_S
                margin_ms = _FIRST_MARGIN_MS if is_first else self._margin_ms * 2
                self._margin_ms = min(margin_ms, _MOST_MARGIN_MS)
                self._refuted_s = now_s
                self._ceiling = moment_ms - self._margin_ms - now_s * 1000
        _log.warning(
            "AWS refused the moment %d ms as lying in its future, though the Date headers of its "
            "replies had told that it was %d ms: what was known of AWS's clock is forgotten. Look "
            "for a proxy that puts its own Date into AWS's replies, with a clock that is ahead",
            moment_ms,
            now_ms,
        )
        return True

    def now_ms(self) -> int | None:
        """Return the bound in ms since 1970; None if no reply told it yet."""
        with self._lock:
            return self._now_ms(self._clock())

    def _now_ms(self, now_s: float) -> int | None:
        if self._current is None:
            return None
        offset_ms = self._current
        if self._previous is not None:
            offset_ms = max(offset_ms, self._previous)
        if self._ceiling is not None and now_s - self._refuted_s < DISPROOF_S:
            offset_ms = min(offset_ms, self._ceiling)
        return int(offset_ms + now_s * 1000)


def _date_of(headers: Mapping[str, str]) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == "date"), None)
