"""One installation on memory outlets, inside this process, its time in the test's hand.

    world.add("site", kind="site"); world.add("blog")
    world.process()                                     # works both lanes; a second one is another process
    release = world.plan("site,blog", at=60)            # seconds from now
    world.run(70)                                       # everything that falls due, in the order of its instant

The engine and the store are the real ones; the clock creeps a microsecond at each look, the sender loop
is turned by `run`, and rows are found as the sweeper finds them. After every step the promises are
checked against the outlets' own records (`check`).
"""

from __future__ import annotations

import heapq
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pysqlite3
from sqlalchemy import Connection, Engine, event, insert
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.exc import OperationalError

from channels.memory import MemoryChannel, MemoryOutlet
from sync.clock import SECOND, SetClock, iso
from sync.contract import Accepted, Capabilities, Prepared, Probe, Receipt, Reveal, Shot, Tools, Unsupported
from sync.engine import report
from sync.engine.context import Context
from sync.engine.plan import Order, plan
from sync.engine.prepare import discard, prepare
from sync.engine.reconcile import disown, reconcile
from sync.engine.release import release
from sync.engine.sender import Sender
from sync.engine.verify import AFTER_SHOTS, verify
from sync.flow import MAYBE_PUBLIC, PUBLIC, TABLE, D, E, R
from sync.model import Edition, Key, Outlet, Rendition, Sighting
from sync.ownership import ProcessLock
from sync.settings import read_settings
from sync.store import deliveries, journal, outlets, releases
from sync.store.assets import Assets
from sync.store.session import Store
from sync.store.tables import Record, delivery, installation, unit
from sync.store.tables import release as release_table

ROOT = Path(__file__).resolve().parents[2]
INSTALLATION = "0123456789abcdef0123456789abcdef"
BEGAN = 1_800_000_000 * SECOND
REMEMBERED = 3 * SECOND  # as the sweeper: what was rung is rung again only after this
STEPS = 5_000  # more than any test needs: beyond it something spins
LANES = {"prepare": ("prepare", "discard", "reconcile", "verify"), "release": ("release",)}
Script = Callable[[Callable[[], str]], str]


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
        self.engine, self._writes = _one_engine(self)
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


def _one_engine(store: Store) -> tuple[Engine, OptionEngine]:
    """The engine of the first store, for all: it keeps the compiled statements, which cost more than what they do."""
    if not _engines:
        _engines.append((store.engine, store._writes))
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
class Outside(MemoryOutlet):
    """A memory outlet that also fails by script: a script is handed the act of one call, None lets it pass."""

    scripts: deque[Script | None] = field(default_factory=deque)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def call(self, act: Callable[[], str]) -> str:
        with self.turn:
            script = self.scripts.popleft() if self.scripts else None
            return super().call(act) if script is None else script(act)

    def enqueue(self, token: str, content: str) -> str:
        """A job of the outlet's own: it publishes in `late_by` seconds."""
        self._pending.append((self.now() + round(self.late_by * SECOND), lambda: self.publish(token, content)))
        return f"job-{token}"


class BareChannel(MemoryChannel):
    """A memory channel with what the tests need to look at."""

    kind: ClassVar[str] = "memory"

    def __init__(self, outlet: Outlet, tools: Tools, world: Outside) -> None:
        super().__init__(outlet, tools, world)
        self.outside = world


class Site(BareChannel):
    """Its addresses are known beforehand, so it can be canonical."""

    kind = "site"
    can: ClassVar[Capabilities] = replace(MemoryChannel.can, address=True, probe=Probe.NAME)

    def address(self, edition: Edition, key: Key) -> str | None:
        return f"https://county.example/{key.token}"

    def verify(self, receipt: Receipt, rendition: Rendition) -> Sighting:
        named = [one.ref for one in self.outside.posts if receipt.url.endswith(one.token)]
        return super().verify(replace(receipt, ref=named[0]) if named else receipt, rendition)


class Blind(BareChannel):
    """Cannot be looked up after doubt."""

    kind = "blind"
    can: ClassVar[Capabilities] = replace(MemoryChannel.can, probe=Probe.BLIND)

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None
    ) -> Prepared | Accepted | Receipt | None:
        raise Unsupported("nothing can be looked up here")


