"""Spark 4.0 and 4.1 ask for the latest offset without a start, a limit or a trigger."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import pytest

from kinesis_source.datasource import KinesisDataSource
from kinesis_source.emulator import Emulator, ManualClock
from kinesis_source.records.schema import spark_schema

COUNT = 3_000
Run = Callable[..., list[int]]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A stream of 50 records a second, for a minute."""
    clock = ManualClock(time.time() - 3_600)
    with Emulator(clock=clock, signing_clock=time.time) as emulator:
        stream = emulator.account().create_stream("events", shards=2)
        for second in range(60):
            stream.put_many([(b"x" * 1_000, f"k{second}-{n}") for n in range(COUNT // 60)])
            clock.advance(1)
        clock.advance(60)
        yield emulator


@pytest.fixture
def run(emulator) -> Iterator[Run]:
    """Make batches as a run of such a Spark does; return how many rows each has."""
    opened = []

    def run_batches(count: int, *, since: object = None, **options: str) -> list[int]:
        source = KinesisDataSource(
            {
                "streamName": "events",
                "region": "us-east-1",
                "endpoint": emulator.endpoint_url,
                "awsAccessKeyId": "test",
                "awsSecretKey": "test",
                "initialPosition": "trim_horizon",
                "pollInterval": "200ms",
                **options,
            }
        )
        driver = source.streamReader(spark_schema())
        executor = source.streamReader(spark_schema())
        opened.append(driver)
        sizes = []
        start = since
        for _ in range(count):
            if start is not None and not sizes:
                driver.partitions(start, start)  # how it learns of a checkpoint
            end = driver.latestOffset()
            start = start or driver.initialOffset()
            parts = driver.partitions(start, end)
            sizes.append(sum(b.num_rows for part in parts for b in executor.read(part)))
            start = end
        run_batches.end = start
        return sizes

    yield run_batches
    for driver in opened:
        driver.stop()


def test_the_first_batch_of_a_run_takes_all_there_is(run: Run, caplog):
    assert run(1) == [COUNT]
    assert not caplog.records


@pytest.mark.parametrize(
    "limit", [{"maxRecordsPerTrigger": "600"}, {"maxBytesPerTrigger": "600000"}]
)
def test_an_explicit_limit_bounds_it_and_the_next_runs_read_the_rest(run: Run, caplog, limit):
    caplog.set_level(logging.WARNING)
    sizes = run(1, **limit)
    assert 300 <= sizes[0] <= 1_200
    (warning,) = [r.getMessage() for r in caplog.records if "PerTrigger" in r.getMessage()]
    assert "availableNow or once is one batch" in warning
    while sum(sizes) < COUNT:
        sizes += run(1, since=run.end, **limit)
        assert 0 < sizes[-1] <= 1_200
    assert sum(sizes) == COUNT
