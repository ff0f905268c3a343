"""Run LocalStack in this process, on loopback only.

Runs under the Python of ``.localstack/venv`` (see ``install.py``), started by
``host.py`` with LocalStack's settings in the environment. Ends on SIGTERM, and
when its standard input closes: that is how it learns that whoever started it is gone.
"""

import os
import signal
import sys
import threading
import time
from typing import Any

from twisted.internet import endpoints  # type: ignore[import-not-found, unused-ignore]

_LOOPBACK = "127.0.0.1"
_SHUTDOWN_S = 15.0


class _LoopbackEndpoint(endpoints.TCP4ServerEndpoint):  # type: ignore[misc, unused-ignore]
    """LocalStack 4.14 passes no interface (runtime/server/twisted.py), whatever is set."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if len(args) > 3:
            args = (*args[:3], _LOOPBACK, *args[4:])
        else:
            kwargs["interface"] = _LOOPBACK
        super().__init__(*args, **kwargs)


def _end_with_starter() -> None:
    """Wait until standard input closes, then end this process and whatever it left."""
    # The descriptor itself, not sys.stdin: a thread inside its lock breaks the interpreter's exit.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_SHUTDOWN_S)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def main() -> None:
    """Start LocalStack; return never."""
    endpoints.TCP4ServerEndpoint = _LoopbackEndpoint
    threading.Thread(target=_end_with_starter, name="end-with-starter", daemon=True).start()
    from localstack.runtime.main import (  # type: ignore[import-not-found, unused-ignore]
        main as run_localstack,
    )

    sys.exit(run_localstack())


if __name__ == "__main__":
    main()
