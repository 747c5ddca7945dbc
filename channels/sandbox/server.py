"""The shared base of sandbox outlet servers: one process, one event loop, a record on disk before each answer.

A sandbox of a channel writes `build(sandbox)`, which registers its handlers, and ends with
`serve(build, sys.argv[1:])`. A handler is `async def handler(call: Call) -> Response`; it says what it
did with `call.did(...)`. Faults (`channels.sandbox.knobs`) happen around the handlers, so none knows of them.

    --port 0 --home DIR [--host 127.0.0.1]   DIR/address (written when it listens), DIR/record.jsonl,
                                             DIR/world.jsonl (`channels.sandbox.shelf`: what outlives a restart)
    GET /_sandbox/record                     the record as a JSON list
    POST|GET|DELETE /_sandbox/knobs          sets one knob, lists them, clears them
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from channels.sandbox.knobs import Knob, Knobs
from channels.sandbox.listen import listening
from channels.sandbox.record import Record
from channels.sandbox.shelf import Shelf


class Call:
    """One request as a handler sees it, and what the handler says it did."""

    def __init__(self, request: Request, body: bytes, at: int) -> None:
        self.request = request  # its body can be read, as `form()` or `json()` or here:
        self.body = body
        self.at = at  # microseconds UTC at which its first byte reached the event loop
        self.path = request.url.path  # as recorded; a channel whose paths hold a token replaces it
        self.account = ""
        self.fault = ""
        self.applied = False
        self.effect = ""
        self.ref = ""
        self.detail: dict[str, Any] = {}

    def did(self, effect: str, ref: str = "", **detail: object) -> None:
        """The request changed something: `effect` names what, `ref` the thing changed."""
        self.applied, self.effect, self.ref = True, effect, ref
        self.detail.update(detail)

    def line(self) -> dict[str, Any]:
        """The line for the record."""
        return {
            "at": self.at,
            "method": self.request.method,
            "path": self.path,
            "account": self.account,
            "applied": self.applied,
            "effect": self.effect,
            "ref": self.ref,
            "fault": self.fault,
            "detail": self.detail,
        }


Handler = Callable[[Call], Awaitable[Response]]


class Sandbox:
    """What `build` is given: folder and address, the record, what outlived a restart, knobs, and where handlers go."""

    def __init__(self, home: Path, address: str) -> None:
        self.home = home
        self.address = address  # http://127.0.0.1:PORT
        self.record = Record(home / "record.jsonl")
        self.shelf = Shelf(home / "world.jsonl", address)
        self.knobs = Knobs()
        self.account_of: Callable[[Call], str] = lambda call: ""  # whose request this is; never raises
        # Another protocol, in which the server speaks first, for whoever connects and says nothing.
        self.greets: Callable[[], asyncio.Protocol] | None = None
        self.routes: list[Route] = []

    def on(self, method: str, path: str, handler: Handler) -> None:
        """Handle `method` on `path` (Starlette's path syntax); earlier registrations win."""

        async def endpoint(request: Request) -> Response:
            call: Call = request.scope["call"]
            call.request = request  # this one knows the parameters of the path
            return await handler(call)

        self.routes.append(Route(path, endpoint, methods=[method]))


Build = Callable[[Sandbox], None]
SILENCE = 0.2  # seconds after which a client waits to be greeted


def now() -> int:
    """Wall clock, microseconds UTC: the sandbox's own, as an outlet's is."""
    return time.time_ns() // 1_000


class _Stamping(H11Protocol):
    """Notes when the first byte of a request arrives, and lets a fault reach the connection."""

    greets: Callable[[], asyncio.Protocol] | None = None
    _silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # The protocol copies this into the scope's state of each request of this connection.
        self.app_state = {**self.app_state, "transport": transport, "arrived": 0}
        if self.greets is not None:
            self._silence = self.loop.call_later(SILENCE, self._greet, transport)

    def _greet(self, transport: asyncio.Transport) -> None:
        """Whoever speaks HTTP would have begun: from now on it is the other protocol's connection."""
        if self.greets is not None and not transport.is_closing():
            self.connections.discard(self)
            other = self.greets()
            transport.set_protocol(other)
            other.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._silence is not None:
            self._silence.cancel()
        if self.conn.their_state is h11.IDLE:
            self.app_state["arrived"] = now()
        super().data_received(data)


class _Front:
    """The ASGI application: stamp, fault, handler, record, answer — in this order."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._inner = Starlette(routes=sandbox.routes)
        self._own = Starlette(
            routes=[
                Route("/_sandbox/record", self._show_record),
                Route("/_sandbox/knobs", self._set_knobs, methods=["GET", "POST", "DELETE"]),
            ]
        )
        self._later: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/_sandbox/"):
            await self._own(scope, receive, send)
            return
        pieces = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return  # half a request has no effect
            pieces += message.get("body", b"")
            more = message.get("more_body", False)
        body = bytes(pieces)
        call = Call(Request(scope, _replay(body)), body, scope["state"]["arrived"])
        call.account = self._sandbox.account_of(call)
        knob = self._sandbox.knobs.take(call.request.method, call.request.url.path, call.account)
        if knob is None:
            answer = await self._work(call)
            await self._sandbox.record.add(call.line())
            await _deliver(answer, send)
        else:
            call.fault = knob.fault
            await self._misbehave(knob, call, receive, send)

    async def _work(self, call: Call) -> list[Message]:
        """Run the handler; its answer is kept back until the record is on disk."""
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._inner({**call.request.scope, "call": call}, _replay(call.body), keep)
        return answer

    async def _misbehave(self, knob: Knob, call: Call, receive: Receive, send: Send) -> None:
        given, record = knob.parameters, self._sandbox.record
        scope = call.request.scope
        match knob.fault:
            case "refuse":
                refusal = JSONResponse(
                    given.get("json", {"error": "refused"}), given.get("status", 503), given.get("headers")
                )
                await record.add(call.line())
                await refusal(scope, receive, send)
            case "login_page":
                await record.add(call.line())
                await HTMLResponse("<!doctype html><title>Log in</title><p>Please log in.</p>")(scope, receive, send)
            case "error_body":
                if given.get("applied"):
                    await self._work(call)
                await record.add(call.line())
                told = given.get("json", {"error": "internal error"})
                await JSONResponse(told)(scope, receive, send)
            case "drop_request":
                await record.add(call.line())
                await _hang_up(scope, receive, reset=bool(given.get("reset")))
            case "drop_answer":
                await self._work(call)
                await record.add(call.line())
                await _hang_up(scope, receive, reset=bool(given.get("reset")))
            case "answer_502":
                await self._work(call)
                await record.add(call.line())
                await HTMLResponse("<html><h1>502 Bad Gateway</h1></html>", 502)(scope, receive, send)
            case "reset_body" | "cut_body":
                answer = await self._work(call)
                await record.add(call.line())
                await _break_off(answer, send, share=0.5 if knob.fault == "cut_body" else 0.0)
                await _hang_up(scope, receive, reset=knob.fault == "reset_body")
            case "late":
                await record.add(call.line())
                applying = asyncio.create_task(self._apply_later(call, float(given.get("seconds", 1))))
                self._later.add(applying)
                applying.add_done_callback(self._later.discard)
                if given.get("hold"):
                    await asyncio.wait({applying})
                await _hang_up(scope, receive, reset=False)
            case "delay":
                await asyncio.sleep(given.get("before_ms", 0) / 1000)
                answer = await self._work(call)
                await record.add(call.line())
                await asyncio.sleep(given.get("after_ms", 0) / 1000)
                await _deliver(answer, send)
            case _:  # slow_drip
                answer = await self._work(call)
                await record.add(call.line())
                await _drip(answer, send, given.get("every_ms", 200) / 1000, scope["state"]["transport"])

    async def _apply_later(self, call: Call, seconds: float) -> None:
        """A second line is recorded when it takes effect; its `at` is that moment."""
        await asyncio.sleep(seconds)
        call.at = now()
        await self._work(call)
        await self._sandbox.record.add(call.line())

    async def _show_record(self, request: Request) -> Response:
        return JSONResponse(self._sandbox.record.lines)

    async def _set_knobs(self, request: Request) -> Response:
        knobs = self._sandbox.knobs
        if request.method == "DELETE":
            knobs.set.clear()
        elif request.method == "POST":
            try:
                knobs.set.append(Knob.parse(await request.json()))
            except (ValueError, AttributeError, TypeError) as error:
                return JSONResponse({"error": str(error)}, 422)
        return JSONResponse([knob.shown() for knob in knobs.set])


def _replay(body: bytes) -> Receive:
    """The body that was read already, for those who want to read it again."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return pending.pop() if pending else {"type": "http.disconnect"}

    return receive


async def _deliver(answer: Sequence[Message], send: Send) -> None:
    for message in answer:
        await send(message)


async def _break_off(answer: Sequence[Message], send: Send, *, share: float) -> None:
    """The headers leave, and of the first body such a share."""
    for message in answer:
        if message["type"] != "http.response.start":
            body = message.get("body", b"")
            await send({**message, "body": body[: int(len(body) * share)], "more_body": True})
            return
        await send(message)


async def _drip(answer: Sequence[Message], send: Send, every: float, transport: asyncio.Transport) -> None:
    for message in answer:
        body = message.get("body", b"")
        for position in range(len(body) - 1):
            await send({**message, "body": body[position : position + 1], "more_body": True})
            await asyncio.sleep(every)
            if transport.is_closing():
                return
        await send({**message, "body": body[-1:]} if body else message)


async def _hang_up(scope: Scope, receive: Receive, *, reset: bool) -> None:
    """Close the connection under the request: the client gets no byte of an answer.

    ASGI has no word for this, so it goes to the transport. Waiting for the disconnect keeps uvicorn
    from answering 500 in place of an application that returned nothing.
    """
    transport: asyncio.Transport = scope["state"]["transport"]
    if reset and not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


class _Server(uvicorn.Server):
    """Tells where it listens once it does."""

    def __init__(self, config: uvicorn.Config, home: Path, address: str) -> None:
        super().__init__(config)
        self._file, self._address = home / "address", address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        written = self._file.with_name("address.new")
        with written.open("w") as file:
            file.write(self._address)
            file.flush()
            os.fsync(file.fileno())
        written.replace(self._file)
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def configured(sandbox: Sandbox) -> uvicorn.Config:
    """How a sandbox that was built is served."""
    greets = sandbox.greets
    return uvicorn.Config(
        _Front(sandbox),
        http=type("Stamping", (_Stamping,), {"greets": None if greets is None else staticmethod(greets)}),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_level="error",
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )


def serve(build: Build, argv: Sequence[str]) -> None:
    """Run a sandbox until SIGTERM or SIGINT; then the process ends with code 0. Raises OSError if it cannot listen."""
    parser = argparse.ArgumentParser(description="A sandbox outlet server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    given = parser.parse_args(argv)
    given.home.mkdir(parents=True, exist_ok=True)
    (given.home / "address").unlink(missing_ok=True)

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(0)

    # uvicorn stops in good order and then raises the signal again, for whoever was there before.
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    listener = listening(given.host, given.port, given.home / "port")
    address = f"http://{given.host}:{listener.getsockname()[1]}"
    sandbox = Sandbox(given.home, address)
    build(sandbox)
    config = configured(sandbox)
    try:
        _Server(config, given.home, address).run(sockets=[listener])
    finally:
        (given.home / "address").unlink(missing_ok=True)
