"""One shard: its place in the lineage, its hash range and its records, oldest first.

Pure data, no clock and no lock: the owning `Stream` holds the lock and passes the time in. Records
are kept in parallel lists so that a position is found by bisection and a page is one slice; each
record carries its finished JSON text, made once at put time, so a read is a join of byte strings.

A position in a shard is an absolute index: the number of records put before it, trimmed ones too.
"""

import base64
import json
from bisect import bisect_left, bisect_right
from typing import Any, NamedTuple

MAX_HASH_KEY = 2**128 - 1


class Record(NamedTuple):
    """A stored record.

    `put_ms` is when it came by the emulator's clock and rules retention; `arrival_ms` is the
    ApproximateArrivalTimestamp shown to readers, which a test hook may disorder.
    """

    sequence_number: int
    put_ms: int
    arrival_ms: int
    size_bytes: int
    json_text: bytes

    @classmethod
    def make(
        cls, sequence_number: int, put_ms: int, arrival_ms: int, partition_key: str, data_text: str
    ) -> "Record":
        """Return a record; `data_text` is base64."""
        text = (
            f'{{"SequenceNumber":"{sequence_number}",'
            f'"ApproximateArrivalTimestamp":{arrival_ms // 1000}.{arrival_ms % 1000:03d},'
            f'"Data":"{data_text}","PartitionKey":{json.dumps(partition_key)}}}'
        )
        size_bytes = len(data_text) * 3 // 4 - data_text[-2:].count("=")
        size_bytes += len(partition_key.encode())
        return cls(sequence_number, put_ms, arrival_ms, size_bytes, text.encode())

    def to_dict(self) -> dict[str, Any]:
        """Return the record as the API shows it, with `Data` as bytes."""
        shown: dict[str, Any] = json.loads(self.json_text)
        shown["Data"] = base64.b64decode(shown["Data"])
        return shown


class Shard:
    """A shard and what is left of its records."""

    def __init__(
        self,
        index: int,
        start_hash: int,
        end_hash: int,
        start_sequence: int,
        opened_ms: int,
        *,
        parent_id: str | None = None,
        adjacent_parent_id: str | None = None,
    ) -> None:
        self.index = index
        self.shard_id = f"shardId-{index:012d}"
        self.start_hash = start_hash
        self.end_hash = end_hash
        self.start_sequence = start_sequence
        self.end_sequence: int | None = None
        self.opened_ms = opened_ms
        self.closed_ms: int | None = None
        self.parent_id = parent_id
        self.adjacent_parent_id = adjacent_parent_id
        self.child_ids: list[str] = []
        self._records: list[Record] = []
        self._sequences: list[int] = []
        # Running maximum of arrival times: its first value >= t stands where the first record
        # with arrival >= t stands, in order or not, so AT_TIMESTAMP stays a bisection.
        self._peaks_ms: list[int] = []
        self._total_bytes: list[int] = []
        self._trimmed = 0
        self._trimmed_bytes = 0

    @property
    def is_open(self) -> bool:
        """Whether the shard still takes puts."""
        return self.closed_ms is None

    @property
    def parents(self) -> list[str]:
        """Ids of the shards this one came from: none, one (split) or two (merge)."""
        return [p for p in (self.parent_id, self.adjacent_parent_id) if p is not None]

    @property
    def end(self) -> int:
        """Position after the last record."""
        return self._trimmed + len(self._records)

    @property
    def horizon(self) -> int:
        """Position of the oldest record left."""
        return self._trimmed

    def append(self, record: Record) -> None:
        """Put a record at the tip."""
        peak = self._peaks_ms[-1] if self._peaks_ms else 0
        total = self._total_bytes[-1] if self._total_bytes else self._trimmed_bytes
        self._records.append(record)
        self._sequences.append(record.sequence_number)
        self._peaks_ms.append(max(peak, record.arrival_ms))
        self._total_bytes.append(total + record.size_bytes)

    def trim(self, horizon_ms: int) -> None:
        """Forget the records put before `horizon_ms`."""
        records = self._records
        if not records or records[0].put_ms >= horizon_ms:
            return
        gone = bisect_left(records, horizon_ms, key=lambda record: record.put_ms)
        self._trimmed += gone
        self._trimmed_bytes = self._total_bytes[gone - 1]
        for column in (records, self._sequences, self._total_bytes):
            del column[:gone]
        self._peaks_ms = []
        peak = 0
        for record in records:
            peak = max(peak, record.arrival_ms)
            self._peaks_ms.append(peak)

    def position_of_sequence(self, sequence: int, *, after: bool) -> int:
        """Return the position at (or just after) a sequence number, not before the horizon."""
        find = bisect_right if after else bisect_left
        return self._trimmed + find(self._sequences, sequence)

    def position_of_timestamp(self, timestamp_ms: int) -> int:
        """Return the position of the first record that arrived at `timestamp_ms` or later."""
        return self._trimmed + bisect_left(self._peaks_ms, timestamp_ms)

    def page(self, position: int, limit: int, max_bytes: int) -> tuple[list[Record], int]:
        """Return up to `limit` records from `position` on, and the position after them.

        A page holds at most `max_bytes`, but always at least one record where there is one.
        """
        start = max(position, self._trimmed) - self._trimmed
        stop = min(start + limit, len(self._records))
        if start >= stop:
            return [], self._trimmed + start
        before = self._total_bytes[start - 1] if start else self._trimmed_bytes
        fitting = bisect_right(self._total_bytes, before + max_bytes, start, stop)
        stop = max(fitting, start + 1)
        return self._records[start:stop], self._trimmed + stop

    def record_at(self, position: int) -> Record | None:
        """Return the record at a position, or None at the tip."""
        index = max(position, self._trimmed) - self._trimmed
        return self._records[index] if index < len(self._records) else None

    def describe(self) -> dict[str, Any]:
        """Return the API's Shard structure."""
        numbers = {"StartingSequenceNumber": str(self.start_sequence)}
        if self.end_sequence is not None:
            numbers["EndingSequenceNumber"] = str(self.end_sequence)
        shown: dict[str, Any] = {
            "ShardId": self.shard_id,
            "HashKeyRange": self.hash_range(),
            "SequenceNumberRange": numbers,
        }
        if self.parent_id is not None:
            shown["ParentShardId"] = self.parent_id
        if self.adjacent_parent_id is not None:
            shown["AdjacentParentShardId"] = self.adjacent_parent_id
        return shown

    def hash_range(self) -> dict[str, str]:
        """Return the API's HashKeyRange structure."""
        return {"StartingHashKey": str(self.start_hash), "EndingHashKey": str(self.end_hash)}
