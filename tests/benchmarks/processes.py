"""Twenty outlets over four release and four prepare processes, beside one of each, on either database.

Both installations of a database run at the same time and take turns at the same outlets. A release is
sent in shards of five, each by a process of its own (`sync/engine/shards.py`), to one instant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.benchmarks.crews import TWENTY
from tests.benchmarks.figures import Crew, arrivals, faults, volleys
from tests.benchmarks.installation import Installation, installed
from tests.benchmarks.pace import Instants, after, say, soon, until
from tests.benchmarks.rig import Rig
from tests.services.postgres import Postgres

SHARD = 5  # of twenty: one for each of four processes
MANY: Mapping[str, Any] = {"workers_prepare": 4, "workers_release": 4, "release_shard": SHARD}
COUNTS: Mapping[int, Mapping[str, Any]] = {1: {}, 4: MANY}
# Database → seconds that planning and preparing one release to twenty outlets takes two cores, generously.
PLANNING = {"sqlite": 1.0, "postgresql": 2.0}
APART = 1.5  # slots between two releases: reading twenty back takes longer than ten


def measure(rig: Rig, releases: int) -> list[Crew]:
    """So many releases of each number of processes, on each database in turn."""
    rig.plain.set_delays(TWENTY)
    return [crew for database in PLANNING for crew in _of(database, rig, releases)]


def _of(database: str, rig: Rig, releases: int) -> list[Crew]:
    say(f"twenty outlets, {database}: starting {' and '.join(map(str, COUNTS))} release processes …")
    with _beside(database, rig) as several:
        warm = {many: [one.plan("warm-up", None, TWENTY)] for many, one in several.items()}
        wrong = {many: one.settled(warm[many], 60) for many, one in several.items()}
        begin = soon(5 + PLANNING[database] * releases * len(several))
        instants: dict[int, Instants] = {many: {} for many in several}
        planned: dict[int, list[str]] = {many: [] for many in several}
        for slot in range(releases * len(several)):
            many = list(several)[slot % len(several)]
            mark, at = f"{database}-{slot:04d}", after(begin, APART * slot)
            instants[many][mark] = at
            planned[many].append(several[many].plan(mark, at, TWENTY))
        say(f"{slot + 1} releases, turn by turn …")
        until(after(begin, APART * (slot + 1)))
        for many, one in several.items():
            wrong[many] += one.settled(planned[many], 60)
        found = arrivals(rig.plain.record())
        names = [account.name for account in TWENTY]
        crews = []
        for many, one in several.items():
            mine = volleys(found, instants[many])
            wrong[many] += faults(mine, names)
            senders = [one.senders(release) for release in planned[many]]
            crews.append(Crew(database, many, mine, senders, one.late(planned[many]), wrong[many]))
        return crews


@contextmanager
def _beside(database: str, rig: Rig) -> Iterator[Mapping[int, Installation]]:
    """An installation for each number of processes, all running on one database server."""
    with ExitStack() as stack:
        server = stack.enter_context(Postgres(durable=True)) if database == "postgresql" else None
        yield {
            many: stack.enter_context(
                installed(
                    rig.folder / f"{database}-{many}",
                    TWENTY,
                    rig.plain.addresses,
                    **settings,
                    **_stored(server, rig),
                )
            )
            for many, settings in COUNTS.items()
        }


def _stored(server: Postgres | None, rig: Rig) -> dict[str, Any]:
    """Settings: where it keeps its rows, and what wakes its workers."""
    return {} if server is None else {"database_url": server.database(), "broker_url": rig.broker.fresh()}
