"""Throttled calls are repeated with back-off; every record comes once."""

from __future__ import annotations

import pytest

from tests.fault.support import assert_exactly_once, fill, refused_calls

GET_RECORDS_CODES = [
    "KMSThrottlingException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
]


@pytest.mark.parametrize("code", GET_RECORDS_CODES)
def test_throttled_pages_are_asked_for_again(aws, start_query, code: str):
    """Planned first, then throttled: the executors' calls are hit."""
    stream = aws.account().create_stream("events", shards=2)
    fill(stream, 200)
    query = start_query()

    def throttle() -> None:
        aws.faults.add("throttle", operation="GetRecords", code=code, count=2)

    query.run(200, before_tasks=throttle)
    assert refused_calls(aws, "GetRecords")[0] == 2
    assert_exactly_once(query, stream)


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("DescribeStreamSummary", "LimitExceededException"),
        ("ListShards", "LimitExceededException"),
        ("GetShardIterator", "ProvisionedThroughputExceededException"),
        ("GetRecords", "ProvisionedThroughputExceededException"),
        ("GetRecords", "KMSThrottlingException"),
    ],
)
def test_each_call_of_the_driver_is_repeated(aws, start_query, operation: str, code: str):
    stream = aws.account().create_stream("events", shards=2)
    fill(stream, 200)
    throttle = aws.faults.add("throttle", operation=operation, code=code, count=2)
    query = start_query()
    query.run(200)
    assert throttle.hits == 2
    assert_exactly_once(query, stream)


def test_a_status_429_without_a_known_code_is_throttling(aws, start_query):
    stream = aws.account().create_stream("events")
    fill(stream, 50)
    fault = aws.faults.add("error", code="Busy", status=429, operation="GetRecords", count=2)
    query = start_query()
    query.run(50)
    assert fault.hits == 2
    assert_exactly_once(query, stream)


def test_a_storm_that_refuses_a_third_of_all_calls_only_slows_down(aws, start_query):
    stream = aws.account().create_stream("events", shards=2)
    fill(stream, 300)
    storm = aws.faults.add("throttle", probability=0.33)
    query = start_query(retryBudget="60s")
    query.run(300, deadline_s=60)
    assert storm.hits >= 3
    assert_exactly_once(query, stream)


def test_one_throttled_shard_does_not_change_what_others_give(aws, start_query):
    stream = aws.account().create_stream("events", shards=3)
    fill(stream, 150)
    shard_id = stream.open_shard_ids()[1]
    throttle = aws.faults.add("throttle", operation="GetRecords", shard_id=shard_id, count=3)
    query = start_query()
    query.run(150)
    assert throttle.hits == 3
    assert_exactly_once(query, stream)