class Queued(BareChannel):
    """The shot only starts a job of the outlet's."""

    kind = "queued"
    can: ClassVar[Capabilities] = replace(MemoryChannel.can, reveal=Reveal.QUEUED, polls=(1.0, 5.0))

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        super().arm(prepared, rendition, key)
        return _Job(self.outside, key.token, rendition.digest)

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None
    ) -> Prepared | Accepted | Receipt | None:
        found = super().probe(rendition, key, hint)
        return hint if isinstance(hint, Accepted) and not isinstance(found, Receipt) else found


class Brief(BareChannel):
    """What it prepared keeps for a minute."""

    kind = "brief"
    can: ClassVar[Capabilities] = replace(MemoryChannel.can, fresh_for=60.0)


class _Job(Shot):
    def __init__(self, world: Outside, token: str, content: str) -> None:
        self._world, self._token, self._content = world, token, content
        self._job = ""

    def _fire(self) -> None:
        self._job = self._world.call(lambda: self._world.enqueue(self._token, self._content))

    def settle(self) -> Receipt | Accepted:
        return Accepted(self._job)


KINDS: dict[str, type[BareChannel]] = {one.kind: one for one in (BareChannel, Site, Blind, Queued, Brief)}


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


class World:
    """See the module's first lines. `failures`: what tasks and pool threads raised; asserted empty at the end."""

    def __init__(self, home: Path, database: Path) -> None:
        self.home = home
        home.mkdir()
        shutil.copy(database, home / "tongfa.sqlite3")
        self.settings = read_settings(home=home)
        self.clock = CreepingClock()
        self.outside: dict[str, Outside] = {}
        self.processes: list[Process] = []
        self.failures: list[BaseException] = []
        self.mischief: dict[str, Callable[[BareChannel], BareChannel]] = {}  # by outlet: a channel made worse
        self._mortals: list[Mortal] = []
        self._checked: tuple[int, list[int]] = (0, [])  # entries and records when the promises were last checked
        self.person = self._process("person", (), ProcessLock(home / "workers", "person"), "desk")
        self.store = self.person.store
        with self.store.write() as connection:
            connection.execute(insert(installation).values(id=INSTALLATION, host="here", created_at=BEGAN))
            connection.execute(insert(unit).values(id=outlets.LOCAL_UNIT, name="here", level="county", review="none"))

    @property
    def ctx(self) -> Context:
        """The context of a person's command."""
        return self.person.ctx

    # setting up

    def add(self, name: str, kind: str = "memory", *, required: bool = True, live: bool = False) -> Outside:
        self.outside[name] = Outside(self.clock.now)
        values = {
            "name": name,
            "unit": outlets.LOCAL_UNIT,
            "kind": kind,
            "settings": {},
            "secrets": {},
            "groups": ["all"],
            "required": required,
            "live": live,
            "private_network": False,
        }
        with self.store.write() as connection:
            outlets.add(connection, values, at=self.clock.now(), actor="test")
        return self.outside[name]

    def process(self, *lanes: str) -> Process:
        """A process that works these lanes, all unless named."""
        made = self._process("worker", lanes or tuple(LANES), ProcessLock(self.home / "workers", "worker"), None)
        self.processes.append(made)
        return made

    def mortal(self, *lanes: str) -> Process:
        """A process whose lock is held by a real one, to be killed with `kill`."""
        lock = Mortal(self.home / "workers", "worker")
        self._mortals.append(lock)
        made = self._process("worker", lanes or tuple(LANES), lock, None)
        self.processes.append(made)
        return made

    def kill(self, process: Process) -> None:
        """It is gone from one moment to the next, and so are its sender's acts."""
        self.processes.remove(process)
        process.sender.stop()
        assert isinstance(process.ctx.lock, Mortal)
        process.ctx.lock.kill()

    def close(self) -> None:
        for lock in self._mortals:
            lock.kill()
        for one in [*self.processes, self.person]:
            one.store.engine.dispose()
            one.ctx.lock.release()

    def file(self, name: str = "item.md", body: str = "自12月1日起试运行。", **front: str) -> Path:
        path = self.home / name
        lines = "".join(f"{key}: {value}\n" for key, value in {"title": "开通公交环线", **front}.items())
        path.write_text(f"---\n{lines}---\n\n{body}\n")
        return path

    def order(self, named: str, *sources: Path | str, at: float | None = None, **more: Any) -> Order:
        """`at`: seconds from now, to the millisecond; None: now."""
        instant = "now" if at is None else self.iso_in(at)
        given = tuple(str(one) for one in sources or (self.file(),))
        return Order(given, tuple(named.split(",")), at=instant, **more)

    def plan(self, named: str, *sources: Path | str, at: float | None = None, **more: Any) -> str:
        """A planned release; its id."""
        return plan(self.ctx, self.order(named, *sources, at=at, **more))

    def iso_in(self, seconds: float) -> str:
        return iso(self.clock.now() + round(seconds * SECOND))

    # looking

    def release(self, release_id: str) -> Record:
        with self.store.read() as connection:
            return releases.get(connection, release_id)

    def rows(self, release_id: str) -> dict[str, Record]:
        """Deliveries by outlet."""
        with self.store.read() as connection:
            return {row.outlet: row for row in deliveries.of_release(connection, release_id)}

    def states(self, release_id: str) -> dict[str, str]:
        return {name: row.state for name, row in self.rows(release_id).items()}

    def report(self, release_id: str) -> dict[str, Any]:
        with self.store.read() as connection:
            return report.release_report(connection, self.ctx.kind, release_id)

    def acts(self, delivery_id: str) -> list[str]:
        with self.store.read() as connection:
            return [one.act for one in journal.of(connection, "delivery", delivery_id)]

    def published(self, name: str) -> int:
        """How many copies the outlet ever made public."""
        return sum(what == "published" for _, what, _ in self.outside[name].record)

    # running

    def run(self, seconds: float = 0.0) -> None:
        """Do what falls due within so many seconds, each at its instant."""
        until = self.clock.now() + round(seconds * SECOND)
        for _ in range(STEPS):
            if self.step():
                self.check()
                continue
            following = self._following()
            if following is None or following > until:
                self.clock.reach(until)
                return
            self.clock.reach(following)
        raise AssertionError("it never comes to rest")

    def run_to(self, release_id: str, before: float) -> None:
        """Up to so many seconds before the release's instant."""
        release_at = self.release(release_id).release_at
        self.run((release_at - self.clock.now()) / SECOND - before)

    def step(self) -> bool:
        """One act that is due, or one look of every sweeper. False: nothing was due."""
        living = [one for one in self.processes if not one.store.gone]
        for process in living:
            if process.sender.turn():
                return True
        return any(self._sweep(process) for process in living)

    def _sweep(self, process: Process) -> bool:
        ctx, now = process.ctx, self.clock.now()
        with process.store.read() as connection:
            opens = _readable(connection)
            due = [row for row in deliveries.due(connection, now, process.duties) if opens[row.id] <= now]
            owned = deliveries.owned(connection)
            late = [
                row.id for one in releases.overdue(connection, now) for row in deliveries.of_release(connection, one.id)
            ]
        batches: dict[tuple[str, str], list[str]] = {}
        for row in due:
            if process.first_time(row.id, row.duty, row.due_at, now):
                batches.setdefault((row.duty, row.release), []).append(row.id)
        if "prepare" in process.lanes:
            dead = {row.owner for row in owned if row.owner != ctx.owner and ctx.lock.is_dead(row.owner)}
            orphans = [row.id for row in owned if row.owner in dead] + late
            if again := [one for one in orphans if process.first_time(one, "reconcile", 0, now)]:
                batches["reconcile", ""] = again
        dropped = [row.id for row in owned if row.owner == ctx.owner and row.id not in ctx.held]
        if dropped:
            batches["disown", ""] = dropped
        engine: dict[str, Callable[[list[str]], None]] = {
            "prepare": partial(prepare, ctx),
            "discard": partial(discard, ctx),
            "reconcile": partial(reconcile, ctx),
            "verify": partial(verify, ctx),
            "release": partial(release, ctx, process.sender),
            "disown": partial(disown, ctx),
        }
        for (duty, _), ids in batches.items():
            with Kept(process.failures.append):
                engine[duty](ids)
        return bool(batches)

    def _following(self) -> int | None:
        """The next instant at which anything falls due."""
        living = [one for one in self.processes if not one.store.gone]
        instants = [at for one in living if (at := one.sender.due_at()) is not None]
        with self.store.read() as connection:
            opens = _readable(connection)
            for row in connection.exec_driver_sql("SELECT id, duty, due_at FROM delivery WHERE due_at IS NOT NULL"):
                workers = [one for one in living if row.duty in one.duties]
                rung = [one.rung.get((row.id, row.duty, row.due_at), 0) for one in workers]
                instants += [max(opens[row.id], at + REMEMBERED) for at in rung]
            if any("prepare" in one.lanes for one in living):
                late = "SELECT overdue_at FROM release WHERE overdue_at IS NOT NULL AND state IN ('open', 'ready')"
                instants += [row.overdue_at for row in connection.exec_driver_sql(late)]
        now = self.clock.now()
        return min((max(at, now + 1) for at in instants), default=None)

    # judging

    def check(self) -> None:
        """The promises, by the outlets' own records; and that the log tells of every state, by legal moves."""
        with self.store.read() as connection:
            seen = (journal.size(connection), [len(one.record) for one in self.outside.values()])
            if seen == self._checked:
                return
            self._checked = seen
            joined = {row.id: row for row in connection.execute(release_table.select())}
            rows = list(connection.execute(delivery.select()))
            told = {row.id: journal.of(connection, "delivery", row.id) for row in rows}
        for row in rows:
            token, ordered = Key(INSTALLATION, row.id).token, joined[row.release]
            public = [
                at for at, what, whose in self.outside[row.outlet].record if (what, whose) == ("published", token)
            ]
            assert len(public) <= 1, f"{row.outlet}: published twice"
            if public:
                assert ordered.state in (R.COMMITTED, R.RELEASED), f"{row.outlet}: public, but {ordered.state}"
                assert ordered.release_at <= public[0], f"{row.outlet}: early"
                assert row.state in MAYBE_PUBLIC, f"{row.outlet}: public, but believed {row.state}"
            if row.state in PUBLIC and E.SETTLED_PUBLIC not in [one.act for one in told[row.id]]:
                assert public, f"{row.outlet}: called {row.state}, but nothing is there"
            assert row.state == told[row.id][-1].state
            states = [D(one.state) for one in told[row.id]]
            for before, entry in zip(states, told[row.id][1:], strict=False):
                assert entry.state == TABLE[before][E(entry.act)]

    # making

    def _process(self, lane: str, lanes: tuple[str, ...], lock: ProcessLock, person: str | None) -> Process:
        store = StoreInHand(self.settings.database_url, self.clock)
        ctx = Context(
            store=store,
            assets=Assets(self.home / "assets"),
            settings=self.settings,
            clock=self.clock,
            kind=KINDS.__getitem__,
            channel=self._channel,
            ring=lambda lane: None,
            lock=lock,
            actor=person or f"{lock.name}:{os.getpid()}",
        )
        return Process(ctx, SenderInHand(self.clock, self.failures.append), store, lanes, self.failures)

    def _channel(self, row: Record) -> BareChannel:
        outlet = Outlet(row.name, row.unit, row.kind, row.settings, {"password": "open"}, row.required, row.live)
        tools = Tools(None, lambda digest: b"", None, self.clock.now)  # type: ignore[arg-type]  # memory uses neither
        made = KINDS[row.kind](outlet, tools, self.outside[row.name])
        worse = self.mischief.get(row.name)
        return made if worse is None else worse(made)


def _readable(connection: Connection) -> dict[str, int]:
    """From when each due row can be worked on: watchers that are called together before the instant wait for it,
    and this clock would stand meanwhile."""
    after = round((AFTER_SHOTS + 0.001) * SECOND)
    rows = connection.exec_driver_sql("SELECT id, duty, due_at, fire_at FROM delivery WHERE due_at IS NOT NULL")
    return {row.id: max(row.due_at, row.fire_at + after if row.duty == "verify" and row.fire_at else 0) for row in rows}


def fresh_database(folder: Path) -> Path:
    """A migrated, empty database, to be copied."""
    path = folder / "fresh.sqlite3"
    store = Store(f"sqlite:///{path}")
    store.migrate()
    store.engine.dispose()  # the last connection brings the write-ahead log home
    return path


@contextmanager
def world_in(folder: Path, database: Path) -> Iterator[World]:
    made = World(folder / "home", database)
    try:
        yield made
        assert [] == made.failures, made.failures
    finally:
        made.close()
