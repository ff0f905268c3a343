"""LocalStack without Docker: install it into ``.localstack/``, or run it in the foreground.

Standard library only; any Python from 3.10 on runs it. Usage::

    python scripts/localstack_host.py install              # once: packages and a first start
    python scripts/localstack_host.py run [--port 4566]    # until Ctrl-C
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_CHECKOUT / "tests" / "localstack"))

from localstack_harness.host import HostLocalStack  # noqa: E402
from localstack_harness.install import HostModeError, Installation  # noqa: E402


def _install(place: Installation) -> int:
    started = time.monotonic()
    server = HostLocalStack(place)
    server.start()
    server.stop()
    print(f"LocalStack is installed in {place.root} ({time.monotonic() - started:.0f} s).")
    return 0


def _run(place: Installation, port: int) -> int:
    server = HostLocalStack(place, port)
    server.start()
    print(
        f"LocalStack serves kinesis and sts on {server.endpoint_url}; Ctrl-C ends it.", flush=True
    )
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.stop()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description="LocalStack on this machine, without Docker.")
    parser.add_argument("command", choices=("install", "run"))
    parser.add_argument("--port", type=int, default=4566, help="for run; default 4566")
    parser.add_argument("--folder", type=Path, default=_CHECKOUT / ".localstack")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    place = Installation(arguments.folder)
    try:
        return _install(place) if arguments.command == "install" else _run(place, arguments.port)
    except HostModeError as error:
        print(f"LocalStack cannot run here: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
