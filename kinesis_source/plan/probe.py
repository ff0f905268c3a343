"""ShardProbe, on the driver: learns how far one shard goes.

Kinesis has no call for it. A probe reads a little and remembers the last record it saw: its
*bound*. Any record ahead of the last bound is a good bound; how it was found never matters for
correctness, only for progress. One poll does one of three things (docs/ARCHITECTURE.md):

- walk: one small page on the iterator kept from the last one;
- leap, when a walk did not reach the tip: the first record of the last 200 ms;
- search, when a leap found nothing ahead: walk, and halve the time between the bound and the leap.

After a leap that hit, the next poll leaps first: at full rate a poll is one GetShardIterator and
one GetRecords. At least every second poll walks or moves ahead, so progress never depends on
arrival times, which AWS does not promise to be in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from kinesis_source.aws.api import (
    NO_DATA,
    IteratorExpiredError,
    Page,
    PositionRefusedError,
    StreamApi,
)
from kinesis_source.cursor.density import density_of
from kinesis_source.errors import StreamError
from kinesis_source.model.positions import (
    END,
    AfterRecord,
    AtTimestamp,
    Position,
    complete_at_ms,
    is_ahead,
    is_finished,
    with_completeness,
)
from kinesis_source.model.ranges import Density
from kinesis_source.options.settings import StreamSettings

__all__ = ["LARGEST_INTERVAL_S", "Outcome", "ShardProbe"]

WALK_BYTES = 64 * 1024
"""What one walk may cost of a shard's 2 MiB/s, which it shares with the executors."""
QUIET_WALK_BYTES = 1024 * 1024
"""The same where a leap just showed that nothing is being written, and no executor reads: what is
left is little, or old. In steps of 64 KiB the last second of a shard at full rate took eight polls.
"""
FIRST_RECORD_BYTES = 2 * 1024
"""Guess of the mean record size until records were seen."""
LEAP_BACK_MS = 200
"""How far before now a leap lands. Nearer, and a shard at full rate may have no record there."""
SEARCH_DONE_MS = 50
ITERATOR_LIFE_S = 240.0
"""AWS: five minutes (GetShardIterator, API reference). Younger ones save a failing call."""
UNANSWERED_TRIES = 3
LEAP_AFTER_UNANSWERED = 5
LARGEST_INTERVAL_S = 10.0
LARGEST_LIMIT = 10_000
NOTE_EVERY_MS = 6 * 3_600_000
"""A quarter of the shortest retention."""


class Outcome(Enum):
    """What a poll learned."""

    TIP = "nothing is left behind the bound"
    MORE = "there may be more"
    UNANSWERED = "an empty page that is not at the tip: ask again soon"
    GONE = "AWS knows the shard no more"
    REFUSED = "AWS knows the record no more that the bound is behind"
    UNLISTED_END = "no next iterator and no children: list the shards again"


