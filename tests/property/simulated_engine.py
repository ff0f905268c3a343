"""Drives MicroBatchPlanner and ShardReader as Spark's engine does, and checks every batch.

What Spark does (MicroBatchExecution): it asks for the latest offset, logs it as JSON text, runs the
batch between the two last texts, and logs a commit. After a restart it knows the texts alone, and
runs the last logged batch again if it was not committed; for batch 0 it asks for the initial offset
anew, because it never logged it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import cached_property

from simulated_stream import SimulatedShard, SimulatedStream

from kinesis_source.model.offsets import StreamOffset
from kinesis_source.model.positions import END, TRIM_HORIZON, AfterRecord, Position
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.settings import ReadSettings, StreamSettings
from kinesis_source.plan.batch_rules import plan_ranges
from kinesis_source.plan.micro_batches import MicroBatchPlanner
from kinesis_source.read.shard_reader import ShardReader

__all__ = ["STREAM", "Engine", "settings_for"]

STREAM = StreamSettings("s", "s")
Rows = dict[str, list[int]]


def settings_for(initial: object, **changes: object) -> ReadSettings:
    return replace(ReadSettings((STREAM,)), initial_position=initial, **changes)  # type: ignore[arg-type]


class Engine:
    """One query.

    Parameters
    ----------
    stream : SimulatedStream
    settings : ReadSettings
    """

    def __init__(self, stream: SimulatedStream, settings: ReadSettings) -> None:
        self.stream = stream
        self.settings = settings
        self.ends: list[str] = []  # Spark's offset log
        self.rows: list[Rows] = []  # what each batch gave
        self.read_up_to: dict[str, int] = {}  # shard id -> index behind the last row
        self.finished_in: dict[str, int] = {}  # shard id -> batch
        self.started_ms = 0  # when the query knew its start
        # The driver's GetRecords of each shard, while there was something to find.
        self.looks: Counter[str] = Counter()
        self.start_process()

    def start_process(self) -> None:
        self.stream.restart_process()
        self.planner = MicroBatchPlanner(
            self.stream,
            self.settings,
            self.stream.describe,
            monotonic=self.stream.clock.monotonic,
            sleep=self.stream.clock.sleep,
        )

    # Spark's steps

    def initial_text(self) -> str:
        initial = self.planner.initial_offset()
        self.started_ms = self.stream.server_ms
        return _text(initial)

    def step(self, *, crashes: bool = False) -> bool:
        """Ask for the next offset and run the batch; say whether there was one."""
        start_text = self.ends[-1] if self.ends else self.initial_text()
        start = _offset(start_text)
        behind = self.unread() if self.ends else {}
        calls = Counter(self.stream.calls)
        end = self.planner.next_offset(start)
        for shard_id in behind:
            self.looks[shard_id] += self.stream.calls["page", shard_id] - calls["page", shard_id]
        if end is start:
            return False
        end_text = _text(end)
        assert end_text != start_text, "news, but the same text"
        assert _text(_offset(end_text)) == end_text, "not canonical"
        self.ends.append(end_text)
        if crashes:
            self.start_process()
        rows = self._run(len(self.ends) - 1)
        self._check(len(self.ends) - 1, rows)
        self.rows.append(rows)
        return True

    def replay(self, batch: int) -> None:
        """Run a batch again: the same rows, whenever it is."""
        assert self._run(batch) == self.rows[batch], "a replay gave other rows"

    def ranges(self, batch: int) -> list[ShardRange]:
        start_text = self.ends[batch - 1] if batch else _text(self.planner.initial_offset())
        return plan_ranges(_offset(start_text), _offset(self.ends[batch]))

    def _run(self, batch: int) -> Rows:
        rows: Rows = {}
        for shard_range in self.ranges(batch):
            assert shard_range.shard_id not in rows
            clock = self.stream.clock
            reader = ShardReader(
                self.stream,
                STREAM,
                shard_range,
                self.settings,
                monotonic=clock.monotonic,
                sleep=clock.sleep,
            )
            read = rows.setdefault(shard_range.shard_id, [])
            for page in reader.pages():
                assert len(page), "an empty page was yielded"
                assert len(page.data) == len(page.partition_keys) == len(page.arrival_ms)
                read.extend(map(int, page.sequence_numbers))
        return rows

    # What must hold

    @cached_property
    def first_positions(self) -> dict[str, Position]:
        """Where the query began, as the first logged offset says."""
        start = _offset(self.ends[0]).start
        assert start is not None
        return dict(start["s"].shards)

    def is_in_scope(self, shard_id: str) -> bool:
        """Whether the query must read a shard: it began there, or at an elder of it."""
        parents = self.stream.shards[shard_id].parents
        return shard_id in self.first_positions or any(map(self.is_in_scope, parents))

    def first_index(self, shard: SimulatedShard) -> int:
        """Return the index of the first record of a shard in scope that must be read."""
        return shard.index_behind(self.first_positions.get(shard.shard_id, TRIM_HORIZON))

    def _check(self, batch: int, rows: Rows) -> None:
        for shard_range in self.ranges(batch):
            shard = self.stream.shards[shard_range.shard_id]
            assert self.is_in_scope(shard.shard_id)
            first = self.read_up_to.get(shard.shard_id, self.first_index(shard))
            stop = self._stop(shard, shard_range.end)
            assert rows[shard.shard_id] == shard.numbers[first:stop], "lost, twice, or disordered"
            self.read_up_to[shard.shard_id] = stop
            for parent in shard.parents:
                if self.is_in_scope(parent):
                    assert self.finished_in.get(parent, batch) < batch, "a child before its parent"
            if shard_range.end is END:
                self.finished_in[shard.shard_id] = batch

    def _stop(self, shard: SimulatedShard, end: Position) -> int:
        if end is END:
            assert shard.closed_ms is not None, "the end of a shard that is open"
            return len(shard.numbers)
        assert isinstance(end, AfterRecord)
        stop = shard.index_behind(end)  # raises unless the record exists
        assert shard.arrivals[stop - 1] == end.arrival_ms
        return stop

    def is_settled(self) -> bool:
        """Whether all is read, and the offset holds just the shards that are open."""
        last = _offset(self.ends[-1]).streams["s"].shards if self.ends else {}
        open_ids = {shard.shard_id for shard in self.stream.open_shards()}
        return set(last) == open_ids and not self.unread()

    def unread(self) -> dict[str, int]:
        """Return how many records of the shards in scope are still to be read."""
        if not self.ends:
            return {"": 1}
        left = {}
        for shard in self.stream.shards.values():
            if shard.shard_id not in self.stream.hidden and self.is_in_scope(shard.shard_id):
                total = len(shard.numbers)
                left[shard.shard_id] = total - self.read_up_to.get(
                    shard.shard_id, self.first_index(shard)
                )
        return {shard_id: count for shard_id, count in left.items() if count}


def _text(offset: StreamOffset) -> str:
    return json.dumps(offset.to_json())


def _offset(text: str) -> StreamOffset:
    return StreamOffset.from_json(json.loads(text))
