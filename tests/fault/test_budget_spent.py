"""Faults that do not end: an error with code and facts, in time, and the query can go on later."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from kinesis_source.errors import KinesisSourceError
from tests.fault.support import Query, assert_exactly_once, fill

BUDGET_S = 1.5
# The last try may begin at the end of the budget and take its time-out; the machine may be busy.
SLACK_S = 6.0

LASTING: list[tuple[dict[str, Any], str]] = [
    ({"kind": "throttle"}, "SERVICE_THROTTLED"),
    ({"kind": "throttle", "code": "ThrottlingException"}, "SERVICE_THROTTLED"),
    ({"kind": "throttle", "code": "LimitExceededException"}, "SERVICE_THROTTLED"),
    ({"kind": "throttle", "code": "KMSThrottlingException"}, "SERVICE_THROTTLED"),
    ({"kind": "error"}, "SERVICE_UNAVAILABLE"),
    ({"kind": "http_error", "status": 500}, "SERVICE_UNAVAILABLE"),
    ({"kind": "http_error", "status": 503, "html": True}, "SERVICE_UNAVAILABLE"),
    ({"kind": "reset_before_read"}, "SERVICE_UNAVAILABLE"),
    ({"kind": "reset_before_work"}, "SERVICE_UNAVAILABLE"),
    ({"kind": "reset_after_work"}, "SERVICE_UNAVAILABLE"),
    ({"kind": "reset_mid_body"}, "SERVICE_UNAVAILABLE"),
    ({"kind": "hang"}, "SERVICE_UNAVAILABLE"),
    ({"kind": "cut_body"}, "SERVICE_INCOMPLETE_REPLY"),
    ({"kind": "no_records"}, "SERVICE_INCOMPLETE_REPLY"),
]


def plan_on(query: Query) -> None:
    """Plan batch after batch: what a poll fails with shows in the call after it."""
    while True:
        query.plan()


@pytest.mark.parametrize("where", ["driver", "executors"])
@pytest.mark.parametrize(
    ("fault", "code"), LASTING, ids=lambda value: value if isinstance(value, str) else value["kind"]
)
def test_a_lasting_fault_ends_in_a_coded_error_in_time(aws, start_query, fault, code, where):
    stream = aws.account().create_stream("events")
    fill(stream, 20)
    query = start_query()
    query.run(20)
    fill(stream, 20, prefix="later")
    # Only what meets the fault has little time: a machine that stalls must not look like a fault.
    short = {"retryBudget": f"{BUDGET_S * 1000:.0f}ms"}
    if fault["kind"] == "hang":
        short["readTimeout"] = "500ms"
    if where == "driver":
        query.restart_with(**short)
    else:
        query.give_executors(**short)
    partitions = query.plan()
    rule = aws.faults.add(operation="GetRecords", **fault)
    began_s = time.monotonic()
    with pytest.raises(KinesisSourceError) as caught:
        query.read(partitions) if where == "executors" else plan_on(query)
    took_s = time.monotonic() - began_s
    text = str(caught.value)
    assert caught.value.code == code
    assert took_s < BUDGET_S + SLACK_S
    for fact in ("'events'", "us-east-1", "shard 'shardId-000000000000'", "GetRecords"):
        assert fact in text
    tries, seconds = re.search(r"(\d+) tries in (\d+\.\d) s", text).groups()
    assert int(tries) >= 2
    # The driver polls on while the executors read.
    assert rule.hits == int(tries) or (where == "executors" and rule.hits > int(tries))
    assert BUDGET_S - 0.1 <= float(seconds) <= took_s + 0.1
    assert caught.value.hint.endswith(".")

    aws.faults.clear()
    query.restart_with(retryBudget="20s", readTimeout="1s")
    query.read(partitions)  # Spark repeats a task, or the restarted query its last batch
    query.run(40)
    assert_exactly_once(query, stream)


@pytest.mark.usefixtures("quick_calls")
def test_replies_that_never_have_an_iterator_still_give_their_records(aws, start_query):
    """As from a proxy that drops a member: each page is asked for by its place."""
    stream = aws.account().create_stream("events")
    fill(stream, 20)
    query = start_query()
    partitions = query.plan()
    stream_reply = {"operation": "GetRecords", "shard_id": "shardId-000000000000"}
    broken = aws.faults.add("no_next_iterator", **stream_reply)
    aws.faults.add("short_page", limit=1, **stream_reply)
    began_s = time.monotonic()
    rows = query.read(partitions)  # each reply gives a record: damaged, but moving on
    assert len(rows) == 20
    assert broken.hits >= 20
    assert time.monotonic() - began_s < 20


def test_a_lasting_fault_while_the_query_starts_names_the_stream(aws, start_query):
    aws.account().create_stream("events")
    aws.faults.add("throttle", operation="ListShards")
    query = start_query(retryBudget="1s")
    with pytest.raises(KinesisSourceError, match=r"\[SERVICE_THROTTLED\].*'events'.*ListShards"):
        query.plan()
