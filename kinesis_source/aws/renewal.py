"""RenewingCredentials: credentials that replace themselves for as long as a query runs.

Runs on driver and executors, inside botocore's signing. Takes the place of botocore's
RefreshableCredentials, which cannot be told to renew when AWS says ExpiredToken, renews sessions of
15 minutes before every single call (its window is 15 minutes), and raises RuntimeError for good
when this machine's clock is ahead. Lifetimes count on the monotonic clock here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from kinesis_source.aws.keys import FrozenKeys
from kinesis_source.errors import CredentialError

__all__ = ["FrozenKeys", "Lease", "RenewingCredentials"]

_log = logging.getLogger(__name__)

# From here on one thread tries to renew while the others go on with what they have.
_EARLY_S: Final = 900.0
# From here on nobody signs without renewing: a request may be under way for some seconds.
_LATE_S: Final = 60.0
_ON_THE_WAY_S: Final = 2.0
# Between two early tries: a failing STS must not slow down every call.
_EARLY_RETRY_S: Final = 30.0


@dataclass(frozen=True)
class Lease:
    """Credentials for some time.

    Parameters
    ----------
    freeze : callable
        Returns the keys; may renew on its own, as botocore's credentials of instances do.
    lifetime_s : float or None
        From now on; None: unknown or unlimited.
    """

    freeze: Callable[[], FrozenKeys]
    lifetime_s: float | None = None


@dataclass(frozen=True)
class _Held:
    lease: Lease
    obtained_s: float

    def left_s(self, now_s: float) -> float:
        if self.lease.lifetime_s is None:
            return float("inf")
        return self.obtained_s + self.lease.lifetime_s - now_s

    @property
    def late_s(self) -> float:
        lifetime_s = self.lease.lifetime_s or 0.0
        # Sessions that live for seconds are renewed on each use; else the last tenth is spare.
        return min(_LATE_S, max(lifetime_s / 10, _ON_THE_WAY_S))

    @property
    def early_s(self) -> float:
        return max(self.late_s, min(_EARLY_S, (self.lease.lifetime_s or 0.0) / 4))


class RenewingCredentials:
    """Credentials in the form that botocore's signers ask for. Thread-safe.

    Parameters
    ----------
    obtain : callable
        Returns a Lease; told whether it may wait and repeat (True) or must be quick (False).
        Raises CredentialError.
    method : str
        Where the credentials come from, for botocore's logs.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        obtain: Callable[[bool], Lease],
        method: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._obtain = obtain
        self.method = method
        self._clock = clock
        self._lock = threading.Lock()
        self._held: _Held | None = None
        # What was last handed out, and when these took the place of others.
        self._keys: FrozenKeys | None = None
        self._changed_s = float("-inf")
        self._early_not_before_s = float("-inf")
        self._failures = 0
        self._last_failure: CredentialError | None = None

    def __repr__(self) -> str:
        return f"RenewingCredentials(method={self.method!r})"

    def get_frozen_credentials(self) -> FrozenKeys:
        """Return keys that are good for at least the next request (botocore's name)."""
        return self._freeze(self._current())

    def get_deferred_property(self, property_name: str) -> Callable[[], Any]:
        """Return a getter of one property, for botocore's endpoint rules."""
        return lambda: getattr(self, property_name, None)

    @property
    def access_key(self) -> str:
        """The access key id in use."""
        return self.get_frozen_credentials().access_key

    @property
    def secret_key(self) -> str:
        """The secret key in use."""
        return self.get_frozen_credentials().secret_key

    @property
    def token(self) -> str | None:
        """The session token in use."""
        return self.get_frozen_credentials().token

    @property
    def account_id(self) -> str | None:
        """The account, where the source of the credentials told it.

        botocore's endpoint rules ask before each call is signed: nothing is obtained for that,
        else credentials that live for seconds would be obtained twice a call.
        """
        keys = self.held_keys()
        return keys.account_id if keys is not None else None

    def held_keys(self) -> FrozenKeys | None:
        """Return the keys last handed out, without asking anybody: for messages."""
        return self._keys

    def renew(self, used_s: float) -> bool:
        """Replace credentials that AWS called expired or unknown.

        Parameters
        ----------
        used_s : float
            When the refused request was begun, by the clock given: what was obtained later stays.

        Returns
        -------
        bool
            Whether the keys are others now.
        """
        failures_seen = self._failures
        with self._lock:
            held = self._held
            if held is None or held.obtained_s > used_s or self._changed_s > used_s:
                return True
            # What the source has by now may be others already: those refused count.
            before = self._keys
            after = self._freeze(self._replace(failures_seen))
            return before is None or before[:3] != after[:3]

    def _freeze(self, held: _Held) -> FrozenKeys:
        failure: CredentialError | None = None
        try:
            keys = held.lease.freeze()
        except CredentialError as error:
            failure = error
        if failure is not None:
            raise _bare(failure)
        if self._keys is not keys and self._keys != keys:
            self._changed_s = self._clock() if self._keys is not None else float("-inf")
            self._keys = keys
        return keys

    def _current(self) -> _Held:
        failures_seen = self._failures
        held = self._held
        if held is not None:
            left_s = held.left_s(self._clock())
            if left_s > held.early_s:
                return held
            if left_s > held.late_s:
                self._replace_early(held)
                return self._held or held
        with self._lock:
            if self._held is not None and self._held is not held:
                return self._held  # another thread was faster
            return self._replace(failures_seen)

    def _replace(self, failures_seen: int) -> _Held:
        """Obtain others; the lock is held."""
        failure = self._last_failure
        if failure is not None and self._failures > failures_seen:
            # Another thread spent the whole budget while this one waited: once is enough.
            raise CredentialError(failure.code, failure.problem, failure.hint)
        try:
            return self._hold(self._obtain(True))
        except CredentialError as error:
            self._failures += 1
            self._last_failure = failure = error
        raise _bare(failure)

    def _replace_early(self, held: _Held) -> None:
        if self._clock() < self._early_not_before_s or not self._lock.acquire(blocking=False):
            return
        try:
            if self._held is held:
                self._hold(self._obtain(False))
        except CredentialError as error:
            self._early_not_before_s = self._clock() + _EARLY_RETRY_S
            _log.warning("Credentials could not be renewed yet, the old ones still hold: %s", error)
        finally:
            self._lock.release()

    def _hold(self, lease: Lease) -> _Held:
        held = _Held(lease, self._clock())
        self._held = held
        return held


def _bare(error: CredentialError) -> CredentialError:
    """Return an error without the frames below: their variables hold secrets in plain text.

    Spark prints them with SPARK_TRACEBACK_WITH_LOCALS, as do tools that report errors.
    """
    error.__context__ = None
    return error.with_traceback(None)
