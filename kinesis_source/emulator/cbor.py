"""CBOR as Amazon Kinesis uses it (`application/x-amz-cbor-1.1`, spoken by the AWS SDK for Java).

RFC 8949 without floats of 16 bits in replies and without tags other than 1. A timestamp travels as
tag 1 with an integer of epoch milliseconds, which is what the SDK reads and writes.
"""

import struct
from typing import Any

from .streams import Timestamp

_BREAK = object()
_WIDTHS = {24: "B", 25: "H", 26: "I", 27: "Q"}


def encode(value: Any) -> bytes:
    """Return a JSON-like value (with bytes and Timestamp) as CBOR."""
    out = bytearray()
    _write(out, value)
    return bytes(out)


def _write(out: bytearray, value: Any) -> None:
    if value is None or isinstance(value, bool):
        out.append({None: 0xF6, False: 0xF4, True: 0xF5}[value])
    elif isinstance(value, int):
        _head(out, 0 if value >= 0 else 1, value if value >= 0 else -1 - value)
    elif isinstance(value, Timestamp):
        _head(out, 6, 1)
        _write(out, round(value * 1000))
    elif isinstance(value, float):
        out.append(0xFB)
        out += struct.pack(">d", value)
    elif isinstance(value, bytes):
        _head(out, 2, len(value))
        out += value
    elif isinstance(value, str):
        text = value.encode()
        _head(out, 3, len(text))
        out += text
    elif isinstance(value, dict):
        _head(out, 5, len(value))
        for key, item in value.items():
            _write(out, str(key))
            _write(out, item)
    else:
        items = list(value)
        _head(out, 4, len(items))
        for item in items:
            _write(out, item)


def _head(out: bytearray, major: int, number: int) -> None:
    if number < 24:
        out.append(major << 5 | number)
        return
    for extra, code in _WIDTHS.items():
        if number < 1 << (8 * struct.calcsize(code)):
            out.append(major << 5 | extra)
            out += struct.pack(f">{code}", number)
            return
    raise ValueError(f"{number} does not fit into 64 bits.")


def decode(data: bytes) -> Any:
    """Return the value of one CBOR document; ValueError when it is none."""
    reader = _Reader(data)
    try:
        value = reader.value()
    except (LookupError, struct.error, UnicodeDecodeError, TypeError) as error:
        raise ValueError("The body is not CBOR.") from error
    if value is _BREAK or not reader.at_end():
        raise ValueError("The body is not one CBOR document.")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def at_end(self) -> bool:
        return self._at == len(self._data)

    def value(self) -> Any:
        first = self._data[self._at]
        self._at += 1
        major, extra = first >> 5, first & 31
        if major == 7:
            return self._simple(extra)
        number = None if extra == 31 else self._number(extra)
        if major < 2:
            if number is None:
                raise ValueError("The body is not CBOR.")
            return number if major == 0 else -1 - number
        readers = {2: self._chunks, 3: self._text, 4: self._array, 5: self._map, 6: self._tag}
        return readers[major](number)

    def _simple(self, extra: int) -> Any:
        known = {20: False, 21: True, 22: None, 23: None, 31: _BREAK}
        if extra in known:
            return known[extra]
        code = {25: ">e", 26: ">f", 27: ">d"}[extra]
        (number,) = struct.unpack(code, self._take(struct.calcsize(code)))
        return number

    def _number(self, extra: int) -> int:
        if extra < 24:
            return extra
        code = f">{_WIDTHS[extra]}"
        (number,) = struct.unpack(code, self._take(struct.calcsize(code)))
        return int(number)

    def _take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if len(piece) < size:
            raise ValueError("The body is cut short.")
        self._at += size
        return piece

    def _chunks(self, size: int | None) -> bytes:
        return self._take(size) if size is not None else b"".join(self._until_break())

    def _text(self, size: int | None) -> str:
        if size is None:
            return "".join(self._until_break())
        return self._take(size).decode()

    def _array(self, size: int | None) -> list[Any]:
        return self._until_break() if size is None else [self.value() for _ in range(size)]

    def _map(self, size: int | None) -> dict[str, Any]:
        if size is None:
            flat = self._until_break()
            return dict(zip(flat[::2], flat[1::2], strict=True))
        return {self.value(): self.value() for _ in range(size)}

    def _tag(self, number: int | None) -> Any:
        value = self.value()
        # SDKs for Java send integers of milliseconds; RFC 8949 floats are seconds.
        if number == 1 and isinstance(value, int):
            return value / 1000
        return value

    def _until_break(self) -> list[Any]:
        items = []
        while (item := self.value()) is not _BREAK:
            items.append(item)
        return items
