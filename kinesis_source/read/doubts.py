"""Doubt, on the executors: what a range's replies leave open, as one explicit state.

A reply may contradict what is known: an iterator is missing, a record is refused, a shard is
denied, the end does not come. One such reply proves nothing. The state names what is in doubt, how
often it was heard in a row and since when; a page that moves clears it. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Doubt", "Doubts"]


class Doubt(Enum):
    """What is in doubt."""

    DAMAGED = "a reply had no next iterator, and nothing proves that the shard ended"
    TRIMMED = "another record came than the one that must be there, or none"
    END_MISSING = "the tip shows, and the record that ends the range does not come"
    REFUSED = "AWS does not know the position"
    DENIED = "AWS does not know the shard"


@dataclass
class Doubts:
    """The doubt that the last replies raised, if any."""

    about: Doubt | None = None
    count: int = 0
    since_s: float = 0.0

    def note(self, about: Doubt, now_s: float) -> None:
        """Count one more reply, or the first of another kind."""
        if self.about is not about:
            self.about, self.count, self.since_s = about, 0, now_s
        self.count += 1

    def clear(self) -> None:
        """Forget: a reply raised none."""
        self.about, self.count = None, 0

    def lasts(self, about: Doubt, count: int, seconds: float, now_s: float) -> bool:
        """Say whether a doubt was heard so often, over so long."""
        return self.about is about and self.count >= count and now_s - self.since_s >= seconds
