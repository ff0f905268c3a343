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

from kinesis_source.errors import ServiceError

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


class _Job:
    """A function that runs once, wherever it is run first."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._is_begun = False
        self.future: Future[Any] = Future()

    def run(self) -> None:
        with self._lock:
            if self._is_begun:
                return
            self._is_begun = True
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self._function())
        except BaseException as error:  # noqa: BLE001 - the future carries whatever was raised
            self.future.set_exception(error)


class ThreadRuntime:
    """The machine's clock and threads."""

    def __init__(self) -> None:
        self._calls = ThreadPoolExecutor(MOST_CALLS, thread_name_prefix="kinesis-plan")
        self._has_threads = False
        self._is_closed = False

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
        """Run a function in a thread of the pool; in the caller's where none can be started.

        A limit of memory or of processes may leave room for a few threads only: those go on.
        """
        job = _Job(function)
        try:
            self._calls.submit(self._run_in_pool, job)
        except RuntimeError:
            if self._is_closed:
                raise
            # It waits for a thread of the pool, if there is one.
            if not self._has_threads:
                job.run()
        return job.future

    def _run_in_pool(self, job: _Job) -> None:
        self._has_threads = True
        job.run()

    def wait(self, futures: Collection[Future[Any]], timeout_s: float) -> None:
        """Wait until all are done, or the time is over."""
        wait_for(futures, timeout=max(0.0, timeout_s))

    def spawn(self, function: Callable[[], None]) -> None:
        """Run a function in a daemon thread."""
        try:
            threading.Thread(target=function, name="kinesis-poller", daemon=True).start()
        except (RuntimeError, MemoryError) as error:
            raise ServiceError(
                "SERVICE_THREADS",
                f"The process that plans the query could not start a thread ({error}).",
                "Give it more memory (PYSPARK_PLANNER_MEMORY_MB) or raise the limit of processes.",
            ) from error

    def close(self) -> None:
        """End the threads; calls under way may last their time-outs."""
        self._is_closed = True
        self._calls.shutdown(wait=False, cancel_futures=True)
