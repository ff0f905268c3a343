"""Beliefs, on the driver: what is taken for lost only when AWS says so again and again.

One reply proves nothing: a shard that every listing shows is denied once, a listing lacks a shard
for a second. A claim is believed when it was heard several times, over some seconds, each time with
a newer answer. Pure: callers pass in their clock.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["BELIEF_S", "BELIEF_TIMES", "Beliefs", "ClaimKey"]

BELIEF_TIMES = 3
BELIEF_S = 10.0

ClaimKey = tuple[str, str]
"""What kind of claim, and of which shard."""


@dataclass
class _Claim:
    since_s: float
    evidence_s: float
    times: int = 1


class Beliefs:
    """Claims, with how often and how long each was heard."""

    def __init__(self) -> None:
        self._claims: dict[ClaimKey, _Claim] = {}

    def __len__(self) -> int:
        return len(self._claims)

    def __contains__(self, claim: ClaimKey) -> bool:
        return claim in self._claims

    def hear(self, claim: ClaimKey, evidence_s: float, now_s: float) -> bool:
        """Take in a claim, and say whether it is believed.

        Parameters
        ----------
        claim : tuple of str
        evidence_s : float
            When the call was begun whose answer makes the claim: one answer counts once.
        now_s : float
        """
        known = self._claims.get(claim)
        if known is None:
            known = self._claims[claim] = _Claim(now_s, evidence_s)
        elif evidence_s > known.evidence_s:
            known.evidence_s = evidence_s
            known.times += 1
        return known.times >= BELIEF_TIMES and known.evidence_s - known.since_s >= BELIEF_S

    def since_s(self, claim: ClaimKey) -> float:
        """Return when a claim that is made was first heard."""
        return self._claims[claim].since_s

    def claims(self, kind: str) -> list[ClaimKey]:
        """Return the claims of a kind."""
        return [claim for claim in self._claims if claim[0] == kind]

    def forget(self, claim: ClaimKey) -> None:
        """Drop a claim that was contradicted, or acted upon."""
        self._claims.pop(claim, None)

    def keep(self, kind: str, claims: Collection[ClaimKey]) -> None:
        """Drop the claims of a kind that are not made any more."""
        for claim in self.claims(kind):
            if claim not in claims:
                del self._claims[claim]