class ShardProbe:
    """One shard's bound.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    shard_id : str
    start : Position
        Where the query is in this shard. Never END.
    monotonic : callable
        Seconds that never go back.
    not_after_ms : int or None
        Records that arrived later are refused as bounds (AvailableNow).
    note_every_ms : int
        How often an idle shard's bound notes that nothing behind it is gone.
    """

    def __init__(
        self,
        api: StreamApi,
        stream: StreamSettings,
        shard_id: str,
        start: Position,
        *,
        monotonic: Callable[[], float],
        not_after_ms: int | None = None,
        note_every_ms: int = NOTE_EVERY_MS,
    ) -> None:
        self.shard_id = shard_id
        self.bound: Position = start
        self.first_ms: int | None = None  # arrival of the first record behind a start
        self.millis_behind_latest: int | None = None
        self.is_exhausted = False  # with not_after_ms: the last record that counts is known
        self._api = api
        self._stream = stream
        self._monotonic = monotonic
        self._not_after_ms = not_after_ms
        self._note_every_ms = note_every_ms
        self._adopted_ms: int | None = None
        self._iterator: str | None = None
        self._iterator_since_s = 0.0
        self._record_bytes = float(FIRST_RECORD_BYTES)
        self.density: Density | None = None  # by the last walk that saw records
        self._search_until_ms: int | None = None
        self._leap_first = False
        self._unanswered_in_row = 0

    def poll(self, *, shares_rate: bool = False) -> Outcome:
        """Look once: at most one GetShardIterator and two GetRecords, one of them with Limit 1.

        Parameters
        ----------
        shares_rate : bool
            Executors may be reading the shard: take little of its 2 MiB/s.
        """
        if is_finished(self.bound) or self.is_exhausted:
            return Outcome.TIP
        try:
            return self._look(shares_rate)
        except PositionRefusedError:
            # A moment may lie ahead of AWS's clock for a while; a record that AWS does not know
            # will not come back.
            self._iterator = None
            is_record = isinstance(self.bound, AfterRecord)
            return Outcome.REFUSED if is_record else Outcome.UNANSWERED
        except StreamError as error:
            if error.code != "STREAM_SHARD_NOT_FOUND":
                raise
            return Outcome.GONE
        except IteratorExpiredError:
            # Too old at its first use: the machine slept, or a call was repeated for minutes.
            self._iterator = None
            return Outcome.UNANSWERED

    def _look(self, shares_rate: bool) -> Outcome:
        if self._leap_first:
            self._leap_first = self._leap()
            return Outcome.MORE
        is_quiet = self._search_until_ms is not None and not shares_rate
        return self._walk(QUIET_WALK_BYTES if is_quiet else WALK_BYTES)

    def interval_s(self, poll_interval_s: float) -> float:
        """Return the time to the next poll: longer where one record fills a walk."""
        factor = max(1.0, self._record_bytes / WALK_BYTES)
        longest = max(poll_interval_s, LARGEST_INTERVAL_S)
        return min(poll_interval_s * factor, longest)

    # Walk

    def _walk(self, most_bytes: int) -> Outcome:
        limit = max(1, min(LARGEST_LIMIT, int(most_bytes / self._record_bytes)))
        asked_ms = self._api.now_ms()
        page, is_iterator_new = self._page_behind_bound(limit)
        self.millis_behind_latest = page.millis_behind_latest
        if len(page):
            self._learn_size(page)
            if not isinstance(self.bound, AfterRecord):
                self.first_ms = min(page.arrival_ms)
        refused = self._advance(page)
        self._keep(page.next_iterator)
        if refused:
            self.is_exhausted = True
            return Outcome.TIP
        if page.next_iterator is None:
            if page.is_shard_end:
                self.bound = END
                return Outcome.TIP
            return Outcome.UNLISTED_END
        if page.millis_behind_latest == 0 and len(page) < limit:
            if not len(page):
                self._note_complete(asked_ms)
            return self._at_tip(page)
        if not len(page):
            return self._unanswered()
        self._unanswered_in_row = 0
        self._look_ahead(is_iterator_new)
        return Outcome.MORE

    def _look_ahead(self, is_iterator_new: bool) -> None:
        """Leap or search; one GetShardIterator a poll, so after a new one in the next poll."""
        if self._search_until_ms is None:
            self._leap_first = is_iterator_new or self._leap()
        elif not is_iterator_new:
            self._search(self._search_until_ms)

    def _at_tip(self, page: Page) -> Outcome:
        self._search_until_ms = None
        if self._not_after_ms is not None:
            # Only an empty page proves that nothing was left: a short one may merely be short.
            self.is_exhausted = not len(page)
            return Outcome.TIP if self.is_exhausted else Outcome.MORE
        return Outcome.TIP

    def _unanswered(self) -> Outcome:
        """Look elsewhere once in a while: behind a trimmed record pages may be empty for ever."""
        self._unanswered_in_row += 1
        if self._unanswered_in_row % LEAP_AFTER_UNANSWERED == 0:
            self._leap_first = self._leap()
        return Outcome.UNANSWERED

    def _note_complete(self, asked_ms: int) -> None:
        """Note once in a while that the shard held nothing behind the bound.

        Its last record may grow older than the retention without anything being lost.
        """
        known_ms = complete_at_ms(self.bound)
        if known_ms is None:
            # A shard that is new in this look: the planner notes the time of its adoption.
            known_ms = self._adopted_ms = self._adopted_ms or asked_ms
        if asked_ms - known_ms > self._note_every_ms:
            self.bound = with_completeness(self.bound, asked_ms)

    def _page_behind_bound(self, limit: int) -> tuple[Page, bool]:
        """Return a page, and whether it took a new iterator."""
        if self._monotonic() - self._iterator_since_s > ITERATOR_LIFE_S:
            self._iterator = None
        if self._iterator is not None:
            try:
                return self._get_page(self._iterator, limit), False
            except IteratorExpiredError:
                self._iterator = None
        iterator = self._api.get_iterator(self._stream, self.shard_id, self.bound)
        return self._get_page(iterator, limit), True

    def _get_page(self, iterator: str, limit: int) -> Page:
        return self._api.get_page(self._stream, self.shard_id, iterator, limit, NO_DATA)

    def _advance(self, page: Page) -> bool:
        """Move the bound to the last record of a page; say whether a later one was refused."""
        last = len(page) - 1
        if self._not_after_ms is not None:
            while last >= 0 and page.arrival_ms[last] > self._not_after_ms:
                last -= 1
        if last >= 0 and self._is_begun(page.arrival_ms[: last + 1]):
            self._take(AfterRecord(page.sequence_numbers[last], page.arrival_ms[last]))
        return last < len(page) - 1

    def _is_begun(self, arrival_ms: Sequence[int]) -> bool:
        """Say whether executors, who look from the start on anew, come to these records at all.

        An iterator of a moment without later records gives what is put next, even if its arrival
        time lies before that moment; one that is made afterwards skips such records.
        """
        start = self.bound
        return not isinstance(start, AtTimestamp) or max(arrival_ms) >= start.epoch_ms

    def _take(self, bound: AfterRecord) -> bool:
        if not is_ahead(bound, self.bound):
            return False
        self.bound = bound
        return True

    def _keep(self, iterator: str | None) -> None:
        self._iterator = iterator
        self._iterator_since_s = self._monotonic()

    def _learn_size(self, page: Page) -> None:
        self.density = density_of(page, page.data_bytes, self.density)
        mean = self.density.record_bytes
        self._record_bytes = max(
            1.0, (self._record_bytes + mean) / 2 if mean < WALK_BYTES else mean
        )

    # Leap and search

    def _leap(self) -> bool:
        """Try for a record of the last moments; say whether one was found."""
        moment_ms = self._api.now_ms() - LEAP_BACK_MS
        if self._not_after_ms is not None:
            moment_ms = min(moment_ms, self._not_after_ms - LEAP_BACK_MS)
        if not isinstance(self.bound, AfterRecord) or moment_ms <= self.bound.arrival_ms:
            return False
        if self._find_from(moment_ms) is Found.AHEAD:
            self._search_until_ms = None
            return True
        self._search_until_ms = moment_ms
        return False

    def _search(self, until_ms: int) -> None:
        arrival_ms = self.bound.arrival_ms if isinstance(self.bound, AfterRecord) else until_ms
        if until_ms - arrival_ms <= SEARCH_DONE_MS:
            self._search_until_ms = None
            return
        moment_ms = (arrival_ms + until_ms) // 2
        if self._find_from(moment_ms) is Found.NOTHING:
            self._search_until_ms = moment_ms

    def _find_from(self, moment_ms: int) -> Found:
        """Take the first record at or after a moment as the bound, if it lies ahead of it."""
        try:
            iterator: str | None = self._api.get_iterator(
                self._stream, self.shard_id, AtTimestamp(moment_ms)
            )
        except PositionRefusedError:
            return Found.UNKNOWN
        for _ in range(UNANSWERED_TRIES):
            if iterator is None:
                break
            page = self._get_page(iterator, 1)
            if len(page):
                return self._take_first(page)
            if page.millis_behind_latest == 0:
                return Found.NOTHING
            iterator = page.next_iterator
        return Found.UNKNOWN

    def _take_first(self, page: Page) -> Found:
        first = AfterRecord(page.sequence_numbers[0], page.arrival_ms[0])
        if self._is_refused(first.arrival_ms) or not self._take(first):
            return Found.NOTHING
        self._keep(page.next_iterator)
        self.millis_behind_latest = page.millis_behind_latest
        return Found.AHEAD

    def _is_refused(self, arrival_ms: int) -> bool:
        return self._not_after_ms is not None and arrival_ms > self._not_after_ms


class Found(Enum):
    """What one look from a moment on showed."""

    AHEAD = "a record ahead of the bound"
    NOTHING = "no record ahead of the bound"
    UNKNOWN = "no answer"
