"""``kinesis-source doctor``: can this machine read the stream, and if not, exactly why.

Runs on the user's machine, or in the shell of a driver or an executor; needs no Spark. Findings are
printed as they come. For Spark's own processes: ``kinesis_source.doctor(spark=spark, ...)``.
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

from rich.console import Console
from rich.text import Text

from kinesis_source.cli.reading import add_reading_options, reading_options
from kinesis_source.cli.terminal import console
from kinesis_source.diagnosis.diagnosis import Diagnosis, sample_lines
from kinesis_source.diagnosis.examine import examine
from kinesis_source.diagnosis.findings import FAILED, OK, SKIPPED, WARNING, Finding

__all__ = ["add_command"]

_STYLES: Final = {OK: "green", WARNING: "yellow", FAILED: "bold red", SKIPPED: "dim"}


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``doctor`` to the commands."""
    text = (
        "Ask step by step whether a stream can be read from here: options, endpoint, clock,"
        " credentials, roles, each call, the encryption's key; then look into the stream. Says what"
        " is wrong, what to do, and which policy is missing. Exit code 0: all is well; 1: not."
    )
    parser = commands.add_parser("doctor", help="can this stream be read?", description=text)
    add_reading_options(parser)
    parser.add_argument(
        "--records", type=int, default=3, metavar="N", help="show N records (default: 3; 0: none)"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    options = reading_options(given)
    out = console(sys.stdout)

    def told(finding: Finding) -> None:
        if not given.json:
            _print(out, finding)

    report = examine(options, shown=max(0, given.records), with_java=True, told=told)
    diagnosis = Diagnosis((report,))
    if given.json:
        print(diagnosis.to_json())
        return 0 if diagnosis.ok else 1
    for sample in report.samples:
        out.print()
        out.print(Text("\n".join(sample_lines(sample))))
    out.print()
    out.print(Text(diagnosis.verdict(), style="green" if diagnosis.ok else "bold red"))
    return 0 if diagnosis.ok else 1


def _print(out: Console, finding: Finding) -> None:
    line = Text()
    line.append(f"{finding.state:<9}", style=_STYLES[finding.state])
    line.append(f"  {finding.step:<22}  ")
    line.append(finding.text)
    out.print(line)
    if finding.state not in (WARNING, FAILED):
        return
    code = f"[{finding.code}] " if finding.code else ""
    if code or finding.todo:
        out.print(Text(f"           {code}{finding.todo}", style="italic"))
    for text in finding.paste.splitlines():
        out.print(Text(f"           {text}", style="cyan"))
