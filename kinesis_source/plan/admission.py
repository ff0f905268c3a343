"""Admission, on the driver: how much of what the frontiers found goes into one batch.

Kinesis cannot say how many records lie between two positions. What it allows is known: a shard
takes at most 1 MiB and 1,000 records a second, so a span of time bounds its size, and shards that
are not behind cost nothing to judge. A shard that is behind is sampled: one small page tells how
dense its records are, that gives the moment at which its share is full, and the first record from
that moment on becomes the batch's end. A cut is a record that exists, like any other bound
(invariant 1). A cut costs one GetShardIterator and one GetRecords, whose page is the next batch's
sample; the first sample costs as many again.

The shards of all streams share one budget. Each call is made once: a shard that AWS throttles, or
is slow to answer for, is left out of the batch and comes with a later one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kinesis_source.aws.api import (
    ALL_DATA,
    IteratorExpiredError,
    Page,
    PositionRefusedError,
    StreamApi,
)
from kinesis_source.cursor.horizon import SHORTEST_RETENTION_MS, Horizon
from kinesis_source.cursor.shard_cursor import (
    EMPTY_TRIES,
    SILENT_PAGES,
    ShardCursor,
    first_page,
)
from kinesis_source.errors import KinesisSourceError, ServiceError
from kinesis_source.model.positions import AfterRecord, AtTimestamp, Position, is_ahead
from kinesis_source.options.settings import StreamSettings
from kinesis_source.plan.probe import NOT_FOUND_CODES
from kinesis_source.plan.runtime import Runtime
from kinesis_source.plan.shares import FEW_RECORDS, Budget, Sample, deal_shares

__all__ = ["Admission", "Request"]

_R = TypeVar("_R")

WRITTEN_BYTES_PER_S = 1024 * 1024
WRITTEN_RECORDS_PER_S = 1_000
"""AWS: what a shard takes (service quotas)."""
SHORTEST_CUT_MS = 1_000
"""No cut lies nearer: less than a shard takes in a second is not worth the calls."""
SAMPLE_BYTES = 64 * 1024
LARGEST_PAGE_RECORDS = 1_000
LARGEST_PAGE_BYTES = 1024 * 1024
PATIENCE_S = 3.0
"""A batch waits no longer for its samples, and no longer for its cuts."""


@dataclass(frozen=True)
class Request:
    """What one shard would like to bring into a batch.

    Parameters
    ----------
    stream : StreamSettings
    shard_id : str
    start, bound : Position
        Where the batch begins in it, and how far it could be read.
    first_ms : int or None
        Arrival of the first record behind a start that is no record itself, where it is known.
    retention_ms : int
        How long the stream keeps records.
    """

    stream: StreamSettings
    shard_id: str
    start: Position
    bound: Position
    first_ms: int | None = None
    retention_ms: int = SHORTEST_RETENTION_MS

    @property
    def key(self) -> tuple[str, str]:
        """Tells it from the others of a batch."""
        return self.stream.key, self.shard_id

    @property
    def is_ahead(self) -> bool:
        """Whether there is anything to bring."""
        return is_ahead(self.bound, self.start)


_Key = tuple[str, str]


class _NoAnswerError(Exception):
    """Nobody knows what is there."""


class Admission:
    """Cuts bounds to a budget.

    Parameters
    ----------
    api : StreamApi
    budget : Budget
    runtime : Runtime
        Samples shards side by side.
    waiting_budget_s : float
        How long a shard may be left out because its calls fail.
    """

    def __init__(
        self, api: StreamApi, budget: Budget, runtime: Runtime, waiting_budget_s: float = 120.0
    ) -> None:
        self._api = api.trying_once()
        self._budget = budget
        self._runtime = runtime
        self._samples: dict[_Key, tuple[Position, Sample]] = {}
        self._mean_bytes: dict[_Key, float] = {}
        self._page_records = 0
        self._budget_s = waiting_budget_s
        self._left_out_s: dict[_Key, float] = {}

    def limit(self, requests: Sequence[Request]) -> dict[_Key, Position]:
        """Return bounds that keep to the budget, as nearly as the shards' densities tell.

        Parameters
        ----------
        requests : sequence of Request
            Of all shards that the batch may read.

        Returns
        -------
        dict of (stream key, shard id) to Position
            Each at or before its bound, and ahead of its start where the bound was; or the start,
            of a shard that has to wait.
        """
        self._forget_others(requests)
        limited = {request.key: request.bound for request in requests}
        behind = self._behind([request for request in requests if request.is_ahead])
        # Those that were left out come first: one batch leaves some out, not always the same.
        behind.sort(key=lambda request: self._left_out_s.get(request.key, float("inf")))
        if not behind:
            self._left_out_s.clear()
            return limited
        self._page_records = self._records_of_share(len(behind))
        limited.update((request.key, request.start) for request in behind)  # unless answered
        samples = self._side_by_side(behind, self._sample)
        sampled = [request for request in behind if request.key in samples]
        wanted: dict[_Key, float] = {}
        for request in sampled:
            sample = samples[request.key]
            if sample is None:
                limited[request.key] = request.bound  # no record could be had: little is there
            else:
                span_ms = max(1, self._arrival_ms(request.bound) - sample.first_ms)
                wanted[request.key] = span_ms * sample.cost_per_ms(self._budget)
                limited[request.key] = request.bound
        is_each = self._budget.is_per_shard
        shares = dict.fromkeys(wanted, 1.0) if is_each else deal_shares(wanted, 1.0)
        full = [r for r in sampled if r.key in wanted and wanted[r.key] > shares[r.key]]
        limited.update((request.key, request.start) for request in full)
        cuts = self._side_by_side(
            full,
            lambda r: self._cut(r, samples[r.key], shares[r.key]),  # type: ignore[arg-type]
        )
        limited.update(cuts)
        self._note_left_out(behind, limited)
        return limited

    def _behind(self, ahead: Sequence[Request]) -> list[Request]:
        """Return the shards that may be more than their share."""
        most = {request.key: self._most(request) for request in ahead}
        if self._budget.is_per_shard:
            return [request for request in ahead if most[request.key] > 1.0]
        return list(ahead) if sum(most.values()) > 1.0 else []

    def _note_left_out(self, behind: Sequence[Request], limited: Mapping[_Key, Position]) -> None:
        """Keep since when shards wait for a batch; they may not for ever."""
        now_s = self._runtime.monotonic()
        waiting = [request for request in behind if limited[request.key] == request.start]
        self._left_out_s = {
            request.key: self._left_out_s.get(request.key, now_s) for request in waiting
        }
        for request in waiting:
            waited_s = now_s - self._left_out_s[request.key]
            if waited_s >= self._budget_s:
                self._left_out_s.clear()
                raise ServiceError(
                    "SERVICE_STALLED",
                    f"Shard {request.shard_id!r} of stream {request.stream.key!r} is behind, and "
                    f"for {waited_s:.0f} s AWS gave no sample of its records, by which a bounded "
                    "batch is planned.",
                    "Other readers may take the shard's 5 calls/s: give them less to read; or "
                    "look at what stands between here and AWS.",
                )

    def _forget_others(self, requests: Sequence[Request]) -> None:
        keys = {request.key for request in requests}
        for kept in (self._samples, self._mean_bytes):
            for key in kept.keys() - keys:
                del kept[key]

    def _side_by_side(
        self, requests: Sequence[Request], call: Callable[[Request], _R]
    ) -> dict[_Key, _R]:
        """Return the answers that came in time; those of shards that fail come with a later batch.

        Raises
        ------
        KinesisSourceError
            What does not pass by itself.
        """
        futures = {
            request.key: self._runtime.submit(lambda request=request: call(request))  # type: ignore[misc]
            for request in requests
        }
        self._runtime.wait(futures.values(), PATIENCE_S)
        answers: dict[_Key, _R] = {}
        for key, future in futures.items():
            if not future.done():
                future.cancel()
                continue
            try:
                answers[key] = future.result()
            except _NoAnswerError:
                continue
            except KinesisSourceError as error:
                if not error.is_worth_repeating and error.code not in NOT_FOUND_CODES:
                    raise
        return answers

    def _records_of_share(self, shards: int) -> int:
        """Return how many records one share has, and one more, if a page can show them; else 0."""
        budget = self._budget
        if budget.max_records is None:
            return 0
        wanted = budget.max_records // (1 if budget.is_per_shard else shards) + 2
        return wanted if wanted <= LARGEST_PAGE_RECORDS else 0

    def _most(self, request: Request) -> float:
        """Return the largest cost that a span of time can have; infinite if it is not known."""
        start = request.start
        start_ms = start.arrival_ms if isinstance(start, AfterRecord) else request.first_ms
        if start_ms is None:
            return float("inf")
        span_s = max(0, self._arrival_ms(request.bound) - start_ms) / 1000 + 1
        return self._budget.cost(span_s * WRITTEN_RECORDS_PER_S, span_s * WRITTEN_BYTES_PER_S)

    def _arrival_ms(self, bound: Position) -> int:
        # Nobody knows when a closed shard got its last record: not after now.
        return bound.arrival_ms if isinstance(bound, AfterRecord) else self._api.now_ms()

    def _sample(self, request: Request) -> Sample | None:
        """Return the records behind a shard's start; None if there were none to be had."""
        known = self._samples.get(request.key)
        if known is not None and known[0] == request.start:
            return known[1]
        page = self._page(request, request.start)
        return self._keep(request, request.start, page) if page is not None else None

    def _cut(self, request: Request, sample: Sample, share: float) -> Position:
        """Return the record at which a shard's share is full, the bound at the latest."""
        cut: Position | None = sample.cut(share, self._budget)
        if cut is None:
            span_ms = max(SHORTEST_CUT_MS, int(share / sample.cost_per_ms(self._budget)))
            moment_ms = min(sample.first_ms + span_ms, self._api.now_ms())
            cut = self._first_from(request, moment_ms, sample)
        return cut if cut is not None and is_ahead(request.bound, cut) else request.bound

    def _first_from(self, request: Request, moment_ms: int, sample: Sample) -> Position | None:
        """Return the first record from a moment on; None if nothing came: the rest is small."""
        try:
            page = self._page(request, AtTimestamp(moment_ms))
        except _NoAnswerError:
            return sample.records[-1]  # the sample fits, so far is sure
        if page is None:
            return None
        cut = AfterRecord(page.sequence_numbers[0], page.arrival_ms[0])
        if not is_ahead(cut, sample.records[-1]):
            # Arrival times out of order, or many alike: the sample fits, so far is sure.
            return sample.records[-1]
        self._keep(request, cut, page)
        return cut

    def _keep(self, request: Request, position: Position, page: Page) -> Sample | None:
        self._mean_bytes[request.key] = sum(map(len, page.data)) / len(page)
        sample = Sample.behind(position, page)
        if sample is not None:
            self._samples[request.key] = (position, sample)
        return sample

    def _page(self, request: Request, position: Position) -> Page | None:
        """Return a small page with records from a position on; None if nothing is there.

        Raises
        ------
        _NoAnswerError
            Empty pages, none of them at the tip; or what AWS refused.
        """
        mean_bytes = max(1.0, self._mean_bytes.get(request.key, 1024.0))
        limit = max(
            FEW_RECORDS + 1,
            min(LARGEST_PAGE_RECORDS, int(SAMPLE_BYTES / mean_bytes)),
            # A share so small is cut to the record, wherever its records came in one burst.
            min(self._page_records, int(LARGEST_PAGE_BYTES / mean_bytes)),
        )
        horizon = Horizon(self._api.now_ms, lambda: request.retention_ms)
        is_old = horizon.is_record_old(position)
        cursor = ShardCursor(
            self._api,
            request.stream,
            request.shard_id,
            position,
            monotonic=self._runtime.monotonic,
            data_prefix=ALL_DATA,
            horizon=horizon,
        )
        try:
            page = first_page(cursor, limit, SILENT_PAGES + 2 if is_old else EMPTY_TRIES)
        except (PositionRefusedError, IteratorExpiredError):
            raise _NoAnswerError from None
        if page is None:
            raise _NoAnswerError
        return page if len(page) else None
