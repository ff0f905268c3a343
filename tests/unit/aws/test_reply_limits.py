"""No reply takes time or memory without end, whatever sends it and whichever way it is read."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from collections.abc import Callable

import pytest

from kinesis_source.aws import client as client_module
from kinesis_source.aws import direct as direct_module
from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.errors import ServiceError
from kinesis_source.model.positions import TRIM_HORIZON
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import ClientSettings, IdentitySettings, StreamSettings
from tests.unit.aws.scripted_server import Peer, head, serving

CLICKS = StreamSettings.from_key("clicks")
SHARD = "shardId-000000000000"
KEYS = IdentitySettings("test", Secret("test"))
EMPTY_PAGE = b'{"Records":[],"NextShardIterator":"x","MillisBehindLatest":0}'
MIB = 1024 * 1024
Call = Callable[[BotoStreamApi], object]

CALLS: dict[str, Call] = {
    "GetRecords": lambda api: api.get_page(CLICKS, SHARD, "x", 1),
    "GetShardIterator": lambda api: api.get_iterator(CLICKS, SHARD, TRIM_HORIZON),
    "ListShards": lambda api: api.list_shards(CLICKS),
    "DescribeStreamSummary": lambda api: api.describe(CLICKS),
}
EMPTY = {
    "GetRecords": EMPTY_PAGE,
    "GetShardIterator": b'{"ShardIterator":"x"}',
    "ListShards": b'{"Shards":[]}',
    "DescribeStreamSummary": b"{}",
}


@pytest.fixture(params=["direct", "botocore"])
def way(request, monkeypatch) -> str:
    if request.param == "botocore":
        monkeypatch.setattr(direct_module, "learn_pattern", lambda *_: None)
    return request.param


def connect(url: str, *, budget_ms: int = 600, read_timeout_ms: int = 300) -> BotoStreamApi:
    settings = ClientSettings("us-east-1", url, KEYS, read_timeout_ms=read_timeout_ms)
    return BotoStreamApi(settings, RetryPolicy(budget_ms, base_ms=2, throttle_floor_ms=1))


def after_one(answer: Callable[[str, bytes, Peer], None]) -> Callable[[str, bytes, Peer], None]:
    """Answer the first request of each operation in order: the next one may be direct."""
    seen: set[str] = set()

    def answer_next(operation: str, body: bytes, peer: Peer) -> None:
        if operation in ("GetRecords", "GetShardIterator") and operation not in seen:
            seen.add(operation)
            peer.reply(EMPTY[operation])
        else:
            answer(operation, body, peer)

    return answer_next


def taught(api: BotoStreamApi, operation: str) -> BotoStreamApi:
    if operation in ("GetRecords", "GetShardIterator"):
        CALLS[operation](api)
    return api


# --- time ---------------------------------------------------------------------------------------


def drip_body(operation: str, _: bytes, peer: Peer) -> None:
    peer.send(head(10_000))
    peer.drip(b" " * 10_000, 0.05)


def drip_large_body(operation: str, _: bytes, peer: Peer) -> None:
    """Of a length that is read into a buffer at once."""
    peer.send(head(500_000))
    peer.drip(b" " * 10_000, 0.05)


def drip_head(operation: str, _: bytes, peer: Peer) -> None:
    peer.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 10_000, 0.05)


def drip_chunks(operation: str, _: bytes, peer: Peer) -> None:
    peer.send(head(None, Transfer_Encoding="chunked"))
    for _ in range(10_000):
        peer.drip(b"1\r\n \r\n", 0.05, step=6)


def drip_refusal(operation: str, _: bytes, peer: Peer) -> None:
    peer.send(head(10_000, 400))
    peer.drip(b" " * 10_000, 0.05)


def drip_greetings(operation: str, _: bytes, peer: Peer) -> None:
    """A proxy's "go on", without end."""
    for _ in range(10_000):
        peer.drip(b"HTTP/1.1 100 Continue\r\n\r\n", 0.05, step=25)


