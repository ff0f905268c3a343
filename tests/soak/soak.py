"""Soak: a real query under writes, resharding, faults, restarts and kill -9, for some minutes.

``make soak MINUTES=10 SEED=1``. The emulator, the Spark driver and this program are processes of
their own. In the end writing stops, the query catches up, and every record must have been read
exactly once, in order, parents before children; a batch that is replayed must hold the same rows;
no process may have grown beyond its bound. Exit status 0 only then. All chance comes from the seed
that is printed, as far as threads and a busy machine allow.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from soak_load import FaultMaker, Resharder, Writer, kinesis
from soak_memory import MemoryWatch, family, processes
from soak_verdict import Batch, Output, Verdict, judge, offset_bytes

HERE = Path(__file__).resolve().parent
PROGRESS_S = 120.0
"""A driver that commits no batch for so long hangs: retries end after 60 s."""
CATCH_UP_S = 180.0
STOP_S = 60.0
GROWTH_MIB = {"driver": 48.0, "planner": 48.0, "Python worker": 64.0, "JVM": 450.0}
"""The JVM fills its heap of 512 MiB before it collects; Python's own processes settle."""


class SoakError(Exception):
    """The soak cannot go on."""


class Driver:
    """The Spark driver as a process that comes and goes."""

    def __init__(self, work: Path, memory: MemoryWatch) -> None:
        self._work = work
        self._memory = memory
        self._log = (work / "driver.log").open("a")
        self._process: subprocess.Popen[str] | None = None
        self.started_s = 0.0

    def start(self) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
            "PYTHONPATH": os.pathsep.join((str(HERE.parents[1]), os.environ.get("PYTHONPATH", ""))),
        }
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "soak_query.py"), str(self._work)],
            env=environment,
            cwd=self._work,
            stdout=self._log,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        self.started_s = time.monotonic()
        self._memory.watch(self._process.pid)

    @property
    def status(self) -> int | None:
        """Exit status, None while it runs."""
        return self._process.poll() if self._process else None

    def kill(self) -> None:
        """Kill -9 the driver with all that it started: the JVM, the planner, the workers."""
        if self._process is None:
            return
        members = family(self._process.pid, processes())
        for member in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)
        # What was started after that list was made; not reaped yet, the group's id is still ours.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_S)

    def stop(self) -> None:
        """End in good order; raises SoakError if that fails."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise SoakError(f"the driver did not stop within {STOP_S:.0f} s") from None
        # Before it has begun to listen, the signal itself ends it.
        if status not in {0, -signal.SIGTERM}:
            raise SoakError(f"the driver ended with status {status}: {self.last_words()}")

    def last_words(self) -> str:
        """Return the reason for the end of the query, from the driver's log."""
        text = (self._work / "driver.log").read_text(errors="replace")
        return (
            text[text.rfind("THE QUERY FAILED") :][:3000]
            if "THE QUERY FAILED" in text
            else text[-3000:]
        )

    def close(self) -> None:
        if self.status is None:
            self.kill()
        self._log.close()


