"""Time, database, sender loop and process in the test's hand."""

from __future__ import annotations

import heapq
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pysqlite3
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.exc import OperationalError

from sync.clock import SECOND, SetClock
from sync.engine.context import Context
from sync.engine.sender import Sender
from sync.ownership import ProcessLock
from sync.store.session import Store
from sync.store.sqlite import Sqlite

ROOT = Path(__file__).resolve().parents[2]
BEGAN = 1_800_000_000 * SECOND
REMEMBERED = 3 * SECOND  # as the sweeper: what was rung is rung again only after this
LANES = {"prepare": ("prepare", "discard", "reconcile", "verify", "carry", "withdraw"), "release": ("release",)}


class CreepingClock(SetClock):
    """Moves on by a microsecond at each look, so that whoever spins until an instant gets there."""

    def __init__(self) -> None:
        super().__init__(BEGAN)
        self._lock = threading.Lock()

    def now(self) -> int:
        with self._lock:
            self._now += 1
            return self._now

    def boottime(self) -> float:
        return self.now() / SECOND

    def reach(self, instant: int) -> None:
        """Stand at `instant`, unless it is later already."""
        with self._lock:
            self._now = max(self._now, instant)


class StoreInHand(Store):
    """The database with the test's clock; `breaks` says of the coming writes whether they fail at their commit."""

    def __init__(self, url: str, clock: CreepingClock) -> None:
        super().__init__(url)
        self._clock = clock
        assert isinstance(self.database, Sqlite)
        self.database.engine, self.database.writes = _one_engine(self.database)
        self.breaks: deque[bool] = deque()
        self.offset = 0  # µs by which the database's clock is ahead of the host's
        self.gone = False  # its process died: nothing is stored any more

    def now(self, connection: Connection) -> int:
        return self._clock.now() + self.offset

    @contextmanager
    def write(self) -> Iterator[Connection]:
        broken = self.gone or (self.breaks.popleft() if self.breaks else False)
        with super().write() as connection:
            yield connection
            if broken:
                raise OperationalError("COMMIT", {}, Exception("disk I/O error"))


_engines: list[tuple[Engine, OptionEngine]] = []
_database: list[Path] = []


def _connect(dialect: object, record: object, given: list[Any], named: dict[str, Any]) -> Any:
    return pysqlite3.connect(_database[0], **named)


def _one_engine(store: Sqlite) -> tuple[Engine, OptionEngine]:
    """The engine of the first store, for all: it keeps the compiled statements, which cost more than what they do."""
    if not _engines:
        _engines.append((store.engine, store.writes))
        event.listen(store.engine, "do_connect", _connect)
        # A power cut is not tried here, so nobody need wait for the disk.
        event.listen(store.engine, "connect", lambda raw, record: raw.execute("PRAGMA synchronous=OFF"))
    _database[:] = [store.path]
    return _engines[0]


class Kept:
    """Hands on what a block raises, and goes on: a thread of a process that fails ends, and no other."""

    def __init__(self, told: Callable[[BaseException], None]) -> None:
        self._told = told
        self.raised = False

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.raised = isinstance(error, Exception)
        if isinstance(error, Exception):
            self._told(error)
        return self.raised


class SenderInHand(Sender):
    """The sender loop, turned by `World.run`: acts run by instant. A loop in which an act raised is dead."""

    def __init__(self, clock: CreepingClock, failed: Callable[[BaseException], None]) -> None:
        self.clock = clock
        self.dead = False
        self._failed = failed
        self._acts: list[tuple[float, int, bool, Callable[[], None]]] = []
        self._handed = 0

    def at(self, instant: float, act: Callable[[], None], *, final: bool = False) -> None:
        self._push(instant, True, act)

    def later(self, instant: float, act: Callable[[], None], *, final: bool = False) -> None:
        self._push(instant, False, act)

    def soon(self, act: Callable[..., None], *given: object) -> None:
        self._push(self.clock.boottime(), False, partial(act, *given))

    def stop(self, within: float = 5.0) -> None:
        self.dead = True

    def due_at(self) -> int | None:
        """When the next act is due, µs UTC; the two faces of this clock are one."""
        return round(self._acts[0][0] * SECOND) if self._acts and not self.dead else None

    def pop(self) -> Callable[[], None]:
        """The next act, taken out."""
        return heapq.heappop(self._acts)[3]

    def turn(self) -> bool:
        """Run the next act if it is due."""
        if self.dead or not self._acts or self._acts[0][0] > self.clock.boottime():
            return False
        _, _, in_the_loop, act = heapq.heappop(self._acts)
        with Kept(self._failed) as kept:
            act()
        self.dead = self.dead or (kept.raised and in_the_loop)
        return True

    def _push(self, instant: float, in_the_loop: bool, act: Callable[[], None]) -> None:
        self._handed += 1
        heapq.heappush(self._acts, (instant, self._handed, in_the_loop, act))


@dataclass
class Process:
    """One worker process: its wiring, its sender loop, its sweeper's memory, and what failed in it."""

    ctx: Context
    sender: SenderInHand
    store: StoreInHand
    lanes: tuple[str, ...]
    failures: list[BaseException]
    rung: dict[tuple[str, str, int], int] = field(default_factory=dict)

    @property
    def duties(self) -> list[str]:
        return [duty for lane in self.lanes for duty in LANES[lane]]

    def first_time(self, one: str, duty: str, due_at: int, now: int) -> bool:
        if now - self.rung.get((one, duty, due_at), 0) < REMEMBERED:
            return False
        self.rung[one, duty, due_at] = now
        return True


class Mortal(ProcessLock):
    """The lock of a real process that can be killed: a child takes it, and its name is lent to this side."""

    TAKE = (
        "import sys, signal; from pathlib import Path; from sync.ownership import ProcessLock\n"
        "print(ProcessLock(Path(sys.argv[1]), sys.argv[2]).name, flush=True); signal.pause()"
    )

    def __init__(self, folder: Path, lane: str) -> None:
        super().__init__(folder, lane)
        self._child = subprocess.Popen(
            [sys.executable, "-c", self.TAKE, str(folder), lane], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._child.stdout is not None
        with self._child.stdout:
            self._lent = self._child.stdout.readline().strip()

    @property
    def name(self) -> str:
        return self._lent

    def kill(self) -> None:
        """kill -9; the kernel lets go of the lock."""
        if self._child.poll() is None:
            os.kill(self._child.pid, signal.SIGKILL)
        self._child.wait()
