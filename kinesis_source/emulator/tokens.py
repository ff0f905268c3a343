"""Sealed tokens: shard iterators and NextTokens, opaque to callers, checked when they come back.

A token is JSON with a keyed digest, base64 encoded; it holds the state of the iterator, so the
server keeps none and any number may be alive. Both kinds live 300 s (AWS API reference: shard
iterators expire 5 minutes after they were returned, ListShards tokens after 300 s).
"""

import base64
import binascii
import hashlib
import hmac
import json
from typing import Any

TOKEN_LIFE_S = 300
_DIGEST_BYTES = 16


class TokenSealer:
    """Seal and open tokens with one key; tokens of another key do not open.

    Parameters
    ----------
    key : bytes
        The emulator's own key; a new one invalidates all tokens handed out before.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, *state: Any) -> str:
        """Return `state` (JSON values) as an opaque ASCII token."""
        body = json.dumps(state, separators=(",", ":")).encode()
        return base64.b64encode(self._digest(body) + body).decode("ascii")

    def open(self, token: str) -> list[Any] | None:
        """Return the state sealed in `token`, or None when this sealer did not make it."""
        try:
            raw = base64.b64decode(token, validate=True)
        except (binascii.Error, ValueError):
            return None
        digest, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if not hmac.compare_digest(digest, self._digest(body)):
            return None
        state: list[Any] = json.loads(body)
        return state

    def _digest(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)[:_DIGEST_BYTES]
