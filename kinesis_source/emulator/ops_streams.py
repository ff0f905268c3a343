"""The stream operations: create, delete, describe, list, retention, tags, record size and mode."""

from typing import Any

from .context import Context
from .errors import AwsError, invalid_argument, validation
from .store import ON_DEMAND_SHARDS, ON_DEMAND_STREAM_LIMIT, stream_arn
from .streams import Stream
from .tokens import TOKEN_LIFE_S

_MODES = ("PROVISIONED", "ON_DEMAND")


def _mode(call: Context, default: str | None) -> str:
    details = call.params.get("StreamModeDetails") or {}
    mode = details.get("StreamMode", default)
    if mode not in _MODES:
        raise validation(f"StreamMode must be one of {', '.join(_MODES)}, got {mode!r}.")
    return str(mode)


def create_stream(call: Context) -> dict[str, Any]:
    """CreateStream: provisioned with a shard count, or on demand."""
    call.text("StreamName")
    account_id, region, name = call.named_stream()
    call.authorize(stream_arn(account_id, region, name))
    mode = _mode(call, "PROVISIONED")
    if mode == "ON_DEMAND":
        if call.params.get("ShardCount") is not None:
            raise validation("ShardCount must not be given for a stream in ON_DEMAND mode.")
        count = ON_DEMAND_SHARDS
    else:
        count = call.whole("ShardCount", 1, 1_000_000)
    record_kib = _record_kib(call, 1024)
    tags = _tags(call.params.get("Tags") or {})
    stream = call.store.create(account_id, region, name, count, mode)
    stream.max_record_kib = record_kib
    stream.tags.update(tags)
    return {}


def delete_stream(call: Context) -> dict[str, Any]:
    """DeleteStream."""
    call.store.delete(call.stream())
    return {}


def describe_stream(call: Context) -> dict[str, Any]:
    """DescribeStream: the stream and a page of up to 100 shards."""
    limit = min(call.whole("Limit", 1, 10_000, 100), 100)
    after_id = str(call.params.get("ExclusiveStartShardId") or "")
    stream = call.stream()
    creating = stream.status(call.now_ms) == "CREATING"
    shards = [] if creating else [s for s in stream.shards(call.now_ms) if s.shard_id > after_id]
    described = _described(call, stream)
    described["Shards"] = [shard.describe() for shard in shards[:limit]]
    described["HasMoreShards"] = len(shards) > limit
    return {"StreamDescription": described}


def describe_stream_summary(call: Context) -> dict[str, Any]:
    """DescribeStreamSummary."""
    stream = call.stream()
    described = _described(call, stream)
    described["OpenShardCount"] = len(stream.open_shards())
    described["ConsumerCount"] = 0
    described["MaxRecordSizeInKiB"] = stream.max_record_kib
    return {"StreamDescriptionSummary": described}


def _described(call: Context, stream: Stream) -> dict[str, Any]:
    return {
        **stream.summary(call.now_ms),
        "RetentionPeriodHours": stream.retention_hours,
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "EncryptionType": "NONE",
    }


def describe_limits(call: Context) -> dict[str, Any]:
    """DescribeLimits."""
    call.authorize("*")
    streams = call.store.of_account(call.account_id, call.region)
    return {
        "ShardLimit": call.store.shard_limit,
        "OpenShardCount": sum(len(s.open_shards()) for s in streams),
        "OnDemandStreamCount": sum(s.mode == "ON_DEMAND" for s in streams),
        "OnDemandStreamCountLimit": ON_DEMAND_STREAM_LIMIT,
    }


def list_streams(call: Context) -> dict[str, Any]:
    """ListStreams: by name, 100 a page."""
    limit = call.whole("Limit", 1, 10_000, 100)
    call.authorize(stream_arn(call.account_id, call.region, "*"))
    after = str(call.params.get("ExclusiveStartStreamName") or "")
    token = call.params.get("NextToken")
    if token is not None:
        state = call.store.sealer.open(str(token))
        if state is None or state[0] != "streams":
            raise invalid_argument("NextToken is invalid.")
        if call.now_ms - state[2] > TOKEN_LIFE_S * 1000:
            raise AwsError(
                "ExpiredNextTokenException",
                f"The NextToken is older than {TOKEN_LIFE_S} seconds. List again from the start.",
            )
        after = state[1]
    found = [s for s in call.store.of_account(call.account_id, call.region) if s.name > after]
    shown = found[:limit]
    reply: dict[str, Any] = {
        "StreamNames": [s.name for s in shown],
        "StreamSummaries": [s.summary(call.now_ms) for s in shown],
        "HasMoreStreams": len(found) > limit,
    }
    if len(found) > limit:
        reply["NextToken"] = call.store.sealer.seal("streams", shown[-1].name, call.now_ms)
    return reply


