"""AWS's limits to the letter: a lagging shard is caught up at full rate, and hardly a call refused.

Target: at least 85 % of a shard's 2 MiB/s with less than 1 % of GetRecords calls refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from kinesis_source.emulator import Emulator
from tests.fault.support import assert_exactly_once, fill, refused_calls

RATE = 2 * 1024 * 1024


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with Emulator(strict_limits=True) as emulator:
        yield emulator


@pytest.mark.parametrize(
    ("count", "size"),
    [(120_000, 100), (14_000, 1_000), (1_400, 10_000), (28, 500_000)],
    ids=["100 B", "1 KB", "10 KB", "500 KB"],
)
def test_a_lagging_shard_is_caught_up_at_its_full_rate(aws, start_query, count: int, size: int):
    stream = aws.account().create_stream("events")
    fill(stream, count, size=size)
    query = start_query(retryBudget="30s")
    began_s = time.monotonic()
    query.run(count, deadline_s=60)
    took_s = time.monotonic() - began_s - 2 * 0.2  # the two polls at the end
    calls = aws.call_log("GetRecords")
    reading = [call for call in calls if call.records and call.error is None]
    span_s = reading[-1].time_s - reading[0].time_s
    total = sum(len(r["Data"]) * 3 // 4 + len(r["PartitionKey"]) for r in stream.records())
    refused, made = refused_calls(aws, "GetRecords")
    # The last page's own time is not waited for: it counts as bytes, not as seconds.
    print(f"{size} B: {total / span_s / RATE:.0%}, {refused} of {made}, {took_s:.1f} s")  # noqa: T201
    assert total / took_s >= 0.85 * RATE
    assert refused <= 0.01 * made
    assert_exactly_once(query, stream)


def test_a_shard_written_at_its_full_rate_is_followed(aws, start_query):
    """1 MB/s for some seconds, polled all the time: the driver's looks and the tasks share 5/s."""
    stream = aws.account().create_stream("events")
    stopped = threading.Event()

    def write() -> None:
        for turn in range(80):
            fill(stream, 100, size=1_000, prefix=str(turn))
            stopped.wait(0.1)

    writer = threading.Thread(target=write)
    query = start_query(pollInterval="1s")
    query.read(query.plan())
    writer.start()
    try:
        query.run(8_000, deadline_s=60)
    finally:
        stopped.set()
        writer.join()
    refused, made = refused_calls(aws, "GetRecords")
    print(f"following: {refused} of {made}")  # noqa: T201
    assert refused <= 0.05 * made
    assert_exactly_once(query, stream)


def test_a_small_batch_waits_for_nothing(aws, start_query):
    stream = aws.account().create_stream("events", shards=4)
    query = start_query(shardsPerTask="4")
    query.read(query.plan())
    for turn in range(3):
        fill(stream, 400, prefix=str(turn))
        partitions = query.plan()
        began_s = time.monotonic()
        query.read(partitions)
        assert time.monotonic() - began_s < 0.5
    query.run(1_200)
    assert_exactly_once(query, stream)


def test_a_rate_of_one_half_is_kept(aws, start_query):
    """Where others read the same shards."""
    stream = aws.account().create_stream("events")
    fill(stream, 5_000, size=1_000)
    query = start_query(maxFetchRate="1.0")
    began_s = time.monotonic()
    query.run(5_000)
    assert 3.5 < time.monotonic() - began_s < 9
    assert refused_calls(aws, "GetRecords")[0] == 0
    assert_exactly_once(query, stream)
