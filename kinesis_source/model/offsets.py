"""StreamOffset: all of a query's checkpoint, as one canonical JSON dict.

Runs on the driver. Pure. Spark stores the text as it is and compares offsets by text, so there is
one text for each value: keys sorted, nothing optional left to chance. The format is public and
versioned; frozen checkpoints live under tests/compat/.

    {"v": 2,
     "begins": {"clicks": {"shardId-000000000003": {"from": "4957...",
                                                    "arrival": 1767225600000}}},
     "streams": {"clicks": {"created": 1767225600123,
                            "retention": 86400000,
                            "shards": {"shardId-000000000000": {"end": 1767225600000},
                                       "shardId-000000000001": {"after": "4957...",
                                                                "arrival": 1767225600000},
                                       "shardId-000000000002": {"oldest": 1767225600000}}}}}

Two fields mark the first micro-batch. The offset that ``initialOffset()`` returns has
``"initial": true``. The end offset of batch 0 has ``"start"``: the resolved start of every stream.
Spark does not log where batch 0 began and asks ``initialOffset()`` again on a replay; the start
that counts is the one in the end offset.

``begins`` belongs to the batch that an offset ends, and is in no later offset. A shard whose
position in the batch's start offset is no record (a moment, the oldest one) begins with the record
named there: the first one that planning saw. Without it a batch could not tell that records were
trimmed between its planning and its run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kinesis_source.errors import OffsetError
from kinesis_source.model.position_texts import (
    position_from_json,
    position_to_json,
    record_from_json,
    record_to_json,
)
from kinesis_source.model.positions import FromRecord, Position, quoted

__all__ = ["OFFSET_VERSION", "StreamOffset", "StreamPosition"]

OFFSET_VERSION = 2
"""Version 1 (release 0.1.0) has no ``begins``, and fewer facts in its positions."""

Begins = Mapping[str, Mapping[str, FromRecord]]
_RESTORE = "Restore the checkpoint from a copy, or start the query with a new checkpoint directory."


@dataclass(frozen=True)
class StreamPosition:
    """How far one stream is read.

    Parameters
    ----------
    created_ms : int
        The stream's creation time: tells it from a later stream of the same name.
    shards : mapping of shard id to Position
        Shards that are being read, and finished ones (END) whose children have no position yet.
    retention_ms : int or None
        The shortest time for which the stream kept records since what the positions say of
        emptiness was noted: raising a retention brings nothing back. None: nobody noted it.
    """

    created_ms: int
    shards: Mapping[str, Position]
    retention_ms: int | None = None


@dataclass(frozen=True)
class StreamOffset:
    """How far a query is.

    Parameters
    ----------
    streams : mapping of stream key to StreamPosition
    start : mapping of stream key to StreamPosition, or None
        In batch 0's end offset: where batch 0 starts.
    is_initial : bool
        Whether this is the query's initial offset.
    begins : mapping of stream key to mapping of shard id to FromRecord
        With which record the batch that ends here begins, in shards where its start is no record.
    """

    streams: Mapping[str, StreamPosition]
    start: Mapping[str, StreamPosition] | None = field(default=None)
    is_initial: bool = False
    begins: Begins = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the canonical dict: keys in sorted order at every level."""
        document: dict[str, Any] = {}
        if any(self.begins.values()):
            document["begins"] = _begins_to_json(self.begins)
        if self.is_initial:
            document["initial"] = True
        if self.start is not None:
            document["start"] = _streams_to_json(self.start)
        document["streams"] = _streams_to_json(self.streams)
        document["v"] = OFFSET_VERSION
        return document

    @classmethod
    def from_json(cls, document: Any) -> StreamOffset:
        """Read an offset.

        Raises
        ------
        OffsetError
            ``[OFFSET_NEWER_VERSION]`` for a format of a later release; ``[OFFSET_UNREADABLE]`` or
            ``[OFFSET_POSITION]`` for anything that no release wrote.
        """
        if not isinstance(document, dict) or not _is_whole_number(document.get("v")):
            raise _unreadable("it is not an offset of this source", document)
        if document["v"] > OFFSET_VERSION:
            raise OffsetError(
                "OFFSET_NEWER_VERSION",
                f"The checkpoint's offset has version {min(document['v'], 10**9)}; "
                f"this release reads versions up to {OFFSET_VERSION}.",
                "Run the query with the release that wrote the checkpoint, or a later one.",
            )
        unknown = set(document) - {"v", "streams", "start", "initial", "begins"}
        if document["v"] < 1 or unknown or "streams" not in document:
            raise _unreadable("it has unknown or missing fields", document)
        if document.get("initial", True) is not True:
            raise _unreadable("its field 'initial' is not true", document)
        return cls(
            streams=_streams_from_json(document["streams"]),
            start=_streams_from_json(document["start"]) if "start" in document else None,
            is_initial="initial" in document,
            begins=_begins_from_json(document.get("begins", {})),
        )


def _streams_to_json(streams: Mapping[str, StreamPosition]) -> dict[str, Any]:
    return {key: _stream_to_json(position) for key, position in sorted(streams.items())}


def _stream_to_json(position: StreamPosition) -> dict[str, Any]:
    document: dict[str, Any] = {"created": position.created_ms}
    if position.retention_ms is not None:
        document["retention"] = position.retention_ms
    document["shards"] = {
        shard_id: position_to_json(position.shards[shard_id])
        for shard_id in sorted(position.shards)
    }
    return document


def _streams_from_json(value: Any) -> dict[str, StreamPosition]:
    if not isinstance(value, dict):
        raise _unreadable("its streams are not an object", value)
    return {key: _stream_from_json(key, stream) for key, stream in value.items()}


def _stream_from_json(key: str, value: Any) -> StreamPosition:
    if (
        not isinstance(value, dict)
        or set(value) - {"retention"} != {"created", "shards"}
        or not _is_whole_number(value["created"])
        or not _is_whole_number(value.get("retention", 0))
        or not isinstance(value["shards"], dict)
    ):
        raise _unreadable(f"stream {key!r} has unknown or missing fields", value)
    return StreamPosition(
        created_ms=value["created"],
        shards={
            shard_id: position_from_json(position) for shard_id, position in value["shards"].items()
        },
        retention_ms=value.get("retention"),
    )


def _begins_to_json(begins: Begins) -> dict[str, Any]:
    return {
        key: {shard_id: record_to_json("from", records[shard_id]) for shard_id in sorted(records)}
        for key, records in sorted(begins.items())
        if records
    }


def _begins_from_json(value: Any) -> dict[str, dict[str, FromRecord]]:
    if not isinstance(value, dict) or not all(isinstance(part, dict) for part in value.values()):
        raise _unreadable("its field 'begins' is not an object of objects", value)
    return {
        key: {shard_id: record_from_json(record) for shard_id, record in records.items()}
        for key, records in value.items()
    }


def _is_whole_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _unreadable(reason: str, value: Any) -> OffsetError:
    return OffsetError(
        "OFFSET_UNREADABLE",
        f"The checkpoint's offset cannot be read: {reason}: {quoted(value)}.",
        _RESTORE,
    )
