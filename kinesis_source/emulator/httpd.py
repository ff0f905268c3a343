"""A small HTTP/1.1 server on loopback: keep-alive, one thread a connection, TCP_NODELAY.

It reads a request, hands it to the service or to the emulator's own paths, and writes the reply, or
breaks the connection when a fault says so. Made for one kind of client (AWS SDKs): bodies come with
a Content-Length.
"""

import contextlib
import email.utils
import logging
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from .sigv4 import SignedRequest
from .wire import Response

_log = logging.getLogger(__name__)
_MAX_HEAD_BYTES = 65_536
_SEND_APART_BYTES = 65_536  # above this a second system call is cheaper than a copy
_MAX_BODY_BYTES = 64 * 1024 * 1024  # over four times the largest request Kinesis takes


class HttpServer(socketserver.ThreadingTCPServer):
    """Serves until `close`, which also ends the connections still open.

    Parameters
    ----------
    host, port : str, int
        Where to listen; port 0 picks a free one.
    answer : callable
        SignedRequest -> Response.
    early_drop : callable
        Headers -> whether to reset the connection before the body is read.
    clock : callable
        Epoch seconds for the `Date` header.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(
        self,
        host: str,
        port: int,
        answer: Callable[[SignedRequest], Response],
        early_drop: Callable[[dict[str, str]], bool],
        clock: Callable[[], float],
    ) -> None:
        super().__init__((host, port), _Connection)
        self.answer = answer
        self.early_drop = early_drop
        self.clock = clock
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.05,), name="kinesis-emulator", daemon=True
        )

    def begin(self) -> None:
        """Start to serve in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening and end every connection."""
        self.shutdown()
        self.server_close()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection, then serve it in its thread."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection and close it."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Keep quiet about clients that went away."""
        _log.debug("connection from %s failed", client_address, exc_info=True)


class _Connection(socketserver.StreamRequestHandler):
    server: HttpServer
    disable_nagle_algorithm = True
    rbufsize = 256 * 1024

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while self._serve_one():
                pass

    def _serve_one(self) -> bool:
        """Serve one request; return whether the connection stays open."""
        head = self._read_head()
        if head is None:
            return False
        method, target, headers = head
        if self.server.early_drop(headers):
            return self._reset()
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal():
            return self._refuse(411, "Send the body with a Content-Length.")
        if int(length) > _MAX_BODY_BYTES:
            return self._refuse(413, f"A body may have {_MAX_BODY_BYTES} bytes.")
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return False
        path, _, query = target.partition("?")
        request = SignedRequest(method, path, query, headers, body, self.client_address[1])
        response = self.server.answer(request)
        return self._write(response) and headers.get("connection", "").lower() != "close"

    def _read_head(self) -> tuple[str, str, dict[str, str]] | None:
        line = self.rfile.readline(_MAX_HEAD_BYTES)
        parts = line.decode("latin-1").split()
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            return None
        headers: dict[str, str] = {}
        left = _MAX_HEAD_BYTES
        while (line := self.rfile.readline(left)) not in {b"\r\n", b"\n"}:
            left -= len(line)
            if not line or left <= 0:
                return None
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return parts[0], parts[1], headers

    def _write(self, response: Response) -> bool:
        if response.drop == "all":
            return self._reset()
        phrase = HTTPStatus(response.status).phrase
        head = (
            f"HTTP/1.1 {response.status} {phrase}\r\n"
            f"x-amzn-RequestId: {uuid4()}\r\n"
            f"Date: {email.utils.formatdate(self.server.clock(), usegmt=True)}\r\n"
            f"Content-Type: {response.content_type}\r\n"
            f"Content-Length: {len(response.body)}\r\n\r\n"
        ).encode("latin-1")
        if response.drop == "half":
            self.connection.sendall(head + response.body[: len(response.body) // 2])
            return self._reset()
        if len(response.body) > _SEND_APART_BYTES:
            self.connection.sendall(head)
            self.connection.sendall(response.body)
        else:
            self.connection.sendall(head + response.body)
        return True

    def _refuse(self, status: int, message: str) -> bool:
        self._write(Response(status, "text/plain", message.encode()))
        return False

    def _reset(self) -> bool:
        # Linger 0 turns the close into a TCP reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        return False
