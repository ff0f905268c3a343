"""ShardRange: what one task reads of one shard, the planner's message to the reader.

A pure value that travels from driver to executors inside Spark's InputPartition. Its repr is
printed by Spark and holds no secret.
"""

from __future__ import annotations

from dataclasses import dataclass

from kinesis_source.model.positions import Position

__all__ = ["ShardRange"]


@dataclass(frozen=True, slots=True)
class ShardRange:
    """The records of a shard behind ``start``, up to and with ``end``.

    Parameters
    ----------
    stream : str
        Name or ARN, as the user gave it.
    shard_id : str
    start : Position
        Exclusive for a record. Never END.
    end : Position
        An AfterRecord, inclusive: that record existed when the batch was planned. Or END: the
        shard is closed and is read until AWS says that nothing is left.
    """

    stream: str
    shard_id: str
    start: Position
    end: Position
