"""Texts of libraries and of replies, without what is secret in them.

Runs on driver and executors. In: any text that this source did not write itself (an exception of
botocore's, a reply's message, a header). Out: the same text with ``***`` where a secret stood. It
knows the secrets that the identities of this process hold or held, in the forms in which a text may
quote them (escaped, quoted for URLs or XML, in base64, cut off), those of the environment, and what
secrets look like. Nothing else takes such a text into an exception or a log.
"""

from __future__ import annotations

import base64
import html
import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["mask_access_key", "redact", "redacted_library_logs", "remember_secrets"]

HIDDEN: Final = "***"

# A role's session is renewed about once an hour: some days of secrets for each link of a chain.
_REMEMBERED: Final = 256
# "test", the key of emulators, is no secret, and would be found inside of words.
_SHORTEST: Final = 8
# As much of a secret gives it away where a library cut its text off.
_PREFIX: Final = 12
_LONG: Final = 64
_SECRET_VARIABLES: Final = re.compile(
    r"AWS_(SECRET_ACCESS_KEY|SECRET_KEY|SESSION_TOKEN|SECURITY_TOKEN"
    r"|CONTAINER_AUTHORIZATION_TOKEN|BEARER_TOKEN_\w+)"
)
_NAMES: Final = (
    r"(?:aws[-_]?)?(?:secret[-_]?(?:access[-_]?)?key|(?:session|security|access|refresh|bearer"
    r"|(?:web[-_]?)?identity|authorization|auth)[-_]?token|x-amz-security-token|token[-_]?code|client[-_]?secret"
    r"|dpop[-_]?key|password|authorization)"
)
# What secrets look like, whoever brought them. The first group stays.
_SHAPES: Final = (
    # name: value, "name": "value", name=value, <name>value
    re.compile(rf"(\b{_NAMES}\\*[\"']?\s*[=:>]\s*b?\\*[\"']?)[^\s\"'<>,;&}}\\]+", re.IGNORECASE),
    # The bare word, which sentences have too, only where it clearly names a value.
    re.compile(r"(\btoken(?:\\*[\"']\s*:|=|>)\s*b?\\*[\"']?)[^\s\"'<>,;&}\\]+", re.IGNORECASE),
    re.compile(r"([a-z][a-z0-9+.-]*://)[^/\s@]+(?=@)", re.IGNORECASE),  # user:password@host
    re.compile(r"()\beyJ[\w-]+\.[\w-]+\.?[\w-]*"),  # a JSON Web Token
    # A secret access key: 40 characters of base64 that are no hexadecimal digest.
    re.compile(
        r"()(?<![\w/+=])(?=[\w/+]*[A-Z])(?=[\w/+]*[a-z])(?=[\w/+]*[0-9])[A-Za-z0-9/+]{40}(?![\w/+=])"
    ),
    re.compile(r"()(?=[\w/+%-]{0,99}[A-Za-z])[\w/+%-]{100,}={0,2}"),  # a session token
)
_ACCESS_KEYS: Final = re.compile(r"\bA[KS]IA[A-Z0-9]{12,}\b")


