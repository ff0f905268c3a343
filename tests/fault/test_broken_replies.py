"""Servers, networks and proxies that fail: what can be repeated is, and nothing comes twice.

Each fault strikes the driver's calls in one test (it is there from the start) and the executors' in
another (it comes when the first batch is planned).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.fault.support import assert_exactly_once, fill

FAULTS: list[dict[str, Any]] = [
    {"kind": "http_error", "status": 500},
    {"kind": "http_error", "status": 503},
    {"kind": "http_error", "status": 500, "html": True},
    {"kind": "http_error", "status": 503, "html": True},
    {"kind": "http_error", "status": 502, "html": True},
    {"kind": "error", "code": "InternalFailureException", "status": 500},
    {"kind": "reset_before_read"},
    {"kind": "reset_before_work"},
    {"kind": "reset_after_work"},
    {"kind": "reset_mid_body"},
    {"kind": "cut_body"},
    {"kind": "no_records"},
    {"kind": "delay", "delay_s": 1.5},
    {"kind": "hang"},
]


def name(fault: dict[str, Any]) -> str:
    return "-".join(str(value) for key, value in fault.items() if key != "delay_s")


@pytest.mark.parametrize("where", ["driver", "executors"])
@pytest.mark.parametrize("fault", FAULTS, ids=name)
def test_a_failing_get_records_loses_and_repeats_nothing(aws, start_query, fault, where: str):
    stream = aws.account().create_stream("events", shards=2)
    fill(stream, 200)
    query = start_query()
    rules = []

    def begin() -> None:
        rules.append(aws.faults.add(operation="GetRecords", count=2, **fault))

    if where == "driver":
        begin()
    query.run(200, before_tasks=begin if where == "executors" else None)
    assert [rule.hits for rule in rules] == [2]
    assert_exactly_once(query, stream)


OTHER_FAULTS: list[dict[str, Any]] = [
    {"kind": "reset_before_read"},
    {"kind": "reset_mid_body"},
    {"kind": "cut_body"},
    {"kind": "http_error", "status": 503, "html": True},
    {"kind": "hang"},
]


@pytest.mark.parametrize("operation", ["DescribeStreamSummary", "GetShardIterator", "ListShards"])
def test_the_other_calls_of_a_read_are_as_robust(aws, start_query, operation: str):
    """Each kind once, one after the other, after the endpoint has answered."""
    stream = aws.account().create_stream("events", shards=2)
    fill(stream, 100)
    query = start_query()
    query.run(100)
    rules = [
        # The first one drops the call before the other rules can count it.
        aws.faults.add(operation=operation, nth=max(1, number), **fault)
        for number, fault in enumerate(OTHER_FAULTS)
    ]
    fill(stream, 100, prefix="later")
    query.restart()
    query.run(200)
    assert [rule.hits for rule in rules] == [1] * len(rules)
    assert_exactly_once(query, stream)


def test_a_slow_service_is_waited_for_without_a_retry(aws, start_query):
    stream = aws.account().create_stream("events")
    fill(stream, 50)
    slow = aws.faults.add("delay", delay_s=0.4, operation="GetRecords", count=4)
    query = start_query()
    query.run(50)
    assert slow.hits == 4
    assert all(call.status == 200 for call in aws.call_log("GetRecords"))
    assert_exactly_once(query, stream)


def test_an_endpoint_that_is_gone_for_a_while_is_found_again(aws, start_query):
    """Every connection is reset until seven calls were: back-off bridges it within the budget."""
    stream = aws.account().create_stream("events")
    fill(stream, 50)
    query = start_query()
    query.run(50)
    outage = aws.faults.add("reset_before_read", count=7)
    fill(stream, 50, prefix="later")
    query.run(100)
    assert outage.hits == 7
    assert_exactly_once(query, stream)
