"""KPL aggregates: many user records that a producer packed into one Kinesis record.

Runs on the executors; pure. The format (aggregation-format.md of amazon-kinesis-producer)::

    F3 89 9A C2 | protobuf AggregatedRecord | MD5 of the protobuf part, 16 bytes

    AggregatedRecord { repeated string partition_key_table = 1;
                       repeated string explicit_hash_key_table = 2;  repeated Record records = 3; }
    Record { required uint64 partition_key_index = 1;  optional uint64 explicit_hash_key_index = 2;
             required bytes data = 3;  repeated Tag tags = 4; }

What is not such a record to the last byte is a user's own data that happens to begin alike, or is
damaged: then it is delivered as it is, never dropped and never an error. That means: magic missing,
digest wrong, protobuf malformed, a required field missing, an index outside its table, a partition
key that is no UTF-8 or that AWS would not take (over 256 characters), a hash key of anything but up
to 39 digits. Unknown fields are skipped; tags are not looked into. A whole aggregate of no records
gives no records: its digest proves that nothing was in it.

A key stands once in an aggregate and in the rows as often as it is used: what a record unfolds to
has a limit (:data:`MAX_UNFOLDED_BYTES`), and is made in pieces. Until then an aggregate is the
record's own bytes and at most twice as many bytes of places in them.

User records are not filtered by the shard's hash range. Amazon's older libraries do so, and lose
what was aggregated before a reshard and lands in a child that owns only some of its hash keys
(amazon-kinesis-client#343, kinesis-aggregation#11). An aggregate is in exactly one shard, so
delivering all of it is exactly once.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable
from typing import Final

__all__ = [
    "AGGREGATE_PREFIX",
    "MAX_UNFOLDED_BYTES",
    "Aggregate",
    "AggregateError",
    "has_aggregates",
    "open_aggregate",
]

AGGREGATE_PREFIX: Final = b"\xf3\x89\x9a\xc2"
"""How each aggregate begins."""
MAX_UNFOLDED_BYTES: Final = 256 * 1024 * 1024
"""Data and partition keys (UTF-8) of all user records in one aggregate.

