"""PageSize, on the executors: how many records to ask for, so that little is read in vain.

A page goes on behind the end of a range, to the tip of the shard, and the next batch reads that
again: pages of 10,000 on a live shard cost twice its bytes. So a page is asked for that ends a
little behind the range's end, by the shard's density and by what AWS lets into a shard. Pure.
"""

from __future__ import annotations

from kinesis_source.aws.api import Page
from kinesis_source.cursor.density import rate_of
from kinesis_source.model.positions import AfterRecord, AtTimestamp, FromRecord, Position
from kinesis_source.model.ranges import ShardRange
from kinesis_source.read.memory import LARGEST_PAGE_BYTES
from kinesis_source.read.pacing import LARGEST_PAGE, ShardPace

__all__ = ["PageSize"]

FIRST_LIMIT = 1_000
"""Where nobody knows how far the end is."""
WRITTEN_RECORDS_PER_S = 1_000
WRITTEN_BYTES_PER_S = 1024 * 1024
"""AWS: what a shard takes (service quotas). Counts where nobody knows a rate."""
GUESSED_RECORD_BYTES = 10 * 1024
"""Counts for memory where nobody knows a size."""
MARGIN = 1.05
SPARE = 20
SPARE_BYTES = 64 * 1024
"""Density is an estimate: a page that is too short costs a call, one too long some bytes."""
SHORTEST_PART = 16
"""Where the end should have come: another sixteenth of the page that did not reach it."""
MOST_DOUBLINGS = 10
"""Of what is asked for to spare, with each page in a row that should have reached the end:
thousands of records may have arrived in one moment, and AWS does not promise that times rise."""


class PageSize:
    """Chooses the Limit of each page of a range.

    Parameters
    ----------
    shard_range : ShardRange
    pace : ShardPace
        What this process knows of the shard; goes before the range's own hint.
    max_records : int
        The largest Limit.
    bytes_per_s : int or None
        The rate of the pace.
    """

    def __init__(
        self, shard_range: ShardRange, pace: ShardPace, max_records: int, bytes_per_s: int | None
    ) -> None:
        self._range = shard_range
        self._pace = pace
        self._max_records = max_records
        self._bytes_per_s = bytes_per_s
        if pace.density is None:
            pace.density = shard_range.density
        self._wanted = LARGEST_PAGE
        self._misses = 0

    def first(self) -> int:
        """Return the Limit of the first page."""
        end = self._range.end
        start_ms = _moment_ms(self._range.start)
        if isinstance(end, AfterRecord):
            known = start_ms is not None
            self._wanted = self._within(end.arrival_ms - (start_ms or 0)) if known else FIRST_LIMIT
        return self._limit()

    def next(self, page: Page) -> int:
        """Return the Limit of the page behind one that did not reach the end."""
        end = self._range.end
        if isinstance(end, AfterRecord) and len(page) > 1:
            promised = self._within(end.arrival_ms - page.arrival_ms[-1], rate_of(page))
            has_missed = self._wanted <= len(page)
            self._misses = min(self._misses + 1, MOST_DOUBLINGS) if has_missed else 0
            more = int(self._spare()) << (self._misses - 1) if has_missed else 0
            self._wanted = max(promised, len(page) // SHORTEST_PART, more)
        return self._limit()

    def page_bytes(self, limit: int) -> int:
        """Return how large a page of so many records may be, by what is known."""
        density = self._pace.density
        record_bytes = GUESSED_RECORD_BYTES if density is None else density.record_bytes
        return min(LARGEST_PAGE_BYTES, int(limit * record_bytes))

    def _within(self, span_ms: int, records_per_s: float | None = None) -> int:
        """Return how many records arrived in a span of time, and a few more."""
        density = self._pace.density
        if density is not None:
            records_per_s = records_per_s or density.records_per_s
        if records_per_s is None:
            records_per_s = float(WRITTEN_RECORDS_PER_S)
            if density is not None:
                records_per_s = min(records_per_s, WRITTEN_BYTES_PER_S / density.record_bytes)
        return int(records_per_s * max(0, span_ms) / 1000 * MARGIN + self._spare())

    def _spare(self) -> float:
        density = self._pace.density
        return (
            float(SPARE) if density is None else min(SPARE, 1 + SPARE_BYTES / density.record_bytes)
        )

    def _limit(self) -> int:
        most = self._pace.page_records(self._bytes_per_s)
        return max(1, min(self._max_records, most, self._wanted))


def _moment_ms(position: Position | FromRecord) -> int | None:
    if isinstance(position, AfterRecord | FromRecord):
        return position.arrival_ms
    return position.epoch_ms if isinstance(position, AtTimestamp) else None
