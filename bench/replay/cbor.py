"""As much CBOR as requests and replies of Kinesis need (``application/x-amz-cbor-1.1``).

A timestamp travels as tag 1 with a whole number of milliseconds, as AWS's SDK for Java writes it.
"""

from __future__ import annotations

import struct
from typing import Any, Final

__all__ = ["Moment", "decode", "encode", "head", "text"]

_FORMS: Final = ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q"))
_BREAK: Final = object()


class Moment(float):
    """Seconds since 1970: a number in JSON, a tagged one in CBOR."""


def head(major: int, number: int) -> bytes:
    """Return the first bytes of an item: its kind, and its value or length."""
    if number < 24:
        return bytes([major << 5 | number])
    for extra, form in _FORMS:
        if number < 1 << 8 * struct.calcsize(form):
            return bytes([major << 5 | extra]) + struct.pack(form, number)
    raise ValueError(f"{number} needs more than 64 bits")


def text(value: str) -> bytes:
    """Return a text."""
    coded = value.encode()
    return head(3, len(coded)) + coded


def encode(value: Any) -> bytes:
    """Return dicts, lists, texts, whole numbers, moments and None as CBOR."""
    if value is None:
        return b"\xf6"
    if isinstance(value, Moment):
        return head(6, 1) + head(0, round(value * 1000))
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        items = [text(key) + encode(item) for key, item in value.items()]
        return head(5, len(items)) + b"".join(items)
    return head(4, len(value)) + b"".join(map(encode, value))


def decode(body: bytes) -> Any:
    """Return the value of a request's body; tag 1 becomes seconds."""
    return _Reader(body).value()


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def value(self) -> Any:
        first = self._body[self._at]
        self._at += 1
        major, extra = first >> 5, first & 31
        if major == 7:
            return self._simple(extra)
        if extra == 31:
            return self._open_ended(major)
        number = extra if extra < 24 else self._unpack(dict(_FORMS)[extra])
        return self._sized(major, number)

    def _sized(self, major: int, number: int) -> Any:
        if major < 2:
            return number if major == 0 else -1 - number
        if major == 2:
            return self._take(number)
        if major == 3:
            return self._take(number).decode()
        if major == 4:
            return [self.value() for _ in range(number)]
        if major == 5:
            return {self.value(): self.value() for _ in range(number)}
        tagged = self.value()
        return tagged / 1000 if number == 1 and isinstance(tagged, int) else tagged

    def _open_ended(self, major: int) -> Any:
        items = []
        while (item := self.value()) is not _BREAK:
            items.append(item)
        if major == 5:
            return dict(zip(items[::2], items[1::2], strict=True))
        if major in {2, 3}:
            return (b"" if major == 2 else "").join(items)
        return items

    def _simple(self, extra: int) -> Any:
        if extra == 31:
            return _BREAK
        if extra in {25, 26, 27}:
            return self._unpack({25: ">e", 26: ">f", 27: ">d"}[extra])
        return {20: False, 21: True}.get(extra)

    def _unpack(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _take(self, size: int) -> bytes:
        piece = self._body[self._at : self._at + size]
        self._at += size
        return piece
