"""The comparison: ``python -m bench.peers.run [--quick]``.

Rounds are interleaved: each contender once, then each again, so that what slows the machine down
for a while meets all of them. Exit code 1 if a contender that took part failed. That one lost or
doubled records is shown, and no failure of the comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.measure._support import use_no_aws_settings
from bench.peers.contenders import CONTENDERS, Contender, Program
from bench.peers.installed import NotAvailableError
from bench.peers.process_tree import TreeWatch, cpu_between
from bench.replay import ReplayServer
from bench.report import Figure, document, figure_of, progress, table, write_json

SHARDS: Final = 32
DEADLINE_S: Final = 240.0
STEADY: Final = (0.3, 0.8)
"""CPU is steady between these parts of the bytes that the server sends."""
_PROGRAM: Final = Path(__file__).with_name("spark_program.py")
_RESULTS: Final = Path(__file__).parents[1] / "results"
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
    """What one contender's query took, its process tree from start to end."""

    cpu_ms_per_mb: float
    steady_ms_per_mb: float | None
    wall_s: float
    first_s: float | None
    peak_bytes: int
    rows: int


FULL: Final = (Load("1 KB", 1_000, 75_000), Load("100 B", 100, 150_000))
QUICK: Final = (Load("1 KB", 1_000, 20_000), Load("100 B", 100, 40_000))
VERIFIED: Final = Load("verification", 100, 20_000)


