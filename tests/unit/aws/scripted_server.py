"""A server on loopback that answers each request as a test says, down to the single byte."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate

JSON = "application/x-amz-json-1.1"
REQUEST_ID = "e1a8d0f6-0000-4000-8000-000000000000"


class ScriptedServer:
    """Hands each request to ``answer(operation, body, peer)``; keeps what was asked and sent."""

    def __init__(
        self,
        answer: Callable[[str, bytes, Peer], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._answer = answer
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.operations: list[str] = []
        self.requests: list[dict[str, str]] = []
        """The headers of each, by names in lower case, and its first line under ""."""
        self.is_over = threading.Event()
        self.sent_bytes = 0
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        with suppress(OSError):
            while not self.is_over.is_set():
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                thread = threading.Thread(target=self._serve_one, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve_one(self, connection: socket.socket) -> None:
        if self._tls is not None:
            try:
                connection = self._tls.wrap_socket(connection, server_side=True)
            except OSError:  # the client does not trust it
                connection.close()
                return
            self._connections.append(connection)
        peer = Peer(connection, self)
        with connection, connection.makefile("rb") as file, suppress(OSError, ValueError):
            connection.settimeout(10)
            while first := file.readline():
                lines = (line.decode() for line in iter(file.readline, b"\r\n"))
                pairs = (line.strip().split(": ", 1) for line in lines)
                headers = {name.lower(): value for name, value in pairs}
                body = file.read(int(headers["content-length"]))
                operation = headers.get("x-amz-target", ".").split(".")[1]
                self.operations.append(operation)
                self.requests.append({**headers, "": first.decode().strip()})
                self._answer(operation, body, peer)

    @property
    def connection_count(self) -> int:
        return sum(not isinstance(c, ssl.SSLSocket) for c in self._connections)

    def close(self) -> None:
        self.is_over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:  # a client may keep one open, unused
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(15)


class Peer:
    """The client's side of one connection."""

    def __init__(self, connection: socket.socket, server: ScriptedServer) -> None:
        self._connection = connection
        self._server = server

    def send(self, data: bytes) -> None:
        if self._server.is_over.is_set():
            raise OSError
        self._connection.sendall(data)
        self._server.sent_bytes += len(data)

    def end(self, how: int = socket.SHUT_WR) -> None:
        """Send no more."""
        with suppress(OSError):
            self._connection.shutdown(how)

    def drip(self, data: bytes, pause_s: float, step: int = 1) -> None:
        """Send ``step`` bytes at a time; stops when the test is over."""
        for start in range(0, len(data), step):
            self.send(data[start : start + step])
            if self._server.is_over.wait(pause_s):
                raise OSError

    def reply(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send(head(len(body), status, **headers) + body)


def head(length: int | None, status: int = 200, **headers: str) -> bytes:
    """Return the head of a reply of Kinesis's; "" leaves a header out, None the length."""
    shown = {
        "Date": formatdate(time.time(), usegmt=True),
        "x-amzn-RequestId": REQUEST_ID,
        "Content-Type": JSON,
        **({} if length is None else {"Content-Length": str(length)}),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"{name}: {value}" for name, value in shown.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""]).encode()


@contextmanager
def serving(
    answer: Callable[[str, bytes, Peer], None], tls: ssl.SSLContext | None = None
) -> Iterator[ScriptedServer]:
    server = ScriptedServer(answer, tls)
    try:
        yield server
    finally:
        server.close()
