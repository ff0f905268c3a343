"""One shard of the simulated stream: its records as columns, and what the retention took of them.

What is gone is gone in order, from the oldest record on, once a record's arrival is older than the
retention by the server's clock; never earlier, and up to ``late_ms`` later, which AWS leaves open.
A closed shard goes as a whole when it was closed longer ago than the retention. Knows no clock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field

from kinesis_source.aws.api import PositionRefusedError
from kinesis_source.model.positions import Position, is_finished

__all__ = ["SimulatedShard"]


@dataclass
class SimulatedShard:
    """One shard."""

    shard_id: str
    parents: tuple[str, ...]
    first_hash_key: int
    last_hash_key: int
    created_ms: int
    listed_from_ms: int
    late_ms: int = 0
    closed_ms: int | None = None
    closed_listed_from_ms: int = 0
    gone_ms: int | None = None
    children: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    puts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    trimmed: int = 0
    """How many records are gone."""
    damaged_in_row: Counter[str] = field(default_factory=Counter)
    """By role: replies without next iterator since the last good page, or one with records."""

    @property
    def is_gone(self) -> bool:
        return self.gone_ms is not None

    def trim(self, now_ms: int, retention_ms: int) -> None:
        """Let go what is older than the retention."""
        horizon_ms = now_ms - retention_ms - self.late_ms
        while self.trimmed < len(self.numbers) and self.arrivals[self.trimmed] < horizon_ms:
            self.trimmed += 1
        if self.closed_ms is not None and self.gone_ms is None and self.closed_ms < horizon_ms:
            self.gone_ms = now_ms
            self.trimmed = len(self.numbers)

    def index_of(self, sequence_number: str) -> int:
        """Return the index of a record, whether it is gone or not.

        Raises
        ------
        PositionRefusedError
            It was never a record of this shard.
        """
        number = int(sequence_number)
        index = bisect_right(self.numbers, number) - 1
        if index < 0 or self.numbers[index] != number:
            raise PositionRefusedError(f"{number} is not of {self.shard_id}")
        return index

    def index_behind(self, position: Position) -> int:
        """Return the index of the first record behind a position, whether it is gone or not.

        The length if there is none. Behind a start that is no record, the first one that is left
        or was put later.
        """
        if is_finished(position):
            raise ValueError(f"{position} is no place to read from")
        sequence_number = getattr(position, "sequence_number", None)
        if sequence_number is not None:
            return self.index_of(sequence_number) + 1
        epoch_ms = getattr(position, "epoch_ms", None)
        if epoch_ms is None:
            return self.trimmed
        left = range(self.trimmed, len(self.numbers))
        return next((i for i in left if self.arrivals[i] >= epoch_ms), len(self.numbers))
