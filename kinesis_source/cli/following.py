"""Records of a stream for the eye, as they come: what ``kinesis-source tail`` prints.

Runs on the user's machine. Polls each shard about once a second, a part of the five calls a second
that Kinesis allows a shard's readers together. Follows resharding: children begin where all their
parents that are read have ended. For looking: nothing is remembered, and a shard that is throttled
is asked again later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from kinesis_source.aws.api import IteratorExpiredError, Page, StreamApi
from kinesis_source.diagnosis.findings import ShownRecord
from kinesis_source.diagnosis.sample import show_records
from kinesis_source.errors import OptionError, StreamError, ThrottledError
from kinesis_source.model.positions import TRIM_HORIZON, AfterRecord, Position
from kinesis_source.options.settings import StreamSettings

__all__ = ["Follower", "Round"]

_POLL_S: Final = 1.0
_LIMIT: Final = 1_000
_THREADS: Final = 16
_SHARDS: Final = 500
"""More shards than that are no sight."""


@dataclass(slots=True)
class _Shard:
    """Where the eye is in one shard."""

    position: Position
    iterator: str | None = None
    behind_ms: int | None = None
    is_ended: bool = False
    children: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at all shards brought.

    Parameters
    ----------
    records : tuple of ShownRecord
        By arrival.
    shards : int
        That are followed.
    behind_ms : int or None
        The largest; None: no shard has answered.
    is_caught_up : bool
        Whether each shard was read up to now.
    throttled : int
        Shards that Kinesis refused to read just now.
    """

    records: tuple[ShownRecord, ...]
    shards: int
    behind_ms: int | None
    is_caught_up: bool
    throttled: int = 0


@dataclass
class Follower:
    """Follows the shards of one stream.

    Parameters
    ----------
    api : StreamApi
    stream : StreamSettings
    start : Position
        Where to begin in each shard.
    only : str or None
        A shard's id, whole or its last digits; None: all that are open.
    sleep, clock : callable
    """

    api: StreamApi
    stream: StreamSettings
    start: Position
    only: str | None = None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _shards: dict[str, _Shard] = field(default_factory=dict)
    _parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _waiting: set[str] = field(default_factory=set)

    def rounds(self) -> Iterator[Round]:
        """Look again and again, once a second at most, until nothing is left to follow.

        Raises
        ------
        OptionError
            ``[OPTION_VALUE]`` for a shard that is not there, or too many of them.
        """
        self._begin()
        with ThreadPoolExecutor(min(_THREADS, len(self._shards))) as pool:
            while self._shards:
                began_s = self.clock()
                pages = list(pool.map(self._poll, list(self._shards.items())))
                found = [record for page in pages for record in (page or ())]
                yield self._round(found, sum(page is None for page in pages))
                self._go_on()
                self.sleep(max(0.0, began_s + _POLL_S - self.clock()))

    def _begin(self) -> None:
        listed = {shard.shard_id: shard for shard in self.api.list_shards(self.stream)}
        self._parents = {shard_id: shard.parents for shard_id, shard in listed.items()}
        # Closed ones, too: they may hold records behind the start, and it is cheap to look.
        wanted = [one for one in listed if self.only is None or one.endswith(self.only)]
        if self.only is not None and len(wanted) != 1:
            names = ", ".join(sorted(listed)[:10])
            raise OptionError(
                "OPTION_VALUE",
                f"{len(wanted)} shards of {self.stream.key!r} end with {self.only!r}; it has"
                f" {names}.",
                "Name one, by its whole id or its last digits.",
            )
        if len(wanted) > _SHARDS:
            raise OptionError(
                "OPTION_VALUE",
                f"Stream {self.stream.key!r} has {len(wanted)} shards to look at.",
                "Name one with --shard.",
            )
        first = [
            shard_id
            for shard_id in wanted
            if not any(parent in wanted for parent in self._parents[shard_id])
        ]
        self._shards = {shard_id: _Shard(self.start) for shard_id in first}
        self._waiting = {shard_id for shard_id in wanted if shard_id not in self._shards}

    def _poll(self, item: tuple[str, _Shard]) -> list[ShownRecord] | None:
        """Read a page of a shard; None if that was refused for now."""
        shard_id, shard = item
        try:
            if shard.iterator is None:
                shard.iterator = self.api.get_iterator(self.stream, shard_id, shard.position)
            page = self.api.get_page(self.stream, shard_id, shard.iterator, _LIMIT)
        except IteratorExpiredError:
            shard.iterator = None
            return []
        except ThrottledError:
            return None
        except StreamError as error:
            if error.code != "STREAM_SHARD_NOT_FOUND":
                raise
            shard.is_ended = True
            return []
        self._note(shard, page)
        return show_records(shard_id, page)

    @staticmethod
    def _note(shard: _Shard, page: Page) -> None:
        if len(page):
            shard.position = AfterRecord(page.sequence_numbers[-1], page.arrival_ms[-1])
        shard.iterator = page.next_iterator
        shard.behind_ms = page.millis_behind_latest
        if page.is_shard_end:
            shard.is_ended = True
            shard.children = page.child_shard_ids

    def _round(self, found: list[ShownRecord], throttled: int) -> Round:
        behind = [s.behind_ms for s in self._shards.values() if s.behind_ms is not None]
        is_caught_up = (
            len(behind) == len(self._shards)
            and max(behind, default=1) == 0
            and not any(shard.is_ended for shard in self._shards.values())
            and not self._waiting
            and not throttled
        )
        return Round(
            tuple(sorted(found, key=lambda record: (record.arrived, record.sequence_number))),
            len(self._shards),
            max(behind, default=None),
            is_caught_up,
            throttled,
        )

    def _go_on(self) -> None:
        """Put the children of shards that ended in their places."""
        ended = {shard_id: shard for shard_id, shard in self._shards.items() if shard.is_ended}
        if not ended:
            return
        for shard_id in ended:
            del self._shards[shard_id]
        if self.only is not None:
            return
        children = {child for shard in ended.values() for child in shard.children}
        if children - self._parents.keys():
            listed = self.api.list_shards(self.stream)
            self._parents.update((shard.shard_id, shard.parents) for shard in listed)
        self._waiting |= children
        for child in sorted(self._waiting):
            parents = self._parents.get(child, ())
            if not any(parent in self._shards or parent in self._waiting for parent in parents):
                self._waiting.discard(child)
                is_new = child in children
                self._shards[child] = _Shard(TRIM_HORIZON if is_new else self.start)
