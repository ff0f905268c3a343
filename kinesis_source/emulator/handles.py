"""Python handles on accounts and streams: what tests use beside the AWS API.

They act on the store directly, with no permission checks and no limits.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import snapshot
from .iam import ALLOW_ALL, Grant, Iam, Role, User
from .ops_shards import rescale
from .shards import Shard
from .store import Store
from .streams import Put, Stream

DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True)
class StreamHandle:
    """A stream to put into, reshard and look at."""

    _store: Store = field(repr=False)
    _stream: Stream = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the stream."""
        return self._stream.name

    @property
    def arn(self) -> str:
        """ARN of the stream."""
        return self._stream.arn

    def put(self, data: bytes, partition_key: str, explicit_hash_key: str | None = None) -> str:
        """Put one record; return its sequence number."""
        return self.put_many([(data, partition_key)], explicit_hash_key)[0]

    def put_many(
        self, records: Iterable[tuple[bytes, str]], explicit_hash_key: str | None = None
    ) -> list[str]:
        """Put (data, partition key) pairs in order; return their sequence numbers."""
        puts = []
        for data, key in records:
            text = base64.b64encode(data).decode("ascii")
            put = Put(text, key, explicit_hash_key, len(data) + len(key.encode()))
            puts.append((put, put.hash_key()))
        return [sequence for _, sequence in self._stream.put(puts, self._store.now_ms())]

    def records(self, shard_id: str | None = None) -> list[dict[str, Any]]:
        """Return what is stored, of one shard or of all, in sequence-number order."""
        now_ms = self._store.now_ms()
        with self._stream.lock:
            shards = [s for s in self._stream.shards(now_ms) if shard_id in {None, s.shard_id}]
            found = [r for s in shards for r in s.page(s.horizon, s.end, 2**62)[0]]
        return [r.to_dict() for r in sorted(found, key=lambda r: r.sequence_number)]

    def shards(self) -> list[dict[str, Any]]:
        """Return the shards within retention, as the API describes them."""
        return [shard.describe() for shard in self._stream.shards(self._store.now_ms())]

    def open_shard_ids(self) -> list[str]:
        """Return the ids of the open shards in the order of their hash ranges."""
        return [shard.shard_id for shard in self._stream.open_shards()]

    def split(self, shard_id: str) -> list[str]:
        """Split a shard in the middle; return the ids of its children."""
        shard = self._open(shard_id)
        middle = (shard.start_hash + shard.end_hash + 1) // 2
        children = self._stream.split(shard, middle, self._store.now_ms())
        return [child.shard_id for child in children]

    def merge(self, first_id: str, second_id: str) -> str:
        """Merge two neighbours; return the id of their child."""
        first, second = self._open(first_id), self._open(second_id)
        low, high = sorted((first, second), key=lambda s: s.start_hash)
        if low.end_hash + 1 != high.start_hash:
            raise ValueError(f"Shards {first_id} and {second_id} are not neighbours.")
        return self._stream.merge(first, second, self._store.now_ms()).shard_id

    def rescale(self, shard_count: int) -> list[str]:
        """Reshard to `shard_count` equal shards, by any factor; return the open shards' ids."""
        with self._stream.lock:
            rescale(self._stream, shard_count, self._store.now_ms())
        return self.open_shard_ids()

    def snapshot(self) -> dict[str, Any]:
        """Return the stream as JSON values for `AccountHandle.load_stream`; see `snapshot`."""
        return snapshot.take(self._stream, self._store.now_ms())

    def delete(self) -> None:
        """Delete the stream."""
        self._store.delete(self._stream)

    def _open(self, shard_id: str) -> Shard:
        for shard in self._stream.open_shards():
            if shard.shard_id == shard_id:
                return shard
        raise ValueError(f"Shard {shard_id} is not an open shard of stream {self.name}.")


@dataclass(frozen=True)
class AccountHandle:
    """An account: its users, roles and streams."""

    account_id: str
    _store: Store = field(repr=False)
    _iam: Iam = field(repr=False)

    def create_user(self, name: str, *, allow: Iterable[Grant] = ALLOW_ALL) -> User:
        """Create a user; the value has `.arn`, `.access_key` and `.secret_key`."""
        return self._iam.create_user(self.account_id, name, allow)

    def create_role(
        self,
        name: str,
        *,
        trusts: Iterable[str],
        external_id: str | None = None,
        allow: Iterable[Grant] = ALLOW_ALL,
        max_session_s: int = 3600,
    ) -> Role:
        """Create a role that the principals in `trusts` may assume; it has `.arn`."""
        return self._iam.create_role(
            self.account_id, name, trusts, allow, external_id, max_session_s
        )

    def create_stream(
        self,
        name: str,
        *,
        shards: int = 1,
        region: str = DEFAULT_REGION,
        mode: str = "PROVISIONED",
    ) -> StreamHandle:
        """Create a stream."""
        stream = self._store.create(self.account_id, region, name, shards, mode)
        return StreamHandle(self._store, stream)

    def load_stream(
        self, taken: Mapping[str, Any], *, region: str = DEFAULT_REGION
    ) -> StreamHandle:
        """Create a stream from a snapshot: the same shards, numbers and times."""
        stream = snapshot.load(self._store, self.account_id, region, taken)
        return StreamHandle(self._store, stream)

    def stream(self, name: str, *, region: str = DEFAULT_REGION) -> StreamHandle:
        """Return a stream that exists."""
        return StreamHandle(self._store, self._store.find(self.account_id, region, name))

    def streams(self, *, region: str = DEFAULT_REGION) -> list[str]:
        """Return the names of the account's streams in a region."""
        return [s.name for s in self._store.of_account(self.account_id, region)]
