"""OutRecord: a record on its way into a stream. A pure value, on executors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

__all__ = ["OutRecord", "PutOutcome"]


@dataclass(slots=True)
class OutRecord:
    """A record to put.

    Parameters
    ----------
    data : bytes
    partition_key : str
        1 to 256 characters.
    explicit_hash_key : str or None
        Decimal digits, below 2**128; None: the MD5 of the partition key.
    """

    data: bytes
    partition_key: str
    explicit_hash_key: str | None = None

    @property
    def hash_key(self) -> int:
        """Where it falls among the shards' hash ranges (PutRecord, API reference)."""
        if self.explicit_hash_key is not None:
            return int(self.explicit_hash_key)
        digest = hashlib.md5(self.partition_key.encode(), usedforsecurity=False).digest()
        return int.from_bytes(digest, "big")

    @property
    def size_bytes(self) -> int:
        """What AWS counts: data and partition key."""
        key = self.partition_key
        return len(self.data) + (len(key) if key.isascii() else len(key.encode()))


@dataclass(frozen=True, slots=True)
class PutOutcome:
    """What became of one record of a PutRecords call.

    Parameters
    ----------
    shard_id : str or None
        None: rejected.
    error_code : str or None
        ProvisionedThroughputExceededException or InternalFailure; None: accepted.
    error_message : str
    """

    shard_id: str | None
    error_code: str | None = None
    error_message: str = ""
