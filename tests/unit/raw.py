"""A server that says exactly the bytes it is told to, and remembers what it got."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Act = Callable[[socket.socket], None]


class Raw:
    """`acts` are used up one per request; the last one repeats. `seen` holds whole requests, `connections` a count."""

    def __init__(self, acts: list[Act], tls: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.seen: list[bytes] = []
        self.connections = 0
        self.acts = acts
        self._tls = tls
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(10)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            while request := read_request(connection):
                self.seen.append(request)
                act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
                act(connection)
        except OSError:
            pass
        finally:
            connection.close()

    def hang_up(self) -> None:
        """Close every connection from the outlet's side."""
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """The same with RST, as a crashed machine answers."""
        for connection in self._open:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RD)  # wakes its thread, which closes it

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(10)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(10)


@contextmanager
def raw(*acts: Act, tls: ssl.SSLContext | None = None) -> Iterator[Raw]:
    server = Raw(list(acts), tls)
    try:
        yield server
    finally:
        server.stop()


def read_request(connection: socket.socket) -> bytes:
    """One request with a Content-Length, or none; b"" when the client is gone."""
    got = bytearray()
    while b"\r\n\r\n" not in got:
        piece = connection.recv(65_536)
        if not piece:
            return b""
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    missing = int(lengths[0] if lengths else 0) - len(body)
    while missing > 0:
        piece = connection.recv(min(missing, 65_536))
        if not piece:
            return b""
        got += piece
        missing -= len(piece)
    return bytes(got)


def say(status: int, body: bytes = b"{}", *headers: str, kind: str = "application/json") -> Act:
    head = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", ""]

    def act(connection: socket.socket) -> None:
        connection.sendall("\r\n".join(head).encode() + body)

    return act


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise OSError("closed on purpose")


def hang_up(connection: socket.socket) -> None:
    raise OSError("closed on purpose")


def half(connection: socket.socket) -> None:
    """Less than was promised."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{}")
    raise OSError("closed on purpose")


def silence(seconds: float) -> Act:
    def act(connection: socket.socket) -> None:
        threading.Event().wait(seconds)

    return act


def drip(text: bytes, every: float) -> Act:
    """Byte by byte; stops when the client has had enough."""

    def act(connection: socket.socket) -> None:
        for position in range(len(text)):
            connection.sendall(text[position : position + 1])
            threading.Event().wait(every)

    return act
