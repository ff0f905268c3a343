"""A query as Spark runs it, without Spark: a driver, executors, and the checkpoint between them.

The source's own classes do the work against the emulator over HTTP. What Spark adds is done here as
Spark does it: reader and partitions are pickled on their way to the tasks, offsets are JSON text, a
task is a call of ``read``. Executors have a client of their own, with other connections and
credentials than the driver's. Whatever is waited for has a deadline: a hang is a failed assertion.
"""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from kinesis_source.aws.client import stream_api
from kinesis_source.datasource import KinesisDataSource
from kinesis_source.emulator import Emulator, StreamHandle
from kinesis_source.records.schema import spark_schema
from kinesis_source.spark.stream import KinesisStreamReader

__all__ = [
    "HOUR_S",
    "Query",
    "ShiftedClock",
    "assert_exactly_once",
    "fill",
    "losses",
    "query_options",
    "refused_calls",
    "within",
    "written",
]

REGION = "us-east-1"
HOUR_S = 3_600
Row = tuple[str, str]
T = TypeVar("T")


class ShiftedClock:
    """The machine's clock, some hours ahead."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


def query_options(aws: Emulator, stream: str = "events", **options: str) -> dict[str, str]:
    """Return options with short times, so that a fault costs seconds."""
    return {
        "streamName": stream,
        "region": REGION,
        "endpointUrl": aws.endpoint_url,
        "awsAccessKey": "test",
        "awsSecretKey": "test",
        "initialPosition": "trim_horizon",
        "pollInterval": "200ms",
        "shardFetchInterval": "200ms",
        "readTimeout": "1s",
        "retryBudget": "20s",
        **options,
    }


def within(seconds: float, what: Callable[[], T], name: str = "it") -> T:
    """Return what a function returns, raise what it raises; fail if it takes longer."""
    done: list[tuple[bool, Any]] = []

    def work() -> None:
        try:
            done.append((True, what()))
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            done.append((False, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    assert done, f"{name} still runs after {seconds} s"
    succeeded, value = done[0]
    if not succeeded:
        raise value
    return value


class Query:
    """One query over a checkpoint in memory.

    Parameters
    ----------
    options : dict of str to str
    """

    def __init__(self, options: dict[str, str]) -> None:
        self._options = options
        self._driver = _reader(options)
        self._executor = _executor(options)
        self._end: dict[str, Any] | None = None
        self.batches: list[list[Row]] = []
        self.offsets: list[str] = []

    @property
    def rows(self) -> list[Row]:
        """What was delivered so far, in order: (shard id, sequence number)."""
        return [row for batch in self.batches for row in batch]

    def restart(self) -> None:
        """Forget everything but the checkpoint."""
        self._driver.stop()
        self._driver = pickle.loads(pickle.dumps(self._driver))  # noqa: S301 - made here

    def give_executors(self, **options: str) -> None:
        """Let the tasks from now on run with other options than the driver."""
        stream_api(self._executor._settings.client).close()
        self._executor = _executor({**self._options, **options})

    def restart_with(self, **options: str) -> None:
        """Restart with other options."""
        self.close()
        self._options = {**self._options, **options}
        self._driver = _reader(self._options)
        self._executor = _executor(self._options)

    def close(self) -> None:
        """End threads and connections."""
        self._driver.stop()
        for reader in (self._driver, self._executor):
            stream_api(reader._settings.client).close()

    def plan(self, deadline_s: float = 30) -> list[Any]:
        """Let the driver plan a batch; return its partitions, none if nothing is new."""
        return within(deadline_s, self._plan, "planning")

    def _plan(self) -> list[Any]:
        driver = self._driver
        start = self._end if self._end is not None else _json(driver.initialOffset())
        end = _json(driver.latestOffset(start, driver.getDefaultReadLimit()))
        if end == start:
            return []
        self.offsets.append(json.dumps(end))
        self._end = end
        return driver.partitions(start, end)

    def read(self, partitions: Iterable[Any], deadline_s: float = 60) -> list[Row]:
        """Run a batch's tasks one after the other; return their rows."""
        rows = within(deadline_s, lambda: self._read(partitions), "a task")
        self.batches.append(rows)
        return rows

    def _read(self, partitions: Iterable[Any]) -> list[Row]:
        rows: list[Row] = []
        for partition in partitions:
            executor = pickle.loads(pickle.dumps(self._executor))  # noqa: S301
            for batch in executor.read(pickle.loads(pickle.dumps(partition))):  # noqa: S301
                columns = batch.to_pydict()
                rows += zip(columns["shardId"], columns["sequenceNumber"], strict=True)
        return rows

    def run(
        self,
        count: int,
        *,
        deadline_s: float = 40,
        before_tasks: Callable[[], Any] | None = None,
    ) -> None:
        """Run batches until ``count`` rows are there in all, and two polls more.

        Parameters
        ----------
        count : int
        deadline_s : float
        before_tasks : callable or None
            Called once, when the first batch with rows is planned and before its tasks run.
        """
        stop_s = time.monotonic() + deadline_s
        polls_left = 2
        while polls_left:
            left_s = stop_s - time.monotonic()
            assert left_s > 0, f"{len(self.rows)} of {count} rows after {deadline_s} s"
            partitions = self.plan(left_s)
            if partitions and before_tasks is not None:
                before_tasks()
                before_tasks = None
            self.read(partitions, max(1.0, stop_s - time.monotonic()))
            if len(self.rows) >= count:
                polls_left -= 1