The most that the format can make of 1 MiB, which is all that producers fill, is 172 MiB: 174,762
user records without data, at six bytes each, with keys of 256 characters of four bytes. Only a
record of up to 10 MiB, made on purpose, is above.
"""
MAX_KEY_CHARACTERS: Final = 256
"""AWS: the longest partition key."""
MAX_HASH_KEY_DIGITS: Final = 39
"""AWS: the longest explicit hash key, a number below 2 to the power of 128."""
_MAX_KEY_BYTES: Final = 4 * MAX_KEY_CHARACTERS
_DIGEST_BYTES: Final = 16
_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
# Tags: field number << 3 | wire type.
_TABLE_KEY: Final = 1 << 3 | _BYTES
_TABLE_HASH_KEY: Final = 2 << 3 | _BYTES
_TABLE_RECORD: Final = 3 << 3 | _BYTES
_RECORD_KEY_INDEX: Final = 1 << 3 | _VARINT
_RECORD_HASH_KEY_INDEX: Final = 2 << 3 | _VARINT
_RECORD_DATA: Final = 3 << 3 | _BYTES


def has_aggregates(data: Iterable[bytes]) -> bool:
    """Say whether any record begins like a KPL aggregate.

    Costs one comparison a record (about 20 ns): text begins below the magic's first byte.
    """
    return any(
        payload.startswith(AGGREGATE_PREFIX) for payload in data if payload >= AGGREGATE_PREFIX
    )


class AggregateError(ValueError):
    """A record with the magic and the right digest that cannot be taken apart; says why."""


class Aggregate:
    """An intact aggregate: places of its user records, which become objects piece by piece.

    Indexes are the user records in the producer's order: the sub-sequence numbers.
    """

    __slots__ = ("_data", "_hash_keys", "_key_indexes", "_key_places", "_last_hash_key", "_places")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._hash_keys = 0
        self._last_hash_key = -1
        self._key_indexes = array("I")
        # Start and stop of each, one after the other: four bytes a number, whatever is in there.
        self._key_places = array("I")
        self._places = array("I")

    def __len__(self) -> int:
        return len(self._key_indexes)

    def rows(self, first: int, stop: int) -> tuple[list[str], list[bytes]]:
        """Return partition keys and payloads of the user records [first, stop)."""
        data, places, key_places = self._data, self._places, self._key_places
        indexes = self._key_indexes[first:stop]
        keys = {
            index: data[key_places[2 * index] : key_places[2 * index + 1]].decode()
            for index in set(indexes)
        }
        inner = places[2 * first : 2 * stop]
        payloads = [data[a:b] for a, b in zip(inner[::2], inner[1::2], strict=True)]
        return [keys[index] for index in indexes], payloads

    def parse(self, position: int, end: int) -> None:
        """Parse the protobuf part; ValueError, IndexError or OverflowError if malformed."""
        data = self._data
        add_key_index, add_places = self._key_indexes.append, self._places.extend
        last_hash_key = -1
        while position < end:
            tag, start, position = _read_field(data, position, end)
            if tag == _TABLE_RECORD:
                key_index, hash_key_index, place = _parse_usual_record(
                    data, start, position
                ) or _parse_record(data, start, position)
                add_key_index(key_index)
                add_places(place)
                if hash_key_index > last_hash_key:  # noqa: PLR1730 - one call less a record
                    last_hash_key = hash_key_index
            elif tag == _TABLE_KEY:
                _check_key(data, start, position)
                self._key_places.extend((start, position))
            elif tag == _TABLE_HASH_KEY:
                _check_hash_key(data, start, position)
                self._hash_keys += 1
        self._last_hash_key = last_hash_key

    def check(self) -> None:
        """Check the whole: protobuf lets the tables come after the records."""
        if max(self._key_indexes, default=-1) >= len(self._key_places) // 2:
            raise AggregateError("a partition key index is outside its table")
        if self._last_hash_key >= self._hash_keys:
            raise AggregateError("an explicit hash key index is outside its table")
        if (unfolded_bytes := self._unfolded_bytes()) > MAX_UNFOLDED_BYTES:
            raise AggregateError(
                f"{len(self)} user records of {unfolded_bytes} bytes in all are over the limit of "
                f"{MAX_UNFOLDED_BYTES} bytes"
            )

    def _unfolded_bytes(self) -> int:
        """Return bytes of all payloads and keys, or any number below the limit."""
        if len(self._data) + len(self) * _MAX_KEY_BYTES <= MAX_UNFOLDED_BYTES:
            return 0
        places, key_places = self._places, self._key_places
        key_bytes = array("I", (b - a for a, b in _pairs(key_places)))
        return sum(b - a for a, b in _pairs(places)) + sum(
            key_bytes[index] for index in self._key_indexes
        )


def open_aggregate(data: bytes) -> Aggregate | None:
    """Take one Kinesis record's data apart.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Aggregate or None
        None if the data has not the magic and the digest of an aggregate.

    Raises
    ------
    AggregateError
        It has both, and yet is no aggregate, or unfolds to more than may be. Like None, it is to be
        taken as it is; other than None, its producer meant an aggregate.
    """
    end = len(data) - _DIGEST_BYTES
    if end < len(AGGREGATE_PREFIX) or not data.startswith(AGGREGATE_PREFIX):
        return None
    view = memoryview(data)
    # A checksum, not a safeguard: must work where the system forbids MD5 for security (FIPS).
    if hashlib.md5(view[len(AGGREGATE_PREFIX) : end], usedforsecurity=False).digest() != view[end:]:
        return None
    aggregate = Aggregate(data)
    try:
        aggregate.parse(len(AGGREGATE_PREFIX), end)
        aggregate.check()
    except AggregateError:
        raise
    except (ValueError, IndexError, OverflowError):
        # Their texts may quote the data.
        raise AggregateError("its protobuf part is malformed") from None
    return aggregate


def _pairs(places: array[int]) -> Iterable[tuple[int, int]]:
    return zip(places[::2], places[1::2], strict=True)


def _check_key(data: bytes, start: int, stop: int) -> None:
    size_bytes = stop - start
    if size_bytes > _MAX_KEY_BYTES or len(data[start:stop].decode()) > MAX_KEY_CHARACTERS:
        raise AggregateError(
            f"a partition key of {size_bytes} bytes has more than {MAX_KEY_CHARACTERS} characters"
        )


def _check_hash_key(data: bytes, start: int, stop: int) -> None:
    digits = data[start : min(stop, start + MAX_HASH_KEY_DIGITS + 1)]
    # An empty one is what protobuf makes of none.
    if len(digits) > MAX_HASH_KEY_DIGITS or (digits and not digits.isdigit()):
        raise AggregateError(
            f"an explicit hash key of {stop - start} bytes is not up to {MAX_HASH_KEY_DIGITS} "
            "digits"
        )


def _parse_usual_record(
    data: bytes, position: int, end: int
) -> tuple[int, int, tuple[int, int]] | None:
    """Parse the layout that producers write; None: another one, or malformed.

    Fields in order, indexes under 128, payload under 16 KiB: saves a third of all the time. At
    most seven bytes are read before the last line knows whether they belong to the record, and the
    digest behind the last record is longer than that.
    """
    key_index, hash_key_index = data[position + 1], -1
    if data[position] != _RECORD_KEY_INDEX or key_index >= 0x80:
        return None
    position += 2
    if data[position] == _RECORD_HASH_KEY_INDEX:
        hash_key_index = data[position + 1]
        if hash_key_index >= 0x80:
            return None
        position += 2
    size, start = data[position + 1], position + 2
    if size >= 0x80:
        high = data[start]
        if high >= 0x80:
            return None
        size, start = size - 0x80 + (high << 7), start + 1
    if data[position] != _RECORD_DATA or start + size != end:
        return None
    return key_index, hash_key_index, (start, end)


def _parse_record(data: bytes, position: int, end: int) -> tuple[int, int, tuple[int, int]]:
    """Return partition key index, explicit hash key index (-1: none) and place of the payload."""
    key_index = hash_key_index = -1
    place: tuple[int, int] | None = None
    while position < end:
        tag, start, position = _read_field(data, position, end)
        if tag == _RECORD_DATA:
            place = start, position
        elif tag == _RECORD_KEY_INDEX:
            key_index = _read_varint(data, start)[0]
        elif tag == _RECORD_HASH_KEY_INDEX:
            hash_key_index = _read_varint(data, start)[0]
    if key_index < 0 or place is None:
        raise ValueError("required field missing")
    return key_index, hash_key_index, place


def _read_field(data: bytes, position: int, end: int) -> tuple[int, int, int]:
    """Return the tag of the field at a position, where its value starts and where it stops."""
    tag = data[position]
    position += 1
    if tag >= 0x80:
        tag, position = _read_varint(data, position - 1)
    wire_type = tag & 7
    start = position
    if wire_type == _BYTES:
        size = data[position]
        start = position + 1
        if size >= 0x80:
            size, start = _read_varint(data, position)
        stop = start + size
    elif wire_type == _VARINT:
        stop = position + 1 if data[position] < 0x80 else _read_varint(data, position)[1]
    else:
        stop = _skip_rare(data, tag, position, end)
    if stop > end or tag < 8:
        raise ValueError("malformed field")
    return tag, start, stop


def _skip_rare(data: bytes, tag: int, position: int, end: int) -> int:
    """Return where a value stops whose wire type the format itself never uses."""
    wire_type = tag & 7
    if wire_type == _FIXED64:
        return position + 8
    if wire_type == _FIXED32:
        return position + 4
    if wire_type != _GROUP:
        raise ValueError("wire type unknown, or the end of a group that never began")
    group_end = tag - _GROUP + _GROUP_END
    open_groups = [group_end]
    while open_groups:
        # Groups are walked with a list, not by recursion: their depth is the producer's choice.
        inner, after = _read_varint(data, position)
        if inner == open_groups[-1]:
            open_groups.pop()
            position = after
        elif inner & 7 == _GROUP:
            open_groups.append(inner - _GROUP + _GROUP_END)
            position = after
        else:
            position = _read_field(data, position, end)[2]
    return position


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("varint of more than ten bytes")
