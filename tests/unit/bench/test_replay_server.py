from __future__ import annotations

import http.client
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from bench.replay import ReplayServer, cbor
from bench.replay.records import payload_chunks
from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.model.positions import TRIM_HORIZON, AfterRecord, AtTimestamp
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import ClientSettings, IdentitySettings, StreamSettings

SHARD = "shardId-000000000000"


def connect(server: ReplayServer) -> Any:
    return boto3.client(
        "kinesis",
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def iterator(client: Any, kind: str = "TRIM_HORIZON", shard: str = SHARD, **more: Any) -> str:
    reply = client.get_shard_iterator(StreamName="s", ShardId=shard, ShardIteratorType=kind, **more)
    return reply["ShardIterator"]


def read_all(client: Any, **start: Any) -> list[dict[str, Any]]:
    """Read from a start to the tip."""
    records, at = [], iterator(client, **start)
    while True:
        page = client.get_records(ShardIterator=at)
        records += page["Records"]
        if page["MillisBehindLatest"] == 0:
            return records
        at = page["NextShardIterator"]


def payloads(server: ReplayServer) -> list[bytes]:
    return [row.tobytes() for chunk in payload_chunks(server.settings) for row in chunk]


def wait_until(condition, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def server() -> Iterator[ReplayServer]:
    with ReplayServer(shards=2, record_bytes=10, records_per_shard=25_000) as running:
        yield running


@pytest.fixture
def client(server: ReplayServer) -> Any:
    return connect(server)


def test_all_records_come_in_order_with_their_data(server, client):
    records = read_all(client)

    assert [record["Data"] for record in records] == payloads(server)
    numbers = [record["SequenceNumber"] for record in records]
    assert numbers == sorted(numbers)
    assert {len(number) for number in numbers} == {56}
    assert len({record["PartitionKey"] for record in records}) > 20_000
    arrivals = [record["ApproximateArrivalTimestamp"] for record in records]
    assert arrivals == sorted(arrivals)
    assert arrivals[-1].timestamp() * 1000 == pytest.approx(server.settings.ends_at_ms)
    assert arrivals[0].timestamp() * 1000 == pytest.approx(server.settings.ends_at_ms - 24_999)


@pytest.mark.parametrize("size", [1, 2, 3, 1_000, 1024])
def test_data_of_any_size_arrives_as_it_is(size):
    with ReplayServer(record_bytes=size, records_per_shard=300) as server:
        records = read_all(connect(server))

        assert [record["Data"] for record in records] == payloads(server)


def test_a_page_holds_ten_mebibytes_with_keys():
    size = 1024 * 1024
    with ReplayServer(record_bytes=size, records_per_shard=12) as server:
        client = connect(server)
        first = client.get_records(ShardIterator=iterator(client))
        rest = client.get_records(ShardIterator=first["NextShardIterator"])

        assert (len(first["Records"]), len(rest["Records"])) == (9, 3)
        data = [record["Data"] for record in first["Records"] + rest["Records"]]
        assert data == payloads(server)
        assert first["MillisBehindLatest"] > 0


def test_a_limit_is_kept_and_the_next_page_goes_on(client):
    first = client.get_records(ShardIterator=iterator(client), Limit=7)
    second = client.get_records(ShardIterator=first["NextShardIterator"], Limit=5)
    largest = client.get_records(ShardIterator=iterator(client))

    assert (len(first["Records"]), len(second["Records"])) == (7, 5)
    assert len(largest["Records"]) == 10_000
    assert first["Records"] + second["Records"] == largest["Records"][:12]


def test_reading_begins_at_or_after_a_sequence_number(client):
    records = read_all(client)
    number = records[100]["SequenceNumber"]
    between = str(int(number) + 1)

    def first(kind: str, start: str) -> str:
        at = iterator(client, kind, StartingSequenceNumber=start)
        return client.get_records(ShardIterator=at, Limit=1)["Records"][0]["SequenceNumber"]

    assert first("AT_SEQUENCE_NUMBER", number) == number
    assert first("AFTER_SEQUENCE_NUMBER", number) == records[101]["SequenceNumber"]
    assert first("AT_SEQUENCE_NUMBER", between) == records[101]["SequenceNumber"]
    assert first("AFTER_SEQUENCE_NUMBER", between) == records[101]["SequenceNumber"]


def test_reading_begins_at_a_moment(client):
    records = read_all(client)
    moment = records[777]["ApproximateArrivalTimestamp"]

    found = read_all(client, kind="AT_TIMESTAMP", Timestamp=moment.timestamp())

    assert found == records[777:]
    with pytest.raises(ClientError, match="InvalidArgumentException"):
        iterator(client, "AT_TIMESTAMP", Timestamp=time.time() + 60)


def test_latest_is_the_tip(client):
    page = client.get_records(ShardIterator=iterator(client, "LATEST"))

    assert page["Records"] == []
    assert page["MillisBehindLatest"] == 0


def test_a_record_shows_when_its_time_has_come():
    with ReplayServer(records_per_shard=3_000, is_live=True) as server:
        client = connect(server)
        at, seen = iterator(client), []

        def read_on() -> bool:
            nonlocal at
            page = client.get_records(ShardIterator=at)
            now_s = time.time()
            at = page["NextShardIterator"]
            seen.extend(page["Records"])
            arrivals = [r["ApproximateArrivalTimestamp"].timestamp() for r in page["Records"]]
            assert all(arrival <= now_s for arrival in arrivals)
            if 0 < len(seen) < 3_000:
                assert now_s - seen[-1]["ApproximateArrivalTimestamp"].timestamp() < 5
            return len(seen) >= 3_000

        assert not read_on()
        wait_until(read_on)

        assert [record["Data"] for record in seen] == payloads(server)


def test_a_reply_takes_its_latency_and_holds_up_no_other():
    with ReplayServer(latency_ms=200, records_per_shard=10) as server:
        clients = [connect(server) for _ in range(5)]
        began_s = time.monotonic()
        with ThreadPoolExecutor(5) as threads:
            list(threads.map(iterator, clients))
        took_s = time.monotonic() - began_s

        assert 0.2 <= took_s < 0.9


def test_limits_refuse_the_sixth_call_in_a_second():
    with ReplayServer(shards=2, records_per_shard=100, limits=True) as server:
        client = connect(server)
        at, other = iterator(client), iterator(client, shard="shardId-000000000001")
        for _ in range(5):
            client.get_records(ShardIterator=at, Limit=1)

        with pytest.raises(ClientError) as refused:
            client.get_records(ShardIterator=at, Limit=1)

        error = refused.value.response
        assert error["Error"]["Code"] == "ProvisionedThroughputExceededException"
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert len(client.get_records(ShardIterator=other, Limit=1)["Records"]) == 1
        stats = server.stats()
        assert (stats["calls"]["GetRecords"], stats["refused"]["GetRecords"]) == (7, 1)
        assert stats["calls_per_shard"]["GetRecords"] == {"max": 6, "mean": 3.5}


def test_limits_block_a_shard_for_the_bytes_of_a_page():
    size = 1_000_000
    with ReplayServer(record_bytes=size, records_per_shard=10, limits=True) as server:
        client = connect(server)
        began_s = time.monotonic()
        client.get_records(ShardIterator=iterator(client), Limit=4)
        at = iterator(client)

        def is_free() -> bool:
            try:
                client.get_records(ShardIterator=at, Limit=1)
            except ClientError:
                return False
            return True

        assert not is_free()
        wait_until(is_free)

        assert 1.8 <= time.monotonic() - began_s < 4  # 4 MB at 2 MiB/s


def test_shards_are_listed_in_pages():
    with ReplayServer(shards=2_500, records_per_shard=1) as server:
        client = connect(server)
        pages, token = [], None
        while not pages or token:
            reply = client.list_shards(**({"NextToken": token} if token else {"StreamName": "s"}))
            pages.append(reply["Shards"])
            token = reply.get("NextToken")

    assert [len(page) for page in pages] == [1_000, 1_000, 500]
    shards = list(itertools.chain(*pages))
    ranges = [shard["HashKeyRange"] for shard in shards]
    assert ranges[0]["StartingHashKey"] == "0"
    assert ranges[-1]["EndingHashKey"] == str(2**128 - 1)
    for left, right in itertools.pairwise(ranges):
        assert int(left["EndingHashKey"]) + 1 == int(right["StartingHashKey"])


def test_resharding_closes_parents_and_shows_their_children():
    with ReplayServer(shards=2, records_per_shard=100) as server:
        client = connect(server)
        before_s = time.time() - 10
        server.reshard()

        shards = client.list_shards(StreamName="s")["Shards"]
        page = client.get_records(ShardIterator=iterator(client))
        child = shards[2]

        assert len(shards) == 6
        closed = ["EndingSequenceNumber" in s["SequenceNumberRange"] for s in shards]
        assert closed == [True] * 2 + [False] * 4
        assert [s.get("ParentShardId") for s in shards[2:4]] == [SHARD] * 2
        assert len(page["Records"]) == 100
        assert "NextShardIterator" not in page
        assert [c["ShardId"] for c in page["ChildShards"]] == [s["ShardId"] for s in shards[2:4]]
        assert page["ChildShards"][0]["ParentShards"] == [SHARD]
        assert child["HashKeyRange"]["StartingHashKey"] == "0"
        assert (
            shards[3]["HashKeyRange"]["EndingHashKey"] == shards[0]["HashKeyRange"]["EndingHashKey"]
        )
        records = client.get_records(ShardIterator=iterator(client, shard=child["ShardId"]))
        assert records["Records"] == page["Records"]
        assert records["NextShardIterator"]
        open_then = client.list_shards(
            StreamName="s",
            ShardFilter={"Type": "AT_TIMESTAMP", "Timestamp": before_s},
        )["Shards"]
        assert [s["ShardId"] for s in open_then] == [s["ShardId"] for s in shards[:2]]


def test_cbor_says_the_same_as_json(server, client):
    plain = client.get_records(ShardIterator=iterator(client), Limit=300)
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    try:
        reply = connection_post(connection, "GetRecords", {"ShardIterator": "0:0", "Limit": 300})
        summary = connection_post(connection, "DescribeStreamSummary", {"StreamName": "s"})
        refused = connection_post(connection, "GetRecords", {"ShardIterator": "9:0"}, status=400)
    finally:
        connection.close()

    for record, expected in zip(reply["Records"], plain["Records"], strict=True):
        arrival_s = expected["ApproximateArrivalTimestamp"].timestamp()
        assert record == {**expected, "ApproximateArrivalTimestamp": pytest.approx(arrival_s)}
    assert reply["NextShardIterator"] == plain["NextShardIterator"]
    created = client.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]
    assert summary["StreamDescriptionSummary"]["StreamCreationTimestamp"] == pytest.approx(
        created["StreamCreationTimestamp"].timestamp()
    )
    assert refused["__type"] == "ResourceNotFoundException"


def connection_post(
    connection: http.client.HTTPConnection, operation: str, request: dict, status: int = 200
) -> Any:
    headers = {
        "X-Amz-Target": f"Kinesis_20131202.{operation}",
        "Content-Type": "application/x-amz-cbor-1.1",
    }
    connection.request("POST", "/", cbor.encode(request), headers)
    reply = connection.getresponse()
    assert reply.status == status
    assert reply.headers["Content-Type"] == "application/x-amz-cbor-1.1"
    return cbor.decode(reply.read())


def test_stats_begin_anew(server, client):
    server.reset_stats()
    client.get_records(ShardIterator=iterator(client), Limit=4)

    stats = server.stats()

    assert stats["calls"] == {"GetShardIterator": 1, "GetRecords": 1}
    assert stats["refused"] == {}
    assert stats["record_bytes"] == 40
    assert stats["shards"] == 2
    assert stats["wall_s"] > stats["cpu_s"] > 0


def test_the_source_s_own_client_reads_it(server):
    stream = StreamSettings("s", "s")
    api = BotoStreamApi(
        ClientSettings(
            region="us-east-1",
            endpoint_url=server.endpoint_url,
            identity=IdentitySettings(access_key="test", secret_key=Secret("test")),
        )
    )
    try:
        assert api.describe(stream).status == "ACTIVE"
        assert abs(api.now_ms() - time.time() * 1000) < 5_000
        shards = api.list_shards(stream)
        assert api.list_shards(stream, open_at_ms=server.settings.ends_at_ms) == shards
        assert [shard.shard_id for shard in shards] == [SHARD, "shardId-000000000001"]
        whole = api.get_page(stream, SHARD, api.get_iterator(stream, SHARD, TRIM_HORIZON), 10_000)
        assert [bytes(data) for data in whole.data] == payloads(server)[:10_000]
        behind = AfterRecord(whole.sequence_numbers[9], whole.arrival_ms[9])
        page = api.get_page(stream, SHARD, api.get_iterator(stream, SHARD, behind), 5)
        assert page.sequence_numbers == whole.sequence_numbers[10:15]
        moment = AtTimestamp(whole.arrival_ms[50])
        page = api.get_page(stream, SHARD, api.get_iterator(stream, SHARD, moment), 1)
        assert page.sequence_numbers == whole.sequence_numbers[50:51]
        assert page.arrival_ms == [moment.epoch_ms]
    finally:
        api.close()


def test_the_server_ends_with_its_context():
    with ReplayServer(records_per_shard=1) as server:
        url = server.endpoint_url
        assert server.stats()["shards"] == 1

    with pytest.raises(OSError, match="refused"):
        http.client.HTTPConnection(url.removeprefix("http://"), timeout=5).request("GET", "/stats")
