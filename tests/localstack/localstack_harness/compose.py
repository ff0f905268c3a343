"""LocalStack by ``docker compose``, from the checkout's own docker-compose.yml.

Runs in the process of pytest. Each test run is a compose project of its own on a free port, so it
neither meets nor stops the one that a person has up.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from . import probe
from .host import free_port

__all__ = ["ComposeError", "ComposeLocalStack", "check_docker"]

_ASK_S = 20.0
# Of which nearly all is pulling the image, once.
_UP_S = 600.0
_READY_S = 90.0
_DOWN_S = 60.0


class ComposeError(Exception):
    """Docker cannot run LocalStack here; the text says why."""


def check_docker() -> None:
    """Check that there is a Docker engine and the compose command.

    Raises
    ------
    ComposeError
        One of them is missing.
    """
    if shutil.which("docker") is None:
        raise ComposeError("no docker command on PATH")
    _run(["docker", "info", "--format", "{{.ServerVersion}}"], _ASK_S)
    _run(["docker", "compose", "version"], _ASK_S)


class ComposeLocalStack:
    """The service ``localstack`` of docker-compose.yml on a loopback port of its own.

    Parameters
    ----------
    compose_file : pathlib.Path
    """

    def __init__(self, compose_file: Path) -> None:
        port = free_port()
        self.endpoint_url = f"http://127.0.0.1:{port}"
        self._environment = os.environ | {"LOCALSTACK_PORT": str(port)}
        project = f"kinesis-source-tests-{os.getpid()}"
        self._compose = ["docker", "compose", "-p", project, "-f", str(compose_file)]

    def start(self) -> None:
        """Start, and return when Kinesis and STS answer.

        Raises
        ------
        ComposeError
            The image cannot be had, or LocalStack does not serve; nothing is left running.
        """
        try:
            self._call(["up", "--detach", "--no-deps", "localstack"], _UP_S)
            for ask in (probe.health, probe.kinesis, probe.sts):
                self._wait(ask)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Remove the container, its network and its state; what fails there fails no test."""
        with contextlib.suppress(ComposeError):
            self._call(["down", "--volumes", "--timeout", "5"], _DOWN_S)

    def _wait(self, ask: probe.Probe) -> None:
        try:
            probe.wait_until(ask, self.endpoint_url, _READY_S)
        except probe.NotServingError as error:
            raise ComposeError(f"the container runs, but {error}") from None

    def _call(self, arguments: list[str], timeout_s: float) -> None:
        _run([*self._compose, *arguments], timeout_s, self._environment)


def _run(command: list[str], timeout_s: float, environment: dict[str, str] | None = None) -> None:
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env=environment,
        )
    except OSError as error:
        raise ComposeError(f"'{shown}': {error}") from None
    except subprocess.TimeoutExpired:
        raise ComposeError(f"'{shown}' did not end within {timeout_s:.0f} s") from None
    if done.returncode != 0:
        tail = " | ".join(done.stdout.strip().splitlines()[-3:])
        raise ComposeError(f"'{shown}' failed with exit code {done.returncode}: {tail}")
