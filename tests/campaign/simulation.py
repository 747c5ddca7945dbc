"""Whole installations in one thread, by the thousand: from a seed comes everything, the same each time.

A seed makes outlets of all classes, processes of both lanes, people who order and change their minds, and a
schedule of faults; then all is well for as long as it takes, and the judge says whether a promise was broken.
The engine, the store and the database are the real ones; time, chance and the outlets are the simulation's.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest import mock

from sqlalchemy import insert

from sync.clock import SECOND
from sync.content.source import Draft
from sync.contract import Tools
from sync.engine import evidence, people, plan, prepare, reconcile, recover, release, removal, verify
from sync.engine.context import Context
from sync.engine.shards import release as arm
from sync.model import Outlet
from sync.settings import read_settings
from sync.store import outlets
from sync.store.assets import Assets
from sync.store.tables import Record, installation, unit
from tests.campaign.sim_desk import Desk
from tests.campaign.sim_hosts import Broken, Host, SimStore, Universe, Weather, open_raw
from tests.campaign.sim_judge import SOON, Judge
from tests.campaign.sim_outlets import KINDS, SimChannel, SimOutlet
from tests.campaign.trial import Counts, Run, Trial
from tests.integration.hand import BEGAN
from tests.integration.world import INSTALLATION, fresh_database

T = TypeVar("T")
HOUR = 3600 * SECOND
ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 50  # seeds of a case
SHOWN = 60  # lines of a broken seed's trace
WELL_FOR = 80 * HOUR
EDITOR = "li"
STAFF = {EDITOR: "editor", "wang": "reviewer", "zhao": "reviewer", "qian": "publisher", "sun": "publisher"}
DISTURBANCES: dict[str, tuple[str, ...]] = {
    "": ("outage", "asleep", "clock", "database clock", "drafts"),
    "clocks": ("clock", "database clock"),
    "long": ("outage", "asleep"),
}
DUTIES: dict[str, Callable[[Context, list[str]], None]] = {
    "prepare": lambda ctx, ids: prepare.prepare(ctx, ids),
    "discard": lambda ctx, ids: prepare.discard(ctx, ids),
    "reconcile": lambda ctx, ids: reconcile.reconcile(ctx, ids),
    "disown": lambda ctx, ids: reconcile.disown(ctx, ids),
    "verify": lambda ctx, ids: verify.verify(ctx, ids),
    "withdraw": lambda ctx, ids: removal.remove(ctx, ids),
}


class Simulation:
    """One installation on its outlets, from a seed."""

    def __init__(
        self,
        seed: int,
        home: Path,
        fresh: bytes,
        skipped: frozenset[int] = frozenset(),
        weather: str = "",
        kinds: Sequence[str] = (),
    ) -> None:
        self.universe = universe = Universe(seed, skipped)
        chance = universe.chance
        self._home, self._url = home, f"sqlite:///{home / 'tongfa.sqlite3'}"
        for left in home.glob("tongfa.sqlite3*"):
            left.unlink()
        (home / "tongfa.sqlite3").write_bytes(fresh)
        self._settings = settings_of(home)
        if chance.random() < 0.25:
            self._settings = self._settings.model_copy(update={"release_shard": chance.choice((1, 2))})
        universe.raw = open_raw(str(home / "tongfa.sqlite3"))
        universe.work = self._work
        universe.on_death = self._restart
        self.judge = Judge(universe)
        universe.on_commit = self.judge.committed
        self.outlets: dict[str, SimOutlet] = self.judge.outlets
        self._healthy = False
        self._climate, self._kinds = weather, kinds
        self._wrong_until = 0
        self.named: str | None = None
        self._person = Host(universe, (), "the desk")
        self._wire(self._person, "desk")
        self._number = 0
        self._set_up()
        self.desk = Desk(self)

    @property
    def ctx(self) -> Context:
        """The context of a command, by whoever is named."""
        return self._person.ctx if self.named is None else people.acting_as(self._person.ctx, self.named, "a machine")

    def staff(self) -> None:
        """From now on releases need three reviews, and commands are somebody's: the editor's, unless said otherwise."""
        people.add_person(self._person.ctx, "root", "root", None, ["admin"], None)
        self.named = "root"
        for name, role in {"second": "admin", **STAFF}.items():
            people.add_person(self.ctx, name, name, None, [role], None)
        people.set_unit(self.ctx, outlets.LOCAL_UNIT, None, review="three")
        self.named = EDITOR
        self.judge.reviewed = True

    def revive_person(self) -> None:
        """Somebody sits down again."""
        self._person.dead = False

    def close(self) -> None:
        self.ctx.store.engine.dispose()
        self.universe.raw.close()

    # what there is

    def _set_up(self) -> None:
        chance = self.universe.chance
        with self.ctx.store.write() as connection:
            connection.execute(insert(installation).values(id=INSTALLATION, host="here", created_at=BEGAN))
            connection.execute(insert(unit).values(id=outlets.LOCAL_UNIT, name="here", level="county", review="none"))
            many = chance.choices((1, 2, 3, 4, 6), (4, 5, 4, 2, 1))[0]
            for number, kind in enumerate(self._kinds or [""] * many):
                self._add(connection, f"{'abcdef'[number]}", kind or chance.choice(list(KINDS)))
        lanes_of = chance.choice(
            (
                (("prepare", "release"),),
                (("prepare",), ("release",)),
                (("prepare", "release"),) * 2,
                (("prepare",), ("prepare", "release"), ("release",)),
                (("prepare",), ("release",), ("release",)),
            )
        )
        for lanes in lanes_of:
            self._start(lanes)

    def _add(self, connection: Any, name: str, kind: str) -> None:
        universe, required = self.universe, self.universe.chance.random() < 0.75
        values = {
            "name": name,
            "unit": outlets.LOCAL_UNIT,
            "kind": kind,
            "settings": {},
            "secrets": {},
            "groups": ["all"],
            "required": required,
            "live": False,
            "private_network": False,
        }
        outlets.add(connection, values, at=universe.time, actor="test")
        made = SimOutlet(lambda: universe.time, name=name, kind=kind, universe=universe, judge=self.judge)
        made.lands_within = KINDS[kind].can.lands_within
        made.lag = universe.chance.choice((0, 0, 0, 1_500_000))
        self.outlets[name] = made
        if required:
            self.judge.required.add(name)

    def _start(self, lanes: tuple[str, ...]) -> None:
        self._number += 1
        host = Host(self.universe, lanes, f"{'+'.join(lanes)} {self._number}")
        self._wire(host, host.title)
        self.universe.hosts.append(host)

    def _restart(self, host: Host) -> None:
        if host.lanes and not self._healthy:
            after = round(self.universe.chance.choice((0.2, 3, 20)) * SECOND)
            self.universe.at(self.universe.time + after, "", lambda: self._start_again(host))

    def _start_again(self, host: Host) -> None:
        if not self._healthy:
            self._start(host.lanes)

    def _wire(self, host: Host, actor: str) -> None:
        host.ctx = Context(
            store=SimStore(self._url, host.clock, self.universe, host),
            assets=Assets(self._home / "assets"),
            settings=self._settings,
            clock=host.clock,
            kind=KINDS.__getitem__,
            channel=partial(self._channel, host),
            ring=lambda lane: None,
            lock=host.lock,
            actor=actor,
        )

    def _channel(self, host: Host, row: Record) -> SimChannel:
        made_for = Outlet(row.name, row.unit, row.kind, row.settings, {}, row.required, row.live)
        tools = Tools(None, lambda digest: b"", None, host.clock.now)  # type: ignore[arg-type]  # memory uses neither
        return KINDS[row.kind](made_for, tools, self.outlets[row.name], host)

    def _work(self, host: Host, duty: str, ids: list[str]) -> None:
        if duty == "release":
            arm(host.ctx, host.sender, ids)
        else:
            DUTIES[duty](host.ctx, ids)

    # what happens

    def live(self) -> None:
        """From the first order until all is settled. Raises Broken."""
        universe, chance = self.universe, self.universe.chance
        universe.weather = _weather(universe, self._climate)
        self.desk.publish()
        lasts = 30 * SECOND
        for _ in range(chance.choice((0, 1, 1, 2, 3, 4, 6))):
            lasts += round(chance.choice((2, 20, 60)) * chance.random() * SECOND)
            universe.at(BEGAN + lasts - 25 * SECOND, "", self.desk.act)
        often = (3, 5, 8) if self._climate in ("clocks", "long") else (0, 0, 1, 2, 3)
        for _ in range(chance.choice(often)):
            universe.at(BEGAN + round(chance.random() * lasts), "", self._disturb)
        waits = (1_200, 3_600) if self._climate == "long" or chance.random() < 0.05 else (10, 40, 90)
        universe.run(BEGAN + lasts + round(chance.choice(waits) * SECOND))
        self.end_well()

    def end_well(self) -> None:
        """All is well from now on, until nothing is left to do; then the judge looks at it all. Raises Broken."""
        universe, chance = self.universe, self.universe.chance
        self._mend()
        universe.run(universe.time + SOON, quiet=self.judge.settled)
        self.judge.well()
        for _ in range(12):
            if chance.random() < 0.2 or not self.desk.put_right():
                break
            universe.run(universe.time + 2 * HOUR, quiet=self.judge.settled)
        universe.run(universe.time + WELL_FOR, quiet=self.judge.settled)
        self.judge.end()

    def _disturb(self) -> None:
        """Something that lasts for a while: an outlet is down, sweepers sleep, a clock is wrong, drafts are lost."""
        universe, chance = self.universe, self.universe.chance
        match chance.choice(DISTURBANCES.get(self._climate, DISTURBANCES[""])):
            case "outage":
                outlet = chance.choice(list(self.outlets.values()))
                lasts = round(chance.choice((5, 60, 4 * 3600)) * chance.random() * SECOND)
                if universe.strikes(f"{outlet.name} is down for {lasts // SECOND} s"):
                    outlet.down_until = universe.time + lasts
            case "asleep":
                lasts = round(chance.choice((5, 60, 300, 3_600)) * chance.random() * SECOND)
                if universe.strikes(f"no bell and no sweeper for {lasts // SECOND} s"):
                    for host in universe.hosts:
                        host.asleep_until = universe.time + lasts
            case "clock":
                self._jump(chance.choice(universe.hosts) if universe.hosts else None)
            case "database clock":
                self._jump(None)
            case "drafts":
                outlet = chance.choice(list(self.outlets.values()))
                if universe.strikes(f"{outlet.name} loses its drafts"):
                    outlet.drafts.clear()

    def _jump(self, host: Host | None) -> None:
        """One clock is wrong for a while; never two at once in the same way, which nobody could notice."""
        universe, chance = self.universe, self.universe.chance
        by = round(chance.choice((-1, 1)) * chance.choice((0.1, 1, 1, 60, 86_400)) * chance.uniform(0.8, 1) * SECOND)
        lasts = round(chance.choice((2, 20, 120)) * SECOND)
        whose = host.title if host else "the database"
        if self._wrong_until > universe.time:
            return
        if not universe.strikes(f"the clock of {whose} jumps by {by / SECOND:.3f} s"):
            return
        universe.trusted = False
        self._wrong_until = universe.time + lasts

        def back() -> None:
            if host:
                host.clock.offset = 0
            else:
                universe.database_offset = 0

        if host:
            host.clock.offset = by
        else:
            universe.database_offset = by
        universe.at(universe.time + lasts, f"the clock of {whose} is right again", back)

    def _mend(self) -> None:
        """All is well from now on: one process of each lane, and nothing goes wrong any more."""
        universe = self.universe
        universe.say("all is well from now on")
        self._healthy = True
        universe.weather = Weather()
        universe.database_offset = self._person.clock.offset = 0
        for outlet in self.outlets.values():
            outlet.down_until = outlet.lag = 0
        for host in list(universe.hosts):
            universe.die(host)
        self._start(("prepare",))
        self._start(("release",))


def _weather(universe: Universe, climate: str) -> Weather:
    chance = universe.chance
    bad = Weather(kill=0.008, freeze=0.008, slow=0.05, full=0.006, call=0.15, cut=0.4)
    match climate or chance.choice(("calm", "calls", "calls", "deaths", "freezes", "all", "all")):
        case "calm":
            return Weather(slow=0.05)
        case "calls":
            return Weather(call=0.25, slow=0.05)
        case "deaths":
            return Weather(kill=0.02, call=0.05, slow=0.03)
        case "freezes":
            return Weather(freeze=0.03, cut=0.4, call=0.1, slow=0.03)
    return bad


# running


settings_of = cache(lambda home: read_settings(home=home))


@contextmanager
def in_one_thread(current: Callable[[], Universe], file: Callable[[str], Draft | str]) -> Iterator[None]:
    """The engine without threads and naps, and without chance of its own. Undone at the end."""

    def together(calls: Mapping[str, Callable[[], T]], **how: object) -> Iterator[tuple[str, T | BaseException]]:
        for name, call in calls.items():
            try:
                answer: T | BaseException = call()
            except Exception as error:  # noqa: BLE001 - as the engine's own: an exception is evidence
                answer = error
            yield name, answer

    def batches(calls: Mapping[str, Callable[[], T]], **how: object) -> Iterator[list[tuple[str, T | BaseException]]]:
        batch: list[tuple[str, T | BaseException]] = []
        for one in together(calls):
            batch.append(one)
            if current().chance.random() < 0.4:
                yield batch
                batch = []
        if batch:
            yield batch

    nap = SimpleNamespace(Event=_Nap, Lock=threading.Lock)
    with ExitStack() as stack:
        for module in (prepare, verify, release, reconcile, recover, removal):
            for name, made in (("together", together), ("batches", batches)):
                if hasattr(module, name):
                    stack.enter_context(mock.patch.object(module, name, made))
        for module in (verify, removal):
            stack.enter_context(mock.patch.object(module, "threading", nap))
        stack.enter_context(mock.patch.object(verify, "CLOSE_WATCH", 0.0))
        stack.enter_context(mock.patch.object(removal, "WATCH", 0.0))
        stack.enter_context(mock.patch.object(plan, "_read", lambda ctx, source: file(source)))
        stack.enter_context(mock.patch.object(evidence, "kernel_clock", lambda: "synchronised"))
        stack.enter_context(
            mock.patch.object(secrets, "token_hex", lambda size: current().chance.randbytes(size).hex())
        )
        yield


class _Nap:
    def wait(self, seconds: float) -> bool:
        return False


class Room:
    """A place to run seeds in, one after the other."""

    def __init__(self) -> None:
        shared = Path("/dev/shm")  # memory; in it a folder of our own
        self._folder = Path(tempfile.mkdtemp(prefix="tongfa-simulation-", dir=shared if shared.is_dir() else None))
        self._home = self._folder / "home"
        self._home.mkdir()
        self._fresh = fresh_database(self._folder).read_bytes()
        self._now: Simulation | None = None

    def universe(self) -> Universe:
        assert self._now is not None
        return self._now.universe

    def _file(self, path: str) -> Draft | str:
        assert self._now is not None
        return self._now.desk.drafts.get(path, path)

    @contextmanager
    def simulation(
        self, seed: int, skipped: frozenset[int] = frozenset(), weather: str = "", kinds: Sequence[str] = ()
    ) -> Iterator[Simulation]:
        """One installation, and the engine in one thread meanwhile. `kinds`: of its outlets; any, unless named."""
        collecting = gc.isenabled()
        with in_one_thread(self.universe, self._file):
            made = self._now = Simulation(seed, self._home, self._fresh, skipped, weather, kinds)
            try:
                yield made
            finally:
                made.close()
                if collecting:
                    gc.enable()  # a process that died while it sent had no time for that

    def run(self, seed: int, skipped: frozenset[int] = frozenset(), weather: str = "") -> Outcome:
        """One seed, from beginning to end."""
        with self.simulation(seed, skipped, weather) as made:
            broken = _broken(made)
        universe = made.universe
        return Outcome(seed, broken, made.judge.found, universe.trace, universe.struck, universe.points)

    def close(self) -> None:
        shutil.rmtree(self._folder)


def _broken(made: Simulation) -> str:
    try:
        made.live()
    except Broken as broken:
        return str(broken)
    except Exception as bug:  # noqa: BLE001 - whatever the engine raises is a finding, and the other seeds go on
        made.universe.trace += traceback.format_exc().splitlines()[-12:]
        return f"a bug: {type(bug).__name__}: {bug}"
    return ""


@dataclass(frozen=True)
class Outcome:
    """What came of one seed. `broken`: the rule that was, "" when none; `faults`, `points`: how many there were."""

    seed: int
    broken: str
    found: Mapping[str, int]
    trace: Sequence[str]
    faults: int
    points: int

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


class Apart:
    """A room in a process of its own, where strings have the same hashes each time, and so a seed is the same again.

    `planted`: a bug of `tests.campaign.planted` that is on there. `weather`: what all its seeds have."""

    def __init__(self, planted: str | None = None, weather: str = "") -> None:
        self._planted, self._weather = planted, weather

    def __enter__(self) -> Apart:
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.campaign.simulation", self._planted or ""]
        self._child = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *raised: object) -> None:
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()

    def run(self, seed: int, skipped: Collection[int] = ()) -> Outcome:
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(json.dumps([seed, sorted(skipped), self._weather]) + "\n")
        self._child.stdin.flush()
        answered = self._child.stdout.readline()
        if not answered:
            raise RuntimeError(f"seed {seed} ended its process, with {self._child.wait()}")
        return Outcome(**json.loads(answered))

    def shortened(self, seed: int, most: int = 40) -> Outcome:
        """The broken seed with as few of its faults as it takes to break the same rule."""
        found = self.run(seed)
        rule, skipped = found.broken.partition(":")[0], set[int]()
        for one in range(min(found.faults, most), 0, -1):
            tried = self.run(seed, skipped | {one})
            if tried.broken.partition(":")[0] == rule:
                found = tried
                skipped.add(one)
        return found


def serve(planted: str) -> None:
    """Run the seeds that are named on standard input, an answer a line."""
    logging.disable(logging.CRITICAL)
    with ExitStack() as stack:
        if planted:
            from tests.campaign.planted import named

            stack.enter_context(named(planted).on())
        room = Room()
        stack.callback(room.close)
        for line in sys.stdin:
            seed, skipped, weather = json.loads(line)
            print(json.dumps(vars(room.run(seed, frozenset(skipped), weather))), flush=True)


@contextmanager
def seeds() -> Iterator[Run]:
    """A case is `AT_ONCE` seeds, shared by as many processes as there are processors."""
    with ExitStack() as stack:
        rooms = [stack.enter_context(Apart()) for _ in os.sched_getaffinity(0)]
        pool = stack.enter_context(ThreadPoolExecutor(len(rooms)))

        def run(case: int) -> Counts:
            every = range(case * AT_ONCE, (case + 1) * AT_ONCE)
            shares = pool.map(lambda n: [rooms[n].run(seed) for seed in every[n :: len(rooms)]], range(len(rooms)))
            found = sorted(chain.from_iterable(shares), key=lambda one: one.seed)
            if broken := [one for one in found if one.broken]:
                told = "; ".join(f"seed {one.seed}: {one.broken}" for one in broken)
                raise AssertionError("\n".join([told, *rooms[0].shortened(broken[0].seed).trace[-SHOWN:]]))
            counts = Counter(seeds=len(found))
            for one in found:
                counts.update(one.found, faults=one.faults, points=one.points)
            return counts

        yield run


TRIALS: Sequence[Trial] = (
    Trial(
        "simulation", "whole installations in one thread, faults of every kind, from a seed", "seeds", 100_000, seeds
    ),
)

if __name__ == "__main__":
    serve(sys.argv[1])
