"""An api for literal tests: each shard's replies are written down."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from kinesis_source.aws.api import Page
from kinesis_source.model.positions import Position
from kinesis_source.options.settings import StreamSettings
from tests.decoding import as_decoded

Reply = Page | BaseException


def page(
    *numbers: int, more: bool = True, behind: int = 0, children: tuple[str, ...] = (), size: int = 1
) -> Page:
    """Return a page whose records have these sequence numbers, and ten times them as arrival."""
    return as_decoded(
        Page(
            [str(number) for number in numbers],
            [f"key {number}" for number in numbers],
            [number * 10 for number in numbers],
            [b"x" * size] * len(numbers),
            "next" if more else None,
            behind,
            children,
        )
    )


class ScriptedApi:
    """Gives the replies of each shard in order; the last one again and again.

    ``positions`` keeps what iterators were asked for, ``limits`` the Limit of each GetRecords.
    """

    def __init__(self, **replies: Iterable[Reply]) -> None:
        self._replies = {shard: list(of_shard) for shard, of_shard in replies.items()}
        self._lock = threading.Lock()
        self.positions: list[Position] = []
        self.limits: list[int] = []

    def trying_once(self) -> ScriptedApi:
        return self

    def refute_now(self, moment_ms: int) -> None:
        pass

    def now_ms(self) -> int:
        return 1_000  # the records are young: ten times their number is their arrival

    def get_iterator(
        self,
        stream: StreamSettings,
        shard_id: str,
        position: Position,
        *,
        inclusive: bool = False,
    ) -> str:
        self.positions.append(position)
        return "first"

    def get_page(
        self,
        stream: StreamSettings,
        shard_id: str,
        iterator: str,
        limit: int,
        data_prefix: bytes | None = b"",
    ) -> Page:
        with self._lock:
            self.limits.append(limit)
            replies = self._replies[shard_id]
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, BaseException):
            raise reply
        return reply
