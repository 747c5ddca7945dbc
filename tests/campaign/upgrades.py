"""T-24: programs of two versions on one database, while it is migrated and while processes are killed.

The next version is a copy of this one with two further migrations. One that adds a table and a column, and a form of
releases that this version does not know; and one, for when nobody of this version is left, that says so. Workers and
commands of both are real processes on one installation; its outlets are sandboxes that outlive them all.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, text

from sync.bootstrap import sandbox_of
from sync.clock import SECOND, iso
from sync.store.session import Store
from sync.store.tables import FORM, SCHEMA
from tests.acceptance.forks import Result
from tests.acceptance.installation import LAG, ROOT, Installation, assert_done, eventually, micros, now
from tests.acceptance.mode import EMBEDDED, Mode, Production, migrated
from tests.campaign.trial import Counts, Run, Trial
from tests.contract.bench import server
from tests.services.postgres import Postgres
from tests.services.redis import running as running_redis

OUTLETS = {"site": "website", "mastodon-1": "mastodon"}
PARTS = ("sync", "channels", "tasks", "templates")
SCALED = {"TONGFA_LANDS_WITHIN_S": "2", "TONGFA_ARM_BEFORE_S": "4"}
MAIN = "from sync.cli import main; main()"
NUMBER = int(SCHEMA[:4])
NEXT, AFTER = f"{NUMBER + 1:04}_pre", f"{NUMBER + 2:04}_post"
ENDED = {"verified", "closed"}
PATIENCE = 90.0  # seconds
STOPS = 5  # places in the migration at which it can stand still
UNSEEN = 1.0  # seconds in which workers that understood it would have prepared it

ADDING = '''"""the next version's: a table, a column, and releases that only it understands"""

import os
import time
from pathlib import Path

import sqlalchemy as sa
from alembic import op

from sync.store.migrations import guards

revision = "{next}"
down_revision = "{this}"
branch_labels = None
depends_on = None


def stand_still(where):
    """When it is told to stop here, until it is killed."""
    if os.environ.get("CAMPAIGN_STOP") == str(where):
        Path(os.environ["CAMPAIGN_STOPPED"]).touch()
        time.sleep(60)


def upgrade():
    stand_still(0)
    op.create_table("hint", sa.Column("id", sa.Text(), nullable=False), sa.PrimaryKeyConstraint("id"))
    stand_still(1)
    for statement in guards.append_only(op.get_bind().dialect.name, "hint", "id = NEW.id"):
        op.execute(statement)
    stand_still(2)
    op.add_column("delivery", sa.Column("hint", sa.Text(), nullable=True))
    stand_still(3)
    op.execute("INSERT INTO hint VALUES ('made by the migration')")
    stand_still(4)
'''
ENDING = '''"""no process of a version before the next one may work here any more"""

from alembic import op

revision = "{after}"
down_revision = "{next}"
branch_labels = None
depends_on = None


def upgrade():
    op.execute("INSERT INTO required_form VALUES ({form})")
