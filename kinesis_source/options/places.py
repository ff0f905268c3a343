"""Places per stream and per shard: the JSON forms of ``initialPosition`` and ``endingPosition``.

Pure; runs in Spark's driver-side worker at ``load()``. Takes::

    {"clicks": "latest", "orders": {"shardId-000000000000": {"after": "4957..."}}}
    {"shardId-000000000000": {"after": "4957..."},      behind a record that was read
     "shardId-000000000001": {"from": "4957..."},       with that record
     "shardId-000000000002": {"at_timestamp": "2023-08-30T19:00:05Z"},
     "shardId-000000000003": "trim_horizon",            or "latest"
     "shardId-000000000004": "end"}                     all of it was read; its children follow

and two forms in which other connectors write their checkpoints, awslabs' and Qubole's, and
Databricks'::

    {"metadata": ..., "shardId-000000000000": {"iteratorType": ..., "iteratorPosition": ...}}
    {"shards": [{"stream": ..., "shardId": ..., "lastSeqNum": ...}]}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from kinesis_source.model.positions import END, TRIM_HORIZON, AtTimestamp
from kinesis_source.options.settings import (
    LATEST,
    NumberedRecord,
    ShardStart,
    ShardStarts,
    StreamStart,
    StreamStarts,
)
from kinesis_source.options.values import BadValueError, shown

__all__ = ["is_sequence_number", "read_places", "user_records_read"]

_SHARD_ID = re.compile(r"[a-zA-Z0-9_.-]{1,128}")  # Kinesis API model, shape ShardId
_SHARD_LIKE = re.compile(r"shardId-[0-9]+")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,128}")
_WORDS: Final[Mapping[str, ShardStart]] = {
    "latest": LATEST,
    "trim_horizon": TRIM_HORIZON,
    "earliest": TRIM_HORIZON,
    "end": END,
    "shard_end": END,
}
_FORM: Final = (
    'Write {"<shard id>": <place>} or {"<stream>": {"<shard id>": <place>}}, where a place is'
    ' {"after": "<sequence number>"}, {"from": "<sequence number>"}, {"at_timestamp": "<time>"},'
    ' "trim_horizon", "latest" or "end".'
)
ReadTime = Callable[[str], AtTimestamp]


def read_places(
    document: Mapping[str, Any],
    read_time: ReadTime,
    read_stream: Callable[[str], Any],
) -> StreamStarts:
    """Read the JSON object of an option.

    Parameters
    ----------
    document : mapping
    read_time : callable
        Reads the text of a moment.
    read_stream : callable
        Reads the text that stands for a whole stream.

    Raises
    ------
    BadValueError
    """
    if not document:
        raise _bad("is an empty JSON object")
    if set(document) == {"shards"} and isinstance(document["shards"], list):
        return StreamStarts(_databricks(document["shards"]))
    if all(_SHARD_LIKE.fullmatch(name) or name == "metadata" for name in document):
        stream, shards = _one_stream(document, read_time)
        return StreamStarts(((stream, shards),))
    return StreamStarts(
        tuple(
            (name, _stream(name, value, read_time, read_stream))
            for name, value in sorted(document.items())
        )
    )


def _stream(
    name: str, value: Any, read_time: ReadTime, read_stream: Callable[[str], Any]
) -> StreamStart:
    if isinstance(value, str):
        place = read_stream(value)
        if isinstance(place, StreamStarts):
            raise _bad(f"has JSON within JSON for {shown(name)}")
        whole: StreamStart = place
        return whole
    if not isinstance(value, dict) or not value:
        raise _bad(f"has {shown(str(value))} for {shown(name)}, which is neither text nor object")
    if set(value) == {"at_timestamp"} and isinstance(value["at_timestamp"], str):
        return read_time(value["at_timestamp"].strip())
    return ShardStarts(
        tuple((shard, _place(shard, place, read_time)) for shard, place in sorted(value.items()))
    )


def _one_stream(document: Mapping[str, Any], read_time: ReadTime) -> tuple[str, ShardStarts]:
    """Read shards without their stream's name, unless awslabs' metadata have it."""
    metadata = document.get("metadata", {})
    stream = metadata.get("streamName", "") if isinstance(metadata, dict) else ""
    shards = tuple(
        (shard, _place(shard, place, read_time))
        for shard, place in sorted(document.items())
        if shard != "metadata"
    )
    if not shards or not isinstance(stream, str):
        raise _bad("names no shard")
    return stream, ShardStarts(shards)


def _place(shard_id: str, value: Any, read_time: ReadTime) -> ShardStart:
    if not _SHARD_ID.fullmatch(shard_id):
        raise _bad(f"has {shown(shard_id)}, which is no shard id")
    if isinstance(value, str) and value.lower() in _WORDS:
        return _WORDS[value.lower()]
    if isinstance(value, dict):
        folded = {str(name).lower(): item for name, item in value.items()}
        if "iteratortype" in folded:
            return _of_iterator(shard_id, folded, read_time)
        if len(folded) == 1:
            ((name, item),) = folded.items()
            if name in ("after", "from"):
                return _record(shard_id, item, is_read=name == "after")
            if name == "at_timestamp" and isinstance(item, str):
                return read_time(item.strip())
    raise _bad(f"has {shown(str(value))} as the place in {shard_id}")


def _of_iterator(shard_id: str, folded: Mapping[str, Any], read_time: ReadTime) -> ShardStart:
    """Read awslabs' and Qubole's form of a place."""
    kind, place = str(folded["iteratortype"]).upper(), folded.get("iteratorposition", "")
    if kind in ("AFTER_SEQUENCE_NUMBER", "AT_SEQUENCE_NUMBER"):
        # In the middle of a record of the Kinesis Producer Library: that record is read again.
        read = user_records_read(folded.get("subsequencenumber"), folded.get("islast"))
        is_read = kind == "AFTER_SEQUENCE_NUMBER" and read is None
        return _record(shard_id, place, is_read=is_read)
    if kind == "AT_TIMESTAMP" and isinstance(place, str | int):
        return read_time(str(place).strip())
    if kind.lower() in _WORDS:
        return _WORDS[kind.lower()]
    raise _bad(f"has the iterator type {shown(kind)} for {shard_id}")


def is_sequence_number(value: Any) -> bool:
    """Say whether something is a sequence number, as text or as it is."""
    return _NUMBER.fullmatch(str(value)) is not None


def user_records_read(sub_sequence_number: Any, is_last: Any) -> int | None:
    """Return how many user records of an aggregate a place of awslabs' is behind.

    None if it is behind all of them, or the record is none. Their connector writes both members as
    text into offsets, and as they are into files of its own.
    """
    if str(is_last).lower() != "false" or not is_sequence_number(sub_sequence_number):
        return None
    return int(str(sub_sequence_number)) + 1


def _databricks(entries: list[Any]) -> tuple[tuple[str, StreamStart], ...]:
    streams: dict[str, list[tuple[str, ShardStart]]] = {}
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("shard"), dict):
            entry = {**entry, **entry["shard"]}  # noqa: PLW2901 - as their query progress has it
        if not isinstance(entry, dict) or not isinstance(entry.get("shardId"), str):
            raise _bad(f"has {shown(str(entry))}, which names no shardId")
        shard_id, stream = entry["shardId"], entry.get("stream", "")
        if not isinstance(stream, str) or not _SHARD_ID.fullmatch(shard_id):
            raise _bad(f"has {shown(str(entry))}, whose stream or shardId is no name")
        place = _record(shard_id, entry.get("lastSeqNum"), is_read=True)
        streams.setdefault(stream, []).append((shard_id, place))
    if not streams:
        raise _bad("names no shard")
    return tuple((name, ShardStarts(tuple(sorted(shards)))) for name, shards in streams.items())


def _record(shard_id: str, value: Any, *, is_read: bool) -> NumberedRecord:
    if not isinstance(value, str) or not is_sequence_number(value):
        raise _bad(f"has {shown(str(value))} for {shard_id}, which is no sequence number in quotes")
    return NumberedRecord(value, is_read=is_read)


def _bad(problem: str) -> BadValueError:
    return BadValueError("OPTION_VALUE", f"{problem}.", _FORM)
