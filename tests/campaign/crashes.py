"""T-01: death at every fail point, by immediate exit, on both databases, at an outlet of each class.

    python -m tests.campaign.crashes FOLDER DATABASE_URL OUTLETS_ADDRESS     # the nursery: forks victims

The nursery has imported everything. For each case it forks a victim, which plans one item and works on it until
it dies at the hit whose number the case gives; then another, if the case says so; and at the end a process that
lives on finishes what they left. Engine, store, egress and the website's channel are the real ones; the time is
shared and jumps to what is due next. Outlets and records live in the process that judges (`tests.campaign.wire`).
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import psycopg
from sqlalchemy import Connection

from channels.website import WebsiteChannel
from sync import bell, verdict
from sync.clock import SECOND, iso
from sync.contract import Channel, Tools
from sync.engine import outcome, reconcile, removal, verify
from sync.engine.claim import Claim
from sync.engine.context import Context
from sync.engine.plan import Order, plan
from sync.flow import D, E
from sync.http import Http, HttpShot
from sync.model import Outlet
from sync.ownership import ProcessLock
from sync.render import Templates
from sync.session_lock import SessionLock
from sync.settings import read_settings
from sync.store import deliveries, journal, outlets, releases
from sync.store.assets import AssetRows, Assets
from sync.store.session import Store
from sync.store.tables import Record
from tests.campaign.checker import Copy, Finding, History, Promise, check, counts
from tests.campaign.points import Points
from tests.campaign.trial import Counts, Run, Trial
from tests.campaign.wire import Blind, Keyed, Searched, SharedClock, WireOutlets
from tests.integration.hand import LANES, CreepingClock, Process, SenderInHand, StoreInHand
from tests.integration.world import World
from tests.services.postgres import Postgres

ROOT = Path(__file__).resolve().parents[2]
CLASSES = {"key": "keyed", "name": "website", "search": "searched", "blind": "blind"}
DATABASES = ("sqlite", "postgresql")
KINDS: Mapping[str, type[Channel]] = {
    **{one.kind: cast(type[Channel], one) for one in (Keyed, Searched, Blind)},
    "website": WebsiteChannel,
}
AHEAD = 60  # seconds from the plan to the instant
PATIENCE = 4 * 3600  # seconds of shared time in which all must have ended
TITLE = "开通公交环线的通告"
DIED = 9
STRIDE = 6
LINKS, STEP = 13, (4, 13)  # deaths of a chain after its first, and hits from one to the next
CHAINS = 8 * STRIDE  # the first so many cases
FLIP = "channels.staging.StagedShot._fire/rename/after"


class ClockedStore(Store):
    """The database, with the shared clock."""

    gone = False

    def __init__(self, url: str, clock: SharedClock) -> None:
        super().__init__(url)
        self._clock = clock

    def now(self, connection: Connection) -> int:
        return self._clock.now()


class Stage(World):
    """What one process of a case does: the loop of `World`, with this module's wiring."""

    def __init__(self, process: Process, clock: SharedClock) -> None:
        self.clock = cast(CreepingClock, clock)
        self.processes = [process]
        self.failures = process.failures
        self.store = process.store

    def check(self) -> None:
        """Judged outside."""


Death = int | str  # the number of a hit, from 1; or the point at whose first hit it is


@dataclass(frozen=True)
class Case:
    """Whose class, and at which hit each victim dies; what lives on finishes."""

    outlet: str
    die_at: tuple[Death, ...] = ()


# the nursery


