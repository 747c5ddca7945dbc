"""A link that can be broken: a TCP proxy in front of a server, whose faults are switched at run time.

with Proxy(lambda: 5432) as link:
    link.port                      # to be reached at 127.0.0.1
    with link.broken("black_hole"):
        …

cut          both ends are closed; whoever connects finds an end at once
reset        the same by RST
refuse       nobody listens; open connections are reset
black_hole   nothing passes and nothing is said; what was sent arrives once the link is whole again
half_open    the server is told that its client is gone, the client is told nothing
delay        every piece arrives `seconds` later
drip         one byte at a time
cut_request  half of a piece towards the server passes, then both ends are closed
cut_answer   half of a piece towards the client passes, then both ends are closed
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TypeVar

from sync.postgres import IDLE, INTERVAL, PROBES, SILENCE

T = TypeVar("T")

FAULTS = ("cut", "reset", "refuse", "black_hole", "half_open", "delay", "drip", "cut_request", "cut_answer")
ENDS_ALL = frozenset({"cut", "reset", "refuse"})  # what was open does not outlive them
PIECE = 65_536
# As the server's own: a peer that vanished is noticed here, in its stead.
KEEPALIVE = {
    socket.TCP_NODELAY: 1,
    socket.TCP_KEEPIDLE: IDLE,
    socket.TCP_KEEPINTVL: INTERVAL,
    socket.TCP_KEEPCNT: PROBES,
    socket.TCP_USER_TIMEOUT: SILENCE * 1_000,
}
SLOWER = 0.5  # seconds; of a delayed piece
DRIP = 0.01  # seconds between two bytes
DRIPPED = 200  # bytes of a piece that leave one by one; the rest follows
TURNS = 6  # of the loop, in which what it has begun with a connection is done
PATIENCE = 10.0  # seconds until a proxy that does not do as it is told counts as broken


class Proxy:
    """One link. `upstream`: at which port of 127.0.0.1 the server listens now."""

    def __init__(self, upstream: Callable[[], int], host: str = "127.0.0.1") -> None:
        self._upstream, self._host = upstream, host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._fault = ""
        self._whole = asyncio.Event()
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.broken_connections = 0  # how many a fault has touched

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._do(self._listen())
        self._do(self._switch(""))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def breaks(self, fault: str) -> None:
        """From now on, also for what is open."""
        if fault not in FAULTS:
            raise ValueError(f"{fault!r} is none of {', '.join(FAULTS)}")
        self._do(self._switch(fault))

    def heals(self) -> None:
        """New connections pass; what the fault had ended, or left half open, stays so."""
        self._do(self._switch(""))

    @contextmanager
    def broken(self, fault: str) -> Iterator[None]:
        self.breaks(fault)
        try:
            yield
        finally:
            self.heals()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _switch(self, fault: str) -> None:
        before, self._fault = self._fault, fault
        if fault:
            self.broken_connections += len(self._pairs)
        if fault == "refuse":
            await self._refuse()
        elif before == "refuse":
            await self._listen()
        if fault in ENDS_ALL:
            for pair in list(self._pairs):
                pair.end(reset=fault != "cut")
        if fault == "half_open":
            for pair in list(self._pairs):
                pair.forget_server()
        if fault == "black_hole":
            self._whole.clear()
        else:
            self._whole.set()

    async def _refuse(self) -> None:
        """Nobody listens any more."""
        for _ in range(TURNS):  # the loop leaves open what it accepted and did not hand over before this
            await asyncio.sleep(0)
        if self._server is not None:
            self._server.close()

    async def _end(self) -> None:
        await self._refuse()
        self._fault = "reset"  # for those that are being joined
        self._whole.set()
        for pair in list(self._pairs):
            pair.end(reset=True)
        if joining := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(joining, timeout=1.0)  # cancelled half-way, the loop would leave a socket open
        carrying = asyncio.all_tasks() - {asyncio.current_task()}
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
        for _ in range(TURNS):  # in which what was aborted is closed
            await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _End(reader, writer)
        if self._fault in ENDS_ALL:
            client.close(reset=self._fault != "cut")
            return
        try:
            await self._whole.wait()
            server = _End(*await asyncio.open_connection("127.0.0.1", self._upstream()))
        except (OSError, asyncio.CancelledError):
            client.close(reset=True)
            return
        pair = _Pair(client, server)
        if self._fault in ENDS_ALL:  # it broke while they were being joined
            pair.end(reset=self._fault != "cut")
            return
        self._pairs.add(pair)
        if self._fault == "half_open":
            pair.forget_server()
        try:
            await asyncio.gather(self._carry(pair, client, server), self._carry(pair, server, client))
        except asyncio.CancelledError:
            pair.end(reset=True)
        finally:
            self._pairs.discard(pair)

    async def _carry(self, pair: _Pair, source: _End, target: _End) -> None:
        """Until one of them ends; then both do, unless the client is not to be told."""
        with suppress(OSError):
            while piece := await source.reader.read(PIECE):
                await self._whole.wait()
                if pair.half_open:
                    continue
                if self._fault == ("cut_request" if source is pair.client else "cut_answer"):
                    target.writer.write(piece[: len(piece) // 2])
                    await target.writer.drain()
                    break
                await self._pass_on(piece, target)
        await self._whole.wait()
        if not (pair.half_open and source is pair.server):
            pair.end(reset=False)

    async def _pass_on(self, piece: bytes, target: _End) -> None:
        if self._fault == "delay":
            await asyncio.sleep(SLOWER)
        if self._fault == "drip":
            for position in range(min(len(piece), DRIPPED)):
                target.writer.write(piece[position : position + 1])
                await asyncio.sleep(DRIP)
            piece = piece[DRIPPED:]
        target.writer.write(piece)
        await target.writer.drain()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)


class _End:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        opened = writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            opened.setsockopt(socket.IPPROTO_TCP, option, value)

    def close(self, *, reset: bool) -> None:
        if reset and not self.writer.is_closing():
            option = struct.pack("ii", 1, 0)
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            self.writer.transport.abort()
        self.writer.close()


class _Pair:
    """The two ends of one connection."""

    def __init__(self, client: _End, server: _End) -> None:
        self.client, self.server = client, server
        self.half_open = False

    def end(self, *, reset: bool) -> None:
        self.client.close(reset=reset)
        self.server.close(reset=reset)

    def forget_server(self) -> None:
        self.half_open = True
        self.server.close(reset=False)
