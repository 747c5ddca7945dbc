"""What monitoring reads, computed from the database at each scrape: true whichever process did the work.

Promises: no title, address or person is in it; names of outlets are. Reading costs a few statements,
bounded whatever the age of the installation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from sqlalchemy import Connection, func, select

from sync.clock import SECOND
from sync.engine.context import Context
from sync.engine.evidence import clock_offset, kernel_clock
from sync.engine.outlook import budgets_left
from sync.engine.verify import counted
from sync.store import copies, expiries, journal, outlets, pace
from sync.store.tables import SCHEMA, delivery, feed, ping, release

LANES = ("prepare", "release")
SKEWS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0)  # seconds
NEWEST = 500  # releases that the histograms are over


class Figures:
    """A collector for prometheus_client's registry."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    def collect(self) -> Iterator[Metric]:
        """Every figure, from one snapshot of the database. Raises what reading it raises."""
        ctx = self._ctx
        yield InfoMetricFamily("tongfa", "this installation", value={"version": version("tongfa"), "schema": SCHEMA})
        workers = GaugeMetricFamily("tongfa_workers", "living worker processes", labels=["lane"])
        for lane in LANES:
            workers.add_metric([lane], len(ctx.lock.living(lane)))
        yield workers
        synchronised = {"synchronised": 1.0, "unsynchronised": 0.0}.get(kernel_clock())
        if synchronised is not None:
            yield GaugeMetricFamily(
                "tongfa_clock_synchronised", "whether the kernel says that its clock is", value=synchronised
            )
        with ctx.store.read() as connection:
            now = ctx.store.now(connection)
            offset, _ = clock_offset(ctx, connection)
            yield GaugeMetricFamily(
                "tongfa_clock_offset_seconds", "database clock minus host clock", value=offset / SECOND
            )
            yield from self._states(connection)
            yield self._due(connection, now)
            yield from self._outlets(connection, now)
            yield CounterMetricFamily("tongfa_log_entries", "entries of the sync log", value=journal.size(connection))
            yield from self._measured(connection)

    def _states(self, connection: Connection) -> Iterator[Metric]:
        deliveries = GaugeMetricFamily("tongfa_deliveries", "deliveries by state", labels=["outlet", "state"])
        by_state = select(delivery.c.outlet, delivery.c.state, func.count()).group_by(
            delivery.c.outlet, delivery.c.state
        )
        for outlet, state, number in connection.execute(by_state):
            deliveries.add_metric([outlet, state], number)
        yield deliveries
        releases = GaugeMetricFamily("tongfa_releases", "releases by action and state", labels=["action", "state"])
        grouped = select(release.c.action, release.c.state, func.count()).group_by(release.c.action, release.c.state)
        for action, state, number in connection.execute(grouped):
            releases.add_metric([action, state], number)
        yield releases
        public = GaugeMetricFamily("tongfa_copies", "what the public sees, by state", labels=["state"])
        for state, number in copies.count(connection).items():
            public.add_metric([state], number)
        yield public

    def _due(self, connection: Connection, now: int) -> Metric:
        oldest = GaugeMetricFamily("tongfa_due_seconds", "age of the oldest work that is due", labels=["duty"])
        waiting = (
            select(delivery.c.duty, func.min(delivery.c.due_at))
            .where(delivery.c.due_at <= now)
            .group_by(delivery.c.duty)
        )
        for duty, due_at in connection.execute(waiting):
            oldest.add_metric([duty], (now - due_at) / SECOND)
        for beside in (ping, feed):
            due_at = connection.execute(select(func.min(beside.c.due_at)).where(beside.c.due_at <= now)).scalar()
            if due_at is not None:
                oldest.add_metric([beside.name], (now - due_at) / SECOND)
        return oldest

    def _outlets(self, connection: Connection, now: int) -> Iterator[Metric]:
        """How outlets are, as far as it is known without asking them."""
        every, dead = outlets.every(connection), pace.breakers(connection)
        breakers = GaugeMetricFamily("tongfa_outlet_breaker", "1: dead, and left alone", labels=["outlet"])
        waits = GaugeMetricFamily("tongfa_outlet_patience_seconds", "that it has asked for", labels=["outlet"])
        holds = pace.holds(connection, now)
        for row in every:
            is_open = row.name in dead and dead[row.name].state == pace.OPEN
            breakers.add_metric([row.name], float(is_open))
            until = [one.until for one in holds if (one.outlet, one.live) == (row.name, row.live)]
            waits.add_metric([row.name], (max(until, default=now) - now) / SECOND)
        yield breakers
        yield waits
        left = GaugeMetricFamily(
            "tongfa_outlet_budget_left", "calls that a release may make", labels=["outlet", "budget"]
        )
        for name, budget, rest in budgets_left(self._ctx, connection):
            left.add_metric([name, budget.name], rest)
        yield left
        expire = GaugeMetricFamily(
            "tongfa_outlet_credentials_expire_seconds", "until they end, as last told", labels=["outlet"]
        )
        for name, known in expiries.current(connection).items():
            if known.expires_at is not None:
                expire.add_metric([name], (known.expires_at - now) / SECOND)
        yield expire

    def _measured(self, connection: Connection) -> Iterator[Metric]:
        """Skew and lateness of the newest releases, and each outlet's own delay."""
        newest = (
            select(release.c.id, release.c.release_at)
            .where(release.c.committed_at.is_not(None), release.c.action != "withdraw")
            .order_by(release.c.committed_at.desc())
            .limit(NEWEST)
        )
        instants = {row.id: row.release_at for row in connection.execute(newest)}
        kinds = {row.name: row.kind for row in outlets.every(connection, retired=True)}
        seen: dict[str, list[int]] = {}
        rows = select(delivery.c.release, delivery.c.outlet, delivery.c.visible_at).where(
            delivery.c.release.in_(list(instants)), delivery.c.visible_at.is_not(None)
        )
        for row in connection.execute(rows):
            if counted(self._ctx.kind(kinds[row.outlet]).can.reveal):
                seen.setdefault(row.release, []).append(row.visible_at)
        skews = [(max(at) - min(at)) / SECOND for at in seen.values() if len(at) > 1]
        late = [(at - instants[one]) / SECOND for one, all_at in seen.items() for at in all_at]
        yield histogram("tongfa_skew_seconds", f"last minus first visible, of the newest {NEWEST} releases", skews)
        yield histogram("tongfa_lateness_seconds", "visible minus release_at, of the same", late)
        delay = GaugeMetricFamily("tongfa_outlet_delay_seconds", "first byte to first sight, newest", labels=["outlet"])
        for name in kinds:
            if lasted := copies.delays(connection, name, 1):
                delay.add_metric([name], lasted[0] / SECOND)
        yield delay


def histogram(name: str, documentation: str, values: Sequence[float], bounds: Iterable[float] = SKEWS) -> Metric:
    """Cumulative buckets of what was measured, in seconds."""
    buckets = [(str(bound), float(sum(value <= bound for value in values))) for bound in bounds]
    buckets.append(("+Inf", float(len(values))))
    made = HistogramMetricFamily(name, documentation)
    made.add_metric([], buckets=buckets, sum_value=sum(values))
    return made
