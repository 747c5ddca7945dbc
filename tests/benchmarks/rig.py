"""What is measured and what it is measured with: an installation with its workers, outlets, naive workers.

Everything runs in a folder of its own, on free ports, under a supervisor that ends it all; only what
was started here is ever signalled.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import group
from PIL import Image, ImageDraw

from sync.bootstrap import context, create_home, sandbox_home
from sync.clock import SystemClock, iso
from sync.engine.context import Context
from sync.engine.plan import Order, plan
from sync.programs import workers
from sync.settings import Settings, read_settings
from sync.store import deliveries, outlets, releases
from sync.store.tables import Record
from sync.supervise import Program, Supervisor
from tests.benchmarks import naive
from tests.contract.bench import Server

ROOT = Path(__file__).resolve().parents[2]
SANDBOXES = ("mastodon", "wechat")
POOLS: Mapping[str, tuple[str, ...]] = {
    "prefork": ("-P", "prefork", "-c", "2"),
    "threads": ("-P", "threads", "-c", "16"),
}
POST, DRAFT, SUBMIT = "/api/v1/statuses", "/cgi-bin/draft/add", "/cgi-bin/freepublish/submit"
UPLOADS = ("/cgi-bin/material/add_material", "/cgi-bin/media/uploadimg")


@dataclass(frozen=True)
class Account:
    """An outlet, and how long it takes to answer each call (ms)."""

    name: str
    kind: str
    delays: Mapping[str, int]


TEN = (
    *(Account(f"quick-{n}", "mastodon", {POST: 20}) for n in range(4)),
    *(Account(f"middle-{n}", "wechat", {DRAFT: 80, SUBMIT: 80}) for n in range(3)),
    Account("slow", "mastodon", {POST: 300}),
    *(Account(f"pictures-{n}", "wechat", {**dict.fromkeys(UPLOADS, 80), SUBMIT: 300}) for n in range(2)),
)
FAST = tuple(Account(f"fast-{n}", "mastodon", {}) for n in range(10))


class Tail:
    """A sandbox's record as it grows: what was read once is not read again."""

    def __init__(self, path: Path) -> None:
        self._path, self._position = path, 0
        self._lines: list[dict[str, Any]] = []

    def lines(self) -> list[dict[str, Any]]:
        with self._path.open("rb") as file:
            file.seek(self._position)
            whole, end, _ = file.read().rpartition(b"\n")
        self._position += len(whole) + len(end)
        self._lines += [json.loads(line) for line in whole.splitlines()]
        return self._lines


@dataclass
class Rig:
    """Everything that runs. `ready_s`: from the start of both workers until both serve."""

    ctx: Context
    supervisor: Supervisor
    sandbox: Mapping[str, Server]
    tokens: Mapping[str, str]  # of the wechat accounts
    covers: Mapping[str, str]
    picture: Path
    ready_s: float
    tails: Sequence[Tail]

    # ours

    def plan(self, mark: str, at: int | None, accounts: Sequence[Account], *, picture: bool = True) -> str:
        """A text of its own to these accounts at the instant (µs UTC; None: now); returns the release's id."""
        shown = f"\n![picture]({self.picture.name})\n" if picture else ""
        file = self.picture.with_name(f"{mark}.md")
        file.write_text(f"---\ntitle: {mark} text\nsummary: A text, {mark}.\n---\n\nOne paragraph of {mark}.\n{shown}")
        when = "now" if at is None else iso(at)
        return plan(self.ctx, Order((str(file),), tuple(a.name for a in accounts), at=when))

    def rows(self, release: str) -> Sequence[Record]:
        with self.ctx.store.read() as connection:
            return deliveries.of_release(connection, release)

    def late(self, planned: Sequence[str]) -> int:
        """How many of these releases were committed only after their instant."""
        with self.ctx.store.read() as connection:
            rows = [releases.get(connection, release) for release in planned]
        return sum(row.committed_at is not None and row.committed_at > row.release_at for row in rows)

    def settled(self, planned: Sequence[str], within: float) -> list[str]:
        """Waits until all deliveries of these releases are verified; returns what is not by then, in words."""
        ends = time.monotonic() + within
        while True:
            open_ = [
                f"{release}: {row.outlet} is {row.state} {row.problems}"
                for release in planned
                for row in self.rows(release)
                if row.state != "verified"
            ]
            if not open_ or time.monotonic() > ends:
                return open_
            time.sleep(0.5)

    # naive

    def fire(self, pool: str, mark: str) -> None:
        """The ten tasks as one group, in the order of the table."""
        signatures = [self._task(account, mark).set(queue=pool) for account in TEN]
        group(signatures).apply_async()

    def _task(self, account: Account, mark: str) -> Any:
        address = self.sandbox[account.kind].address
        if account.kind == "mastodon":
            return naive.post.s(address, f"sandbox-{account.name}", mark)
        token = self.tokens[account.name]
        if UPLOADS[0] in account.delays:
            return naive.illustrated.s(address, token, str(self.picture), mark)
        return naive.article.s(address, token, self.covers[account.name], mark)

    # outlets

    def record(self) -> list[dict[str, Any]]:
        """Everything the outlets recorded until now."""
        return [line for tail in self.tails for line in tail.lines()]

    def set_delays(self, accounts: Sequence[Account]) -> None:
        """These and no others; rate limits off, they are not what is measured."""
        for server in self.sandbox.values():
            server.clear()
            server.knob("unlimited", times=0)
        for account in accounts:
            for path, milliseconds in account.delays.items():
                self.sandbox[account.kind].knob(
                    "delay", method="POST", path=path, account=account.name, times=0, before_ms=milliseconds
                )


@contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    """Everything running and warm, in a home below `folder`."""
    home = folder / "home"
    # Said outright, so that no variable of whoever runs this points it at an installation in use.
    settings = read_settings(home=home, database_url=f"sqlite:///{home / 'tongfa.sqlite3'}", broker_url=None)
    create_home(settings, SystemClock())
    ctx = context(settings, "command", person="benchmark")
    _add_outlets(ctx, (*TEN, *FAST))
    picture = folder / "items" / "picture.png"
    picture.parent.mkdir()
    image = Image.new("RGB", (320, 160), "white")
    ImageDraw.Draw(image).text((20, 60), "route 12", fill="black", font_size=40)
    image.save(picture)
    with Supervisor() as supervisor:
        for one in (*_outlets(settings), broker := _redis(folder)):
            supervisor.add(one)
        supervisor.start()
        began = time.monotonic()
        for one in workers(settings):
            supervisor.add(one)
        supervisor.start()
        ready_s = time.monotonic() - began
        url = f"redis://127.0.0.1:{broker.argv[2]}/0"
        for one in _naive_workers(folder, url):
            supervisor.add(one)
        supervisor.start()
        naive.app.conf.broker_url = url
        sandbox = {kind: _server(settings, kind) for kind in SANDBOXES}
        tokens = {a.name: _token(sandbox["wechat"], a.name) for a in TEN if a.kind == "wechat"}
        covers = {name: _cover(sandbox["wechat"], token, picture) for name, token in tokens.items()}
        tails = [Tail(server.home / "record.jsonl") for server in sandbox.values()]
        made = Rig(ctx, supervisor, sandbox, tokens, covers, picture, ready_s, tails)
        made.set_delays(TEN)
        yield made


def _add_outlets(ctx: Context, accounts: Sequence[Account]) -> None:
    with ctx.store.write() as connection:
        for one in accounts:
            values: dict[str, Any] = {
                "name": one.name,
                "unit": outlets.LOCAL_UNIT,
                "kind": one.kind,
                "settings": {},
                "secrets": {},
                "groups": [],
                "required": True,
                "live": False,
                "private_network": False,
            }
            outlets.add(connection, values, at=ctx.store.now(connection), actor=ctx.actor)


def _outlets(settings: Settings) -> Iterator[Program]:
    for kind in SANDBOXES:
        home = sandbox_home(settings, kind)
        yield Program(
            name=f"{kind} sandbox",
            argv=(sys.executable, "-m", "tests.benchmarks.outlet", kind, "--home", str(home)),
            log=settings.home / "log" / f"sandbox-{kind}.log",
            cwd=ROOT,
            ready=(home / "address").exists,
        )


def _redis(folder: Path) -> Program:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])

    def answers() -> bool:
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", port)) == 0

    keeps_nothing = ("--save", "", "--appendonly", "no", "--dir", str(folder))
    argv = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", *keeps_nothing)
    return Program(name="redis", argv=argv, log=folder / "redis.log", ready=answers)


def _naive_workers(folder: Path, broker: str) -> Iterator[Program]:
    for pool, how in POOLS.items():
        mark = folder / f"{pool}.ready"
        which = ("-Q", pool, "-n", f"{pool}@%h", *how)
        yield Program(
            name=f"naive {pool}",
            argv=(sys.executable, "-m", "celery", "-A", "tests.benchmarks.naive", "worker", *which),
            log=folder / f"naive-{pool}.log",
            env={"NAIVE_BROKER": broker, "NAIVE_READY": str(mark), "NO_PROXY": "127.0.0.1"},
            cwd=ROOT,
            ready=mark.exists,
        )


def _server(settings: Settings, kind: str) -> Server:
    home = sandbox_home(settings, kind)
    return Server(home, (home / "address").read_text())


def _token(wechat: Server, account: str) -> str:
    who = {"appid": f"sandbox-{account}", "secret": f"sandbox-secret-{account}"}
    told = wechat.ask("POST", "/cgi-bin/stable_token", {"grant_type": "client_credential", **who})
    return str(told["access_token"])


def _cover(wechat: Server, token: str, picture: Path) -> str:
    return str(naive._upload(wechat.address, token, "material/add_material?type=image&", str(picture))["media_id"])


@contextmanager
def burning(installed: Rig) -> Iterator[None]:
    """A process for every core that does nothing but run."""
    with Supervisor() as supervisor:
        for core in os.sched_getaffinity(0):
            log = installed.ctx.settings.home / "log" / "busy.log"
            supervisor.add(Program(f"busy {core}", (sys.executable, "-c", "while True: pass"), log))
        supervisor.start()
        yield
