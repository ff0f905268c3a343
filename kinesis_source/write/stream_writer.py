"""StreamWriter, on the executors: what one task puts into one stream.

A few threads send PutRecords; the task's own thread adds records, and waits where enough are
queued. Only rejected records are sent again, until the budget of a record is spent. What AWS says
of where a record went keeps the map of shards fresh. At least once: a call whose reply is lost may
have been obeyed, and is made again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kinesis_source.aws.api import RecordApi
from kinesis_source.errors import KinesisSourceError, ThrottledError
from kinesis_source.model.outgoing import OutRecord, PutOutcome
from kinesis_source.options.settings import StreamSettings, WriteSettings
from kinesis_source.write.aggregate import AGGREGATE_BYTES, Aggregator
from kinesis_source.write.queues import Queued, ShardQueues
from kinesis_source.write.rows import check_record
from kinesis_source.write.shards import ShardMap

__all__ = ["StreamWriter", "Target", "WriteCounts"]

_log = logging.getLogger("kinesis_source")
MOST_QUEUED_BYTES: Final = 16 * 1024 * 1024
"""Of one task and stream: requests on their way and what waits for a shard's pace."""
MOST_QUEUED: Final = 20_000
REFRESH_S: Final = 2.0
"""Between two listings that contradicting answers ask for."""
LONGEST_WAIT_S: Final = 0.25
DEFAULT_RECORD_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class Target:
    """A stream to write to, as the driver found it.

    Parameters
    ----------
    stream : StreamSettings
    shards : ShardMap
    most_record_bytes : int
        Of data and partition key.
    """

    stream: StreamSettings
    shards: ShardMap
    most_record_bytes: int = DEFAULT_RECORD_BYTES


@dataclass
class WriteCounts:
    """What a task has done.

    Parameters
    ----------
    rows, records, size_bytes : int
        User records; Kinesis records that AWS took (fewer with aggregation); their bytes.
    requests, rejected : int
        PutRecords calls; records that AWS rejected, each time that it did.
    """

    rows: int = 0
    records: int = 0
    size_bytes: int = 0
    requests: int = 0
    rejected: int = 0

    def add(self, other: WriteCounts) -> None:
        """Add another task's or stream's."""
        self.rows += other.rows
        self.records += other.records
        self.size_bytes += other.size_bytes
        self.requests += other.requests
        self.rejected += other.rejected


