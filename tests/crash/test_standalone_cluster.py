"""A real cluster: master, workers, executors and driver in processes of their own, on loopback.

Invariants 1 and 2, and the package as users install it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinesis_source.emulator import Emulator
from tests.crash.cluster import CHECKOUT, CONF, WORKERS, Cluster
from tests.crash.process_table import Process, descendants, ports_to
from tests.crash.support import (
    CrashSite,
    assert_batches_exactly_once,
    ports_that_began,
    wait_for,
)
from tests.fault.support import fill


@pytest.fixture
def site(cluster: Cluster, crash_site) -> CrashSite:
    return crash_site(
        master=cluster.url,
        python=cluster.python,
        conf=CONF,
        options={"shardsPerTask": "2", "maxRecordsPerFetch": "50"},
    )


def reading_executors(cluster: Cluster, aws: Emulator, since: int) -> list[Process]:
    """Return the executors of which a Python worker began to read a shard since a call."""
    began = ports_that_began(aws, since)
    return [
        executor
        for executor in cluster.executors()
        if any(
            ports_to(one.pid, aws.endpoint_url) & began
            for one in descendants(executor.pid, cluster.members(executor))
        )
    ]


def test_executors_import_the_installed_wheel(cluster: Cluster, site: CrashSite):
    driver = site.new_driver()
    driver.wait_ready()
    wait_for(lambda: len(cluster.executors()) == WORKERS, 60, driver.words)
    driver.tell("where")
    driver.wait_event("where")
    where = json.loads((site.work / "where.json").read_text())
    environment = cluster.python.parents[1]
    workers = dict(where["workers"])
    for file in (where["driver"][1], *workers.values()):
        assert Path(file).is_relative_to(environment)
        assert not Path(file).is_relative_to(CHECKOUT)
    assert len(workers) >= WORKERS, "each executor has a Python worker of its own"
    assert where["driver"][0] not in workers


def test_a_killed_executor_costs_a_task_attempt_and_no_record(
    aws, cluster: Cluster, site: CrashSite
):
    stream = aws.account().create_stream("events", shards=4)
    driver = site.new_driver()
    driver.wait_ready()
    killed: list[Process] = []
    for turn in range(2):
        site.hold()
        fill(stream, 600, prefix=f"turn {turn}")
        if turn == 0:
            driver.tell("start")
        killed.append(kill_executor_in_a_batch(aws, cluster, site))
        wait_for(lambda: len(cluster.executors()) == WORKERS, 60, driver.words)
    driver.tell("stop")
    driver.wait_event("stopped")
    driver.finish()
    driver.wait_gone()

    assert killed[0].pid != killed[1].pid
    assert driver.log().count("Lost executor") == len(killed)
    assert len(site.attempts()) == len(set(site.attempts())), "no batch had to be repeated"
    assert_batches_exactly_once(site, stream)


def kill_executor_in_a_batch(aws, cluster: Cluster, site: CrashSite) -> Process:
    """Wait for a batch that is held, kill an executor that reads it, wait for its commit."""
    driver = site.drivers[-1]
    begun, lost = len(site.done()), driver.log().count("Lost executor")
    driver.wait(lambda: len(site.attempts()) > begun, 90, "a batch")
    batch_id = site.attempts()[-1]
    slow = aws.faults.add("delay", operation="GetRecords", delay_s=1.5)
    since = len(aws.call_log())
    site.let_go()
    driver.wait(lambda: reading_executors(cluster, aws, since), 60, "an executor that reads")
    victim = reading_executors(cluster, aws, since)[0]
    assert victim.kill()
    driver.wait(lambda: driver.log().count("Lost executor") > lost, 60, "a lost executor")
    aws.faults.remove(slow)
    driver.wait(lambda: site.output.last_committed() >= batch_id, 90, "the batch's commit")
    return victim
