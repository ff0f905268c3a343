"""A stream as JSON values: taken from one emulator, put into another with the same numbers.

For tests that resume an old checkpoint: creation time, lineage, sequence numbers and arrival times
are what they were, so a position that was written years ago still points to its record. The
emulator that loads it needs a clock near the snapshot's ``taken_ms``, or the records are past
retention. Streams that are being deleted, tags and pending changes are not kept.

    {"format": 1, "taken_ms": 1767225600000,
     "stream": {"name": "clicks", "mode": "PROVISIONED", "incarnation": 1, ...},
     "shards": [{"index": 0, "start_hash": "0", ..., "records": [[sequence, put_ms, arrival_ms,
                                                                  partition key, base64], ...]}]}
"""

import json
from collections.abc import Mapping
from typing import Any

from .shards import Record, Shard
from .store import Store
from .streams import Stream

FORMAT = 1
_SHARD_TEXTS = ("parent_id", "adjacent_parent_id", "opened_ms", "closed_ms", "child_ids")
_SHARD_NUMBERS = ("start_hash", "end_hash", "start_sequence", "end_sequence")


def take(stream: Stream, now_ms: int) -> dict[str, Any]:
    """Return a stream with the shards and records that are left of it now."""
    with stream.lock:
        shards = [_take_shard(shard) for shard in stream.shards(now_ms)]
        return {
            "format": FORMAT,
            "taken_ms": now_ms,
            "stream": {"name": stream.name, "mode": stream.mode, **stream.state()},
            "shards": shards,
        }


def load(store: Store, account_id: str, region: str, snapshot: Mapping[str, Any]) -> Stream:
    """Create a stream from a snapshot, in any account and region.

    Raises
    ------
    ValueError
        The snapshot has another format, or its stream is here already, under whatever name.
    AwsError
        ResourceInUseException when the name is taken.
    """
    if snapshot.get("format") != FORMAT:
        raise ValueError(f"A snapshot has format {FORMAT}, got {snapshot.get('format')!r}.")
    about = dict(snapshot["stream"])
    store.require_free(about["incarnation"])
    stream = store.create(account_id, region, about.pop("name"), 1, about.pop("mode"))
    shards = [_load_shard(shard) for shard in snapshot["shards"]]
    store.renumber(stream, about["incarnation"])
    stream.restore(about, shards)
    return stream


def _take_shard(shard: Shard) -> dict[str, Any]:
    taken: dict[str, Any] = {"index": shard.index}
    for name in _SHARD_NUMBERS:
        number = getattr(shard, name)
        # As text: many readers of JSON cut numbers of 128 bits.
        taken[name] = None if number is None else str(number)
    for name in _SHARD_TEXTS:
        taken[name] = getattr(shard, name)
    records, _ = shard.page(shard.horizon, shard.end, 2**62)
    taken["records"] = [_take_record(record) for record in records]
    return taken


def _take_record(record: Record) -> list[Any]:
    shown = json.loads(record.json_text)
    number = str(record.sequence_number)
    return [number, record.put_ms, record.arrival_ms, shown["PartitionKey"], shown["Data"]]


def _load_shard(taken: Mapping[str, Any]) -> Shard:
    numbers = {name: taken[name] and int(taken[name]) for name in _SHARD_NUMBERS}
    shard = Shard(
        taken["index"],
        numbers["start_hash"] or 0,
        numbers["end_hash"] or 0,
        numbers["start_sequence"] or 0,
        taken["opened_ms"],
        parent_id=taken["parent_id"],
        adjacent_parent_id=taken["adjacent_parent_id"],
    )
    shard.end_sequence = numbers["end_sequence"]
    shard.closed_ms = taken["closed_ms"]
    shard.child_ids = list(taken["child_ids"])
    for sequence, put_ms, arrival_ms, key, data_text in taken["records"]:
        shard.append(Record.make(int(sequence), put_ms, arrival_ms, key, data_text))
    return shard
