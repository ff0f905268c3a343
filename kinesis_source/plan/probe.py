"""ShardProbe, on the driver: learns how far one shard goes.

Kinesis has no call for it. A probe reads a little and remembers the last record it saw: its
*bound*. Any record ahead of the last bound is a good bound; how it was found never matters for
correctness, only for progress. One poll does one of three things (docs/ARCHITECTURE.md):

- walk: one small page on the iterator kept from the last one;
- leap, when a walk did not reach the tip: the first record of the last 200 ms;
- search, when a leap found nothing ahead: walk, and halve the time between the bound and the leap.

The first look at a shard that is behind walks and leaps, so that the first batch of a backlog is a
large one.

After a leap that hit, the next poll leaps first: at full rate a poll is one GetShardIterator and
one GetRecords. At least every second poll walks or moves ahead, so progress never depends on
arrival times, which AWS does not promise to be in order.

A poll makes each call once: what AWS throttles is asked again later, no thread sleeps on it. What
it learned leaves as a Finding that nobody changes afterwards; a probe is polled by one thread at a
time, and shares nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from kinesis_source.aws.api import IteratorExpiredError, Page, PositionRefusedError, StreamApi
from kinesis_source.cursor.density import density_of
from kinesis_source.cursor.horizon import SHORTEST_RETENTION_MS, Horizon
from kinesis_source.cursor.shard_cursor import ShardCursor, first_page, records_between
from kinesis_source.errors import KinesisSourceError, ServiceError
from kinesis_source.model.positions import (
    AfterRecord,
    AtTimestamp,
    FromRecord,
    Position,
    ShardEnd,
    empty_at_ms,
    is_ahead,
    with_emptiness,
)
from kinesis_source.model.ranges import Density
from kinesis_source.options.settings import StreamSettings
from kinesis_source.plan.finding import Finding, Outcome

__all__ = ["NOT_FOUND_CODES", "ShardProbe"]

WALK_BYTES = 64 * 1024
"""What one walk may cost of a shard's 2 MiB/s, which it shares with the executors."""
QUIET_WALK_BYTES = 1024 * 1024
"""The same where no executor reads and what is left is little or old: a leap just showed that
nothing is being written, or there is a target, or the first look found the last moment's records
and more of them. In steps of 64 KiB the last second of a shard at full rate took eight polls."""
FIRST_RECORD_BYTES = 2 * 1024
"""Guess of the mean record size until records were seen."""
LEAP_BACK_MS = 200
"""How far before now a leap lands. Nearer, and a shard at full rate may have no record there."""
SEARCH_DONE_MS = 50
LEAP_AFTER_UNANSWERED = 5
LARGEST_LIMIT = 10_000
NOT_FOUND_CODES = frozenset({"STREAM_SHARD_NOT_FOUND", "STREAM_NOT_FOUND"})
"""One such answer contradicts the listing; descriptions and listings decide."""
NOTE_EVERY_MS = 3_600_000
"""How often an idle shard's bound notes that nothing is behind it. A query that is down for the
retention less this can tell that nothing was lost."""