@pytest.mark.parametrize(
    "drip",
    [drip_body, drip_large_body, drip_head, drip_chunks, drip_refusal, drip_greetings],
)
@pytest.mark.timeout(30)
def test_a_reply_that_drips_is_over_within_the_budget_and_one_time_out(drip, way):
    with serving(after_one(drip)) as server:
        api = taught(connect(server.url), "GetRecords")
        began = time.monotonic()
        with pytest.raises(ServiceError, match=r"^\[SERVICE_UNAVAILABLE\]"):
            CALLS["GetRecords"](api)
        assert (
            time.monotonic() - began < 3
        )  # 0.6 s of budget, 0.3 s of time-out, and a busy machine
        assert len(server.operations) >= 3
        api.close()


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.timeout(30)
def test_no_call_waits_for_a_reply_that_drips(operation, way):
    with serving(after_one(drip_body)) as server:
        api = taught(connect(server.url), operation)
        began = time.monotonic()
        with pytest.raises(ServiceError, match=r"^\[SERVICE_UNAVAILABLE\]"):
            CALLS[operation](api)
        assert time.monotonic() - began < 3
        api.close()


@pytest.mark.timeout(30)
def test_a_reply_at_the_least_rate_ends_with_the_budget(way):
    """It would go on for minutes: 32 KiB/s are enough for a reply, not for the call."""

    def answer(operation: str, _: bytes, peer: Peer) -> None:
        peer.send(head(8 * MIB))
        peer.drip(b" " * 8 * MIB, 0.05, step=2048)

    with serving(after_one(answer)) as server:
        api = taught(connect(server.url, budget_ms=1_000), "GetRecords")
        began = time.monotonic()
        with pytest.raises(ServiceError, match=r"^\[SERVICE_UNAVAILABLE\]"):
            CALLS["GetRecords"](api)
        assert time.monotonic() - began < 4
        api.close()


@pytest.mark.timeout(30)
def test_a_slow_but_honest_page_is_read_to_its_end(way):
    """It takes six times the read time-out."""

    def answer(operation: str, _: bytes, peer: Peer) -> None:
        body = EMPTY_PAGE + b" " * 120_000
        peer.send(head(len(body)))
        peer.drip(body, 0.05, step=3200)

    with serving(after_one(answer)) as server:
        api = taught(connect(server.url, budget_ms=20_000), "GetRecords")
        began = time.monotonic()
        CALLS["GetRecords"](api)
        assert time.monotonic() - began > 1.5
        assert server.operations.count("GetRecords") == 2
        api.close()


# --- size ---------------------------------------------------------------------------------------


def large(operation: str, _: bytes, peer: Peer) -> None:
    peer.send(head(600 * MIB))
    for _ in range(600):
        peer.send(b" " * MIB)


def large_chunks(operation: str, _: bytes, peer: Peer) -> None:
    peer.send(head(None, Transfer_Encoding="chunked"))
    for _ in range(600):
        peer.send(b"100000\r\n" + b" " * MIB + b"\r\n")


def until_closed(operation: str, _: bytes, peer: Peer) -> None:
    peer.send(head(None, Connection="close"))
    for _ in range(600):
        peer.send(b" " * MIB)


def large_refusal(operation: str, _: bytes, peer: Peer) -> None:
    peer.send(head(None, 400, Transfer_Encoding="chunked"))
    for _ in range(600):
        peer.send(b"100000\r\n" + b" " * MIB + b"\r\n")


@pytest.mark.parametrize("answer", [large, large_chunks, until_closed, large_refusal])
@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.timeout(60)
def test_a_reply_of_600_mb_is_refused_by_name_and_not_read(answer, operation, way):
    with serving(after_one(answer)) as server:
        api = taught(connect(server.url, budget_ms=0, read_timeout_ms=10_000), operation)
        tracemalloc.start()
        try:
            with pytest.raises(ServiceError, match=r"^\[SERVICE_REPLY_SIZE\]") as failed:
                CALLS[operation](api)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert failed.value.is_worth_repeating
        assert peak_bytes < 50 * MIB  # twice what a record in base64 takes
        assert server.sent_bytes < 50 * MIB
        api.close()


