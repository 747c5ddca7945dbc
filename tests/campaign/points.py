"""Every place at which a process may be made to die, stand still, or meet an error of the system.

    points = Points(folder); points.install()        # in the process that is to be a victim, and nowhere else
    points.order(Order("…/send/after", nth=3))        # from outside, through the folder, at any time

A point is `function/what/when`: the function of ours that did it; commit, send, answer, rename or unlink;
before or after. A commit is named by who opened the transaction, bytes by the channel's own function (or, of
a shot, by the one that armed it). Each hit is a line of `hits`, written with one call, so that a death at
the point itself is counted too. The product knows nothing of this: its functions are replaced here.
"""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol

import psycopg
from sqlalchemy import Connection

from sync.clock import SystemClock
from sync.http import Http, HttpShot
from sync.store.session import Store

ROOT = Path(__file__).resolve().parents[2]
OURS = ("sync", "channels", "tasks")
FIRED = ("_fire", "_answer")  # of HttpShot: these send what a channel's `arm` made
Act = Literal["die", "freeze", "fail", "sever", "cut"]


@dataclass(frozen=True)
class Order:
    """At the `nth` hit of a point that matches, counted in the process that hits it: die (no handler runs), freeze
    (until somebody sends SIGCONT), or fail with an OSError. Of a commit on PostgreSQL: sever the connection before
    the server is told, or cut it when the server was told and has not answered. The first to get there does it, once.
    """

    point: str  # a pattern: * ? […]
    nth: int = 1
    act: Act = "die"
    name: str = "1"


