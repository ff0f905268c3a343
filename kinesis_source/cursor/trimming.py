"""TrimGuard, on the executors: notices records that the stream's retention took away unread.

AWS raises nothing for a position older than the retention: reading just goes on at the oldest
record left. So where the last record read is about as old as the retention, it is read once more:
if it is still there, nothing behind it is gone. Younger positions cost nothing. In: positions.
Out: DataLossError, or a warning with failOnDataLoss=false.
"""

from __future__ import annotations

import logging

from kinesis_source.aws.api import Page, StreamApi
from kinesis_source.cursor.naming import name_position, name_time
from kinesis_source.errors import DataLossError
from kinesis_source.model.positions import (
    AfterRecord,
    Position,
    complete_at_ms,
)
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.settings import StreamSettings

__all__ = ["TrimGuard"]

logger = logging.getLogger("kinesis_source")

SHORTEST_RETENTION_MS = 24 * 3_600_000
"""AWS: 24 h at least (IncreaseStreamRetentionPeriod, API reference)."""
MARGIN_MS = 600_000
"""Arrival times and clocks are not exact; within ten minutes of the horizon it is looked at."""


class TrimGuard:
    """Watches over one range.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    shard_range : ShardRange
    fail_on_data_loss : bool
    """

    def __init__(
        self,
        api: StreamApi,
        stream: StreamSettings,
        shard_range: ShardRange,
        *,
        fail_on_data_loss: bool,
    ) -> None:
        self._api = api
        self._stream = stream
        self._range = shard_range
        self._fails = fail_on_data_loss
        self._retention_ms: int | None = None

    def is_suspect(self, position: Position) -> bool:
        """Say whether something behind a position may have been trimmed.

        Asks AWS for the retention only if the position is older than the shortest one.
        """
        complete_ms = complete_at_ms(position)
        if complete_ms is None:
            return False
        age_ms = self._api.now_ms() - complete_ms
        if age_ms < SHORTEST_RETENTION_MS - MARGIN_MS:
            return False
        if self._retention_ms is None:
            self._retention_ms = self._api.describe(self._stream).retention_ms
        return age_ms >= self._retention_ms - MARGIN_MS

    def check_successor(self, position: Position, page: Page) -> None:
        """Check the first page read from a suspect position, that position's record included.

        Parameters
        ----------
        position : Position
            Where reading stopped before.
        page : Page
            The first page with records, or the empty one that ends the shard or is at its tip.

        Raises
        ------
        DataLossError
            ``[DATA_LOSS_TRIMMED]``
        """
        if len(page) and isinstance(position, AfterRecord):
            if page.sequence_numbers[0] == position.sequence_number:
                return
            if int(page.sequence_numbers[0]) < int(position.sequence_number):
                return  # an emulator that goes back further than asked
        elif not isinstance(position, AfterRecord) and not self._is_past_horizon(position):
            return
        found = (
            f"the next one is sequence number {page.sequence_numbers[0]}, arrived "
            f"{name_time(page.arrival_ms[0])}"
            if len(page)
            else "nothing is left"
        )
        self.report(
            "DATA_LOSS_TRIMMED",
            f"Shard {self._range.shard_id!r} of stream {self._stream.key!r}: what came behind "
            f"{name_position(position)} and is older than the retention of "
            f"{(self._retention_ms or 0) // 3_600_000} h is gone; {found}.",
            "Read more often than the retention lasts, or lengthen it.",
        )

    def report(self, code: str, problem: str, hint: str) -> None:
        """Raise a loss, or log it where the user wants to go on.

        Raises
        ------
        DataLossError
        """
        if self._fails:
            raise DataLossError(
                code, problem, f"{hint} Set failOnDataLoss=false to go on with what is left."
            )
        logger.warning("[%s] %s Going on with what is left.", code, problem)

    def _is_past_horizon(self, position: Position) -> bool:
        complete_ms = complete_at_ms(position) or 0
        return self._api.now_ms() - complete_ms > (self._retention_ms or 0)
