"""The comparison: ``python -m bench.peers.run [--quick] [--rounds N] [--offline]``.

Rounds are interleaved: each contender once, then each again, so that what slows the machine down
for a while meets all of them. Who cannot be had is named below the table, with the reason. Exit
code 1 if a contender that took part failed. That one lost or doubled records is shown, and no
failure of the comparison.

What is timed counts rows as Spark does. Which records they were is asked in a run of its own, since
to look at each key costs more than to read it.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.measure._support import use_no_aws_settings
from bench.peers.contenders import CONTENDERS, Setup
from bench.peers.installed import NotAvailableError
from bench.peers.results import exactness_of, figures_of_turns, missing_text, ratios
from bench.peers.turn import Load, Turn, one_turn, run_program, serve
from bench.report import Figure, document, progress, table, write_json

FULL: Final = (Load("1 KB", 1_000, 75_000), Load("100 B", 100, 150_000))
QUICK: Final = (Load("1 KB", 1_000, 4_000), Load("100 B", 100, 40_000))
VERIFIED: Final = Load("exactness", 100, 20_000)
FLINK: Final = (
    "Maven gave neither flink-connector-aws-kinesis-streams nor its SQL jar; "
    "see bench/peers/contenders.py"
)
_RESULTS: Final = Path(__file__).parents[1] / "results"


class Comparison:
    """Takes turns and keeps what came of them.

    Parameters
    ----------
    setups : mapping of contender's name to Setup
    """

    def __init__(self, setups: Mapping[str, Setup]) -> None:
        self.figures: dict[str, list[Figure]] = {}
        self.failures: list[str] = []
        self._setups = setups

    def measure(self, load: Load, rounds: int) -> None:
        """Let all read a load, turn about."""
        turns: dict[str, list[Turn]] = {}
        with serve(load) as server:
            programs = {name: setup(server) for name, setup in self._setups.items()}
            for number in range(1, rounds + 1):
                for name, program in programs.items():
                    try:
                        turn = one_turn(program, load, server)
                    except (RuntimeError, subprocess.TimeoutExpired) as error:
                        self._failed(f"{load.name}, {name}", error)
                        continue
                    turns.setdefault(name, []).append(turn)
                    progress(
                        f"{load.name}, {number}/{rounds}, {name}: {turn.cpu_ms_per_mb:.1f} ms/MB, "
                        f"{turn.wall_s:.1f} s, {turn.rows:,} of {load.rows:,} rows"
                    )
        own = [f for name, found in turns.items() for f in figures_of_turns(load, name, found)]
        self.figures[load.name] = [*own, *ratios(load, turns)]

    def verify(self, load: Load) -> None:
        """Count what each delivers, by key."""
        found = self.figures.setdefault(load.name, [])
        with serve(load) as server:
            for name, setup in self._setups.items():
                try:
                    said, _ = run_program(setup(server), load, server, verify=True)
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    self._failed(f"{load.name}, {name}", error)
                    continue
                found.append(exactness_of(name, load, said))
                progress(f"{found[-1].measure}: {said['rows']:,} {found[-1].note}")

    def _failed(self, what: str, error: Exception) -> None:
        progress(f"{what}, FAILED: {error}")
        self.failures.append(what)


def installed(*, offline: bool) -> tuple[dict[str, Setup], dict[str, str]]:
    """Return who takes part, and why others do not."""
    setups: dict[str, Setup] = {}
    missing = {"Flink": FLINK}
    for contender in CONTENDERS:
        progress(f"{contender.name}: installing, if it is not there ...")
        try:
            setups[contender.name] = contender.install(offline)
        except NotAvailableError as error:
            missing[contender.name] = str(error)
            progress(f"{contender.name}: not available: {error}")
    return setups, missing


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers.run", description="Compare with other connectors."
    )
    parser.add_argument("--quick", action="store_true", help="less data and fewer rounds")
    parser.add_argument("--rounds", type=int, help="turns of each contender and load")
    parser.add_argument("--offline", action="store_true", help="install nothing")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    setups, missing = installed(offline=arguments.offline)
    use_no_aws_settings()
    # A query is in a session of its own, which no signal to this process reaches: let it be ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    load_average = os.getloadavg()
    comparison = Comparison(setups)
    for load in QUICK if arguments.quick else FULL:
        comparison.measure(load, rounds)
    comparison.verify(VERIFIED)
    print(table(comparison.figures))
    print(f"\n{missing_text(missing)}")
    path = _RESULTS / ("peers-quick.json" if arguments.quick else "peers.json")
    content = document(comparison.figures, quick=arguments.quick, load_average=load_average)
    write_json(path, {**content, "not_available": missing})
    progress(f"written: bench/results/{path.name}")
    if comparison.failures:
        print(f"FAILED: {', '.join(comparison.failures)}")
    return 1 if comparison.failures else 0


if __name__ == "__main__":
    sys.exit(main())
