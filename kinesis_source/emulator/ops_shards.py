"""The shard operations: ListShards, SplitShard, MergeShards, UpdateShardCount."""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from .context import Context
from .errors import AwsError, invalid_argument, not_found, validation
from .shards import MAX_HASH_KEY, Shard
from .streams import HASH_KEY, HOUR_MS, Stream
from .tokens import TOKEN_LIFE_S

LIST_PAGE = 1000
UPDATES_PER_DAY = 10
_WITH_TOKEN_FORBIDDEN = ("StreamName", "StreamCreationTimestamp", "ExclusiveStartShardId")


def list_shards(call: Context) -> dict[str, Any]:
    """ListShards: a page of the shards within retention that pass the filter."""
    page_size = min(call.whole("MaxResults", 1, 10_000, LIST_PAGE), LIST_PAGE)
    token = call.params.get("NextToken")
    if token is not None:
        stream, after_id, wanted = _resume(call, str(token))
    else:
        stream = call.stream()
        _check_creation(call, stream)
        wanted = dict(call.params.get("ShardFilter") or {"Type": "FROM_TRIM_HORIZON"})
        after_id = str(call.params.get("ExclusiveStartShardId") or "")
    status = stream.status(call.now_ms)
    if status in {"CREATING", "DELETING"}:
        raise AwsError(
            "ResourceInUseException",
            f"Stream {stream.name} under account {stream.account_id} not ACTIVE, instead in state "
            f"{status}",
        )
    found = _filtered(call, stream, wanted)
    hidden = {fault.shard_id for fault in call.faults_of("hide_shard")}
    found = [s for s in found if s.shard_id > after_id and s.shard_id not in hidden]
    reply: dict[str, Any] = {"Shards": [shard.describe() for shard in found[:page_size]]}
    if len(found) > page_size:
        last_id = found[page_size - 1].shard_id
        reply["NextToken"] = call.store.sealer.seal(
            "shards", stream.incarnation, stream.name, last_id, wanted, call.now_ms
        )
    return reply


def _resume(call: Context, token: str) -> tuple[Stream, str, dict[str, Any]]:
    for name in _WITH_TOKEN_FORBIDDEN:
        if call.params.get(name) is not None:
            raise invalid_argument(f"NextToken and {name} cannot be provided together.")
    state = call.store.sealer.open(token)
    if state is None or state[0] != "shards":
        raise invalid_argument("NextToken is invalid.")
    _, incarnation, name, after_id, wanted, issued_ms = state
    stream = call.stream_of_token(incarnation, name)
    if call.now_ms - issued_ms > TOKEN_LIFE_S * 1000:
        raise AwsError(
            "ExpiredNextTokenException",
            f"The NextToken is older than {TOKEN_LIFE_S} seconds. List again from the start.",
        )
    return stream, after_id, wanted


def _check_creation(call: Context, stream: Stream) -> None:
    created_ms = call.timestamp_ms("StreamCreationTimestamp")
    # SDKs may send whole seconds.
    if created_ms is not None and created_ms // 1000 != stream.created_ms // 1000:
        raise not_found(
            f"Stream {stream.name} under account {stream.account_id} created at "
            f"{created_ms / 1000} not found."
        )


def _filtered(call: Context, stream: Stream, wanted: dict[str, Any]) -> list[Shard]:
    kind = wanted.get("Type")
    shard_id, timestamp_ms = wanted.get("ShardId"), call.timestamp_ms("Timestamp", wanted)
    if (kind == "AFTER_SHARD_ID") != (shard_id is not None):
        raise invalid_argument("ShardFilter takes ShardId with AFTER_SHARD_ID, and only with it.")
    if (kind in {"AT_TIMESTAMP", "FROM_TIMESTAMP"}) != (timestamp_ms is not None):
        raise invalid_argument(
            "ShardFilter takes Timestamp with AT_TIMESTAMP and FROM_TIMESTAMP, and only with them."
        )
    horizon_ms = max(stream.horizon_ms(call.now_ms), stream.created_ms)
    moment_ms = max(timestamp_ms or 0, horizon_ms)
    tests: dict[str, Callable[[Shard], bool]] = {
        "FROM_TRIM_HORIZON": lambda _: True,
        "AFTER_SHARD_ID": lambda s: s.shard_id > str(shard_id),
        "AT_LATEST": lambda s: s.is_open,
        "AT_TRIM_HORIZON": lambda s: _open_at(s, horizon_ms),
        "AT_TIMESTAMP": lambda s: _open_at(s, moment_ms),
        "FROM_TIMESTAMP": lambda s: s.closed_ms is None or s.closed_ms >= moment_ms,
    }
    if kind not in tests:
        raise invalid_argument(f"ShardFilter Type '{kind}' is not known.")
    return [shard for shard in stream.shards(call.now_ms) if tests[kind](shard)]


def _open_at(shard: Shard, moment_ms: int) -> bool:
    return shard.opened_ms <= moment_ms and (
        shard.closed_ms is None or shard.closed_ms >= moment_ms
    )


# -- resharding ---------------------------------------------------------------------------------


