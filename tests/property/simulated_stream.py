"""A stream in memory that does everything AWS's documentation does not forbid.

Implements :class:`kinesis_source.aws.api.StreamApi` over virtual time: each call takes some, and
waits as a real one does, so that writers, other threads and the retention act in between. What
happens to the stream is in simulated_history.py; what may befall a call in simulated_weather.py.

Kept of each call: who made it (``driver_calls`` are those of planning), and what its caller could
know from the answer (:class:`Sightings`), which is what the verdict on losses asks.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from simulated_history import StreamHistory
from simulated_runtime import FakeClock
from simulated_shard import SimulatedShard
from simulated_weather import CALM, Nastiness, OneTry, Outage

from kinesis_source.aws.api import (
    IteratorExpiredError,
    Page,
    PositionRefusedError,
    StreamDescription,
)
from kinesis_source.errors import StreamError
from kinesis_source.model.positions import AtTimestamp, Position
from kinesis_source.model.shards import Shard
from kinesis_source.options.settings import StreamSettings

__all__ = ["CALM", "FakeClock", "Nastiness", "Outage", "SimulatedShard", "SimulatedStream"]

ITERATOR_LIFE_S = 300.0
PAGE_BYTES = 10 * 1024 * 1024
MOST_DAMAGED = 2
"""Replies without next iterator in a row: the reader believes the sixth on a closed shard."""
STALE = "stale"
"""An iterator that was asked for behind a record that is gone."""


class CallRates:
    """What AWS allows to all callers together, checked for planning and for readers each.

    A window of ten seconds, because what was thrifty for a while may hurry once.
    """

    WINDOW_S = 10.0
    MOST: ClassVar = {"page": 55, "iterator": 55, "list": 60, "describe": 60}

    def __init__(self) -> None:
        self.most_driver_pages = self.MOST["page"]
        """Whoever sets a shorter poll interval than a second allows more."""
        self.factor = 1.0
        """What replies of no use may cost."""
        self._calls: dict[tuple[str, str, str], deque[float]] = {}

    def note(self, role: str, kind: str, shard_id: str, now_s: float) -> None:
        calls = self._calls.setdefault((role, kind, shard_id), deque())
        calls.append(now_s)
        while calls[0] < now_s - self.WINDOW_S:
            calls.popleft()
        is_driver_page = role == "driver" and kind == "page"
        most = self.most_driver_pages if is_driver_page else self.MOST[kind]
        factor = self.factor if kind in ("page", "iterator") else 1.0
        assert len(calls) <= most * factor, (
            f"{len(calls)} calls in {self.WINDOW_S:.0f} s: {kind} of {shard_id!r} by the {role}"
        )

    def forget(self) -> None:
        """Begin anew: a new process."""
        self._calls.clear()


@dataclass
class Sightings:
    """What the driver's calls showed, by shard id: the server's moment of the last such answer.

    Parameters
    ----------
    at_tip_ms : dict
        An empty page with MillisBehindLatest 0: one with records may merely be short.
    open_ms : dict
        A listing that showed the shard open.
    """

    at_tip_ms: dict[str, int] = field(default_factory=dict)
    open_ms: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Sightings:
        return Sightings(dict(self.at_tip_ms), dict(self.open_ms))


class SimulatedStream(StreamHistory):
    """A stream; implements StreamApi for it, whatever the stream's name.

    Parameters are those of :class:`StreamHistory`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._as_of_ms = 0
        self.calls: Counter[tuple[str, str]] = Counter()  # (kind, shard id)
        self.driver_calls: Counter[tuple[str, str]] = Counter()
        self.rates = CallRates()
        useless = (self.nastiness.expired, self.nastiness.empty_page, self.nastiness.damaged)
        self.rates.factor += sum(useless)
        self.sightings = Sightings()
        self._payloads: dict[int, bytes] = {}
        self._tokens = itertools.count()
        self._clock_late_ms = self._draw(self.nastiness.clock_late_ms)

    def restart_process(self) -> None:
        """Know the clock anew, as a new process does."""
        self.rates.forget()
        self._clock_late_ms = self._draw(self.nastiness.clock_late_ms)

    # StreamApi

    def trying_once(self) -> Any:
        return OneTry(self, self.clock)

    def now_ms(self) -> int:
        return self.server_ms - self._clock_late_ms

    def refute_now(self, moment_ms: int) -> None:
        """Nothing to take back: the clock here is never ahead."""

    def describe(self, stream: StreamSettings) -> StreamDescription:
        with self._call("describe", ""):
            return StreamDescription(
                f"arn:aws:kinesis:us-east-1:000000000000:stream/{self.key}",
                "ACTIVE",
                self.created_ms,
                self.retention_ms,
            )

    def list_shards(
        self, stream: StreamSettings, open_at_ms: int | None = None
    ) -> tuple[Shard, ...]:
        with self._call("list", ""):
            return self._list(open_at_ms)

    def get_iterator(
        self,
        stream: StreamSettings,
        shard_id: str,
        position: Position,
        *,
        inclusive: bool = False,
    ) -> str:
        with self._call("iterator", shard_id):
            shard = self._shard(shard_id)
            if isinstance(position, AtTimestamp) and position.epoch_ms > self.server_ms:
                raise PositionRefusedError("in the future")
            index, kind = shard.index_behind(position), ""
            sequence_number = getattr(position, "sequence_number", None)
            if isinstance(position, AtTimestamp):
                kind = "moment"
            elif sequence_number is not None:
                if self._contradicts(shard_id):
                    raise PositionRefusedError(f"{sequence_number} is not known")
                if index - 1 < shard.trimmed and self.nastiness.empty_behind_trimmed:
                    kind = STALE
                elif inclusive:
                    index -= 1
            return self._token(shard_id, max(index, shard.trimmed), kind)

    def get_page(
        self,
        stream: StreamSettings,
        shard_id: str,
        iterator: str,
        limit: int,
        data_prefix: bytes | None = b"",
    ) -> Page:
        with self._call("page", shard_id):
            assert 1 <= limit <= 10_000
            of_shard, index_text, since_text, kind, created_text, _ = iterator.split("|")
            assert of_shard == shard_id
            shard = self._shard(shard_id)
            is_old = self.clock.now_s - float(since_text) > ITERATOR_LIFE_S
            is_other = int(created_text) != self.created_ms
            if is_old or is_other or self._happens(self.nastiness.expired):
                raise IteratorExpiredError(iterator)
            return self._page(shard, max(int(index_text), shard.trimmed), limit, kind)

    # Calls

    def _call(self, kind: str, shard_id: str) -> _Call:
        self.calls[kind, shard_id] += 1
        if self._role == "driver":
            self.driver_calls[kind, shard_id] += 1
        self.rates.note(self._role, kind, shard_id, self.clock.now_s)
        latency_s = (1 + self._draw(self.nastiness.latency_ms - 1)) / 1000
        # The answer is made somewhere on the way.
        there_s = latency_s * self.random.choice((0.5, 1.0)) if latency_s > 0.002 else latency_s
        self.weather.travel(f"{kind} of {shard_id!r}", shard_id, there_s)
        if shard_id in self.shards:
            self.shards[shard_id].trim(self.server_ms, self.retention_ms)
        else:
            self.trim()
        return _Call(self, latency_s - there_s)

    def _shard(self, shard_id: str) -> SimulatedShard:
        shard = self.shards.get(shard_id)
        if shard is None or shard.is_gone or self._contradicts(shard_id):
            raise StreamError(
                "STREAM_SHARD_NOT_FOUND",
                f"Stream {self.key!r} has no shard {shard_id!r}.",
                "It is older than the retention.",
            )
        return shard

    def _contradicts(self, shard_id: str) -> bool:
        return self.weather.contradicts(shard_id, self.nastiness.contradicting)

    # Listings

    def _list(self, open_at_ms: int | None) -> tuple[Shard, ...]:
        if open_at_ms is not None and open_at_ms > self.server_ms:
            raise PositionRefusedError("in the future")
        horizon_ms = self.server_ms - self.retention_ms
        if open_at_ms is not None and open_at_ms < horizon_ms:
            # The documentation and what clients have met differ: corrected, refused, or a hole.
            answer = self._draw(2)
            if answer == 0:
                raise PositionRefusedError("older than the retention")
            open_at_ms = horizon_ms if answer == 1 else open_at_ms
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
            if shard.gone_ms is not None and shard.gone_ms <= as_of_ms:
                continue
            is_closed = shard.closed_ms is not None and shard.closed_listed_from_ms <= as_of_ms
            if open_at_ms is not None and (
                shard.created_ms > open_at_ms
                or (is_closed and shard.closed_ms is not None and shard.closed_ms < open_at_ms)
            ):
                continue
            if not is_closed:
                self.sightings.open_ms[shard.shard_id] = min(
                    as_of_ms, self.server_ms if shard.closed_ms is None else shard.closed_ms
                )
            yield Shard(
                shard.shard_id, shard.parents, shard.first_hash_key, shard.last_hash_key, is_closed
            )

    # One page

    def _page(self, shard: SimulatedShard, first: int, limit: int, kind: str) -> Page:
        n = self.nastiness
        if kind == STALE:
            token = self._token(shard.shard_id, first, kind)
            return self._records(shard, first, first, token, self.retention_ms)
        stop = self._stop(shard, first, limit)
        if self._happens(n.empty_page):
            token = self._token(shard.shard_id, first, kind)
            return self._records(shard, first, first, token, 1 + self._draw(5_000))
        if first > shard.trimmed and stop > first and not kind and self._happens(n.repeated):
            first, stop = first - 1, max(first, stop - 1) if stop - first == limit else stop
        at_tip = stop == len(shard.numbers)
        behind_ms = 0 if at_tip else max(1, self.server_ms - shard.arrivals[stop])
        if at_tip and self._happens(n.behind_at_tip):
            behind_ms = 1 + self._draw(5_000)
        is_last = at_tip and shard.closed_ms is not None
        if shard.damaged_in_row[self._role] < MOST_DAMAGED and self._happens(n.damaged):
            shard.damaged_in_row[self._role] += 1
            return self._records(shard, first, stop, None, behind_ms)
        if stop > first or self._role == "driver":
            shard.damaged_in_row[self._role] = 0
        if at_tip and not behind_ms and stop == first:
            self._note_tip(shard)
        if is_last and not (stop > first and self._happens(n.late_end)):
            return self._records(shard, first, stop, None, 0, tuple(shard.children))
        return self._records(shard, first, stop, self._token(shard.shard_id, stop), behind_ms)

    @property
    def _role(self) -> str:
        process = self.clock.current.process
        return "driver" if process is None else process.role

    def _note_tip(self, shard: SimulatedShard) -> None:
        if self._role == "driver":
            self.sightings.at_tip_ms[shard.shard_id] = self.server_ms

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
        when = f"{self.clock.now_s}|{kind}|{self.created_ms}|{next(self._tokens)}"
        return f"{shard_id}|{index}|{when}"


class _Call:
    """The time in which a call's answer is made; then its way back, errors included."""

    def __init__(self, stream: SimulatedStream, back_s: float) -> None:
        self._stream = stream
        self._back_s = back_s

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._back_s > 0 and (kind is None or issubclass(kind, Exception)):
            self._stream.clock.sleep(self._back_s)
