"""Simulated processes in one thread: each with its own clock, lock, sender loop and sweeper's memory.

Everything that happens has one of the universe's instants (µs, "true time"), and everything that is left to
chance is drawn from the seed. A process goes through *points*: before and after each commit, around each
outlet call, before the last look. At a point it may die (`Killed` unwinds what it was doing), freeze, or only
be slow: then the others go on meanwhile, inside the very call, and it resumes when they are done.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import pysqlite3
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from sync.clock import MILLISECOND, SECOND
from sync.engine.verify import AFTER_SHOTS
from sync.ownership import Holder
from sync.store.deliveries import Superseded
from sync.store.session import Store
from tests.integration.hand import BEGAN, LANES, REMEMBERED, CreepingClock, SenderInHand, StoreInHand

if TYPE_CHECKING:
    from sync.engine.context import Context
    from sync.store.postgres import Postgres
    from sync.store.sqlite import Sqlite

JITTER = 60 * MILLISECOND  # µs until a sweeper's look finds what is due
DEEPEST = 3  # processes that are stopped inside each other
MOST_EVENTS = 4_000  # of one seed: beyond it something spins
Duty = tuple[str, str, int]


class Killed(BaseException):
    """The process that was at work is gone; nothing below catches this."""


class Broken(BaseException):
    """A promise was broken; the engine must not take it for an outlet's answer."""


class HostClock(CreepingClock):
    """A host's two clocks: the wall clock may be wrong, the other never steps. Both creep at each look."""

    def __init__(self, universe: Universe) -> None:
        super().__init__()
        self._universe = universe
        self.offset = 0  # µs by which the wall clock is wrong

    def now(self) -> int:
        return self._universe.tick() + self.offset

    def boottime(self) -> float:
        return self._universe.tick() / SECOND


class SimLock:
    """Ownership by being alive: a name that the universe knows, until its process dies or its session is cut."""

    def __init__(self, universe: Universe, host: Host, lane: str) -> None:
        universe.named += 1
        self._universe, self._host, self._lane = universe, host, lane
        self.name = f"{lane}-{universe.named:016x}"
        universe.locks[self.name] = True

    def is_dead(self, name: str) -> bool:
        if name == self.name and not self._host.writing:  # so asks only the last look
            self._universe.point(self._host, "last look")
        return not self._universe.locks[name]

    def living(self, lane: str | None = None) -> list[Holder]:
        universe = self._universe
        names = [one.lock.name for one in universe.hosts if lane in one.lanes and universe.locks[one.lock.name]]
        return [Holder(name, 1, "here", lane or "", 0) for name in names]

    def release(self) -> None:
        self._universe.locks[self.name] = False


class SimStore(StoreInHand):
    """The database as one process sees it; its clock is wrong by the universe's `database_offset`."""

    def __init__(self, url: str, clock: HostClock, universe: Universe, host: Host) -> None:
        if universe.database is None:
            super().__init__(url, clock)
            universe.database = self.database
        else:  # a process's own would cost as much as all that it does
            self.url, self.database, self._clock = url, universe.database, clock
            self.breaks, self.offset, self.gone = deque(), 0, False
        self._universe, self._host = universe, host

    def now(self, connection: Connection) -> int:
        return self._universe.tick() + self._universe.database_offset

    @contextmanager
    def write(self) -> Iterator[Connection]:
        universe, host = self._universe, self._host
        universe.point(host, "before a commit", inside=True)
        full = universe.fails_to_commit(host)
        with Store.write(self) as connection:
            host.writing = True
            try:
                yield connection
            finally:
                host.writing = False
            if full:
                raise OperationalError("COMMIT", {}, Exception("disk I/O error"))
        universe.committed()
        universe.point(host, "after a commit", inside=True)


@dataclass(eq=False)
class Host:
    """One process. `stopped`: points in which it stands and nothing else of it runs; `looping`: its sender loop is."""

    universe: Universe
    lanes: tuple[str, ...]
    title: str
    dead: bool = False
    stopped: int = 0
    looping: int = 0
    writing: bool = False  # within a transaction
    lost_at: int | None = None  # when it died, or lost its lock
    asleep_until: int = 0  # its sweeper finds nothing before
    rung: dict[Duty, int] = field(default_factory=dict)
    found: dict[Duty, int] = field(default_factory=dict)  # when its sweeper will see it
    ctx: Context = field(init=False)

    def __post_init__(self) -> None:
        self.clock = HostClock(self.universe)
        self.lock = SimLock(self.universe, self, self.lanes[0] if self.lanes else "person")
        self.sender = SenderInHand(self.clock, self.universe.failed)
        self.duties = frozenset(duty for lane in self.lanes for duty in LANES[lane])


