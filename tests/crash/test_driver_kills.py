"""Kill -9 of the driver, twenty-four times in one history, under writes and resharding.

Two queries at once, one for each kind of sink that is idempotent by batch id. Invariants 1 to 4.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from kinesis_source.emulator import StreamHandle
from tests.crash.support import (
    CrashSite,
    Driver,
    assert_batches_exactly_once,
    assert_files_exactly_once,
    last_logged,
    stored,
)
from tests.fault.support import REGION, fill
from tests.soak.soak_load import Background, Resharder, Writer

KILLS_PER_MOMENT = 4
SEED = int(os.environ.get("CRASH_SEED", "1"))
"""Chooses the order of the moments, and how long after each the kill comes."""


class Moments:
    """Waits until a driver is at a certain point of its work."""

    def __init__(self, site: CrashSite, chance: random.Random) -> None:
        self._site = site
        self._chance = chance
        # Of all calls only this one is made by nothing but a query's planning.
        self._planning = site.aws.faults.add(
            "delay", operation="DescribeStreamSummary", delay_s=0.1
        )

    def wait(self, name: str, driver: Driver) -> None:
        """Wait for the moment, and a random part of the time that it lasts."""
        count, lasts_s = self._counter(name)
        before = count()
        driver.tell("start")
        driver.wait(lambda: count() > before, 120, f"the moment {name!r}")
        time.sleep(self._chance.uniform(0, lasts_s))

    def _counter(self, name: str) -> tuple[Callable[[], int], float]:
        work = self._site.work
        return {
            "planning": (lambda: self._planning.hits, 0.3),
            "reading": (lambda: len(self._site.attempts()), 0.5),
            "written": (lambda: len(self._site.done()), 0.2),
            "logged": (lambda: last_logged(work / "checkpoint" / "offsets"), 0.0),
            "committed": (lambda: last_logged(work / "checkpoint" / "commits"), 0.0),
            "files logged": (lambda: last_logged(work / "files-checkpoint" / "offsets"), 0.8),
            "files listed": (lambda: last_logged(work / "files" / "_spark_metadata"), 0.0),
            "files committed": (lambda: last_logged(work / "files-checkpoint" / "commits"), 0.0),
        }[name]


class Storm(Background):
    """Splits, merges and writes, over and over: most batches meet a shard that has just closed."""

    MOST_SHARDS = 6

    def __init__(self, stream: StreamHandle) -> None:
        super().__init__("storm", (0.4, 0.8), random.Random(SEED))  # noqa: S311 - must repeat
        self.reshards = 0
        self._stream = stream

    def once(self) -> None:
        fill(self._stream, 30, prefix=f"storm {self.reshards}")
        shards = self._stream.open_shard_ids()
        at = self.chance.randrange(len(shards))
        if at + 1 < len(shards) and (len(shards) >= self.MOST_SHARDS or self.chance.random() < 0.5):
            self._stream.merge(shards[at], shards[at + 1])
        elif len(shards) < self.MOST_SHARDS:
            self._stream.split(shards[at])
        else:
            return
        self.reshards += 1


class Replays:
    """Remembers batches whose rows were there but not committed, and what became of them."""

    def __init__(self, site: CrashSite) -> None:
        self._output = site.output
        self._expected: dict[int, list] = {}

    def note(self) -> None:
        unfinished = self._output.unfinished()
        if unfinished is not None:
            batch_id, rows = unfinished
            assert self._expected.setdefault(batch_id, sorted(rows)) == sorted(rows)

    def assert_same(self) -> None:
        committed = self._output.committed()
        for batch_id, rows in self._expected.items():
            assert sorted(committed[batch_id]) == rows, f"batch {batch_id} changed"
        assert self._expected


@pytest.fixture
def load(aws):
    """Two writers and a resharder, as the soak has them."""
    facts = {
        "endpoint": aws.endpoint_url,
        "region": REGION,
        "stream": "events",
        "writer": ("test", "test"),
    }
    chance = random.Random(SEED)  # noqa: S311 - must repeat
    threads: list[Background] = [Writer(facts, random.Random(SEED + n), str(n)) for n in (1, 2)]  # noqa: S311
    threads.append(Resharder(facts, chance))
    yield threads
    for thread in threads:
        if thread.is_alive():
            thread.finish()


def kill_at(plan: list[str], site: CrashSite, after_kill: Callable[[], None]) -> list[Driver]:
    """Kill one driver at each moment of the plan; return those that died so, and one more.

    The next driver opens its session while the one before works.
    """
    moments = Moments(site, random.Random(SEED))  # noqa: S311 - must repeat
    spare = site.new_driver()
    killed = []
    for moment in plan:
        spare.wait_ready(120)
        driver, spare = spare, site.new_driver()
        moments.wait(moment, driver)
        assert driver.kill(), f"at {moment!r} the driver had ended by itself: {driver.words()}"
        killed.append(driver)
        after_kill()
    spare.wait_ready(120)
    return [*killed, spare]


def shuffled(moments: list[str]) -> list[str]:
    random.Random(SEED).shuffle(moments)  # noqa: S311 - must repeat
    return moments


def stop_all(load: list[Background]) -> None:
    for thread in load:
        thread.finish()
        assert thread.error is None
    assert load[-1].counts["splits"] + load[-1].counts["merges"] >= 3, load[-1].counts


@pytest.mark.timeout(1500)
def test_twenty_kills_lose_and_repeat_nothing(aws, crash_site, load):
    """Into foreachBatch, one folder for each batch id."""
    stream = aws.account().create_stream("events", shards=2)
    site: CrashSite = crash_site(pause_before_commit_s=0.2)
    replays = Replays(site)
    for thread in load:
        thread.start()
    plan = shuffled(["planning", "logged", "reading", "written", "committed"] * 4)
    *killed, last = kill_at(plan, site, replays.note)
    stop_all(load)
    last.finish()
    for driver in site.drivers:
        driver.wait_gone()

    assert len(killed) == 20
    repeated = [batch_id for batch_id, count in Counter(site.attempts()).items() if count > 1]
    assert len(repeated) >= 3, site.attempts()
    replays.assert_same()
    assert set(stored(stream)) == load[0].written.keys() | load[1].written.keys()
    assert_batches_exactly_once(site, stream)


@pytest.mark.timeout(600)
def test_kills_around_the_file_sinks_log_lose_and_repeat_nothing(aws, crash_site, load):
    """Into Spark's Parquet sink: before, right after and well after it lists a batch's files."""
    stream = aws.account().create_stream("events", shards=2)
    site: CrashSite = crash_site(sinks=("files",))
    open_batches: set[int] = set()

    def note_open_batch() -> None:
        logs = site.work / "files-checkpoint"
        planned = last_logged(logs / "offsets")
        if planned > last_logged(logs / "commits"):
            open_batches.add(planned)

    for thread in load:
        thread.start()
    plan = shuffled(["files logged", "files listed", "files committed"] * 2)
    *killed, last = kill_at(plan, site, note_open_batch)
    stop_all(load)
    last.finish()
    for driver in site.drivers:
        driver.wait_gone()

    assert len(killed) == 6
    assert len(open_batches) >= 2, "batches that had to be repeated"
    assert_files_exactly_once(site, stream)


def test_stops_and_a_kill_in_a_resharding_storm_lose_and_repeat_nothing(aws, crash_site):
    """The query is stopped and started again in one driver, then killed and started in another."""
    stream = aws.account().create_stream("events", shards=2)
    site: CrashSite = crash_site()
    driver = site.new_driver()
    driver.wait_ready()
    storm = Storm(stream)
    storm.start()
    for turn in range(1, 4):
        driver.tell("start")
        wait_for_batches(site, driver, 3)
        if turn < 3:
            driver.tell("stop")
            driver.wait_event("stopped", count=turn)
    assert driver.kill()
    driver = site.new_driver()
    driver.wait_ready()
    storm.finish()
    assert storm.error is None
    driver.finish()
    driver.wait_gone()

    assert storm.reshards >= 10
    assert_batches_exactly_once(site, stream)


def wait_for_batches(site: CrashSite, driver: Driver, count: int) -> None:
    before = site.output.last_committed()
    driver.wait(lambda: site.output.last_committed() >= before + count, 90, f"{count} batches")
