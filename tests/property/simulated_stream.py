"""A stream in memory that does everything AWS's documentation does not forbid.

Implements :class:`kinesis_source.aws.api.StreamApi` over a clock that only the calls themselves and
``sleep`` move. Writers' actions are scheduled ahead and happen while the clock passes them, so that
a split or a burst can fall between any two calls. All chance comes from one seed: the same seed and
the same calls give the same replies. Standard library and the interface only.
"""

from __future__ import annotations

import heapq
import itertools
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from kinesis_source.aws.api import (
    IteratorExpiredError,
    Page,
    PositionRefusedError,
    StreamDescription,
)
from kinesis_source.model.positions import (
    TRIM_HORIZON,
    AfterRecord,
    AtTimestamp,
    OldestSince,
    Position,
)
from kinesis_source.model.shards import HASH_KEY_MAX, Shard
from kinesis_source.options.settings import StreamSettings

__all__ = ["CALM", "FakeClock", "Nastiness", "SerialExecutor", "SimulatedShard", "SimulatedStream"]

EPOCH_MS = 1_767_225_600_000
ITERATOR_LIFE_S = 300.0
PAGE_BYTES = 10 * 1024 * 1024
MOST_DAMAGED = 2
"""Replies without next iterator in a row: the reader believes the sixth on a closed shard."""


class FakeClock:
    """Seconds that pass when somebody sleeps or calls."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now_s += seconds


class SerialExecutor(Executor):
    """Runs each job at once in the caller's thread: histories repeat exactly."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - a future carries whatever was raised
            future.set_exception(error)
        return future


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
    disorder_back_ms: int = 0
    disorder_ahead_ms: int = 0
    arrival_grain_ms: int = 1
    stale_listing: float = 0.0
    stale_ms: int = 0
    child_late_ms: int = 0
    latency_ms: int = 1
    clock_late_ms: int = 0


CALM = Nastiness()


@dataclass
class SimulatedShard:
    """One shard with all its records as columns."""

    shard_id: str
    parents: tuple[str, ...]
    first_hash_key: int
    last_hash_key: int
    created_ms: int
    listed_from_ms: int
    closed_ms: int | None = None
    closed_listed_from_ms: int = 0
    children: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    puts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    damaged_in_row: int = 0

    def index_behind(self, position: Position) -> int:
        """Return the index of the first record behind a position; the length if there is none."""
        if position is TRIM_HORIZON or isinstance(position, OldestSince):
            return 0
        if isinstance(position, AtTimestamp):
            found = (i for i, ms in enumerate(self.arrivals) if ms >= position.epoch_ms)
            return next(found, len(self.numbers))
        assert isinstance(position, AfterRecord)
        number = int(position.sequence_number)
        index = bisect_right(self.numbers, number)
        if not index or self.numbers[index - 1] != number:
            raise PositionRefusedError(f"{number} is not of {self.shard_id}")
        return index


