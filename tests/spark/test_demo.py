"""The demo as a user starts it: a process of its own, in a terminal and into a pipe."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.spark

_COMMAND = [sys.executable, "-m", "kinesis_source.cli", "demo", "--rate", "200"]
_LIMIT_S = 240.0


class Demo:
    """A running demo in a session of its own, and what it wrote so far."""

    def __init__(self, scratch: Path, *, seconds: int, in_terminal: bool) -> None:
        self.scratch = scratch
        self._theirs: int | None = None
        if in_terminal:
            self._ours, self._theirs = pty.openpty()
        else:
            self._ours, self._theirs = os.pipe()
        self.process = subprocess.Popen(
            [*_COMMAND, "--seconds", str(seconds)],
            stdin=subprocess.DEVNULL,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "TMPDIR": str(scratch)},
        )
        os.close(self._theirs)
        self.told = ""

    def read_until(self, pattern: str | None) -> None:
        """Read until a text came, or to the end."""
        deadline = time.monotonic() + _LIMIT_S
        while pattern is None or not re.search(pattern, self.told):
            assert time.monotonic() < deadline, self.told
            if not select.select([self._ours], [], [], 1.0)[0]:
                continue
            try:
                data = os.read(self._ours, 65_536)
            except OSError:  # Linux: the terminal's other end is closed
                data = b""
            if not data:
                assert pattern is None, self.told
                return
            self.told += data.decode().replace("\r\n", "\n")

    def kill(self) -> None:
        for pid in self.leftovers():
            os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        os.close(self._ours)

    def leftovers(self) -> list[int]:
        """Return the living processes of the demo's session, workers and JVM included."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            except OSError:  # it ended while we looked
                continue
            if int(session) == self.process.pid and state != "Z":
                found.append(int(stat.parent.name))
        return found

    def assert_gone(self) -> None:
        """Nothing of it is left: no process, no file."""
        deadline = time.monotonic() + 15
        while self.leftovers():
            assert time.monotonic() < deadline, self.leftovers()
            time.sleep(0.1)
        assert not list(self.scratch.glob("kinesis-*"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator:
    started: list[Demo] = []

    def start(**settings: Any) -> Demo:
        started.append(Demo(tmp_path, **settings))
        return started[-1]

    yield start
    for demo in started:
        demo.kill()


def test_the_demo_shows_every_record_once_and_the_children_of_the_split(start) -> None:
    demo = start(seconds=8, in_terminal=False)
    demo.read_until(None)

    assert demo.process.wait(30) == 0, demo.told
    put, rows = (
        int(re.search(rf"{what} +([0-9,]+)", demo.told)[1].replace(",", ""))
        for what in ("records put", "rows in the table")
    )
    assert put == rows > 1_000
    assert "(lost 0, duplicate 0)" in demo.told
    assert "role/kinesis-reader, external id" in demo.told
    assert re.search(r">> shardId-0{12} is split into shardId-0{11}4 and shardId-0{11}5", demo.told)
    assert len(re.findall(r"\(child\)", demo.told)) == 2
    assert (
        len(re.findall(r"\d+ s +put +[\d,]+ +in the table +[\d,]+ +[\d,]+ rows/s", demo.told)) > 1
    )
    assert "kinesis-source policy" in demo.told
    assert "\x1b" not in demo.told
    assert not re.search(r"WARN|ERROR|Traceback|Exception", demo.told)
    demo.assert_gone()


def test_ctrl_c_in_a_terminal_ends_it_at_once_and_leaves_nothing(start) -> None:
    demo = start(seconds=300, in_terminal=True)
    demo.read_until(r"rows/s")
    assert "\x1b[1A" in demo.told  # redrawn in place

    pressed = time.monotonic()
    os.killpg(demo.process.pid, signal.SIGINT)  # what the terminal does on Ctrl-C
    demo.read_until(None)

    assert demo.process.wait(15) == 130, demo.told
    assert time.monotonic() - pressed < 15
    assert demo.told.rstrip().endswith("Stopped.")
    assert "Traceback" not in demo.told
    assert "Exception" not in demo.told
    demo.assert_gone()
