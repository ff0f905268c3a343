"""``kinesis-source demo | doctor | tail | policy | offsets | migrate | emulator``.

Arguments in, exit code out.

Runs on the user's machine. Imports neither Spark nor the emulator before a command needs them.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 ended by Ctrl-C, 143 by SIGTERM. Failures are told
in one sentence on standard error, without a stack trace.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from types import FrameType
from typing import Final, NoReturn

from kinesis_source import __version__
from kinesis_source.errors import KinesisSourceError

__all__ = ["build_parser", "main"]

_MODULES: Final = ("doctor", "tail", "policy", "offsets", "migrate")
"""Commands in a module of their name; they bring AWS's client, which the others do without."""
_DONE, _FAILED, _INTERRUPTED, _TERMINATED = 0, 1, 130, 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    SystemExit
        From argparse, with code 2, for wrong usage; with 0 for ``--help`` and ``--version``.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = build_parser(words[0] if words else None)
    given = parser.parse_args(words)
    if given.run is None:
        parser.print_help(sys.stderr)
        return 2
    return _guarded(given.run, given)


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Parameters
    ----------
    command : str or None
        The one that is to run, if it is known: others than it need not be imported for that.
    """
    parser = argparse.ArgumentParser(
        prog="kinesis-source",
        description=(
            "Amazon Kinesis for Apache Spark: whether a stream can be read, what is in it, IAM"
            " policies, checkpoints; a demo, an emulator."
        ),
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_demo(commands)
    _add_emulator(commands)
    if command in commands.choices:
        return parser
    for name in _MODULES:
        if command == name or command not in _MODULES:
            import_module(f"kinesis_source.cli.{name}").add_command(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = (
        "Start an embedded Kinesis with two accounts, feed a stream in one of them with click"
        " events, preview it with Spark from the other one through a role, and split a shard"
        " meanwhile. Needs PySpark and Java 17, no AWS account and no network."
    )
    parser = commands.add_parser(
        "demo", help="see a stream being read, in a minute", description=text
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=20, help="how long to watch (default: 20)"
    )
    parser.add_argument(
        "--rate", type=_rate, default=300, help="click events put per second (default: 300)"
    )
    parser.set_defaults(run=_run_demo)


def _add_emulator(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "Serve Kinesis and STS on this machine until Ctrl-C; everything is kept in memory."
    parser = commands.add_parser("emulator", help="serve Kinesis and STS locally", description=text)
    parser.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=4567, help="0 picks one (default: 4567)")
    parser.add_argument(
        "--account",
        action="append",
        default=[],
        type=_account,
        metavar="ID",
        help="make an administrator in this account and print its keys; may be repeated",
    )
    parser.add_argument(
        "--stream",
        action="append",
        default=[],
        type=_stream,
        metavar="NAME[:SHARDS]",
        help="create a stream in the first account; may be repeated",
    )
    parser.add_argument("--region", default="us-east-1", help="of these streams (us-east-1)")
    parser.add_argument("--strict-limits", action="store_true", help="enforce AWS's rate limits")
    parser.set_defaults(run=_run_emulator)


def _run_demo(given: argparse.Namespace) -> int:
    from kinesis_source.cli.demo import run_demo
    from kinesis_source.cli.screen import Screen

    return run_demo(Screen(sys.stdout), watch_s=given.seconds, rate=given.rate)


def _run_emulator(given: argparse.Namespace) -> int:
    from kinesis_source.cli.serve import serve

    return serve(given, sys.stdout)


def _guarded(run: Callable[[argparse.Namespace], int], given: argparse.Namespace) -> int:
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, _terminate)
    try:
        return run(given)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return _INTERRUPTED
    except KinesisSourceError as error:
        print(error, file=sys.stderr)
        return _FAILED
    except BrokenPipeError:
        # What reads our output is gone; let the interpreter's last flush find nothing to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except OSError as error:
        print(f"kinesis-source: {error}", file=sys.stderr)
        return _FAILED
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - signal's shape
    # As an exception, so that whatever was started is stopped on the way out.
    raise SystemExit(_TERMINATED)


def _between(text: str, low: int, high: int) -> int:
    value = int(text) if text.isascii() and text.isdigit() else -1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
    return value


def _seconds(text: str) -> int:
    return _between(text, 5, 3_600)


def _rate(text: str) -> int:
    # One process emulates Kinesis, feeds it and watches: it keeps up with a few thousand.
    return _between(text, 1, 2_000)


def _port(text: str) -> int:
    return _between(text, 0, 65_535)


def _account(text: str) -> str:
    if not (len(text) == 12 and text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no account id of 12 digits")
    return text


def _stream(text: str) -> tuple[str, int]:
    name, _, shards = text.partition(":")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} has no stream name")
    return name, _between(shards or "1", 1, 500)


if __name__ == "__main__":
    sys.exit(main())
