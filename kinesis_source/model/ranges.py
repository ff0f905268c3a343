"""ShardRange: what one task reads of one shard, the planner's message to the reader.

A pure value that travels from driver to executors inside Spark's InputPartition. Its repr is
printed by Spark and holds no secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kinesis_source.model.positions import FromRecord, Position

__all__ = ["Density", "ShardRange"]


@dataclass(frozen=True, slots=True)
class Density:
    """How large and how frequent a shard's records are, by what was last seen of it.

    Parameters
    ----------
    record_bytes : float
        Mean; above 0.
    records_per_s : float or None
        By arrival times; None: not known.
    """

    record_bytes: float
    records_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class ShardRange:
    """The records of a shard behind ``start``, up to and with ``end``.

    Parameters
    ----------
    stream : str
        Name or ARN, as the user gave it.
    shard_id : str
    start : Position or FromRecord
        Exclusive for a position behind a record, inclusive for a FromRecord. Never finished.
    end : Position
        An AfterRecord, inclusive: that record existed when the batch was planned. Or END: the
        shard is closed and is read until AWS says that nothing is left.
    density : Density or None
        A hint for the size of the first page; changes nothing in what is read.
    retention_ms : int or None
        How long the stream keeps records, as the driver last heard: tasks need not ask.
    """

    stream: str
    shard_id: str
    start: Position | FromRecord
    end: Position
    density: Density | None = field(default=None, compare=False)
    retention_ms: int | None = field(default=None, compare=False)
