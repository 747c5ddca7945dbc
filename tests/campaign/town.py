"""The real engine and the real channels on sandboxes that misbehave, hours of it in a second.

    with town(folder, database) as made:
        made.open("o1", "mastodon")                 # an outlet; its sandbox is started with the first of its kind
        made.sandbox["mastodon"].knob("late", seconds=60)
        release = made.plan("o1,site", at=60)
        made.settle(release)                        # until nothing more comes of waiting

What is told of outlets is from their own records, never from our tables.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from sync import bootstrap
from sync.clock import SECOND
from sync.contract import Channel, Tools
from sync.engine import removal, report, verify
from sync.flow import D
from sync.http import Http, Limits
from sync.model import Outlet
from sync.ownership import ProcessLock
from sync.render import Templates
from sync.store import journal, outlets
from sync.store.tables import Record
from tests.campaign.served import Ear, Served, Silence, Tide
from tests.integration.hand import Process
from tests.integration.world import World, fresh_database

ENDED = frozenset({D.VERIFIED, D.CLOSED, D.UNRESOLVED, D.FAILED, D.CANCELLED, D.WITHDRAWN})
# Seconds of this machine's own time; a sandbox that lets its client wait is known by other means.
PATIENT = Limits(connect=10.0, read=10.0, total=20.0)
DUE = (
    "SELECT EXISTS (SELECT 1 FROM delivery WHERE due_at <= ? OR owner IS NOT NULL) "
    "OR EXISTS (SELECT 1 FROM release WHERE overdue_at <= ? AND state IN ('open', 'ready'))"
)
MEMORY = Path("/dev/shm")  # nobody need wait for a disk


class _Listening(Http):
    """All outlets' egress; to its clients a sandbox that waits for its clock has timed out."""

    def __init__(self, now: Callable[[], int], silence: Silence) -> None:
        super().__init__(private_network=True, now=now, limits=PATIENT)
        self._silence = silence

    def _dial(self, host: str, port: int, timeout: float | None) -> socket.socket:
        return Ear.of(super()._dial(host, port, timeout), self._silence)


class Town(World):
    """See the module's first lines. `worse`: by outlet, what its channel is replaced by."""

    def __init__(self, home: Path, database: Path) -> None:
        self.sandbox: dict[str, Served] = {}
        self.worse: dict[str, Callable[[Channel], Channel]] = {}
        super().__init__(home, database)
        self.tide = Tide(self.clock)
        self.http = _Listening(self.clock.now, self.tide.silence)

    def open(self, name: str, kind: str, settings: Mapping[str, str] | None = None, *, required: bool = False) -> None:
        """An outlet on a sandbox."""
        if (server := bootstrap.sandbox_of(kind)) not in self.sandbox:
            self.sandbox[server] = self.tide.serve(server, self.home / "sandbox" / server)
        values = {
            "name": name,
            "unit": outlets.LOCAL_UNIT,
            "kind": kind,
            "settings": dict(settings or {}),
            "secrets": {},
            "groups": ["all"],
            "required": required,
            "live": False,
            "private_network": True,
        }
        with self.store.write() as connection:
            outlets.add(connection, values, at=self.clock.now(), actor="test")

    def server(self, name: str) -> Served:
        """The sandbox that plays this outlet."""
        with self.store.read() as connection:
            return self.sandbox[bootstrap.sandbox_of(outlets.get(connection, name).kind)]

    def lines(self, name: str) -> list[dict[str, Any]]:
        """What the outlet's own record tells of it."""
        mine = (line for line in self.server(name).record())
        return [line for line in mine if line["account"].split(" ")[0] == name]

    def settle(self, release: str, hours: float = 8.0, *, standing: Collection[str] = ()) -> None:
        """See `settle`."""
        settle(self, release, hours, standing=standing)

    def told(self, release: str) -> dict[str, dict[str, Any]]:
        """What a client is told of each outlet."""
        with self.store.read() as connection:
            shown = report.release_report(connection, bootstrap.kind, release)
        return {one["outlet"]: one for one in shown["deliveries"]}

    def entries(self, delivery: str) -> list[Record]:
        with self.store.read() as connection:
            return journal.of(connection, "delivery", delivery)

    # what the world asks

    def step(self) -> bool:
        following = self.tide.following()
        if following is not None and following <= self.clock.now():
            self.tide.turn()
            return True
        return super().step()

    def _sweep(self, process: Process) -> bool:
        """As it is, but for nothing it does nothing: most looks are in vain."""
        with process.store.read() as connection:
            something = connection.exec_driver_sql(DUE, (self.clock.now(),) * 2).scalar()
        return bool(something) and super()._sweep(process)

    def _following(self) -> int | None:
        instants = [super()._following(), self.tide.following()]
        return min((one + 1 for one in instants if one is not None), default=None)

    def check(self) -> None:
        """The trial looks at the end, by the sandboxes' records."""

    def close(self) -> None:
        super().close()
        self.http.close()

    def _process(self, lane: str, lanes: tuple[str, ...], lock: ProcessLock, person: str | None) -> Process:
        made = super()._process(lane, lanes, lock, person)
        made.ctx = replace(made.ctx, kind=bootstrap.kind, channel=self._real_channel)
        return made

    def _real_channel(self, row: Record) -> Channel:
        kind, server = bootstrap.kind(row.kind), bootstrap.sandbox_of(row.kind)
        plain = Outlet(row.name, row.unit, row.kind, row.settings, {}, row.required)
        twin = kind.twin(plain, self.sandbox[server].address, str(self.home / "sandbox" / server / row.name))
        made = kind(twin, Tools(self.http, self.ctx.assets.get, _templates(), self.clock.now))
        worse = self.worse.get(row.name)
        return made if worse is None else worse(made)


def settle(world: World, release: str, hours: float = 8.0, *, standing: Collection[str] = ()) -> None:
    """Run until every delivery has ended, or a person is needed for it; so many hours at most.

    `standing`: outlets whose public copy never becomes what was approved; they are watched for a while."""
    for span in (130.0, 300.0, 900.0, *[1_800.0] * round(hours * 2)):
        open_ = {name: D(state) for name, state in world.states(release).items() if D(state) not in ENDED}
        if not any(not (name in standing and state is D.RELEASED) for name, state in open_.items()):
            break
        world.run(span)
    else:
        return
    world.run(100.0)


@cache
def _templates() -> Templates:
    return Templates()


@contextmanager
def databases() -> Iterator[Path]:
    """A folder in memory with a migrated database in it, to be copied; readers look once a turn meanwhile."""
    watched = verify.CLOSE_WATCH, removal.WATCH
    verify.CLOSE_WATCH = removal.WATCH = 0.0
    folder = Path(tempfile.mkdtemp(prefix="campaign-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        yield fresh_database(folder)
    finally:
        verify.CLOSE_WATCH, removal.WATCH = watched
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def town(database: Path) -> Iterator[Town]:
    """A town of its own on a copy of that database."""
    folder = Path(tempfile.mkdtemp(prefix="town-", dir=database.parent))
    made = Town(folder / "home", database)
    try:
        with made.tide:
            yield made
        assert [] == made.failures, made.failures
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def seconds(instant: int) -> float:
    return instant / SECOND
