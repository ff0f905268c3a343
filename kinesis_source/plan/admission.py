"""Admission, on the driver: how much of what the frontier found goes into one batch.

Kinesis cannot say how many records lie between two positions. What it allows is known: a shard
takes at most 1 MiB and 1,000 records a second, so a span of time bounds its size, and shards that
are not behind cost nothing to judge. A shard that is behind is sampled: one small page tells how
dense its records are, that gives the moment at which its share is full, and the first record from
that moment on becomes the batch's end. A cut is a record that exists, like any other bound
(invariant 1). A cut costs one GetShardIterator and one GetRecords, whose page is the next batch's
sample; the first sample costs as many again.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from kinesis_source.aws.api import IteratorExpiredError, Page, PositionRefusedError, StreamApi
from kinesis_source.model.positions import AfterRecord, AtTimestamp, Position, is_ahead
from kinesis_source.options.settings import StreamSettings

__all__ = ["Admission", "Budget", "deal_shares"]

DEFAULT_SHARD_BYTES = 128 * 1024 * 1024
"""A batch's part of one shard unless the user says otherwise: a minute at the shard's 2 MiB/s."""
WRITTEN_BYTES_PER_S = 1024 * 1024
WRITTEN_RECORDS_PER_S = 1_000
"""AWS: what a shard takes (service quotas)."""
SHORTEST_CUT_MS = 1_000
"""No cut lies nearer: less than a shard takes in a second is not worth the calls."""
SAMPLE_BYTES = 64 * 1024
LARGEST_PAGE_RECORDS = 1_000
LARGEST_PAGE_BYTES = 1024 * 1024
FEW_RECORDS = 3
EMPTY_TRIES = 3


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


def deal_shares(wanted: Mapping[str, float], total: float) -> dict[str, float]:
    """Deal a total so that nobody gets more than wanted and nobody starves.

    Small wishes are granted in full; what they leave is dealt evenly among the others.
    """
    shares: dict[str, float] = {}
    left, count = total, len(wanted)
    for name, wish in sorted(wanted.items(), key=lambda item: item[1]):
        shares[name] = min(wish, left / count)
        left -= shares[name]
        count -= 1
    return shares


class Admission:
    """Cuts the bounds of one stream to a budget.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    executor : concurrent.futures.Executor
        Samples shards side by side.
    """

    def __init__(self, api: StreamApi, stream: StreamSettings, executor: Executor) -> None:
        self._api = api
        self._stream = stream
        self._executor = executor
        self._samples: dict[str, tuple[Position, Sample]] = {}
        self._mean_bytes: dict[str, float] = {}
        self._page_records = 0

    def limit(
        self,
        starts: Mapping[str, Position],
        bounds: Mapping[str, Position],
        budget: Budget,
        first_ms: Mapping[str, int],
    ) -> dict[str, Position]:
        """Return bounds that keep to a budget, as nearly as the shards' densities tell.

        Parameters
        ----------
        starts : mapping of shard id to Position
            Where the batch begins in the shards that may be read.
        bounds : mapping of shard id to Position
            How far they could be read.
        budget : Budget
        first_ms : mapping of shard id to int
            Arrival of the first record behind a start that is no record itself, where it is known.

        Returns
        -------
        dict of shard id to Position
            Each at or before its bound, and ahead of its start where the bound was.
        """
        limited = dict(bounds)
        ahead = [shard for shard in starts if is_ahead(bounds[shard], starts[shard])]
        most = {
            shard: self._most(starts[shard], bounds[shard], budget, first_ms.get(shard))
            for shard in ahead
        }
        if budget.is_per_shard:
            behind = [shard for shard in ahead if most[shard] > 1.0]
        else:
            behind = ahead if sum(most.values()) > 1.0 else []
        if not behind:
            return limited
        self._page_records = self._records_of_share(budget, len(behind))
        sampled = self._executor.map(lambda shard: self._sample(shard, starts[shard]), behind)
        samples = {
            shard: sample
            for shard, sample in zip(behind, sampled, strict=True)
            if sample is not None
        }
        wanted = {
            shard: self._span_ms(sample, bounds[shard]) * sample.cost_per_ms(budget)
            for shard, sample in samples.items()
        }
        shares = dict.fromkeys(wanted, 1.0) if budget.is_per_shard else deal_shares(wanted, 1.0)
        full = [shard for shard in wanted if wanted[shard] > shares[shard]]
        cuts = self._executor.map(
            lambda shard: self._cut(shard, samples[shard], shares[shard], bounds[shard], budget),
            full,
        )
        limited.update(zip(full, cuts, strict=True))
        return limited

    @staticmethod
    def _records_of_share(budget: Budget, shards: int) -> int:
        """Return how many records one share has, and one more, if a page can show them; else 0."""
        if budget.max_records is None:
            return 0
        wanted = budget.max_records // (1 if budget.is_per_shard else shards) + 2
        return wanted if wanted <= LARGEST_PAGE_RECORDS else 0

    def _most(
        self, start: Position, bound: Position, budget: Budget, first_ms: int | None
    ) -> float:
        """Return the largest cost that a span of time can have; infinite if it is not known."""
        start_ms = start.arrival_ms if isinstance(start, AfterRecord) else first_ms
        if start_ms is None:
            return float("inf")
        span_s = max(0, self._arrival_ms(bound) - start_ms) / 1000 + 1
        return budget.cost(span_s * WRITTEN_RECORDS_PER_S, span_s * WRITTEN_BYTES_PER_S)

    def _arrival_ms(self, bound: Position) -> int:
        # Nobody knows when a closed shard got its last record: not after now.
        return bound.arrival_ms if isinstance(bound, AfterRecord) else self._api.now_ms()

    def _span_ms(self, sample: Sample, bound: Position) -> int:
        return max(1, self._arrival_ms(bound) - sample.first_ms)

    def _sample(self, shard_id: str, start: Position) -> Sample | None:
        """Return the records behind a shard's start; None if there were none to be had."""
        known = self._samples.get(shard_id)
        if known is not None and known[0] == start:
            return known[1]
        page = self._page(shard_id, start)
        return self._keep(shard_id, start, page) if page is not None else None

    def _cut(
        self, shard_id: str, sample: Sample, share: float, bound: Position, budget: Budget
    ) -> Position:
        """Return the record at which a shard's share is full, the bound at the latest."""
        cut: Position | None = sample.cut(share, budget)
        if cut is None:
            span_ms = max(SHORTEST_CUT_MS, int(share / sample.cost_per_ms(budget)))
            moment_ms = min(sample.first_ms + span_ms, self._api.now_ms())
            cut = self._first_from(shard_id, moment_ms, sample)
        return cut if cut is not None and is_ahead(bound, cut) else bound

    def _first_from(self, shard_id: str, moment_ms: int, sample: Sample) -> Position | None:
        """Return the first record from a moment on; None if nothing came: the rest is small."""
        page = self._page(shard_id, AtTimestamp(moment_ms))
        if page is None:
            return None
        cut = AfterRecord(page.sequence_numbers[0], page.arrival_ms[0])
        if not is_ahead(cut, sample.records[-1]):
            # Arrival times out of order, or many alike: the sample fits, so far is sure.
            return sample.records[-1]
        self._keep(shard_id, cut, page)
        return cut

    def _keep(self, shard_id: str, position: Position, page: Page) -> Sample | None:
        self._mean_bytes[shard_id] = sum(map(len, page.data)) / len(page)
        sample = Sample.behind(position, page)
        if sample is not None:
            self._samples[shard_id] = (position, sample)
        return sample

    def _page(self, shard_id: str, position: Position) -> Page | None:
        """Return a small page with records from a position on; None if there was none."""
        mean_bytes = self._mean_bytes.get(shard_id, 1024.0)
        limit = max(
            FEW_RECORDS + 1,
            min(LARGEST_PAGE_RECORDS, int(SAMPLE_BYTES / max(1.0, mean_bytes))),
            # A share so small is cut to the record, wherever its records came in one burst.
            min(self._page_records, int(LARGEST_PAGE_BYTES / max(1.0, mean_bytes))),
        )
        try:
            iterator: str | None = self._api.get_iterator(self._stream, shard_id, position)
            for _ in range(EMPTY_TRIES):
                if iterator is None:
                    break
                page = self._api.get_page(self._stream, shard_id, iterator, limit)
                if len(page):
                    return page
                if page.millis_behind_latest == 0:
                    break
                iterator = page.next_iterator
        except (PositionRefusedError, IteratorExpiredError):
            return None
        return None
