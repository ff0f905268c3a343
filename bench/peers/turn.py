"""One turn of a contender: its query in a process tree of its own, watched from outside.

The tree is the session that its processes share, so nothing of it can escape: neither the JVM, nor
Python workers that are forked from a daemon with a process group of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.peers.contenders import Program
from bench.peers.process_tree import Sample, TreeWatch, cpu_between, processes_of
from bench.replay import ReplayServer

__all__ = ["SHARDS", "Load", "Turn", "one_turn", "run_program", "serve", "turn_of"]

SHARDS: Final = 32
DEADLINE_S: Final = 240.0
STEADY: Final = (0.3, 0.8)
"""CPU is steady between these parts of the bytes that the server sends."""
_START_AND_END_S: Final = 120
_PROGRAM: Final = Path(__file__).with_name("spark_program.py")
_CONF: Final = {
    "spark.driver.memory": "3g",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.streaming.numRecentProgressUpdates": "10000",
}


@dataclass(frozen=True)
class Load:
    """What is read.

    Parameters
    ----------
    name : str
    record_bytes, records_per_shard : int
    """

    name: str
    record_bytes: int
    records_per_shard: int

    @property
    def rows(self) -> int:
        """Of all shards."""
        return SHARDS * self.records_per_shard

    @property
    def megabytes(self) -> float:
        """Of data."""
        return self.rows * self.record_bytes / 1e6


@dataclass(frozen=True)
class Turn:
    """What one contender's query took.

    Parameters
    ----------
    cpu_ms_per_mb : float
        Of the whole tree, from its first process to its last, start of the JVM included.
    steady_ms_per_mb : float or None
        In the middle of the reading alone; None where too few samples fell into it.
    wall_s : float
        From ``start()`` to the last row's batch.
    first_s : float or None
        From ``start()`` to the end of the first batch with rows.
    peak_bytes : int
        The most that the tree held at a time, shared pages counted for each process.
    rows : int
        That Spark counted.
    """

    cpu_ms_per_mb: float
    steady_ms_per_mb: float | None
    wall_s: float
    first_s: float | None
    peak_bytes: int
    rows: int


def serve(load: Load) -> ReplayServer:
    """Return a server whose backlog ended just now, as dense as a shard can be on AWS."""
    return ReplayServer(
        shards=SHARDS,
        record_bytes=load.record_bytes,
        records_per_shard=load.records_per_shard,
        records_per_s=min(1_000.0, 1_000_000 / load.record_bytes),
    )


def one_turn(program: Program, load: Load, server: ReplayServer) -> Turn:
    """Measure one query.

    Raises
    ------
    RuntimeError
        If it failed, with what it said.
    subprocess.TimeoutExpired
    """
    said, watch = run_program(program, load, server, verify=False)
    return turn_of(said, watch.samples, load)


def turn_of(said: dict[str, Any], samples: list[Sample], load: Load) -> Turn:
    """Return what a query said and what was seen of its tree as one turn."""
    sent = samples[-1].progress_bytes
    try:
        steady_s, steady_bytes = cpu_between(samples, int(STEADY[0] * sent), int(STEADY[1] * sent))
    except ValueError:
        steady = None
    else:
        # What a driver's looks read beside the tasks, or one reads twice, is no data delivered:
        # a share of the bytes sent is taken for the same share of the data.
        steady = steady_s * 1000 / (load.megabytes * steady_bytes / sent)
    return Turn(
        cpu_ms_per_mb=samples[-1].cpu_s * 1000 / load.megabytes,
        steady_ms_per_mb=steady,
        wall_s=said["wall_s"],
        first_s=said["first_s"],
        peak_bytes=max(sample.memory_bytes for sample in samples),
        rows=said["rows"],
    )


def run_program(
    program: Program, load: Load, server: ReplayServer, *, verify: bool
) -> tuple[dict[str, Any], TreeWatch]:
    """Run a query in a session of processes of its own; return what it printed, and its samples."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        settings = {
            "format": program.format,
            "options": dict(program.options),
            "conf": {**_CONF, **program.conf, "spark.local.dir": folder},
            "rows": load.rows,
            "folder": folder,
            "verify": verify,
            "deadline_s": DEADLINE_S,
        }
        told = Path(folder, "settings.json")
        told.write_text(json.dumps(settings), encoding="utf-8")
        before = server.stats()["record_bytes"]
        process = subprocess.Popen(
            [str(program.python), str(_PROGRAM), str(told)],
            cwd=folder,
            env=_environment(program),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            with TreeWatch(process.pid, lambda: server.stats()["record_bytes"] - before) as watch:
                said, complaints = process.communicate(timeout=DEADLINE_S + _START_AND_END_S)
        finally:
            _end(process.pid)
            process.wait()
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {complaints.strip()[-2_000:]}")
    return json.loads(said.strip().splitlines()[-1]), watch


def _environment(program: Program) -> dict[str, str]:
    python = str(program.python)
    own = {name: value for name, value in os.environ.items() if name != "SPARK_HOME"}
    pythons = {"PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python}
    return {**own, **program.environment, **pythons}


def _end(session: int) -> None:
    """End what a program left behind; all of it is in the session that was made for it."""
    for pid, _, _ in processes_of(session):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
