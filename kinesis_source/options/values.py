"""Readers of option values: text in, a checked value out.

Pure; runs in Spark's driver-side worker at ``load()``. A reader is a callable that knows what it
allows, so that checks and documentation cannot differ. It raises :class:`BadValueError` without the
option's name; :mod:`kinesis_source.options.parse` adds that. Readers of secrets never put the value
into a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol
from urllib.parse import SplitResult, urlsplit

from kinesis_source.options.aws_hosts import is_aws_host

__all__ = [
    "BadValueError",
    "Boolean",
    "Choice",
    "Duration",
    "Integer",
    "Reader",
    "Text",
    "format_duration",
    "masked",
    "read_dotted_path",
    "read_profile",
    "read_url",
    "shown",
]

_UNITS_MS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("ms", "millis", "millisecond", "milliseconds"), 1),
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1_000),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60_000),
    **dict.fromkeys(("h", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000),
}
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([a-zA-Z]*)")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
# Only these hosts are taken without a scheme: every other one could mean http as well as https.
_BARE_HOST = re.compile(r"[a-z0-9.-]+")
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


class BadValueError(ValueError):
    """A value that its reader does not take.

    Parameters
    ----------
    code : str
        ``OPTION_VALUE``, ``OPTION_RANGE`` or ``OPTION_UNSUPPORTED``.
    problem : str
        Completes "Option 'x' ...", ending with a full stop.
    hint : str
        What to do, ending with a full stop.
    """

    def __init__(self, code: str, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.code = code
        self.problem = problem
        self.hint = hint


class Reader(Protocol):
    """What the table asks of a reader."""

    @property
    def kind(self) -> str:
        """The type's name in the documentation."""

    @property
    def allowed(self) -> str:
        """The values taken, in words; empty if the option's text says it."""

    def __call__(self, text: str) -> Any:
        """Return the value, or raise :class:`BadValueError`."""


@dataclass(frozen=True)
class Boolean:
    """``true`` or ``false``, in any case."""

    kind: str = "boolean"
    allowed: str = "true, false"

    def __call__(self, text: str) -> bool:
        """Return the truth value."""
        if text.lower() not in {"true", "false"}:
            raise BadValueError(
                "OPTION_VALUE",
                f"must be 'true' or 'false', got {shown(text)}.",
                "Write one of them.",
            )
        return text.lower() == "true"


@dataclass(frozen=True)
class Integer:
    """A whole number within bounds, both included."""

    minimum: int
    maximum: int
    kind: str = "integer"

    @property
    def allowed(self) -> str:
        """The bounds."""
        return f"{self.minimum} to {self.maximum}"

    def __call__(self, text: str) -> int:
        """Return the number."""
        if not _INTEGER.fullmatch(text):
            raise BadValueError(
                "OPTION_VALUE",
                f"must be a whole number, got {shown(text)}.",
                f"Write a number from {self.allowed}.",
            )
        value = int(text)
        if not self.minimum <= value <= self.maximum:
            raise BadValueError(
                "OPTION_RANGE",
                f"must be {self.allowed}, got {shown(text)}.",
                f"Write a number from {self.allowed}.",
            )
        return value


@dataclass(frozen=True)
class Duration:
    """A time span with its unit, as milliseconds.

    Parameters
    ----------
    minimum_ms, maximum_ms : int
        Both included.
    bare_unit_ms : int or None
        What a number without unit counts, for names whose own documentation says it; None: such a
        number is refused.
    """

    minimum_ms: int
    maximum_ms: int
    bare_unit_ms: int | None = None
    kind: str = "duration"

    @property
    def allowed(self) -> str:
        """The bounds."""
        return f"{format_duration(self.minimum_ms)} to {format_duration(self.maximum_ms)}"

    def __call__(self, text: str) -> int:
        """Return milliseconds."""
        match = _DURATION.fullmatch(text)
        unit_ms = self._unit_ms(match[2].lower()) if match else None
        if match is None or unit_ms is None:
            bare = re.fullmatch(r"[0-9]+(\.[0-9]+)?", text)
            reason = "is a number without unit" if bare else "must be a number with a unit"
            raise BadValueError(
                "OPTION_VALUE",
                f"{reason}, got {shown(text)}.",
                "Write for example '500ms', '30s', '2m' or '1h'.",
            )
        value = int(Decimal(match[1]) * unit_ms)
        if not self.minimum_ms <= value <= self.maximum_ms:
            raise BadValueError(
                "OPTION_RANGE",
                f"must be {self.allowed}, got {shown(text)}.",
                "Write a time within these bounds.",
            )
        return value

    def _unit_ms(self, unit: str) -> int | None:
        return _UNITS_MS.get(unit) if unit else self.bare_unit_ms


