"""Credentials from a callable of the user's, named by dotted path.

Runs on driver and executors: the module must be importable on both. The callable takes no argument
and returns botocore (or boto3) credentials, ``(key, secret[, token])``, or a mapping with
``access_key``, ``secret_key`` and optionally ``token`` and ``expiry`` (also in AWS's own spelling:
``AccessKeyId``, ``SecretAccessKey``, ``SessionToken``, ``Expiration``). It is called again when
``expiry`` comes near, and when AWS calls the credentials expired.

What a provider raises may hold a secret: messages name its class only.
"""

from __future__ import annotations

import datetime
import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, TypeVar

from kinesis_source.aws.bounded import SOURCE_TIMEOUT_S, BoundedCall, OverdueError, answers_at_once
from kinesis_source.aws.keys import FrozenKeys, KeyCheck
from kinesis_source.aws.renewal import Lease
from kinesis_source.errors import CredentialError

__all__ = ["CredentialProvider", "lease_from_provider", "load_provider"]

_T = TypeVar("_T")

_CODE: Final = "CREDENTIAL_PROVIDER"
# An early renewal, which nobody has to wait for.
_QUICK_S: Final = 10.0
_NAMES: Final = {
    "access_key": ("accesskey", "accesskeyid", "awsaccesskeyid"),
    "secret_key": ("secretkey", "secretaccesskey", "awssecretaccesskey"),
    "token": ("token", "sessiontoken", "awssessiontoken"),
    "expiry": ("expiry", "expirytime", "expiration"),
}


class CredentialProvider:
    """The callable behind a dotted path, imported with the first question. Thread-safe.

    Parameters
    ----------
    path : str
    timeout_s : float, seconds
        For one answer; it is ours that waits with a deadline, the user's code need not.
    load : callable or None
        Returns what to call for the path; None: imports it.
    """

    def __init__(
        self,
        path: str,
        timeout_s: float = SOURCE_TIMEOUT_S,
        load: Callable[[str], Callable[[], Any]] | None = None,
    ) -> None:
        self._path = path
        self._load = load or load_provider
        self._timeout_s = timeout_s
        self._loaded: Callable[[], Any] | None = None
        self._lease = BoundedCall(self._obtain, "kinesis-source-provider")

    def obtain(self, patient: bool) -> Lease:
        """Call the provider.

        Raises
        ------
        CredentialError
            ``[CREDENTIAL_PROVIDER]``, ``[CREDENTIAL_INVALID]`` or ``[CREDENTIAL_TIMEOUT]``.
        """
        timeout_s = self._timeout_s if patient else min(self._timeout_s, _QUICK_S)
        return _in_time(self._path, self._lease, timeout_s)

    def _obtain(self) -> Lease:
        if self._loaded is None:
            self._loaded = self._load(self._path)
        return lease_from_provider(self._path, self._loaded, self._timeout_s)


def load_provider(path: str) -> Callable[[], Any]:
    """Import the callable behind a dotted path.

    Raises
    ------
    CredentialError
        ``[CREDENTIAL_PROVIDER]`` if it cannot be imported or is not callable.
    """
    module_name, _, name = path.rpartition(".")
    if not module_name:
        _refuse(path, "is not a dotted path", "Write it as 'package.module.callable'.")
    try:
        provider = getattr(importlib.import_module(module_name), name)
    except ModuleNotFoundError as error:
        _refuse(
            path,
            f"cannot be imported: there is no module {error.name!r}",
            "Install it on the driver and on every executor.",
        )
    except AttributeError:
        _refuse(path, f"names nothing: module {module_name!r} has no {name!r}", "Correct the name.")
    except Exception as error:  # noqa: BLE001 - importing runs the user's code
        _refuse(
            path,
            f"cannot be imported: {type(error).__name__} was raised",
            "Import it in a Python shell to see why.",
        )
    if not callable(provider):
        _refuse(
            path,
            f"is of type {type(provider).__name__}, which cannot be called",
            "Name a function without arguments.",
        )
    return provider  # type: ignore[no-any-return]


def lease_from_provider(
    path: str, provider: Callable[[], Any], timeout_s: float = SOURCE_TIMEOUT_S
) -> Lease:
    """Call the provider and take what it returns.

    Raises
    ------
    CredentialError
        ``[CREDENTIAL_PROVIDER]`` if it raises, or returns something else than credentials.
    """
    returned = _call(path, provider)
    check = KeyCheck(f"the credential provider {path!r}")
    if callable(getattr(returned, "get_frozen_credentials", None)):
        return Lease(_renewing(path, returned, check, timeout_s))
    if isinstance(returned, Mapping):
        return _lease_from_mapping(path, returned, check)
    return Lease(_constant(_frozen(path, returned, check)))


