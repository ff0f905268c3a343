"""Runtime, on the driver: the clock and the threads that planning uses, in one place.

Planning never asks the machine for time or threads itself: it gets a Runtime. The one here is real;
a simulation hands in another, whose time passes only when everybody waits, and so runs the very
code that production runs, for days of a stream's life, in the same order each time. For that to
work nothing in plan/ may block but through this interface, and no lock is held during a call to
AWS.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any, Protocol, TypeVar

__all__ = ["MOST_CALLS", "Runtime", "ThreadRuntime"]

_T = TypeVar("_T")

MOST_CALLS = 64
"""Threads for calls to AWS; each waits for an answer most of the time."""


class Runtime(Protocol):
    """Time, and work beside the caller's."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def process_s(self) -> float:
        """Return the seconds of CPU that this process has used."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def submit(self, function: Callable[[], _T]) -> Future[_T]:
        """Run a function beside the caller, when one of ``MOST_CALLS`` threads is free."""
        ...

    def wait(self, futures: Collection[Future[Any]], timeout_s: float) -> None:
        """Wait until all are done, or the time is over."""
        ...

    def spawn(self, function: Callable[[], None]) -> None:
        """Run a function in a thread of its own that does not keep the process alive."""
        ...

    def close(self) -> None:
        """Begin nothing new. Calls under way may last their time-outs."""
        ...


class ThreadRuntime:
    """The machine's clock and threads."""

    def __init__(self) -> None:
        self._calls = ThreadPoolExecutor(MOST_CALLS, thread_name_prefix="kinesis-plan")

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def process_s(self) -> float:
        """Return the seconds of CPU that this process has used."""
        return time.process_time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def submit(self, function: Callable[[], _T]) -> Future[_T]:
        """Run a function in a thread of the pool."""
        return self._calls.submit(function)

    def wait(self, futures: Collection[Future[Any]], timeout_s: float) -> None:
        """Wait until all are done, or the time is over."""
        wait_for(futures, timeout=max(0.0, timeout_s))

    def spawn(self, function: Callable[[], None]) -> None:
        """Run a function in a daemon thread."""
        threading.Thread(target=function, name="kinesis-poller", daemon=True).start()

    def close(self) -> None:
        """End the threads; calls under way may last their time-outs."""
        self._calls.shutdown(wait=False, cancel_futures=True)
