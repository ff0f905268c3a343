"""The emulator as a server: put its parts together, start and stop it, or run it as a program.

``python -m kinesis_source.emulator.server --port 4567`` prints the endpoint and a line that says it
is ready, and serves until it is interrupted.
"""

import argparse
import signal
import sys
import threading
import time
from types import TracebackType
from typing import Any

from .admin import PREFIX, Admin
from .calls import Call, CallLog
from .clock import Clock
from .faults import Faults
from .handles import AccountHandle
from .httpd import HttpServer
from .iam import Iam, Identity, Role, User, is_account_id
from .limits import LimitKeeper, Limits
from .service import Service
from .sigv4 import SignedRequest
from .store import DEFAULT_SHARD_LIMIT, Store
from .streams import ArrivalHook
from .wire import Response

DEFAULT_ACCOUNT = "000000000000"


class Emulator:
    """Amazon Kinesis Data Streams and STS on 127.0.0.1.

    Parameters
    ----------
    host, port : str, int
        Where to listen; port 0 (default) picks a free one. Loopback unless told otherwise.
    clock : callable, default time.time
        Epoch seconds; see `ManualClock`.
    signing_clock : callable, optional
        Epoch seconds that the time of signatures is checked against, five minutes either way as AWS
        does; the clock, if not given. ``time.time`` lets clients that sign by this machine's
        clock, as boto3 does, call an emulator whose clock is moved by hand.
    strict_limits : bool or Limits, default False
        Enforce AWS's rates per shard and call.
    lenient_credentials : bool, default False
        Take any 12-digit access key as root of that account, with any secret.
    credential_lifetime_s : float, optional
        How long temporary credentials live, whatever duration was asked for.
    delay_s : float, default 0
        How long streams stay CREATING, UPDATING and DELETING.
    seed : int, default 0
        Seeds the faults' probabilities.
    shard_limit : int
        Open shards per account and region.

    Examples
    --------
    >>> with Emulator() as aws:
    ...     stream = aws.account("111111111111").create_stream("clicks", shards=2)
    ...     stream.open_shard_ids()
    ['shardId-000000000000', 'shardId-000000000001']
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings of a top-level object
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock = time.time,
        signing_clock: Clock | None = None,
        strict_limits: bool | Limits = False,
        lenient_credentials: bool = False,
        credential_lifetime_s: float | None = None,
        delay_s: float = 0.0,
        seed: int = 0,
        shard_limit: int = DEFAULT_SHARD_LIMIT,
    ) -> None:
        limits = Limits() if strict_limits is True else strict_limits or None
        self.clock = clock
        self.calls = CallLog()
        self.faults = Faults(seed)
        self._store = Store(clock, delay_s=delay_s, shard_limit=shard_limit)
        self._iam = Iam(clock, lenient=lenient_credentials, signing_clock=signing_clock)
        self._iam.credential_lifetime_s = credential_lifetime_s
        self._limits = LimitKeeper(limits)
        self._service = Service(self._store, self._iam, self._limits, self.faults, self.calls)
        self._admin = Admin(self.faults, self.calls, self.reset)
        self._address = (host, port)
        self._server: HttpServer | None = None

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> "Emulator":
        """Start to serve; returns itself."""
        if self._server is None:
            self._service.stopping.clear()
            self._server = HttpServer(
                *self._address, self._answer, self._service.early_drop, self.clock
            )
            self._server.begin()
        return self

    def stop(self) -> None:
        """Stop serving and end every connection; data stays until the object goes."""
        if self._server is not None:
            self._service.stopping.set()
            self._server.close()
            self._server = None

    def __enter__(self) -> "Emulator":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def endpoint_url(self) -> str:
        """URL for `endpoint_url` of Kinesis and STS clients."""
        if self._server is None:
            raise RuntimeError("The emulator is not running: call start() or use it with `with`.")
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def reset(self) -> None:
        """Forget streams, faults, calls and used limits; identities and settings stay."""
        self._store.clear()
        self._store.arrival_hook = None
        self.faults.clear()
        self.calls.clear()
        self._limits.clear()

    def reset_identities(self) -> None:
        """Forget users, roles and sessions; test/test of account 000000000000 stays."""
        self._iam.clear()

    # -- accounts and credentials ---------------------------------------------------------------

    def account(self, account_id: str = DEFAULT_ACCOUNT) -> AccountHandle:
        """Return a handle on an account (12 digits); accounts need no creation."""
        if not is_account_id(account_id):
            raise ValueError(f"An account id has 12 digits, got '{account_id}'.")
        return AccountHandle(account_id, self._store, self._iam)

    def delete_access_key(self, who: User | str) -> None:
        """Make a user's or session's access key unknown at once."""
        self._iam.delete_key(who if isinstance(who, str) else who.access_key)

    def revoke_sessions(self, role: Role) -> None:
        """Deny everything to sessions issued until now, as "revoke active sessions" does."""
        role.revoked_before_s = self.clock() + 1e-3

    def expire_sessions(self, identity: Identity) -> int:
        """Let an identity's temporary credentials expire now; return how many there were."""
        return self._iam.expire_sessions(identity)

    def delete_role(self, role: Role) -> None:
        """Delete a role and its sessions."""
        self._iam.delete_role(role)

    @property
    def credential_lifetime_s(self) -> float | None:
        """Life of temporary credentials issued from now on; None honours DurationSeconds."""
        return self._iam.credential_lifetime_s

    @credential_lifetime_s.setter
    def credential_lifetime_s(self, seconds: float | None) -> None:
        self._iam.credential_lifetime_s = seconds

    # -- behaviour ------------------------------------------------------------------------------

    @property
    def strict_limits(self) -> Limits | None:
        """The limits enforced now, or None."""
        return self._limits.limits

    @strict_limits.setter
    def strict_limits(self, limits: bool | Limits | None) -> None:
        self._limits.clear()
        self._limits.limits = Limits() if limits is True else limits or None

    @property
    def arrival_hook(self) -> ArrivalHook | None:
        """(stream, shard id, clock in ms) -> arrival time in ms; None shows the clock's."""
        return self._store.arrival_hook

    @arrival_hook.setter
    def arrival_hook(self, hook: ArrivalHook | None) -> None:
        self._store.arrival_hook = hook

    def call_log(self, operation: str | None = None) -> list[Call]:
        """Return the calls so far, of one operation or of all."""
        return self.calls.list(operation)

    def _answer(self, request: SignedRequest) -> Response:
        if request.path.startswith(PREFIX):
            return self._admin.answer(request)
        return self._service.answer(request)


def main(arguments: list[str] | None = None) -> int:
    """Run the emulator as a program until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="kinesis-source emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=4567, help="port; 0 picks a free one")
    parser.add_argument("--strict-limits", action="store_true", help="enforce AWS's rates")
    parser.add_argument(
        "--lenient-credentials",
        action="store_true",
        help="take any 12-digit access key as that account's root",
    )
    given = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    settings: dict[str, Any] = vars(given)
    with Emulator(**settings) as emulator:
        sys.stdout.write(f"{emulator.endpoint_url}\nReady.\n")
        sys.stdout.flush()
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
