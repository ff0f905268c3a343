"""Shares, on the driver: what of a budget an amount takes, and who gets how much. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from kinesis_source.aws.api import Page
from kinesis_source.model.positions import AfterRecord, Position, is_ahead

__all__ = ["Budget", "Sample", "deal_shares"]

_K = TypeVar("_K", bound=Hashable)

DEFAULT_SHARD_BYTES = 128 * 1024 * 1024
"""A batch's part of one shard unless the user says otherwise: a minute at the shard's 2 MiB/s."""
FEW_RECORDS = 3


@dataclass(frozen=True)
class Budget:
    """What a batch may hold.

    Parameters
    ----------
    max_records, max_bytes : int or None
        Kinesis records (aggregated ones count once) and bytes of data. None: no limit.
    is_per_shard : bool
        Whether each shard may have so much, or all together.
    """

    max_records: int | None
    max_bytes: int | None
    is_per_shard: bool = False

    @classmethod
    def of(cls, max_records: int | None, max_bytes: int | None) -> Budget:
        """Return the budget for the user's limits, or the default one."""
        if max_records is None and max_bytes is None:
            return cls(None, DEFAULT_SHARD_BYTES, is_per_shard=True)
        return cls(max_records, max_bytes)

    def cost(self, records: float, size_bytes: float) -> float:
        """Return the part of the budget that an amount takes; 1.0 is all of it."""
        costs = [0.0]
        if self.max_records is not None:
            costs.append(records / self.max_records)
        if self.max_bytes is not None:
            costs.append(size_bytes / self.max_bytes)
        return max(costs)


@dataclass(frozen=True)
class Sample:
    """The records of one small page behind a position.

    Parameters
    ----------
    records : tuple of AfterRecord
        At least one.
    sizes : tuple of int
        Bytes of data of each.
    since_ms : int or None
        Arrival of the record at the position.
    """

    records: tuple[AfterRecord, ...]
    sizes: tuple[int, ...]
    since_ms: int | None = None

    @classmethod
    def behind(cls, position: Position, page: Page) -> Sample | None:
        """Return the records of a page that lie behind a position; None if there is none."""
        pairs = [
            (record, len(data))
            for record, data in zip(
                map(AfterRecord, page.sequence_numbers, page.arrival_ms), page.data, strict=True
            )
            if is_ahead(record, position)
        ]
        if not pairs:
            return None
        return cls(
            records=tuple(record for record, _ in pairs),
            sizes=tuple(size for _, size in pairs),
            since_ms=position.arrival_ms if isinstance(position, AfterRecord) else None,
        )

    @property
    def first_ms(self) -> int:
        """Arrival of the first record."""
        return self.records[0].arrival_ms

    def cost_per_ms(self, budget: Budget) -> float:
        """Return how dense the records are."""
        # Arrival times need not rise; less than a millisecond cannot be told.
        arrivals = [record.arrival_ms for record in self.records]
        steps = max(1, len(self.records) - 1)
        if len(arrivals) < FEW_RECORDS and self.since_ms is not None:
            # So few tell less than the time since the record before them.
            arrivals.append(self.since_ms)
            steps = len(self.records)
        span_ms = max(1, max(arrivals) - min(arrivals))
        mean_bytes = sum(self.sizes) / len(self.sizes)
        return budget.cost(steps, steps * mean_bytes) / span_ms

    def cut(self, share: float, budget: Budget) -> AfterRecord | None:
        """Return the last record that a share has room for; None if it has room for all.

        At least the first record: a batch that takes nothing would not move.
        """
        size_bytes = 0
        for index, size in enumerate(self.sizes):
            size_bytes += size
            if budget.cost(index + 1, size_bytes) > share:
                return self.records[max(0, index - 1)]
        return None


def deal_shares(wanted: Mapping[_K, float], total: float) -> dict[_K, float]:
    """Deal a total so that nobody gets more than wanted and nobody starves.

    Small wishes are granted in full; what they leave is dealt evenly among the others.
    """
    shares: dict[_K, float] = {}
    left, count = total, len(wanted)
    for name, wish in sorted(wanted.items(), key=lambda item: item[1]):
        shares[name] = min(wish, left / count)
        left -= shares[name]
        count -= 1
    return shares
