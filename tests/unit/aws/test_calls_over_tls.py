"""Production speaks TLS: calls on open connections, trust, breaks and tunnels over it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.aws.exchange import Exchange
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.errors import ServiceError
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import ClientSettings, IdentitySettings, StreamSettings
from tests.unit.aws.scripted_server import Peer, head, serving

CLICKS = StreamSettings.from_key("clicks")
SHARD = "shardId-000000000000"
PAGE = b'{"Records":[],"NextShardIterator":"next","MillisBehindLatest":7}'
LARGE = (
    b'{"Records":[{"Data":"' + b"YWFh" * 250_000 + b'","PartitionKey":"k","SequenceNumber":"1",'
    b'"ApproximateArrivalTimestamp":1767225600.123}],"MillisBehindLatest":0}'
)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority, tmp_path: Path, monkeypatch) -> ssl.SSLContext:
    """A server's certificate for 127.0.0.1, trusted by this machine's AWS settings."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    return context


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


def connect(url: str, budget_ms: int = 0, read_timeout_ms: int = 5_000) -> BotoStreamApi:
    keys = IdentitySettings("test", Secret("test"))
    settings = ClientSettings("us-east-1", url, keys, read_timeout_ms=read_timeout_ms)
    return BotoStreamApi(settings, RetryPolicy(budget_ms, base_ms=2))


def test_calls_share_a_connection_and_pages_come_whole(tls, posts):
    sizes: list[int] = []

    def answer(_: str, __: bytes, peer: Peer) -> None:
        sizes.append(1)
        peer.reply(LARGE if len(sizes) % 2 == 0 else PAGE)

    with serving(answer, tls) as server:
        api = connect(server.url)
        for turn in range(6):
            page = api.get_page(CLICKS, SHARD, "x", 1)
            if turn % 2:
                assert page.data == [b"aaa" * 250_000]
            else:
                assert (page.next_iterator, len(page)) == ("next", 0)
        assert server.connection_count == 1
        assert posts == [True] * 5
        api.close()


def test_a_break_in_the_middle_of_a_page_is_asked_for_again(tls, posts):
    calls: list[int] = []

    def answer(_: str, __: bytes, peer: Peer) -> None:
        calls.append(1)
        if len(calls) == 2:
            peer.send(head(len(LARGE)) + LARGE[:300_000])
            peer.end(socket.SHUT_RDWR)
        else:
            peer.reply(LARGE)

    with serving(answer, tls) as server:
        api = connect(server.url, budget_ms=5_000)
        for _ in range(2):
            assert api.get_page(CLICKS, SHARD, "x", 1).data == [b"aaa" * 250_000]
        assert posts == [True, False]
        assert len(calls) == 3
        api.close()


def test_a_reply_that_does_not_come_is_a_time_out(tls):
    calls: list[int] = []

    def answer(_: str, __: bytes, peer: Peer) -> None:
        calls.append(1)
        if len(calls) == 1:
            peer.reply(PAGE)

    with serving(answer, tls) as server:
        api = connect(server.url, read_timeout_ms=300)
        api.get_page(CLICKS, SHARD, "x", 1)
        with pytest.raises(ServiceError, match=r"^\[SERVICE_UNAVAILABLE\]"):
            api.get_page(CLICKS, SHARD, "x", 1)
        api.close()


def test_a_certificate_of_a_stranger_is_refused(tls, tmp_path, monkeypatch, posts):
    bundle = tmp_path / "others.pem"
    trustme.CA().cert_pem.write_to_path(bundle)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with serving(lambda *_: None, tls) as server:
        api = connect(server.url)
        with pytest.raises(ServiceError, match="certificate"):
            api.get_page(CLICKS, SHARD, "x", 1)
        assert not server.operations
        api.close()


@contextlib.contextmanager
def tunnelling() -> Iterator[tuple[str, list[str]]]:
    """Serve as a proxy that tunnels; yields its address and what it was asked."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[str] = []
    opened: list[socket.socket] = []

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65_536):
                target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += client.recv(1)
                asked.append(request.split(b"\r\n")[0].decode())
                host, port = asked[-1].split()[1].split(":")
                server = socket.create_connection((host, int(port)))
                opened.extend((client, server))
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
        for connection in opened:
            connection.close()


def test_a_tunnel_through_a_proxy_is_kept_open_and_used(tls, monkeypatch, posts):
    with (
        serving(lambda _, __, peer: peer.reply(PAGE), tls) as server,
        tunnelling() as (proxy_url, asked),
    ):
        monkeypatch.setenv("https_proxy", proxy_url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        api = connect(server.url)
        for _ in range(4):
            assert api.get_page(CLICKS, SHARD, "x", 1).next_iterator == "next"
        (line,) = asked
        assert line.startswith(f"CONNECT {server.url.removeprefix('https://')} ")
        assert {request[""] for request in server.requests} == {"POST / HTTP/1.1"}
        assert posts == [True] * 3
        api.close()
