"""TrimCheck, on the executors: notices records that the stream's retention took away unread.

AWS raises nothing for a position older than the retention: reading just goes on at the oldest
record left. So where the last record read is about as old as the retention, it is read once more:
if it is still there, nothing behind it is gone. A range that begins with a record that planning saw
demands just that one. In: positions and pages. Out: a Loss to report, or nothing.
"""

from __future__ import annotations

from kinesis_source.aws.api import Page, StreamApi
from kinesis_source.cursor.horizon import Horizon
from kinesis_source.cursor.losses import Loss
from kinesis_source.cursor.naming import name_position, name_time
from kinesis_source.model.positions import (
    AfterRecord,
    FromRecord,
    Position,
)
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.settings import StreamSettings

__all__ = ["TrimCheck"]

_HINT = "Read more often than the retention lasts, or lengthen it."


class TrimCheck:
    """Watches over one range.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    shard_range : ShardRange
    """

    def __init__(self, api: StreamApi, stream: StreamSettings, shard_range: ShardRange) -> None:
        self._api = api
        self._stream = stream
        self._range = shard_range
        self._retention_ms = shard_range.retention_ms
        self._seen: Position | FromRecord | None = None
        self.pending: Position | FromRecord | None = None
        """What the next page with records must begin with, or behind."""
        self.horizon = Horizon(api.now_ms, self._ask_retention)

    def may_be_trimmed(self, record: Position | FromRecord) -> bool:
        """Say whether a record may be trimmed, by what AWS says now."""
        if self.horizon.is_day_old_record(record):
            self._describe()
        return self.horizon.is_record_old(record)

    def give_up(self, position: Position | FromRecord) -> None:
        """Expect nothing more at a place whose loss was said."""
        self._seen, self.pending = position, None

    def begins(self, position: Position | FromRecord, *, has_iterator: bool) -> bool:
        """Say whether an iterator must begin with the record at a position, and expect it.

        At the beginning of a range that costs nothing, so the shortest retention counts there, for
        it may have been lowered a moment ago; in its middle it costs a GetShardIterator.
        """
        if self.pending is not None:
            return isinstance(position, AfterRecord) and position == self.pending
        if position == self._seen:
            return False  # nothing behind it was gone then, and no time has passed
        if not isinstance(position, AfterRecord):
            self.pending = position
            return False
        near = self.horizon.is_near if has_iterator else self.horizon.is_day_old
        if near(position):
            self.pending = position
        return self.pending is not None

    def judge(self, page: Page) -> Loss | None:
        """Take the first page that answers: one with records, or an empty one at the tip."""
        expected, self.pending = self.pending, None
        if expected is None:
            return None
        if not isinstance(expected, AfterRecord | FromRecord):
            is_old = len(page) and self.horizon.has_passed(expected)
            return self._may_be_gone(expected, page) if is_old else None
        number = int(expected.sequence_number)
        if len(page) and int(page.sequence_numbers[0]) <= number:
            if int(page.sequence_numbers[-1]) < number:
                self.pending = expected  # an emulator that goes back further than asked
            else:
                self._seen = expected
            return None
        # Asked anew: it may have been lowered since the driver heard of it.
        self._describe()
        if isinstance(expected, FromRecord):
            return self._is_gone(expected, page)
        if self._was_seen_empty_since(expected):
            return None
        return self._may_be_gone(expected, page)

    def _was_seen_empty_since(self, position: AfterRecord) -> bool:
        """Say whether nothing behind a record that is gone can be gone."""
        if position.empty_ms is None:
            return False
        return self._api.now_ms() - position.empty_ms <= self.horizon.retention_ms

    def _is_gone(self, expected: FromRecord, page: Page) -> Loss:
        return self._loss(
            f"this batch begins with {name_position(expected)}, and that is gone; "
            f"{_found(page)}. What came in between is older than the retention of "
            f"{self._retention_hours} h.",
        )

    def _may_be_gone(self, expected: Position | FromRecord, page: Page) -> Loss:
        return self._loss(
            f"records may be gone: what came behind {name_position(expected)}"
            f"{self._since(expected)} and is older than the retention of "
            f"{self._retention_hours} h; {_found(page)}.",
        )

    def _since(self, expected: Position | FromRecord) -> str:
        empty_ms = getattr(expected, "empty_ms", None)
        return f", where nothing was until {name_time(empty_ms)}," if empty_ms is not None else ""

    def _loss(self, what: str) -> Loss:
        shard = f"Shard {self._range.shard_id!r} of stream {self._stream.key!r}"
        return Loss("DATA_LOSS_TRIMMED", f"{shard}: {what}", _HINT)

    @property
    def _retention_hours(self) -> int:
        return self.horizon.retention_ms // 3_600_000

    def _ask_retention(self) -> int:
        return self._retention_ms if self._retention_ms is not None else self._describe()

    def _describe(self) -> int:
        """Ask anew; a retention that was raised since brings nothing back."""
        described_ms = self._api.describe(self._stream).retention_ms
        known_ms = self._retention_ms
        self._retention_ms = described_ms if known_ms is None else min(known_ms, described_ms)
        return self._retention_ms


def _found(page: Page) -> str:
    if not len(page):
        return "nothing is left"
    return (
        f"the next one is sequence number {page.sequence_numbers[0]}, arrived "
        f"{name_time(page.arrival_ms[0])}"
    )
