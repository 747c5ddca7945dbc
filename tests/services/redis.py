"""A Redis server of the tests' own: a free port, a folder of its own, and everything that may happen to one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0  # seconds until a server that should answer counts as broken
DATABASES = 1024  # each installation takes one, so that none hears another's rings


class Redis:
    """`redis-server` on one port for its life, however often it is stopped and started."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", options: Sequence[str] = ("--save", "")) -> None:
        """Nothing runs yet. Without `--save` and append-only file it forgets all when it is stopped."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.host, self.port = folder, host, free_port(host)
        self._options = tuple(options)
        self._process: subprocess.Popen[bytes] | None = None
        self._taken = 0

    def url(self, database: int = 0) -> str:
        return f"redis://{self.host}:{self.port}/{database}"

    def fresh(self) -> str:
        """The address of a database that nobody was given before."""
        self._taken += 1
        return self.url(self._taken % DATABASES)

    def start(self) -> None:
        """Returns when it answers. It dies with this process."""
        assert self._process is None, "it runs already"
        died_with_us = [sys.executable, "-I", "-S", str(ROOT / "sync" / "child.py"), str(os.getpid())]
        where = ("--port", str(self.port), "--bind", self.host, "--dir", str(self.folder))
        many = ("--databases", str(DATABASES), "--protected-mode", "no")
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*died_with_us, "/usr/bin/redis-server", *where, *many, *self._options], stdout=log, stderr=log
            )
        ends = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < ends, (self.folder / "redis.log").read_text()
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """As a crash by default: connections are closed, and from now on refused."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(PATIENCE)
        self._process = None

    def freeze(self) -> None:
        """It accepts connections, by the kernel's hand, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """Everything in it is gone, also what it knows of queues."""
        with redis.Redis(host=self.host, port=self.port) as client:
            client.flushall()

    def listening(self) -> int:
        """How many workers wait for the next message: one that has gone deaf is not among them."""
        with redis.Redis(host=self.host, port=self.port) as client:
            return sum(one["cmd"] == "brpop" for one in client.client_list())

    def rung(self) -> int:
        """How many messages it was ever given."""
        with redis.Redis(host=self.host, port=self.port) as client:
            return int(client.info("commandstats").get("cmdstat_lpush", {}).get("calls", 0))

    def length(self, queue: str, url: str) -> int:
        """How many messages wait in a queue of the database at `url`."""
        with redis.Redis.from_url(url) as client:
            return int(client.llen(queue))

    @property
    def runs(self) -> bool:
        return self._process is not None

    def _answers(self) -> bool:
        try:
            with redis.Redis(host=self.host, port=self.port, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago, below those that the kernel gives to callers."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(folder: Path, host: str = "127.0.0.1") -> Iterator[Redis]:
    """A Redis server for the time of the block."""
    server = Redis(folder, host)
    server.start()
    try:
        yield server
    finally:
        if server.runs:
            server.thaw()
            server.stop()
