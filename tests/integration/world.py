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

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from sync.clock import SECOND, iso
from sync.contract import Tools
from sync.engine import report
from sync.engine.carry import carry
from sync.engine.context import Context
from sync.engine.plan import Order, plan
from sync.engine.prepare import discard, prepare
from sync.engine.reconcile import disown, reconcile
from sync.engine.removal import remove
from sync.engine.shards import release
from sync.engine.verify import AFTER_SHOTS, verify
from sync.flow import MAYBE_PUBLIC, PUBLIC, TABLE, D, E, R
from sync.model import Key, Outlet
from sync.ownership import ProcessLock
from sync.settings import read_settings
from sync.store import deliveries, journal, outlets, releases
from sync.store.assets import Assets
from sync.store.consistency import contradictions
from sync.store.session import Store
from sync.store.tables import FORM, Record, delivery, installation, unit
from sync.store.tables import release as release_table
from tests.integration.hand import (
    BEGAN,
    LANES,
    REMEMBERED,
    CreepingClock,
    Kept,
    Mortal,
    Process,
    SenderInHand,
    StoreInHand,
)
from tests.integration.outside import KINDS, BareChannel, Outside

INSTALLATION = "0123456789abcdef0123456789abcdef"
STEPS = 5_000  # more than any test needs: beyond it something spins


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
        name = lanes[0] if len(lanes) == 1 else "worker"
        made = self._process(name, lanes or tuple(LANES), ProcessLock(self.home / "workers", name), None)
        self.processes.append(made)
        return made

    def mortal(self, *lanes: str) -> Process:
        """A process whose lock is held by a real one, to be killed with `kill`."""
        name = lanes[0] if len(lanes) == 1 else "worker"
        lock = Mortal(self.home / "workers", name)
        self._mortals.append(lock)
        made = self._process(name, lanes or tuple(LANES), lock, None)
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
            "carry": partial(carry, ctx),
            "withdraw": partial(remove, ctx),
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
            for row in connection.exec_driver_sql(
                f"SELECT id, duty, due_at FROM delivery WHERE due_at IS NOT NULL AND form <= {FORM}"
            ):
                workers = [one for one in living if row.duty in one.duties]
                rung = [one.rung.get((row.id, row.duty, row.due_at), 0) for one in workers]
                instants += [max(opens[row.id], at + REMEMBERED) for at in rung]
            if any("prepare" in one.lanes for one in living):
                late = "SELECT overdue_at FROM release WHERE overdue_at IS NOT NULL AND state IN ('open', 'ready') "
                late += f"AND form <= {FORM}"
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
                at
                for at, what, whose in self.outside[row.outlet].record
                if what in ("published", "changed") and whose == token
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
        with made.store.read() as connection:  # whatever the engine leaves is what a restore takes for honest
            assert [] == list(contradictions(connection))
    finally:
        made.close()
