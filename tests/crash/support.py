"""A Spark driver as a process to be killed, and what its sinks hold afterwards.

Runs in the test's process. Every wait has a deadline, and what fails shows the driver's own log.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinesis_source.emulator import Emulator, StreamHandle
from tests.crash.process_table import Process, kill_session, session_members
from tests.fault.support import query_options
from tests.soak.soak_verdict import Batch, Output, judge

HERE = Path(__file__).parent
SESSION = {
    "spark.driver.memory": "512m",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    # A life lasts seconds: compiling well does not pay.
    "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
    "spark.sql.codegen.wholeStage": "false",
}
QUICK_S = 0.002
"""How often a moment to kill is looked for."""


def spark_environment(**more: str) -> dict[str, str]:
    """Return the environment without what a test run adds to it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "PYTEST_", "PYSPARK_", "SPARK_")) and name != "PYTHONPATH"
    }
    return {
        **kept,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "SPARK_LOCAL_IP": "127.0.0.1",
        **more,
    }


def ports_that_began(aws: Emulator, since: int) -> set[int]:
    """Return the ports from which a shard was begun to be read, since so many calls.

    A connection alone says nothing: idle workers keep theirs. Nor does a GetRecords: the driver
    looks at the shards during a batch too, from ports of its own process.
    """
    calls = aws.call_log()[since:]
    return {call.port for call in calls if call.operation == "GetShardIterator" and call.port}


def wait_for(is_true: Callable[[], Any], deadline_s: float, what: Callable[[], str]) -> None:
    """Wait for a moment, and notice it within milliseconds."""
    until_s = time.monotonic() + deadline_s
    while not is_true():
        assert time.monotonic() < until_s, f"not within {deadline_s} s: {what()}"
        time.sleep(QUICK_S)


def last_logged(folder: Path) -> int:
    """Return the last batch id in one of Spark's logs, -1 if there is none."""
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    return max((int(name.partition(".")[0]) for name in names if name[0].isdecimal()), default=-1)


class Driver:
    """A driver process; see crash_driver.py for its commands.

    Parameters
    ----------
    work : Path
        Where settings.json is; checkpoints and sinks go there.
    number : int
        Tells the drivers over one work folder apart.
    python : Path
        Interpreter of driver and workers.
    environment : dict of str to str
    """

    def __init__(self, work: Path, number: int, python: Path, environment: dict[str, str]) -> None:
        self._events = work / f"driver-{number}.events"
        self._log = work / f"driver-{number}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python, HERE / "crash_driver.py", work / "settings.json", self._events],
                env={
                    **environment,
                    "PYSPARK_PYTHON": str(python),
                    "PYSPARK_DRIVER_PYTHON": str(python),
                },
                cwd=work,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.session = self._process.pid
        self._heart: list[Process] = []

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def words(self) -> str:
        """Return what the driver said last: for an assertion's message."""
        log = self.log()
        failure = log.rfind("THE QUERY FAILED")
        shown = log[failure : failure + 4000] if failure >= 0 else log[-4000:]
        return f"status {self._process.poll()}, events {self.events()}, log:\n{shown}"

    def events(self) -> list[str]:
        return self._events.read_text().splitlines() if self._events.exists() else []

    def lost_attempts(self) -> int:
        """Count the failed attempts of tasks that wrote.

        By the sink's words: of tasks that fail alike, the scheduler warns of the first only.
        """
        return self.log().count("ERROR FileFormatWriter: Job")

    def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        assert self._process.poll() is None, self.words()
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def wait_ready(self, deadline_s: float = 90) -> None:
        self.wait_event("ready", deadline_s)
        mine = session_members(self.session)
        self._heart = [one for one in mine if one.pid == self.session or one.is_jvm]
        assert len(self._heart) == 2, [one.command[:80] for one in mine]

    def wait_event(self, event: str, deadline_s: float = 90, count: int = 1) -> None:
        self.wait(lambda: self.events().count(event) >= count, deadline_s, event)

    def wait(self, is_true: Callable[[], Any], deadline_s: float, what: str) -> None:
        """Wait while the driver lives."""

        def happened() -> bool:
            if is_true():
                return True
            assert self._process.poll() is None, f"waiting for {what}: {self.words()}"
            return False

        wait_for(happened, deadline_s, lambda: f"{what}: {self.words()}")

    def kill(self) -> bool:
        """Kill -9 the JVM and the Python that started it; workers are left to themselves.

        Returns
        -------
        bool
            Whether both lived until then.
        """
        killed = [one.kill() for one in sorted(self._heart, key=lambda one: not one.is_jvm)]
        self._process.wait(30)
        return killed == [True, True]

    def finish(self, deadline_s: float = 150) -> None:
        """Let the queries catch up, and the driver end."""
        self.tell("finish")
        self.wait_event("finished", deadline_s)
        try:
            status = self._process.wait(60)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the driver does not end: {self.words()}") from None
        assert status == 0, self.words()

    def wait_gone(self, deadline_s: float = 60) -> None:
        """Wait until nothing that the driver started runs any more."""

        def left() -> list[str]:
            return [f"{one.pid} {one.command}" for one in session_members(self.session)]

        wait_for(lambda: not left(), deadline_s, lambda: f"still running: {left()}")

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        kill_session(self.session)
        self._process.wait(30)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # what it was told last, it never read
                self._process.stdin.close()