class Nursery:
    """Everything that a victim finds in place when it is forked."""

    def __init__(self, folder: Path, url: str, address: str) -> None:
        os.environ["TONGFA_DATABASE_URL"] = url  # as of any process of an installation
        os.environ["TONGFA_ARM_BEFORE_S"] = "3"  # while armed it would be looked at every few seconds
        self._folder, self._url, self._address = folder, url, address
        self._home = folder / "home"
        self._home.mkdir()
        (folder / "times.csv").write_text("站点,第 1 班\n镇政府,06:30\n")
        self._clock = SharedClock(folder / "clock")
        self._pages = Templates()
        verify.CLOSE_WATCH = removal.WATCH = 0.0  # this clock stands while a reader naps
        self._settings = read_settings(home=self._home)
        self._found()
        self._store = ClockedStore(url, self._clock)  # victims inherit its compiled statements, and no connection
        self._living = self._lock()
        self._trace, self._hits, self._counted, self._first = -1, 0, 0, 0
        self._die_at: Death = 0
        self._points = Points(told=self._hit)

    def _found(self) -> None:
        """One installation with an outlet of each class; on SQLite a file to copy."""
        store = Store(self._url)
        if self._settings.embedded:
            store.migrate()
        with store.write() as connection:
            outlets.found_installation(connection, installation_id="0123456789abcdef" * 2, host="here", at=1)
            for name, kind in CLASSES.items():
                outlets.add(connection, self._row(name, kind), at=1, actor="campaign")
        store.close()
        if not self._settings.embedded:
            self._admin = psycopg.connect(self._url, autocommit=True)

    def _row(self, name: str, kind: str) -> dict[str, Any]:
        site = {"directory": str(self._folder / "site" / "www"), "base_url": f"{self._address}/site/www"}
        return {
            "name": name,
            "unit": outlets.LOCAL_UNIT,
            "kind": kind,
            "settings": site if kind == "website" else {"base": self._address},
            "secrets": {},
            "groups": [],
            "required": True,
            "live": False,
            "private_network": True,
        }

    def _lock(self) -> ProcessLock | SessionLock:
        if self._settings.embedded:
            return ProcessLock(self._home / "workers", "worker")
        return SessionLock(self._url, "worker")

    def serve(self) -> None:
        """One case a line; the answer is a line, too. In between "died" asks for leave to go on."""
        self._points.install()
        self._warm_up()
        gc.collect()
        gc.freeze()
        _say("ready")
        for line in sys.stdin:
            asked = json.loads(line)
            case = Case(asked["outlet"], tuple(asked["die_at"]))
            if asked["planted"]:
                self._with_a_fault(PLANTED[asked["planted"]], case)
            else:
                _say(self._case(case))

    def _with_a_fault(self, plant: Callable[[], None], case: Case) -> None:
        """The whole case in a process of its own, which nobody else inherits the fault from."""
        pid = os.fork()
        if pid == 0:
            plant()
            _say(self._case(case))
            os._exit(0)
        os.waitpid(pid, 0)
        self._counted += 1  # as it did there

    def _warm_up(self) -> None:
        """Once through, so that statements and templates are compiled."""
        for outlet in CLASSES:
            self._reset()
            self._life(Case(outlet), self._living)
        self._store.close()

    def _case(self, case: Case) -> dict[str, Any]:
        self._reset()
        began, deaths = self._clock.look(), 0
        self._trace = os.open(self._folder / "trace", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        for at in case.die_at:
            code = self._victim(case, at)
            deaths += code == DIED
            os.write(self._trace, b"0 ended\n")
            if code not in (0, DIED):
                return {"broken": f"a victim ended with {code}: {(self._folder / 'victim.err').read_text()[-2000:]}"}
            if code == 0:  # fewer hits were left than it should have died after
                break
            _say("died")
            assert sys.stdin.readline().strip() == "go"
            self._wait_for_the_server()
        failures, release = self._life(case, self._living)
        os.close(self._trace)
        self._trace = -1
        return {
            **self._told(release),
            "began": began,
            "deaths": deaths,
            "trace": (self._folder / "trace").read_text().splitlines(),
            "promised": (self._folder / "told").read_text().splitlines(),
            "failures": failures,
        }

    def _victim(self, case: Case, at: Death) -> int:
        """Fork one that dies at the hit of this number. Its exit code."""
        self._mine = self._sessions()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.dup2(os.open(self._folder / "victim.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
                self._die_at, self._hits = at, 0
                failures, _ = self._life(case, self._lock())
                code = 0 if not failures else 2
                sys.stderr.write("\n".join(failures))
                sys.stderr.flush()
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _life(self, case: Case, lock: ProcessLock | SessionLock) -> tuple[list[str], str]:
        """Plan, unless it was planned before, and work until nothing is left. What failed, and the release."""
        http = Http(private_network=True, now=self._clock.now)
        failures: list[BaseException] = []
        with closing(http):
            ctx = self._context(lock, http)
            release = plan(ctx, self._order(case))
            with (self._folder / "told").open("a") as told:
                told.write(f"{release}\n")
            sender = SenderInHand(cast(CreepingClock, self._clock), failures.append)
            process = Process(ctx, sender, cast(StoreInHand, self._store), tuple(LANES), failures)
            Stage(process, self._clock).run(PATIENCE)
        return [repr(one) for one in failures], release

    def _order(self, case: Case) -> Order:
        """The same request as long as it is the same case: so its instant, too."""
        at = self._clock.look() // SECOND * SECOND + AHEAD * SECOND
        kept = self._folder / "asked"
        if not kept.exists():
            kept.write_text(iso(at))
        return Order(
            (str(self._folder / "item.md"),), (case.outlet,), at=kept.read_text(), request_id=f"case {self._counted}"
        )

    def _context(self, lock: ProcessLock | SessionLock, http: Http) -> Context:
        assets = Assets(self._home / "assets") if self._settings.embedded else AssetRows(self._store)
        tools = Tools(http, assets.get, self._pages, self._clock.now)

        def channel(row: Record) -> Channel:
            outlet = Outlet(row.name, row.unit, row.kind, row.settings, {}, row.required, row.live, True)
            return KINDS[row.kind](outlet, tools)

        return Context(
            store=self._store,
            assets=assets,
            settings=self._settings,
            clock=self._clock,
            kind=KINDS.__getitem__,
            channel=channel,
            ring=bell.silent,
            lock=lock,
            actor=f"{lock.name}:{os.getpid()}",
        )

    def _told(self, release: str) -> dict[str, Any]:
        with self._store.read() as connection:
            joined = releases.get(connection, release)
            entries = [_entry(row) for row in journal.page(connection, after=self._first, size=500)]
            rows = deliveries.of_release(connection, release)
            return {
                "release": release,
                "release_at": joined.release_at,
                "state": joined.state,
                "states": {row.outlet: row.state for row in rows},
                "item": rows[0].item,
                "log": entries,
            }

    def _reset(self) -> None:
        """Another item, and an empty site; what was planned before has ended, and the time goes on."""
        for kept in ("asked", "told"):
            (self._folder / kept).unlink(missing_ok=True)
        shutil.rmtree(self._folder / "site", ignore_errors=True)
        shutil.rmtree(self._home / "assets", ignore_errors=True)
        (self._folder / "site" / "www").mkdir(parents=True)
        self._counted += 1
        (self._folder / "item.md").write_text(
            f"---\ntitle: {TITLE}（{self._counted}）\nattachments:\n  - times.csv\n---\n\n自12月1日起试运行。\n"
        )
        with self._store.read() as connection:
            self._first = journal.size(connection)
        self._store.close()  # nothing that is open here may be inherited

    def _wait_for_the_server(self) -> None:
        """The sessions of the dead end when the server notices, and their locks with them."""
        ends = time.monotonic() + 10
        while self._sessions() > self._mine and time.monotonic() < ends:
            time.sleep(0.002)

    def _sessions(self) -> int:
        if self._settings.embedded:
            return 0
        row = self._admin.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend'"
        ).fetchone()
        return int(row[0]) if row else 0

    def _hit(self, point: str) -> None:
        if self._trace >= 0:
            os.write(self._trace, f"{self._clock.look()} {point}\n".encode())
        self._hits += 1
        if self._die_at in (self._hits, point):
            os._exit(DIED)


# faults of ours, for tests of the trial


def _send_again_without_a_look() -> None:
    """What the last process left in doubt counts as never sent."""
    real = verdict.judge_probe

    def careless(state: D, found: object, facts: verdict.Facts) -> verdict.Verdict:
        return verdict.Verdict(E.ABSENT, facts.now) if state is D.RELEASING else real(state, found, facts)

    verdict.judge_probe = outcome.judge_probe = careless  # type: ignore[attr-defined]


def _send_before_the_commit() -> None:
    """The point of no return is stored after everything was sent."""
    real = Claim.commit

    def late(self: Claim, armed: Collection[str]) -> dict[str, int]:
        for shot in cast(Mapping[str, HttpShot], armed).values():
            shot._fire()
        return real(self, armed)

    Claim.commit = late  # type: ignore[method-assign]


def _forget_the_dead() -> None:
    """Nobody looks after the rows of those who died."""
    reconcile.take_over = lambda ctx, connection, row: None


PLANTED: Mapping[str, Callable[[], None]] = {
    "no look": _send_again_without_a_look,
    "early": _send_before_the_commit,
    "no takeover": _forget_the_dead,
}


def _entry(row: Record) -> dict[str, Any]:
    names = ("subject", "act", "state", "actor", "item", "outlet")
    return {"entry": row.id, "at": iso(row.at), "id": row.subject_id, **{name: getattr(row, name) for name in names}}


def _say(told: object) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


# the trial

Hit = tuple[int, str]  # µs UTC, point


def _lives(trace: Sequence[str]) -> list[list[Hit]]:
    """What each process of a case hit, in order."""
    lives: list[list[Hit]] = [[]]
    for line in trace:
        at, point = line.split(maxsplit=1)
        if point == "ended":
            lives.append([])
        else:
            lives[-1].append((int(at), point))
    return lives


@dataclass
class Court:
    """The outlets, a nursery for each database, and the judgement of each case."""

    folder: Path
    nurseries: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    servers: dict[str, WireOutlets] = field(default_factory=dict)
    lengths: dict[tuple[str, str], int] = field(default_factory=dict)  # hits of a life without a death
    reached: dict[str, tuple[str, str, tuple[Death, ...]]] = field(default_factory=dict)
    died_at: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # database, class, point

    def start(self, database: str, url: str) -> None:
        home = self.folder / database
        home.mkdir()
        outlets_here = self.servers[database] = WireOutlets(SharedClock(home / "clock"), home / "site")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TONGFA_")}
        self.nurseries[database] = subprocess.Popen(
            [sys.executable, "-m", "tests.campaign.crashes", str(home), url, outlets_here.address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**environment, "TONGFA_LANG": "en"},
        )

    def close(self) -> None:
        for nursery in self.nurseries.values():
            assert nursery.stdin is not None
            nursery.stdin.close()
        for nursery in self.nurseries.values():
            with nursery:  # closes both pipes: it ends by that
                pass
        for server in self.servers.values():
            server.shutdown()
            server.server_close()
            server.drained()

    def warm(self) -> None:
        """Returns when every nursery is ready."""
        for nursery in self.nurseries.values():
            assert nursery.stdout is not None
            assert nursery.stdout.readline() == '"ready"\n', "a nursery did not start"

    def run(self, number: int) -> Counts:
        """Case `number`: databases and classes in turn. The first ones of each are chains: the successor of the dead
        dies a few hits further on, too, and so on; then one death at each hit; then two to four at hits of chance.
        """
        database = DATABASES[number % 2]
        outlet = list(CLASSES)[number // 2 % len(CLASSES)]
        deaths = self.deaths(number, self.length(database, outlet))
        told, findings = self.case(database, outlet, deaths)
        assert not findings, f"case {number} ({database}, {outlet}, dying at hits {deaths}): {findings}, {told['died']}"
        parked = sum(state == "unresolved" for state in told["states"].values())
        return {"crashes": told["deaths"], **counts(findings), "parked": parked}

    def deaths(self, number: int, length: int) -> tuple[Death, ...]:
        at, chance = number // 8 + 1, random.Random(number)
        if at <= STRIDE:
            return (at, *[chance.randint(*STEP) for _ in range(LINKS)])
        if at - STRIDE <= length:
            return (at - STRIDE,)
        return tuple(chance.randint(1, length) for _ in range(chance.randint(2, 4)))

    def length(self, database: str, outlet: str) -> int:
        if (database, outlet) not in self.lengths:
            told, findings = self.case(database, outlet, ())
            assert not findings, f"without any death ({database}, {outlet}): {findings}"
            self.lengths[database, outlet] = len(told["trace"])
        return self.lengths[database, outlet]

    def case(
        self, database: str, outlet: str, deaths: Sequence[Death], planted: str = ""
    ) -> tuple[dict[str, Any], list[Finding]]:
        """What became of it, and everything that is wrong with that."""
        server, nursery = self.servers[database], self.nurseries[database]
        server.drained()
        server.forget()
        assert nursery.stdin is not None and nursery.stdout is not None
        nursery.stdin.write(json.dumps({"outlet": outlet, "die_at": deaths, "planted": planted}) + "\n")
        nursery.stdin.flush()
        while (told := json.loads(nursery.stdout.readline() or '{"broken": "the nursery ended"}')) == "died":
            server.drained()
            nursery.stdin.write("go\n")
            nursery.stdin.flush()
        assert "broken" not in told, f"{database}, {outlet}, {deaths}: {told['broken']}"
        lives = _lives(told["trace"])
        told["trace"] = [one for life in lives for one in life]
        told["died"] = [life[-1][1] for life in lives[: told["deaths"]]]
        self.died_at.update((database, outlet, point) for point in told["died"])
        for number, life in enumerate(lives):
            for _, point in life:
                self.reached.setdefault(point, (database, outlet, tuple(deaths[:number])))
        return told, self._judge(server, outlet, told)

    def spared(self) -> list[tuple[str, tuple[str, str, tuple[Death, ...]]]]:
        """Points that were passed and killed nobody yet, and where: database, class, and the deaths before."""
        fatal = {point for _, _, point in self.died_at}
        return [(point, where) for point, where in self.reached.items() if point not in fatal]

    def _judge(self, server: WireOutlets, outlet: str, told: Mapping[str, Any]) -> list[Finding]:
        found = [Finding("lost", f"failed: {one}") for one in told["failures"]]
        if set(told["promised"]) != {told["release"]}:
            found.append(Finding("duplicate", f"planned as {told['promised']}"))
        history = History(
            [Promise(told["release"], (TITLE,), (outlet,), told["release_at"])],
            self._copies(server, outlet, told["trace"]),
            told["log"],
            {told["item"]: TITLE},
        )
        # A person is only asked about what nobody could ask the outlet.
        state = told["states"][outlet]
        if state not in ("verified", "closed") and (outlet, state) != ("blind", "unresolved"):
            found.append(Finding("lost", f"left {state} in a release that is {told['state']}"))
        return [*found, *check(history)]

    def _copies(self, server: WireOutlets, outlet: str, trace: Sequence[Hit]) -> list[Copy]:
        if outlet != "name":
            held = server.held.get(CLASSES[outlet])
            return [Copy(outlet, TITLE, at) for at, what, _ in (held.record if held else ()) if what == "posts"]
        pages = [page for page in (server.folder / "www" / "news").glob("*.html") if TITLE in page.read_text()]
        flips = [at for at, point in trace if point == FLIP]
        return [Copy(outlet, TITLE, min(flips, default=0)) for _ in pages]


@contextmanager
def court(folder: Path) -> Iterator[Court]:
    """Both databases, in `folder`."""
    with ExitStack() as stack:
        made = Court(folder)
        stack.callback(made.close)
        server = stack.enter_context(Postgres())
        migrated = Store(server.database(name="campaign"))
        migrated.migrate()
        migrated.close()
        made.start("sqlite", "sqlite:///" + str(folder / "sqlite" / "home" / "tongfa.sqlite3"))
        made.start("postgresql", server.url("campaign"))
        made.warm()
        yield made


@contextmanager
def opened() -> Iterator[Run]:
    with TemporaryDirectory(prefix="crashes-") as folder, court(Path(folder)) as made:
        yield made.run


TRIALS = (
    Trial(
        name="T-01",
        what="death at every fail point, by immediate exit, on both databases, at an outlet of each class",
        counted="crashes",
        target=5_000,
        open=opened,
    ),
)


if __name__ == "__main__":
    Nursery(Path(sys.argv[1]), sys.argv[2], sys.argv[3]).serve()
