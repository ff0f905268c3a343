"""Readers of option values that count bytes; see :mod:`kinesis_source.options.values`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from kinesis_source.options.values import BadValueError, shown

__all__ = ["ByteRate", "ByteSize"]

_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_SIZE: Final = re.compile(r"([0-9]{1,18})(|[kmgt])(?:i?b)?", re.ASCII | re.IGNORECASE)
_SIZE_SHIFTS: Final = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


@dataclass(frozen=True)
class ByteRate:
    """Megabytes (10^6 bytes) a second, as bytes a second; None: no limit."""

    kind: str = "number"
    allowed: str = "0.01 to 2.1, unlimited"

    def __call__(self, text: str) -> int | None:
        """Return bytes a second."""
        if text.lower() == "unlimited":
            return None
        if not _DECIMAL.fullmatch(text):
            raise BadValueError(
                "OPTION_VALUE",
                f"must be MB a second or 'unlimited', got {shown(text)}.",
                "Write for example '1.5', without a unit.",
            )
        value = int(Decimal(text) * 1_000_000)
        if value == 0 and Decimal(text) == 0:
            return None
        # AWS gives a shard 2 MiB/s: more is no rate to keep.
        if not 10_000 <= value <= 2_100_000:
            raise BadValueError(
                "OPTION_RANGE",
                f"must be {self.allowed}, got {shown(text)}.",
                "Write a number within these bounds, or 'unlimited'.",
            )
        return value


@dataclass(frozen=True)
class ByteSize:
    """A number of bytes, with or without a unit; units are powers of 1,024, as Spark's are."""

    kind: str = "size"
    allowed: str = "64k to 1024g"

    def __call__(self, text: str) -> int:
        """Return bytes."""
        match = _SIZE.fullmatch(text)
        if match is None:
            raise BadValueError(
                "OPTION_VALUE",
                f"must be a number of bytes, got {shown(text)}.",
                "Write for example '512m', '1g' or '1073741824'.",
            )
        value = int(match[1]) << _SIZE_SHIFTS[match[2].lower()]
        if not 1 << 16 <= value <= 1 << 40:
            raise BadValueError(
                "OPTION_RANGE",
                f"must be {self.allowed}, got {shown(text)}.",
                "Write a size within these bounds.",
            )
        return value
