"""ShardReader, on the executors: the records of one ShardRange, page by page, in order.

Stops at the range's end by sequence number, never by time; at a closed shard's end only where AWS
shows that nothing is left. Resumes after the last record READ when an iterator has expired. Neither
threads nor Spark here: see read/task.py for several shards side by side.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator

from kinesis_source.aws.api import (
    ALL_DATA,
    IteratorExpiredError,
    Page,
    PositionRefusedError,
    StreamApi,
)
from kinesis_source.cursor.naming import name_position
from kinesis_source.cursor.trimming import TrimGuard
from kinesis_source.errors import ServiceError, StreamError
from kinesis_source.model.positions import TRIM_HORIZON, AfterRecord, Position
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.settings import ReadSettings, StreamSettings
from kinesis_source.read.pacing import pace_of
from kinesis_source.read.page_size import PageSize

__all__ = ["ShardReader"]

logger = logging.getLogger("kinesis_source")

DAMAGED_REPLIES = 5
"""Replies without next iterator, and without proof that the shard ended, in a row."""
SUSPECT_EMPTIES = 10
"""Empty pages behind a position as old as the retention, before the oldest record is asked for."""
MISSING_S = 5.0
"""Empty pages at the tip for this long, where a record that exists must be ahead."""
STALL_S = 120.0
"""Empty pages or expired iterators for this long, while a record is known to be ahead."""


class ShardReader:
    """Reads one range.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    shard_range : ShardRange
    settings : ReadSettings
    data_prefix : bytes or None
        Which data is wanted, see StreamApi.get_page.
    before_page : callable, optional
        Called with the size in bytes that the next page may have; may wait.
    monotonic, sleep : callable
        Clock and pause, in seconds.
    """

    def __init__(  # noqa: PLR0913 - what it works with; the last three have defaults
        self,
        api: StreamApi,
        stream: StreamSettings,
        shard_range: ShardRange,
        settings: ReadSettings,
        data_prefix: bytes | None = ALL_DATA,
        *,
        before_page: Callable[[int], object] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._api = api
        self._stream = stream
        self._range = shard_range
        self._settings = settings
        self._data_prefix = data_prefix
        self._before_page = before_page
        self._monotonic = monotonic
        self._sleep = sleep
        self._last = (
            int(shard_range.start.sequence_number)
            if isinstance(shard_range.start, AfterRecord)
            else -1
        )
        self._resume_at: Position = shard_range.start
        self._end = (
            int(shard_range.end.sequence_number)
            if isinstance(shard_range.end, AfterRecord)
            else None
        )
        self._damaged = 0
        self._suspect: Position | None = None  # the next page must show that nothing is trimmed
        self._suspect_empties = 0
        self._empty_at_tip_s: float | None = None
        self._guard = TrimGuard(
            api, stream, shard_range, fail_on_data_loss=settings.fail_on_data_loss
        )
        self._pace = pace_of(api, stream.key, shard_range.shard_id)
        self._size = PageSize(
            shard_range, self._pace, settings.max_records_per_fetch, settings.max_fetch_bytes_per_s
        )

    def pages(self) -> Iterator[Page]:
        """Yield the range's records: pages that are not empty, in order, cut at the end.

        Raises
        ------
        DataLossError
            ``[DATA_LOSS_TRIMMED]``, ``[DATA_LOSS_BOUND]``, ``[DATA_LOSS_POSITION]``,
            ``[DATA_LOSS_SHARD]``: records that the range promised are gone. Only a warning with
            failOnDataLoss=false.
        ServiceError
            ``[SERVICE_STALLED]``, ``[SERVICE_INCOMPLETE_REPLY]``, and what the api raises.
        """
        iterator: str | None = None
        limit = self._size.first()
        moved_s = self._monotonic()
        while True:
            if iterator is None:
                iterator = self._iterator()
                if iterator is None:
                    return
            self._wait_for_leave()
            if self._before_page is not None:
                self._before_page(self._size.page_bytes(limit))
            began_s = self._monotonic()
            try:
                page = self._api.get_page(
                    self._stream, self._range.shard_id, iterator, limit, self._data_prefix
                )
            except IteratorExpiredError:
                iterator = None
                self._check_stall(moved_s)
                continue
            rate = self._settings.max_fetch_bytes_per_s
            self._pace.note(page, began_s, self._monotonic(), rate)
            self._check_trimmed(page)
            records = self._cut(page)
            if len(records):
                self._remember(records)
                moved_s = self._monotonic()
            is_done = self._is_done(page)
            if not is_done:
                iterator = self._continuation(page, moved_s)
                limit = self._size.next(page)
            del page  # while the next one comes, only who reads the records holds them
            if len(records):
                yield records
            del records
            if is_done:
                return

    def _continuation(self, page: Page, moved_s: float) -> str | None:
        """Return the iterator to go on with; None: take a new one behind the last record read."""
        if page.next_iterator is None:
            self._note_damage()
        elif not len(page):
            self._check_stall(moved_s)
            if self._suspect_empties == SUSPECT_EMPTIES + 1:
                return None
        elif self._guard.is_suspect(self._resume_at):
            return None  # trimming may overtake this read: each page is checked
        return page.next_iterator

    # One page

    def _cut(self, page: Page) -> Page:
        """Return the page without records already read (emulators repeat) or behind the end."""
        numbers = page.sequence_numbers
        if not numbers:
            return page
        first, last = 0, len(numbers)
        if int(numbers[0]) <= self._last:
            first = bisect_right(numbers, self._last, key=int)
        if self._end is not None and int(numbers[-1]) > self._end:
            last = bisect_right(numbers, self._end, key=int)
        if first == 0 and last == len(numbers):
            return page
        return Page(
            numbers[first:last],
            page.partition_keys[first:last],
            page.arrival_ms[first:last],
            page.data[first:last],
            page.next_iterator,
            page.millis_behind_latest,
            page.child_shard_ids,
        )

    def _remember(self, records: Page) -> None:
        self._last = int(records.sequence_numbers[-1])
        self._resume_at = AfterRecord(records.sequence_numbers[-1], records.arrival_ms[-1])
        self._damaged = 0

    def _is_done(self, page: Page) -> bool:
        if self._end is None:
            if page.next_iterator is not None:
                return False
            # The driver saw the shard closed in a listing. ChildShards prove the end; without them
            # the reply may be damaged, so the same place is asked again before it is believed.
            return page.is_shard_end or self._damaged >= DAMAGED_REPLIES
        if self._last >= self._end:
            return True
        passed = bool(len(page)) and int(page.sequence_numbers[-1]) > self._end
        if passed or page.is_shard_end or self._is_end_missing(page):
            self._guard.report(
                "DATA_LOSS_BOUND",
                f"{self._subject}: the record that ends this batch, "
                f"{name_position(self._range.end)}, is gone, and with it what was behind "
                f"{name_position(self._resume_at)}.",
                "It is older than the stream's retention: read more often or lengthen that.",
            )
            return True
        return False

    def _is_end_missing(self, page: Page) -> bool:
        """Say whether the tip shows for a while, and no end, which is old enough to be gone."""
        if len(page) or page.millis_behind_latest or page.next_iterator is None:
            self._empty_at_tip_s = None
            return False
        if self._empty_at_tip_s is None:
            self._empty_at_tip_s = self._monotonic()
        is_long = self._monotonic() - self._empty_at_tip_s > MISSING_S
        return is_long and self._guard.is_suspect(self._range.end)

    def _check_trimmed(self, page: Page) -> None:
        """Let the guard see the first page behind a suspect position.

        Behind a trimmed record pages may be empty for ever: then the oldest record left is asked
        for, which is the suspect one or one before it if nothing is gone.
        """
        suspect = self._suspect
        if suspect is None:
            return
        if not len(page) and page.millis_behind_latest:
            self._suspect_empties += 1
            return
        self._guard.check_successor(suspect, page)
        self._suspect = None
        self._suspect_empties = 0

    # Calls

    @property
    def _subject(self) -> str:
        return f"Shard {self._range.shard_id!r} of stream {self._stream.key!r}"

    def _iterator(self) -> str | None:
        """Return an iterator to resume with; None if the shard is gone and reading goes on."""
        shard_id, position = self._range.shard_id, self._resume_at
        try:
            iterator = self._api.get_iterator(self._stream, shard_id, position)
            if not self._guard.is_suspect(position):
                return iterator
            self._suspect = position
            if self._suspect_empties > SUSPECT_EMPTIES:
                return self._api.get_iterator(self._stream, shard_id, TRIM_HORIZON)
            return self._api.get_iterator(self._stream, shard_id, position, inclusive=True)
        except PositionRefusedError as error:
            self._guard.report(
                "DATA_LOSS_POSITION",
                f"{self._subject}: AWS does not know {name_position(position)} any more ({error}).",
                "The stream was created anew, or the record is older than the retention.",
            )
            self._resume_at = TRIM_HORIZON
            return self._api.get_iterator(self._stream, shard_id, TRIM_HORIZON)
        except StreamError as error:
            if error.code != "STREAM_SHARD_NOT_FOUND":
                raise
            self._guard.report(
                "DATA_LOSS_SHARD",
                f"{self._subject} is gone, and with it what was behind {name_position(position)}.",
                "All its records are older than the retention: read more often or lengthen that.",
            )
            return None

    def _wait_for_leave(self) -> None:
        wait_s = 1.0
        while wait_s > 0:
            wait_s = self._pace.claim(self._monotonic(), self._settings.max_fetch_bytes_per_s)
            # Also when nothing is left to wait: a task that was stopped ends here.
            self._sleep(wait_s)

    def _note_damage(self) -> None:
        self._damaged += 1
        if self._end is not None and self._damaged >= DAMAGED_REPLIES:
            raise ServiceError(
                "SERVICE_INCOMPLETE_REPLY",
                f"{self._subject}: {self._damaged} GetRecords replies in a row had no next "
                f"iterator although {name_position(self._range.end)} is still ahead.",
                "Spark repeats the task; if it stays, look at what stands between here and AWS.",
            )
        logger.warning(
            "Shard %s of stream %s: a reply had no next iterator; reading again behind %s.",
            self._range.shard_id,
            self._stream.key,
            name_position(self._resume_at),
        )

    def _check_stall(self, moved_s: float) -> None:
        waited_s = self._monotonic() - moved_s
        if waited_s > STALL_S:
            raise ServiceError(
                "SERVICE_STALLED",
                f"{self._subject} gave only empty pages or expired iterators for {waited_s:.0f} s "
                f"while {name_position(self._range.end)} is ahead of "
                f"{name_position(self._resume_at)}.",
                "Spark repeats the task; if it stays, the records may be older than the retention.",
            )