'''


def copied(folder: Path) -> None:
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "celery_app.py", folder)


def next_version(folder: Path, *, ended: bool) -> Path:
    """This program, changed into its successor; `ended`: with the migration after which this one is too old."""
    copied(folder)
    tables = folder / "sync" / "store" / "tables.py"
    code = tables.read_text()
    for before, made in (
        (f'SCHEMA = "{SCHEMA}"', f'SCHEMA = "{AFTER if ended else NEXT}"'),
        (f"FORM = {FORM} ", f"FORM = {FORM + 1} "),
        (
            "required_form = Table(",
            'hint = Table("hint", metadata, Column("id", Text, primary_key=True))\nrequired_form = Table(',
        ),
    ):
        assert before in code, before
        code = code.replace(before, made, 1)
    delivery = re.search(r'^delivery = Table\(\n    "delivery",\n    metadata,\n', code, re.M)
    assert delivery is not None
    code = f'{code[: delivery.end()]}    Column("hint", Text),\n{code[delivery.end() :]}'
    tables.write_text(code)
    names = {"next": NEXT, "this": SCHEMA, "after": AFTER, "form": FORM + 1}
    versions = folder / "sync" / "store" / "migrations" / "versions"
    (versions / f"v{NEXT}_next.py").write_text(_filled(ADDING, names))
    if ended:
        (versions / f"v{AFTER}_next.py").write_text(_filled(ENDING, names))
    return folder


def _filled(form: str, names: dict[str, Any]) -> str:
    for name, value in names.items():
        form = form.replace(f"{{{name}}}", str(value))
    return form


@dataclass
class Fleet:
    """One installation, its outlets, and processes of several versions, which die with this one."""

    installed: Installation
    trees: dict[str, Path]  # version → where its program is
    workers: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=dict)
    releases: dict[str, str] = field(default_factory=dict)  # title → release
    due: dict[str, int] = field(default_factory=dict)  # title → its instant
    pace: float = 3.0  # seconds that a command of its own takes of late

    def run(self, version: str, *arguments: str | Path, **env: str) -> Result:
        """A command of that version."""
        began = time.monotonic()
        if version == "this":
            return self.installed.run(*arguments, timeout=60)
        process = self.start(version, *arguments, **env)
        out, err = process.communicate(timeout=120)
        self.pace = 1.5 * (time.monotonic() - began)
        return Result(process.returncode, out.decode(), err.decode(), process.pid)

    def start(self, version: str, *arguments: str | Path, **env: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*_dies_with_us(), sys.executable, "-c", MAIN, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.installed.home.parent,
            env=self.installed.environment(PYTHONPATH=str(self.trees[version]), **env),
        )

    def work(self, version: str, *lanes: str) -> None:
        """Workers of that version; returns when they live."""
        before = sum(len(self.installed.workers(lane)) for lane in ("prepare", "release"))
        for lane in lanes:
            with (self.installed.home / f"{version}-{lane}.log").open("ab") as log:
                self.workers.setdefault(version, []).append(
                    subprocess.Popen(
                        [*_dies_with_us(), sys.executable, "-c", MAIN, "worker", "--lane", lane],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        cwd=self.installed.home.parent,
                        env=self.installed.environment(PYTHONPATH=str(self.trees[version])),
                    )
                )
        wanted = before + len(lanes)
        eventually(lambda: sum(len(self.installed.workers(one)) for one in ("prepare", "release")) >= wanted, PATIENCE)

    def end(self, version: str, *, number: int = signal.SIGKILL) -> None:
        """All workers of that version: killed, or told to end."""
        for one in self.workers.pop(version, []):
            with suppress(ProcessLookupError):
                one.send_signal(number)
            one.wait(60)

    def publish(self, version: str, title: str, ahead: float) -> str:
        path = self.installed.home.parent / f"{len(self.releases)}.md"
        path.write_text(f"---\ntitle: {title}\nkind: notice\n---\n\n自 12 月 1 日起试运行，票价 1 元。\n")
        at = now() + round((ahead + self.pace) * SECOND)
        told = self.run(version, "publish", path, "--outlets", ",".join(OUTLETS), "--at", iso(at), "--json")
        release = str(assert_done(told).json["release"])
        self.releases[title], self.due[title] = release, micros(iso(at))
        return release

    def states(self, title: str) -> set[str]:
        store = Store(self.installed.database)
        try:
            with store.read() as connection:
                asked = text("SELECT state FROM delivery WHERE release = :this")
                return set(connection.execute(asked, {"this": self.releases[title]}).scalars())
        finally:
            store.close()

    def left_alone(self, title: str, named: str, patience: float = UNSEEN) -> None:
        """Nobody who lives takes it. Raises AssertionError."""
        ends = time.monotonic() + patience
        while time.monotonic() < ends:
            states = self.states(title)
            assert states == {"planned"}, f"{named}: an older worker took it: {states}"
            time.sleep(0.1)

    def shape(self) -> tuple[str | None, tuple[str, ...], tuple[str, ...]]:
        """The migration it is at, its tables, and the columns of deliveries."""
        store = Store(self.installed.database)
        try:
            with store.read() as connection:
                seen = inspect(connection)
                columns = tuple(str(one["name"]) for one in seen.get_columns("delivery"))
                tables = tuple(sorted(seen.get_table_names()))
            return store.schema(), tables, columns
        finally:
            store.close()

    def judged(self, named: str) -> dict[str, int]:
        """Once everything has gone out: by the outlets' own records."""
        ends = time.monotonic() + PATIENCE
        while (left := {one: self.states(one) for one in self.releases if not self.states(one) <= ENDED}) and (
            time.monotonic() < ends
        ):
            time.sleep(0.2)
        counts = {"lost": len(left), "duplicate": 0, "early": 0}
        for title, due in self.due.items():
            copies = self.installed.copies(title)
            counts["lost"] += sum(not copies.get(one) for one in OUTLETS)
            counts["duplicate"] += sum(len(copies.get(one, [])) > 1 for one in OUTLETS)
            counts["early"] += sum(at < due - LAG for each in copies.values() for at in each)
        assert not any(counts.values()), f"{named}: {counts} {left}"
        return counts

    def close(self) -> None:
        for version in [*self.workers]:
            self.end(version)


def _dies_with_us() -> Sequence[str]:
    return (sys.executable, "-I", "-S", str(ROOT / "sync" / "child.py"), str(os.getpid()))


@contextmanager
def fleet(folder: Path, mode: Mode, trees: dict[str, Path]) -> Iterator[Fleet]:
    """An installation of this version, with outlets and no worker."""
    installed = Installation(folder / "home", SCALED, mode=mode)
    with ExitStack() as stack:
        installed.add(OUTLETS)
        for name in sorted({sandbox_of(kind) for kind in OUTLETS.values()}):
            stack.enter_context(server(f"channels.sandbox.{name}", folder / "home" / "sandbox" / name))
        made = Fleet(installed, trees)
        stack.callback(made.close)
        yield made


def upgrade(made: Fleet, number: int, stops: int) -> Counts:
    """Work goes on while the next version comes, and this one goes."""
    chance = random.Random(f"T-24 {number}")
    named = f"case {number}"
    first, second, third, fourth, fifth = (f"第 {number} 次升级的第 {one} 号通告" for one in range(1, 6))
    kills = 0
    made.work("this", "prepare", "release")
    made.publish("this", first, 3.0)
    made.publish("this", second, chance.uniform(6.0, 16.0))
    kills += _migrated_under_fire(made, chance, named, stops)
    # What the next version plans is left to it.
    made.publish("next", third, 3.0)
    refused = made.run("this", "release", "hold", made.releases[third])
    assert (2, True) == (refused.code, "newer version" in refused.err), f"{named}: hold: {refused.code} {refused.err}"
    made.left_alone(third, named)
    made.work("next", "prepare", "release")
    made.publish("this", fourth, chance.uniform(3.0, 6.0))
    time.sleep(chance.uniform(0.0, 6.0))
    kills += len(made.workers["this"])
    made.end("this", number=chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
    if chance.random() < 0.5:
        kills += len(made.workers["next"])
        made.end("next")
        made.work("next", "prepare", "release")
    _too_old(made, named)
    made.publish("next", fifth, 2.0)
    counts = made.judged(named)
    made.end("next", number=signal.SIGTERM)
    return {"upgrades": 1, "kills": kills, "releases": len(made.releases), **counts}


def _migrated_under_fire(made: Fleet, chance: random.Random, named: str, times: int) -> int:
    """Killed in the midst of it some times: it is as before, never half. Then it goes through. How often killed."""
    before = made.shape()
    for stop in chance.sample(range(STOPS), times):
        stopped = made.installed.home / f"stopped-{stop}"
        process = made.start("next", "setup", CAMPAIGN_STOP=str(stop), CAMPAIGN_STOPPED=str(stopped))
        eventually(lambda stopped=stopped, process=process: stopped.exists() or process.poll() is not None, PATIENCE)  # type: ignore[misc]
        time.sleep(chance.uniform(0.0, 0.5))
        assert process.poll() is None, f"{named}: it ended at {stop}: {process.communicate()}"
        process.kill()
        process.communicate()
        eventually(lambda: made.shape() == before, 15)
    assert_done(made.run("next", "setup"))
    version, tables, columns = made.shape()
    assert (NEXT, True, True) == (version, "hint" in tables, "hint" in columns), f"{named}: {made.shape()}"
    downgraded = made.run("this", "setup")
    assert downgraded.code == 2, f"{named}: setup of the older version: {downgraded.code}"
    assert made.shape() == (version, tables, columns), f"{named}: it was changed by the older version"
    return times


def _too_old(made: Fleet, named: str) -> None:
    """After the last migration nothing of this version starts, and it changes nothing."""
    assert_done(made.run("after", "setup"))
    before = made.shape()
    assert before[0] == AFTER, f"{named}: {before}"
    for arguments in (("worker", "--lane", "release"), ("release", "list"), ("setup",)):
        told = made.run("this", *arguments)
        assert told.code == 2, f"{named}: {arguments} ended with {told.code}: {told.out}{told.err}"
        assert "tongfa" in told.err or "version" in told.err, f"{named}: {arguments}: {told.err}"
    assert made.shape() == before, f"{named}: it was changed by the older version"


@contextmanager
def modes() -> Iterator[dict[str, Mode]]:
    """Both databases."""
    with (
        tempfile.TemporaryDirectory(prefix="upgrades-") as folder,
        Postgres() as postgres,
        running_redis(Path(folder)) as redis,
    ):
        yield {"sqlite": EMBEDDED, "postgresql": Production(migrated(postgres), redis.fresh)}


@contextmanager
def versions() -> Iterator[dict[str, Path]]:
    """Where the programs are: this one, the next, and the one after which this one is too old."""
    with tempfile.TemporaryDirectory(prefix="versions-") as made:
        folder = Path(made)
        yield {
            "this": ROOT,
            "next": next_version(folder / "next", ended=False),
            "after": next_version(folder / "after", ended=True),
        }


def run_case(there: dict[str, Mode], trees: dict[str, Path], case: int, *, stops: int = 2) -> Counts:
    """On SQLite and PostgreSQL in turn. `stops`: how often the migration is killed."""
    mode = there[("sqlite", "postgresql")[case % 2]]
    with (
        tempfile.TemporaryDirectory(prefix="upgrade-", ignore_cleanup_errors=True) as folder,
        fleet(Path(folder), mode, trees) as made,
    ):
        return upgrade(made, case, stops)


@contextmanager
def _open() -> Iterator[Run]:
    with modes() as there, versions() as trees:
        yield partial(run_case, there, trees)


TRIALS = (
    Trial(
        "upgrades",
        "T-24 two versions on one database: migrated under load and killed in the midst of it, then this one goes",
        "upgrades",
        20,
        _open,
    ),
)
