"""What a page tells of a shard's density; used by driver and executors. Pure."""

from __future__ import annotations

from kinesis_source.aws.api import Page
from kinesis_source.model.ranges import Density

__all__ = ["density_of"]

TELLING_RECORDS = 10
"""Fewer tell no rate: PutRecords makes up to 500 arrive at once."""
EMPTY_RECORD_BYTES = 100
"""What counts for a record without data and key: pages stay small until others come."""


def density_of(page: Page, size_bytes: int, before: Density | None) -> Density:
    """Return a shard's density by a page that is not empty, and by what was known before."""
    if not size_bytes:
        return before or Density(float(EMPTY_RECORD_BYTES))
    record_bytes = size_bytes / len(page)
    span_ms = page.arrival_ms[-1] - page.arrival_ms[0]
    known = before.records_per_s if before is not None else None
    if len(page) < TELLING_RECORDS or span_ms <= 0:
        return Density(record_bytes, known)
    records_per_s = (len(page) - 1) * 1000 / span_ms
    if known is not None:
        records_per_s = (records_per_s + known) / 2
    return Density(record_bytes, records_per_s)