def _reshardable(call: Context) -> Stream:
    stream = call.stream()
    if stream.mode == "ON_DEMAND":
        raise validation(
            f"Request is invalid. Stream {stream.name} under account {stream.account_id} is in "
            f"On-Demand mode."
        )
    stream.require_active(call.now_ms)
    return stream


def _eligible(call: Context, stream: Stream, shard_id: str) -> Shard:
    shard = stream.shard(shard_id, call.now_ms)
    if not shard.is_open:
        raise invalid_argument(
            f"Shard {shard_id} in stream {stream.name} under account {stream.account_id} has "
            "already been merged or split, and thus is not eligible for merging or splitting."
        )
    return shard


def split_shard(call: Context) -> dict[str, Any]:
    """SplitShard: one shard becomes two at a hash key."""
    shard_id = call.shard_id = call.text("ShardToSplit")
    text = call.text("NewStartingHashKey")
    if not HASH_KEY.fullmatch(text) or int(text) > MAX_HASH_KEY:
        raise invalid_argument(f"NewStartingHashKey '{text}' is not in the range [0, 2^128-1].")
    stream = _reshardable(call)
    with stream.lock:
        shard, middle = _eligible(call, stream, shard_id), int(text)
        if not shard.start_hash + 1 < middle < shard.end_hash:
            raise invalid_argument(
                f"NewStartingHashKey {text} used in SplitShard() on shard {shard_id} in stream "
                f"{stream.name} under account {stream.account_id} is not both greater than one "
                f"plus the shard's StartingHashKey {shard.start_hash} and less than the shard's "
                f"EndingHashKey {shard.end_hash}."
            )
        call.store.require_room(stream.account_id, call.region, 1)
        stream.split(shard, middle, call.now_ms)
        stream.set_updating(call.now_ms)
    return {}


def merge_shards(call: Context) -> dict[str, Any]:
    """MergeShards: two neighbours become one."""
    first_id = call.shard_id = call.text("ShardToMerge")
    second_id = call.text("AdjacentShardToMerge")
    stream = _reshardable(call)
    with stream.lock:
        first = _eligible(call, stream, first_id)
        second = _eligible(call, stream, second_id)
        low, high = sorted((first, second), key=lambda s: s.start_hash)
        if low.end_hash + 1 != high.start_hash:
            raise invalid_argument(
                f"Shards {first_id} and {second_id} in stream {stream.name} under account "
                f"{stream.account_id} are not an adjacent pair of shards eligible for merging"
            )
        stream.merge(first, second, call.now_ms)
        stream.set_updating(call.now_ms)
    return {}


def update_shard_count(call: Context) -> dict[str, Any]:
    """UpdateShardCount: splits and merges until all shards are equally wide."""
    target = call.whole("TargetShardCount", 1, 1_000_000)
    if call.text("ScalingType") != "UNIFORM_SCALING":
        raise validation("ScalingType must be UNIFORM_SCALING.")
    stream = _reshardable(call)
    with stream.lock:
        current = len(stream.open_shards())
        _check_target(call, stream, current, target)
        rescale(stream, target, call.now_ms)
        stream.set_updating(call.now_ms)
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "CurrentShardCount": current,
        "TargetShardCount": target,
    }


def _check_target(call: Context, stream: Stream, current: int, target: int) -> None:
    if target > current * 2:
        raise invalid_argument(
            "UpdateShardCount cannot scale up over double your current open shard count. Current "
            f"open shard count: {current} Target shard count: {target}"
        )
    if target < current / 2:
        raise invalid_argument(
            "UpdateShardCount cannot scale down below half your current open shard count. Current "
            f"open shard count: {current} Target shard count: {target}"
        )
    call.store.require_room(stream.account_id, call.region, target - current)
    recent = [t for t in stream.shard_count_updates_ms if t > call.now_ms - 24 * HOUR_MS]
    # The daily quota is a limit like the rates: kept only when limits are strict, so that tests
    # may reshard as often as they like.
    if call.limits.limits is not None and len(recent) >= UPDATES_PER_DAY:
        raise AwsError(
            "LimitExceededException",
            f"Stream {stream.name} under account {stream.account_id} has been scaled "
            f"{UPDATES_PER_DAY} times within 24 hours.",
        )
    stream.shard_count_updates_ms = [*recent, call.now_ms]


def rescale(stream: Stream, target: int, now_ms: int) -> None:
    """Cut every shard at the new boundaries, then merge what lies between two boundaries.

    Where the counts do not divide, this leaves short-lived shards behind, as AWS documents.
    """
    bounds = [n * ((MAX_HASH_KEY + 1) // target) for n in range(target)]
    for shard in stream.open_shards():
        rest = shard
        for bound in bounds:
            if rest.start_hash < bound <= rest.end_hash:
                rest = stream.split(rest, bound, now_ms)[1]
    previous: tuple[int, Shard] | None = None
    for shard in stream.open_shards():
        slot = bisect_right(bounds, shard.start_hash)
        piece = shard
        if previous is not None and previous[0] == slot:
            piece = stream.merge(previous[1], shard, now_ms)
        previous = slot, piece
