"""Calls on connections that lie open: what is sent and what is made of replies is the session's."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable

import pytest
from urllib3.util.connection import is_connection_dropped

from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.aws.exchange import Exchange
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.errors import KinesisSourceError
from kinesis_source.model.positions import TRIM_HORIZON
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import ClientSettings, IdentitySettings, StreamSettings
from tests.unit.aws.scripted_server import JSON, REQUEST_ID, Peer, head, serving

CLICKS = StreamSettings.from_key("clicks")
SHARD = "shardId-000000000000"
PAGE = b'{"Records":[],"NextShardIterator":"next","MillisBehindLatest":7}'
REFUSAL = b'{"__type":"ProvisionedThroughputExceededException","message":"Rate exceeded"}'
TYPE = f"x-amzn-RequestId: {REQUEST_ID}\r\nContent-Type: {JSON}\r\n".encode()
TOLD = b"Content-Length: %d\r\n" % len(PAGE)

REPLIES = {
    "as AWS writes it": head(len(PAGE)) + PAGE,
    "no reason": b"HTTP/1.1 200\r\n" + TYPE + TOLD + b"\r\n" + PAGE,
    "an empty reason": b"HTTP/1.1 200 \r\n" + TYPE + TOLD + b"\r\n" + PAGE,
    "lower case": (b"HTTP/1.1 200 OK\r\n" + TYPE + TOLD + b"\r\n").replace(b"C", b"c") + PAGE,
    "no space": b"HTTP/1.1 200 OK\r\n" + TYPE + TOLD.replace(b": ", b":") + b"\r\n" + PAGE,
    "much space": b"HTTP/1.1 200 OK\r\n" + TYPE + TOLD.replace(b": ", b": \t ") + b"\r\n" + PAGE,
    "a name twice": head(len(PAGE), Via="a") [:-2] + b"Via: b\r\n\r\n" + PAGE,
    "a length twice": b"HTTP/1.1 200 OK\r\n" + TYPE + TOLD + TOLD + b"\r\n" + PAGE,
    "a line that goes on": b"HTTP/1.1 200 OK\r\n" + TYPE + b"Via: a\r\n b\r\n" + TOLD + b"\r\n"
    + PAGE,
    "no header at all": b"HTTP/1.1 200 OK\r\n\r\n" + PAGE,
    "until closed": head(None) + PAGE,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + TYPE + TOLD + b"\r\n" + PAGE,
    "chunked": head(None, Transfer_Encoding="chunked")
    + b"5\r\n" + PAGE[:5] + b"\r\n%x\r\n" % (len(PAGE) - 5) + PAGE[5:] + b"\r\n0\r\n\r\n",
    "chunked with a length": head(len(PAGE), Transfer_Encoding="chunked")
    + b"%x\r\n" % len(PAGE) + PAGE + b"\r\n0\r\n\r\n",
    "a greeting first": b"HTTP/1.1 100 Continue\r\n\r\n" + head(len(PAGE)) + PAGE,
    "no content": head(None, 204),
    "cut": head(len(PAGE)) + PAGE[:20],
    "cut in the head": head(len(PAGE))[:40],
    "cut in a chunk": head(None, Transfer_Encoding="chunked") + b"30\r\n" + PAGE[:20],
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n" + TYPE + TOLD + b"\r\n" + PAGE,
    "a length that is none": b"HTTP/1.1 200 OK\r\n" + TYPE + b"Content-Length: x\r\n\r\n" + PAGE,
    "a negative length": b"HTTP/1.1 200 OK\r\n" + TYPE + b"Content-Length: -1\r\n\r\n" + PAGE,
    "bytes behind it": head(len(PAGE)) + PAGE + b"HTTP/1.1 200 OK\r\n",
    "a refusal": head(len(REFUSAL), 400) + REFUSAL,
    "a failure": head(0, 500),
    "a page of a proxy": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>",
    "elsewhere": b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
}  # fmt: skip


@pytest.fixture
def posts(monkeypatch) -> list[bool]:
    """For each call that went the short way, whether it went by an open connection."""
    noted: list[bool] = []
    post = Exchange.post

    def note(self, request):
        noted.append(True)
        reply = post(self, request)
        noted[-1] = reply is not None
        return reply

    monkeypatch.setattr(Exchange, "post", note)
    return noted


def connect(url: str, budget_ms: int = 0) -> BotoStreamApi:
    keys = IdentitySettings("test", Secret("test"))
    settings = ClientSettings("us-east-1", url, keys, read_timeout_ms=2_000)
    return BotoStreamApi(settings, RetryPolicy(budget_ms, base_ms=2, throttle_floor_ms=1))


def in_order(operation: str, _: bytes, peer: Peer) -> None:
    peer.reply(PAGE if operation == "GetRecords" else b'{"ShardIterator":"x"}')


def ask(api: BotoStreamApi) -> object:
    """Return what becomes of a call, told apart as a caller can."""
    try:
        page = api.get_page(CLICKS, SHARD, "x", 1)
    except KinesisSourceError as error:
        # Words of urllib3's and of http.client's differ; they are never shown.
        text = re.sub(r":\d+| in 0\.\d s.*", "", str(error))
        return error.code, error.is_worth_repeating, text
    return page.next_iterator, page.millis_behind_latest, len(page)


def wait_for_the_end(api: BotoStreamApi) -> None:
    """Wait until the client can see that the server has ended the connections in its pools."""
    pools = api._caller.connect()._http._manager.pools
    queues = [pool.pool.queue for pool in list(pools._container.values())]
    connections = [c for queue in queues for c in queue if c is not None]
    deadline_s = time.monotonic() + 10
    while not all(c.sock is None or is_connection_dropped(c) for c in connections):
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def then(reply: bytes) -> Callable[[str, bytes, Peer], None]:
    """Answer the first call in order, the second so and with an end, and all others in order."""
    count = 0

    def answer(operation: str, body: bytes, peer: Peer) -> None:
        nonlocal count
        count += 1
        if count == 2:
            peer.send(reply)
            peer.end()
        else:
            in_order(operation, body, peer)

    return answer


@pytest.mark.parametrize("name", REPLIES)
@pytest.mark.timeout(30)
def test_a_reply_is_what_the_session_makes_of_it(name, posts, monkeypatch):
    outcomes = []
    for way in ("open connection", "session"):
        if way == "session":
            assert posts == [True, False]  # the one behind it found no connection open
            monkeypatch.setattr(Exchange, "post", lambda *_: None)
        with serving(then(REPLIES[name])) as server:
            api = connect(server.url)
            found = [ask(api), ask(api)]
            wait_for_the_end(api)
            outcomes.append((*found, ask(api), len(server.operations)))
            api.close()
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == outcomes[0][2] == ("next", 7, 0)


def test_calls_share_one_connection_and_send_what_the_session_sends(posts, monkeypatch):
    with serving(in_order) as server:
        api = connect(server.url)
        for _ in range(5):
            ask(api)
            api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
        assert server.connection_count == 1
        assert posts == [True] * 8  # the first of each operation is botocore's own
        monkeypatch.setattr(Exchange, "post", lambda *_: None)
        ask(api)
        ours, theirs = server.requests[-3], server.requests[-1]
        for changing in ("authorization", "x-amz-date"):
            assert ours.pop(changing)
            assert theirs.pop(changing)
        assert ours == theirs
        assert ours[""] == "POST / HTTP/1.1"
        assert ours["host"] == server.url.removeprefix("http://")
        api.close()


def test_a_server_that_wants_to_close_gets_a_new_connection_each_time(posts):
    def closing(_: str, __: bytes, peer: Peer) -> None:
        peer.reply(PAGE, Connection="close")

    with serving(closing) as server:
        api = connect(server.url)
        assert [ask(api) for _ in range(4)] == [("next", 7, 0)] * 4
        assert server.connection_count == 4
        assert posts == [False] * 3
        api.close()


def test_a_connection_that_the_server_gave_up_costs_no_try(posts):
    ends: list[Callable[[], None]] = []

    def answer(operation: str, body: bytes, peer: Peer) -> None:
        ends.append(peer.end)
        in_order(operation, body, peer)

    with serving(answer) as server:
        api = connect(server.url)
        assert ask(api) == ask(api) == ("next", 7, 0)
        ends[-1]()
        wait_for_the_end(api)
        assert ask(api) == ("next", 7, 0)
        assert ask(api) == ("next", 7, 0)
        assert posts == [True, False, True]
        assert server.connection_count == 2
        api.close()


def test_a_closed_client_opens_connections_anew(posts):
    with serving(in_order) as server:
        api = connect(server.url)
        for _ in range(2):
            assert ask(api) == ask(api) == ("next", 7, 0)
            api.close()
        assert server.connection_count == 2
        api.close()
    assert True in posts


def test_a_proxy_that_reads_the_address_gets_it(posts, monkeypatch):
    with serving(in_order) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        api = connect("http://kinesis.example:4567")
        assert ask(api) == ask(api) == ("next", 7, 0)
        assert {request[""] for request in proxy.requests} == {
            "POST http://kinesis.example:4567/ HTTP/1.1"
        }
        api.close()
    assert posts == [False]


def test_a_page_is_asked_for_again_on_another_connection_after_a_break(posts):
    count = 0

    def answer(operation: str, body: bytes, peer: Peer) -> None:
        nonlocal count
        count += 1
        if count in (2, 3):
            peer.send(head(len(PAGE)) + PAGE[:10])
            peer.end(socket.SHUT_RDWR)
        else:
            in_order(operation, body, peer)

    with serving(answer) as server:
        api = connect(server.url, budget_ms=5_000)
        assert ask(api) == ask(api) == ("next", 7, 0)
        assert server.connection_count == 3
        assert posts == [True, False, False]
        api.close()


def test_another_kind_of_session_goes_without():
    class Session:
        def send(self, request): ...

    request = type("Request", (), {"url": "http://127.0.0.1/", "headers": {}, "body": b""})()
    assert Exchange(Session()).post(request) is None
    assert Exchange(None).post(request) is None


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "€", b"bytes"])
def test_a_header_that_http_client_refuses_or_rewrites_is_left_to_it(value):
    with serving(in_order) as server:
        api = connect(server.url)
        ask(api)
        connection = api._caller.connect()
        request = type("Request", (), {})()
        request.url, request.headers, request.body = f"{server.url}/", {"X-Odd": value}, b"{}"
        assert connection._exchange.post(request) is None
        assert len(server.operations) == 1
        api.close()