class ShardProbe:
    """One shard's bound.

    Parameters
    ----------
    api : StreamApi
        Whose calls are made once, see StreamApi.trying_once.
    stream : StreamSettings
    shard_id : str
    start : Position
        Where the query is in this shard. Not finished.
    monotonic : callable
        Seconds that never go back.
    not_after_ms : int or None
        Records that arrived later are refused as bounds (AvailableNow).
    retention_ms : callable
        How long the stream keeps records.
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
        retention_ms: Callable[[], int] = lambda: SHORTEST_RETENTION_MS,
    ) -> None:
        self._api = api
        self._stream = stream
        self._shard_id = shard_id
        self._monotonic = monotonic
        self._not_after_ms = not_after_ms
        self._bound = start
        self._read_before = int(getattr(start, "behind", None) or -1)
        self._first: FromRecord | None = None
        self._has_looked = False
        self._is_unwatched = False
        self._is_exhausted = False
        self._millis_behind_latest: int | None = None
        self._density: Density | None = None
        self._record_bytes = float(FIRST_RECORD_BYTES)
        self._horizon = Horizon(api.now_ms, retention_ms)
        self._cursor = self._cursor_at(start)
        self._search_until_ms: int | None = None
        self._leap_first = False
        self._has_looked_ahead = False
        self._is_near_tip = False
        self._unanswered_in_row = 0

    def poll(self, *, shares_rate: bool = False) -> Finding:
        """Look once: at most one GetShardIterator and two GetRecords, one of them with Limit 1.

        The first look that finds records left may take two GetShardIterator.

        Parameters
        ----------
        shares_rate : bool
            Executors may be reading the shard: take little of its 2 MiB/s.

        Raises
        ------
        KinesisSourceError
            What does not pass by itself: access, credentials, a stream that is gone.
        """
        self._is_unwatched = False
        if isinstance(self._bound, ShardEnd) or self._is_exhausted:
            return self._finding(Outcome.TIP)
        try:
            return self._finding(self._look(shares_rate))
        except PositionRefusedError as error:
            return self._refused(error)
        except IteratorExpiredError:
            # Younger than AWS promises, or the machine slept.
            return self._finding(Outcome.UNANSWERED)
        except KinesisSourceError as error:
            if error.is_worth_repeating:
                return self._finding(Outcome.LATER, error)
            if error.code not in NOT_FOUND_CODES:
                raise
            self._cursor.seek(self._cursor.position)
            return self._finding(Outcome.DENIED, error)

    def _refused(self, refusal: PositionRefusedError) -> Finding:
        position = self._cursor.position
        self._cursor.seek(position)
        if isinstance(position, AfterRecord):
            return self._finding(Outcome.REFUSED)
        if isinstance(position, AtTimestamp):
            return self._finding(Outcome.IN_FUTURE)
        error = ServiceError(
            "SERVICE_ERROR",
            f"Shard {self._shard_id!r} of stream {self._stream.key!r}: AWS refuses to begin with "
            f"the oldest record ({refusal}).",
            "Look at what stands between here and AWS.",
        )
        return self._finding(Outcome.LATER, error)

    def _cursor_at(self, position: Position) -> ShardCursor:
        return ShardCursor(
            self._api,
            self._stream,
            self._shard_id,
            position,
            monotonic=self._monotonic,
            horizon=self._horizon,
        )

    def _finding(self, outcome: Outcome, error: KinesisSourceError | None = None) -> Finding:
        return Finding(
            outcome,
            self._bound,
            self._first,
            self._has_looked,
            self._is_exhausted,
            self._density,
            self._millis_behind_latest,
            max(1.0, self._record_bytes / WALK_BYTES),
            error,
            self._place,
            self._is_unwatched,
            self._search_until_ms is not None,
        )

    @property
    def _place(self) -> Position:
        position = self._cursor.position
        return self._bound if isinstance(position, FromRecord) else position

    def _look(self, shares_rate: bool) -> Outcome:
        if self._leap_first:
            self._leap_first = self._leap()
            return Outcome.MORE
        if shares_rate:
            return self._walk(WALK_BYTES)
        is_first = not self._has_looked_ahead
        outcome = self._walk(QUIET_WALK_BYTES if self._is_quiet else WALK_BYTES)
        if is_first and self._is_near_tip and outcome is Outcome.MORE:
            return self._walk(QUIET_WALK_BYTES)
        return outcome

    @property
    def _is_quiet(self) -> bool:
        return self._search_until_ms is not None or self._not_after_ms is not None

    # Walk

    def _walk(self, most_bytes: int) -> Outcome:
        limit = max(1, min(LARGEST_LIMIT, int(most_bytes / self._record_bytes)))
        asked_ms = self._api.now_ms()
        page = self._cursor.next_page(limit)
        self._millis_behind_latest = page.millis_behind_latest
        found = len(page)
        if found:
            self._learn_size(page)
        # A cursor that went to the oldest record brings again what lies before the bound.
        bound = self._bound
        known = int(bound.sequence_number) if isinstance(bound, AfterRecord) else self._read_before
        page = records_between(page, known, None)
        if len(page) or page.millis_behind_latest == 0:
            self._note_answer(page)
        refused = self._advance(page)
        if refused:
            self._is_exhausted = True
            return Outcome.TIP
        if page.next_iterator is None:
            if page.is_shard_end:
                self._bound = ShardEnd(empty_at_ms(self._bound))
                return Outcome.TIP
            return Outcome.UNLISTED_END
        if page.millis_behind_latest == 0 and found < limit:
            self._note_empty(asked_ms)
            return self._at_tip(page)
        if not found:
            return self._unanswered()
        self._unanswered_in_row = 0
        self._look_ahead()
        return Outcome.MORE

    def _note_answer(self, page: Page) -> None:
        """Take an answer: this is what is behind the bound, or that nothing is.

        Behind a record executors look themselves whether something is gone, if they come there.
        """
        self._has_looked = True
        if not (len(page) and isinstance(self._bound, AfterRecord)):
            self._is_unwatched = self._horizon.is_unwatched(self._bound)

    def _look_ahead(self) -> None:
        """Leap or search; one GetShardIterator a poll, so after a new one in the next poll.

        But not the first time: nobody has asked this shard for anything yet.
        """
        if not self._has_looked_ahead:
            self._has_looked_ahead = True
            self._leap_first = self._leap()
        elif self._search_until_ms is None:
            self._leap_first = self._cursor.took_iterator or self._leap()
        elif not self._cursor.took_iterator:
            self._search(self._search_until_ms)

    def _at_tip(self, page: Page) -> Outcome:
        self._search_until_ms = None
        if self._not_after_ms is not None:
            # Only an empty page proves that nothing was left: a short one may merely be short.
            self._is_exhausted = not len(page)
            return Outcome.TIP if self._is_exhausted else Outcome.MORE
        return Outcome.TIP

    def _unanswered(self) -> Outcome:
        """Look elsewhere once in a while: behind a trimmed record pages may be empty for ever."""
        self._unanswered_in_row += 1
        if self._unanswered_in_row % LEAP_AFTER_UNANSWERED == 0:
            self._leap_first = self._leap()
        return Outcome.UNANSWERED

    def _note_empty(self, asked_ms: int) -> None:
        """Note once in a while that the shard held nothing behind the bound.

        Its last record may grow older than the retention without anything being lost.
        """
        if self._horizon.is_unwatched(self._bound):
            return  # what may be gone has to be said first
        if asked_ms - (empty_at_ms(self._bound) or 0) > NOTE_EVERY_MS:
            self._bound = with_emptiness(self._bound, asked_ms)

    def _advance(self, page: Page) -> bool:
        """Move the bound to the last record of a page; say whether a later one was refused.

        With a target that is the one before the first record that is refused, whatever comes behind
        that: arrival times do not always rise, and there AWS begins for whoever asks for the moment
        behind the target. So windows that follow each other have each record once.
        """
        refused = (at for at, ms in enumerate(page.arrival_ms) if self._is_refused(ms))
        last = next(refused, len(page)) - 1
        if last >= 0:
            if self._first is None and not isinstance(self._bound, AfterRecord):
                self._first = FromRecord(page.sequence_numbers[0], page.arrival_ms[0])
            self._take(AfterRecord(page.sequence_numbers[last], page.arrival_ms[last]))
        return last < len(page) - 1

    def _take(self, bound: AfterRecord) -> bool:
        if not is_ahead(bound, self._bound):
            return False
        self._bound = bound
        return True

    def _learn_size(self, page: Page) -> None:
        self._density = density_of(page, page.data_bytes, self._density)
        mean = self._density.record_bytes
        self._record_bytes = max(
            1.0, (self._record_bytes + mean) / 2 if mean < WALK_BYTES else mean
        )

    # Leap and search

    def _leap(self) -> bool:
        """Try for a record of the last moments; say whether one was found."""
        moment_ms = self._api.now_ms() - LEAP_BACK_MS
        if self._not_after_ms is not None:
            moment_ms = min(moment_ms, self._not_after_ms - LEAP_BACK_MS)
        if not isinstance(self._bound, AfterRecord):
            return False
        self._is_near_tip = moment_ms <= self._bound.arrival_ms
        if self._is_near_tip:
            return False
        if self._find_from(moment_ms) is Found.AHEAD:
            self._search_until_ms = None
            return True
        self._search_until_ms = moment_ms
        return False

    def _search(self, until_ms: int) -> None:
        arrival_ms = self._bound.arrival_ms if isinstance(self._bound, AfterRecord) else until_ms
        if until_ms - arrival_ms <= SEARCH_DONE_MS:
            self._search_until_ms = None
            return
        moment_ms = (arrival_ms + until_ms) // 2
        if self._find_from(moment_ms) is Found.NOTHING:
            self._search_until_ms = moment_ms

    def _find_from(self, moment_ms: int) -> Found:
        """Take the first record at or after a moment as the bound, if it lies ahead of it."""
        look = self._cursor_at(AtTimestamp(moment_ms))
        try:
            page = first_page(look, 1)
        except (PositionRefusedError, IteratorExpiredError):
            return Found.UNKNOWN
        if page is None:
            return Found.UNKNOWN
        if not len(page):
            return Found.NOTHING
        first = AfterRecord(page.sequence_numbers[0], page.arrival_ms[0])
        if self._is_refused(first.arrival_ms) or not self._take(first):
            return Found.NOTHING
        self._cursor = look
        self._millis_behind_latest = page.millis_behind_latest
        return Found.AHEAD

    def _is_refused(self, arrival_ms: int) -> bool:
        return self._not_after_ms is not None and arrival_ms > self._not_after_ms


class Found(Enum):
    """What one look from a moment on showed."""

    AHEAD = "a record ahead of the bound"
    NOTHING = "no record ahead of the bound"
    UNKNOWN = "no answer"
