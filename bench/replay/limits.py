"""AWS's read limits of one shard, to the letter: 5 calls in any second, 2 MiB/s.

A page beyond 2 MiB passes and blocks its shard for as long as its bytes count: 10 MiB for 5 s.
Refused calls do not count.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["ShardLimits"]

_CALLS_PER_S: Final = 5
_BYTES_PER_S: Final = 2 * 1024 * 1024


class ShardLimits:
    """What one shard has lately given."""

    def __init__(self) -> None:
        self._reads_s: deque[float] = deque(maxlen=_CALLS_PER_S)
        self._iterators_s: deque[float] = deque(maxlen=_CALLS_PER_S)
        self._window_s = float("-inf")
        self._window_bytes = 0
        self._blocked_until_s = float("-inf")

    def try_read(self, now_s: float) -> bool:
        """Count a GetRecords call; False if it is refused."""
        return now_s >= self._blocked_until_s and _try_call(self._reads_s, now_s)

    def try_iterator(self, now_s: float) -> bool:
        """Count a GetShardIterator call; False if it is refused."""
        return _try_call(self._iterators_s, now_s)

    def add_bytes(self, size: int, now_s: float) -> None:
        """Count the bytes of a page."""
        if now_s >= self._window_s + 1:
            self._window_s, self._window_bytes = now_s, 0
        self._window_bytes += size
        if self._window_bytes >= _BYTES_PER_S:
            self._blocked_until_s = self._window_s + self._window_bytes / _BYTES_PER_S


def _try_call(calls_s: deque[float], now_s: float) -> bool:
    if len(calls_s) == _CALLS_PER_S and now_s < calls_s[0] + 1:
        return False
    calls_s.append(now_s)
    return True
