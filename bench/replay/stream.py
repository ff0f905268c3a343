"""The replayed stream: what each operation of Kinesis answers. No sockets here.

Shards differ only in number, hash range and lineage: each holds all the records. An iterator is the
text ``<shard>:<record>``, a token of ListShards ``<first shard>:<moment of the filter>``.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from bench.replay.cbor import Moment
from bench.replay.limits import ShardLimits
from bench.replay.records import FIRST_SEQUENCE, RecordBuffer, index_of_sequence, sequence_number
from bench.replay.settings import ReplaySettings

__all__ = ["Page", "RefusalError", "Stream"]

_PAGE_BYTES: Final = 10 * 1024 * 1024
_PAGE_RECORDS: Final = 10_000
_PAGE_SHARDS: Final = 1_000
_HASH_KEYS: Final = 2**128
_HOUR_MS: Final = 3_600_000
# The longest: no record of a replay is ever older than the retention.
_RETENTION_HOURS: Final = 8_760
_ARN: Final = "arn:aws:kinesis:us-east-1:000000000000:stream/"

_Request = dict[str, Any]


class RefusalError(Exception):
    """A call that AWS refuses; its arguments are the code and the message."""


@dataclass(frozen=True, slots=True)
class Page:
    """A GetRecords reply: the records [start, stop), and its other members."""

    start: int
    stop: int
    rest: dict[str, Any]


_Operation = Callable[[_Request], dict[str, Any] | Page]


@dataclass
class _Shard:
    index: int
    first_key: int
    last_key: int
    opened_ms: int
    parent_id: str | None = None
    closed_ms: int | None = None
    end: int = 0  # index behind the last record, once closed
    children: list[_Shard] = field(default_factory=list)
    limits: ShardLimits = field(default_factory=ShardLimits)

    @property
    def shard_id(self) -> str:
        return f"shardId-{self.index:012d}"

    def hash_range(self) -> dict[str, str]:
        return {"StartingHashKey": str(self.first_key), "EndingHashKey": str(self.last_key)}

    def describe(self) -> dict[str, Any]:
        numbers = {"StartingSequenceNumber": str(FIRST_SEQUENCE - 1)}
        if self.closed_ms is not None:
            numbers["EndingSequenceNumber"] = str(sequence_number(self.end))
        parent = {} if self.parent_id is None else {"ParentShardId": self.parent_id}
        return {
            "ShardId": self.shard_id,
            **parent,
            "HashKeyRange": self.hash_range(),
            "SequenceNumberRange": numbers,
        }

    def was_open_at(self, moment_ms: int) -> bool:
        return self.opened_ms <= moment_ms and (
            self.closed_ms is None or self.closed_ms >= moment_ms
        )


class Stream:
    """All shards over one buffer of records.

    Parameters
    ----------
    settings : ReplaySettings
    records : RecordBuffer
    """

    def __init__(self, settings: ReplaySettings, records: RecordBuffer) -> None:
        self._settings = settings
        self._records = records
        now_ms = _now_ms()
        oldest_ms = int(records.arrival_ms[0]) if len(records) else now_ms
        self._created_ms = min(oldest_ms, now_ms) - _HOUR_MS
        width = _HASH_KEYS // settings.shards
        self._shards = [
            _Shard(
                index,
                index * width,
                _HASH_KEYS - 1 if index == settings.shards - 1 else (index + 1) * width - 1,
                self._created_ms,
            )
            for index in range(settings.shards)
        ]
        self._page_records = min(_PAGE_RECORDS, max(1, _PAGE_BYTES // records.record_bytes))
        self._operations: dict[str, _Operation] = {
            "DescribeStreamSummary": self._describe,
            "ListShards": self._list_shards,
            "GetShardIterator": self._get_iterator,
            "GetRecords": self._get_records,
        }
        self.reset_stats()

    def answer(self, operation: str, request: _Request) -> dict[str, Any] | Page:
        """Answer one call, or raise RefusalError."""
        handler = self._operations.get(operation)
        if handler is None:
            raise RefusalError("UnknownOperationException", f"{operation} is not replayed")
        self._calls[operation] += 1
        try:
            return handler(request)
        except RefusalError:
            self._refused[operation] += 1
            raise

    def reshard(self) -> None:
        """Close each open shard where it ends now, and split it in two."""
        now_ms = _now_ms()
        for shard in [shard for shard in self._shards if shard.closed_ms is None]:
            shard.end = self._visible()
            shard.closed_ms = now_ms
            middle = (shard.first_key + shard.last_key) // 2
            for first, last in ((shard.first_key, middle), (middle + 1, shard.last_key)):
                child = _Shard(len(self._shards), first, last, now_ms, shard.shard_id)
                shard.children.append(child)
                self._shards.append(child)

    # -- counting -------------------------------------------------------------------------------

    def reset_stats(self) -> None:
        """Count from nothing."""
        self._calls: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._by_shard: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._record_bytes = 0

    def stats(self) -> dict[str, Any]:
        """Return what was counted."""
        shards = len(self._shards)
        return {
            "calls": dict(self._calls),
            "refused": dict(self._refused),
            "record_bytes": self._record_bytes,
            "shards": shards,
            "calls_per_shard": {
                operation: {"max": max(counts.values()), "mean": counts.total() / shards}
                for operation, counts in self._by_shard.items()
            },
        }

    # -- operations -----------------------------------------------------------------------------

    def _describe(self, request: _Request) -> dict[str, Any]:
        name = _stream_name(request)
        return {
            "StreamDescriptionSummary": {
                "StreamName": name,
                "StreamARN": _ARN + name,
                "StreamStatus": "ACTIVE",
                "StreamModeDetails": {"StreamMode": "PROVISIONED"},
                "RetentionPeriodHours": _RETENTION_HOURS,
                "StreamCreationTimestamp": Moment(self._created_ms / 1000),
                "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
                "EncryptionType": "NONE",
                "OpenShardCount": sum(shard.closed_ms is None for shard in self._shards),
                "ConsumerCount": 0,
            }
        }

    def _list_shards(self, request: _Request) -> dict[str, Any]:
        page_size = min(int(request.get("MaxResults") or _PAGE_SHARDS), _PAGE_SHARDS)
        if request.get("NextToken"):
            first_text, _, moment = str(request["NextToken"]).partition(":")
            first = _whole(first_text, "NextToken")
        else:
            first, moment = 0, _filter_moment(request.get("ShardFilter"))
        found = self._shards[first:]
        if moment == "latest":
            found = [shard for shard in found if shard.closed_ms is None]
        elif moment:
            moment_ms = max(_whole(moment, "NextToken"), self._created_ms)
            found = [shard for shard in found if shard.was_open_at(moment_ms)]
        reply: dict[str, Any] = {"Shards": [shard.describe() for shard in found[:page_size]]}
        if len(found) > page_size:
            reply["NextToken"] = f"{found[page_size].index}:{moment}"
        return reply

    def _get_iterator(self, request: _Request) -> dict[str, Any]:
        shard = self._shard(str(request.get("ShardId")).removeprefix("shardId-"))
        self._by_shard["GetShardIterator"][shard.index] += 1
        if self._settings.limits and not shard.limits.try_iterator(time.monotonic()):
            raise _over_limit(shard)
        position = self._position(shard, request)
        return {"ShardIterator": f"{shard.index}:{min(position, self._end(shard))}"}

    def _position(self, shard: _Shard, request: _Request) -> int:
        kind = request.get("ShardIteratorType")
        if kind == "TRIM_HORIZON":
            return 0
        if kind == "LATEST":
            return self._end(shard)
        if kind in {"AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"}:
            number = _whole(request.get("StartingSequenceNumber"), "StartingSequenceNumber")
            if number < FIRST_SEQUENCE - 1:
                raise RefusalError(
                    "InvalidArgumentException",
                    f"StartingSequenceNumber {number} is invalid because it did not come from "
                    "this stream.",
                )
            return index_of_sequence(number, after=kind == "AFTER_SEQUENCE_NUMBER")
        if kind == "AT_TIMESTAMP" and request.get("Timestamp") is not None:
            moment_ms = round(float(request["Timestamp"]) * 1000)
            if moment_ms > _now_ms():
                raise RefusalError(
                    "InvalidArgumentException",
                    "The timestampInMillis parameter cannot be greater than the "
                    f"currentTimestampInMillis. timestampInMillis: {moment_ms}",
                )
            return self._records.index_at(moment_ms)
        raise RefusalError("InvalidArgumentException", f"ShardIteratorType {kind!r} is incomplete.")

    def _get_records(self, request: _Request) -> Page:
        shard_text, _, position = str(request.get("ShardIterator")).partition(":")
        shard = self._shard(shard_text)
        start = _whole(position, "ShardIterator")
        self._by_shard["GetRecords"][shard.index] += 1
        limits = shard.limits if self._settings.limits else None
        if limits is not None and not limits.try_read(time.monotonic()):
            raise _over_limit(shard)
        end = self._end(shard)
        stop = min(start + min(request.get("Limit") or _PAGE_RECORDS, self._page_records), end)
        stop = max(start, stop)
        size = (stop - start) * self._records.record_bytes
        if limits is not None and size:
            limits.add_bytes(size, time.monotonic())
        self._record_bytes += (stop - start) * self._settings.record_bytes
        return Page(start, stop, self._rest(shard, stop, is_tip=stop >= end))

    def _rest(self, shard: _Shard, stop: int, *, is_tip: bool) -> dict[str, Any]:
        if not is_tip:
            last_ms = int(self._records.arrival_ms[stop - 1])
            behind_ms = max(1, _now_ms() - last_ms)
            return {
                "NextShardIterator": f"{shard.index}:{stop}",
                "MillisBehindLatest": behind_ms,
            }
        if shard.closed_ms is None:
            return {"NextShardIterator": f"{shard.index}:{stop}", "MillisBehindLatest": 0}
        children = [
            {
                "ShardId": child.shard_id,
                "ParentShards": [shard.shard_id],
                "HashKeyRange": child.hash_range(),
            }
            for child in shard.children
        ]
        return {"MillisBehindLatest": 0, "ChildShards": children}

    # -- shards ---------------------------------------------------------------------------------

    def _shard(self, index: str) -> _Shard:
        number = int(index) if index.isdecimal() else -1
        if not 0 <= number < len(self._shards):
            raise RefusalError("ResourceNotFoundException", f"Shard {index!r} does not exist")
        return self._shards[number]

    def _end(self, shard: _Shard) -> int:
        return self._visible() if shard.closed_ms is None else shard.end

    def _visible(self) -> int:
        return self._records.visible_at(_now_ms()) if self._settings.is_live else len(self._records)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _stream_name(request: _Request) -> str:
    return str(request.get("StreamName") or request.get("StreamARN") or "").rpartition("/")[2]


def _filter_moment(wanted: dict[str, Any] | None) -> str:
    """Return what a ShardFilter asks for: nothing, ``latest``, or a moment in ms."""
    kind = (wanted or {}).get("Type", "FROM_TRIM_HORIZON")
    if kind == "FROM_TRIM_HORIZON":
        return ""
    if kind == "AT_LATEST":
        return "latest"
    if kind == "AT_TIMESTAMP" and wanted and wanted.get("Timestamp") is not None:
        return str(round(float(wanted["Timestamp"]) * 1000))
    raise RefusalError("InvalidArgumentException", f"ShardFilter Type {kind!r} is not replayed.")


def _whole(text: Any, name: str) -> int:
    if not isinstance(text, str) or not text.isdecimal():
        raise RefusalError("InvalidArgumentException", f"Invalid {name}.")
    return int(text)


def _over_limit(shard: _Shard) -> RefusalError:
    return RefusalError(
        "ProvisionedThroughputExceededException",
        f"Rate exceeded for shard {shard.shard_id} under account 000000000000.",
    )
