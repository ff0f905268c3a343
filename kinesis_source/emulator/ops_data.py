"""The data operations: PutRecord, PutRecords, GetShardIterator, GetRecords."""

import base64
import binascii
import datetime
import re
from dataclasses import dataclass, field
from typing import Any

from .context import Context, missing
from .errors import AwsError, invalid_argument, not_found
from .limits import put_refusal
from .shards import Record, Shard
from .streams import Put, Stream
from .tokens import TOKEN_LIFE_S

MAX_PAGE_RECORDS = 10_000
MAX_PAGE_BYTES = 10 * 1024 * 1024
MAX_PUT_RECORDS = 500
MAX_PUT_BYTES = 10 * 1024 * 1024
_SEQUENCE = re.compile(r"0|[1-9]\d{0,128}", re.ASCII)
_SEQUENCE_TYPES = {"AT_SEQUENCE_NUMBER": False, "AFTER_SEQUENCE_NUMBER": True}


@dataclass
class RecordsPage:
    """A GetRecords reply. `records` None leaves the key out, as a broken reply would."""

    records: list[Record] | None
    millis_behind: int
    next_iterator: str | None = None
    children: list[dict[str, Any]] = field(default_factory=list)

    def rest(self) -> dict[str, Any]:
        """Return the reply without its records."""
        shown: dict[str, Any] = {"MillisBehindLatest": self.millis_behind}
        if self.next_iterator is not None:
            shown["NextShardIterator"] = self.next_iterator
        if self.children:
            shown["ChildShards"] = self.children
        return shown


# -- writing ------------------------------------------------------------------------------------


def put_record(call: Context) -> dict[str, Any]:
    """PutRecord: one record, refused as a whole when its shard is over its rate."""
    stream = call.stream()
    stream.require_data(call.now_ms)
    put = _read_put(call.params, stream)
    ordering = call.params.get("SequenceNumberForOrdering")
    if ordering is not None and _sequence(ordering) > stream.last_sequence():
        raise invalid_argument(
            f"ExclusiveMinimumSequenceNumber {ordering} used in PutRecord on stream {stream.name} "
            f"under account {stream.account_id} is invalid."
        )
    key = put.hash_key()
    with stream.lock:
        shard_id = call.shard_id = stream.route(key).shard_id
        if not call.limits.try_put(stream, shard_id, put.size_bytes, call.now_s):
            raise put_refusal(stream, shard_id)
        ((shard_id, sequence),) = stream.put([(put, key)], call.now_ms)
    call.records = 1
    return {"ShardId": shard_id, "SequenceNumber": sequence}


def put_records(call: Context) -> dict[str, Any]:
    """PutRecords: up to 500 records; each stands or falls alone."""
    stream = call.stream()
    stream.require_data(call.now_ms)
    entries = call.params.get("Records")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_PUT_RECORDS:
        count = len(entries) if isinstance(entries, list) else 0
        raise invalid_argument(
            "1 validation error detected: Value at 'records' failed to satisfy constraint: Member "
            f"must have length between 1 and {MAX_PUT_RECORDS}, got {count}"
        )
    puts = [_read_put(entry, stream) for entry in entries]
    total = sum(put.size_bytes for put in puts)
    if total > MAX_PUT_BYTES:
        raise invalid_argument(f"Records size exceeds {MAX_PUT_BYTES // 2**20} MB limit")
    keyed = [(put, put.hash_key()) for put in puts]
    refused = _injected_refusals(call, len(keyed))
    results: list[dict[str, Any]] = []
    with stream.lock:
        for number, (put, key) in enumerate(keyed):
            shard_id = stream.route(key).shard_id
            refusal = refused.get(number)
            if refusal is None and not call.limits.try_put(
                stream, shard_id, put.size_bytes, call.now_s
            ):
                refusal = put_refusal(stream, shard_id)
            if refusal is not None:
                results.append({"ErrorCode": refusal.code, "ErrorMessage": refusal.message})
                continue
            ((shard_id, sequence),) = stream.put([(put, key)], call.now_ms)
            results.append({"SequenceNumber": sequence, "ShardId": shard_id})
    failed = sum("ErrorCode" in result for result in results)
    call.records = len(results) - failed
    return {"FailedRecordCount": failed, "Records": results}


