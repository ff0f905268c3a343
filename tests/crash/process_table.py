"""Processes of this machine, read from /proc: who is whose child, who has a call under way.

The crash tests start every program in a session of its own. All that it starts in turn stays in
that session, though Spark moves its Python workers to other groups: so a session is what a test may
kill, and what must be gone in the end.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    session: int
    started: int
    command: str

    @property
    def is_jvm(self) -> bool:
        return self.command.partition(" ")[0].endswith("java")

    def kill(self) -> bool:
        """Kill -9; False if it was gone, or its number belongs to another by now."""
        if process(self.pid) != self:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            return True
        return False


def process(pid: int) -> Process | None:
    """Return a process that runs; None if it is gone or waits to be reaped."""
    try:
        # The name, in brackets, may hold anything; what follows are numbers.
        state, *numbers = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        command = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (OSError, ValueError):
        return None
    if state in "ZX":
        return None
    return Process(pid, int(numbers[0]), int(numbers[2]), int(numbers[18]), command)


def session_members(session: int) -> list[Process]:
    """Return the processes of a session that run."""
    found = (process(int(path.name)) for path in PROC.iterdir() if path.name.isdecimal())
    return [one for one in found if one is not None and one.session == session]


def kill_session(session: int) -> None:
    """Kill -9 all of a session, and what they start meanwhile."""
    while members := session_members(session):
        for member in members:
            member.kill()


def descendants(pid: int, among: list[Process]) -> list[Process]:
    """Return what a process started, and what those started."""
    found = [one for one in among if one.parent == pid]
    for one in found:
        found.extend(child for child in among if child.parent == one.pid)
    return found


def ports_to(pid: int, url: str) -> set[int]:
    """Return the ports from which a process holds connections to a server on loopback."""
    port = f":{urlsplit(url).port:04X}"
    sockets = {}
    for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[2].endswith(port) and fields[3] == "01":  # to that port, established
            sockets[f"socket:[{fields[9]}]"] = int(fields[1].rpartition(":")[2], 16)
    try:
        opened = [str(entry.readlink()) for entry in (PROC / str(pid) / "fd").iterdir()]
    except OSError:
        return set()
    return {sockets[name] for name in opened if name in sockets}
