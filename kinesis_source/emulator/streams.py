"""One stream: routing of puts, sequence numbers, resharding, retention and status.

Thread-safe: every public method takes the stream's lock. Times come in as epoch milliseconds; the
stream has no clock of its own.

Sequence numbers are 56 decimal digits: ``49``, the stream's incarnation (8 digits, so a stream that
was deleted and re-created never repeats one), the time in ms (14), a counter with gaps (26) and the
shard's index (6). They rise strictly over all puts of the stream, and so within each shard.
"""

import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from hashlib import md5
from typing import Any, NamedTuple

from .errors import AwsError, invalid_argument, not_found
from .shards import MAX_HASH_KEY, Record, Shard

HOUR_MS = 3_600_000
DEFAULT_RETENTION_HOURS = 24
DEFAULT_MAX_RECORD_KIB = 1024
HASH_KEY = re.compile(r"0|[1-9]\d{0,38}", re.ASCII)

ArrivalHook = Callable[[str, str, int], int]
"""(stream name, shard id, clock in ms) -> the arrival time in ms that readers will see."""


class Put(NamedTuple):
    """A record on its way in; `data_text` is base64, `size_bytes` counts data and key."""

    data_text: str
    partition_key: str
    explicit_hash_key: str | None
    size_bytes: int

    def hash_key(self) -> int:
        """Return the 128-bit key that picks the shard (MD5 of the partition key by default)."""
        if self.explicit_hash_key is None:
            digest = md5(self.partition_key.encode(), usedforsecurity=False).digest()
            return int.from_bytes(digest, "big")
        if not HASH_KEY.fullmatch(self.explicit_hash_key) or (
            int(self.explicit_hash_key) > MAX_HASH_KEY
        ):
            raise invalid_argument(
                f"Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. "
                f"Specified value was {self.explicit_hash_key}"
            )
        return int(self.explicit_hash_key)


