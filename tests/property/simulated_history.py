"""The writers' and operators' side of the simulated stream: puts, splits, merges, retention.

What is scheduled happens at its very moment, between any two calls. All chance comes from one seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from simulated_runtime import FakeClock, VirtualTime
from simulated_shard import SimulatedShard
from simulated_weather import CALM, Nastiness, Weather

from kinesis_source.model.shards import HASH_KEY_MAX

__all__ = ["DAY_MS", "EPOCH_MS", "StreamHistory"]

EPOCH_MS = 1_767_225_600_000
DAY_MS = 24 * 3_600_000


class StreamHistory:
    """A stream as it is.

    Parameters
    ----------
    seed : int
    nastiness : Nastiness
    clock : VirtualTime
    shards : int
        How many there are at first.
    key : str
        The stream's name.
    first_number : int
        No record has a lower sequence number.
    created_ms : int or None
        None: a minute ago.
    """

    def __init__(
        self,
        seed: int = 0,
        nastiness: Nastiness = CALM,
        clock: VirtualTime | None = None,
        shards: int = 1,
        key: str = "s",
        first_number: int = 10**30 - 50,
        created_ms: int | None = None,
    ) -> None:
        self.clock = clock or FakeClock(seed)
        self.key = key
        self._first_second = 1_000.0
        self.created_ms = EPOCH_MS if created_ms is None else created_ms
        self.nastiness = nastiness
        self.random = random.Random(seed)  # noqa: S311 - a replayable game
        self.weather = Weather(self.clock, self.random)
        self.shards: dict[str, SimulatedShard] = {}
        self.hidden: set[str] = set()  # not listed, whatever the retention is
        self.retention_ms = DAY_MS
        self.retentions: list[tuple[int, int]] = [(0, DAY_MS)]
        """From when on which retention was in force."""
        # Digits grow by one while the stream lives: as text the larger numbers would sort first.
        self.last_number = first_number
        self._due_count = 0
        self.is_deleted = False
        width = (HASH_KEY_MAX + 1) // shards
        for n in range(shards):
            last = HASH_KEY_MAX if n == shards - 1 else (n + 1) * width - 1
            self._add((), n * width, last)

    @property
    def server_ms(self) -> int:
        """The moment, by the server's true clock."""
        return EPOCH_MS + 60_000 + int((self.clock.now_s - self._first_second) * 1000)

    def at(self, moment_ms: int, action: Callable[[], None]) -> None:
        """Schedule what a writer does."""
        self._due_count += 1

        def happen() -> None:
            self._due_count -= 1
            action()

        # Half a millisecond later: the server's clock, cut to milliseconds, shows the moment.
        after_ms = moment_ms - EPOCH_MS - 60_000
        self.clock.at(self._first_second + (after_ms + 0.5) / 1000, happen)

    @property
    def is_quiet(self) -> bool:
        """Whether all that was scheduled has happened."""
        return not self._due_count

    def catch_up(self) -> None:
        """Let happen what is due by now."""
        self.clock.sleep(0.001)

    def open_shards(self) -> list[SimulatedShard]:
        return [shard for shard in self.shards.values() if shard.closed_ms is None]

    def put(self, pick: int, count: int = 1, size: int = 100, when_ms: int | None = None) -> None:
        """Put records into an open shard; ``pick`` chooses which."""
        candidates = self.open_shards()
        if not candidates:
            return
        shard = candidates[pick % len(candidates)]
        n = self.nastiness
        put_ms = self.server_ms if when_ms is None else when_ms
        for _ in range(count):
            self.last_number += 1 + self._draw(3)
            arrival = put_ms - self._draw(n.disorder_back_ms) + self._draw(n.disorder_ahead_ms)
            shard.numbers.append(self.last_number)
            shard.arrivals.append(arrival // n.arrival_grain_ms * n.arrival_grain_ms)
            shard.puts.append(put_ms)
            shard.sizes.append(size)

    def split(self, pick: int) -> None:
        candidates = self.open_shards()
        if not candidates:
            return
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

    def set_retention(self, retention_ms: int) -> None:
        """Raise or lower the retention: what is gone does not come back."""
        self.trim()
        self.retention_ms = retention_ms
        self.retentions.append((self.server_ms, retention_ms))
        self.trim()

    def delete(self) -> None:
        """Take the stream away with all that is in it; writers write in vain from now on."""
        self.is_deleted = True
        for shard in self.shards.values():
            shard.closed_ms = shard.gone_ms = self.server_ms
            shard.trimmed = len(shard.numbers)

    def trim(self) -> None:
        """Let go, in all shards, what is older than the retention."""
        for shard in self.shards.values():
            shard.trim(self.server_ms, self.retention_ms)

    def shortest_retention_ms(self, since_ms: int) -> int:
        """Return the shortest retention that was in force at any moment since."""
        later = [ms for when_ms, ms in self.retentions if when_ms > since_ms]
        before = [ms for when_ms, ms in self.retentions if when_ms <= since_ms]
        return min(later + before[-1:])

    def _add(self, parents: tuple[str, ...], first: int, last: int) -> None:
        shard_id = f"shardId-{len(self.shards):012d}"
        now_ms = self.server_ms
        # No shard is listed before its parents, but a grandchild's uncle may come after it.
        elders = [self.shards[parent].listed_from_ms for parent in parents]
        late_ms = self._draw(self.nastiness.child_late_ms) if parents else 0
        self.shards[shard_id] = SimulatedShard(
            shard_id,
            parents,
            first,
            last,
            created_ms=now_ms,
            listed_from_ms=max([now_ms + late_ms, *elders]) if parents else 0,
            late_ms=self._draw(self.nastiness.trim_late_ms),
        )
        for parent in parents:
            self.shards[parent].children.append(shard_id)

    def _close(self, shard: SimulatedShard) -> None:
        shard.closed_ms = self.server_ms
        shard.closed_listed_from_ms = shard.closed_ms + self._draw(self.nastiness.child_late_ms)

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self.random.random() < chance

    def _draw(self, most: int) -> int:
        return self.random.randint(0, most) if most > 0 else 0
