"""What a page tells of a shard's density; used by driver and executors. Pure."""

from __future__ import annotations

from kinesis_source.aws.api import Page
from kinesis_source.model.ranges import Density

__all__ = ["density_of", "rate_of"]

TELLING_RECORDS = 10
TELLING_MS = 200
"""Less tells no rate: PutRecords makes up to 500 arrive at once."""
EMPTY_RECORD_BYTES = 100
"""What counts for a record without data and key: pages stay small until others come."""


def density_of(page: Page, size_bytes: int, before: Density | None) -> Density:
    """Return a shard's density by a page that is not empty, and by what was known before."""
    if not size_bytes:
        return before or Density(float(EMPTY_RECORD_BYTES))
    record_bytes = size_bytes / len(page)
    known = before.records_per_s if before is not None else None
    records_per_s = rate_of(page)
    if records_per_s is None:
        return Density(record_bytes, known)
    if known is not None:
        records_per_s = (records_per_s + known) / 2
    return Density(record_bytes, records_per_s)


def rate_of(page: Page) -> float | None:
    """Return how many records a second arrived, None if a page is too short to tell."""
    if len(page) < TELLING_RECORDS:
        return None
    span_ms = page.arrival_ms[-1] - page.arrival_ms[0]
    return (len(page) - 1) * 1000 / span_ms if span_ms >= TELLING_MS else None