def _renewing(
    path: str, credentials: Any, check: KeyCheck, timeout_s: float
) -> Callable[[], FrozenKeys]:
    """Return what asks credentials that may renew themselves."""
    slow = BoundedCall(
        lambda: _call(path, credentials.get_frozen_credentials), "kinesis-source-renewal"
    )

    def freeze() -> FrozenKeys:
        if _call(path, lambda: answers_at_once(credentials)):
            keys = _call(path, credentials.get_frozen_credentials)
        else:
            keys = _in_time(path, slow, timeout_s)
        return _frozen(path, keys, check)

    return freeze


def _in_time(path: str, call: BoundedCall[_T], timeout_s: float) -> _T:
    try:
        return call.ask(timeout_s)
    except OverdueError:
        pass
    raise CredentialError(
        "CREDENTIAL_TIMEOUT",
        f"The credential provider {path!r} gave no answer within {timeout_s:g} s.",
        "Call it in a Python shell on the same machine to see what it waits for.",
    )


def _call(path: str, function: Callable[[], _T]) -> _T:
    try:
        return function()
    # The user's code may raise anything, SystemExit too: that would end Spark's worker.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        raised = type(error).__name__
    raise _refusal(path, f"raised {raised}", "Call it in a Python shell to see why.")


def _frozen(path: str, keys: Any, check: KeyCheck) -> FrozenKeys:
    """Check keys, given as an object with attributes or as a tuple."""
    if hasattr(keys, "access_key") and hasattr(keys, "secret_key"):
        parts = (keys.access_key, keys.secret_key, getattr(keys, "token", None))
    elif isinstance(keys, (tuple, list)) and len(keys) in (2, 3):
        parts = (keys[0], keys[1], keys[2] if len(keys) == 3 else None)
    else:
        _refuse_form(path, f"something of type {type(keys).__name__}")
    access_key, secret_key, token = parts
    if not (_is_text(access_key) and _is_text(secret_key)):
        _refuse_form(path, "credentials whose key or secret is empty or no text")
    if not (token is None or isinstance(token, str)):
        _refuse_form(path, f"a session token of type {type(token).__name__}")
    return check(access_key, secret_key, token)


def _lease_from_mapping(path: str, mapping: Mapping[Any, Any], check: KeyCheck) -> Lease:
    plain = {str(name).replace("_", "").lower(): value for name, value in mapping.items()}
    found = {
        part: next((plain[name] for name in names if name in plain), None)
        for part, names in _NAMES.items()
    }
    if found["access_key"] is None or found["secret_key"] is None:
        _refuse_form(path, "a mapping without access_key or secret_key")
    keys = _frozen(path, (found["access_key"], found["secret_key"], found["token"]), check)
    return Lease(_constant(keys), _lifetime_s(path, found["expiry"]))


def _lifetime_s(path: str, expiry: Any) -> float | None:
    if expiry is None:
        return None
    if isinstance(expiry, str):
        try:
            # Python 3.10's fromisoformat does not know "Z".
            expiry = datetime.datetime.fromisoformat(expiry.replace("Z", "+00:00"))
        except ValueError:
            _refuse_form(path, "an expiry that is no ISO 8601 time")
    if isinstance(expiry, datetime.datetime):
        if expiry.tzinfo is None:
            _refuse_form(path, "an expiry without time zone")
        expiry = expiry.timestamp()
    if (
        isinstance(expiry, bool)
        or not isinstance(expiry, (int, float))
        or not math.isfinite(expiry)
    ):
        _refuse_form(path, f"an expiry of type {type(expiry).__name__}")
    # The provider speaks of this machine's wall clock; from here on only the difference counts.
    return float(expiry) - datetime.datetime.now(datetime.timezone.utc).timestamp()


def _constant(keys: FrozenKeys) -> Callable[[], FrozenKeys]:
    return lambda: keys


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _refuse_form(path: str, what: str) -> NoReturn:
    _refuse(
        path,
        f"returned {what}",
        "Return botocore credentials, (key, secret[, token]), or a mapping with access_key, "
        "secret_key and optionally token and expiry (a datetime with time zone).",
    )


def _refuse(path: str, what: str, hint: str) -> NoReturn:
    raise _refusal(path, what, hint) from None


def _refusal(path: str, what: str, hint: str) -> CredentialError:
    return CredentialError(_CODE, f"The credential provider {path!r} {what}.", hint)
