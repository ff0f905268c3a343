"""Replies that are sound and still mislead: empty, short, without iterator, out of order."""

from __future__ import annotations

import threading
import time

import pytest

from kinesis_source.errors import ServiceError
from tests.fault.support import assert_exactly_once, fill


@pytest.mark.parametrize("where", ["driver", "executors"])
def test_empty_pages_before_the_records_are_walked_through(aws, start_query, where: str):
    """Trap 1: MillisBehindLatest > 0 and no records means: ask on."""
    stream = aws.account().create_stream("events")
    fill(stream, 100)
    query = start_query()
    rules = []

    def begin() -> None:
        rules.append(aws.faults.add("empty_page", operation="GetRecords", count=5))

    if where == "driver":
        begin()
    query.run(100, before_tasks=begin if where == "executors" else None)
    assert [rule.hits for rule in rules] == [5]
    assert_exactly_once(query, stream)


@pytest.mark.usefixtures("quick_calls")
def test_a_long_run_of_empty_pages_in_the_middle_of_a_shard_ends_nothing(aws, start_query):
    stream = aws.account().create_stream("events")
    fill(stream, 100)
    query = start_query(maxRecordsPerFetch="10")
    rules = []

    def begin() -> None:
        rules.append(aws.faults.add("empty_page", operation="GetRecords", after=4, count=40))

    query.run(100, before_tasks=begin)
    assert rules[0].hits == 40
    assert_exactly_once(query, stream)


def test_an_endless_run_of_empty_pages_is_an_error_of_the_task(aws, start_query, monkeypatch):
    """Trap 12 as peers saw it: nothing hangs. The limit of 120 s is shortened to 1."""
    monkeypatch.setattr("kinesis_source.read.shard_reader.STALL_S", 1.0)
    stream = aws.account().create_stream("events")
    fill(stream, 100)
    query = start_query()
    partitions = query.plan()
    aws.faults.add("empty_page", operation="GetRecords")
    began_s = time.monotonic()
    with pytest.raises(ServiceError, match="at last pages without records") as caught:
        query.read(partitions)
    assert caught.value.code == "SERVICE_STALLED"
    assert "shardId-000000000000" in str(caught.value)
    assert "'events'" in str(caught.value)
    assert time.monotonic() - began_s < 10


@pytest.mark.usefixtures("quick_calls")
@pytest.mark.parametrize("limit", [2, 7])
def test_short_pages_are_not_the_tip(aws, start_query, limit: int):
    """AWS may give fewer records than asked for although more are there."""
    stream = aws.account().create_stream("events", shards=2)
    fill(stream, 60)
    short = aws.faults.add("short_page", operation="GetRecords", limit=limit)
    query = start_query()
    query.run(60)
    assert short.hits >= 60 / limit
    assert_exactly_once(query, stream)


@pytest.mark.parametrize("where", ["driver", "executors"])
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_a_missing_next_iterator_does_not_end_a_shard(aws, start_query, where: str, closed: bool):
    """Without ChildShards it proves nothing; three times in a row, with more records to come."""
    stream = aws.account().create_stream("events")
    fill(stream, 100)
    if closed:
        stream.split("shardId-000000000000")
        fill(stream, 50, prefix="child")
    query = start_query(maxRecordsPerFetch="40")
    rules = []

    def begin() -> None:
        rules.append(aws.faults.add("no_next_iterator", shard_id="shardId-000000000000", count=3))

    if where == "driver" and not closed:  # of a closed shard the driver asks no page
        begin()
    count = 150 if closed else 100
    query.run(count, before_tasks=begin if not rules else None)
    assert [rule.hits for rule in rules] == [3]
    if not closed:
        fill(stream, 30, prefix="later")
        query.run(130)
    assert_exactly_once(query, stream)


def test_the_driver_never_closes_an_open_shard_for_a_missing_next_iterator(aws, start_query):
    stream = aws.account().create_stream("events")
    fill(stream, 20)
    broken = aws.faults.add("no_next_iterator", operation="GetRecords", after=1, count=4)
    query = start_query()
    for _ in range(5):
        query.read(query.plan())
    assert broken.hits == 4
    assert query.offsets
    assert all('"end"' not in offset for offset in query.offsets)
    fill(stream, 20, prefix="later")
    query.run(40)
    assert_exactly_once(query, stream)


def test_the_last_page_of_a_closed_shard_may_still_have_an_iterator(aws, start_query):
    """Trap 2: the end comes with a later page."""
    stream = aws.account().create_stream("events")
    fill(stream, 100)
    stream.split("shardId-000000000000")
    fill(stream, 50, prefix="child")
    odd = aws.faults.add("iterator_at_end", shard_id="shardId-000000000000", count=3)
    query = start_query()
    query.run(150)
    assert odd.hits >= 1
    assert_exactly_once(query, stream)


