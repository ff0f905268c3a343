"""What the driver learns while Spark is busy with a batch: over HTTP, in real time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from unittest.mock import Mock

import pytest

from kinesis_source.aws.access import check_access
from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.errors import AccessDeniedError
from kinesis_source.model.offsets import StreamOffset
from kinesis_source.model.positions import TRIM_HORIZON, AfterRecord, is_finished
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import (
    ClientSettings,
    IdentitySettings,
    ReadSettings,
    StreamSettings,
)
from kinesis_source.plan import poller
from kinesis_source.plan.frontier import StreamFrontier
from kinesis_source.plan.micro_batches import MicroBatchPlanner

CLICKS = StreamSettings.from_key("clicks")
FIRST, SECOND = "shardId-000000000000", "shardId-000000000001"
INTERVAL_S = 0.5


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


@pytest.fixture
def aws(kinesis_emulator):
    kinesis_emulator.account().create_stream("clicks", shards=2)
    return kinesis_emulator


def made(aws, identity: IdentitySettings) -> MicroBatchPlanner:
    api = BotoStreamApi(ClientSettings("us-east-1", aws.endpoint_url, identity))
    settings = ReadSettings(
        (CLICKS,),
        initial_position=TRIM_HORIZON,
        poll_interval_ms=int(INTERVAL_S * 1000),
        shard_fetch_interval_ms=1_000,
    )
    return MicroBatchPlanner(api, settings, lambda stream: check_access(api, stream))


@pytest.fixture
def planner(aws) -> Iterator[MicroBatchPlanner]:
    planner = made(aws, IdentitySettings("test", Secret("test")))
    yield planner
    planner.close()


def put(aws, shard_id: str, count: int = 1, data: bytes = b"data") -> str:
    """Put records into a shard; return the last one's sequence number."""
    stream = aws.account().stream("clicks")
    shard = next(s for s in stream.shards() if s["ShardId"] == shard_id)
    key = shard["HashKeyRange"]["StartingHashKey"]
    return [stream.put(data, "key", key) for _ in range(count)][-1]


def polls(aws, shard_id: str) -> list:
    return [call for call in aws.call_log("GetRecords") if call.shard_id == shard_id]


def is_at(offset: StreamOffset, shard_id: str, number: str) -> bool:
    position = offset.streams["clicks"].shards.get(shard_id)
    return isinstance(position, AfterRecord) and position.sequence_number == number


def begin(aws, planner: MicroBatchPlanner) -> StreamOffset:
    """Return the end of a first batch, which has a record of each shard."""
    for shard_id in (FIRST, SECOND):
        put(aws, shard_id)
    return planner.next_offset(planner.initial_offset())


def plan_on(planner: MicroBatchPlanner, end: StreamOffset) -> None:
    """Plan until it fails: what a poll fails with shows in the call after it."""
    while True:
        end = planner.next_offset(end)


def test_the_first_batch_holds_what_was_there(aws, planner):
    numbers = {shard_id: put(aws, shard_id, 3) for shard_id in (FIRST, SECOND)}
    end = planner.next_offset(planner.initial_offset())
    assert all(is_at(end, shard_id, number) for shard_id, number in numbers.items())


def test_what_came_while_a_batch_ran_is_known_without_waiting(aws, planner):
    end = begin(aws, planner)
    number = put(aws, FIRST)
    seen = len(polls(aws, FIRST))
    wait_until(lambda: len(polls(aws, FIRST)) > seen + 1, "nobody polls while the batch runs")
    calls = len(aws.call_log())
    took_s = -time.monotonic()
    end = planner.next_offset(end)
    took_s += time.monotonic()
    assert is_at(end, FIRST, number)
    assert took_s < INTERVAL_S * 0.9  # the next poll's news would take one
    assert len(aws.call_log()) - calls <= 4  # those of the polls that go on


def test_no_news_is_the_very_same_offset_after_an_interval(aws, planner):
    end = planner.next_offset(begin(aws, planner))
    began_s = time.monotonic()
    assert planner.next_offset(end) is end
    assert time.monotonic() - began_s >= INTERVAL_S * 0.9


def test_a_shard_is_polled_once_an_interval_however_long_the_batch(aws, planner):
    begin(aws, planner)
    time.sleep(4 * INTERVAL_S)  # the batch
    times = [call.time_s for call in polls(aws, FIRST)]
    assert len(times) >= 3
    # One may be late on a busy machine; the mean tells.
    assert times[-1] - times[1] > (len(times) - 2) * INTERVAL_S * 0.8


