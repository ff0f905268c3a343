"""Finding, on the driver: what one look at one shard brought. A value: nobody changes it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kinesis_source.errors import KinesisSourceError
from kinesis_source.model.positions import TRIM_HORIZON, FromRecord, Position
from kinesis_source.model.ranges import Density

__all__ = ["Finding", "Outcome"]


class Outcome(Enum):
    """What a poll learned."""

    TIP = "nothing is left behind the bound"
    MORE = "there may be more"
    UNANSWERED = "an empty page that is not at the tip: ask again soon"
    LATER = "the call failed in a way that passes"
    DENIED = "AWS says that it does not know the shard"
    REFUSED = "AWS says that it does not know the record that the bound is behind"
    IN_FUTURE = "AWS says that the moment of the start has not come"
    UNLISTED_END = "no next iterator and no children: list the shards again"


@dataclass(frozen=True)
class Finding:
    """What one poll brought.

    Parameters
    ----------
    outcome : Outcome
    bound : Position
    first : FromRecord or None
        The first record behind a start that is no record, once one was seen.
    has_looked : bool
        Whether a page showed what is at the start, or that nothing is.
    is_searching : bool
        Whether records are known to be left, and not how far they go.
    is_unwatched : bool
        Whether records may have come behind the bound, and gone, before this look.
    is_exhausted : bool
        With a target: whether the last record that counts is known.
    density : Density or None
        By the last walk that saw records.
    millis_behind_latest : int or None
    interval_factor : float
        How much less often to poll, because one record fills a walk.
    error : KinesisSourceError or None
        Of LATER, DENIED.
    place : Position
        Where the look began.
    """

    outcome: Outcome
    bound: Position
    first: FromRecord | None = None
    has_looked: bool = False
    is_exhausted: bool = False
    density: Density | None = None
    millis_behind_latest: int | None = None
    interval_factor: float = 1.0
    error: KinesisSourceError | None = None
    place: Position = TRIM_HORIZON
    is_unwatched: bool = False
    is_searching: bool = False