def _injected_refusals(call: Context, count: int) -> dict[int, AwsError]:
    refused: dict[int, AwsError] = {}
    for fault in call.faults_of("partial_put"):
        hit = max(1, round(count * fault.fraction))
        error = AwsError(
            fault.code or "ProvisionedThroughputExceededException",
            fault.message or "Rate exceeded for shard (injected).",
        )
        refused.update(dict.fromkeys(fault.random.sample(range(count), min(hit, count)), error))
    return refused


def _read_put(entry: Any, stream: Stream) -> Put:
    data, key = entry.get("Data"), entry.get("PartitionKey")
    if data is None:
        raise missing("Data")
    if not isinstance(key, str) or not 1 <= len(key) <= 256:
        raise invalid_argument(
            "1 validation error detected: Value at 'partitionKey' failed to satisfy constraint: "
            "Member must have length between 1 and 256"
        )
    text, size = _read_data(data)
    size += len(key.encode())
    if size > stream.max_record_kib * 1024:
        raise invalid_argument(
            f"Record of {size} bytes, partition key included, exceeds the maximum record size of "
            f"{stream.max_record_kib} KiB of stream {stream.name}."
        )
    return Put(text, key, entry.get("ExplicitHashKey"), size)


def _read_data(data: Any) -> tuple[str, int]:
    """Return base64 text and size of a record's data, given as base64 text or (CBOR) as bytes."""
    if isinstance(data, bytes):
        return base64.b64encode(data).decode("ascii"), len(data)
    try:
        return data, len(base64.b64decode(data, validate=True))
    except (TypeError, ValueError, binascii.Error) as error:
        raise AwsError("SerializationException", "Data is not base64 text.") from error


# -- reading ------------------------------------------------------------------------------------


def get_shard_iterator(call: Context) -> dict[str, Any]:
    """GetShardIterator: a token for a position, good for 300 s."""
    shard_id = call.shard_id = call.text("ShardId")
    kind = call.text("ShardIteratorType")
    stream = call.stream()
    stream.require_data(call.now_ms)
    call.limits.take_iterator(stream, shard_id, call.now_s)
    with stream.lock:
        shard = _shard(stream, shard_id, call.now_ms)
        position = _position(call, stream, shard, kind)
    return {"ShardIterator": _seal(call, stream, shard, position)}


def _shard(stream: Stream, shard_id: str, now_ms: int) -> Shard:
    try:
        return stream.shard(shard_id, now_ms)
    except AwsError as error:
        raise not_found(
            f"Shard {shard_id} in stream {stream.name} under account {stream.account_id} "
            "does not exist"
        ) from error


def _position(call: Context, stream: Stream, shard: Shard, kind: str) -> int:
    number = call.params.get("StartingSequenceNumber")
    timestamp_ms = call.timestamp_ms("Timestamp")
    if (kind in _SEQUENCE_TYPES) != (number is not None):
        raise invalid_argument(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and "
            "StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber or "
            f"(3) AT_TIMESTAMP and Timestamp. Request specified {kind} and "
            f"{'a' if number is not None else 'no'} StartingSequenceNumber."
        )
    if kind in _SEQUENCE_TYPES:
        return _sequence_position(stream, shard, str(number), after=_SEQUENCE_TYPES[kind])
    if kind == "TRIM_HORIZON":
        return shard.horizon
    if kind == "LATEST":
        return shard.end
    if kind != "AT_TIMESTAMP":
        raise invalid_argument(f"ShardIteratorType '{kind}' is not known.")
    if timestamp_ms is None:
        raise invalid_argument("AT_TIMESTAMP needs a Timestamp.")
    if timestamp_ms > call.now_ms:
        raise invalid_argument(
            "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "
            f"timestampInMillis: {timestamp_ms}, currentTimestampInMillis: {call.now_ms}"
        )
    return shard.position_of_timestamp(timestamp_ms)


