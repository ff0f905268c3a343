"""What a replay server plays; goes as JSON from the measurement to the server's process."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass

__all__ = ["ReplaySettings"]


@dataclass(frozen=True)
class ReplaySettings:
    """One stream, all shards of which hold the same records.

    Parameters
    ----------
    shards : int
    record_bytes : int
        Of data; the partition key has 16 bytes more.
    records_per_shard : int
    records_per_s : float
        How dense the arrival times of one shard are.
    ends_at_ms : int or None
        Arrival of the last record. None: now, so that the backlog ends where the server starts;
        with ``is_live`` such that the first record arrives now.
    is_live : bool
        Records show only once the wall clock has passed their arrival time.
    latency_ms : float
        Each reply to an API call leaves so much after its request came.
    limits : bool
        Refuse what AWS refuses: over 5 calls or 2 MiB of a shard in a second.
    """

    shards: int = 1
    record_bytes: int = 1_000
    records_per_shard: int = 10_000
    records_per_s: float = 1_000.0
    ends_at_ms: int | None = None
    is_live: bool = False
    latency_ms: float = 0.0
    limits: bool = False

    @property
    def span_ms(self) -> float:
        """Time between the first record and the last."""
        return max(0, self.records_per_shard - 1) * 1000 / self.records_per_s

    def resolved(self) -> ReplaySettings:
        """Return the settings with ``ends_at_ms`` filled in by the clock."""
        if self.ends_at_ms is not None:
            return self
        now_ms = int(time.time() * 1000)
        ends_at_ms = now_ms + round(self.span_ms) if self.is_live else now_ms
        return dataclasses.replace(self, ends_at_ms=ends_at_ms)

    def to_json(self) -> str:
        """Return the settings as text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ReplaySettings:
        """Return the settings of a text."""
        return cls(**json.loads(text))
