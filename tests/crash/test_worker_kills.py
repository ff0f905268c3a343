"""Kill -9 of a Python worker while it reads: Spark repeats the task, and nothing is lost or twice.

Invariants 1 and 2.
"""

from __future__ import annotations

from tests.crash.process_table import Process, descendants, ports_to, session_members
from tests.crash.support import CrashSite, Driver, assert_batches_exactly_once, ports_that_began
from tests.fault.support import fill


def reading_workers(site: CrashSite, driver: Driver, since: int) -> list[Process]:
    """Return the children of Spark's daemon that began to read a shard since a call."""
    began = ports_that_began(site.aws, since)
    mine = session_members(driver.session)
    daemons = {one.pid for one in mine if "pyspark.daemon" in one.command}
    return [
        one
        for one in descendants(driver.session, mine)
        if one.parent in daemons and ports_to(one.pid, site.aws.endpoint_url) & began
    ]


def kill_readers_in_a_batch(site: CrashSite, driver: Driver, count: int) -> int:
    """Wait for a batch that is held, kill workers while they read it, wait for its commit."""
    begun = len(site.done())
    driver.wait(lambda: len(site.attempts()) > begun, 60, "a batch")
    batch_id = site.attempts()[-1]
    lost = driver.lost_attempts()
    slow = site.aws.faults.add("delay", operation="GetRecords", delay_s=1.5)
    since = len(site.aws.call_log())
    site.let_go()
    driver.wait(
        lambda: len(reading_workers(site, driver, since)) >= count, 30, f"{count} workers that read"
    )
    victims = reading_workers(site, driver, since)[:count]
    killed = sum(worker.kill() for worker in victims)
    driver.wait(lambda: driver.lost_attempts() >= lost + killed, 30, f"{killed} lost attempts")
    site.aws.faults.remove(slow)
    driver.wait(lambda: site.output.last_committed() >= batch_id, 60, "the batch's commit")
    return killed


def test_killed_python_workers_cost_a_task_attempt_and_no_record(aws, crash_site):
    """Three times; the last time both at once."""
    stream = aws.account().create_stream("events", shards=4)
    site: CrashSite = crash_site(
        master="local[2,4]",
        options={"shardsPerTask": "2", "maxRecordsPerFetch": "50"},
    )
    driver = site.new_driver()
    driver.wait_ready()
    killed = 0
    for count in (1, 1, 2):
        site.hold()
        fill(stream, 600, prefix=f"turn {killed}")
        if killed == 0:
            driver.tell("start")
        killed += kill_readers_in_a_batch(site, driver, count)
    driver.tell("stop")
    driver.wait_event("stopped")
    driver.finish()
    driver.wait_gone()

    assert killed == 4
    assert driver.lost_attempts() == killed
    assert len(site.attempts()) == len(set(site.attempts())), "no batch had to be repeated"
    assert_batches_exactly_once(site, stream)
