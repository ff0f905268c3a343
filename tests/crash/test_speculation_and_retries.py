"""Two attempts of one task, at once or one after the other: the rows come once.

Invariants 1 and 2.
"""

from __future__ import annotations

import time

from tests.crash.cluster import CONF, Cluster
from tests.crash.support import CrashSite, assert_batches_exactly_once
from tests.fault.support import fill

STUCK_S = 90.0

SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.multiplier": "1.5",
    "spark.speculation.quantile": "0.5",
}


def test_a_speculative_attempt_overtakes_a_stuck_one(aws, cluster: Cluster, crash_site):
    """Spark speculates in a cluster only. Each shard's task is stuck once."""
    stream = aws.account().create_stream("events", shards=2)
    site: CrashSite = crash_site(
        master=cluster.url,
        python=cluster.python,
        conf={**CONF, **SPECULATION},
        options={"shardsPerTask": "1", "readTimeout": "120s"},
    )
    driver = site.new_driver()
    driver.wait_ready()
    for turn, shard_id in enumerate(stream.open_shard_ids()):
        site.hold()
        begun = len(site.done())
        # Before the start: a query that runs may plan in between, a batch of one shard alone.
        fill(stream, 400, prefix=f"turn {turn}")
        driver.tell("start")
        batch_id = wait_for_batch(site, begun)
        # A GetRecords might be the driver's, which looks at the shards during a batch too.
        stuck = aws.faults.add(
            "delay", operation="GetShardIterator", shard_id=shard_id, delay_s=STUCK_S, count=1
        )
        site.let_go()
        began_s = time.monotonic()
        wait_for_commit(site, batch_id, STUCK_S)
        assert stuck.hits == 1
        assert time.monotonic() - began_s < STUCK_S, "the first attempt cannot have ended"
        # Spark says so when the attempt's worker is gone, which takes it seconds.
        driver.wait(
            lambda count=turn + 1: driver.log().count("TaskKilled") >= count,
            60,
            "the end of the stuck attempt, which was overtaken",
        )
        driver.tell("stop")
        driver.wait_event("stopped", count=turn + 1)
    driver.finish()
    assert driver.log().count("TaskKilled") == 2, "the stuck attempts alone were overtaken"
    assert len(site.attempts()) == len(set(site.attempts())), "no batch had to be repeated"
    assert_batches_exactly_once(site, stream)


def test_a_task_whose_retry_budget_is_spent_is_tried_again(aws, crash_site):
    stream = aws.account().create_stream("events", shards=4)
    site: CrashSite = crash_site(
        master="local[2,4]", options={"shardsPerTask": "2", "retryBudget": "2s"}
    )
    driver = site.new_driver()
    driver.wait_ready()
    site.hold()
    fill(stream, 400)
    driver.tell("start")
    batch_id = wait_for_batch(site, 0)
    # Half of the task's shards have been read when it fails.
    down = aws.faults.add(
        "http_error", status=503, operation="GetRecords", shard_id=stream.open_shard_ids()[-1]
    )
    site.let_go()
    driver.wait(lambda: driver.lost_attempts() >= 1, 60, "a failed attempt")
    aws.faults.remove(down)
    wait_for_commit(site, batch_id, 60)
    driver.tell("stop")
    driver.wait_event("stopped")
    driver.finish()
    driver.wait_gone()

    assert down.hits >= 2
    assert "[SERVICE_" in driver.log()
    assert len(site.attempts()) == len(set(site.attempts())), "no batch had to be repeated"
    assert_batches_exactly_once(site, stream)


def wait_for_batch(site: CrashSite, begun: int) -> int:
    """Wait until a batch is held; return its id."""
    site.drivers[-1].wait(lambda: len(site.attempts()) > begun, 90, "a batch")
    return site.attempts()[-1]


def wait_for_commit(site: CrashSite, batch_id: int, deadline_s: float) -> None:
    site.drivers[-1].wait(
        lambda: site.output.last_committed() >= batch_id, deadline_s, "the batch's commit"
    )
