"""Queues of one stream's records by shard, and what may go into the next request.

Runs on the executors; pure, but for the time that it is told. Whoever sends takes a request and
gives back what was rejected, to the front: order is kept wherever a lane allows only one record on
its way at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from kinesis_source.model.outgoing import OutRecord
from kinesis_source.write.pace import ShardPace
from kinesis_source.write.shards import UNKNOWN_SHARD

__all__ = ["MOST_RECORDS", "MOST_REQUEST_BYTES", "Queued", "ShardQueues"]

MOST_RECORDS: Final = 500
"""PutRecords, API reference."""
MOST_REQUEST_BYTES: Final = 4 * 1024 * 1024
"""AWS takes 10 MiB with keys (5 MiB before October 2025); smaller ones lose less when one fails."""
UNKNOWN_SHARDS: Final = 50
"""Where nothing is known of the shards, rejections alone tell how much they take."""
MOST_LOOKED_AT: Final = 2_000
"""Of a shard's queue for one request, where lanes are taken."""


@dataclass(slots=True, eq=False)
class Queued:
    """A record that waits.

    Parameters
    ----------
    record : OutRecord
    shard_id : str
        Where it is thought to go.
    lane : str or None
        Records of one lane are sent one after the other; None: in any order.
    inside : tuple of OutRecord
        The user records of an aggregate.
    rejected_since_s : float or None
        When it was first rejected.
    """

    record: OutRecord
    shard_id: str
    lane: str | None = None
    inside: tuple[OutRecord, ...] = ()
    rejected_since_s: float | None = None
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.size_bytes = self.record.size_bytes


class ShardQueues:
    """Records by shard. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Queued]] = {}
        self._paces: dict[str, ShardPace] = {}
        self._busy_lanes: set[str] = set()
        self.count = 0
        self.size_bytes = 0

    @property
    def is_worth_a_request(self) -> bool:
        """Whether a whole request waits."""
        return self.count >= MOST_RECORDS or self.size_bytes >= MOST_REQUEST_BYTES

    def add(self, queued: Queued) -> None:
        """Put a record at the end of its shard's queue."""
        self._queues.setdefault(queued.shard_id, deque()).append(queued)
        self._count(queued, 1)

    def give_back(self, rejected: Iterable[Queued]) -> None:
        """Put records back in front, in their order."""
        for queued in reversed(list(rejected)):
            self._queues.setdefault(queued.shard_id, deque()).appendleft(queued)
            self._count(queued, 1)

    def free_lanes(self, sent: Iterable[Queued]) -> None:
        """Let the next records of lanes go."""
        self._busy_lanes.difference_update(q.lane for q in sent if q.lane is not None)

    def pace_of(self, shard_id: str, now_s: float) -> ShardPace:
        """Return a shard's pace."""
        if shard_id not in self._paces:
            shards = UNKNOWN_SHARDS if shard_id == UNKNOWN_SHARD else 1
            self._paces[shard_id] = ShardPace(now_s, shards)
        return self._paces[shard_id]

    def move(self) -> list[Queued]:
        """Take everything out: the shards have changed."""
        waiting = [queued for queue in self._queues.values() for queued in queue]
        self._queues.clear()
        self.count = self.size_bytes = 0
        return waiting

    def take_request(self, now_s: float, *, is_last: bool) -> list[Queued]:
        """Return what goes into the next request; empty: nothing may go now.

        Parameters
        ----------
        now_s : float
        is_last : bool
            No more records will come: a request need not be full.
        """
        if not is_last and not self.is_worth_a_request:
            return []
        request: list[Queued] = []
        room_bytes = MOST_REQUEST_BYTES
        for shard_id, queue in self._by_length():
            pace = self.pace_of(shard_id, now_s)
            if not queue or pace.wait_s(now_s) > 0:
                continue
            taken = 0
            for queued in self._movable(queue):
                if len(request) >= MOST_RECORDS or pace.is_spent:
                    break
                if queued.size_bytes > room_bytes and request:
                    break
                pace.take(1, queued.size_bytes)
                request.append(queued)
                taken += 1
                room_bytes -= queued.size_bytes
            if taken:
                self._remove(queue, request[-taken:])
            if len(request) >= MOST_RECORDS or room_bytes <= 0:
                break
        for queued in request:
            self._count(queued, -1)
        return request

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait for the first shard that takes records again."""
        waits = [self.pace_of(shard, now_s).wait_s(now_s) for shard, q in self._by_length() if q]
        return min(waits, default=0.0)

    def _by_length(self) -> list[tuple[str, deque[Queued]]]:
        """Return the queues, the longest first: all shall be empty at the same time."""
        return sorted(self._queues.items(), key=lambda item: -len(item[1]))

    def _movable(self, queue: deque[Queued]) -> Iterator[Queued]:
        """Yield records that may go, and mark their lanes as they are taken."""
        for index, queued in enumerate(queue):
            if index >= MOST_LOOKED_AT:
                return
            if queued.lane is None:
                yield queued
            elif queued.lane not in self._busy_lanes:
                yield queued
                # Whoever asks for the next one has taken this one.
                self._busy_lanes.add(queued.lane)

    def _remove(self, queue: deque[Queued], taken: list[Queued]) -> None:
        """Take records out of a queue, mostly those in front."""
        at = 0
        while at < len(taken) and queue and queue[0] is taken[at]:
            queue.popleft()
            at += 1
        if at < len(taken):
            gone = {id(queued) for queued in taken[at:]}
            kept = [queued for queued in queue if id(queued) not in gone]
            queue.clear()
            queue.extend(kept)

    def _count(self, queued: Queued, by: int) -> None:
        self.count += by
        self.size_bytes += by * queued.size_bytes
