"""The reader of a task, on the executors: several ShardRanges side by side, as RecordBatches.

A shard gives at most 2 MiB/s and a core decodes a hundred times that, so a task reads its shards in
a few threads: each shard in order, each at most one batch ahead, all into one bounded queue, and
all within one budget of memory. Where there can be fewer threads, those read all shards; where
there can be none, the task's own thread does.
In: a tuple of ShardRanges. Out: an iterator of pyarrow.RecordBatch, which Spark pulls.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence

import pyarrow as pa

from kinesis_source.aws.api import StreamApi
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.settings import ReadSettings, StreamSettings
from kinesis_source.read.memory import PAGE_COPIES, MemoryBudget
from kinesis_source.read.shard_reader import ShardReader
from kinesis_source.read.threads import start_threads
from kinesis_source.records.batches import BatchBuilder
from kinesis_source.records.schema import OutputColumn

__all__ = ["read_ranges"]

LARGEST_CONCURRENCY = 50
"""Threads of a task, each with a connection (aws/connection.py). At 2 MB/s a shard they mostly
wait."""
FREE_CONCURRENCY = 2
"""The same where no rate is kept, so nobody waits for AWS: more threads only take the interpreter
from each other."""
TASK_BYTES = 48 * 1024 * 1024
"""What pages and batches of a task may take together; Python, Arrow and pyspark add their own.
Twelve pages of 1 MB, as they come at the default rate, are fetched and decoded at a time: enough
for 100 shards. More threads that decode at a time only take the interpreter from each other."""
QUEUE_POLL_S = 0.2
"""How soon a thread sees that its task is over."""


def read_ranges(
    api: StreamApi,
    ranges: Sequence[ShardRange],
    columns: tuple[OutputColumn, ...],
    settings: ReadSettings,
) -> Iterator[pa.RecordBatch]:
    """Read ranges side by side.

    Parameters
    ----------
    api : StreamApi
    ranges : sequence of ShardRange
    columns : tuple of OutputColumn
        What Spark asked for, in its order.
    settings : ReadSettings

    Yields
    ------
    pyarrow.RecordBatch
        At least one row each; the rows of one shard in sequence-number order.

    Raises
    ------
    KinesisSourceError
        The first error of any shard; the other shards' threads are ended.
    """
    task = _Task(api, ranges, columns, settings)
    try:
        yield from task.batches()
    finally:
        task.stop()


class _StoppedError(Exception):
    """The task is over; ends a thread between two calls."""


class _Task:
    def __init__(
        self,
        api: StreamApi,
        ranges: Sequence[ShardRange],
        columns: tuple[OutputColumn, ...],
        settings: ReadSettings,
    ) -> None:
        self._api = api
        self._columns = columns
        self._settings = settings
        self._streams = {stream.key: stream for stream in settings.streams}
        self._waiting: queue.SimpleQueue[ShardRange] = queue.SimpleQueue()
        for shard_range in ranges:
            self._waiting.put(shard_range)
        most = FREE_CONCURRENCY if settings.max_fetch_bytes_per_s is None else LARGEST_CONCURRENCY
        count = min(len(ranges), most, settings.shards_per_task)
        # One batch of each thread: with the one in its hands, a shard is at most two ahead.
        self._ready: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(count)
        self._memory = MemoryBudget(TASK_BYTES)
        self._taken = threading.local()
        self._stopped = threading.Event()
        self._thread_count = count

    def batches(self) -> Iterator[pa.RecordBatch]:
        running = start_threads(self._thread_count, self._work, "kinesis-read")
        if not running:
            yield from self._read_here()
            return
        while running:
            item = self._ready.get()
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                size_bytes = item.nbytes
                yield item
                del item  # Spark asks for the next one: it has written this one out
                self._memory.give_back(size_bytes)

    def _read_here(self) -> Iterator[pa.RecordBatch]:
        """Read one range after the other in the caller's thread."""
        while True:
            try:
                shard_range = self._waiting.get_nowait()
            except queue.Empty:
                return
            try:
                for batch in self._batches_of(shard_range):
                    size_bytes = batch.nbytes
                    yield batch
                    self._memory.give_back(size_bytes)
            finally:
                self._give_memory_back()

    def stop(self) -> None:
        """Let the threads end; they are daemons, and a call under way may last its time-out."""
        self._stopped.set()

    def _work(self) -> None:
        try:
            while not self._stopped.is_set():
                try:
                    shard_range = self._waiting.get_nowait()
                except queue.Empty:
                    break
                try:
                    for batch in self._batches_of(shard_range):
                        if not self._put(batch):
                            return
                        del batch
                finally:
                    self._give_memory_back()  # a shard may end with a page without records
            self._put(None)
        except BaseException as error:  # noqa: BLE001 - the task's own thread raises it
            self._put(error)

    def _batches_of(self, shard_range: ShardRange) -> Iterator[pa.RecordBatch]:
        """Read a range; the memory of what is yielded is counted and the caller's to give back."""
        builder = BatchBuilder(
            self._columns, shard_range.stream, deaggregate=self._settings.deaggregate
        )
        reader = ShardReader(
            self._api,
            # A batch that is replayed may hold a stream that the options no longer name.
            self._streams.get(shard_range.stream) or StreamSettings.from_key(shard_range.stream),
            shard_range,
            self._settings,
            builder.data_prefix,
            before_page=self._take_memory,
            sleep=self._pause,
        )
        for page in reader.pages():
            for batch in builder.batches(shard_range.shard_id, page):
                self._memory.add(batch.nbytes)
                yield batch
                del batch
            del page
            self._give_memory_back()

    def _take_memory(self, page_bytes: int) -> None:
        """Take leave for one page of the thread that calls."""
        self._give_memory_back()  # of a page without records
        size_bytes = page_bytes * PAGE_COPIES
        self._memory.take(size_bytes, self._check_stopped)
        self._taken.size_bytes = size_bytes

    def _give_memory_back(self) -> None:
        self._memory.give_back(getattr(self._taken, "size_bytes", 0))
        self._taken.size_bytes = 0

    def _check_stopped(self) -> None:
        if self._stopped.is_set():
            raise _StoppedError

    def _pause(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise _StoppedError

    def _put(self, item: pa.RecordBatch | BaseException | None) -> bool:
        """Hand on an item; False if the task is over."""
        while not self._stopped.is_set():
            try:
                self._ready.put(item, timeout=QUEUE_POLL_S)
            except queue.Full:
                continue
            return True
        return False
