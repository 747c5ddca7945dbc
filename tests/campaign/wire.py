"""Outlets behind a socket, in a process that no campaign kills, on a clock that all share; and the channels to them.

What they recorded outlives every victim. They speak a few lines of HTTP, so that a process may die between any
two batches of bytes, and hold what arrived whole: half a request is nothing. `keyed` honours our key and can
list nothing that is public, `searched` lists what it has, `blind` tells nobody anything. Creating twice makes
two posts, where no key forbids it.
"""

from __future__ import annotations

import json
import mmap
import socketserver
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

from channels.memory import MemoryChannel
from sync.clock import SECOND, SetClock
from sync.contract import (
    Accepted,
    Capabilities,
    Place,
    Prepared,
    Probe,
    Receipt,
    Response,
    Reveal,
    Setting,
    Shot,
    Tools,
    Unsupported,
)
from sync.model import Edition, Key, Outlet, Rendition, Sighting

BEGAN = 1_800_000_000 * SECOND
LANDS_WITHIN = 5.0
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".xml": "application/xml"}


class SharedClock(SetClock):
    """One time for all processes that map this file. It moves on by a microsecond at each look, or when it is set."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(BEGAN.to_bytes(8, "little"))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)
        self._lock = threading.Lock()

    def look(self) -> int:
        """Without moving it."""
        return int.from_bytes(self._map[:8], "little")

    def now(self) -> int:
        with self._lock:
            moved = self.look() + 1
            self._map[:8] = moved.to_bytes(8, "little")
            return moved

    def boottime(self) -> float:
        return self.now() / SECOND

    def reach(self, instant: int) -> None:
        """Stand at `instant`, unless it is later already."""
        with self._lock:
            self._map[:8] = max(self.look(), instant).to_bytes(8, "little")


@dataclass
class Held:
    """What one outlet has: drafts and posts by number, (token, content); what it did, in order; keys it knows."""

    drafts: dict[str, tuple[str, str]] = field(default_factory=dict)
    posts: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    record: list[tuple[int, str, str]] = field(default_factory=list)  # when, what, whose


class WireOutlets(socketserver.ThreadingTCPServer):
    """The server. `held`: by outlet. Below `/site` it shows the folder that a website is published into."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, clock: SharedClock, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.clock, self.folder = clock, folder
        self.held: dict[str, Held] = {}
        self.guard = threading.Lock()
        self.planted = ""  # a fault of the outlets' own, for tests of the trial
        self._open = 0
        self._idle = threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True, kwargs={"poll_interval": 0.2}).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def forget(self) -> None:
        with self.guard:
            self.held.clear()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._idle:
            self._open += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._idle:
            self._open -= 1
            self._idle.notify_all()

    def drained(self) -> None:
        """Returns when every connection has ended, and with it all that the dead had sent is done."""
        with self._idle:
            assert self._idle.wait_for(lambda: self._open == 0, timeout=20), f"{self._open} connections are still open"


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer is one batch of bytes, so that a case has as many hits each time
    server: WireOutlets

    def log_message(self, format: str, *args: object) -> None:
        return

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the victim died while it was answered
            self.close_connection = True

    def do_GET(self) -> None:
        name, _, rest = self.path.lstrip("/").partition("/")
        if name == "site":
            return self._file(unquote(rest))
        with self.server.guard:
            held = self.server.held.setdefault(name, Held())
            if rest == "all":
                found: Any = {"drafts": held.drafts, "posts": {} if name == "keyed" else held.posts}
                return self._answer(200, found)
            post = held.posts.get(rest.removeprefix("posts/"))
            return self._answer(200 if post else 404, post)

    def do_POST(self) -> None:
        name, _, what = self.path.lstrip("/").partition("/")
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # its sender is gone, and half a request is none
            self.close_connection = True
            return None
        told, key = json.loads(body), self.headers.get("Idempotency-Key", "")
        with self.server.guard:
            held = self.server.held.setdefault(name, Held())
            ref = self._made(held, name, what, told, key)
        return self._answer(200, {"ref": ref})

    def _made(self, held: Held, name: str, what: str, told: Mapping[str, str], key: str) -> str:
        if name == "keyed" and key in held.keys and self.server.planted != "keys":
            return held.keys[key]
        at, ref = self.server.clock.look(), f"{len(held.record) + 1}"
        if what == "drafts":
            held.drafts[ref] = told["token"], told["content"]
        else:
            held.posts[ref] = told["token"], told["content"], at
            held.keys[key] = ref
        held.record.append((at, what, told["token"]))
        return ref

    def _file(self, path: str) -> None:
        file = self.server.folder / path
        if not file.is_file():
            return self._send(404, b"", "text/plain")
        return self._send(200, file.read_bytes(), TYPES.get(file.suffix, "application/octet-stream"))

    def _answer(self, status: int, told: object) -> None:
        self._send(status, json.dumps(told).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Searched(MemoryChannel):
    """A channel to such an outlet, through the one egress."""

    kind: ClassVar[str] = "searched"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.CREATE,
        probe=Probe.SEARCH,
        lands_within=LANDS_WITHIN,
        settings=(Setting("base", "地址", "address", required=True),),
    )

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        self._http, self._base = tools.http, f"{outlet.settings['base']}/{outlet.kind}"
        self._now = tools.now

    def login(self) -> None:
        self._all()

    def render(self, edition: Edition, place: Place) -> Rendition:
        return Rendition(edition.title, edition.body, {"canonical": place.canonical or ""}, (), ())

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        made = self._http.call("POST", f"{self._base}/drafts", creates=True, body=_body(key, rendition))
        return Prepared(_ref(made))

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        def settle(answer: Response) -> Receipt | Accepted:
            return self._receipt(_ref(answer), self._now())

        body, headers = _body(key, rendition), {"Idempotency-Key": key.token}
        return self._http.shot("POST", f"{self._base}/posts", headers=headers, body=body, settle=settle)

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        known = self._all()
        for ref, (token, _, at) in known["posts"].items():
            if token == key.token:
                return self._receipt(ref, at)
        for ref, (token, _) in known["drafts"].items():
            if token == key.token:
                return Prepared(ref)
        return None

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        began = self._now()
        return Sighting(self._http.read(receipt.url).status == 200, began, self._now())

    def _all(self) -> dict[str, Any]:
        answer = self._http.call("GET", f"{self._base}/all", creates=False)
        found: dict[str, Any] = json.loads(answer.body)
        return found

    def _receipt(self, ref: str, at: int) -> Receipt:
        return Receipt(ref, f"{self._base}/posts/{ref}", at)


class Keyed(Searched):
    """Nothing that is public is found again: what is in doubt is sent again, with its key."""

    kind = "keyed"
    can: ClassVar[Capabilities] = replace(Searched.can, probe=Probe.KEY)


class Blind(Searched):
    """Cannot be asked after doubt."""

    kind = "blind"
    can: ClassVar[Capabilities] = replace(Searched.can, probe=Probe.BLIND)

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        raise Unsupported("nothing can be looked up here")


def _body(key: Key, rendition: Rendition) -> bytes:
    return json.dumps({"token": key.token, "content": rendition.digest}).encode()


def _ref(answer: Response) -> str:
    return str(json.loads(answer.body)["ref"])