class _Remembered:
    """The secrets of this process, the oldest forgotten first. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown_as: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str, shown_as: str) -> None:
        if len(secret) < _SHORTEST or secret in self._shown_as:
            return
        with self._lock:
            self._shown_as[secret] = shown_as
            while len(self._shown_as) > _REMEMBERED:
                del self._shown_as[next(iter(self._shown_as))]
            self._pattern = None

    def replace(self, text: str) -> str:
        with self._lock:
            shown_as = dict(self._shown_as)
            if self._pattern is None:
                self._pattern = _pattern(list(shown_as))
            pattern = self._pattern
        return pattern.sub(lambda found: shown_as.get(found[0], HIDDEN), text)

    def start_anew(self) -> None:
        """Let go of a lock that another thread of the parent may have held."""
        self._lock = threading.Lock()


_remembered = _Remembered()
if hasattr(os, "register_at_fork"):  # not on Windows, which never forks
    os.register_at_fork(after_in_child=_remembered.start_anew)


_ACCOUNT: Final = re.compile(r"[0-9]{12}")


def remember_secrets(access_key: str, *secrets: str | None) -> None:
    """Take note of credentials, before anything is done with them."""
    # LocalStack takes an account's number for a key: that is no secret, and messages name accounts.
    if not _ACCOUNT.fullmatch(access_key):
        _remembered.add(access_key, mask_access_key(access_key))
    for secret in secrets:
        if secret:
            _remembered.add(secret, HIDDEN)


def redact(text: str) -> str:
    """Return a text without the secrets in it; access key ids are masked."""
    for name, value in os.environ.items():
        if _SECRET_VARIABLES.fullmatch(name.upper()):
            _remembered.add(value, HIDDEN)
    text = _remembered.replace(text)
    text = _ACCESS_KEYS.sub(lambda found: mask_access_key(found[0]), text)
    for shape in _SHAPES:
        text = shape.sub(lambda found: found[1] + HIDDEN, text)
    return text


def mask_access_key(access_key: str) -> str:
    """Return an access key id that can be recognised, not used."""
    return f"{access_key[:4]}****{access_key[-4:]}" if len(access_key) >= 16 else "****"


def _pattern(secrets: list[str]) -> re.Pattern[str]:
    """Return what finds secrets however they are quoted, longer ones first."""
    parts = []
    for secret in sorted(secrets, key=len, reverse=True):
        for text in dict.fromkeys((secret, secret.strip())):
            if len(text) < _SHORTEST:
                continue
            # Compiling a token of 1,000 characters takes longer than all else here, and what comes
            # behind the beginning of one goes with it.
            if len(text) <= _LONG or re.search(r"[\s\"'<>]", text):
                parts.append("".join(map(_quoted, text)))
            parts.append(re.escape(base64.b64encode(text.encode()).decode()))
            if len(text) >= 2 * _PREFIX:
                parts.append("".join(map(_quoted, text[:_PREFIX])) + r"[^\s\"'<>]*")
    return re.compile("|".join(parts) or r"(?!)")


def _quoted(character: str) -> str:
    """Return what finds one character, as it is or as Python, JSON, URLs, forms and XML write it.

    Each character by itself, since texts that quote texts mix these ways.
    """
    if character.isalnum() and character.isascii():
        return character
    if character == "\\":
        return r"(?:\\+|%5[Cc])"
    forms = [re.escape(character), *(f"%{byte:02x}" for byte in character.encode())]
    forms += [f"%{byte:02X}" for byte in character.encode()]
    forms += [rf"\\+u{ord(character):04x}", rf"\\+x{ord(character):02x}"]
    forms += [re.escape(html.escape(character)), rf"&\#0*{ord(character)};"]
    if character.isspace():
        # Also where a text was put into one line.
        return rf"(?:\s|\\+[nrtvf]|\+|{'|'.join(forms)})*"
    return (
        rf"\\*(?:{'|'.join(forms)})+" if not character.isascii() else (rf"\\*(?:{'|'.join(forms)})")
    )


_redacting = threading.local()
# Those of botocore's that warn with the text of whatever a source of credentials raised.
_LIBRARY_LOGGERS: Final = ("botocore.credentials", "botocore.tokens", "botocore.utils")


def _redact_record(record: logging.LogRecord) -> bool:
    """Filter: take secrets out of a warning that this thread's look for credentials caused."""
    if getattr(_redacting, "on", False) and record.levelno >= logging.WARNING:
        said = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            said = f"{said} ({type(error).__name__})"
        record.msg, record.args = redact(said), ()
        record.exc_info = record.exc_text = None
    return True


for _name in _LIBRARY_LOGGERS:
    logging.getLogger(_name).addFilter(_redact_record)


@contextmanager
def redacted_library_logs() -> Iterator[None]:
    """Keep secrets out of what botocore logs in this thread, at WARNING and above."""
    before = getattr(_redacting, "on", False)
    _redacting.on = True
    try:
        yield
    finally:
        _redacting.on = before