@pytest.mark.parametrize("hidden", ["shardId-000000000001", "shardId-000000000002"])
def test_a_child_that_listings_hide_is_read_once_it_shows(aws, start_query, hidden: str):
    """Trap 27: one child of a split before the other."""
    stream = aws.account().create_stream("events")
    fill(stream, 50)
    query = start_query()
    query.run(50)
    stream.split("shardId-000000000000")
    fill(stream, 60, prefix="child")
    hide = aws.faults.add("hide_shard", shard_id=hidden)
    visible = 50 + 60 - len(stream.records(hidden))
    query.run(visible)
    stop_s = time.monotonic() + 40
    while hide.hits < 2:  # a second listing hides it too
        assert time.monotonic() < stop_s, "nobody looks for the child that is missing"
        query.read(query.plan())
    assert len(query.rows) == visible
    aws.faults.remove(hide)
    query.run(110)
    assert_exactly_once(query, stream)


def test_a_query_cannot_start_over_a_hole_in_the_listing(aws, start_query):
    """It waits until the hidden shard shows, instead of leaving it out for ever."""
    stream = aws.account().create_stream("events", shards=2)
    fill(stream, 60)
    hide = aws.faults.add("hide_shard", shard_id="shardId-000000000001", count=3)
    query = start_query()
    query.run(60)
    assert hide.hits == 3
    assert_exactly_once(query, stream)


ARRIVALS = {
    "falling": lambda now_ms, number: now_ms - 50 * number,
    "equal": lambda now_ms, number: now_ms - now_ms % 60_000,
    "shuffled": lambda now_ms, number: now_ms - number * 7_919 % 60_000,
}


@pytest.mark.parametrize("arrival", list(ARRIVALS))
@pytest.mark.parametrize("start", ["trim_horizon", "latest"])
def test_arrival_times_without_order_steer_nothing(aws, start_query, arrival: str, start: str):
    """AWS promises no order; here they fall, are all the same, or jump by a minute."""
    numbers = iter(range(10_000))
    stream = aws.account().create_stream("events", shards=2)
    if start == "trim_horizon":
        aws.arrival_hook = lambda name, shard_id, now_ms: ARRIVALS[arrival](now_ms, next(numbers))
    query = start_query(initialPosition=start)
    query.read(query.plan())
    aws.arrival_hook = lambda name, shard_id, now_ms: max(
        ARRIVALS[arrival](now_ms, next(numbers)), now_ms - 60_000
    )
    if start == "latest":
        # What counts as after the start is decided by arrival time: it lies ahead of the start.
        base_ms = int(time.time() * 1000)
        aws.arrival_hook = lambda name, shard_id, now_ms: (
            base_ms + ARRIVALS[arrival](60_000, next(numbers) % 1_000)
        )
    fill(stream, 300, size=700)
    query.run(300)
    fill(stream, 100, prefix="later")
    query.run(400)
    assert_exactly_once(query, stream)


def test_resharding_while_half_of_the_replies_are_odd(aws, start_query, quick_calls):
    """Splits and a merge, written to all the time, under a mixture of faults."""
    stream = aws.account().create_stream("events", shards=2)
    for kind, probability in [
        ("empty_page", 0.1),
        ("short_page", 0.1),
        ("no_next_iterator", 0.05),
        ("no_records", 0.05),
        ("expired_iterator", 0.1),
        ("cut_body", 0.05),
        ("reset_after_work", 0.05),
        ("iterator_at_end", 0.1),
    ]:
        aws.faults.add(kind, operation="GetRecords", probability=probability, limit=5)
    query = start_query()
    total = 0
    for turn in range(4):
        fill(stream, 80, prefix=f"turn {turn}")
        total += 80
        shards = stream.open_shard_ids()
        if turn == 2:
            stream.merge(shards[0], shards[1])
        else:
            stream.split(shards[0])
        query.run(total, deadline_s=60)
    assert sum(rule.hits > 0 for rule in aws.faults.rules()) >= 5
    assert_exactly_once(query, stream)


def test_a_writer_beside_the_query_under_faults(aws, start_query, quick_calls):
    stream = aws.account().create_stream("events", shards=2)
    aws.faults.add("reset_mid_body", operation="GetRecords", probability=0.1)
    aws.faults.add("expired_iterator", operation="GetRecords", probability=0.2)
    stopped = threading.Event()

    def write() -> None:
        for turn in range(40):
            fill(stream, 10, prefix=str(turn))
            stopped.wait(0.05)

    writer = threading.Thread(target=write)
    query = start_query()
    writer.start()
    try:
        query.run(400, deadline_s=60)
    finally:
        stopped.set()
        writer.join()
    assert sum(rule.hits for rule in aws.faults.rules()) > 0
    assert_exactly_once(query, stream)
