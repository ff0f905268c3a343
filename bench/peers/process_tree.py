"""CPU and memory of a process tree, sampled from /proc by the session that its processes share.

Linux only. A process that began and ended between two samples is not seen, and of one that ended
what it took since the last sample is not.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Sample", "TreeWatch", "cpu_between", "processes_of"]

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat behind the name: man 5 proc counts from the pid, these from the state.
_SESSION, _USER, _SYSTEM, _RESIDENT = 3, 11, 12, 21


@dataclass(frozen=True)
class Sample:
    """The tree at one moment.

    Parameters
    ----------
    at_s : float
        Monotonic seconds.
    cpu_s : float
        Of all processes so far, ended ones included.
    memory_bytes : int
        Resident, pages that several share counted for each.
    progress_bytes : int
        What the caller's function said.
    """

    at_s: float
    cpu_s: float
    memory_bytes: int
    progress_bytes: int


class TreeWatch:
    """Samples all processes of a session until it is left.

    Parameters
    ----------
    session : int
        The id of the session's leader.
    progress : callable
        Bytes of work done so far.
    every_s : float

    Raises
    ------
    RuntimeError
        When it is left, if sampling broke off: what was seen until then is no measurement.
    """

    def __init__(self, session: int, progress: Callable[[], int], every_s: float = 0.1) -> None:
        self.samples: list[Sample] = []
        self._session = session
        self._progress = progress
        self._every_s = every_s
        self._cpu_s: dict[int, float] = {}
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        if self._error is not None and kind is None:
            raise RuntimeError(f"sampling broke off: {self._error}") from self._error

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.samples.append(self._sample())
                self._stop.wait(self._every_s)
        except (OSError, ValueError) as error:
            self._error = error

    def _sample(self) -> Sample:
        memory_bytes = 0
        for pid, cpu_s, resident_bytes in processes_of(self._session):
            self._cpu_s[pid] = cpu_s
            memory_bytes += resident_bytes
        return Sample(time.monotonic(), sum(self._cpu_s.values()), memory_bytes, self._progress())


def processes_of(session: int) -> list[tuple[int, float, int]]:
    """Return pid, seconds of CPU and resident bytes of each process of a session."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            text = (folder / "stat").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The name in brackets may hold spaces.
        fields = text.rpartition(")")[2].split()
        if int(fields[_SESSION]) == session:
            ticks = int(fields[_USER]) + int(fields[_SYSTEM])
            resident_bytes = int(fields[_RESIDENT]) * _PAGE_BYTES
            found.append((int(folder.name), ticks / _TICKS_PER_S, resident_bytes))
    return found


def cpu_between(samples: list[Sample], first_bytes: int, last_bytes: int) -> tuple[float, int]:
    """Return seconds of CPU, and bytes, between two amounts of work done.

    Parameters
    ----------
    samples : list of Sample
        In order of time.
    first_bytes, last_bytes : int
        The first samples with at least so much work bound the part that counts.

    Raises
    ------
    ValueError
        If the work never got so far, or all in one step.
    """
    begin = next((sample for sample in samples if sample.progress_bytes >= first_bytes), None)
    end = next((sample for sample in samples if sample.progress_bytes >= last_bytes), None)
    if begin is None or end is None or end.progress_bytes == begin.progress_bytes:
        message = f"no steady part between {first_bytes:,} and {last_bytes:,} bytes"
        raise ValueError(message)
    return end.cpu_s - begin.cpu_s, end.progress_bytes - begin.progress_bytes
