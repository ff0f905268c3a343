"""Drives MicroBatchPlanner and ShardReader as Spark's engine does, and checks every batch.

What Spark does (MicroBatchExecution): it asks for the latest offset, logs it as JSON text, runs the
batch between the two last texts, and logs a commit. After a restart it knows the texts alone, and
runs the last logged batch again if it was not committed; for batch 0 it asks for the initial offset
anew, because it never logged it. A task that fails is tried again; a query that fails is started
again, with failOnDataLoss=false by an operator who has read the report of a loss.

Checked are invariants 1 to 7: what a batch gave is what its two offsets promise, in order, parents
first; what is missing and what is reported is judged by simulated_verdict.py.
"""

from __future__ import annotations

import json
import logging
import weakref
from collections import Counter
from dataclasses import replace

from simulated_account import SimulatedAccount
from simulated_runtime import SimulatedRuntime
from simulated_shard import SimulatedShard
from simulated_stream import SimulatedStream
from simulated_verdict import Beginning, Place, Verdict

from kinesis_source.errors import DataLossError, ServiceError, ThrottledError
from kinesis_source.model.offsets import StreamOffset, StreamPosition
from kinesis_source.model.positions import (
    TRIM_HORIZON,
    AfterRecord,
    FromRecord,
    Position,
    is_finished,
)
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.settings import ReadSettings, StreamSettings
from kinesis_source.plan.batch_rules import plan_ranges
from kinesis_source.plan.micro_batches import MicroBatchPlanner
from kinesis_source.read.shard_reader import ShardReader

__all__ = ["STREAM", "Engine", "settings_for"]

STREAM = StreamSettings("s", "s")
Rows = dict[str, list[int]]
TASK_TRIES = 4
MOST_STARTS = 30
"""Failures of one step, each with a new start of the query, until it must get on."""


def settings_for(initial: object, **changes: object) -> ReadSettings:
    return replace(ReadSettings((STREAM,)), initial_position=initial, **changes)  # type: ignore[arg-type]


