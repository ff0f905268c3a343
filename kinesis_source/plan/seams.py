"""Seams, on the driver: long ranges of a bounded read cut into parts for several tasks.

A task that is lost is run again from its beginning, and at 2 MB/s of a shard a day of a full one is
a day's work. A cut is made by time, at a record that exists: the part before it ends with that
record, the next one begins behind it, so no record is between two parts or in both.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from kinesis_source.aws.api import IteratorExpiredError, PositionRefusedError, StreamApi
from kinesis_source.cursor.shard_cursor import ShardCursor, first_page
from kinesis_source.model.positions import AfterRecord, AtTimestamp, FromRecord, is_ahead
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.settings import StreamSettings

__all__ = ["split_ranges"]

PART_BYTES: Final = 2 * 1024**3
"""About 17 minutes of a shard at its full rate: what a lost task costs at most."""
MOST_PARTS: Final = 256
"""Of one range; each seam costs two calls."""


def split_ranges(
    api: StreamApi,
    streams: Mapping[str, StreamSettings],
    waves: list[list[ShardRange]],
    min_partitions: int | None,
    until_ms: int,
) -> list[list[ShardRange]]:
    """Cut long ranges.

    Parameters
    ----------
    api : StreamApi
    streams : mapping of stream key to StreamSettings
    waves : list of list of ShardRange
        Ranges of one list may be read side by side; those of the next one come later.
    min_partitions : int or None
        As many ranges, at least, as far as there are records to cut at.
    until_ms : int
        Nothing arrived later.

    Returns
    -------
    list of list of ShardRange
        The first parts of a wave's ranges, their second parts, and so on.
    """
    ranges = [one for wave in waves for one in wave]
    counts = _counts(ranges, min_partitions or 0, until_ms)
    parts: list[list[ShardRange]] = []
    at = 0
    for wave in waves:
        split = [
            _split(api, streams[one.stream], one, count, until_ms)
            for one, count in zip(wave, counts[at : at + len(wave)], strict=True)
        ]
        at += len(wave)
        longest = max(map(len, split), default=0)
        parts += [[one[turn] for one in split if turn < len(one)] for turn in range(longest)]
    return parts


def _counts(ranges: list[ShardRange], at_least: int, until_ms: int) -> list[int]:
    """Return into how many parts each range is cut."""
    spans = [_span_ms(one, until_ms) for one in ranges]
    counts = [
        min(MOST_PARTS, max(1, -(-_bytes_of(one, span) // PART_BYTES)))
        for one, span in zip(ranges, spans, strict=True)
    ]
    longest = [
        (-span / count, i) for i, (span, count) in enumerate(zip(spans, counts, strict=True))
    ]
    heapq.heapify(longest)
    while sum(counts) < at_least and longest:
        _, i = heapq.heappop(longest)
        if spans[i] > counts[i] and counts[i] < MOST_PARTS:
            counts[i] += 1
            heapq.heappush(longest, (-spans[i] / counts[i], i))
    return counts


def _bytes_of(shard_range: ShardRange, span_ms: int) -> int:
    density = shard_range.density
    if density is None or density.records_per_s is None:
        return 0
    return int(density.record_bytes * density.records_per_s * span_ms / 1000)


def _begin_ms(shard_range: ShardRange) -> int | None:
    start = shard_range.start
    if isinstance(start, AfterRecord | FromRecord):
        return start.arrival_ms
    return start.epoch_ms if isinstance(start, AtTimestamp) else None


def _end_ms(shard_range: ShardRange, until_ms: int) -> int:
    """Return when the last record arrived, or a later moment."""
    end = shard_range.end
    return end.arrival_ms if isinstance(end, AfterRecord) else until_ms


def _span_ms(shard_range: ShardRange, until_ms: int) -> int:
    begin_ms = _begin_ms(shard_range)
    return 0 if begin_ms is None else max(0, _end_ms(shard_range, until_ms) - begin_ms)


def _split(
    api: StreamApi, stream: StreamSettings, shard_range: ShardRange, count: int, until_ms: int
) -> list[ShardRange]:
    begin_ms, span_ms = _begin_ms(shard_range), _span_ms(shard_range, until_ms)
    if count == 1 or begin_ms is None:
        return [shard_range]
    parts, rest = [], shard_range
    for turn in range(1, count):
        seam = _record_at(api, stream, shard_range.shard_id, begin_ms + span_ms * turn // count)
        if seam is None or not is_ahead(rest.end, seam):
            break  # nothing is left to be cut off
        if _is_within(seam, rest):
            parts.append(replace(rest, end=seam))
            rest = replace(rest, start=seam)
    return [*parts, rest]


def _is_within(seam: AfterRecord, shard_range: ShardRange) -> bool:
    start = shard_range.start
    if isinstance(start, FromRecord):
        return int(seam.sequence_number) >= int(start.sequence_number)
    return is_ahead(seam, start)


def _record_at(
    api: StreamApi, stream: StreamSettings, shard_id: str, moment_ms: int
) -> AfterRecord | None:
    """Return the first record that arrived at or after a moment, if it is easily had."""
    cursor = ShardCursor(api, stream, shard_id, AtTimestamp(moment_ms), monotonic=lambda: 0.0)
    try:
        page = first_page(cursor, 1)
    except (PositionRefusedError, IteratorExpiredError):
        return None
    if page is None or not len(page):
        return None
    return AfterRecord(page.sequence_numbers[0], page.arrival_ms[0])