class StreamWriter:
    """Puts records into one stream.

    Parameters
    ----------
    api : RecordApi
    target : Target
    settings : WriteSettings
    budget_s : float
        How long one record may be rejected before the task fails.
    """

    def __init__(
        self, api: RecordApi, target: Target, settings: WriteSettings, budget_s: float
    ) -> None:
        self._api = api
        self._target = target
        self._settings = settings
        self._budget_s = budget_s
        self._shards = target.shards
        self._queues = ShardQueues()
        self._aggregators: dict[str, Aggregator] = {}
        self._changed = threading.Condition()
        self._on_their_way = 0
        self._way_bytes = 0
        self._is_last = False
        self._is_closed = False
        self._listed_s = time.monotonic()
        self._failure: BaseException | None = None
        self._threads: list[threading.Thread] = []
        self.counts = WriteCounts()

    # The task's own thread

    def add(self, records: Sequence[OutRecord]) -> None:
        """Take records; waits while enough are queued.

        Raises
        ------
        RecordError
            AWS would not take it.
        KinesisSourceError
            What an earlier record failed of.
        """
        for record in records:
            check_record(record, self._target.most_record_bytes)
        with self._changed:
            self._raise_failure()
            for record in records:
                self._enqueue(record)
            self.counts.rows += len(records)
            if not self._threads:
                self._start_threads()
            if self._queues.is_worth_a_request:
                self._changed.notify()
            while self._is_full:
                self._changed.wait(1.0)
                self._raise_failure()

    def flush(self) -> None:
        """Send what is left, and wait until AWS has taken all of it."""
        with self._changed:
            self._is_last = True
            self._close_aggregates()
            if self._queues.count and not self._threads:
                self._start_threads()
            self._changed.notify_all()
            while self._queues.count or self._on_their_way:
                self._changed.wait(1.0)
                self._raise_failure()
            self._raise_failure()

    def close(self) -> None:
        """End the threads; a call on its way may last its time-out."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def _is_full(self) -> bool:
        waiting_bytes = self._queues.size_bytes + self._way_bytes
        return waiting_bytes > MOST_QUEUED_BYTES or self._queues.count > MOST_QUEUED

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _start_threads(self) -> None:
        for number in range(self._settings.requests_in_flight):
            name = f"kinesis-put-{number}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError):
                if not self._threads:
                    raise
                return  # a limit of memory or of processes: those that run will do
            self._threads.append(thread)

    def _enqueue(self, record: OutRecord) -> None:
        shard_id = self._shards.shard_of(record.hash_key)
        if not self._settings.aggregate or not self._shards.is_known:
            self._enqueue_alone(record)
            return
        aggregator = self._aggregators.get(shard_id)
        if aggregator is None:
            first = self._shards.first_hash_key(shard_id)
            most = min(AGGREGATE_BYTES, self._target.most_record_bytes)
            aggregator = self._aggregators[shard_id] = Aggregator(first, most)
        if not aggregator.takes(record):
            self._close_aggregate(shard_id, aggregator)
        aggregator.add(record)

    def _enqueue_alone(self, record: OutRecord) -> None:
        lane = record.partition_key if self._settings.ordered else None
        self._queues.add(Queued(record, self._shards.shard_of(record.hash_key), lane))

    def _close_aggregate(self, shard_id: str, aggregator: Aggregator) -> None:
        made, inside = aggregator.take()
        lane = shard_id if self._settings.ordered else None
        self._queues.add(Queued(made, shard_id, lane, tuple(inside)))

    def _close_aggregates(self) -> None:
        for shard_id, aggregator in self._aggregators.items():
            if aggregator.records:
                self._close_aggregate(shard_id, aggregator)

    # Threads that send

    def _work(self) -> None:
        try:
            while (request := self._next_request()) is not None:
                self._send(request)
        except BaseException as error:  # noqa: BLE001 - the task's own thread raises it
            with self._changed:
                self._failure = self._failure or error
                self._changed.notify_all()

    def _next_request(self) -> list[Queued] | None:
        with self._changed:
            while not self._is_closed and self._failure is None:
                now_s = time.monotonic()
                is_pressing = self._is_last or self._is_full
                request = self._queues.take_request(now_s, is_last=is_pressing)
                if request:
                    self._on_their_way += len(request)
                    self._way_bytes += sum(queued.size_bytes for queued in request)
                    return request
                wait_s = self._queues.wait_s(now_s) if self._queues.count else 1.0
                self._changed.wait(min(max(wait_s, 0.001), LONGEST_WAIT_S))
            return None

    def _send(self, request: list[Queued]) -> None:
        outcomes = self._api.put_records(self._target.stream, [one.record for one in request])
        now_s = time.monotonic()
        pairs = list(zip(request, outcomes, strict=True))
        rejected = [(one, outcome) for one, outcome in pairs if outcome.error_code is not None]
        taken = [(one, outcome) for one, outcome in pairs if outcome.error_code is None]
        is_known = self._shards.is_known  # else no reply contradicts anything
        elsewhere = [o for o, outcome in taken if is_known and outcome.shard_id != o.shard_id]
        shards = self._shards_now(now_s) if elsewhere else None
        with self._changed:
            self.counts.requests += 1
            self.counts.rejected += len(rejected)
            self.counts.records += len(taken)
            self.counts.size_bytes += sum(one.size_bytes for one, _ in taken)
            self._on_their_way -= len(request)
            self._way_bytes -= sum(one.size_bytes for one in request)
            for shard_id, count in Counter(one.shard_id for one, _ in rejected).items():
                self._queues.pace_of(shard_id, now_s).rejected(now_s, count)
            for one, outcome in rejected:
                self._note_rejection(one, outcome, now_s)
            self._queues.free_lanes(request)
            self._queues.give_back(one for one, _ in rejected)
            if shards is not None:
                self._take_shards(shards)
            self._again(elsewhere)
            self._changed.notify_all()

    def _note_rejection(self, queued: Queued, outcome: PutOutcome, now_s: float) -> None:
        if queued.rejected_since_s is None:
            queued.rejected_since_s = now_s
        waited_s = now_s - queued.rejected_since_s
        if waited_s > self._budget_s:
            stream = self._target.stream.key
            raise ThrottledError(
                "SERVICE_THROTTLED",
                f"PutRecords: stream {stream!r} rejected a record with partition key "
                f"{queued.record.partition_key[:80]!r} (shard {queued.shard_id or 'unknown'!r}) for"
                f" {waited_s:.0f} s, the last time with {outcome.error_code} "
                f"({outcome.error_message[:200]}). {self.counts.records:,} records of this task are"
                " in the stream; what runs again writes them again.",
                "Give the stream more shards, write less at a time, or spread the partition keys.",
            )

    def _shards_now(self, now_s: float) -> ShardMap | None:
        """List the shards, if that was not done a moment ago."""
        with self._changed:
            if now_s - self._listed_s < REFRESH_S:
                return None
            self._listed_s = now_s
        try:
            return ShardMap(self._api.list_shards(self._target.stream))
        except KinesisSourceError as error:
            _log.info("The shards could not be listed anew, the old map stays: %s", error)
            return None

    def _take_shards(self, shards: ShardMap) -> None:
        """Deal what waits anew: to other shards, and out of aggregates for the old ones."""
        self._shards = shards
        waiting = self._queues.move()
        for aggregator in self._aggregators.values():
            if aggregator.records:
                made, inside = aggregator.take()
                waiting.append(Queued(made, "", None, tuple(inside)))
        self._aggregators.clear()
        for queued in waiting:
            for record in queued.inside or (queued.record,):
                self._enqueue(record)
        if self._is_last:
            self._close_aggregates()

    def _again(self, elsewhere: list[Queued]) -> None:
        """Put the records of aggregates again that went to another shard than they were made for.

        Consumers that filter by hash range would drop them there. Unpacked: each goes where its own
        key belongs, whatever the map says, which may be behind for a while; packed by such a map
        they would go astray again and again.
        """
        for queued in elsewhere:
            if len(queued.inside) > 1:
                for record in queued.inside:
                    self._enqueue_alone(record)
