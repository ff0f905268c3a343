"""``kinesis-source tail``: records of a stream in the terminal, readable, as they come.

Runs on the user's machine; needs no Spark. Records go to standard output, a line each where that is
no terminal; rate and lag stand below them in a terminal. Ends at --limit, with --no-follow when all
is read, or by Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from rich.console import Console
from rich.live import Live
from rich.text import Text

from kinesis_source.aws.routing import source_api
from kinesis_source.cli.following import Follower, Round
from kinesis_source.cli.reading import add_reading_options, reading_options
from kinesis_source.cli.terminal import console
from kinesis_source.diagnosis.findings import ShownRecord
from kinesis_source.errors import OptionError
from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp, Position
from kinesis_source.options.parse import parse_options
from kinesis_source.options.settings import SourceSettings
from kinesis_source.options.start import read_timestamp
from kinesis_source.options.values import BadValueError
from kinesis_source.records.lines import printable

__all__ = ["add_command"]

_BACK: Final = re.compile(r"([0-9]{1,6})\s*(s|m|min|h|d)")
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_RATE_ROUNDS: Final = 10


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``tail`` to the commands."""
    text = (
        "Print the records of a stream as they come: JSON and text as they are, compressed data"
        " opened, records of the Producer Library apart, other data by its kind. Reads each shard"
        " once a second, which counts against the limits that all its readers share."
    )
    parser = commands.add_parser("tail", help="watch a stream's records", description=text)
    add_reading_options(parser)
    parser.add_argument(
        "--from",
        dest="start",
        default="latest",
        metavar="PLACE",
        help="latest (default), trim_horizon, a time, or a span back from now such as 5min",
    )
    parser.add_argument("--shard", metavar="ID", help="only this one; its last digits will do")
    parser.add_argument("--key", metavar="KEY", help="only records with this partition key")
    parser.add_argument(
        "--filter",
        type=_expression,
        metavar="JMESPATH",
        help="only JSON records for which this is neither null, false nor empty: \"user=='ann'\"",
    )
    parser.add_argument(
        "--query", type=_expression, metavar="JMESPATH", help="print this part of JSON records"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="end after N records")
    parser.add_argument(
        "--no-follow", action="store_true", help="end when what is there has been read"
    )
    parser.add_argument("--pretty", action="store_true", help="lay JSON out on several lines")
    parser.add_argument("--json", action="store_true", help="one JSON object a record")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    settings = parse_options(reading_options(given))
    if len(settings.read.streams) > 1:
        raise OptionError(
            "OPTION_CONFLICT",
            f"{len(settings.read.streams)} streams are named.",
            "Watch one at a time.",
        )
    if given.limit is not None and given.limit < 1:
        raise OptionError("OPTION_RANGE", f"--limit is {given.limit}.", "Give at least 1.")
    follower = Follower(
        source_api(settings),
        settings.read.streams[0],
        _start(given.start, settings),
        given.shard,
    )
    out = console(sys.stdout)
    printer = _Printer(out, given)
    try:
        with _status(out) as status:
            for one in follower.rounds():
                printer.print(one)
                status(printer.below(one))
                if printer.is_done or (given.no_follow and one.is_caught_up):
                    break
    except KeyboardInterrupt:
        pass  # how one ends it
    return 0


class _Printer:
    """Chooses and prints records, and counts them."""

    def __init__(self, out: Console, given: argparse.Namespace) -> None:
        self._out = out
        self._given = given
        self._left = given.limit
        self._counts: deque[tuple[float, int]] = deque(maxlen=_RATE_ROUNDS)

    @property
    def is_done(self) -> bool:
        return self._left is not None and self._left <= 0

    def print(self, one: Round) -> None:
        self._counts.append((time.monotonic(), len(one.records)))
        for record in one.records:
            value = _value(record)
            if self.is_done:
                return
            if not self._is_wanted(record, value):
                continue
            self._out.print(self._line(record, value))
            if self._left is not None:
                self._left -= 1

    def below(self, one: Round) -> str:
        """Return what stands below the records."""
        passed_s = time.monotonic() - self._counts[0][0] + 1.0
        rate = sum(count for _, count in self._counts) / passed_s
        behind = "-" if one.behind_ms is None else f"{one.behind_ms / 1000:,.1f} s behind"
        throttled = f", {one.throttled} throttled" if one.throttled else ""
        return f"{rate:,.1f} records/s, {behind}, {one.shards} shards{throttled}"

    def _is_wanted(self, record: ShownRecord, value: Any) -> bool:
        if self._given.key is not None and record.partition_key != self._given.key:
            return False
        if self._given.filter is None:
            return True
        found = self._given.filter.search(value) if value is not None else None
        return found not in (None, False, "", [], {})

    def _line(self, record: ShownRecord, value: Any) -> Text:
        text = record.text
        if self._given.query is not None and value is not None:
            value = self._given.query.search(value)
            text = printable(json.dumps(value, ensure_ascii=False))
        if self._given.json:
            plain = {**asdict(record), "text": text}
            return Text(json.dumps(plain, ensure_ascii=False))
        if self._given.pretty and value is not None:
            laid_out = json.dumps(value, indent=2, ensure_ascii=False).split("\n")
            text = "\n".join(("", *map(printable, laid_out)))
        line = Text()
        line.append(record.arrived, style="dim")
        line.append(f"  {record.shard_id[-12:]}", style="cyan")
        line.append(f"  {printable(record.partition_key)}  ", style="bold")
        if not record.kind.endswith(("json", "text")) or "," in record.kind:
            line.append(f"{record.kind}: ", style="magenta")
        line.append(text)
        return line


def _value(record: ShownRecord) -> Any:
    if not record.kind.endswith("json"):
        return None
    try:
        return json.loads(record.text)
    except ValueError:  # cut for the eye
        return None


class _status:  # noqa: N801 - used as a function
    """A line below the output, in a terminal; nothing elsewhere."""

    def __init__(self, out: Console) -> None:
        self._live = Live(Text(""), console=out, transient=True) if out.is_terminal else None

    def __enter__(self) -> Callable[[str], None]:
        if self._live is None:
            return lambda _: None
        live = self._live
        live.start()
        return lambda text: live.update(Text(text, style="reverse"), refresh=True)

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()


def _start(text: str, settings: SourceSettings) -> Position:
    word = text.strip().lower()
    if word in ("trim_horizon", "earliest"):
        return TRIM_HORIZON
    now_ms = source_api(settings).now_ms()
    if word == "latest":
        return AtTimestamp(now_ms)
    if match := _BACK.fullmatch(word):
        return AtTimestamp(max(0, now_ms - int(match[1]) * _UNIT_MS[match[2]]))
    try:
        return read_timestamp(text.strip())
    except BadValueError as error:
        raise OptionError("OPTION_VALUE", f"--from {error.problem}", error.hint) from None


def _expression(text: str) -> Any:
    try:
        return jmespath.compile(text)
    except JMESPathError as error:
        first = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"{text!r} is no JMESPath: {first}") from None