class Soak:
    """One run."""

    def __init__(self, minutes: float, seed: int, work: Path) -> None:
        self._run_s = minutes * 60
        self._chance = random.Random(seed)  # noqa: S311 - must repeat
        self._work = work
        self._seed = seed
        self.output = Output(work)
        self.memory = MemoryWatch()
        self.driver = Driver(work, self.memory)
        self.ends: Counter[str] = Counter()
        self.changed_replays: list[int] = []
        self._before_replay: tuple[int, Batch] | None = None
        self._emulator: subprocess.Popen[str] | None = None

    def run(self) -> Verdict:
        facts = self._start_emulator()
        kinesis(facts).get_waiter("stream_exists").wait(StreamName=facts["stream"])
        self.writers = [Writer(facts, self._branch(), str(number)) for number in range(2)]
        self.resharder = Resharder(facts, self._branch())
        self.faults = FaultMaker(facts, self._branch())
        load = [*self.writers, self.resharder, self.faults]
        self.memory.start()
        for thread in load:
            thread.start()
        self._live_through(time.monotonic() + self._run_s)
        for thread in load:
            thread.finish()
            if thread.error is not None:
                raise SoakError(f"{thread.name} failed") from thread.error
        written = {row: data for writer in self.writers for row, data in writer.written.items()}
        self._catch_up(len(written))
        self.driver.stop()
        self._note_replay()
        self.memory.stop()
        self.calls = self.faults.calls()
        return judge(written, self.output.committed(), self.resharder.lineage())

    def close(self) -> None:
        self.driver.close()
        if self._emulator is not None:
            self._emulator.terminate()
            self._emulator.wait(STOP_S)

    def _branch(self) -> random.Random:
        return random.Random(self._chance.random())  # noqa: S311

    def _start_emulator(self) -> dict[str, Any]:
        self._emulator = subprocess.Popen(
            [
                *(sys.executable, str(HERE / "soak_emulator.py")),
                *("--seed", str(self._seed), "--shards", "2", "--credential-lifetime-s", "20"),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        )
        assert self._emulator.stdout is not None
        facts: dict[str, Any] = json.loads(self._emulator.stdout.readline())
        (self._work / "facts.json").write_text(json.dumps(facts))
        self.memory.watch(self._emulator.pid, "emulator")
        return facts

    def _live_through(self, until_s: float) -> None:
        """Start the driver, and end it in one way or another, until the time is over."""
        longest_s = max(20.0, self._run_s / 5)
        self.driver.start()
        while time.monotonic() < until_s:
            self._live(until_s, longest_s)
            if time.monotonic() >= until_s:
                return
            if self._chance.random() < 0.6:
                self.driver.kill()
                self.ends["kill -9"] += 1
            else:
                self.driver.stop()
                self.ends["restart"] += 1
            say(f"{self.ends.most_common()} {len(self.output.committed())} batches")
            self._note_replay()
            self.driver.start()

    def _live(self, until_s: float, longest_s: float) -> None:
        """Wait for a random moment of the driver's life, now and then before its first batch."""
        life_s = self._chance.uniform(2.0, 20.0)
        if self._chance.random() < 0.75:
            before = self.output.last_committed()
            self._wait(until_s, lambda: self.output.last_committed() > before)
            life_s = self._chance.uniform(0.0, longest_s)
        self._wait(min(until_s, time.monotonic() + life_s), lambda: False)
        if self._chance.random() < 0.6:
            self._await_batch(self._chance.uniform(0.0, 0.8))

    def _await_batch(self, then_s: float) -> None:
        """Wait for a batch to begin, and a moment longer: to end the driver in the midst of it."""
        begun, deadline_s = len(self.output.attempts()), time.monotonic() + 10
        while len(self.output.attempts()) == begun and time.monotonic() < deadline_s:
            time.sleep(0.02)
        time.sleep(then_s)

    def _note_replay(self) -> None:
        """Compare the batch that was to be replayed; remember the one that will be."""
        committed = self.output.committed()
        if self._before_replay is not None:
            batch_id, rows = self._before_replay
            if batch_id in committed:
                if sorted(rows) != sorted(committed[batch_id]):
                    self.changed_replays.append(batch_id)
                self.ends["replays compared"] += 1
                self._before_replay = None
        self._before_replay = self.output.unfinished() or self._before_replay

    def _wait(self, until_s: float, is_done: Any) -> None:
        """Wait, and see to it that the driver lives and commits batches."""
        batch, progress_s = self.output.last_committed(), time.monotonic()
        while time.monotonic() < until_s and not is_done():
            time.sleep(0.5)
            if self.driver.status is not None:
                raise SoakError(f"the driver ended by itself: {self.driver.last_words()}")
            if self.output.last_committed() != batch:
                batch, progress_s = self.output.last_committed(), time.monotonic()
            elif time.monotonic() - progress_s > PROGRESS_S:
                raise SoakError(f"no batch was committed for {PROGRESS_S:.0f} s after {batch}")

    def _catch_up(self, written: int) -> None:
        def rows() -> int:
            return sum(map(len, self.output.committed().values()))

        began_s = time.monotonic()
        until_s = began_s + CATCH_UP_S
        while rows() < written and time.monotonic() < until_s:
            self._wait(min(until_s, time.monotonic() + 2), lambda: False)
        self.catch_up_s = time.monotonic() - began_s


def report(soak: Soak, verdict: Verdict) -> list[str]:
    """Print the table; return what is wrong."""
    attempts = Counter(soak.output.attempts())
    lines = [
        ("records written", verdict.written),
        ("records read", verdict.read),
        *((name.replace("_", " "), getattr(verdict, name)) for name in _VERDICTS),
        ("batches", len(soak.output.committed())),
        ("batches replayed", sum(count > 1 for count in attempts.values())),
        ("replays with other rows", len(soak.changed_replays)),
        *((f"driver: {name}", count) for name, count in sorted(soak.ends.items())),
        *((f"stream: {name}", count) for name, count in sorted(soak.resharder.counts.items())),
        *((f"fault: {name}", count) for name, count in sorted(soak.faults.hits.items())),
        ("faults in all", sum(soak.faults.hits.values())),
        *((f"calls: {name}", count) for name, count in sorted(soak.calls.items())),
        ("seconds to catch up", f"{soak.catch_up_s:.1f}"),
        ("bytes of the last offset", offset_bytes(soak.output.work)),
    ]
    for name, value in lines:
        say(f"  {name:<28} {value:>10}")
    wrong = list(verdict.faults)
    wrong += [f"batch {batch_id} was replayed with other rows" for batch_id in soak.changed_replays]
    for kind in (*GROWTH_MIB, "emulator"):
        growth = soak.memory.growth_mib(kind)
        shown = "lived too briefly" if growth is None else f"{growth:+.1f} MiB"
        bound = GROWTH_MIB.get(kind)
        say(
            f"  memory: {kind:<20} {soak.memory.peak_mib(kind):>6.0f} MiB peak, growth {shown}"
            + (f" (bound {bound:.0f})" if bound else " (keeps all records)")
        )
        if bound and growth is not None and growth > bound:
            wrong.append(f"a {kind} process grew by {growth:.0f} MiB")
    return wrong


_VERDICTS = ("lost", "duplicated", "unknown", "damaged", "out_of_order", "early_children")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", action="store_true", help="keep the work directory")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    work = Path(tempfile.mkdtemp(prefix="kinesis-soak-"))
    say(f"Soak of {given.minutes:g} minutes, seed {seed}, in {work}")
    soak = Soak(given.minutes, seed, work)
    try:
        wrong = report(soak, soak.run())
    except SoakError as error:
        wrong = [str(error)]
    finally:
        soak.close()
    if wrong:
        say(f"FAILED: {'; '.join(wrong)}. Repeat with SEED={seed}; files are in {work}.")
        return 1
    say(f"PASSED with SEED={seed}.")
    if not given.keep:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