class Engine:
    """One query.

    Parameters
    ----------
    source : SimulatedStream or SimulatedAccount
        The one stream, or several.
    settings : ReadSettings
    """

    def __init__(self, source: SimulatedStream | SimulatedAccount, settings: ReadSettings) -> None:
        self.account = source if isinstance(source, SimulatedAccount) else None
        self.stream = source if isinstance(source, SimulatedStream) else _first(source)
        self._api = source
        self.clock = source.clock
        self.settings = settings
        self.ends: list[str] = []  # Spark's offset log
        self.rows: list[Rows] = []  # what each committed batch gave; the index is the commit log
        self.read_up_to: dict[Place, int] = {}  # how many records the batches have passed
        self.finished_in: dict[Place, int] = {}  # in which batch a shard's end came
        self.started_ms = 0  # when the query knew its start
        self.beginnings: dict[SimulatedStream, Beginning] = {}
        self.verdict = Verdict(self.beginnings, self.read_up_to)
        # The driver's GetRecords of each shard, while there was something to find.
        self.looks: Counter[str] = Counter()
        self.failure: AssertionError | None = None
        self.is_available_now = False
        self._replayed: dict[Place, int] = {}
        self._runtime: SimulatedRuntime | None = None
        _warnings.listener = weakref.ref(self)
        self.start_process()

    def start_process(self, **changes: object) -> None:
        """Start the query's driver anew: it knows the settings and what was logged."""
        if self._runtime is not None:
            self._runtime.kill()
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]
        self._api.restart_process()
        self.verdict.note_new_process(self.streams())
        self._runtime = SimulatedRuntime(self.clock)
        self.planner = MicroBatchPlanner(
            self._api, self.settings, self._api.describe, runtime=self._runtime
        )
        if self.is_available_now:
            self.planner.fix_target()

    def stop(self, downtime_s: float = 0.0) -> None:
        """Stop the query, and start it again later."""
        self.planner.close()
        assert self._runtime is not None
        self._runtime.kill()
        self.clock.sleep(downtime_s)
        self.start_process()

    def streams(self) -> list[SimulatedStream]:
        """Return all streams that ever were."""
        return list(self.account.created.values()) if self.account else [self.stream]

    # Spark's steps

    def initial_text(self) -> str:
        initial = self.planner.initial_offset()
        self.started_ms = self.stream.server_ms
        return _text(initial)

    def step(self, *, crashes: bool = False, delay_s: float = 0.0) -> bool:
        """Ask for the next offset and run the batch; say whether there was one.

        Parameters
        ----------
        crashes : bool
            The driver dies between the log and the batch.
        delay_s : float
            How long after the plan the tasks begin.
        """
        if len(self.ends) > len(self.rows):
            self._finish_batch()  # logged before a failure
            return True
        trimmed = {stream: self._trimmed(stream) for stream in self.streams()}
        start_text = self.ends[-1] if self.ends else self.initial_text()
        start = _offset(start_text)
        behind = self.unread() if self.ends else {}
        calls = Counter(self.stream.driver_calls)
        end = self.planner.next_offset(start)
        for shard_id in behind:
            made = self.stream.driver_calls["page", shard_id] - calls["page", shard_id]
            self.looks[shard_id] += made
        if end is start:
            return False
        end_text = _text(end)
        assert end_text != start_text, "news, but the same text"
        assert _text(_offset(end_text)) == end_text, "not canonical"
        self._log(end_text, trimmed)
        if crashes:
            self.start_process()
        if delay_s:
            self.clock.sleep(delay_s)
        self._finish_batch()
        return True

    def go_on(self, *, crashes: bool = False, delay_s: float = 0.0) -> bool:
        """Step, and start the query again whenever it fails, as an operator does."""
        for start in range(MOST_STARTS):
            began_s = self.clock.now_s
            try:
                return self.step(crashes=crashes and not start, delay_s=delay_s)
            except DataLossError as error:
                self._expect(self.settings.fail_on_data_loss, "failOnDataLoss=false", error)
                self.note_report(str(error), is_reader=len(self.ends) > len(self.rows))
                self.start_process(fail_on_data_loss=False)
            except (ServiceError, ThrottledError) as error:
                rough = any(stream.weather.was_rough(began_s) for stream in self.streams())
                since = f"nothing was wrong from {began_s:.0f} s to {self.clock.now_s:.0f} s"
                self._expect(rough, since, error)
                self.clock.sleep(10)
                self.start_process()
        raise AssertionError(f"no batch after {MOST_STARTS} starts of the query")

    @staticmethod
    def _expect(is_expected: bool, why_not: str, error: Exception) -> None:
        if not is_expected:
            raise AssertionError(f"{why_not}, but: {error}") from error

    def replay(self, batch: int) -> None:
        """Run a batch again: the same rows, whenever it is, but for what is gone and reported."""
        ranges = self.ranges(batch)
        self._replayed = {
            (self._stream_of(batch, r.stream), r.shard_id): self._first(batch, r) for r in ranges
        }
        try:
            rows = self._run(batch)
        except DataLossError as error:
            assert self.settings.fail_on_data_loss
            self.note_report(str(error), is_reader=True)
            self.start_process(fail_on_data_loss=False)
            rows = self._run(batch)
        finally:
            replayed, self._replayed = self._replayed, {}
        if rows == self.rows[batch]:
            return
        for shard_range in ranges:
            name = self._name(shard_range)
            before, now = self.rows[batch][name], set(rows[name])
            stream = self._stream_of(batch, shard_range.stream)
            shard = stream.shards[shard_range.shard_id]
            assert rows[name] == [number for number in before if number in now], (
                "a replay gave other rows"
            )
            missing = [shard.index_of(str(number)) for number in before if number not in now]
            assert all(index >= replayed[stream, shard.shard_id] for index in missing)
            self.verdict.expect_report(stream, shard, missing)

    def ranges(self, batch: int) -> list[ShardRange]:
        start_text = self.ends[batch - 1] if batch else _text(self.planner.initial_offset())
        return plan_ranges(_offset(start_text), _offset(self.ends[batch]))

    def note_report(self, text: str, *, is_reader: bool | None = None) -> None:
        """Take down a loss that was reported: an error's text, or a warning."""
        if is_reader is None:
            process = self.clock.current.process
            is_reader = process is not None and process.role == "executor"
        now_ms = self.stream.server_ms
        self.verdict.note_report(text, now_ms, self.streams(), self._replayed, is_reader=is_reader)

    def _log(self, end_text: str, trimmed: dict[SimulatedStream, dict[str, int]]) -> None:
        self.ends.append(end_text)
        end = _offset(end_text)
        positions = {
            self._stream_at(key, position): position.shards for key, position in end.streams.items()
        }
        for stream, shards in positions.items():
            if stream not in self.beginnings:
                begun = end.start[stream.key].shards if end.start is not None else shards
                self._begin(stream, begun, trimmed.get(stream, {}))
        self.verdict.note_logged(positions)

    def _begin(
        self, stream: SimulatedStream, positions: dict[str, Position], trimmed: dict[str, int]
    ) -> None:
        is_second = any(other.key == stream.key for other in self.beginnings)
        if is_second:  # created again: all of it is to be read
            positions = dict.fromkeys(positions, TRIM_HORIZON)
        self.beginnings[stream] = Beginning(dict(positions), trimmed, stream.server_ms)

    @staticmethod
    def _trimmed(stream: SimulatedStream) -> dict[str, int]:
        stream.trim()
        return {shard.shard_id: shard.trimmed for shard in stream.shards.values()}

    # The executors

    def _finish_batch(self) -> None:
        batch = len(self.rows)
        rows = self._run(batch)
        if self.failure is not None:
            raise self.failure
        self._check(batch, rows)
        self.rows.append(rows)

    def _run(self, batch: int) -> Rows:
        """Run a batch's tasks side by side, in processes of their own."""
        ranges = self.ranges(batch)
        names = [self._name(shard_range) for shard_range in ranges]
        assert len(set(names)) == len(names), "a shard twice in one batch"
        executors = SimulatedRuntime(self.clock, "executor")
        self.verdict.reader_batch = batch
        try:
            tasks = [executors.submit(lambda r=r: self._try_task(r)) for r in ranges]
            self.clock.wait(tasks)
            return {name: task.result() for name, task in zip(names, tasks, strict=True)}
        finally:
            executors.kill()

    def _try_task(self, shard_range: ShardRange) -> list[int]:
        for _ in range(TASK_TRIES - 1):
            try:
                return self._read(shard_range)
            except (ServiceError, ThrottledError):  # noqa: PERF203 - as often as it takes
                self.clock.sleep(1)
        return self._read(shard_range)

    def _read(self, shard_range: ShardRange) -> list[int]:
        reader = ShardReader(
            self._api,
            StreamSettings.from_key(shard_range.stream),
            shard_range,
            self.settings,
            monotonic=self.clock.monotonic,
            sleep=self.clock.sleep,
        )
        numbers: list[int] = []
        for page in reader.pages():
            assert len(page), "an empty page was yielded"
            assert len(page.data) == len(page.partition_keys) == len(page.arrival_ms)
            numbers.extend(map(int, page.sequence_numbers))
        return numbers

    def _name(self, shard_range: ShardRange) -> str:
        is_of_first = shard_range.stream == self.stream.key
        return (
            shard_range.shard_id if is_of_first else f"{shard_range.stream}/{shard_range.shard_id}"
        )

    # What must hold

    def is_in_scope(self, shard_id: str, stream: SimulatedStream | None = None) -> bool:
        """Whether the query must read a shard: it began there, or at an elder of it."""
        return self.verdict.is_in_scope(stream or self.stream, shard_id)

    def first_index(self, shard: SimulatedShard, stream: SimulatedStream | None = None) -> int:
        """Return the index of the first record of a shard in scope that must be read."""
        return self.verdict.first_index(stream or self.stream, shard)

    def _check(self, batch: int, rows: Rows) -> None:
        for shard_range in self.ranges(batch):
            stream = self._stream_of(batch, shard_range.stream)
            shard = stream.shards[shard_range.shard_id]
            assert self.is_in_scope(shard.shard_id, stream)
            place = (stream, shard.shard_id)
            first, stop = self.verdict.passed(stream, shard), self._stop(shard, shard_range.end)
            if isinstance(shard_range.start, FromRecord):
                # An iterator of a moment gives what is put later, whatever its arrival time.
                first = min(first, self._first(batch, shard_range))
            given = rows[self._name(shard_range)]
            promised = shard.numbers[first:stop]
            if given != promised:
                seen = set(given)
                assert given == [n for n in promised if n in seen], "twice, or disordered"
                missing = [i for i in range(first, stop) if shard.numbers[i] not in seen]
                self.verdict.expect_report(stream, shard, missing)
            self.read_up_to[place] = stop
            for parent in shard.parents:
                if self.is_in_scope(parent, stream) and not stream.shards[parent].is_gone:
                    done_in = self.finished_in.get((stream, parent), batch)
                    assert done_in < batch, "a child before its parent"
            if is_finished(shard_range.end):
                self.finished_in[place] = batch

    def _first(self, batch: int, shard_range: ShardRange) -> int:
        stream = self._stream_of(batch, shard_range.stream)
        shard = stream.shards[shard_range.shard_id]
        if isinstance(shard_range.start, FromRecord):
            return shard.index_of(shard_range.start.sequence_number)
        if isinstance(shard_range.start, AfterRecord):
            return shard.index_behind(shard_range.start)
        return self.first_index(shard, stream)

    def _stop(self, shard: SimulatedShard, end: Position) -> int:
        if is_finished(end):
            assert shard.closed_ms is not None, "the end of a shard that is open"
            return len(shard.numbers)
        assert isinstance(end, AfterRecord)
        index = shard.index_of(end.sequence_number)  # raises unless the record exists
        assert shard.arrivals[index] == end.arrival_ms
        return index + 1

    def _stream_of(self, batch: int, key: str) -> SimulatedStream:
        return self._stream_at(key, _offset(self.ends[batch]).streams[key])

    def _stream_at(self, key: str, position: StreamPosition) -> SimulatedStream:
        if self.account is None:
            return self.stream
        return self.account.created[key, position.created_ms]

    def is_settled(self) -> bool:
        """Whether all is read, and the offset holds just the shards that are open."""
        if not self.ends or self.unread():
            return False
        last = _offset(self.ends[-1]).streams
        for key, position in last.items():
            stream = self._stream_at(key, position)
            left = set(position.shards)
            if any(shard.is_gone for shard in stream.shards.values()):
                # A finished shard that is not listed any more may outlive its children.
                left = {shard_id for shard_id in left if not is_finished(position.shards[shard_id])}
            if stream.is_deleted or left != {shard.shard_id for shard in stream.open_shards()}:
                return False
        return True

    def unread(self) -> dict[str, int]:
        """Return how many records of the shards in scope are there and still to be read."""
        if not self.ends:
            return {"": 1}
        left = {}
        for stream in self.beginnings:
            stream.trim()
            for shard in stream.shards.values():
                if shard.shard_id in stream.hidden or not self.is_in_scope(shard.shard_id, stream):
                    continue
                passed = max(self.verdict.passed(stream, shard), shard.trimmed)
                name = shard.shard_id if stream is self.stream else f"{stream.key}/{shard.shard_id}"
                left[name] = len(shard.numbers) - passed
        return {shard_id: count for shard_id, count in left.items() if count > 0}

    def check_losses(self) -> None:
        """Check that all that was never read is gone, and was reported (verdict 1)."""
        for stream in self.beginnings:
            for shard in stream.shards.values():
                if shard.shard_id in stream.hidden or not self.is_in_scope(shard.shard_id, stream):
                    continue
                passed = self.verdict.passed(stream, shard)
                self.verdict.expect_report(stream, shard, list(range(passed, len(shard.numbers))))


class _Warnings(logging.Handler):
    """Hands the warnings of losses to the engine that was made last."""

    listener: weakref.ref[Engine] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        engine = self.listener() if self.listener is not None else None
        if engine is not None and "[DATA_LOSS_" in text:
            try:
                engine.note_report(text)
            except AssertionError as error:
                engine.failure = error  # whoever catches it here
                raise


_warnings = _Warnings(logging.WARNING)
logging.getLogger("kinesis_source").addHandler(_warnings)


def _first(account: SimulatedAccount) -> SimulatedStream:
    return next(iter(account.streams.values()))


def _text(offset: StreamOffset) -> str:
    return json.dumps(offset.to_json())


def _offset(text: str) -> StreamOffset:
    return StreamOffset.from_json(json.loads(text))
