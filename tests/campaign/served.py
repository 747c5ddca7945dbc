"""Sandbox outlets inside this process, served over real HTTP, that live in the test's time.

    with Tide(clock) as tide:
        mastodon = tide.serve("mastodon", folder)      # its address, its record, its knobs
        tide.following()                               # when the next timer of a sandbox is due, µs UTC
        tide.turn()                                    # after the clock was moved: what is due by now happens

A sandbox that answers late, or does later what it was asked, waits by the same clock as the engine: hours of it
cost nothing, and the order of all that happens is that of its instants. While it waits its clock stands, so a client
of it would wait in vain: `Ear` tells it at once that the time is over, and nobody else, however slow this machine is.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import Context, ContextVar
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, TypeVar
from unittest.mock import patch

import uvicorn

from channels.sandbox import server
from channels.sandbox.knobs import Knob
from sync.clock import SECOND
from tests.integration.hand import CreepingClock

T = TypeVar("T")
GLANCE = 2  # ms between two looks of a client whether it waits in vain
HOPS = 12  # turns of the loop in which whatever fell due has run to its next wait
PATIENCE = 30.0  # seconds of this machine's own time


class _Loop(asyncio.SelectorEventLoop):
    """Its timers are due by the test's clock."""

    def __init__(self, clock: CreepingClock) -> None:
        super().__init__()
        self._clock_in_hand = clock

    def time(self) -> float:
        return self._clock_in_hand.boottime()

    def next_timer(self) -> float | None:
        """Seconds of boot time."""
        timers: list[asyncio.TimerHandle] = list(self._scheduled)  # type: ignore[attr-defined]
        return min((one.when() for one in timers if not one.cancelled()), default=None)


class Silence:
    """Which clients are kept waiting until the clock has moved, by the port they called from."""

    def __init__(self) -> None:
        self.towards: set[int] = set()
        self._here: ContextVar[int] = ContextVar("towards")

    def __getattr__(self, name: str) -> Any:
        """Where a sandbox looks for `asyncio`, it finds this."""
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        with self._kept(seconds > 0):
            await asyncio.sleep(seconds)

    async def wait(self, tasks: set[asyncio.Task[None]]) -> None:
        with self._kept(True):
            await asyncio.wait(tasks)

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Nobody waits for it."""
        return asyncio.create_task(work, context=Context())

    def within(self, misbehave: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
        """That act of a sandbox, known by who asked for it."""

        async def known(front: Any, knob: Knob, call: Any, *given: Any) -> None:
            self._here.set(call.request.scope["client"][1])
            await misbehave(front, knob, call, *given)

        return known

    @contextmanager
    def _kept(self, waits: bool) -> Iterator[None]:
        towards = self._here.get(0) if waits else 0
        if towards:
            self.towards.add(towards)
        try:
            yield
        finally:
            self.towards.discard(towards)


class Ear(socket.socket):
    """A client's end of a connection to a sandbox: its time is over as soon as it would wait in vain."""

    towards: set[int]

    @classmethod
    def of(cls, connection: socket.socket, silence: Silence) -> Ear:
        within = connection.gettimeout()
        made = cls(fileno=connection.detach())
        made.settimeout(within)
        made.towards = silence.towards
        made.towards.discard(made.getsockname()[1])
        return made

    def recv_into(self, *given: Any) -> int:
        poll, until = select.poll(), time.monotonic() + (self.gettimeout() or 0.0)
        poll.register(self, select.POLLIN)
        here = self.getsockname()[1]
        while not poll.poll(GLANCE):
            if time.monotonic() > until or (here in self.towards and not poll.poll(0)):
                raise TimeoutError("timed out")
        return super().recv_into(*given)


class Served:
    """One sandbox server: as `tests.contract.bench.Server`, without a process between."""

    def __init__(self, sandbox: server.Sandbox, tide: Tide) -> None:
        self.home, self.address = sandbox.home, sandbox.address
        self._sandbox, self._tide = sandbox, tide

    def knob(self, fault: str, **parameters: object) -> None:
        self._tide.within(self._sandbox.knobs.set.append, Knob.parse({"fault": fault, **parameters}))

    def clear(self) -> None:
        self._tide.within(self._sandbox.knobs.set.clear)

    def record(self) -> list[dict[str, Any]]:
        """All that it received and did."""
        return [dict(line) for line in list(self._sandbox.record.lines)]


class Tide:
    """The loop of all sandboxes of one world, in a thread of its own."""

    def __init__(self, clock: CreepingClock) -> None:
        self._loop = _Loop(clock)
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandboxes", daemon=True)
        self.silence = Silence()
        self._now = SimpleNamespace(time_ns=lambda: clock.now() * 1_000)
        self._instead = ExitStack()
        self._servers: list[uvicorn.Server] = []

    def __enter__(self) -> Tide:
        misbehave = self.silence.within(server._Front._misbehave)
        for where, name, instead in (
            (server, "time", self._now),  # its only clock
            (server, "asyncio", self.silence),
            (server._Front, "_misbehave", misbehave),
        ):
            self._instead.enter_context(patch.object(where, name, instead))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._wait(self._close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)
            self._loop.close()
            self._instead.close()

    def serve(self, name: str, home: Path) -> Served:
        """The sandbox `channels.sandbox.<name>`, listening."""
        home.mkdir(parents=True, exist_ok=True)
        return self._wait(self._serve(name, home))

    def within(self, act: Callable[..., object], *given: object) -> None:
        """Do it where the sandboxes run: nothing of theirs runs meanwhile."""

        async def run() -> None:
            act(*given)

        self._wait(run())

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Something else of the world outside happens so much later."""
        self.within(self._loop.call_later, seconds, act)

    def following(self) -> int | None:
        """When the next timer is due, µs UTC."""

        async def look() -> float | None:
            return self._loop.next_timer()

        when = self._wait(look())
        return None if when is None else round(when * SECOND)

    def turn(self) -> None:
        """Whatever is due by now has happened when this returns."""

        async def turns() -> None:
            for _ in range(HOPS):
                await asyncio.sleep(0)

        self._wait(turns())

    async def _serve(self, name: str, home: Path) -> Served:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        sandbox = server.Sandbox(home, f"http://127.0.0.1:{listener.getsockname()[1]}")
        import_module(f"channels.sandbox.{name}").build(sandbox)
        config = server.configured(sandbox)
        config.load()
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what the end of a case breaks off is no error
        one = uvicorn.Server(config)
        one.lifespan = config.lifespan_class(config)
        await one.startup(sockets=[listener])
        self._servers.append(one)
        return Served(sandbox, self)

    async def _close(self) -> None:
        for one in self._servers:
            for listening in one.servers:
                listening.close()
            for connection in list(one.server_state.connections):
                connection.transport.abort()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        await self._loop.shutdown_default_executor()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)
