"""Threads of a task, on the executors: as many as asked for, or as many as the machine bears.

Two limits make threads fail: of processes (``ulimit -u``, a container's pids), and of address
space, which is how Spark keeps ``spark.executor.pyspark.memory``. Nobody is helped by taking all
there is: the executor's JVM needs threads too, and reading needs memory.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["bearable_threads", "start_threads"]

logger = logging.getLogger("kinesis_source")

THREAD_BYTES: Final = 72 * 1024 * 1024
"""Address space of a thread: a stack of 8 MiB, as Linux gives it, and glibc's arena of 64 MiB."""
_STATM: Final = Path("/proc/self/statm")


def bearable_threads(count: int) -> int:
    """Return how many of so many threads half of the address space that is left can hold.

    Parameters
    ----------
    count : int

    Returns
    -------
    int
        0 to ``count``; ``count`` where nothing limits the address space.
    """
    left_bytes = _left_bytes()
    return count if left_bytes is None else min(count, max(0, left_bytes // 2 // THREAD_BYTES))


def start_threads(count: int, work: Callable[[], None], name: str) -> int:
    """Start daemon threads; return how many of them work, which may be none.

    Where one fails to start, half of those before it end again at once and leave others room.

    Parameters
    ----------
    count : int
    work : callable
    name : str
        Of the threads, before a number.
    """
    wanted = bearable_threads(count)
    if wanted < count:
        _warn(wanted, count, "the address space is limited")
    decided = threading.Event()
    working = wanted

    def run(number: int) -> None:
        decided.wait()
        if number < working:
            work()

    try:
        for number in range(wanted):
            thread = threading.Thread(
                target=run, args=(number,), name=f"{name}-{number}", daemon=True
            )
            try:
                thread.start()
            except (RuntimeError, MemoryError) as error:
                working = (number + 1) // 2
                _warn(working, count, str(error) or type(error).__name__)
                break
    finally:
        decided.set()
    return working


@cache  # once for each case and process, not for each task
def _warn(got: int, count: int, reason: str) -> None:
    logger.warning(
        "A task reads with %s instead of %d (%s), which may be slow. Raise "
        "spark.executor.pyspark.memory or the limit of processes, or lower shardsPerTask.",
        f"{got} thread{'s' * (got > 1)}" if got else "its own thread",
        count,
        reason,
    )


def _left_bytes() -> int | None:
    try:
        import resource
    except ImportError:  # Windows, which has no such limits
        return None
    limit_bytes = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit_bytes == resource.RLIM_INFINITY:
        return None
    with contextlib.suppress(OSError, ValueError):  # no /proc: nobody knows
        pages = int(_STATM.read_text().split()[0])
        return limit_bytes - pages * os.sysconf("SC_PAGE_SIZE")
    return None
