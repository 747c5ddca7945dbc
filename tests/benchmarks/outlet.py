"""A sandbox outlet that says when a request reached this machine, instead of when its event loop got to it.

`python -m tests.benchmarks.outlet mastodon --home DIR` is `python -m channels.sandbox.mastodon --home DIR`,
but `at` in its record is the kernel's stamp of the request's last packet. With several requests at
once the event loop works on one while the next waits, up to milliseconds: that would be measuring
the outlet. It is also a batch process to the scheduler: woken by a request it does not take the
core from whoever sent it, as an outlet on another machine would not. With `--certificate` and `--key`
(PEM) it speaks TLS; the stamp is that of the packet which completed the record.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from channels.sandbox import server

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SO_TIMESTAMPNS = 35  # asm-generic/socket.h; the module `socket` has no name for it
TIMESPEC = struct.Struct("qq")  # of a 64-bit kernel
SPACE = socket.CMSG_SPACE(TIMESPEC.size)

arrived: dict[int, int] = {}  # descriptor → µs UTC of the packet that was read last


class Stamped(socket.socket):
    """A connection that notes the kernel's stamp of whatever is read."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        content, ancillary, _, _ = self.recvmsg(size, SPACE, flags)
        self._note(ancillary)
        return content

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """As asyncio reads what TLS has to decrypt."""
        room = memoryview(buffer)[: nbytes or None]
        size, ancillary, _, _ = self.recvmsg_into([room], SPACE, flags)
        self._note(ancillary)
        return size

    def _note(self, ancillary: Sequence[tuple[int, int, bytes]]) -> None:
        for level, kind, stamp in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = TIMESPEC.unpack(stamp)
                arrived[self.fileno()] = seconds * 1_000_000 + nanoseconds // 1_000


class Listener(socket.socket):
    """What it accepts is stamped; the option passes from the listener to its connections."""

    @classmethod
    def bound(cls) -> Listener:
        """At any free port of this machine's loopback."""
        listener = cls(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        listener.bind(("127.0.0.1", 0))
        return listener

    def accept(self) -> tuple[socket.socket, Any]:
        accepted, peer = super().accept()
        return Stamped(accepted.family, accepted.type, accepted.proto, accepted.detach()), peer


class Stamping(server._Stamping):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._descriptor: int = transport.get_extra_info("socket").fileno()

    def data_received(self, data: bytes) -> None:
        if self.conn.their_state is h11.IDLE:
            self.app_state["arrived"] = arrived[self._descriptor]
        H11Protocol.data_received(self, data)


def main() -> None:
    """Serve until SIGTERM; the same files in the home as any sandbox."""
    parser = argparse.ArgumentParser(description="A sandbox outlet server with the kernel's stamps")
    parser.add_argument("kind")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    given = parser.parse_args()
    given.home.mkdir(parents=True, exist_ok=True)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    listener = Listener.bound()
    scheme = "http" if given.certificate is None else "https"
    address = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
    sandbox = server.Sandbox(given.home, address)
    importlib.import_module(f"channels.sandbox.{given.kind}").build(sandbox)
    config = uvicorn.Config(
        server._Front(sandbox),
        http=Stamping,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_level="error",
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
        ssl_certfile=given.certificate,
        ssl_keyfile=given.key,
    )
    server._Server(config, given.home, address).run(sockets=[listener])


if __name__ == "__main__":
    main()
