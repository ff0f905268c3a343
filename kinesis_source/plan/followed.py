"""FollowedShard, on the driver: all that is known of one shard that is being followed.

One record for each shard, one owner: the frontier, under its lock. Polls bring findings; listings
say that a shard is closed; nobody else changes a bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kinesis_source.errors import KinesisSourceError, ThrottledError
from kinesis_source.model.positions import (
    AfterRecord,
    FromRecord,
    Position,
    ShardEnd,
    empty_at_ms,
    is_ahead,
    is_finished,
    is_same_place,
)
from kinesis_source.model.ranges import Density
from kinesis_source.plan.finding import Finding, Outcome
from kinesis_source.plan.pauses import retry_delay_s, yield_s
from kinesis_source.plan.probe import ShardProbe

__all__ = ["FollowedShard"]

SLOW_S = 2.0
"""A look that takes longer holds up no batch, and no look at another shard."""
LEAST_FAILURES = 4
"""Fewer may be chance where other readers take the shard's calls."""


@dataclass
class FollowedShard:
    """One shard.

    Parameters
    ----------
    shard_id : str
    start : Position
        Where the query was in it when it was adopted.
    probe : ShardProbe
    due_s : float
        When the next look is due, by the monotonic clock.
    """

    shard_id: str
    start: Position
    probe: ShardProbe = field(repr=False)
    due_s: float
    bound: Position = field(init=False)
    first: FromRecord | None = None
    has_looked: bool = False
    is_exhausted: bool = False
    is_unwatched: bool = False
    is_unfinished: bool = False
    """Whether the last look left open if there is more."""
    is_searching: bool = False
    """Whether it is open how far the records go that are left."""
    density: Density | None = None
    millis_behind_latest: int | None = None
    looking_since_s: float | None = None
    answered_s: float = float("-inf")
    """When the last look that was answered began."""
    failing_since_s: float | None = None
    error: KinesisSourceError | None = None
    failures: int = 0
    yields_s: float = 0.0
    """How much later than asked for looks come, because the shard's calls are in demand."""
    is_slow: bool = False
    is_in_future: bool = False

    def __post_init__(self) -> None:
        self.bound = self.start

    @property
    def is_open(self) -> bool:
        """Whether there is more to learn."""
        return not is_finished(self.bound) and not self.is_exhausted

    @property
    def may_end(self) -> bool:
        """Whether a listing that shows the shard closed makes its end the bound.

        Executors find the end themselves. But where the start is no record, the first record must
        be known by then: without it nobody could tell later that it was trimmed.
        """
        return isinstance(self.start, AfterRecord) or self.first is not None

    def is_awaited(self, now_s: float) -> bool:
        """Say whether a batch waits for the next answer."""
        if self.is_slow or self.failures:
            return False
        if self.looking_since_s is not None:
            return now_s - self.looking_since_s < SLOW_S
        return self.due_s <= now_s

    def leads_from(self, position: Position) -> bool:
        """Say whether what is known here is ahead of a position that a batch begins at."""
        if isinstance(position, AfterRecord):
            return not is_ahead(position, self.bound)
        return is_same_place(position, self.start)

    def end(self) -> None:
        """Make the shard's end the bound, with what is known of its time."""
        known = [empty_at_ms(self.start), empty_at_ms(self.bound)]
        if self.first is not None:
            known.append(self.first.arrival_ms)
        self.bound = ShardEnd(max((ms for ms in known if ms is not None), default=None))

    def take(self, finding: Finding) -> bool:
        """Take in a finding; say whether it changed what is known."""
        before = self._known
        self.first = finding.first
        self.has_looked = finding.has_looked
        self.is_exhausted = finding.is_exhausted
        self.is_unwatched |= finding.is_unwatched
        self.density = finding.density or self.density
        self.millis_behind_latest = finding.millis_behind_latest
        if isinstance(finding.bound, ShardEnd):
            self.end()
        elif not isinstance(self.bound, ShardEnd):  # a listing may have been quicker
            self.bound = finding.bound
        self.is_unfinished = finding.outcome in (Outcome.MORE, Outcome.UNANSWERED)
        self.is_searching = finding.is_searching
        self.is_in_future = finding.outcome is Outcome.IN_FUTURE
        return before != self._known

    @property
    def _known(self) -> tuple[object, ...]:
        return self.bound, self.first, self.has_looked, self.is_exhausted, self.is_unwatched

    def note_look(self, finding: Finding, now_s: float) -> None:
        """Note how the look went: slow and failing shards wait apart from the others."""
        began_s = self.looking_since_s if self.looking_since_s is not None else now_s
        self.looking_since_s = None
        self.is_slow = now_s - began_s > SLOW_S
        self.error = finding.error
        if finding.outcome in (Outcome.LATER, Outcome.DENIED):
            self.failures += 1
            if isinstance(finding.error, ThrottledError):
                self.yields_s = yield_s(self.yields_s, is_throttled=True)
            if self.failing_since_s is None:
                self.failing_since_s = now_s
        else:
            self.answered_s = began_s
            self.failures, self.failing_since_s = 0, None
            self.yields_s = yield_s(self.yields_s, is_throttled=False)

    @property
    def delay_s(self) -> float:
        """How long to wait after a failure."""
        return retry_delay_s(self.shard_id, self.failures)

    def given_up(self, now_s: float, budget_s: float) -> KinesisSourceError | None:
        """Return the error of a shard that fails for longer than a call may be repeated."""
        error, since_s = self.error, self.failing_since_s
        if error is None or since_s is None or now_s - since_s < budget_s:
            return None
        if isinstance(error, ThrottledError) and self.failures < LEAST_FAILURES:
            return None
        self.failing_since_s = now_s  # a query that goes on all the same begins anew
        tries = f"asked again and again: {self.failures} tries in {now_s - since_s:.1f} s"
        problem = f"{error.problem.removesuffix('.')}; {tries}."
        counted = type(error)(error.code, problem, error.hint)
        counted.is_worth_repeating = error.is_worth_repeating
        return counted
