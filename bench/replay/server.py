"""The replay server: ``python -m bench.replay.server SETTINGS-AS-JSON``, a process of its own.

One thread, sockets that never block, keep-alive. A page is sent as slices of the rendered records,
so a call costs microseconds however large its page is. It prints ``{"port": ...}`` once it listens
and ends when its standard input does, so it never outlives who started it. No signature is checked.

Besides Kinesis: ``GET /stats``, ``POST /reset-stats``, ``POST /reshard``.
"""

from __future__ import annotations

import email.utils
import heapq
import json
import selectors
import socket
import sys
import time
from typing import Any, Final

from bench.replay import cbor
from bench.replay.records import RecordBuffer
from bench.replay.settings import ReplaySettings
from bench.replay.stream import Page, RefusalError, Stream

_JSON_TYPE: Final = "application/x-amz-json-1.1"
_CBOR_TYPE: Final = "application/x-amz-cbor-1.1"
_RECEIVE_BYTES: Final = 65_536
_MAX_PIECES: Final = 16

_Pieces = list[bytes | memoryview]
_encoder: Final = json.JSONEncoder(separators=(",", ":"))


class _Connection:
    """One client; ``pending`` is what is still to be sent of a reply."""

    __slots__ = ("is_busy", "pending", "received", "socket")

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.received = b""
        self.pending: _Pieces = []
        self.is_busy = False  # between a request and the last byte of its reply