@dataclass
class Weather:
    """How bad a seed is: chances at each point and call, 0 once all is well again."""

    kill: float = 0.0
    freeze: float = 0.0
    slow: float = 0.0
    full: float = 0.0
    call: float = 0.0  # that an outlet call goes wrong
    cut: float = 0.0  # that a freeze costs the session, and with it the lock


class Universe:
    """True time, the processes, and what is going to happen. `skipped`: numbers of faults that do not strike."""

    def __init__(self, seed: int, skipped: frozenset[int] = frozenset()) -> None:
        self.chance = Random(seed)
        self.weather = Weather()
        self.time = BEGAN
        self.database_offset = 0
        self.trusted = True  # no clock was ever wrong
        self.named = 0
        self.locks: dict[str, bool] = {}
        self.hosts: list[Host] = []
        self.trace: list[str] = []
        self.struck = 0
        self.points = 0
        self.version = 0
        self.failures: list[BaseException] = []
        self.on_commit: Callable[[], None] = lambda: None
        self.on_death: Callable[[Host], None] = lambda host: None
        self.work: Callable[[Host, str, list[str]], None] = lambda host, duty, ids: None
        self.raw: Any = None
        self.database: Sqlite | Postgres | None = None  # of all its processes
        self._skipped = skipped
        self._events: list[tuple[int, int, str, Callable[[], None]]] = []
        self._count = 0
        self._depth = 0
        self._known = -1
        self._rows: list[tuple[Any, ...]] = []
        self._late: list[tuple[str, int, list[str]]] = []
        self.happened = 0

    # time and chance

    def tick(self) -> int:
        self.time += 1
        return self.time

    def say(self, what: str) -> None:
        self.trace.append(f"{(self.time - BEGAN) / SECOND:12.6f} {what}")

    def strikes(self, what: str) -> bool:
        """A fault's turn has come; False when it is one of those left out."""
        self.struck += 1
        strikes = self.struck not in self._skipped
        if strikes:
            self.say(f"  fault {self.struck}: {what}")
        return strikes

    def at(self, instant: int, what: str, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (instant, self._count, what, act))

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)

    def committed(self) -> None:
        self.version += 1
        self.on_commit()

    def fails_to_commit(self, host: Host) -> bool:
        return self.chance.random() < self.weather.full and bool(host.lanes) and self.strikes("disk full")

    # points

    def point(self, host: Host, where: str, *, inside: bool = False, loop: bool = False) -> None:
        """The process stands at a point. `inside`: nothing else of it may run now; `loop`: it is its sender loop."""
        self.points += 1
        if host.dead:
            raise Killed
        drawn = self.chance.random()
        weather = self.weather
        # The worst place to stand still is between the last look and the first byte.
        freeze = weather.freeze * (5 if loop else 1)
        if drawn < weather.kill:
            if self.strikes(f"{host.title} dies {where}"):
                self.die(host)
                raise Killed
        elif drawn < weather.kill + freeze:
            lasts = round(self.chance.choice((1, 3, 6, 10, 20)) * self.chance.uniform(0.5, 1.0) * SECOND)
            cut = self.chance.random() < weather.cut and not loop
            if host.lanes and self.strikes(f"{host.title} frozen {lasts / SECOND:.3f} s {where}{', cut' * cut}"):
                if cut:  # whoever notices that ends; until then it goes on, without its lock
                    self.locks[host.lock.name] = False
                    host.lost_at = self.time
                    self.at(self.time + lasts + round(5 * self.chance.random() * SECOND), "", lambda: self.die(host))
                self.stop(host, lasts, all_of_it=True)
        elif drawn < weather.kill + freeze + weather.slow and host.lanes and not loop:
            self.stop(host, round(self.chance.uniform(0, 1.5) * SECOND), all_of_it=inside)

    def stop(self, host: Host, lasts: int, *, all_of_it: bool) -> None:
        """The others go on for so many µs, and unless `all_of_it` stands, the host's other threads too."""
        if self._depth >= DEEPEST:
            self.time += lasts // 100
            return
        host.stopped += all_of_it
        try:
            self.run(self.time + lasts)
        finally:
            host.stopped -= all_of_it
        if host.dead:
            raise Killed

    def die(self, host: Host) -> None:
        if host.dead:
            return
        host.dead = True
        host.lost_at = self.time if host.lost_at is None else host.lost_at
        self.on_death(host)
        self.locks[host.lock.name] = False
        host.sender.stop()
        if host in self.hosts:
            self.hosts.remove(host)

    # going on

    def run(self, until: int, *, quiet: Callable[[], bool] | None = None) -> None:
        """Everything that falls due until then, in order. `quiet`: asked now and then whether there is nothing left."""
        self._depth += 1
        try:
            while self._once(until):
                self.happened += 1
                if self.happened > MOST_EVENTS:
                    raise Broken("it never comes to rest")
                if quiet is not None and self.happened % 16 == 0 and quiet():
                    return
            self.time = max(self.time, until)
        finally:
            self._depth -= 1

    def _once(self, until: int) -> bool:
        best, act = until + 1, None
        if self._events and self._events[0][0] < best:
            best, act = self._events[0][0], self._event
        for host in self.hosts:
            if host.stopped:
                continue
            instant = host.sender.due_at()
            if instant is not None and instant < best and not (host.looping and host.sender._acts[0][2]):
                best, act = instant, lambda host=host: self._turn(host)
            ring = self._next_ring(host, best)
            if ring is not None:
                best, duty, group = ring
                act = lambda host=host, duty=duty, group=group: self._ring(host, duty, group)  # noqa: E731
        if act is None:
            return False
        self.time = max(self.time, best)
        act()
        return True

    def _event(self) -> None:
        _, _, what, act = heapq.heappop(self._events)
        if what:
            self.say(what)
        act()

    def _turn(self, host: Host) -> None:
        sender = host.sender
        while sender._acts[0][0] > host.clock.boottime():
            pass
        in_the_loop = sender._acts[0][2]
        act = sender.pop()
        host.looping += in_the_loop
        try:
            self._run_as(host, act)
        finally:
            host.looping -= in_the_loop

    def _run_as(self, host: Host, act: Callable[[], None]) -> None:
        try:
            act()
        except Killed:
            pass
        except Superseded:  # told to the process's own log; somebody newer has the row
            self.say(f"{host.title}: overtaken")
        except OperationalError as error:
            if "disk I/O" not in str(error):
                raise
            self.say(f"{host.title}: {error.orig}")

    # a sweeper's looks

    def _look(self) -> None:
        if self._known == self.version:
            return
        self._known = self.version
        self._rows = self.raw.execute(
            "SELECT id, duty, release, due_at, fire_at, owner, since FROM delivery "
            "WHERE due_at IS NOT NULL OR owner IS NOT NULL ORDER BY id"
        ).fetchall()
        late = self.raw.execute(
            "SELECT id, overdue_at FROM release WHERE overdue_at IS NOT NULL AND state IN ('open', 'ready') ORDER BY id"
        ).fetchall()
        self._late = [
            (
                one,
                at,
                [row[0] for row in self.raw.execute("SELECT id FROM delivery WHERE release = ? ORDER BY id", (one,))],
            )
            for one, at in late
        ]

    def _asked(self, host: Host) -> Iterator[tuple[int, str, str, Duty]]:
        """What this host's sweeper would ring, and when: (true time, duty, group, key)."""
        offset = host.clock.offset
        for one, duty, release, due_at, fire_at, owner, since in self._rows:
            if duty in host.duties and due_at is not None:
                opens = due_at
                if duty == "verify" and fire_at is not None:
                    opens = max(due_at, fire_at + round((AFTER_SHOTS + 0.001) * SECOND))
                yield opens - offset, duty, release, (one, duty, due_at)
            if owner is None:
                continue
            if owner == host.lock.name:
                if one not in host.ctx.held:
                    yield self.time + SECOND, "disown", release, (one, "disown", since)
            elif "prepare" in host.lanes and not self.locks[owner]:
                yield self.time + SECOND // 2, "reconcile", release, (one, owner, 0)
        if "prepare" in host.lanes:
            for release, overdue_at, ids in self._late:
                for one in ids:
                    yield overdue_at - offset, "reconcile", release, (one, "late", 0)

    def _when(self, host: Host, opens: int, key: Duty) -> int:
        """The instant of the look that finds it; what was rung is rung again after a while."""
        rung = host.rung.get(key)
        if rung is not None:
            return max(rung + REMEMBERED, host.asleep_until)
        if key not in host.found:
            host.found[key] = opens + round(self.chance.random() * JITTER)
        return max(host.found[key], host.asleep_until)

    def _next_ring(self, host: Host, before: int) -> tuple[int, str, str] | None:
        self._look()
        found = None
        for opens, duty, release, key in self._asked(host):
            at = max(self._when(host, opens, key), self.time + 1)
            if at < before:
                before, found = at, (duty, release)
        return None if found is None else (before, *found)

    def _ring(self, host: Host, duty: str, group: str) -> None:
        ids = []
        for opens, what, release, key in list(self._asked(host)):
            if (what, release) != (duty, group):
                continue
            due = self._when(host, opens, key) <= self.time
            if due or (duty not in ("disown", "reconcile") and opens <= self.time and key not in host.rung):
                host.rung[key] = self.time
                ids.append(key[0])
        ids = list(dict.fromkeys(ids))
        if duty == "disown":
            ids = [one for one in ids if one not in host.ctx.held]
        if ids:
            self._run_as(host, lambda: self.work(host, duty, ids))


def open_raw(path: str) -> Any:
    """A connection beside SQLAlchemy, for the sweepers' looks and the judge: a look costs a twentieth."""
    return pysqlite3.connect(path, isolation_level=None)
