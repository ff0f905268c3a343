"""Horizon: the oldest moment that a stream keeps, and which positions it may have reached.

Used by driver and executors. AWS raises nothing for a position older than the retention: reading
goes on at the oldest record left. What proves that nothing is gone is in the position itself
(model/positions.py); here its age is held against the retention, both by AWS's clock.
"""

from __future__ import annotations

from collections.abc import Callable

from kinesis_source.model.positions import (
    AfterRecord,
    FromRecord,
    Marker,
    Position,
    ShardEnd,
    empty_at_ms,
)

__all__ = ["MARGIN_MS", "SHORTEST_RETENTION_MS", "Horizon"]

SHORTEST_RETENTION_MS = 24 * 3_600_000
"""AWS: 24 h at least (IncreaseStreamRetentionPeriod, API reference)."""
MARGIN_MS = 600_000
"""Arrival times and clocks are not exact; within ten minutes of the horizon it is looked at."""


class Horizon:
    """The horizon of one stream.

    Parameters
    ----------
    now_ms : callable
        AWS's clock, a lower bound.
    retention_ms : callable
        How long the stream keeps records; asked only for positions that are older than a day.
    """

    def __init__(self, now_ms: Callable[[], int], retention_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._retention_ms = retention_ms

    @property
    def retention_ms(self) -> int:
        """How long the stream keeps records."""
        return self._retention_ms()

    def is_day_old(self, position: Position | FromRecord) -> bool:
        """Say whether some retention could have reached what is behind a position.

        Asks for nothing, so it holds also where the retention was lowered a moment ago.
        """
        return self._age_ms(position) >= SHORTEST_RETENTION_MS - MARGIN_MS

    def is_record_old(self, position: Position | FromRecord) -> bool:
        """Say whether the record that a position lies behind may itself be trimmed.

        Nothing needs to be lost by that. But what AWS answers to its number then is not documented:
        it goes on at the oldest record, or with empty pages for ever.
        """
        if not isinstance(position, AfterRecord | FromRecord):
            return False
        age_ms = self._now_ms() - position.arrival_ms
        return self.is_day_old_record(position) and age_ms >= self._retention_ms() - MARGIN_MS

    def is_day_old_record(self, position: Position | FromRecord) -> bool:
        """Say the same by the shortest retention there is."""
        if not isinstance(position, AfterRecord | FromRecord):
            return False
        return self._now_ms() - position.arrival_ms >= SHORTEST_RETENTION_MS - MARGIN_MS

    def is_near(self, position: Position | FromRecord) -> bool:
        """Say whether the horizon may have reached what is behind a position."""
        age_ms = self._age_ms(position)
        is_day_old = age_ms >= SHORTEST_RETENTION_MS - MARGIN_MS
        return is_day_old and age_ms >= self._retention_ms() - MARGIN_MS

    def has_passed(self, position: Position | FromRecord) -> bool:
        """Say whether it has: by AWS's own rule something may be gone."""
        age_ms = self._age_ms(position)
        return age_ms >= SHORTEST_RETENTION_MS and age_ms > self._retention_ms()

    def is_unwatched(self, position: Position) -> bool:
        """Say whether records may have come behind a position, and gone, while nobody looked.

        So it is when the last moment at which nothing was there is older than the retention; but
        not within minutes of the moment at which nothing was gone, such as a query's start.
        """
        if isinstance(position, Marker | ShardEnd):
            return False
        since_ms, whole_ms = empty_at_ms(position), getattr(position, "whole_ms", None)
        now_ms, retention_ms = self._now_ms(), max(SHORTEST_RETENTION_MS, self._retention_ms())
        if since_ms is None:  # offsets of version 1 tell no more of a shard without records
            return whole_ms is not None and now_ms - whole_ms > retention_ms
        if now_ms - since_ms <= retention_ms:
            return False
        return whole_ms is None or now_ms - whole_ms > MARGIN_MS

    def _age_ms(self, position: Position | FromRecord) -> int:
        """Return how old at most what is behind a position can be; 0 where nothing tells."""
        if isinstance(position, FromRecord):
            return self._now_ms() - position.arrival_ms
        # A start without its first record is one of an offset of version 1, whose one fact is
        # this, or one behind which nothing was seen.
        facts_ms = (empty_at_ms(position), getattr(position, "whole_ms", None))
        since_ms = max((ms for ms in facts_ms if ms is not None), default=None)
        return 0 if since_ms is None else self._now_ms() - since_ms