class Stream:
    """A stream of one account and region."""

    def __init__(  # noqa: PLR0913 - what CreateStream asks for, plus the identity
        self,
        name: str,
        account_id: str,
        arn: str,
        incarnation: int,
        shard_count: int,
        created_ms: int,
        *,
        mode: str = "PROVISIONED",
        delay_ms: int = 0,
    ) -> None:
        self.lock = threading.RLock()
        self.name = name
        self.account_id = account_id
        self.arn = arn
        self.incarnation = incarnation
        self.mode = mode
        self.created_ms = created_ms
        self.retention_hours = DEFAULT_RETENTION_HOURS
        self.max_record_kib = DEFAULT_MAX_RECORD_KIB
        self.tags: dict[str, str] = {}
        self.shard_count_updates_ms: list[int] = []
        self.arrival_hook: ArrivalHook | None = None
        self._delay_ms = delay_ms
        self._busy = ("CREATING", created_ms + delay_ms)
        self._deleted_ms: int | None = None
        self._floor_ms = 0
        self._counter = 0
        self._latest_ms = created_ms
        self._base = 49 * 10**54 + incarnation * 10**46
        self._shards: list[Shard] = []
        step = (MAX_HASH_KEY + 1) // shard_count
        for n in range(shard_count):
            last = MAX_HASH_KEY if n == shard_count - 1 else (n + 1) * step - 1
            self._open_shard(n * step, last, created_ms)
        self._reroute()

    # -- status -------------------------------------------------------------------------------

    def status(self, now_ms: int) -> str:
        """Return CREATING, UPDATING, DELETING or ACTIVE."""
        if self._deleted_ms is not None:
            return "DELETING"
        word, until_ms = self._busy
        return word if now_ms < until_ms else "ACTIVE"

    def mark_deleted(self, now_ms: int) -> None:
        """Begin to delete; `is_gone` tells when it is over."""
        self._deleted_ms = now_ms

    def is_gone(self, now_ms: int) -> bool:
        """Whether a deleted stream has left the account."""
        return self._deleted_ms is not None and now_ms >= self._deleted_ms + self._delay_ms

    def require_data(self, now_ms: int) -> None:
        """Refuse reads and writes of a stream that is not there yet or on its way out."""
        if self.status(now_ms) not in {"ACTIVE", "UPDATING"}:
            raise not_found(f"Stream {self.name} under account {self.account_id} not found.")

    def require_active(self, now_ms: int) -> None:
        """Refuse a change while another is under way."""
        status = self.status(now_ms)
        if status != "ACTIVE":
            raise AwsError(
                "ResourceInUseException",
                f"Stream {self.name} under account {self.account_id} not ACTIVE, "
                f"instead in state {status}",
            )

    def set_updating(self, now_ms: int) -> None:
        """Show UPDATING for the configured delay; the change itself is already done."""
        self._busy = ("UPDATING", now_ms + self._delay_ms)

    # -- puts ---------------------------------------------------------------------------------

    def put(self, puts: Iterable[tuple[Put, int]], now_ms: int) -> list[tuple[str, str]]:
        """Store records with their hash keys, in order, as one step.

        Returns
        -------
        list of (str, str)
            Shard id and sequence number of each record.
        """
        with self.lock:
            return [self._append(put, self.route(key), now_ms) for put, key in puts]

    def route(self, hash_key: int) -> Shard:
        """Return the open shard that owns a hash key."""
        with self.lock:
            return self._routes[bisect_right(self._route_starts, hash_key) - 1]

    def _append(self, put: Put, shard: Shard, now_ms: int) -> tuple[str, str]:
        sequence = self._next_sequence(shard.index, now_ms)
        arrival_ms = now_ms
        if self.arrival_hook is not None:
            arrival_ms = self.arrival_hook(self.name, shard.shard_id, now_ms)
        record = Record.make(
            sequence, self._latest_ms, arrival_ms, put.partition_key, put.data_text
        )
        shard.append(record)
        return shard.shard_id, str(sequence)

    def _next_sequence(self, shard_index: int, now_ms: int) -> int:
        # A clock set back must not turn sequence numbers back.
        self._latest_ms = max(self._latest_ms, now_ms)
        self._counter += 1 + self._counter % 3
        return self._base + self._latest_ms * 10**32 + self._counter * 10**6 + shard_index

    # -- shards -------------------------------------------------------------------------------

    def horizon_ms(self, now_ms: int) -> int:
        """Return the time before which records are gone."""
        return max(now_ms - self.retention_hours * HOUR_MS, self._floor_ms)

    def shards(self, now_ms: int) -> list[Shard]:
        """Return the shards within retention, by id, trimmed as of now."""
        with self.lock:
            horizon = self.horizon_ms(now_ms)
            # An expired shard leaves the list; its ids and children stay known to its relatives.
            self._shards = [
                s for s in self._shards if s.closed_ms is None or s.closed_ms >= horizon
            ]
            for shard in self._shards:
                shard.trim(horizon)
            return list(self._shards)

    def open_shards(self) -> list[Shard]:
        """Return the open shards in the order of their hash ranges."""
        with self.lock:
            return list(self._routes)

    def shard(self, shard_id: str, now_ms: int) -> Shard:
        """Return one shard within retention, trimmed; otherwise ResourceNotFoundException."""
        with self.lock:
            horizon = self.horizon_ms(now_ms)
            for shard in self._candidates(shard_id):
                if shard.shard_id == shard_id and (
                    shard.closed_ms is None or shard.closed_ms >= horizon
                ):
                    shard.trim(horizon)
                    return shard
        raise not_found(
            f"Could not find shard {shard_id} in stream {self.name} "
            f"under account {self.account_id}."
        )

    def _candidates(self, shard_id: str) -> list[Shard]:
        # Nothing expired yet: a shard stands at its own index.
        number = shard_id.rpartition("-")[2]
        # Python refuses to read a number of more than 4,300 digits.
        if len(number) <= 20 and number.isdecimal() and int(number) < len(self._shards):
            guess = self._shards[int(number)]
            if guess.shard_id == shard_id:
                return [guess]
        return self._shards

    def last_sequence(self) -> int:
        """Return a number no smaller than any sequence number given out so far."""
        with self.lock:
            return self._base + self._latest_ms * 10**32 + (self._counter + 1) * 10**6

    def split(self, parent: Shard, middle: int, now_ms: int) -> list[Shard]:
        """Close a shard and open its two children, the lower one first."""
        with self.lock:
            when_ms = self._close([parent], now_ms)
            low = self._open_shard(parent.start_hash, middle - 1, when_ms, parent)
            high = self._open_shard(middle, parent.end_hash, when_ms, parent)
            parent.child_ids = [low.shard_id, high.shard_id]
            self._reroute()
            return [low, high]

    def merge(self, first: Shard, second: Shard, now_ms: int) -> Shard:
        """Close two neighbours and open their child."""
        with self.lock:
            when_ms = self._close([first, second], now_ms)
            low = min(first.start_hash, second.start_hash)
            child = self._open_shard(
                low, max(first.end_hash, second.end_hash), when_ms, first, second
            )
            for parent in (first, second):
                parent.child_ids = [child.shard_id]
            self._reroute()
            return child

    def find_any(self, shard_id: str) -> Shard | None:
        """Return a shard the stream still remembers, or None."""
        with self.lock:
            return next((s for s in self._candidates(shard_id) if s.shard_id == shard_id), None)

    def change_retention(self, hours: int, now_ms: int) -> None:
        """Set the retention; what is gone by the old one never comes back."""
        with self.lock:
            self._floor_ms = self.horizon_ms(now_ms)
            self.retention_hours = hours
            self.set_updating(now_ms)

    def _close(self, parents: list[Shard], now_ms: int) -> int:
        # Strictly after the parents opened, so that lineage has an order in time even when the
        # clock stands still.
        when_ms = max(now_ms, *(p.opened_ms + 1 for p in parents))
        for parent in parents:
            parent.end_sequence = self._next_sequence(parent.index, now_ms)
            parent.closed_ms = when_ms
        return when_ms

    def _open_shard(self, low: int, high: int, opened_ms: int, *parents: Shard) -> Shard:
        index = self._shard_total
        self._shard_total += 1
        ids: list[str | None] = [p.shard_id for p in parents]
        ids += [None, None]
        shard = Shard(
            index,
            low,
            high,
            self._next_sequence(index, opened_ms),
            opened_ms,
            parent_id=ids[0],
            adjacent_parent_id=ids[1],
        )
        self._shards.append(shard)
        return shard

    _shard_total = 0
    _routes: list[Shard]
    _route_starts: list[int]

    def _reroute(self) -> None:
        self._routes = sorted((s for s in self._shards if s.is_open), key=lambda s: s.start_hash)
        self._route_starts = [s.start_hash for s in self._routes]

    # -- snapshots ------------------------------------------------------------------------------

    def state(self) -> dict[str, int]:
        """Return what decides the numbers and times to come; see `snapshot`."""
        return {
            "incarnation": self.incarnation,
            "created_ms": self.created_ms,
            "retention_hours": self.retention_hours,
            "max_record_kib": self.max_record_kib,
            "shard_total": self._shard_total,
            "counter": self._counter,
            "latest_ms": self._latest_ms,
            "floor_ms": self._floor_ms,
        }

    def restore(self, state: Mapping[str, int], shards: Iterable[Shard]) -> None:
        """Take over a state and its shards in place of what is here."""
        with self.lock:
            self.incarnation = state["incarnation"]
            self._base = 49 * 10**54 + self.incarnation * 10**46
            self.created_ms = state["created_ms"]
            self.retention_hours = state["retention_hours"]
            self.max_record_kib = state["max_record_kib"]
            self._shard_total = state["shard_total"]
            self._counter = state["counter"]
            self._latest_ms = state["latest_ms"]
            self._floor_ms = state["floor_ms"]
            self._shards = list(shards)
            self._reroute()

    # -- what callers see -----------------------------------------------------------------------

    def summary(self, now_ms: int) -> dict[str, Any]:
        """Return the fields all descriptions of a stream share."""
        return {
            "StreamName": self.name,
            "StreamARN": self.arn,
            "StreamStatus": self.status(now_ms),
            "StreamModeDetails": {"StreamMode": self.mode},
            "StreamCreationTimestamp": Timestamp(self.created_ms / 1000),
        }


class Timestamp(float):
    """Epoch seconds in a reply: a JSON number, and a tagged value in CBOR."""
