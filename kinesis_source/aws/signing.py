"""SigningClock: the time that goes into signatures, and botocore clients that sign by it.

Runs on driver and executors, for Kinesis and STS. AWS refuses a request whose X-Amz-Date is five
minutes off its own clock, and a driver's wall clock may be hours off. Signed is by AWS's clock
where it is known, by the wall clock until then. A refused signature is made again where another
clock gives another time: the refusal itself tells AWS's, in its Date header.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from botocore import auth

from kinesis_source.aws.clock import ServerClock

__all__ = ["SigningClock", "sign_by"]

_SIGNATURE_VERSION: Final = "v4-kinesis-source"
_CONTEXT_KEY: Final = "kinesis_source_amz_date"
_FORM: Final = "%Y%m%dT%H%M%SZ"
# AWS takes five minutes: clocks that differ by less than this were not the reason.
_TELLING_S: Final = 60.0


class SigningClock:
    """What time signatures carry. Thread-safe; a call is signed and refused in one thread.

    Parameters
    ----------
    server : ServerClock
        Fed by the same replies.
    wall : callable
        This machine's own clock, seconds since 1970.
    """

    def __init__(self, server: ServerClock, wall: Callable[[], float] = time.time) -> None:
        self._server = server
        self._wall = wall
        # False: replies told a time by which AWS refused a signature, and the wall clock another.
        self._trusts_replies = True
        self._calls = threading.local()

    def observe(self, headers: Mapping[str, str]) -> None:
        """Take note of a reply's headers, refusals' too, right after it came."""
        self._calls.headers = headers
        self._server.observe(headers)

    def amz_date(self) -> str:
        """Return the X-Amz-Date of a request that this thread signs now."""
        known_s = self._known_s() if self._trusts_replies else None
        now_s = self._wall() if known_s is None else known_s
        self._calls.signed_s = now_s
        self._calls.headers = None
        return time.strftime(_FORM, time.gmtime(now_s))

    def is_another(self) -> bool:
        """Choose the clock anew after AWS refused a signature of this thread.

        Returns
        -------
        bool
            Whether the next signature will carry another time than the one refused.
        """
        signed_s: float | None = getattr(self._calls, "signed_s", None)
        if signed_s is None:
            return False
        # The refusal is the latest word on AWS's clock, also where that is behind what it was.
        refusal: Mapping[str, str] | None = getattr(self._calls, "headers", None)
        told_ms = self._server.time_of(refusal or {})
        if told_ms is not None and abs(told_ms / 1000 - signed_s) > _TELLING_S:
            self._server.begin_with(refusal or {})
            self._trusts_replies = True
            return True
        self._trusts_replies = False
        return abs(self._wall() - signed_s) > _TELLING_S

    def _known_s(self) -> float | None:
        now_ms = self._server.now_ms()
        return None if now_ms is None else now_ms / 1000


class _SigV4ByClock(auth.SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """Signature Version 4 at the time that ``before-sign`` noted, not at the wall clock's."""

    def _modify_request_before_signing(self, request: Any) -> None:
        # botocore has just put the wall clock's time here; date header and scope follow from it.
        request.context["timestamp"] = request.context[_CONTEXT_KEY]
        super()._modify_request_before_signing(request)


# botocore looks signers up in this table and nowhere else; the name is ours alone.
auth.AUTH_TYPE_MAPS[_SIGNATURE_VERSION] = _SigV4ByClock


def sign_by(client: Any, clock: SigningClock) -> None:
    """Let a botocore client sign by a clock, and feed it the headers of all replies."""
    service = client.meta.service_model.service_id.hyphenize()

    def choose(signature_version: Any, **_: Any) -> str | None:
        return _SIGNATURE_VERSION if signature_version == "v4" else None

    def note_time(request: Any, **_: Any) -> None:
        request.context[_CONTEXT_KEY] = clock.amz_date()

    def observe(parsed: dict[str, Any], **_: Any) -> None:
        clock.observe(parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {}))

    events = client.meta.events
    events.register(f"choose-signer.{service}", choose)
    events.register(f"before-sign.{service}", note_time)
    events.register(f"after-call.{service}", observe)
