"""KPL aggregates, made: user records packed into one Kinesis record.

Runs on the executors; pure. The inverse of records/kpl.py, which has the format. What is made here
is taken apart by every library that reads the format (KCL, Flink, Lambda's, this source).

A consumer that filters by hash range (KCL does) drops user records whose keys do not belong to the
shard that the aggregate is in. So an aggregate holds keys of one shard, and goes there by an
explicit hash key, the first of the shard.
"""

from __future__ import annotations

import hashlib
from typing import Final

from kinesis_source.model.outgoing import OutRecord

__all__ = ["AGGREGATE_BYTES", "Aggregator"]

AGGREGATE_BYTES: Final = 51_200
"""What the KPL fills by default (AggregationMaxSize): small enough to be sent again."""
_MAGIC: Final = b"\xf3\x89\x9a\xc2"
_PARTITION_KEY: Final = "a"
"""What the KPL itself writes; the explicit hash key decides where it goes."""
_OVERHEAD_BYTES: Final = len(_MAGIC) + 16 + len(_PARTITION_KEY)
_LONGEST_FIELD_BYTES: Final = 12
"""Tag and length in front of a field, at most."""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + _varint(len(content)) + content


class Aggregator:
    """Fills one aggregate after the other for one shard.

    Parameters
    ----------
    first_hash_key : int
        Of the shard.
    most_bytes : int
        Of a Kinesis record, data and partition key.
    """

    def __init__(self, first_hash_key: int, most_bytes: int = AGGREGATE_BYTES) -> None:
        self._hash_key = str(first_hash_key)
        self._most_bytes = most_bytes
        self._start()

    def _start(self) -> None:
        self.records: list[OutRecord] = []
        self._keys: dict[str, int] = {}
        self._hash_keys: dict[str, int] = {}
        self._parts: list[bytes] = []
        self._bytes = _OVERHEAD_BYTES

    def takes(self, record: OutRecord) -> bool:
        """Say whether there is room for a record; an empty aggregate has room for one."""
        return not self.records or self._bytes + self._cost(record) <= self._most_bytes

    def _cost(self, record: OutRecord) -> int:
        cost = len(record.data) + 4 * _LONGEST_FIELD_BYTES
        if record.partition_key not in self._keys:
            cost += len(record.partition_key.encode()) + _LONGEST_FIELD_BYTES
        if record.explicit_hash_key is not None:
            cost += len(record.explicit_hash_key) + _LONGEST_FIELD_BYTES
        return cost

    def add(self, record: OutRecord) -> None:
        """Put a record into the aggregate."""
        self._bytes += self._cost(record)
        self.records.append(record)
        key = self._keys.setdefault(record.partition_key, len(self._keys))
        body = b"\x08" + _varint(key)
        if record.explicit_hash_key is not None:
            at = self._hash_keys.setdefault(record.explicit_hash_key, len(self._hash_keys))
            body += b"\x10" + _varint(at)
        self._parts.append(_field(3, body + _field(3, record.data)))

    def take(self) -> tuple[OutRecord, list[OutRecord]]:
        """Return the aggregate as a record, with what is in it, and begin a new one.

        A single user record is not packed: it would only become larger.
        """
        inside = self.records
        if len(inside) == 1:
            made = inside[0]
        else:
            keys = b"".join(_field(1, key.encode()) for key in self._keys)
            hash_keys = b"".join(_field(2, key.encode()) for key in self._hash_keys)
            body = keys + hash_keys + b"".join(self._parts)
            digest = hashlib.md5(body, usedforsecurity=False).digest()
            made = OutRecord(_MAGIC + body + digest, _PARTITION_KEY, self._hash_key)
        self._start()
        return made, inside
