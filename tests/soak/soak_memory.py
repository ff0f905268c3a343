"""Memory of the soak's processes: samples by kind, and how much each life grew."""

from __future__ import annotations

import statistics
import subprocess
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

INTERVAL_S = 1.0
WARM_UP_S = 10.0
"""Imports and first connections are no growth."""
LEAST_SAMPLES = 9


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    rss_kib: int
    command: str


def processes() -> dict[int, Process]:
    """Return all processes of this machine by id."""
    shown = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,rss=,args="], capture_output=True, text=True, check=True
    ).stdout
    found: dict[int, Process] = {}
    for line in shown.splitlines():
        pid, parent, rss, *command = line.split(None, 3)
        found[int(pid)] = Process(int(pid), int(parent), int(rss), " ".join(command))
    return found


def family(pid: int, alive: dict[int, Process]) -> list[Process]:
    """Return a process with its descendants, oldest generation first."""
    members = [alive[pid]] if pid in alive else []
    for member in members:
        members.extend(p for p in alive.values() if p.parent == member.pid)
    return members


def kind_of(process: Process) -> str:
    """Return the kind of a Spark process by its command line."""
    if "java" in process.command.split(" ", 1)[0]:
        return "JVM"
    if "python_streaming_source_runner" in process.command:
        return "planner"
    return "Python worker" if "pyspark" in process.command else "driver"


@dataclass
class MemoryWatch:
    """Samples the families of the processes it is told to watch."""

    lives: dict[str, dict[int, list[tuple[float, int]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def __post_init__(self) -> None:
        self._roots: dict[int, str | None] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def watch(self, pid: int, kind: str | None = None) -> None:
        """Watch a process and its descendants; kind None: tell them by their command lines."""
        self._roots = {**self._roots, pid: kind}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            alive = processes()
            for root, kind in self._roots.items():
                for process in family(root, alive):
                    lives = self.lives[kind or kind_of(process)]
                    lives[process.pid].append((time.monotonic(), process.rss_kib))

    def peak_mib(self, kind: str) -> float:
        samples = [rss for life in self.lives[kind].values() for _, rss in life]
        return max(samples, default=0) / 1024

    def growth_mib(self, kind: str) -> float | None:
        """Return the most that one process grew: median of its last third against the first.

        None if no process lived long enough to say.
        """
        grown = [_grown_kib(life) for life in self.lives[kind].values()]
        known = [kib / 1024 for kib in grown if kib is not None]
        return max(known, default=None)


def _grown_kib(life: list[tuple[float, int]]) -> float | None:
    warm = [rss for at_s, rss in life if at_s - life[0][0] >= WARM_UP_S]
    if len(warm) < LEAST_SAMPLES:
        return None
    third = len(warm) // 3
    return statistics.median(warm[-third:]) - statistics.median(warm[:third])