def _reader(options: dict[str, str]) -> KinesisStreamReader:
    reader = KinesisDataSource(options).streamReader(spark_schema())
    copy = pickle.loads(pickle.dumps(reader))  # noqa: S301 - made one line above
    assert isinstance(copy, KinesisStreamReader)
    return copy


def _executor(options: dict[str, str]) -> KinesisStreamReader:
    # Another time-out makes another client of the same process's cache.
    return _reader({**options, "connectTimeout": "4999ms"})


def _json(offset: dict[str, Any]) -> dict[str, Any]:
    """Return an offset as it comes out of Spark's log."""
    return json.loads(json.dumps(offset))


def fill(stream: StreamHandle, count: int, size: int = 20, prefix: str = "k") -> None:
    """Put records with different keys."""
    stream.put_many(
        [(f"{prefix}-{n}".encode().ljust(size, b"."), f"{prefix}-{n}") for n in range(count)]
    )


def written(stream: StreamHandle) -> list[Row]:
    """Return all that is stored: (shard id, sequence number)."""
    return [
        (shard["ShardId"], record["SequenceNumber"])
        for shard in stream.shards()
        for record in stream.records(shard["ShardId"])
    ]


def assert_exactly_once(query: Query, *streams: StreamHandle) -> None:
    """Every record once, in the order of its shard, children after their parents."""
    rows = query.rows
    expected = Counter(row for stream in streams for row in written(stream))
    got = Counter(rows)
    assert not expected - got, f"lost: {sorted(expected - got)[:3]} of {len(expected)}"
    assert not got - expected, f"twice or unknown: {sorted(got - expected)[:3]}"
    last: dict[str, int] = {}
    for shard_id, number in rows:
        assert int(number) > last.get(shard_id, -1), f"out of order in {shard_id}"
        last[shard_id] = int(number)
    for stream in streams:
        _assert_parents_first(query, stream)


def _assert_parents_first(query: Query, stream: StreamHandle) -> None:
    batches_of: dict[str, list[int]] = {}
    for number, batch in enumerate(query.batches):
        for shard_id, _ in batch:
            batches_of.setdefault(shard_id, []).append(number)
    for shard in stream.shards():
        for parent in (shard.get("ParentShardId"), shard.get("AdjacentParentShardId")):
            if parent in batches_of and shard["ShardId"] in batches_of:
                assert max(batches_of[parent]) < min(batches_of[shard["ShardId"]])


def losses(caplog: Any) -> list[str]:
    """Return the losses that were logged."""
    texts = [record.getMessage() for record in caplog.records]
    return [text for text in texts if "DATA_LOSS" in text]


def refused_calls(aws: Emulator, operation: str) -> tuple[int, int]:
    """Return how many calls were throttled, and how many there were."""
    calls = aws.call_log(operation)
    return sum(call.error is not None for call in calls), len(calls)