def test_a_page_may_be_as_large_as_awss_largest(way):
    """One record of 10 MiB, and a key that JSON escapes to twelve bytes a character."""
    data = "A" * (10 * MIB // 3 * 4)
    key = json.dumps("\U0001f600" * 256)
    body = (
        b'{"Records":[{"SequenceNumber":"1","PartitionKey":' + key.encode() + b","
        b'"ApproximateArrivalTimestamp":1.5,"Data":"' + data.encode() + b'"}],'
        b'"NextShardIterator":"x","MillisBehindLatest":0}'
    )
    with serving(after_one(lambda operation, _, peer: peer.reply(body))) as server:
        api = taught(connect(server.url, budget_ms=0, read_timeout_ms=20_000), "GetRecords")
        page = api.get_page(CLICKS, SHARD, "x", 1)
        assert len(page.data[0]) == 10 * MIB // 3 * 3
        api.close()


@pytest.mark.parametrize("operation", CALLS)
def test_what_is_compressed_is_never_unfolded(operation, way):
    body = gzip.compress(EMPTY[operation] + b" " * 30 * MIB, 1)

    def answer(operation: str, _: bytes, peer: Peer) -> None:
        peer.reply(body, Content_Encoding="gzip")

    with serving(after_one(answer)) as server:
        api = taught(connect(server.url, budget_ms=0), operation)
        tracemalloc.start()
        try:
            with pytest.raises(ServiceError, match=r"^\[SERVICE_INCOMPLETE_REPLY\]"):
                CALLS[operation](api)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak_bytes < 20 * MIB  # botocore's own models take some
        api.close()


# --- listings -----------------------------------------------------------------------------------


def shard(number: int) -> dict:
    return {
        "ShardId": f"shardId-{number:012d}",
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"},
        "SequenceNumberRange": {"StartingSequenceNumber": "1"},
    }


def listing(pages: Callable[[int], dict]) -> Callable[[str, bytes, Peer], None]:
    asked: list[bytes] = []

    def answer(operation: str, body: bytes, peer: Peer) -> None:
        asked.append(body)
        peer.reply(json.dumps(pages(len(asked))).encode())

    return answer


@pytest.mark.parametrize(
    "pages",
    [
        lambda _: {"Shards": [shard(0)], "NextToken": "again"},
        lambda number: {"Shards": [shard(number)], "NextToken": "again"},
        lambda number: {"Shards": [shard(0)], "NextToken": f"token {number}"},
        lambda number: {"Shards": [], "NextToken": f"token {number}"},
        lambda number: {"Shards": [shard(number)], "NextToken": f"token {number}"},
    ],
    ids=["same page", "same token", "same shards", "no shards", "ever more shards"],
)
@pytest.mark.timeout(30)
def test_a_listing_without_end_ends_with_its_name(pages, monkeypatch):
    monkeypatch.setattr(client_module, "_MOST_PAGES", 20, raising=False)
    with serving(listing(pages)) as server:
        api = connect(server.url)
        with pytest.raises(ServiceError, match=r"^\[SERVICE_LISTING\].*'clicks'.*no end"):
            api.list_shards(CLICKS)
        assert len(server.operations) <= 60
        api.close()


def test_a_listing_may_have_empty_pages_and_show_a_shard_twice():
    replies = [
        {"Shards": [shard(0)], "NextToken": "a"},
        {"Shards": [], "NextToken": "b"},
        {"Shards": [shard(0), shard(1)], "NextToken": "c"},
        {"Shards": []},
    ]
    with serving(listing(lambda number: replies[number - 1])) as server:
        api = connect(server.url)
        listed = [found.shard_id for found in api.list_shards(CLICKS)]
        assert listed == [f"shardId-{number:012d}" for number in range(2)]
        api.close()


def test_a_listing_that_showed_the_same_token_once_is_made_anew():
    replies = [
        {"Shards": [shard(0)], "NextToken": "a"},
        {"Shards": [shard(0)], "NextToken": "a"},
        {"Shards": [shard(0)], "NextToken": "b"},
        {"Shards": [shard(1)]},
    ]
    with serving(listing(lambda number: replies[number - 1])) as server:
        api = connect(server.url)
        assert len(api.list_shards(CLICKS)) == 2
        api.close()