def test_a_shard_that_aws_is_slow_to_answer_for_holds_up_no_other(aws, planner):
    end = begin(aws, planner)
    aws.faults.add("delay", operation="GetRecords", shard_id=FIRST, delay_s=15.0)
    time.sleep(2 * INTERVAL_S)  # the slow call is under way
    number = put(aws, SECOND)
    began_s = time.monotonic()
    while not is_at(end, SECOND, number):
        end = planner.next_offset(end)
    assert time.monotonic() - began_s < 8


def test_a_poll_that_fails_fails_the_next_call_and_then_nothing_is_polled(aws, planner):
    end = begin(aws, planner)
    aws.faults.add(
        "http_error", operation="GetRecords", status=400, code="AccessDeniedException", message="no"
    )
    with pytest.raises(AccessDeniedError, match=r"^\[ACCESS_DENIED\].*'clicks'"):
        plan_on(planner, end)
    time.sleep(2 * INTERVAL_S)  # what was under way ends
    calls = len(aws.call_log())
    time.sleep(2 * INTERVAL_S)
    assert len(aws.call_log()) == calls


def test_a_poll_that_fails_unexpectedly_is_raised_and_the_call_after_polls_on(
    aws, planner, monkeypatch
):
    end = begin(aws, planner)
    with monkeypatch.context() as broken:
        broken.setattr(StreamFrontier, "take_due", fails := Mock(side_effect=RuntimeError("odd")))
        wait_until(lambda: fails.called, "nobody polls while the batch runs")
        with pytest.raises(RuntimeError, match="odd"):
            plan_on(planner, end)
    number = put(aws, FIRST)
    wait_until(lambda: is_at(planner.next_offset(end), FIRST, number), "nobody polls any more")


def test_polls_leave_the_shards_rate_to_a_batch_that_runs(aws, planner):
    """A silence makes polls search; 10 KB records, of which the batch and they share 2 MiB/s."""
    end = begin(aws, planner)
    written_ms = (int(time.time() * 1000) - 4_000 + n * 10 for n in range(300))
    aws.arrival_hook = lambda name, shard_id, now_ms: next(written_ms)
    put(aws, FIRST, 300, b"x" * 10_000)
    while not any(call.records > 1 for call in polls(aws, FIRST)):
        end = planner.next_offset(end)
    before = len(polls(aws, FIRST))
    time.sleep(6 * INTERVAL_S)  # the batch
    in_batch = [call.records for call in polls(aws, FIRST)[before:]]
    assert max(in_batch) <= 64 * 1024 // 5_000  # sizes are learned: half of it may be guessed
    assert len(in_batch) >= 3


def test_nobody_asks_so_nobody_polls_and_the_next_call_sees_all(aws, planner, monkeypatch):
    monkeypatch.setattr(poller, "IDLE_AFTER_S", 0.3)
    end = begin(aws, planner)
    time.sleep(0.3 + 2 * INTERVAL_S)
    calls = len(aws.call_log())
    time.sleep(2 * INTERVAL_S)
    assert len(aws.call_log()) == calls
    numbers = {shard_id: put(aws, shard_id) for shard_id in (FIRST, SECOND)}
    end = planner.next_offset(end)
    assert all(is_at(end, shard_id, number) for shard_id, number in numbers.items())


def test_children_are_read_as_soon_as_their_parent_is_done(aws, planner):
    end = begin(aws, planner)
    aws.account().stream("clicks").split(FIRST)
    while not is_finished(end.streams["clicks"].shards[FIRST]):
        end = planner.next_offset(end)
    children = {f"shardId-{n:012}": put(aws, f"shardId-{n:012}") for n in (2, 3)}
    began_s = time.monotonic()
    while not all(is_at(end, child, number) for child, number in children.items()):
        end = planner.next_offset(end)
    assert time.monotonic() - began_s < 8 * INTERVAL_S


def test_no_thread_is_left(aws):
    before = set(threading.enumerate())
    planner = made(aws, IdentitySettings("test", Secret("test")))
    begin(aws, planner)
    planner.close()

    def is_one_left() -> bool:
        mine = set(threading.enumerate()) - before
        return any(thread.name.startswith("kinesis-") for thread in mine)

    wait_until(lambda: not is_one_left(), "a thread goes on")