class Points:
    """The points of this process. `told` is called at each hit, before anything is ordered, with the point's name."""

    def __init__(self, folder: Path | None = None, told: Callable[[str], None] | None = None) -> None:
        """`folder`: where orders come from, and hits and acts go to; without one, orders are given to this object."""
        self._folder, self._told = folder, told
        self._orders: list[tuple[Order, list[int]]] = []
        self._read = 0
        self._guard = threading.Lock()
        self._hits = -1
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._hits = os.open(folder / "hits", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def order(self, *orders: Order) -> None:
        """These and no others. With a folder they hold in every victim that looks there."""
        if self._folder is None:
            self._orders = [(one, [0]) for one in orders]
            return
        give(self._folder, *orders)

    def hit(self, point: str, connection: Connection | None = None) -> None:
        if self._told is not None:
            self._told(point)
        if self._hits >= 0:
            os.write(self._hits, f"{os.getpid()} {point}\n".encode())
        with self._guard:
            self._look()
            due = [order for order, count in self._orders if fnmatchcase(point, order.point) and _reached(order, count)]
        for order in due:
            if self._mine(order, point):
                perform(order.act, point, connection)

    def install(self) -> None:
        """Replace what is to be watched, in this whole process, for good."""
        _watch_commits(self.hit)
        _watch_sockets(self.hit)
        _watch_files(self.hit)

    def _look(self) -> None:
        if self._folder is None:
            return
        try:
            changed = (self._folder / "orders").stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed != self._read:
            self._read = changed
            given = json.loads((self._folder / "orders").read_text())
            self._orders = [(Order(**one), [0]) for one in given]

    def _mine(self, order: Order, point: str) -> bool:
        if self._folder is None:
            return True
        with suppress(FileExistsError):
            taken = os.open(self._folder / f"act-{order.name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(taken, f"{os.getpid()} {SystemClock().now()} {point}\n".encode())
            os.close(taken)
            return True
        return False


def give(folder: Path, *orders: Order) -> None:
    """Orders for every victim that looks into this folder. Each needs a name that none had before."""
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "orders.new"
    written.write_text(json.dumps([asdict(one) for one in orders]))
    written.replace(folder / "orders")


def acted(folder: Path, name: str) -> tuple[int, int, str] | None:
    """Who obeyed the order of this name, when (µs UTC) and where; None: nobody yet."""
    try:
        pid, at, point = (folder / f"act-{name}").read_text().split(maxsplit=2)
    except (FileNotFoundError, ValueError):
        return None
    return int(pid), int(at), point.strip()


def hits(folder: Path) -> Counter[str]:
    """How often each point was hit."""
    path = folder / "hits"
    return Counter(line.split(maxsplit=1)[1] for line in path.read_text().splitlines()) if path.exists() else Counter()


def perform(act: Act, point: str, connection: Connection | None = None) -> None:
    match act:
        case "die":
            os._exit(9)  # as a kill: no handler, no flush
        case "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "fail":
            raise OSError(5, f"ordered at {point}")
        case "sever" | "cut":
            if connection is not None:
                _cut(connection, told=act == "cut")


def _cut(connection: Connection, *, told: bool) -> None:
    """End the connection to a PostgreSQL server; `told`: after COMMIT was sent to it, whose answer is then lost."""
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, psycopg.Connection)
    if told:
        raw.pgconn.send_query(b"COMMIT")
        raw.pgconn.flush()
    line = socket.socket(fileno=os.dup(raw.pgconn.socket))
    with line:
        line.shutdown(socket.SHUT_RDWR)


def _reached(order: Order, count: list[int]) -> bool:
    count[0] += 1
    return count[0] == order.nth


# what is watched


class Hit(Protocol):
    def __call__(self, point: str, connection: Connection | None = None) -> None: ...


def _watch_commits(hit: Hit) -> None:
    for name in ("write", "beside"):
        _watch_commit(name, hit)


def _watch_commit(name: str, hit: Hit) -> None:
    real = getattr(Store, name)

    @contextmanager
    def watched(self: Store) -> Iterator[Connection]:
        who = _who(sys._getframe(2))
        with real(self) as connection:
            yield connection
            hit(f"{who}/commit/before", connection)
        hit(f"{who}/commit/after")

    setattr(Store, name, watched)


class _Watched(socket.socket):
    """A connection of the egress that says what is sent and read. `armed`: the function that made it, for a shot."""

    hit: Callable[[str], None]
    armed: str

    def send(self, *given: Any) -> int:
        with self._around("send"):
            return super().send(*given)

    def sendall(self, *given: Any) -> None:
        with self._around("send"):
            super().sendall(*given)

    def recv_into(self, *given: Any) -> int:
        with self._around("answer"):
            return super().recv_into(*given)

    @contextmanager
    def _around(self, what: str) -> Iterator[None]:
        who = _channel(sys._getframe(3)) or self.armed
        self.hit(f"{who}/{what}/before")
        yield
        self.hit(f"{who}/{what}/after")


def _watch_sockets(hit: Callable[[str], None]) -> None:
    real = Http._dial

    def dial(self: Http, host: str, port: int, timeout: float | None) -> socket.socket:
        plain = real(self, host, port, timeout)
        waits = plain.gettimeout()
        watched = _Watched(fileno=plain.detach())
        watched.settimeout(waits)
        watched.hit, watched.armed = hit, f"shot of {_channel(sys._getframe(1))}"
        return watched

    Http._dial = dial  # type: ignore[method-assign]
    assert HttpShot is not None


def _watch_files(hit: Callable[[str], None]) -> None:
    for name, what in (("rename", "rename"), ("replace", "rename"), ("link", "rename"), ("unlink", "unlink")):
        _watch_file(name, what, hit)


def _watch_file(name: str, what: str, hit: Callable[[str], None]) -> None:
    real = getattr(os, name)

    def watched(*given: Any, **named: Any) -> None:
        who = _who(sys._getframe(1))
        if not who:  # not of ours: a temporary file of a library
            return real(*given, **named)  # type: ignore[no-any-return]
        hit(f"{who}/{what}/before")
        real(*given, **named)
        hit(f"{who}/{what}/after")
        return None

    setattr(os, name, watched)


def _frames(frame: FrameType | None) -> Iterator[tuple[str, str]]:
    """Module and function of ours, innermost first."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] in OURS or module.startswith("tests.campaign.wire"):
            yield module, frame.f_code.co_qualname.replace("<locals>.", "")
        frame = frame.f_back


def _who(frame: FrameType | None) -> str:
    """The innermost function of ours, but for those that only pass on."""
    for module, function in _frames(frame):
        if module not in ("sync.store.session", "sync.store.sqlite", "sync.store.postgres"):
            return f"{module}.{function}"
    return ""


def _channel(frame: FrameType | None) -> str:
    """The channel's own public function that is under way."""
    found = ""
    for module, function in _frames(frame):
        if module.startswith(("channels.", "tests.campaign.wire")):
            found = f"{module}.{function}"  # the outermost: what the engine called
    return found


# what there is to be watched


def in_source(*folders: str) -> dict[str, set[str]]:
    """The points of these folders, found by reading the code: kind → functions that contain such a place."""
    found: dict[str, set[str]] = {"commit": set(), "rename": set(), "unlink": set()}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for function, call in _calls(ast.parse(path.read_text())):
                if (kind := _kind(call)) is not None:
                    found[kind].add(f"{module}.{function}")
    return found


def _calls(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.Call]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from _calls(node, f"{inside}.{node.name}" if inside else node.name)
            continue
        if isinstance(node, ast.Call):
            yield inside, node
        yield from _calls(node, inside)


def _kind(call: ast.Call) -> str | None:
    if not isinstance(call.func, ast.Attribute):
        return None
    of = ast.unparse(call.func.value)
    match call.func.attr:
        case "write" | "beside" if of.endswith("store") and not call.args:
            return "commit"
        case "rename" | "link":
            return "rename"
        case "replace" if len(call.args) == 1 and not call.keywords:
            return "rename"
        case "unlink":
            return "unlink"
    return None
