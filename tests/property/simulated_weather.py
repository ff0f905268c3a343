"""What may go wrong between a caller and the simulated stream: chances, outages, contradictions.

Chances (:class:`Nastiness`) are drawn for each call. An :class:`Outage` lasts for a while and for
some shards only: calls are refused for throttling, or take up to a minute. The plain api repeats
inside its retry budget, in virtual time, as the client does; an api that tries once raises at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from simulated_runtime import VirtualTime

from kinesis_source.errors import KinesisSourceError, ServiceError, ThrottledError

__all__ = ["CALM", "Nastiness", "OneTry", "Outage", "Weather"]

_T = TypeVar("_T")

READ_TIMEOUT_S = 20.0
RETRY_BUDGET_S = 120.0
LONGEST_PAUSE_S = 5.0
BETWEEN_CONTRADICTIONS_S = 900.0
"""One answer that contradicts the others stays alone: what comes again is no contradiction."""


@dataclass(frozen=True)
class Nastiness:
    """What the stream may do. Chances are 0 to 1 for each call.

    Parameters
    ----------
    empty_page : float
        An empty page with MillisBehindLatest above 0, anywhere.
    short_page : float
    behind_at_tip : float
        MillisBehindLatest above 0 although the page reaches the tip.
    expired : float
        An iterator expires although it is young.
    damaged : float
        No next iterator and no children; at most twice in a row.
    late_end : float
        The last records of a closed shard come with an iterator; an empty page ends the shard.
    repeated : float
        A page starts with the record before it, as emulators do; not where a read begins by time.
    contradicting : float
        A shard that is there is not found, or a record that is known is refused; once, and not
        again for a quarter of an hour.
    disorder_back_ms, disorder_ahead_ms : int
        How far an arrival time may lie before and after the moment of the put.
    arrival_grain_ms : int
        Arrival times are rounded down to it: many are equal.
    stale_listing : float
        A listing shows the stream as it was up to ``stale_ms`` ago; never older than the last one.
    stale_ms : int
    child_late_ms : int
        A child may be missing from listings for so long, each child on its own; a closed shard
        may be shown open for so long.
    trim_late_ms : int
        A shard may keep records, and itself, for so long beyond the retention.
    empty_behind_trimmed : bool
        A read from a record that is gone gives empty pages for ever, not the oldest that is left.
    latency_ms : int
        Each call takes 1 ms to this.
    clock_late_ms : int
        How late ``now_ms`` may be.
    """

    empty_page: float = 0.0
    short_page: float = 0.0
    behind_at_tip: float = 0.0
    expired: float = 0.0
    damaged: float = 0.0
    late_end: float = 0.0
    repeated: float = 0.0
    contradicting: float = 0.0
    disorder_back_ms: int = 0
    disorder_ahead_ms: int = 0
    arrival_grain_ms: int = 1
    stale_listing: float = 0.0
    stale_ms: int = 0
    child_late_ms: int = 0
    trim_late_ms: int = 0
    empty_behind_trimmed: bool = False
    latency_ms: int = 1
    clock_late_ms: int = 0


CALM = Nastiness()


@dataclass(frozen=True)
class Outage:
    """A time in which some shards answer badly.

    Parameters
    ----------
    kind : str
        "throttled": each call is refused. "slow": each takes up to a minute.
    shard_ids : frozenset of str
        Which shards; "" stands for the calls that name none.
    from_s, until_s : float
        Of the world's clock.
    """

    kind: str
    shard_ids: frozenset[str]
    from_s: float
    until_s: float


class Weather:
    """How one stream's calls fare on their way.

    Parameters
    ----------
    time : VirtualTime
    random_ : random.Random
    """

    def __init__(self, time: VirtualTime, random_: random.Random) -> None:
        self._time = time
        self._random = random_
        self.outages: list[Outage] = []
        self._contradicted_s: dict[str, float] = {}
        self._contradict_next: dict[str, int] = {}

    def was_rough(self, since_s: float) -> bool:
        """Say whether there was an outage at any moment since."""
        return any(
            outage.from_s <= self._time.now_s and outage.until_s >= since_s
            for outage in self.outages
        )

    def travel(self, what: str, shard_id: str, latency_s: float) -> None:
        """Wait for a call's way and for its repeats.

        Raises
        ------
        ThrottledError, ServiceError
            As the client does.
        """
        began_s, attempt = self._time.now_s, 0
        tries_once = self._time.current.tries_once
        while True:
            attempt += 1
            kind = self._outage(shard_id)
            takes_s = self._random.uniform(0.5, 60.0) if kind == "slow" else latency_s
            self._time.sleep(min(takes_s, READ_TIMEOUT_S))
            if kind != "throttled" and takes_s <= READ_TIMEOUT_S:
                return
            spent_s = self._time.now_s - began_s
            pause_s = self._random.uniform(0.1, min(LONGEST_PAUSE_S, 0.2 * 2**attempt))
            if tries_once or spent_s + pause_s > RETRY_BUDGET_S:
                raise _failure(kind == "throttled", what, attempt)
            self._time.sleep(pause_s)

    def contradict_next(self, shard_id: str, calls: int = 1) -> None:
        """Let the next answers for a shard contradict all others."""
        self._contradict_next[shard_id] = calls

    def contradicts(self, shard_id: str, chance: float) -> bool:
        """Say whether the answer to a call contradicts all others."""
        if self._contradict_next.get(shard_id, 0) > 0:
            self._contradict_next[shard_id] -= 1
            return True
        if not chance or self._random.random() >= chance:
            return False
        last_s = self._contradicted_s.get(shard_id, float("-inf"))
        if self._time.now_s - last_s < BETWEEN_CONTRADICTIONS_S:
            return False
        self._contradicted_s[shard_id] = self._time.now_s
        return True

    def _outage(self, shard_id: str) -> str | None:
        now_s = self._time.now_s
        for outage in self.outages:
            if shard_id in outage.shard_ids and outage.from_s <= now_s < outage.until_s:
                return outage.kind
        return None


def _failure(is_throttled: bool, what: str, attempts: int) -> KinesisSourceError:
    error: KinesisSourceError
    if is_throttled:
        problem = f"{what}: throttled, {attempts} attempts."
        error = ThrottledError("SERVICE_THROTTLED", problem, "Wait.")
    else:
        problem = f"{what}: no reply, {attempts} attempts."
        error = ServiceError("SERVICE_UNAVAILABLE", problem, "Wait.")
    error.is_worth_repeating = True
    return error


class OneTry:
    """An api whose calls make one try.

    Parameters
    ----------
    api : StreamApi
        In the world of ``time``.
    time : VirtualTime
    """

    def __init__(self, api: Any, time: VirtualTime) -> None:
        self._api = api
        self._time = time

    def trying_once(self) -> OneTry:
        return self

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._api, name)
        return lambda *arguments, **options: self._once(call, *arguments, **options)

    def _once(self, call: Callable[..., _T], *arguments: Any, **options: Any) -> _T:
        thread = self._time.current
        before, thread.tries_once = thread.tries_once, True
        try:
            return call(*arguments, **options)
        finally:
            thread.tries_once = before
