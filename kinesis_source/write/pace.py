"""ShardPace: how fast one task puts into one shard.

Pure, but for the time that it is told. A shard takes 1,000 records and 1 MiB a second, of all who
write to it. A task begins with nearly all of that, gives way when AWS rejects its records, and
takes a little more again with each second that goes well: several tasks come to share a shard
without knowing of each other.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ShardPace"]

RECORDS_PER_S: Final = 1_000
BYTES_PER_S: Final = 1024 * 1024
FULL: Final = 0.98
"""Of AWS's limits: with what may go at once it is hardly more than all of a second."""
LEAST: Final = 0.02
LARGE_PART: Final = 0.04
"""Of what was sent lately: from here on others write, below a window was met badly."""
LATELY_S: Final = 2.0
LARGE_CUT: Final = 0.6
SMALL_CUT: Final = 0.25
"""Of the part that was rejected."""
CUT_EVERY_S: Final = 0.5
"""One request's rejections are one sign."""
RISE_PER_S: Final = 0.12
SLOW_RISE_PER_S: Final = 0.02
"""For CAREFUL_S after a large cut: there are others."""
CAREFUL_S: Final = 60.0
BURST_S: Final = 0.04
"""What may go at once: so much of a second's share."""
LEAST_WAIT_S: Final = 1e-6
READY_S: Final = 0.02
"""What is waited for: requests of one record each would go out otherwise."""


class ShardPace:
    """A bucket of records and bytes that fills at a share of a shard's limits.

    Parameters
    ----------
    now_s : float
    shards : int
        Whose limits the bucket stands for.
    """

    def __init__(self, now_s: float, shards: int = 1) -> None:
        self.share = FULL
        self._shards = shards
        self._filled_s = now_s
        self._left_s = {
            "records": BURST_S,
            "bytes": BURST_S,
        }  # what may go, in seconds of the share
        self._cut_s = float("-inf")
        self._large_cut_s = float("-inf")
        self._lately = {"sent": 0.0, "rejected": 0.0}

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait for the next records; 0: some may go."""
        self._fill(now_s)
        wait_s = READY_S - min(self._left_s.values())
        return wait_s if wait_s > LEAST_WAIT_S else 0.0

    @property
    def is_spent(self) -> bool:
        """Whether the next record has to wait."""
        return min(self._left_s.values()) <= 0

    def take(self, records: int, size_bytes: int) -> None:
        """Note what is being sent; the bucket may go below zero by the last record."""
        self._lately["sent"] += records
        self._left_s["records"] -= records / RECORDS_PER_S / self._shards / self.share
        self._left_s["bytes"] -= size_bytes / BYTES_PER_S / self._shards / self.share

    def rejected(self, now_s: float, records: int) -> None:
        """Give way, by as much as was too much lately.

        Parameters
        ----------
        now_s : float
        records : int
            How many of a request AWS rejected.
        """
        self._lately["rejected"] += records
        if now_s - self._cut_s >= CUT_EVERY_S:
            self._cut_s = now_s
            part = min(1.0, self._lately["rejected"] / max(1.0, self._lately["sent"]))
            if part >= LARGE_PART:
                self._large_cut_s = now_s
            kept = LARGE_CUT if part >= LARGE_PART else 1 - part * SMALL_CUT
            self.share = max(LEAST, self.share * kept)
            for kind, left_s in self._left_s.items():
                self._left_s[kind] = min(left_s, 0.0)

    def _fill(self, now_s: float) -> None:
        passed_s = max(0.0, now_s - self._filled_s)
        self._filled_s = now_s
        fades = max(0.0, 1 - passed_s / LATELY_S)
        for kind in self._lately:
            self._lately[kind] *= fades
        for kind, left_s in self._left_s.items():
            self._left_s[kind] = min(BURST_S, left_s + passed_s)
        is_careful = now_s - self._large_cut_s < CAREFUL_S
        rise_per_s = SLOW_RISE_PER_S if is_careful else RISE_PER_S
        self.share = min(FULL, self.share + rise_per_s * passed_s)