class CrashSite:
    """One work folder with its drivers, one after the other.

    Parameters
    ----------
    aws : Emulator
    work : Path
    sinks : tuple of str
        ``batches``, ``files`` or both.
    master : str
    python : Path
        Interpreter of driver and workers.
    conf, options : dict of str to str
        Over the usual ones, of Spark and of the source.
    pause_before_commit_s : float
    """

    def __init__(
        self,
        aws: Emulator,
        work: Path,
        *,
        sinks: tuple[str, ...] = ("batches",),
        master: str = "local[2]",
        python: Path = Path(sys.executable),
        conf: dict[str, str] | None = None,
        options: dict[str, str] | None = None,
        pause_before_commit_s: float = 0.0,
    ) -> None:
        self.aws = aws
        self.work = work
        self.output = Output(work)
        self.drivers: list[Driver] = []
        self._python = python
        work.mkdir(parents=True, exist_ok=True)
        settings = {
            "work": str(work),
            "master": master,
            "sinks": sinks,
            "pause_before_commit_s": pause_before_commit_s,
            "conf": {
                **SESSION,
                "spark.local.dir": str(work / "spark"),
                "spark.sql.warehouse.dir": str(work / "warehouse"),
                **(conf or {}),
            },
            "options": query_options(aws, **{"readTimeout": "20s", **(options or {})}),
        }
        (work / "settings.json").write_text(json.dumps(settings))

    def new_driver(self) -> Driver:
        """Start a driver; it opens its session and waits for commands."""
        number = len(self.drivers)
        self.drivers.append(Driver(self.work, number, self._python, spark_environment()))
        return self.drivers[-1]

    def close(self) -> None:
        for driver in self.drivers:
            driver.close()

    # The batches' sink may be held before it reads, to prepare what happens then.

    def hold(self) -> None:
        (self.work / "hold").touch()

    def let_go(self) -> None:
        (self.work / "hold").unlink()

    def attempts(self) -> list[int]:
        return self.output.attempts() if (self.work / "attempts").exists() else []

    def done(self) -> list[int]:
        path = self.work / "done"
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line.split()[0]) for line in lines]

    def file_rows(self) -> Batch:
        """Return what the last driver read from the file sink."""
        rows = json.loads((self.work / "files.json").read_text())
        return tuple((shard, number, base64.b64decode(data)) for shard, number, data in rows)


def stored(stream: StreamHandle) -> dict[tuple[str, str], bytes]:
    """Return all that the emulator holds."""
    return {
        (shard["ShardId"], record["SequenceNumber"]): record["Data"]
        for shard in stream.shards()
        for record in stream.records(shard["ShardId"])
    }


def assert_batches_exactly_once(site: CrashSite, stream: StreamHandle) -> None:
    """Every record once and unchanged, shards in order, children in later batches."""
    parents = {
        shard["ShardId"]: [
            shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if name in shard
        ]
        for shard in stream.shards()
    }
    verdict = judge(stored(stream), site.output.committed(), parents)
    assert not verdict.faults, verdict
    assert verdict.written == verdict.read > 0


def assert_files_exactly_once(site: CrashSite, stream: StreamHandle) -> None:
    """The file sink shows no order; every record once and unchanged."""
    rows = site.file_rows()
    assert {(shard, number): data for shard, number, data in rows} == stored(stream)
    assert max(Counter(rows).values()) == 1
