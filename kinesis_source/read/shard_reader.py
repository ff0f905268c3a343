"""ShardReader, on the executors: the records of one ShardRange, page by page, in order.

Stops at the range's end by sequence number, never by time; at a closed shard's end only where AWS
shows that nothing is left. Resumes after the last record READ when an iterator has expired. Neither
threads nor Spark here: see read/task.py for several shards side by side.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from kinesis_source.aws.api import (
    ALL_DATA,
    IteratorExpiredError,
    Page,
    PositionRefusedError,
    StreamApi,
)
from kinesis_source.cursor.losses import Loss, LossPolicy
from kinesis_source.cursor.naming import name_position
from kinesis_source.cursor.shard_cursor import ShardCursor, records_between
from kinesis_source.errors import ServiceError, StreamError
from kinesis_source.model.positions import TRIM_HORIZON, AfterRecord, FromRecord, Position
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.settings import ReadSettings, StreamSettings
from kinesis_source.read.doubts import Doubt, Doubts
from kinesis_source.read.pacing import pace_of
from kinesis_source.read.page_size import PageSize
from kinesis_source.read.trimming import TrimCheck

__all__ = ["ShardReader"]

logger = logging.getLogger("kinesis_source")

DAMAGED_REPLIES = 5
"""Replies without next iterator, and without proof that the shard ended, in a row."""
MISSING_S = 5.0
"""Empty pages at the tip for this long, where a record that exists must be ahead."""
BELIEF_REPLIES = 3
BELIEF_S = 5.0
"""So often, over so long, AWS must say that it does not know a record or a shard."""
REPEAT_S = 2.0
"""Between two of these questions."""
STALL_S = 120.0
"""Pages that bring nothing for this long, by the time spent on asking for them."""
MOST_REPEATED = 5
"""Records before the place that an emulator may bring again."""
FREE_PAGES = 3
PAUSE_S = 0.2
"""After so many pages that brought nothing each next one waits, also where no rate is kept."""


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
        self._before_page = before_page
        self._monotonic = monotonic
        self._sleep = sleep
        self._last = _number_before(shard_range)
        end = shard_range.end
        self._end = int(end.sequence_number) if isinstance(end, AfterRecord) else None
        self._check = TrimCheck(api, stream, shard_range)
        self._cursor = ShardCursor(
            api,
            stream,
            shard_range.shard_id,
            shard_range.start,
            monotonic=monotonic,
            data_prefix=data_prefix,
            horizon=self._check.horizon,
        )
        self._losses = LossPolicy(fails=settings.fail_on_data_loss)
        self._doubts = Doubts()
        self._hindrance = "pages without records"
        self._place_of_page: Position | FromRecord = shard_range.start
        self._reached: Position | FromRecord = shard_range.start
        self._is_over = False
        self._asked_s = 0.0
        self._fruitless = 0
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
        limit = self._size.first()
        while not self._is_over:
            waited_s = self._wait_for_leave()
            if self._before_page is not None:
                self._before_page(self._size.page_bytes(limit))
            # What a consumer takes its time for, and the wait for memory, is no stall.
            began_s = self._monotonic() - waited_s
            page = self._next_page(limit)
            records = self._take(page) if page is not None else None
            if records is not None and len(records):
                self._asked_s, self._fruitless = 0.0, 0
                if page is not None and not self._is_over:
                    limit = self._size.next(page)
                del page  # while the next one comes, only who reads the records holds them
                yield records
                del records
            elif not self._is_over:
                self._fruitless += 1
                if self._fruitless > FREE_PAGES:
                    self._sleep(PAUSE_S)
                self._asked_s += self._monotonic() - began_s
                self._check_stall()

    # One page

    def _next_page(self, limit: int) -> Page | None:
        """Ask for a page; None if there was no answer of use."""
        cursor, position = self._cursor, self._cursor.position
        has_iterator, is_new = cursor.has_iterator, self._check.pending is None
        self._place_of_page = position
        again = self._check.begins(position, has_iterator=has_iterator)
        if again and is_new:
            cursor.seek(position)
        # The record that is asked for once more must not be all that the page has room for; nor
        # must what an emulator repeats.
        spare = min(self._fruitless, MOST_REPEATED) + again
        limit = max(1 + spare, min(limit + spare, self._settings.max_records_per_fetch))
        began_s = self._monotonic()
        try:
            page = cursor.next_page(limit, inclusive=again)
        except IteratorExpiredError:
            self._hindrance = "iterators that had expired"
            return None
        except PositionRefusedError as error:
            self._note_refusal(error)
            return None
        except StreamError as error:
            if error.code not in ("STREAM_SHARD_NOT_FOUND", "STREAM_NOT_FOUND"):
                raise
            self._note_denial(error)
            return None
        self._hindrance = "pages without records"
        rate = self._settings.max_fetch_bytes_per_s
        self._pace.note(page, began_s, self._monotonic(), rate)
        if not again and self._check.begins(position, has_iterator=has_iterator):
            # The reply told the time: a machine that slept did not know how late it is.
            cursor.seek(position)
            return None
        return page

    def _take(self, page: Page) -> Page:
        """Return what is wanted of a page, after a look at what it proves."""
        if (len(page) or not page.millis_behind_latest) and not self._is_checked(page):
            return records_between(page, self._last, self._last)
        records = records_between(page, self._last, self._end)
        if len(records):
            self._last = int(records.sequence_numbers[-1])
            self._reached = AfterRecord(records.sequence_numbers[-1], records.arrival_ms[-1])
            self._doubts.clear()
        self._is_over = self._is_done(page)
        if not self._is_over:
            self._look_for_doubts(page)
        return records

    def _is_checked(self, page: Page) -> bool:
        """Look for what must be there; False: asks once more before a loss is believed."""
        expected, place = self._check.pending, self._place_of_page
        loss = self._check.judge(page)
        if loss is None:
            return True
        self._doubts.note(Doubt.TRIMMED, self._monotonic())
        now_s = self._monotonic()
        if len(page):
            is_believed = self._doubts.lasts(Doubt.TRIMMED, 2, 0, now_s)
        else:
            is_long = self._doubts.lasts(Doubt.TRIMMED, 2, MISSING_S, now_s)
            is_believed = is_long and expected is not None and self._check.may_be_trimmed(expected)
        if is_believed:
            self._losses.report(loss)
            self._check.give_up(place)
            return True
        self._check.pending = expected
        self._cursor.seek(place)
        self._sleep(PAUSE_S)
        return False

    def _is_done(self, page: Page) -> bool:
        if self._end is None:
            if page.next_iterator is not None:
                return False
            # The driver saw the shard closed in a listing. ChildShards prove the end; without them
            # the reply may be damaged, so the same place is asked again before it is believed.
            return page.is_shard_end or self._doubts.lasts(
                Doubt.DAMAGED, DAMAGED_REPLIES, 0, self._monotonic()
            )
        if self._last >= self._end:
            return True
        passed = bool(len(page)) and int(page.sequence_numbers[-1]) > self._end
        if passed or page.is_shard_end or self._is_end_missing(page):
            self._losses.report(
                Loss(
                    "DATA_LOSS_BOUND",
                    f"{self._subject}: the record that ends this batch, "
                    f"{name_position(self._range.end)}, is gone, and with it what was behind "
                    f"{self._place}.",
                    "It is older than the stream's retention: read more often or lengthen that.",
                )
            )
            return True
        return False

    def _is_end_missing(self, page: Page) -> bool:
        """Say whether the tip shows for a while, and no end, which is old enough to be gone."""
        is_tip = not len(page) and not page.millis_behind_latest and page.next_iterator is not None
        if not is_tip:
            return False
        self._doubts.note(Doubt.END_MISSING, self._monotonic())
        is_long = self._doubts.lasts(Doubt.END_MISSING, 2, MISSING_S, self._monotonic())
        return is_long and self._check.horizon.is_record_old(self._range.end)

    def _look_for_doubts(self, page: Page) -> None:
        if page.next_iterator is None:
            self._note_damage()
        elif len(page):
            self._doubts.clear()

    # What AWS denies

    def _note_refusal(self, error: PositionRefusedError) -> None:
        """Believe that AWS does not know a record only if it says so again and again."""
        self._doubts.note(Doubt.REFUSED, self._monotonic())
        self._hindrance = "refusals of the position"
        if not self._is_believed(Doubt.REFUSED):
            self._sleep(REPEAT_S)
            return
        self._doubts.clear()
        self._losses.report(
            Loss(
                "DATA_LOSS_POSITION",
                f"{self._subject}: AWS does not know {self._place} any more, asked "
                f"{BELIEF_REPLIES} times in {BELIEF_S:.0f} s and more ({error}). Records behind it "
                "may be gone.",
                "The stream was created anew, or the record is older than the retention.",
            )
        )
        self._check.pending = None
        # What was read stays read: the number is kept, and repeats are cut.
        self._cursor.seek(TRIM_HORIZON)

    def _note_denial(self, denial: StreamError) -> None:
        """Believe that a shard is gone only if fresh listings agree, more than once."""
        try:
            shards = self._api.list_shards(self._stream)
        except StreamError as error:
            if error.code != "STREAM_NOT_FOUND":
                raise
            denial, shards = error, ()
        if any(shard.shard_id == self._range.shard_id for shard in shards):
            logger.warning(
                "%s: a reply denies the shard, the listing shows it; asking again.", self._subject
            )
            self._doubts.clear()
            self._hindrance = "replies that deny a shard which the listing shows"
            self._sleep(REPEAT_S)
            return
        self._doubts.note(Doubt.DENIED, self._monotonic())
        if not self._is_believed(Doubt.DENIED):
            self._sleep(REPEAT_S)
            return
        if denial.code == "STREAM_NOT_FOUND":
            raise denial
        self._is_over = True
        # Only a record that was seen proves that something was there.
        is_sure = self._end is not None or isinstance(self._reached, FromRecord)
        what = "is gone" if is_sure else "may be gone"
        self._losses.report(
            Loss(
                "DATA_LOSS_SHARD",
                f"{self._subject} is not known any more: what was behind {self._place} {what}.",
                "All its records are older than the retention: read more often or lengthen that.",
            )
        )

    def _is_believed(self, doubt: Doubt) -> bool:
        return self._doubts.lasts(doubt, BELIEF_REPLIES, BELIEF_S, self._monotonic())

    def _note_damage(self) -> None:
        self._doubts.note(Doubt.DAMAGED, self._monotonic())
        if self._end is not None and self._doubts.count >= DAMAGED_REPLIES:
            raise ServiceError(
                "SERVICE_INCOMPLETE_REPLY",
                f"{self._subject}: {self._doubts.count} GetRecords replies in a row had no next "
                f"iterator although {name_position(self._range.end)} is still ahead.",
                "Spark repeats the task; if it stays, look at what stands between here and AWS.",
            )
        logger.warning(
            "%s: a reply had no next iterator; reading again behind %s.", self._subject, self._place
        )

    # Waiting

    @property
    def _subject(self) -> str:
        return f"Shard {self._range.shard_id!r} of stream {self._stream.key!r}"

    @property
    def _place(self) -> str:
        return name_position(self._reached)

    def _wait_for_leave(self) -> float:
        """Wait until the shard may be asked; return for how long."""
        began_s = self._monotonic()
        wait_s = 1.0
        while wait_s > 0:
            wait_s = self._pace.claim(self._monotonic(), self._settings.max_fetch_bytes_per_s)
            # Also when nothing is left to wait: a task that was stopped ends here.
            self._sleep(wait_s)
        return self._monotonic() - began_s

    def _check_stall(self) -> None:
        if self._asked_s > STALL_S:
            raise ServiceError(
                "SERVICE_STALLED",
                f"{self._subject} gave no record for {self._asked_s:.0f} s of asking "
                f"({self._fruitless} replies, at last {self._hindrance}), while "
                f"{name_position(self._range.end)} is ahead of {self._place}.",
                "Spark repeats the task; if it stays, the records may be older than the retention, "
                "or what stands between here and AWS repeats an old reply.",
            )


def _number_before(shard_range: ShardRange) -> int:
    """Return the number up to which records were read before; -1 if there is none."""
    start = shard_range.start
    if isinstance(start, FromRecord):
        return int(start.sequence_number) - 1
    if isinstance(start, AfterRecord):
        return int(start.sequence_number)
    return int(getattr(start, "behind", None) or -1)
