"""Starts and stops a replay server; used by measurements and tests, in their own process."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from bench.replay.settings import ReplaySettings

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ReplayServer"]

_START_TIMEOUT_S: Final = 120.0
_STOP_TIMEOUT_S: Final = 10.0


class ReplayServer:
    """A replay server in a process of its own, as a context manager.

    Parameters
    ----------
    **settings
        Those of ReplaySettings, by name.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = ReplaySettings(**settings).resolved()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def endpoint_url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Its port on loopback."""
        return self._port

    def __enter__(self) -> Self:
        """Start the process and wait until it answers."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.replay.server", self.settings.to_json()],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        too_late = threading.Timer(_START_TIMEOUT_S, self._process.kill)
        too_late.start()
        try:
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
        finally:
            too_late.cancel()
        if not line:
            self.stop()
            raise RuntimeError("The replay server did not start; its error is above.")
        self._port = json.loads(line)["port"]
        self.stats()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def stats(self) -> dict[str, Any]:
        """Return what was called and sent since the start, or since ``reset_stats``."""
        return self._control("GET", "/stats")

    def reset_stats(self) -> None:
        """Count from nothing."""
        self._control("POST", "/reset-stats")

    def reshard(self) -> None:
        """Split each open shard in the middle."""
        self._control("POST", "/reshard")

    def _control(self, method: str, path: str) -> dict[str, Any]:
        request = urllib.request.Request(self.endpoint_url + path, method=method)
        with urllib.request.urlopen(request, timeout=30) as reply:
            answer: dict[str, Any] = json.load(reply)
        return answer
