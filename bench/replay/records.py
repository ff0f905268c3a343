"""The records of a replayed shard, rendered once, as any page of them is sent.

All fields have fixed widths, so record i is row i of one buffer for each wire format, and the
records [i, j) are one slice of it. JSON rows end with the comma that parts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pybase64

from bench.replay.cbor import head, text
from bench.replay.settings import ReplaySettings

__all__ = ["KEY_BYTES", "RecordBuffer", "arrival_times_ms", "payload_chunks", "sequence_number"]

_Bytes = npt.NDArray[np.uint8]
_Numbers = npt.NDArray[np.int64]
_RowMaker = Callable[[_Numbers, _Numbers, _Bytes], "list[bytes | _Bytes]"]

# Sequence numbers of AWS have 56 digits; the upper ones stay the same here.
_SEQUENCE_PREFIX: Final = "49671234567890123456789012345678901234"
_SEQUENCE_DIGITS: Final = 18
_SEQUENCE_BASE: Final = 100_000_000_000_000_018
_SEQUENCE_STEP: Final = 7_919_116
FIRST_SEQUENCE: Final = int(_SEQUENCE_PREFIX) * 10**_SEQUENCE_DIGITS + _SEQUENCE_BASE
_KEY_PREFIX: Final = b"customer-"
_KEY_DIGITS: Final = 7
_KEYS: Final = 9_999_991
KEY_BYTES: Final = len(_KEY_PREFIX) + _KEY_DIGITS
_CHUNK_BYTES: Final = 8 * 1024 * 1024
_SEED: Final = 20260101


def sequence_number(index: int) -> int:
    """Return the sequence number of a record."""
    return FIRST_SEQUENCE + index * _SEQUENCE_STEP


def index_of_sequence(number: int, *, after: bool) -> int:
    """Return the index of the first record at (or after) a sequence number."""
    steps, rest = divmod(number - FIRST_SEQUENCE, _SEQUENCE_STEP)
    return max(0, steps + (1 if after or rest else 0))


def arrival_times_ms(settings: ReplaySettings) -> npt.NDArray[np.int64]:
    """Return the arrival time of each record, rising."""
    if settings.ends_at_ms is None:
        raise ValueError("ends_at_ms is not resolved yet")
    back = np.arange(settings.records_per_shard - 1, -1, -1, dtype=np.float64)
    back_ms = np.round(back * (1000 / settings.records_per_s)).astype(np.int64)
    return settings.ends_at_ms - back_ms


def payload_chunks(settings: ReplaySettings) -> Iterator[_Bytes]:
    """Yield the records' data, some rows of ``record_bytes`` at a time; the same on each call."""
    generator = np.random.default_rng(_SEED)
    rows = max(1, _CHUNK_BYTES // settings.record_bytes)
    for first in range(0, settings.records_per_shard, rows):
        count = min(rows, settings.records_per_shard - first)
        data = generator.bytes(count * settings.record_bytes)
        yield np.frombuffer(data, np.uint8).reshape(count, settings.record_bytes)


class RecordBuffer:
    """All records of a shard in both wire formats.

    Parameters
    ----------
    settings : ReplaySettings
        With ``ends_at_ms``.
    """

    def __init__(self, settings: ReplaySettings) -> None:
        self.arrival_ms = arrival_times_ms(settings)
        self.record_bytes = settings.record_bytes + KEY_BYTES
        self._json, self._json_width = self._render(settings, _json_row)
        self._cbor, self._cbor_width = self._render(settings, _cbor_row)

    def __len__(self) -> int:
        return len(self.arrival_ms)

    def json(self, start: int, stop: int) -> memoryview:
        """Return records as the members of a JSON array."""
        return self._json[start * self._json_width : stop * self._json_width - 1]

    def cbor(self, start: int, stop: int) -> memoryview:
        """Return records as the items of a CBOR array."""
        return self._cbor[start * self._cbor_width : stop * self._cbor_width]

    def visible_at(self, now_ms: int) -> int:
        """Return how many records have arrived by a moment."""
        return int(np.searchsorted(self.arrival_ms, now_ms, side="right"))

    def index_at(self, moment_ms: int) -> int:
        """Return the index of the first record that arrived at a moment or later."""
        return int(np.searchsorted(self.arrival_ms, moment_ms, side="left"))

    def _render(self, settings: ReplaySettings, row: _RowMaker) -> tuple[memoryview, int]:
        buffer: _Bytes | None = None
        first = 0
        for data in payload_chunks(settings):
            stop = first + len(data)
            parts = row(np.arange(first, stop, dtype=np.int64), self.arrival_ms[first:stop], data)
            width = sum(len(p) if isinstance(p, bytes) else p.shape[1] for p in parts)
            if buffer is None:
                buffer = np.empty((settings.records_per_shard, width), np.uint8)
            _fill(buffer[first:stop], parts)
            first = stop
        if buffer is None:
            return memoryview(b""), 0
        return memoryview(buffer.reshape(-1).data), buffer.shape[1]


def _json_row(index: _Numbers, arrival_ms: _Numbers, data: _Bytes) -> list[bytes | _Bytes]:
    moment = _digits(arrival_ms, 13)
    return [
        b'{"SequenceNumber":"',
        _SEQUENCE_PREFIX.encode(),
        _digits(_SEQUENCE_BASE + index * _SEQUENCE_STEP, _SEQUENCE_DIGITS),
        # Seconds as AWS writes them: 1.767225600123E9.
        b'","ApproximateArrivalTimestamp":',
        moment[:, :1],
        b".",
        moment[:, 1:],
        b'E9,"Data":"',
        _base64(data),
        b'","PartitionKey":"',
        *_key(index),
        b'"},',
    ]


def _cbor_row(index: _Numbers, arrival_ms: _Numbers, data: _Bytes) -> list[bytes | _Bytes]:
    digits = len(_SEQUENCE_PREFIX) + _SEQUENCE_DIGITS
    return [
        head(5, 4),
        text("SequenceNumber"),
        head(3, digits),
        _SEQUENCE_PREFIX.encode(),
        _digits(_SEQUENCE_BASE + index * _SEQUENCE_STEP, _SEQUENCE_DIGITS),
        text("ApproximateArrivalTimestamp"),
        b"\xc1\x1b",  # tag 1, then a whole number of 64 bits: ms since 1970
        arrival_ms.astype(">i8").view(np.uint8).reshape(-1, 8),
        text("Data"),
        head(2, data.shape[1]),
        data,
        text("PartitionKey"),
        head(3, KEY_BYTES),
        *_key(index),
    ]


def _key(index: _Numbers) -> list[bytes | _Bytes]:
    return [_KEY_PREFIX, _digits(index * 7_368_787 % _KEYS, _KEY_DIGITS)]


def _fill(rows: _Bytes, parts: list[bytes | _Bytes]) -> None:
    column = 0
    for part in parts:
        cells = np.frombuffer(part, np.uint8) if isinstance(part, bytes) else part
        width = cells.shape[-1]
        rows[:, column : column + width] = cells
        column += width


def _digits(numbers: _Numbers, width: int) -> _Bytes:
    """Return numbers as rows of decimal digits."""
    shown = np.empty((len(numbers), width), np.uint8)
    rest = numbers.copy()
    for column in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        shown[:, column] = digit + ord("0")
    return shown


def _base64(data: _Bytes) -> _Bytes:
    """Return each row in base64, made in one call for all rows."""
    rows, width = data.shape
    missing = -width % 3
    if missing:
        data = np.pad(data, ((0, 0), (0, missing)))
    coded = np.frombuffer(bytearray(pybase64.b64encode(data.tobytes())), np.uint8)
    coded = coded.reshape(rows, -1)
    if missing:
        coded[:, -missing:] = ord("=")
    return coded