def run_program(
    program: Program, load: Load, server: ReplayServer, *, verify: bool
) -> tuple[dict[str, Any], TreeWatch]:
    """Run a query in a session of processes of its own; return what it printed, and its samples."""
    with tempfile.TemporaryDirectory() as folder:
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
        python = str(program.python)
        environment = {
            **os.environ,
            **program.environment,
            "PYSPARK_PYTHON": python,
            "PYSPARK_DRIVER_PYTHON": python,
        }
        environment.pop("SPARK_HOME", None)
        before = server.stats()["record_bytes"]
        process = subprocess.Popen(
            [python, str(_PROGRAM), str(told)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            with TreeWatch(process.pid, lambda: server.stats()["record_bytes"] - before) as watch:
                said, complaints = process.communicate(timeout=DEADLINE_S + 120)
        finally:
            _end(process.pid)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {complaints.strip()[-2_000:]}")
    return json.loads(said.strip().splitlines()[-1]), watch


def _end(session: int) -> None:
    """End what a program left behind; all of it is in the session that was made for it."""
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        return


def one_turn(program: Program, load: Load, server: ReplayServer) -> Turn:
    """Measure one query."""
    said, watch = run_program(program, load, server, verify=False)
    sent = watch.samples[-1].progress_bytes
    try:
        steady_s, steady_bytes = cpu_between(
            watch.samples, int(STEADY[0] * sent), int(STEADY[1] * sent)
        )
        # The server counts what it sends, encoded; its share of all is the same share of the data.
        steady = steady_s * 1000 / (load.megabytes * steady_bytes / sent)
    except ValueError:
        steady = None
    return Turn(
        cpu_ms_per_mb=watch.samples[-1].cpu_s * 1000 / load.megabytes,
        steady_ms_per_mb=steady,
        wall_s=said["wall_s"],
        first_s=said["first_s"],
        peak_bytes=watch.peak_bytes,
        rows=said["rows"],
    )


def serve(load: Load) -> ReplayServer:
    """Return a server whose backlog ended just now, as dense as a shard can be on AWS."""
    return ReplayServer(
        shards=SHARDS,
        record_bytes=load.record_bytes,
        records_per_shard=load.records_per_shard,
        records_per_s=min(1_000.0, 1_000_000 / load.record_bytes),
    )


def prepared(contender: Contender, server: ReplayServer) -> Program | None:
    """Return what a contender runs; None, with the reason as progress, if it cannot take part."""
    try:
        return contender.prepare(server)
    except NotAvailableError as error:
        progress(f"{contender.name} is not available: {error}")
        return None


def available(server: ReplayServer) -> dict[str, Program]:
    """Return the programs of those that can take part, by name."""
    found = {contender.name: prepared(contender, server) for contender in CONTENDERS}
    return {name: program for name, program in found.items() if program is not None}


def figures_for(load: Load, rounds: int) -> tuple[list[Figure], bool]:
    """Compare all on one load; return the figures, and whether all ran."""
    turns: dict[str, list[Turn]] = {}
    failed: set[str] = set()
    with serve(load) as server:
        programs = available(server)
        for number in range(1, rounds + 1):
            for name, program in programs.items():
                turn = _tried(f"{load.name}, {number}/{rounds}, {name}", program, load, server)
                if turn is None:
                    failed.add(name)
                else:
                    turns.setdefault(name, []).append(turn)
    figures = [figure for name, found in turns.items() for figure in _figures(load, name, found)]
    return figures, not failed


def _tried(subject: str, program: Program, load: Load, server: ReplayServer) -> Turn | None:
    try:
        turn = one_turn(program, load, server)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        progress(f"{subject} FAILED: {error}")
        return None
    progress(f"{subject}: {turn.cpu_ms_per_mb:.1f} ms/MB, {turn.wall_s:.1f} s, {turn.rows:,} rows")
    return turn


def _figures(load: Load, name: str, turns: list[Turn]) -> list[Figure]:
    subject = f"{load.name}, {name}"
    steady = [turn.steady_ms_per_mb for turn in turns if turn.steady_ms_per_mb is not None]
    lost = sorted({turn.rows - load.rows for turn in turns})
    rows = "all rows" if lost == [0] else f"rows too many or few: {lost}"
    note = f"{load.megabytes:,.0f} MB, {len(turns)} rounds; {rows}"
    figures = [
        figure_of(f"{subject}: CPU, start to end", [t.cpu_ms_per_mb for t in turns], "ms/MB"),
        figure_of(f"{subject}: query", [t.wall_s for t in turns], "s", note=note),
        figure_of(f"{subject}: peak memory", [t.peak_bytes / 1e6 for t in turns], "MB"),
    ]
    if steady:
        figures.insert(1, figure_of(f"{subject}: CPU, steady", steady, "ms/MB"))
    return figures


def ratios(figures: list[Figure]) -> list[Figure]:
    """Return this source's figures as multiples of the others'."""
    ours = "this source, native decoder"
    values = {figure.measure: figure.value for figure in figures}
    found = []
    for measure, value in values.items():
        load, _, rest = measure.partition(", ")
        name, _, what = rest.rpartition(": ")
        own = values.get(f"{load}, {ours}: {what}")
        if name != ours and own is not None and value:
            found.append(Figure(f"{load}, {what}: this source / {name}", own / value, "x"))
    return found


def exactness() -> list[Figure]:
    """Count what each contender delivers, by key."""
    with serve(VERIFIED) as server:
        found = [_verified(name, program, server) for name, program in available(server).items()]
    return [figure for figure in found if figure is not None]


def _verified(name: str, program: Program, server: ReplayServer) -> Figure | None:
    try:
        said, _ = run_program(program, VERIFIED, server, verify=True)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        progress(f"{name}, verification, FAILED: {error}")
        return None
    is_exact = (
        said["rows"] == VERIFIED.rows
        and said["keys"] == VERIFIED.records_per_shard
        and said["fewest"] == said["most"] == SHARDS
    )
    note = (
        f"of {VERIFIED.rows:,}; {said['keys']:,} keys, each {said['fewest']} to "
        f"{said['most']} times of {SHARDS}: {'exact' if is_exact else 'NOT EXACT'}"
    )
    return Figure(f"{name}: rows", float(said["rows"]), "rows", note=note)


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less data and fewer rounds")
    parser.add_argument("--rounds", type=int, help="of each contender and load")
    arguments = parser.parse_args()
    use_no_aws_settings()
    load_average = os.getloadavg()
    began_s = time.monotonic()
    rounds = arguments.rounds or (2 if arguments.quick else 3)
    figures: dict[str, list[Figure]] = {}
    all_ran = True
    for load in QUICK if arguments.quick else FULL:
        found, ran = figures_for(load, rounds)
        all_ran &= ran
        figures[load.name] = [*found, *ratios(found)]
    figures["exactness"] = exactness()
    progress(f"took {time.monotonic() - began_s:.0f} s")
    print(table(figures))
    name = "peers-quick.json" if arguments.quick else "peers.json"
    content = document(figures, quick=arguments.quick, load_average=load_average)
    write_json(_RESULTS / name, content)
    return 0 if all_ran else 1


if __name__ == "__main__":
    sys.exit(main())
