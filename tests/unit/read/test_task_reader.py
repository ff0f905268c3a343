import threading
import time

import pyarrow as pa
import pytest
from scripted_api import ScriptedApi, page

from kinesis_source.errors import ServiceError
from kinesis_source.model.positions import END, TRIM_HORIZON, AfterRecord
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.settings import ReadSettings, StreamSettings
from kinesis_source.read import task as task_module
from kinesis_source.read.task import read_ranges
from kinesis_source.records.schema import Content, OutputColumn

pytestmark = pytest.mark.usefixtures("decoder")

SETTINGS = ReadSettings((StreamSettings("s", "s"),))
COLUMNS = (
    OutputColumn("shardId", Content.SHARD_ID),
    OutputColumn("sequenceNumber", Content.SEQUENCE_NUMBER),
)
LAST = page(3, more=False, children=("child",))


def whole(*shards: str) -> list[ShardRange]:
    return [ShardRange("s", shard, TRIM_HORIZON, END) for shard in shards]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("kinesis-read-")]


def wait_until_over() -> None:
    deadline_s = time.monotonic() + 5
    while threads():
        assert time.monotonic() < deadline_s, threads()
        time.sleep(0.005)


def test_each_shard_comes_in_order_whatever_the_others_do() -> None:
    shards = [f"shard{n}" for n in range(7)]  # more than there are threads
    api = ScriptedApi(**{shard: [page(1), page(), page(2), LAST] for shard in shards})
    batches = list(read_ranges(api, whole(*shards), COLUMNS, SETTINGS))
    rows = pa.Table.from_batches(batches).to_pylist()
    for shard in shards:
        assert [row["sequenceNumber"] for row in rows if row["shardId"] == shard] == ["1", "2", "3"]
    assert all(batch.num_rows for batch in batches)
    wait_until_over()


def test_no_range_gives_no_batch() -> None:
    assert list(read_ranges(ScriptedApi(), [], COLUMNS, SETTINGS)) == []


def test_the_shards_of_a_task_are_read_side_by_side() -> None:
    both_are_here = threading.Barrier(2, timeout=5)

    class Meeting(ScriptedApi):
        def get_iterator(self, *arguments: object, **options: object) -> str:
            both_are_here.wait()
            return "first"

    api = Meeting(a=[LAST], b=[LAST])
    assert len(list(read_ranges(api, whole("a", "b"), COLUMNS, SETTINGS))) == 2


def test_the_error_of_one_shard_ends_the_task_and_the_other_threads() -> None:
    error = ServiceError("SERVICE_FAILED", "It failed.", "Try again.")
    api = ScriptedApi(a=[page(behind=9)], b=[error])
    with pytest.raises(ServiceError) as caught:
        list(read_ranges(api, whole("a", "b"), COLUMNS, SETTINGS))
    assert caught.value is error
    wait_until_over()


def test_a_task_that_is_given_up_ends_its_threads_and_their_calls() -> None:
    api = ScriptedApi(a=[page(1), page(behind=9)], b=[page(1), page(2)])
    batches = read_ranges(api, whole("a", "b"), COLUMNS, SETTINGS)
    next(batches)
    batches.close()
    wait_until_over()
    calls = len(api.limits)
    time.sleep(0.02)
    assert len(api.limits) == calls < 15


def test_a_task_runs_at_most_two_batches_ahead_of_spark() -> None:
    api = ScriptedApi(a=[page(number) for number in range(1, 100)])
    end = AfterRecord("99", 990)
    batches = read_ranges(api, [ShardRange("s", "a", TRIM_HORIZON, end)], COLUMNS, SETTINGS)
    next(batches)
    time.sleep(0.5)  # longer than two paced calls take
    assert len(api.limits) <= 3  # one taken, one in the queue, one in the thread's hands
    batches.close()
    wait_until_over()


def test_ranges_that_end_with_an_empty_page_leave_the_others_their_memory(monkeypatch) -> None:
    """As closed shards do: their end is a page without records, and its memory is free again."""
    monkeypatch.setattr(task_module, "TASK_BYTES", 1)  # one page at a time
    ends = page(more=False, children=("child",))
    shards = [f"shard{n}" for n in range(5)]
    api = ScriptedApi(**{shard: [page(1), ends] for shard in shards})
    seen: list[pa.RecordBatch] = []
    task = threading.Thread(
        target=lambda: seen.extend(read_ranges(api, whole(*shards), COLUMNS, SETTINGS)), daemon=True
    )
    task.start()
    task.join(20)
    assert not task.is_alive(), "a thread waits for memory that nobody gives back"
    assert sum(batch.num_rows for batch in seen) == len(shards)
    wait_until_over()
