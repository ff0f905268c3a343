"""ShardPace, on the executors: when the next GetRecords of a shard may go out.

AWS gives a shard 5 GetRecords calls and 2 MiB a second, for all its readers together. A page may
hold 10 MiB, and then blocks the shard for 5 s: calls before that are refused, and each refusal
costs a back-off that is longer than the wait would have been. So a reader waits by itself for as
long as the bytes of its last page count, asks for pages that are worth half a second, and leaves a
call a second or more to the driver.

The arithmetic is pure: callers pass in their clock. What a range has used counts for the next one
in the same process, see :func:`pace_of`.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from weakref import WeakKeyDictionary

from kinesis_source.aws.api import Page, StreamApi
from kinesis_source.cursor.density import density_of
from kinesis_source.model.ranges import Density

__all__ = ["LARGEST_PAGE", "ShardPace", "pace_of"]

CALLS = 2
CALLS_WINDOW_S = 0.5
"""At most so many calls in so long: 4 a second, and none of a range's first two waits."""
PAGE_S = 0.5
"""How much of the shard's time one page may take: others want to read it as well."""
LEAST_S = 0.505
"""What a page of about PAGE_S takes. With less, three of them fall into one second every other
second, are more than 2 MiB, and the shard refuses the driver's call."""
ON_THE_WAY_S = 0.3
"""A reply that took longer was refused at first (aws/retry.py: no shorter wait after throttling),
so its bytes count from this long before it came, not from when the call began."""
FREE_PAGE_BYTES = 4 * 1024 * 1024
"""Where bytes do not count: larger pages cost more a byte, as memory is mapped anew for each."""
LARGEST_PAGE = 10_000
FIRST_PAGE = 250
"""While no record's size is known: 10 KB records then block the shard for a second, not for five.
"""
_PACES_KEPT = 10_000


class ShardPace:
    """What this process has lately taken of one shard. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[float] = deque(maxlen=CALLS)
        self._paid_until_s = float("-inf")
        self.density: Density | None = None
        """By the last page; a reader may set what it heard."""

    def claim(self, now_s: float, bytes_per_s: int | None) -> float:
        """Take leave to make a call now.

        Parameters
        ----------
        now_s : float
            Monotonic seconds.
        bytes_per_s : int or None
            None: neither bytes nor calls count.

        Returns
        -------
        float
            0: the call may be made and is counted. Else: ask again after so many seconds.
        """
        if bytes_per_s is None:
            return 0.0
        with self._lock:
            free_s = self._paid_until_s
            if len(self._calls) == CALLS:
                free_s = max(free_s, self._calls[0] + CALLS_WINDOW_S)
            # Less than a timer's grain is no wait.
            if free_s - now_s > 0.001:
                return free_s - now_s
            self._calls.append(now_s)
            return 0.0

    def note(self, page: Page, began_s: float, now_s: float, bytes_per_s: int | None) -> None:
        """Count a page's bytes.

        Parameters
        ----------
        page : Page
            As it came, with records that are not wanted.
        began_s, now_s : float
            When the call began, and now.
        bytes_per_s : int or None
            None: bytes do not count.
        """
        if not len(page):
            return
        size = page.size_bytes
        counted_from_s = max(began_s, now_s - ON_THE_WAY_S)
        with self._lock:
            self.density = density_of(page, size, self.density)
            if bytes_per_s is not None:
                takes_s = size / bytes_per_s
                if takes_s > 0.9 * PAGE_S:
                    takes_s = max(takes_s, LEAST_S)
                self._paid_until_s = max(self._paid_until_s, counted_from_s) + takes_s

    def page_records(self, bytes_per_s: int | None) -> int:
        """Return the Limit of a page worth ``PAGE_S``; a small one if no size is known yet."""
        if self.density is None:
            return LARGEST_PAGE if bytes_per_s is None else FIRST_PAGE
        page_bytes = FREE_PAGE_BYTES if bytes_per_s is None else PAGE_S * bytes_per_s
        return max(1, min(LARGEST_PAGE, int(page_bytes / self.density.record_bytes)))


_lock = threading.Lock()
_paces: WeakKeyDictionary[StreamApi, dict[tuple[str, str], ShardPace]] = WeakKeyDictionary()


def pace_of(api: StreamApi, stream_key: str, shard_id: str) -> ShardPace:
    """Return this process's pace of a shard, as one identity at one endpoint sees it."""
    with _lock:
        paces = _paces.setdefault(api, {})
        pace = paces.pop((stream_key, shard_id), None) or ShardPace()
        paces[stream_key, shard_id] = pace  # the last used comes last
        while len(paces) > _PACES_KEPT:
            del paces[next(iter(paces))]
    return pace


def _forget_after_fork() -> None:
    """Let a forked worker start anew: a thread that is not here may hold a lock."""
    global _lock  # noqa: PLW0603 - see above
    _lock = threading.Lock()
    _paces.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which never forks
    os.register_at_fork(after_in_child=_forget_after_fork)
