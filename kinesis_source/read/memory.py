"""MemoryBudget, on the executors: how much of a task's pages may be in memory at once.

A page of 10 MiB is 14 MB of JSON, the same as text, the data and the Arrow batch; sixteen threads
with one each, and one in the queue, would take a Python worker over a gigabyte. So a thread takes
leave before it asks for a page, and gives back what it does not need any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["LARGEST_PAGE_BYTES", "PAGE_COPIES", "MemoryBudget"]

LARGEST_PAGE_BYTES = 10 * 1024 * 1024
"""AWS: what one GetRecords reply holds at most."""
PAGE_COPIES = 4
"""A page while it is decoded: reply and text, each a third larger than the data, data and batch."""
CHECK_S = 0.2
"""How soon a thread that waits sees that its task is over."""


class MemoryBudget:
    """Bytes that threads share. Thread-safe.

    Parameters
    ----------
    total_bytes : int
    """

    def __init__(self, total_bytes: int) -> None:
        self._total = total_bytes
        self._used = 0
        self._changed = threading.Condition()

    def take(self, size_bytes: int, check: Callable[[], None]) -> None:
        """Wait until there is room. One that is larger than all waits until nothing is taken.

        Parameters
        ----------
        size_bytes : int
        check : callable
            Called while waiting; raises to end it.
        """
        with self._changed:
            while self._used and self._used + size_bytes > self._total:
                self._changed.wait(CHECK_S)
                check()
            self._used += size_bytes

    def add(self, size_bytes: int) -> None:
        """Count what is in memory already."""
        with self._changed:
            self._used += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Make room for others."""
        with self._changed:
            self._used -= size_bytes
            self._changed.notify_all()
