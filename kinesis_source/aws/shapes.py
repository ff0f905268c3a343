"""What goes into Kinesis calls and what comes out: settings to parameters, replies to values.

Pure, used by :mod:`kinesis_source.aws.client`. A reply that lacks a member raises
IncompleteReplyError, which is worth another try: half a body can parse as success.
"""

from __future__ import annotations

from typing import Any, TypeVar

from kinesis_source.aws.api import StreamDescription
from kinesis_source.aws.decode import to_epoch_ms
from kinesis_source.aws.retry import IncompleteReplyError
from kinesis_source.aws.timestamps import from_epoch_ms
from kinesis_source.model.outgoing import OutRecord, PutOutcome
from kinesis_source.model.positions import (
    TRIM_HORIZON,
    AfterRecord,
    AtTimestamp,
    OldestSince,
    Position,
)
from kinesis_source.model.shards import Shard
from kinesis_source.options.settings import StreamSettings

__all__ = [
    "description_of",
    "entry_of",
    "incomplete",
    "iterator_type",
    "member",
    "named",
    "outcomes_of",
    "shard_of",
]

_T = TypeVar("_T")


def named(stream: StreamSettings) -> dict[str, str]:
    """Return the parameters that name a stream."""
    if stream.arn is not None:
        return {"StreamARN": stream.arn}
    return {"StreamName": stream.name}


def iterator_type(position: Position, *, inclusive: bool = False) -> dict[str, Any]:
    """Return GetShardIterator's parameters for a position."""
    if isinstance(position, AfterRecord):
        return {
            "ShardIteratorType": "AT_SEQUENCE_NUMBER" if inclusive else "AFTER_SEQUENCE_NUMBER",
            "StartingSequenceNumber": position.sequence_number,
        }
    if isinstance(position, AtTimestamp):
        return {
            "ShardIteratorType": "AT_TIMESTAMP",
            "Timestamp": from_epoch_ms(position.epoch_ms),
        }
    if position is TRIM_HORIZON or isinstance(position, OldestSince):
        return {"ShardIteratorType": "TRIM_HORIZON"}
    message = "the end of a shard is no place to read from"
    raise ValueError(message)


def description_of(reply: dict[str, Any]) -> StreamDescription:
    """Return the value of a DescribeStreamSummary reply."""
    summary = member(reply, "StreamDescriptionSummary", dict)
    try:
        return StreamDescription(
            arn=summary["StreamARN"],
            status=summary["StreamStatus"],
            created_ms=to_epoch_ms(summary["StreamCreationTimestamp"]),
            retention_ms=summary["RetentionPeriodHours"] * 3_600_000,
            most_record_bytes=(summary.get("MaxRecordSizeInKiB") or 1024) * 1024,
            kms_key=(summary.get("KeyId") or "") if summary.get("EncryptionType") == "KMS" else "",
        )
    except KeyError as error:
        raise incomplete(reply, str(error.args[0])) from None


def shard_of(shard: dict[str, Any]) -> Shard:
    """Return one shard of a ListShards reply; KeyError names a missing member."""
    parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
    hash_keys = shard["HashKeyRange"]
    return Shard(
        shard_id=shard["ShardId"],
        parents=tuple(parent for parent in parents if parent),
        first_hash_key=int(hash_keys["StartingHashKey"]),
        last_hash_key=int(hash_keys["EndingHashKey"]),
        is_closed=bool(shard["SequenceNumberRange"].get("EndingSequenceNumber")),
    )


def entry_of(record: OutRecord) -> dict[str, Any]:
    """Return PutRecords' form of a record."""
    entry: dict[str, Any] = {"Data": record.data, "PartitionKey": record.partition_key}
    if record.explicit_hash_key is not None:
        entry["ExplicitHashKey"] = record.explicit_hash_key
    return entry


def outcomes_of(reply: dict[str, Any], count: int) -> list[PutOutcome]:
    """Return what became of each record of a PutRecords call."""
    found = [
        PutOutcome(one.get("ShardId"), one.get("ErrorCode"), str(one.get("ErrorMessage") or ""))
        for one in member(reply, "Records", list)
    ]
    if len(found) != count or any(o.shard_id is None and o.error_code is None for o in found):
        raise incomplete(reply, "Records")
    return found


def member(reply: dict[str, Any], name: str, kind: type[_T]) -> _T:
    """Return a member of a reply, which must be there and of a kind."""
    value = reply.get(name)
    if not isinstance(value, kind):
        raise incomplete(reply, name)
    return value


def incomplete(reply: dict[str, Any], missing: str) -> IncompleteReplyError:
    """Return the error for a reply that lacks a member."""
    metadata = reply.get("ResponseMetadata", {})
    content_type = metadata.get("HTTPHeaders", {}).get("content-type", "")
    return IncompleteReplyError(missing, metadata.get("RequestId"), content_type)