def _sequence_position(stream: Stream, shard: Shard, text: str, *, after: bool) -> int:
    number = _sequence(text)
    highest = stream.last_sequence() if shard.end_sequence is None else shard.end_sequence
    if not shard.start_sequence <= number <= highest:
        raise invalid_argument(
            f"StartingSequenceNumber {text} used in GetShardIterator on shard {shard.shard_id} in "
            f"stream {stream.name} under account {stream.account_id} is invalid because it did not "
            "come from this stream."
        )
    # Older than the horizon raises nothing: reading goes on at the oldest record left.
    return shard.position_of_sequence(number, after=after)


def _sequence(text: Any) -> int:
    if not isinstance(text, str) or not _SEQUENCE.fullmatch(text):
        raise invalid_argument(f"Sequence number {text!r} is not a decimal of up to 129 digits.")
    return int(text)


def _seal(call: Context, stream: Stream, shard: Shard, position: int) -> str:
    return call.store.sealer.seal(
        "iterator", stream.incarnation, stream.name, shard.shard_id, position, call.now_ms
    )


def get_records(call: Context) -> RecordsPage:
    """GetRecords: a page from an iterator's position, and the iterator of the next one."""
    token = call.text("ShardIterator")
    limit = call.whole("Limit", 1, MAX_PAGE_RECORDS, MAX_PAGE_RECORDS)
    state = call.store.sealer.open(token)
    if state is None or state[0] != "iterator":
        raise invalid_argument("Invalid ShardIterator.")
    _, incarnation, name, shard_id, position, issued_ms = state
    stream = call.stream_of_token(incarnation, name)
    if call.params.get("StreamARN") not in {None, stream.arn}:
        raise invalid_argument("StreamARN is not the stream the ShardIterator was made for.")
    if call.now_ms - issued_ms > TOKEN_LIFE_S * 1000:
        raise AwsError(
            "ExpiredIteratorException",
            f"Iterator expired. The iterator was created at time {_date(issued_ms)} while right "
            f"now it is {_date(call.now_ms)} which is further in the future than the tolerated "
            f"delay of {TOKEN_LIFE_S * 1000} milliseconds.",
        )
    stream.require_data(call.now_ms)
    call.limits.take_read(stream, shard_id, call.now_s)
    short = call.fault("short_page")
    with stream.lock:
        shard = _shard(stream, shard_id, call.now_ms)
        page = _page(call, stream, shard, position, min(limit, short.limit) if short else limit)
    size = sum(record.size_bytes for record in page.records or ())
    call.limits.add_read_bytes(stream, shard_id, size, call.now_s)
    call.records = len(page.records or ())
    return page


def _page(call: Context, stream: Stream, shard: Shard, position: int, limit: int) -> RecordsPage:
    if call.fault("empty_page"):
        waiting = shard.record_at(position)
        behind = call.now_ms - (waiting.arrival_ms if waiting else call.now_ms)
        return RecordsPage([], max(behind, 1), _seal(call, stream, shard, position))
    records, after = shard.page(position, limit, MAX_PAGE_BYTES)
    at_end = after >= shard.end
    behind = 0
    if not at_end:
        last = records[-1] if records else shard.record_at(after)
        behind = max(call.now_ms - last.arrival_ms, 1) if last else 1
    page = RecordsPage(records, behind)
    if call.fault("no_records"):
        page.records = None
    if call.fault("no_next_iterator"):
        return page
    if at_end and not shard.is_open and not call.fault("iterator_at_end"):
        page.children = _children(stream, shard)
    else:
        page.next_iterator = _seal(call, stream, shard, after)
    return page


def _children(stream: Stream, shard: Shard) -> list[dict[str, Any]]:
    children = (stream.find_any(child_id) for child_id in shard.child_ids)
    return [
        {
            "ShardId": child.shard_id,
            "ParentShards": child.parents,
            "HashKeyRange": child.hash_range(),
        }
        for child in children
        if child is not None
    ]


def _date(epoch_ms: int) -> str:
    moment = datetime.datetime.fromtimestamp(epoch_ms / 1000, datetime.timezone.utc)
    return moment.strftime("%a %b %d %H:%M:%S UTC %Y")
