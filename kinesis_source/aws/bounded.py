"""BoundedCall: asks what may hang (a provider, botocore's chain, STS) with a deadline.

Runs on driver and executors. A call runs in a thread of its own; who asks waits for it no longer
than the deadline. Python cannot end a thread: one that hangs stays, so that there is never more
than one for each source, and who asks next waits for that one's answer.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from kinesis_source.aws.redaction import redacted_library_logs

__all__ = ["SOURCE_TIMEOUT_S", "BoundedCall", "OverdueError", "answers_at_once"]

_T = TypeVar("_T")

SOURCE_TIMEOUT_S: Final = 60.0
"""How long a source of credentials may take for one answer."""

# An answer that came after the deadline is good for the next who asks, but not for ever.
_FRESH_S: Final = 60.0
# botocore's credentials renew themselves from 15 minutes before their end on; a minute more, so
# that they do not begin to between this question and the next.
_RENEWS_WITHIN_S: Final = 960


class OverdueError(TimeoutError):
    """There was no answer within the deadline.

    Parameters
    ----------
    timeout_s : float
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"no answer within {timeout_s:g} s")
        self.timeout_s = timeout_s


class _Call(Generic[_T]):
    """One call under way, or its outcome."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.ended_s = 0.0
        self.result: _T | None = None
        self.error: BaseException | None = None

    def run(self, function: Callable[[], _T]) -> None:
        try:
            with redacted_library_logs():
                self.result = function()
        except BaseException as error:  # noqa: BLE001 - SystemExit too: it belongs to who asks
            self.error = error
        self.ended_s = time.monotonic()
        self.ended.set()

    @property
    def is_stale(self) -> bool:
        return self.ended.is_set() and time.monotonic() - self.ended_s > _FRESH_S


class BoundedCall(Generic[_T]):
    """A function without arguments, called with a deadline. Thread-safe.

    Parameters
    ----------
    function : callable
    name : str
        Of its threads.
    """

    def __init__(self, function: Callable[[], _T], name: str) -> None:
        self._function = function
        self._name = name
        self._lock = threading.Lock()
        self._call: _Call[_T] | None = None

    def ask(self, timeout_s: float) -> _T:
        """Return what the function returns, or raise what it raises.

        Parameters
        ----------
        timeout_s : float, seconds, > 0

        Raises
        ------
        OverdueError
            It did neither in time.
        """
        with self._lock:
            if self._call is None or self._call.is_stale:
                self._call = self._start()
            call = self._call
        if not call.ended.wait(timeout_s):
            raise OverdueError(timeout_s)
        with self._lock:
            if self._call is call:
                self._call = None
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[return-value]  # set where there is no error

    def _start(self) -> _Call[_T]:
        call: _Call[_T] = _Call()
        run = contextvars.copy_context().run
        thread = threading.Thread(
            target=run, args=(call.run, self._function), name=self._name, daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            # No thread to be had, for want of memory or by a limit: better without a deadline than
            # not at all.
            call.run(self._function)
        return call


def answers_at_once(credentials: Any) -> bool:
    """Say whether botocore's credentials give their keys without asking anybody."""
    refresh_needed = getattr(credentials, "refresh_needed", None)
    if refresh_needed is not None:
        return not refresh_needed(refresh_in=_RENEWS_WITHIN_S)
    return type(credentials).__name__ == "Credentials" and type(credentials).__module__ == (
        "botocore.credentials"
    )
