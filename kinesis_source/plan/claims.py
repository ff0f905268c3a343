"""LossClaims, on the driver: what AWS's replies say is gone, until it is believed or contradicted.

Kinds of claims: AWS does not know a record (*refused*), or a shard (*denied*); a finished shard and
all its children are not listed (*orphan*); a shard begins whose parents are not listed (*late*).
None is believed at its first word. Callers hold the frontier's lock; no I/O.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kinesis_source.model.positions import LOST, Position
from kinesis_source.model.shards import Lineage
from kinesis_source.plan.beliefs import Beliefs, ClaimKey
from kinesis_source.plan.late_shards import LateShard

__all__ = ["LossClaims"]

ORPHANED_S = 60.0
"""How long a finished shard and all its children may be missing in the listings."""


class LossClaims:
    """The claims of one stream."""

    def __init__(self) -> None:
        self._beliefs = Beliefs()
        self._believed: dict[ClaimKey, Position] = {}

    def refuse(self, shard_id: str, position: Position, asked_s: float, now_s: float) -> None:
        """AWS says that it does not know the record that a position lies behind."""
        self._hear(("refused", shard_id), position, asked_s, now_s)

    def deny(self, shard_id: str, now_s: float) -> None:
        """AWS says that it does not know a shard. Only listings can prove it."""
        self._beliefs.hear(("denied", shard_id), float("-inf"), now_s)

    def answer(self, shard_id: str) -> None:
        """AWS answered for a shard: what it denied of it was not so."""
        self._drop(("refused", shard_id))
        self._drop(("denied", shard_id))

    def hold_against(
        self, lineage: Lineage, listed_s: float, orphans: list[str], now_s: float
    ) -> None:
        """Take in what a listing says of the claims."""
        for claim in self._beliefs.claims("denied"):
            if claim[1] in lineage:
                self._drop(claim)
            else:
                self._hear(claim, LOST, listed_s, now_s)
        for claim in self._beliefs.claims("orphan"):
            if claim[1] not in orphans:
                self._drop(claim)
        for shard_id in orphans:
            self._hear(("orphan", shard_id), LOST, listed_s, now_s, ORPHANED_S)

    def take_losses(self, described_s: float) -> dict[str, Position]:
        """Return what is believed to be gone; forgets it.

        Parameters
        ----------
        described_s : float
            When the stream was described last: what was first claimed later waits, for the stream
            may be another one by now.

        Returns
        -------
        dict of shard id to Position
            LOST, or the position that is refused.
        """
        ripe = [c for c in self._believed if self._beliefs.since_s(c) <= described_s]
        losses = {claim[1]: self._believed[claim] for claim in ripe}
        for shard_id in losses:
            for kind in ("refused", "denied", "orphan"):
                self._drop((kind, shard_id))
        return losses

    def _hear(
        self,
        claim: ClaimKey,
        position: Position,
        evidence_s: float,
        now_s: float,
        least_s: float = 0.0,
    ) -> None:
        is_believed = self._beliefs.hear(claim, evidence_s, now_s)
        if is_believed and now_s - self._beliefs.since_s(claim) >= least_s:
            self._believed[claim] = position

    def _drop(self, claim: ClaimKey) -> None:
        self._beliefs.forget(claim)
        self._believed.pop(claim, None)

    def believed_late(
        self, late: Mapping[str, LateShard], listed_s: float, now_s: float
    ) -> dict[str, LateShard]:
        """Return those late shards whose parents several listings agree not to show any more."""
        claims = {("late", shard_id) for shard_id in late}
        self._beliefs.keep("late", claims)
        return {
            shard_id: shard
            for shard_id, shard in late.items()
            if self._beliefs.hear(("late", shard_id), listed_s, now_s)
        }

    def are_strangers(
        self, shard_ids: Collection[str], described_s: float, now_s: float
    ) -> set[str]:
        """Return those new shards without parents of which it is not known whose they are.

        In one and the same stream each shard descends from those that it was started with: a new
        root is one of another stream, unless a description since says that this is the same.
        """
        claims = {("stranger", shard_id) for shard_id in shard_ids}
        self._beliefs.keep("stranger", claims)
        for claim in claims:
            self._beliefs.hear(claim, described_s, now_s)
        return {claim[1] for claim in claims if self._beliefs.since_s(claim) > described_s}

    @property
    def are_any(self) -> bool:
        """Whether something is claimed and not believed yet: fresh answers are wanted."""
        return bool(self._beliefs)