class SimulatedStream:
    """A stream; implements StreamApi for it, whatever the stream's name.

    Parameters
    ----------
    seed : int
    nastiness : Nastiness
    clock : FakeClock
    shards : int
        How many there are at first.
    """

    def __init__(
        self,
        seed: int = 0,
        nastiness: Nastiness = CALM,
        clock: FakeClock | None = None,
        shards: int = 1,
    ) -> None:
        self.clock = clock or FakeClock()
        self.created_ms = EPOCH_MS
        self.nastiness = nastiness
        self.random = random.Random(seed)  # noqa: S311 - a replayable game
        self.shards: dict[str, SimulatedShard] = {}
        self.hidden: set[str] = set()  # no longer listed: older than the retention
        self.horizon_ms = 0
        self._as_of_ms = 0
        self.calls: Counter[tuple[str, str]] = Counter()  # (kind, shard id)
        self._payloads: dict[int, bytes] = {}
        # Digits grow by one while the stream lives: as text the larger numbers would sort first.
        self._number = 10**30 - 50
        self._tokens = itertools.count()
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._due_count = itertools.count()
        self._first_second = self.clock.now_s
        self._clock_late_ms = self._draw(nastiness.clock_late_ms)
        width = (HASH_KEY_MAX + 1) // shards
        for n in range(shards):
            last = HASH_KEY_MAX if n == shards - 1 else (n + 1) * width - 1
            self._add((), n * width, last)

    # The writers' side

    @property
    def server_ms(self) -> int:
        """The moment, by the server's true clock."""
        return EPOCH_MS + 60_000 + int((self.clock.now_s - self._first_second) * 1000)

    def at(self, moment_ms: int, action: Callable[[], None]) -> None:
        """Schedule what a writer does."""
        heapq.heappush(self._due, (moment_ms, next(self._due_count), action))

    @property
    def is_quiet(self) -> bool:
        """Whether all that was scheduled has happened."""
        return not self._due

    def catch_up(self) -> None:
        """Let happen what is due by now."""
        while self._due and self._due[0][0] <= self.server_ms:
            heapq.heappop(self._due)[2]()

    def open_shards(self) -> list[SimulatedShard]:
        return [shard for shard in self.shards.values() if shard.closed_ms is None]

    def put(self, pick: int, count: int = 1, size: int = 100, when_ms: int | None = None) -> None:
        """Put records into an open shard; ``pick`` chooses which."""
        candidates = self.open_shards()
        shard = candidates[pick % len(candidates)]
        n = self.nastiness
        put_ms = self.server_ms if when_ms is None else when_ms
        for _ in range(count):
            self._number += 1 + self._draw(3)
            arrival = put_ms - self._draw(n.disorder_back_ms) + self._draw(n.disorder_ahead_ms)
            shard.numbers.append(self._number)
            shard.arrivals.append(arrival // n.arrival_grain_ms * n.arrival_grain_ms)
            shard.puts.append(put_ms)
            shard.sizes.append(size)

    def split(self, pick: int) -> None:
        candidates = self.open_shards()
        shard = candidates[pick % len(candidates)]
        middle = (shard.first_hash_key + shard.last_hash_key) // 2
        self._close(shard)
        self._add((shard.shard_id,), shard.first_hash_key, middle)
        self._add((shard.shard_id,), middle + 1, shard.last_hash_key)

    def merge(self, pick: int) -> None:
        """Merge two neighbours, if there are two shards."""
        ordered = sorted(self.open_shards(), key=lambda shard: shard.first_hash_key)
        if len(ordered) < 2:
            return
        left = pick % (len(ordered) - 1)
        one, other = ordered[left], ordered[left + 1]
        self._close(one)
        self._close(other)
        parents = (one.shard_id, other.shard_id)
        if self.random.random() < 0.5:
            parents = (other.shard_id, one.shard_id)
        self._add(parents, one.first_hash_key, other.last_hash_key)

    def hide_closed(self) -> None:
        """Drop the shards that are closed now from the listings: the retention is over."""
        self.horizon_ms = self.server_ms
        for shard in self.shards.values():
            if shard.closed_ms is not None:
                self.hidden.add(shard.shard_id)

    def restart_process(self) -> None:
        """Know the clock anew, as a new process does."""
        self._clock_late_ms = self._draw(self.nastiness.clock_late_ms)

    def _add(self, parents: tuple[str, ...], first: int, last: int) -> None:
        shard_id = f"shardId-{len(self.shards):012d}"
        now_ms = self.server_ms
        # No shard is listed before its parents, but a grandchild's uncle may come after it.
        elders = [self.shards[parent].listed_from_ms for parent in parents]
        late_ms = self._draw(self.nastiness.child_late_ms) if parents else 0
        listed_from_ms = max([now_ms + late_ms, *elders]) if parents else 0
        self.shards[shard_id] = SimulatedShard(
            shard_id, parents, first, last, now_ms, listed_from_ms
        )
        for parent in parents:
            self.shards[parent].children.append(shard_id)

    def _close(self, shard: SimulatedShard) -> None:
        shard.closed_ms = self.server_ms
        shard.closed_listed_from_ms = shard.closed_ms + self._draw(self.nastiness.child_late_ms)

    # StreamApi

    def trying_once(self) -> SimulatedStream:
        return self

    def refute_now(self, moment_ms: int) -> None:
        """Its clock is never ahead."""

    def describe(self, stream: StreamSettings) -> StreamDescription:
        self._call("describe", "")
        return StreamDescription(
            "arn:aws:kinesis:us-east-1:000000000000:stream/s",
            "ACTIVE",
            self.created_ms,
            24 * 3600 * 1000,
        )

    def list_shards(
        self, stream: StreamSettings, open_at_ms: int | None = None
    ) -> tuple[Shard, ...]:
        self._call("list", "")
        if open_at_ms is not None and open_at_ms > self.server_ms:
            raise PositionRefusedError("in the future")
        if open_at_ms is not None and open_at_ms < self.horizon_ms:
            # The documentation and what clients have met differ: corrected, refused, or a hole.
            answer = self._draw(2)
            if answer == 0:
                raise PositionRefusedError("older than the retention")
            open_at_ms = self.horizon_ms if answer == 1 else open_at_ms
        as_of_ms = self.server_ms
        if self._happens(self.nastiness.stale_listing):
            as_of_ms -= self._draw(self.nastiness.stale_ms)
        # limit: late, but never older than the listing before. A listing that went back behind a
        # shard's whole life would bring shards back that an offset has long left behind.
        as_of_ms = self._as_of_ms = max(self._as_of_ms, as_of_ms)
        listed = list(self._listed(as_of_ms, open_at_ms))
        self.random.shuffle(listed)
        return tuple(listed)

    def _listed(self, as_of_ms: int, open_at_ms: int | None) -> Iterator[Shard]:
        for shard in self.shards.values():
            if shard.shard_id in self.hidden or shard.listed_from_ms > as_of_ms:
                continue
            is_closed = shard.closed_ms is not None and shard.closed_listed_from_ms <= as_of_ms
            if open_at_ms is not None and (
                shard.created_ms > open_at_ms
                or (is_closed and shard.closed_ms is not None and shard.closed_ms < open_at_ms)
            ):
                continue
            yield Shard(
                shard.shard_id, shard.parents, shard.first_hash_key, shard.last_hash_key, is_closed
            )

    def get_iterator(
        self,
        stream: StreamSettings,
        shard_id: str,
        position: Position,
        *,
        inclusive: bool = False,
    ) -> str:
        self._call("iterator", shard_id)
        if isinstance(position, AtTimestamp) and position.epoch_ms > self.server_ms:
            raise PositionRefusedError("in the future")
        index = self.shards[shard_id].index_behind(position)
        if inclusive and isinstance(position, AfterRecord):
            index -= 1
        return self._token(shard_id, index, "moment" if isinstance(position, AtTimestamp) else "")

    def get_page(
        self,
        stream: StreamSettings,
        shard_id: str,
        iterator: str,
        limit: int,
        data_prefix: bytes | None = b"",
    ) -> Page:
        self._call("page", shard_id)
        assert 1 <= limit <= 10_000
        of_shard, index_text, since_text, kind, _ = iterator.split("|")
        assert of_shard == shard_id
        is_old = self.clock.now_s - float(since_text) > ITERATOR_LIFE_S
        if is_old or self._happens(self.nastiness.expired):
            raise IteratorExpiredError(iterator)
        return self._page(self.shards[shard_id], int(index_text), limit, kind)

    def now_ms(self) -> int:
        return self.server_ms - self._clock_late_ms

    # One page

    def _page(self, shard: SimulatedShard, first: int, limit: int, kind: str) -> Page:
        n = self.nastiness
        stop = self._stop(shard, first, limit)
        if self._happens(n.empty_page):
            stop = first
            next_iterator, behind_ms = (
                self._token(shard.shard_id, first, kind),
                1 + self._draw(5_000),
            )
            return self._records(shard, first, stop, next_iterator, behind_ms)
        if first and stop > first and not kind and self._happens(n.repeated):
            first, stop = first - 1, max(first, stop - 1) if stop - first == limit else stop
        at_tip = stop == len(shard.numbers)
        behind_ms = 0 if at_tip else max(1, self.server_ms - shard.arrivals[stop])
        if at_tip and self._happens(n.behind_at_tip):
            behind_ms = 1 + self._draw(5_000)
        is_last = at_tip and shard.closed_ms is not None
        if shard.damaged_in_row < MOST_DAMAGED and self._happens(n.damaged):
            shard.damaged_in_row += 1
            return self._records(shard, first, stop, None, behind_ms)
        shard.damaged_in_row = 0
        if is_last and not (stop > first and self._happens(n.late_end)):
            return self._records(shard, first, stop, None, 0, tuple(shard.children))
        return self._records(shard, first, stop, self._token(shard.shard_id, stop), behind_ms)

    def _stop(self, shard: SimulatedShard, first: int, limit: int) -> int:
        stop = min(len(shard.numbers), first + limit)
        if stop - first > 1 and self._happens(self.nastiness.short_page):
            stop = first + 1 + self._draw(stop - first - 1)
        total = 0
        for index in range(first, stop):
            total += shard.sizes[index]
            if total > PAGE_BYTES and index > first:
                return index
        return stop

    def _records(
        self,
        shard: SimulatedShard,
        first: int,
        stop: int,
        next_iterator: str | None,
        behind_ms: int,
        children: Iterable[str] = (),
    ) -> Page:
        part = slice(first, stop)
        numbers = [str(number) for number in shard.numbers[part]]
        return Page(
            numbers,
            [f"key of {number}" for number in numbers],
            shard.arrivals[part],
            [self._payload(size) for size in shard.sizes[part]],
            next_iterator,
            behind_ms,
            tuple(children),
        )

    def _payload(self, size: int) -> bytes:
        if size not in self._payloads:
            self._payloads[size] = b"x" * size
        return self._payloads[size]

    def _token(self, shard_id: str, index: int, kind: str = "") -> str:
        return f"{shard_id}|{index}|{self.clock.now_s}|{kind}|{next(self._tokens)}"

    def _call(self, kind: str, shard_id: str) -> None:
        self.calls[kind, shard_id] += 1
        self.clock.now_s += (1 + self._draw(self.nastiness.latency_ms - 1)) / 1000
        self.catch_up()

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self.random.random() < chance

    def _draw(self, most: int) -> int:
        return self.random.randint(0, most) if most > 0 else 0
