"""Install LocalStack from Python packages into a folder of the checkout: host mode, no Docker.

Runs in the process of pytest and of ``scripts/localstack_host.py``. The folder, ``.localstack/``,
is made when it is missing and can be deleted at any time::

    .localstack/venv/        Python 3.13 with LocalStack
    .localstack/lib/         what LocalStack installs itself at first use (kinesis-local, by npm)
    .localstack/run/         state and log of each running LocalStack
    .localstack/ready.json   written last: the requirements that venv/ holds, complete
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["REQUIREMENTS", "HostModeError", "Installation", "find_python", "install"]

REQUIREMENTS = (
    "localstack-core[runtime]==4.14.0",
    # The newest releases of these three stop this LocalStack while it starts.
    "cbor2<6",
    "pyopenssl<26",
    "localstack-twisted<26",
)
"""4.14.0 is the last that starts without a licence; 4.9 and older hang on GetRecords(Limit=1)."""

# LocalStack 4.14 says it needs less, and fails on less.
_PYTHON = "3.13"
_PROBE_S = 20.0
_VENV_S = 120.0
_PACKAGES_S = 600.0
_LOCK_S = 700.0


class HostModeError(Exception):
    """LocalStack cannot run on this machine; the text says what to do."""


class Installation:
    """A place for LocalStack in host mode.

    Parameters
    ----------
    root : pathlib.Path
        Usually ``.localstack`` in the checkout.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.python = self.root / "venv" / "bin" / "python"
        self.lib = self.root / "lib"
        self.run = self.root / "run"
        self._ready = self.root / "ready.json"

    def is_ready(self) -> bool:
        """Say whether an installation of exactly these requirements was finished and still runs."""
        try:
            installed = json.loads(self._ready.read_text())
        except (OSError, ValueError):
            return False
        return installed == list(REQUIREMENTS) and _runs(self.python)

    def mark_ready(self) -> None:
        """Note that the packages are complete."""
        self._ready.write_text(json.dumps(list(REQUIREMENTS)))

    @contextlib.contextmanager
    def lock(self, timeout_s: float = _LOCK_S) -> Iterator[None]:
        """Hold the folder against other processes that would install into it."""
        self.root.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + timeout_s
        with (self.root / "lock").open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise HostModeError(
                            f"another process has held {self.root / 'lock'} for {timeout_s:.0f} s. "
                            "Wait for its installation to end, or end it."
                        ) from None
                    time.sleep(0.2)
            yield


def install(place: Installation) -> None:
    """Make the environment unless it is there.

    Raises
    ------
    HostModeError
        No Python 3.13, no npm, or the packages cannot be had.
    """
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise HostModeError(
            "node and npm are not on PATH, and LocalStack's Kinesis is a Node program. "
            "Install Node.js 18 or newer."
        )
    if place.is_ready():
        return
    with place.lock():
        if place.is_ready():  # made while this process waited
            return
        _make_environment(place)
        place.mark_ready()


def find_python() -> str | None:
    """Return a Python 3.13 that runs, or None.

    A version manager may put a ``python3.13`` on PATH that only says which versions it knows, so
    each candidate is run once.
    """
    candidates = [shutil.which(f"python{_PYTHON}"), shutil.which("python3"), shutil.which("python")]
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates += [str(path / "bin" / "python") for path in sorted(versions.glob(f"{_PYTHON}*"))]
    return next((path for path in candidates if path and _runs(path)), None)


def _runs(python: str | Path) -> bool:
    """Say whether this is a working Python of the version needed."""
    code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [str(python), "-c", code],
            capture_output=True,
            text=True,
            timeout=_PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == _PYTHON


def _make_environment(place: Installation) -> None:
    venv = place.root / "venv"
    shutil.rmtree(venv, ignore_errors=True)  # what an interrupted installation left
    python, uv = find_python(), shutil.which("uv")
    if uv is not None:
        _run([uv, "venv", "-q", "--python", python or _PYTHON, str(venv)], _VENV_S)
        pip = [uv, "pip", "install", "-q", "--python", str(place.python)]
    elif python is not None:
        _run([python, "-m", "venv", str(venv)], _VENV_S)
        pip = [str(place.python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    else:
        raise HostModeError(
            f"no working Python {_PYTHON} on PATH or among pyenv's versions, and no uv to fetch "
            f"one; LocalStack 4.14 needs it. Install Python {_PYTHON} or uv."
        )
    _run([*pip, *REQUIREMENTS], _PACKAGES_S)


def _run(command: list[str], timeout_s: float) -> None:
    """Run a command of the installation, or say in one message what it did not do."""
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
        )
    except subprocess.TimeoutExpired:
        raise HostModeError(
            f"'{shown}' did not end within {timeout_s:.0f} s. Try it by hand; a slow or closed "
            "network shows there."
        ) from None
    if done.returncode != 0:
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise HostModeError(f"'{shown}' failed with exit code {done.returncode}:\n{tail}")