@dataclass(frozen=True)
class Choice:
    """One of a few words, in any case.

    Parameters
    ----------
    words : mapping of str to value
        Lower-case word to the value it stands for.
    refused : mapping of str to str
        Lower-case words that mean something not offered, with what to do instead.
    """

    words: Mapping[str, str]
    refused: Mapping[str, str]
    kind: str = "word"

    @property
    def allowed(self) -> str:
        """The words."""
        return ", ".join(dict.fromkeys(self.words.values()))

    def __call__(self, text: str) -> str:
        """Return the word's meaning."""
        word = text.lower()
        if word in self.refused:
            raise BadValueError(
                "OPTION_UNSUPPORTED",
                f"is {shown(text)}, which is not supported yet.",
                self.refused[word],
            )
        if word not in self.words:
            raise BadValueError(
                "OPTION_VALUE",
                f"must be one of {self.allowed}, got {shown(text)}.",
                "Write one of them.",
            )
        return self.words[word]


@dataclass(frozen=True)
class Text:
    """Any other value: a name of its type, and the function that reads it."""

    kind: str
    read: Callable[[str], Any]
    allowed: str = ""

    def __call__(self, text: str) -> Any:
        """Return what the function reads."""
        return self.read(text)


def shown(text: str, limit: int = 100) -> str:
    """Return a value as it may stand in a message: quoted, escaped, cut."""
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


def masked(value: str) -> str:
    """Return an access key id with only its last four characters readable."""
    return f"'****{value[-4:]}'" if len(value) >= 16 else "'****'"


def format_duration(value_ms: int) -> str:
    """Return milliseconds in the largest unit that gives a whole number, for example ``5m``."""
    for unit in ("h", "m", "s"):
        if value_ms and value_ms % _UNITS_MS[unit] == 0:
            return f"{value_ms // _UNITS_MS[unit]}{unit}"
    return f"{value_ms}ms"


def read_url(text: str) -> str:
    """Read the URL of a service; a bare AWS host gets ``https://``.

    Raises
    ------
    BadValueError
        Not http or https, no host, a bad port, or user name, query or fragment in it. A URL with
        a password is not shown.
    """
    if _BARE_HOST.fullmatch(text.lower()) and is_aws_host(text):
        return f"https://{text.lower()}"
    hint = "Write it as 'https://host' or 'http://host:port'."
    parts = _split_url(text)
    if "@" in text:
        raise BadValueError("OPTION_VALUE", "must not hold a user name or password.", hint)
    if parts is None or parts.scheme not in {"http", "https"}:
        raise BadValueError(
            "OPTION_VALUE", f"must be an http or https URL, got {shown(text)}.", hint
        )
    if parts.query or parts.fragment:
        raise BadValueError(
            "OPTION_VALUE", f"must end with the host or path, got {shown(text)}.", hint
        )
    return text.rstrip("/?#")


def _split_url(text: str) -> SplitResult | None:
    if re.search(r"[\s\x00-\x1f\x7f-\U0010ffff]", text):
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    host = parts.netloc.removesuffix(f":{port}") if port is not None else parts.netloc
    return parts if _HOST.fullmatch(host) else None


def read_dotted_path(text: str) -> str:
    """Read the dotted path of a callable; whether it is there is seen when it is imported."""
    parts = text.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise BadValueError(
            "OPTION_VALUE",
            f"must be the dotted path of a Python callable, got {shown(text)}.",
            "Write for example 'mycompany.auth.kinesis_credentials'.",
        )
    return text


def read_profile(text: str) -> str:
    """Read the name of a profile: one line without control characters."""
    if not text.isprintable() or len(text) > 256:
        raise BadValueError(
            "OPTION_VALUE",
            f"must be the name of a profile, got {shown(text)}.",
            "Write the name in brackets in ~/.aws/credentials or ~/.aws/config.",
        )
    return text
