"""What was asked of the emulator: counts and a log of every API call, for tests and curious users.

Holds no secrets and no record data.
"""

import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

_LOG_LENGTH = 100_000


@dataclass(frozen=True)
class Call:
    """One API call as it ended. `status` 0 means the connection was broken on purpose.

    `port` is the client's.
    """

    time_s: float
    operation: str
    account_id: str | None
    stream: str | None
    shard_id: str | None
    records: int
    status: int
    error: str | None
    port: int | None = None


class CallLog:
    """The calls since start or the last reset; keeps the newest 100,000, counts them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._log: deque[Call] = deque(maxlen=_LOG_LENGTH)
        self._counts: Counter[tuple[str, str | None, str | None]] = Counter()

    def add(self, call: Call) -> None:
        """Note a call."""
        with self._lock:
            self._log.append(call)
            self._counts[call.operation, call.stream, call.shard_id] += 1

    def clear(self) -> None:
        """Forget all calls."""
        with self._lock:
            self._log.clear()
            self._counts.clear()

    def list(self, operation: str | None = None) -> list[Call]:
        """Return the calls, oldest first, of one operation or of all."""
        with self._lock:
            return [c for c in self._log if operation in {None, c.operation}]

    def count(
        self, operation: str | None = None, stream: str | None = None, shard_id: str | None = None
    ) -> int:
        """Return how many calls match; None matches all."""
        with self._lock:
            return sum(
                n
                for (o, s, h), n in self._counts.items()
                if operation in {None, o} and stream in {None, s} and shard_id in {None, h}
            )

    def show(self) -> dict[str, Any]:
        """Return counts per operation and per shard, and the log, as JSON values."""
        with self._lock:
            counts: Counter[str] = Counter()
            shards: dict[str, Counter[str]] = {}
            for (operation, stream, shard_id), n in self._counts.items():
                counts[operation] += n
                if stream is not None and shard_id is not None:
                    shards.setdefault(operation, Counter())[f"{stream}/{shard_id}"] += n
            return {"counts": counts, "shards": shards, "log": [asdict(c) for c in self._log]}