# -- retention, size, mode ----------------------------------------------------------------------


def increase_retention(call: Context) -> dict[str, Any]:
    """IncreaseStreamRetentionPeriod: up to 8760 hours; expired records stay gone."""
    return _change_retention(call, longer=True)


def decrease_retention(call: Context) -> dict[str, Any]:
    """DecreaseStreamRetentionPeriod: down to 24 hours; what is older is gone at once."""
    return _change_retention(call, longer=False)


def _change_retention(call: Context, *, longer: bool) -> dict[str, Any]:
    hours = call.params.get("RetentionPeriodHours")
    stream = call.stream()
    stream.require_active(call.now_ms)
    if not isinstance(hours, int) or hours < 24:
        raise invalid_argument(
            f"Minimum allowed retention period is 24 hours. Requested retention period "
            f"({hours} hours) is too short."
        )
    if hours > 8760:
        raise invalid_argument(
            f"Maximum allowed retention period is 8760 hours. Requested retention period "
            f"({hours} hours) is too long."
        )
    current = stream.retention_hours
    if longer and hours < current:
        raise invalid_argument(
            f"Requested retention period ({hours} hours) for stream {stream.name} can not be "
            f"shorter than existing retention period ({current} hours). Use "
            "DecreaseRetentionPeriod API."
        )
    if not longer and hours > current:
        raise invalid_argument(
            f"Requested retention period ({hours} hours) for stream {stream.name} can not be "
            f"longer than existing retention period ({current} hours). Use "
            "IncreaseRetentionPeriod API."
        )
    stream.change_retention(hours, call.now_ms)
    return {}


def update_max_record_size(call: Context) -> dict[str, Any]:
    """UpdateMaxRecordSize: 1024 to 10240 KiB."""
    stream = call.stream()
    stream.require_active(call.now_ms)
    stream.max_record_kib = _record_kib(call, None)
    stream.set_updating(call.now_ms)
    return {}


def _record_kib(call: Context, default: int | None) -> int:
    value = call.params.get("MaxRecordSizeInKiB", default)
    if not isinstance(value, int) or not 1024 <= value <= 10_240:
        raise validation(f"MaxRecordSizeInKiB must be 1024 to 10240, got {value!r}.")
    return value


def update_stream_mode(call: Context) -> dict[str, Any]:
    """UpdateStreamMode: by StreamARN only."""
    call.text("StreamARN")
    mode = _mode(call, None)
    stream = call.stream()
    stream.require_active(call.now_ms)
    stream.mode = mode
    stream.set_updating(call.now_ms)
    return {}


# -- tags ---------------------------------------------------------------------------------------


def add_tags(call: Context) -> dict[str, Any]:
    """AddTagsToStream: up to 50 tags a stream."""
    tags = _tags(call.params.get("Tags") or {})
    stream = call.stream()
    if not tags or len({**stream.tags, **tags}) > 50:
        raise invalid_argument("Give 1 or more tags; a stream holds at most 50.")
    stream.tags.update(tags)
    return {}


def list_tags(call: Context) -> dict[str, Any]:
    """ListTagsForStream: by key."""
    limit = call.whole("Limit", 1, 50, 50)
    after = str(call.params.get("ExclusiveStartTagKey") or "")
    tags = sorted((k, v) for k, v in call.stream().tags.items() if k > after)
    return {
        "Tags": [{"Key": key, "Value": value} for key, value in tags[:limit]],
        "HasMoreTags": len(tags) > limit,
    }


def remove_tags(call: Context) -> dict[str, Any]:
    """RemoveTagsFromStream: keys that are not there are passed over."""
    keys = call.params.get("TagKeys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= 50:
        raise invalid_argument("TagKeys must hold 1 to 50 keys.")
    stream = call.stream()
    for key in keys:
        stream.tags.pop(key, None)
    return {}


def _tags(tags: dict[str, Any]) -> dict[str, str]:
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or not isinstance(value, str) or len(value) > 256:
            raise invalid_argument("A tag's key has 1 to 128 characters, its value up to 256.")
    return dict(tags)
