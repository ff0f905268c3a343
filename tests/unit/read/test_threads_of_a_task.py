"""Tasks on machines that give them fewer threads than they ask for."""

from __future__ import annotations

import logging
import threading
import time

import pyarrow as pa
import pytest
from scripted_api import ScriptedApi, page

from kinesis_source.errors import ServiceError
from kinesis_source.model.positions import END, TRIM_HORIZON
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.settings import ReadSettings, StreamSettings
from kinesis_source.read.task import read_ranges
from kinesis_source.records.schema import Content, OutputColumn

SETTINGS = ReadSettings((StreamSettings("s", "s"),), shards_per_task=50)
COLUMNS = (
    OutputColumn("shardId", Content.SHARD_ID),
    OutputColumn("sequenceNumber", Content.SEQUENCE_NUMBER),
)
SHARDS = [f"shard{n}" for n in range(8)]
MIB = 1024 * 1024


def whole(*shards: str) -> list[ShardRange]:
    return [ShardRange("s", shard, TRIM_HORIZON, END) for shard in shards]


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("kinesis-read-")]


def wait_until_over() -> None:
    deadline_s = time.monotonic() + 5
    while readers():
        assert time.monotonic() < deadline_s, readers()
        time.sleep(0.005)


class Meter(ScriptedApi):
    """Counts the threads that ask."""

    def __init__(self, **scripts: list) -> None:
        super().__init__(**scripts)
        self.asked_by: set[str] = set()

    def get_iterator(self, *arguments: object, **options: object) -> str:
        self.asked_by.add(threading.current_thread().name)
        return super().get_iterator(*arguments, **options)


@pytest.fixture
def allow_threads(monkeypatch):
    """Let only so many threads of a task start; the machine refuses the others."""
    start = threading.Thread.start

    def allow(count: int, error: Exception) -> None:
        left = [count]

        def limited(thread: threading.Thread) -> None:
            if thread.name.startswith("kinesis-read-"):
                if not left[0]:
                    raise error
                left[0] -= 1
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)

    return allow


def eight_shards() -> Meter:
    last = page(2, more=False, children=("child",))
    return Meter(**{shard: [page(1), last] for shard in SHARDS})


def check_all_rows(batches) -> None:
    rows = pa.Table.from_batches(list(batches)).to_pylist()
    for shard in SHARDS:
        assert [row["sequenceNumber"] for row in rows if row["shardId"] == shard] == ["1", "2"]
    assert len(rows) == 2 * len(SHARDS)


@pytest.mark.parametrize(
    "error", [RuntimeError("can't start new thread"), MemoryError()], ids=["processes", "memory"]
)
@pytest.mark.parametrize("started", [7, 3, 1, 0])
def test_all_shards_are_read_however_many_threads_can_start(
    allow_threads, caplog, started: int, error: Exception
) -> None:
    allow_threads(started, error)
    api = eight_shards()
    with caplog.at_level(logging.WARNING):
        check_all_rows(read_ranges(api, whole(*SHARDS), COLUMNS, SETTINGS))
    wait_until_over()
    # Half of them leave room for what else needs threads.
    assert len(api.asked_by) <= max(1, (started + 1) // 2)
    if not started:
        assert api.asked_by == {threading.current_thread().name}


def test_what_was_had_and_what_to_do_is_said_once(allow_threads, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            allow_threads(5, RuntimeError("no more threads, says the test"))
            check_all_rows(read_ranges(eight_shards(), whole(*SHARDS), COLUMNS, SETTINGS))
            wait_until_over()
    (record,) = [one for one in caplog.records if "says the test" in one.getMessage()]
    assert "3 threads instead of 8" in record.getMessage()
    assert "spark.executor.pyspark.memory" in record.getMessage()


def test_without_threads_the_error_of_a_shard_is_the_tasks(allow_threads) -> None:
    allow_threads(0, RuntimeError("can't start new thread"))
    error = ServiceError("SERVICE_FAILED", "It failed.", "Try again.")
    api = ScriptedApi(a=[page(1), error])
    batches = read_ranges(api, whole("a"), COLUMNS, SETTINGS)
    assert next(batches).num_rows == 1
    with pytest.raises(ServiceError) as caught:
        next(batches)
    assert caught.value is error


def test_a_limit_of_memory_leaves_reading_half_of_what_is_left(monkeypatch) -> None:
    """Threads that all start would leave no memory to read with."""
    resource = pytest.importorskip("resource")
    threads = pytest.importorskip("kinesis_source.read.threads")
    statm = threads._STATM.read_text().split()[0] if threads._STATM.exists() else pytest.skip()
    used_bytes = int(statm) * resource.getpagesize()

    def limit_to(left_bytes: int) -> None:
        limit = (used_bytes + left_bytes, resource.RLIM_INFINITY)
        monkeypatch.setattr(resource, "getrlimit", lambda _: limit)

    for left_bytes, allowed in ((100 * MIB, 0), (600 * MIB, 4), (60_000 * MIB, 50)):
        limit_to(left_bytes)
        assert threads.bearable_threads(50) == pytest.approx(allowed, abs=1)
    limit_to(1 * MIB)
    api = eight_shards()
    check_all_rows(read_ranges(api, whole(*SHARDS), COLUMNS, SETTINGS))
    assert api.asked_by == {threading.current_thread().name}


def test_nothing_limits_threads_where_memory_is_not_limited(monkeypatch) -> None:
    resource = pytest.importorskip("resource")
    threads = pytest.importorskip("kinesis_source.read.threads")
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: unlimited)
    assert threads.bearable_threads(50) == 50