class Server:
    """Serves one stream on a free port of loopback.

    Parameters
    ----------
    settings : ReplaySettings
        With ``ends_at_ms``.
    """

    def __init__(self, settings: ReplaySettings) -> None:
        self._records = RecordBuffer(settings)
        self._stream = Stream(settings, self._records)
        self._latency_s = settings.latency_ms / 1000
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._delayed: list[tuple[float, int, _Connection, _Pieces]] = []
        self._replies = 0
        self._date_s, self._date = 0, ""
        self._reset_clocks()

    # -- the loop -------------------------------------------------------------------------------

    def serve(self) -> None:
        """Serve until standard input ends."""
        self._selector.register(sys.stdin.buffer, selectors.EVENT_READ)
        while True:
            for key, events in self._selector.select(self._wait_s()):
                connection = key.data
                if connection is not None:
                    self._serve(connection, events)
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    return
            self._send_due()

    def _wait_s(self) -> float | None:
        return max(0.0, self._delayed[0][0] - time.monotonic()) if self._delayed else None

    def _send_due(self) -> None:
        while self._delayed and self._delayed[0][0] <= time.monotonic():
            _, _, connection, pieces = heapq.heappop(self._delayed)
            if connection.socket.fileno() < 0:
                continue  # it was closed in the meantime
            try:
                self._send(connection, pieces)
            except OSError:  # the client went away
                self._close(connection)

    def _accept(self) -> None:
        accepted, _ = self._listener.accept()
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(accepted, selectors.EVENT_READ, _Connection(accepted))

    def _serve(self, connection: _Connection, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._send(connection, connection.pending)
            if events & selectors.EVENT_READ:
                data = connection.socket.recv(_RECEIVE_BYTES)
                if not data:
                    self._close(connection)
                    return
                connection.received += data
                self._take_request(connection)
        except OSError:  # the client went away
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()

    # -- requests -------------------------------------------------------------------------------

    def _take_request(self, connection: _Connection) -> None:
        """Answer the next request, if all of it is there and none is under way."""
        received = connection.received
        end = received.find(b"\r\n\r\n")
        if connection.is_busy or end < 0:
            return
        headers = received[: end + 2]
        lowered = headers.lower()
        body_end = end + 4 + int(_header(headers, lowered, b"\r\ncontent-length:") or 0)
        if len(received) < body_end:
            return
        body = received[end + 4 : body_end]
        connection.received = received[body_end:]
        connection.is_busy = True
        target = _header(headers, lowered, b"\r\nx-amz-target:").decode()
        if not target:
            self._send(connection, self._control(headers))
            return
        is_cbor = _CBOR_TYPE.encode() in _header(headers, lowered, b"\r\ncontent-type:")
        pieces = self._answer(target.rpartition(".")[2], body, is_cbor=is_cbor)
        if self._latency_s:
            due_s = time.monotonic() + self._latency_s
            heapq.heappush(self._delayed, (due_s, self._replies, connection, pieces))
        else:
            self._send(connection, pieces)

    def _answer(self, operation: str, body: bytes, *, is_cbor: bool) -> _Pieces:
        """Answer a call of Kinesis, as of the moment the request came."""
        status = b"200 OK"
        request = cbor.decode(body) if is_cbor else json.loads(body)
        try:
            reply: Any = self._stream.answer(operation, request)
        except RefusalError as refusal:
            status = b"400 Bad Request"
            reply = {"__type": refusal.args[0], "message": refusal.args[1]}
        if isinstance(reply, Page):
            pieces = self._cbor_page(reply) if is_cbor else self._json_page(reply)
        else:
            pieces = [cbor.encode(reply) if is_cbor else _json(reply)]
        return [self._head(status, _CBOR_TYPE if is_cbor else _JSON_TYPE, pieces), *pieces]

    def _json_page(self, page: Page) -> _Pieces:
        records = self._records.json(page.start, page.stop)
        return [b'{"Records":[', records, b"]," + _json(page.rest)[1:]]

    def _cbor_page(self, page: Page) -> _Pieces:
        opening = cbor.head(5, len(page.rest) + 1) + cbor.text("Records")
        items = [cbor.text(name) + cbor.encode(value) for name, value in page.rest.items()]
        records = self._records.cbor(page.start, page.stop)
        return [opening + cbor.head(4, page.stop - page.start), records, b"".join(items)]

    def _control(self, headers: bytes) -> _Pieces:
        line = b" ".join(headers.split(b" ", 2)[:2])
        if line == b"GET /stats":
            body = self._stats()
        elif line == b"POST /reset-stats":
            self._stream.reset_stats()
            self._reset_clocks()
            body = {}
        elif line == b"POST /reshard":
            self._stream.reshard()
            body = {}
        else:
            pieces: _Pieces = [b"{}"]
            return [self._head(b"404 Not Found", "application/json", pieces), *pieces]
        pieces = [_json(body)]
        return [self._head(b"200 OK", "application/json", pieces), *pieces]

    # -- replies --------------------------------------------------------------------------------

    def _head(self, status: bytes, content_type: str, pieces: _Pieces) -> bytes:
        self._replies += 1
        now_s = int(time.time())
        if now_s != self._date_s:
            self._date_s, self._date = now_s, email.utils.formatdate(now_s, usegmt=True)
        return (
            f"HTTP/1.1 {status.decode()}\r\n"
            f"x-amzn-RequestId: 00000000-0000-4000-8000-{self._replies:012x}\r\n"
            f"Date: {self._date}\r\n"
            f"Content-Type: {content_type}\r\n"
            f"Content-Length: {sum(map(len, pieces))}\r\n\r\n"
        ).encode()

    def _send(self, connection: _Connection, pieces: _Pieces) -> None:
        """Send what the socket takes now; the rest once it takes more."""
        had_rest = bool(connection.pending)
        connection.pending = rest = _send_some(connection.socket, pieces)
        if bool(rest) != had_rest:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if rest else 0)
            self._selector.modify(connection.socket, events, connection)
        if not rest:
            connection.is_busy = False
            if connection.received:
                self._take_request(connection)

    # -- counting -------------------------------------------------------------------------------

    def _reset_clocks(self) -> None:
        self._since_s, self._since_cpu_s = time.monotonic(), time.process_time()

    def _stats(self) -> dict[str, Any]:
        return {
            **self._stream.stats(),
            "wall_s": time.monotonic() - self._since_s,
            "cpu_s": time.process_time() - self._since_cpu_s,
        }


def _json(value: Any) -> bytes:
    return _encoder.encode(value).encode()


def _header(headers: bytes, lowered: bytes, name: bytes) -> bytes:
    """Return a header's value; ``name`` in small letters, from line break to colon."""
    at = lowered.find(name)
    if at < 0:
        return b""
    start = at + len(name)
    return headers[start : headers.find(b"\r\n", start)].strip()


def _send_some(target: socket.socket, pieces: _Pieces) -> _Pieces:
    """Send until the socket is full; return what is left."""
    while pieces:
        try:
            sent = target.sendmsg(pieces[:_MAX_PIECES])
        except BlockingIOError:
            break
        left: _Pieces = []
        for place, piece in enumerate(pieces):
            if sent < len(piece):
                left = [memoryview(piece)[sent:], *pieces[place + 1 :]]
                break
            sent -= len(piece)
        pieces = left
    return pieces


def main() -> None:
    """Run the command line."""
    server = Server(ReplaySettings.from_json(sys.argv[1]))
    print(json.dumps({"port": server.port}), flush=True)
    server.serve()


if __name__ == "__main__":
    main()
