"""LocalStack as a process of this machine: start, wait until it serves, stop.

Runs in the process of pytest and of ``scripts/localstack_host.py``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from . import probe
from .install import HostModeError, Installation, install

__all__ = ["HostLocalStack", "free_port"]

_HERE = Path(__file__).resolve().parent
_START_S = 60.0
# The first call starts the Kinesis engine, and the very first one installs it.
_WARM_UP_S = 180.0
_STOP_S = 15.0
# Where LocalStack looks for what it installed, below FILESYSTEM_ROOT.
_LIB_IN_ROOT = Path("var/lib/localstack/lib")


class HostLocalStack:
    """One LocalStack on a loopback port.

    Parameters
    ----------
    place : Installation
        Made if it is missing.
    port : int
        0: any free one.
    """

    def __init__(self, place: Installation, port: int = 0) -> None:
        self._place = place
        self._port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = place.run / f"{os.getpid()}-{self._port}"
        self._log = self._folder / "localstack.log"
        self.endpoint_url = f"http://127.0.0.1:{self._port}"

    @property
    def process_id(self) -> int:
        """The process id of LocalStack, whose group holds all but its Node children."""
        if self._process is None:
            raise HostModeError("LocalStack was not started.")
        return self._process.pid

    def start(self) -> None:
        """Start, and return when Kinesis and STS answer.

        Raises
        ------
        HostModeError
            It cannot be installed or does not start; nothing is left running.
        """
        _check_free(self._port)
        install(self._place)
        self._make_folder()
        # Held until the first call was answered: two first calls at once would both install.
        with self._place.lock():
            self._start_process()
            try:
                self._wait(probe.health, _START_S)
                self._wait(probe.kinesis, _WARM_UP_S)
                self._wait(probe.sts, _START_S)
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Stop the process and its children, by force after a while; forget its state."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
            with contextlib.suppress(ProcessLookupError):
                # The group also where LocalStack itself has ended: a child may be left in it.
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def wait(self) -> int:
        """Wait until LocalStack ends; return its exit code."""
        if self._process is None:
            raise HostModeError("LocalStack was not started.")
        return self._process.wait()

    def _make_folder(self) -> None:
        """Make a state folder for this run that shares what LocalStack installs."""
        for folder in self._place.run.glob("*-*"):
            if not _is_alive(folder.name.partition("-")[0]):
                shutil.rmtree(folder, ignore_errors=True)  # its owner was killed
        self._place.lib.mkdir(parents=True, exist_ok=True)
        shared = self._folder / _LIB_IN_ROOT
        shared.parent.mkdir(parents=True, exist_ok=True)
        if not shared.is_symlink():
            shared.symlink_to(self._place.lib, target_is_directory=True)

    def _start_process(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(self._place.python), str(_HERE / "launch.py")],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment(),
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        """Return LocalStack's settings, on top of what programs need from this environment."""
        kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER")
        npm = (name for name in os.environ if name.lower().startswith(("npm_", "node_extra_ca")))
        proxies = (name for name in os.environ if name.lower().endswith("_proxy"))
        inherited = {
            name: os.environ[name] for name in (*kept, *npm, *proxies) if name in os.environ
        }
        address = f"127.0.0.1:{self._port}"
        return inherited | {
            "GATEWAY_LISTEN": address,
            "LOCALSTACK_HOST": address,
            "FILESYSTEM_ROOT": str(self._folder),
            # Inside any container it would take itself for its own image and write to /var/lib.
            "OVERRIDE_IN_DOCKER": "0",
            "SERVICES": "kinesis,sts,iam,cloudwatch",
            "EAGER_SERVICE_LOADING": "0",
            "KINESIS_LATENCY": "0",
            "KINESIS_SHARD_LIMIT": "2000",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DISABLE_EVENTS": "1",
            "DNS_ADDRESS": "0",
            "ACTIVATE_PRO": "0",
            "NODE_OPTIONS": f'--require "{_HERE / "loopback.cjs"}"',
            "PYTHONUNBUFFERED": "1",
        }

    def _wait(self, ask: probe.Probe, timeout_s: float) -> None:
        try:
            probe.wait_until(ask, self.endpoint_url, timeout_s, self._check_alive)
        except probe.NotServingError as error:
            raise HostModeError(f"{error}. Its last words:\n{self._log_tail()}") from None

    def _check_alive(self) -> None:
        if self._process is not None and (code := self._process.poll()) is not None:
            raise HostModeError(f"LocalStack ended with code {code}:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        try:
            text = self._log.read_text(errors="replace")
        except OSError as error:
            return f"(no log: {error})"
        return "\n".join(text.strip().splitlines()[-20:])


def _check_free(port: int) -> None:
    """Refuse a taken port: LocalStack would run on without one, and another would answer for it."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError as error:
            raise HostModeError(f"port {port} is not free ({error}). Choose another.") from None


def _is_alive(process_id: str) -> bool:
    try:
        os.kill(int(process_id), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        pass  # another user's, or no folder of ours: leave it
    return True


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
