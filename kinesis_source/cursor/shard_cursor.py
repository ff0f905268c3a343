"""ShardCursor: one reader's place in one shard.

Used by driver (probes, admission) and executors (ranges). Keeps the iterator of the last page as
long as AWS honours it, takes a new one behind the last record READ when it does not, and makes at
most one GetShardIterator and one GetRecords for a page. What a refused position, a shard that is
gone or an empty page mean is for its users to say; they get the api's own exceptions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from kinesis_source.aws.api import NO_DATA, IteratorExpiredError, Page, StreamApi
from kinesis_source.cursor.horizon import Horizon
from kinesis_source.model.positions import TRIM_HORIZON, AfterRecord, FromRecord, Position
from kinesis_source.options.settings import StreamSettings

__all__ = [
    "EMPTY_TRIES",
    "ITERATOR_LIFE_S",
    "SILENT_PAGES",
    "ShardCursor",
    "first_page",
    "records_between",
]

ITERATOR_LIFE_S = 240.0
"""AWS: five minutes (GetShardIterator, API reference). Younger ones save a failing call."""
EMPTY_TRIES = 3
SILENT_PAGES = 5
"""Empty pages behind a record that may be trimmed, before the oldest one is asked for."""


class ShardCursor:
    """A place in a shard that moves with each page.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    shard_id : str
    position : Position or FromRecord
        Where to begin; not finished.
    data_prefix : bytes or None
        See StreamApi.get_page.
    monotonic : callable
        Seconds that never go back.
    horizon : Horizon or None
        Behind a record that may be trimmed, pages may be empty for ever (kinesis-consumer issue
        125): then the cursor goes to the oldest record, and brings what lies before its place
        again. None: it stays.
    """

    def __init__(
        self,
        api: StreamApi,
        stream: StreamSettings,
        shard_id: str,
        position: Position | FromRecord,
        *,
        monotonic: Callable[[], float],
        data_prefix: bytes | None = NO_DATA,
        horizon: Horizon | None = None,
    ) -> None:
        self._api = api
        self._stream = stream
        self._shard_id = shard_id
        self._data_prefix = data_prefix
        self._monotonic = monotonic
        self._horizon = horizon
        self._silent_pages = 0
        self._iterator: str | None = None
        self._iterator_since_s = 0.0
        self.position = position
        """Where the next page begins: behind the last record read."""
        self.took_iterator = False
        """Whether the last page cost a GetShardIterator."""

    def seek(self, position: Position | FromRecord) -> None:
        """Go to a position; the next page takes an iterator there."""
        self.position = position
        self._iterator = None
        self._silent_pages = 0

    @property
    def has_iterator(self) -> bool:
        """Whether the next page needs no GetShardIterator, as far as is known."""
        age_s = self._monotonic() - self._iterator_since_s
        return self._iterator is not None and age_s <= ITERATOR_LIFE_S

    def next_page(self, limit: int, *, inclusive: bool = False) -> Page:
        """Read on.

        Parameters
        ----------
        limit : int
            1 to 10,000 records.
        inclusive : bool
            An iterator that has to be taken begins with the very record that the position lies
            behind: if it is not there, it was trimmed.

        Raises
        ------
        IteratorExpiredError
            The iterator was too old; the next call takes a new one.
        PositionRefusedError, KinesisSourceError
            From the api.
        """
        iterator = self._iterator if self.has_iterator else None
        self.took_iterator = iterator is None
        if iterator is None:
            iterator = self._take_iterator(inclusive=inclusive)
            self._keep(iterator)  # a GetRecords that is refused costs no other one
        try:
            return self._advance(self._get_page(iterator, limit))
        except IteratorExpiredError:
            self._iterator = None
            raise

    def _take_iterator(self, *, inclusive: bool) -> str:
        position = self.position
        if isinstance(position, FromRecord):
            position = AfterRecord(position.sequence_number, position.arrival_ms)
            inclusive = True
        return self._api.get_iterator(self._stream, self._shard_id, position, inclusive=inclusive)

    def _get_page(self, iterator: str, limit: int) -> Page:
        return self._api.get_page(self._stream, self._shard_id, iterator, limit, self._data_prefix)

    def _keep(self, iterator: str | None) -> None:
        self._iterator = iterator
        self._iterator_since_s = self._monotonic()

    def _advance(self, page: Page) -> Page:
        if len(page):
            last = AfterRecord(page.sequence_numbers[-1], page.arrival_ms[-1])
            known = self.position
            # Emulators repeat records: a place never goes back.
            if not isinstance(known, AfterRecord) or (
                int(last.sequence_number) > int(known.sequence_number)
            ):
                self.position = last
        self._keep(page.next_iterator)
        is_silent = not len(page) and page.millis_behind_latest > 0
        self._silent_pages = self._silent_pages + 1 if is_silent else 0
        if self._silent_pages >= SILENT_PAGES and self._is_trimmed():
            self.seek(TRIM_HORIZON)
        return page

    def _is_trimmed(self) -> bool:
        return self._horizon is not None and self._horizon.is_record_old(self.position)


def first_page(cursor: ShardCursor, limit: int, tries: int = EMPTY_TRIES) -> Page | None:
    """Return the first page with records, or the empty one that shows that there are none.

    Asks a few times where pages are empty and the tip is not reached; None: no answer.
    """
    for _ in range(tries):
        page = cursor.next_page(limit)
        if len(page) or page.millis_behind_latest == 0:
            return page
        if page.next_iterator is None:
            return None
    return None


def records_between(page: Page, behind: int, up_to: int | None) -> Page:
    """Return a page without records at or before one number, and without those behind another.

    Parameters
    ----------
    page : Page
    behind : int
        Exclusive; -1: none is left out at the beginning.
    up_to : int or None
        Inclusive; None: none is left out at the end.
    """
    numbers = page.sequence_numbers
    if not numbers:
        return page
    first, last = 0, len(numbers)
    if int(numbers[0]) <= behind:
        first = bisect_right(numbers, behind, key=int)
    if up_to is not None and int(numbers[-1]) > up_to:
        last = bisect_right(numbers, up_to, key=int)
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
        page.skipped_bytes * (last - first) // len(numbers),
    )
