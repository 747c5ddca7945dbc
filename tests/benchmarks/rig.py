"""What is measured against: the outlets, in the open and over TLS, and the naive workers.

Everything runs in a folder of its own, on free ports, under a supervisor that ends it all; only what
was started here is ever signalled.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import group

from sync.supervise import Program, Supervisor
from tests.benchmarks import naive
from tests.benchmarks.authority import Authority
from tests.benchmarks.crews import TEN, UPLOADS, Account
from tests.benchmarks.installation import draw
from tests.contract.bench import Server
from tests.services.redis import Redis, running

ROOT = Path(__file__).resolve().parents[2]
SANDBOXES = ("mastodon", "wechat")
POOLS: Mapping[str, tuple[str, ...]] = {
    "prefork": ("-P", "prefork", "-c", "2"),
    "threads": ("-P", "threads", "-c", "16"),
}


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


class SecureServer(Server):
    """A sandbox behind TLS, asked by who trusts its authority."""

    def __init__(self, home: Path, address: str, authority: Authority) -> None:
        super().__init__(home, address)
        self._tls = ssl.create_default_context(cafile=str(authority.trusted))

    def ask(self, method: str, path: str, given: object = None, token: str = "") -> Any:
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        body = None if given is None else json.dumps(given).encode()
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=10, context=self._tls) as answer:
            return json.loads(answer.read())


@dataclass(frozen=True)
class Outlets:
    """The sandbox servers of every kind, and what they recorded."""

    servers: Mapping[str, Server]
    tails: Sequence[Tail]

    @property
    def addresses(self) -> dict[str, str]:
        return {kind: server.address for kind, server in self.servers.items()}

    def record(self) -> list[dict[str, Any]]:
        """Everything they recorded until now."""
        return [line for tail in self.tails for line in tail.lines()]

    def set_delays(self, accounts: Sequence[Account]) -> None:
        """These and no others; rate limits off, they are not what is measured."""
        for server in self.servers.values():
            server.clear()
            server.knob("unlimited", times=0)
        for account in accounts:
            for path, milliseconds in account.delays.items():
                self.servers[account.kind].knob(
                    "delay", method="POST", path=path, account=account.name, times=0, before_ms=milliseconds
                )


@dataclass(frozen=True)
class Rig:
    """Everything that runs beside what is measured."""

    folder: Path
    plain: Outlets
    secure: Outlets
    authority: Authority
    broker: Redis
    tokens: Mapping[str, str]  # of the wechat accounts
    covers: Mapping[str, str]
    picture: Path

    def fire(self, pool: str, mark: str) -> None:
        """The ten tasks as one group, in the order of the table."""
        signatures = [self._task(account, mark).set(queue=pool) for account in TEN]
        group(signatures).apply_async()

    def _task(self, account: Account, mark: str) -> Any:
        address = self.plain.servers[account.kind].address
        if account.kind == "mastodon":
            return naive.post.s(address, f"sandbox-{account.name}", mark)
        token = self.tokens[account.name]
        if UPLOADS[0] in account.delays:
            return naive.illustrated.s(address, token, str(self.picture), mark)
        return naive.article.s(address, token, self.covers[account.name], mark)


@contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    """Everything running and warm, in `folder`."""
    shown = draw(folder / "picture.png")
    authority = Authority.found(folder / "authority")
    with running(folder / "redis") as broker, Supervisor() as supervisor:
        url = broker.fresh()
        for one in (*_outlets(folder / "plain"), *_outlets(folder / "secure", authority), *_naive(folder, url)):
            supervisor.add(one)
        supervisor.start(60)
        naive.app.conf.broker_url = url
        plain = _served([Server(home, _address(home)) for home in _homes(folder / "plain")])
        secure = _served([SecureServer(home, _address(home), authority) for home in _homes(folder / "secure")])
        wechat = plain.servers["wechat"]
        tokens = {a.name: _token(wechat, a.name) for a in TEN if a.kind == "wechat"}
        covers = {name: _cover(wechat, token, shown) for name, token in tokens.items()}
        yield Rig(folder, plain, secure, authority, broker, tokens, covers, shown)


def _outlets(folder: Path, authority: Authority | None = None) -> Iterator[Program]:
    tls = () if authority is None else ("--certificate", str(authority.certificate), "--key", str(authority.key))
    for home in _homes(folder):
        yield Program(
            name=f"{home.name} sandbox, {folder.name}",
            argv=(sys.executable, "-m", "tests.benchmarks.outlet", home.name, "--home", str(home), *tls),
            log=folder / f"{home.name}.log",
            cwd=ROOT,
            ready=(home / "address").exists,
        )


def _naive(folder: Path, broker: str) -> Iterator[Program]:
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


def _homes(folder: Path) -> list[Path]:
    return [folder / kind for kind in SANDBOXES]


def _address(home: Path) -> str:
    return (home / "address").read_text()


def _served(servers: Sequence[Server]) -> Outlets:
    tails = [Tail(server.home / "record.jsonl") for server in servers]
    return Outlets({server.home.name: server for server in servers}, tails)


def _token(wechat: Server, account: str) -> str:
    who = {"appid": f"sandbox-{account}", "secret": f"sandbox-secret-{account}"}
    told = wechat.ask("POST", "/cgi-bin/stable_token", {"grant_type": "client_credential", **who})
    return str(told["access_token"])


def _cover(wechat: Server, token: str, picture: Path) -> str:
    return str(naive._upload(wechat.address, token, "material/add_material?type=image&", str(picture))["media_id"])


@contextmanager
def burning(log: Path) -> Iterator[None]:
    """A process for every core that does nothing but run."""
    with Supervisor() as supervisor:
        for core in os.sched_getaffinity(0):
            supervisor.add(Program(f"busy {core}", (sys.executable, "-c", "while True: pass"), log))
        supervisor.start()
        yield
