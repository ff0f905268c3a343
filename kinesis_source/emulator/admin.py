"""The emulator's own HTTP paths, for test tools in other processes: JSON, no signature.

============================  ==================================================================
GET    /_emulator/health      ``{"status": "running"}``
GET    /_emulator/calls       counts per operation and shard, and the log of calls
GET    /_emulator/faults      the rules in force
POST   /_emulator/faults      add a rule (or a list of rules); see `faults` for the names
DELETE /_emulator/faults      remove every rule; ``/_emulator/faults/<rule_id>`` removes one
POST   /_emulator/reset       forget streams, faults, calls and used limits; identities stay
============================  ==================================================================
"""

import json
from collections.abc import Callable
from typing import Any

from .calls import CallLog
from .faults import Faults
from .sigv4 import SignedRequest
from .wire import Response

PREFIX = "/_emulator/"


class Admin:
    """Answers requests under ``/_emulator/``."""

    def __init__(self, faults: Faults, calls: CallLog, reset: Callable[[], None]) -> None:
        self._faults = faults
        self._calls = calls
        self._reset = reset

    def answer(self, request: SignedRequest) -> Response:
        """Return the reply to one request."""
        what, _, rest = request.path.removeprefix(PREFIX).partition("/")
        routes: dict[tuple[str, str], Callable[[], tuple[int, Any]]] = {
            ("GET", "health"): lambda: (200, {"status": "running"}),
            ("GET", "calls"): lambda: (200, self._calls.show()),
            ("GET", "faults"): lambda: (200, [f.show() for f in self._faults.rules()]),
            ("POST", "faults"): lambda: self._add(request.body),
            ("DELETE", "faults"): lambda: self._remove(rest),
            ("POST", "reset"): self._do_reset,
        }
        route = routes.get((request.method, what))
        try:
            status, shown = route() if route else (404, {"error": f"No {request.path}."})
        except (ValueError, TypeError) as error:
            status, shown = 400, {"error": str(error)}
        return Response(status, "application/json", json.dumps(shown).encode())

    def _add(self, body: bytes) -> tuple[int, Any]:
        given = json.loads(body)
        rules = given if isinstance(given, list) else [given]
        return 200, [self._faults.add_rule(rule).show() for rule in rules]

    def _remove(self, rule_id: str) -> tuple[int, Any]:
        if not rule_id:
            self._faults.clear()
            return 200, {"removed": True}
        removed = self._faults.remove(int(rule_id))
        return (200 if removed else 404), {"removed": removed}

    def _do_reset(self) -> tuple[int, Any]:
        self._reset()
        return 200, {"status": "reset"}
