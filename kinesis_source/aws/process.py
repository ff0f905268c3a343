"""credential_process of a profile, with an end: botocore waits for such a program for ever.

Runs on driver and executors. Takes the place of subprocess.Popen in botocore's ProcessProvider. The
program gets no terminal and no standard input, so that it cannot ask anybody, and is ended with all
that it started when it takes too long or prints too much. What it prints is never shown.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import IO, Final

from kinesis_source.errors import CredentialError

__all__ = ["BoundedProcess"]

_MAX_BYTES: Final = 1 << 20
_HINT: Final = (
    "Run the program of credential_process on the same machine, with its standard input closed, "
    "to see why."
)


class BoundedProcess:
    """As much of subprocess.Popen as botocore's ProcessProvider uses.

    Parameters
    ----------
    command : list of str
    timeout_s : float, seconds
    profile : str
        For messages.
    """

    returncode = 0  # any other is told here

    def __init__(self, command: list[str], timeout_s: float, profile: str) -> None:
        self._timeout_s = timeout_s
        self._subject = f"The credential_process of profile {profile!r}"
        reason = ""
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own configuration names it
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
        if reason:
            raise self._failure("CREDENTIAL_NOT_FOUND", f"cannot be run: {reason}")

    def communicate(self) -> tuple[bytes, bytes]:
        """Return what the program printed on standard output; nothing of standard error.

        Raises
        ------
        CredentialError
            ``[CREDENTIAL_TIMEOUT]``, or ``[CREDENTIAL_NOT_FOUND]`` if it failed.
        """
        outputs: dict[str, bytes] = {}
        pipes = {"output": self._process.stdout, "errors": self._process.stderr}
        readers = [
            threading.Thread(target=_read, args=(pipe, outputs, name), daemon=True)
            for name, pipe in pipes.items()
        ]
        deadline_s = time.monotonic() + self._timeout_s
        for reader in readers:
            reader.start()
        try:
            for reader in readers:
                reader.join(max(0.0, deadline_s - time.monotonic()))
            if any(len(output) > _MAX_BYTES for output in outputs.values()):
                raise self._failure("CREDENTIAL_NOT_FOUND", f"printed over {_MAX_BYTES} bytes")
            status = self._wait(deadline_s)
        finally:
            self._end()
        if status is None or len(outputs) < len(readers):
            raise self._failure(
                "CREDENTIAL_TIMEOUT", f"did not end within {self._timeout_s:g} s and was ended"
            )
        if status != 0:
            raise self._failure("CREDENTIAL_NOT_FOUND", f"ended with exit code {status}")
        return outputs["output"], b""

    def _wait(self, deadline_s: float) -> int | None:
        try:
            return self._process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None

    def _end(self) -> None:
        """End the program and what it started, if anything of it is left."""
        if self._process.poll() is None:
            if hasattr(os, "killpg"):
                try:
                    os.killpg(self._process.pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    self._process.kill()
            else:
                self._process.kill()
            self._process.wait()

    def _failure(self, code: str, what: str) -> CredentialError:
        return CredentialError(code, f"{self._subject} {what}; its output is not shown.", _HINT)


# A grandchild that left the program's group and holds the pipe open keeps this thread, a daemon.
def _read(pipe: IO[bytes], outputs: dict[str, bytes], name: str) -> None:
    try:
        outputs[name] = pipe.read(_MAX_BYTES + 1)
    finally:
        pipe.close()
