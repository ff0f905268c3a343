"""Writing under faults: nothing is lost, and what is rejected for good is said."""

from __future__ import annotations

from collections import Counter

import pytest

from kinesis_source.aws.routing import source_api
from kinesis_source.errors import AccessDeniedError, KinesisSourceError, StreamError
from kinesis_source.model.outgoing import OutRecord
from kinesis_source.options.parse import parse_options
from kinesis_source.write.stream_writer import WriteCounts
from kinesis_source.write.task_writer import find_target, write_records
from tests.fault.support import REGION


def write(aws, count: int = 600, **options: str) -> WriteCounts:
    settings = parse_options(
        {
            "streamName": "events",
            "region": REGION,
            "endpointUrl": aws.endpoint_url,
            "awsAccessKey": "test",
            "awsSecretKey": "test",
            "readTimeout": "1s",
            "retryBudget": "20s",
            **options,
        }
    )
    api, stream = source_api(settings), settings.read.streams[0]
    records = ((None, OutRecord(f"value {n}".encode(), f"key {n % 20}")) for n in range(count))
    return write_records(
        api,
        records,
        {stream.key: find_target(api, stream)},
        stream.key,
        settings.write,
        settings.client.retry_budget_ms / 1000,
    )


def stored(stream) -> Counter[bytes]:
    return Counter(
        record["Data"] for shard in stream.shards() for record in stream.records(shard["ShardId"])
    )


def wanted(count: int = 600) -> Counter[bytes]:
    return Counter(f"value {n}".encode() for n in range(count))


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("throttle", {}),
        ("http_error", {"status": 500}),
        ("http_error", {"status": 503, "html": True}),
        ("reset_before_work", {}),
        ("reset_before_read", {}),
        ("partial_put", {"fraction": 0.7}),
        ("partial_put", {"fraction": 0.3, "code": "InternalFailure"}),
    ],
)
def test_what_passes_loses_nothing(aws, kind, more):
    stream = aws.account().create_stream("events", shards=3)
    fault = aws.faults.add(kind, operation="PutRecords", count=3, **more)
    counts = write(aws)
    assert fault.hits >= 1
    assert counts.rows == 600
    assert stored(stream) == wanted(), "these were not obeyed: no record twice"


@pytest.mark.parametrize("kind", ["reset_mid_body", "cut_body", "reset_after_work"])
def test_a_reply_that_is_lost_has_its_records_written_again(aws, kind):
    """At least once: AWS had obeyed."""
    stream = aws.account().create_stream("events", shards=2)
    fault = aws.faults.add(kind, operation="PutRecords", count=1)
    write(aws)
    assert fault.hits == 1
    found = stored(stream)
    assert set(found) == set(wanted())
    assert max(found.values()) <= 2


def test_a_shard_that_closes_meanwhile_costs_no_record(aws):
    stream = aws.account().create_stream("events", shards=2)
    stream.split(stream.open_shard_ids()[0])
    write(aws)
    assert stored(stream) == wanted()


@pytest.mark.parametrize("aggregate", ["false", "true"])
def test_a_stream_that_goes_away_ends_the_write_with_its_name(aws, aggregate):
    aws.account().create_stream("events", shards=1)
    aws.faults.add("error", operation="PutRecords", code="ResourceNotFoundException")
    with pytest.raises(StreamError, match="events"):
        write(aws, aggregate=aggregate)


def test_who_may_not_put_is_told_so_once(aws):
    aws.account().create_stream("events", shards=1)
    aws.faults.add("error", operation="PutRecords", code="AccessDeniedException")
    with pytest.raises(AccessDeniedError, match="PutRecords"):
        write(aws)
    puts = [call for call in aws.call_log() if call.operation == "PutRecords"]
    assert len(puts) <= 4, "each thread at most once"


def test_an_endpoint_that_dies_fails_within_its_budget(aws):
    aws.account().create_stream("events", shards=1)
    aws.faults.add("http_error", operation="PutRecords", status=500)
    with pytest.raises(KinesisSourceError, match=r"\[SERVICE_"):
        write(aws, retryBudget="2s")
