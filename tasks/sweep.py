"""The sweeper of a worker process: finds due rows and has them worked on. It writes nothing.

A prepare worker's sweeper tells the broker, so that any process of the lane may take the work. What the
broker does not take, or what nobody took, its own threads do, by the same functions: work goes on while
the broker is absent, stopped, frozen or flushed. The release lane never asks the broker.

Several prepare processes look at the same rows. Each release has one that should take it; the others
leave it alone for a second. Should two take it all the same, the claim in the database decides. Release
processes all come at once: which of them takes what is up to the release (`sync.engine.shards`).
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from typing import Any

from celery import bootsteps
from kombu.exceptions import OperationalError as BrokerDown
from sqlalchemy.exc import SQLAlchemyError

from sync.bell import bell_at
from sync.clock import SECOND
from sync.engine import errands, upkeep
from sync.engine.context import Context
from sync.engine.reconcile import disown
from sync.engine.recover import is_waiting
from sync.model import BadInput
from sync.store import deliveries, releases
from tasks import LANES, TASKS, base
from tasks.direct import Direct
from tasks.look import RUNG
from tasks.rung import Due, Ring, Rung, taker

LONGEST = 10 * SECOND  # µs that a look may be left out, should the wall clock be set back
LEAST = 0.005  # seconds between two looks: rings that come together are heard as one
BATCH = 32  # deliveries a message
ORPHANS_EVERY = 1.0  # seconds between two searches for rows of dead owners
log = logging.getLogger(__name__)


class Sweeper(bootsteps.StartStopStep):  # type: ignore[misc]  # the worker's blueprint: not restarted with the broker
    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._halt = threading.Event()
        self._version, self._look_at, self._orphans_at = -1, 0, 0.0
        self._rung = Rung()
        self._processes: list[str] = []
        self._dropped: set[str] = set()

    def start(self, parent: Any) -> None:
        self._app = parent.app
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def stop(self, parent: Any) -> None:
        self._halt.set()
        RUNG.set()
        self._thread.join(timeout=5)
        if base.lane() == "release" and base.sender.cache_info().currsize:
            base.sender().stop()
        base.ctx().lock.release()

    def _run(self) -> None:
        ctx, lane = base.ctx(), base.lane()
        self._direct = Direct(base.threads())
        log.info("%s serves the %s lane", ctx.owner, lane)
        while True:
            rung = RUNG.wait(self._nap(ctx))
            if self._halt.wait(LEAST if rung else 0):
                return self._direct.stop()
            RUNG.clear()
            try:
                if ctx.clock.boottime() >= self._orphans_at:
                    self._orphans_at = ctx.clock.boottime() + ORPHANS_EVERY
                    self._processes = [holder.name for holder in ctx.lock.living(lane)]
                    self._ring_orphans(ctx, lane)
                self._ring_due(ctx, lane, rung=rung)
            except (SQLAlchemyError, BadInput, OSError) as error:
                log.error("a look for due work failed: %s", error)  # the next look is the remedy

    def _nap(self, ctx: Context) -> float:
        """Seconds until the next look if nobody rings: what falls due by time alone is met at its time."""
        ahead = (self._look_at - ctx.clock.now()) / SECOND
        return min(ctx.settings.sweep_ms / 1_000, max(ahead, LEAST)) if ahead > 0 else ctx.settings.sweep_ms / 1_000

    def _ring_due(self, ctx: Context, lane: str, *, rung: bool) -> None:
        now, version = ctx.clock.now(), ctx.store.version()
        if version == self._version and now < self._look_at and not rung:
            return  # nobody committed anything, and nothing has fallen due by time alone
        with ctx.store.read() as connection:
            due = deliveries.due(connection, now, LANES[lane])
            coming = deliveries.next_due(connection, now, LANES[lane])
            errand = errands.next_due(connection) if lane == "prepare" else None
        batches: dict[tuple[str, str], list[Due]] = defaultdict(list)
        for row in due:
            # a release is armed as one, so its deliveries are rung together; verify likewise
            batches[row.duty, row.release].append((row.id, row.duty, row.due_at))
        self._version, self._look_at = version, min(coming or now + LONGEST, now + LONGEST)
        if errand is not None and errand <= now:
            self._direct.run(TASKS["errands"], [])
            errand = now + SECOND  # they claim their rows, which is a commit: looked at again then, or after that
        self._look_at = min(self._look_at, errand or self._look_at)
        for (_, release), rows in batches.items():
            self._ring(ctx, rows, now, ours=rung or self._is_ours(ctx, lane, release))

    def _is_ours(self, ctx: Context, lane: str, together: str) -> bool:
        return lane == "release" or taker(self._processes, together) in (ctx.owner, None)

    def _ring_orphans(self, ctx: Context, lane: str) -> None:
        now = ctx.clock.now()
        with ctx.store.read() as connection:
            owned = deliveries.owned(connection)
            overdue = releases.overdue(connection, now)
            waiting = [(row.id, late.id, 0) for late in overdue for row in deliveries.of_release(connection, late.id)]
        mine = {row.id for row in owned if row.owner == ctx.owner and row.id not in ctx.held}
        if again := mine & self._dropped:  # seen at two looks: no thread here is about to hold it
            disown(ctx, sorted(again))
        self._dropped = mine - again
        if lane == "prepare":
            if is_waiting(ctx):
                self._direct.run(TASKS["recover"], [])  # asks the outlets in rounds, until all have answered
            if upkeep.is_due(ctx):
                self._direct.run(TASKS["upkeep"], [])
            dead = {row.owner for row in owned if row.owner != ctx.owner and ctx.lock.is_dead(row.owner)}
            # By its epoch: whoever is rung for it may die as well, and the next is rung at once, not after a while.
            orphans = [(row.id, row.owner, row.epoch) for row in owned if row.owner in dead] + waiting
            batches: dict[str, list[Due]] = defaultdict(list)
            for one, together, epoch in orphans:
                batches[together].append((one, "reconcile", epoch))
            for together, rows in batches.items():
                self._ring(ctx, rows, now, ours=self._is_ours(ctx, lane, together))

    def _ring(self, ctx: Context, rows: list[Due], now: int, *, ours: bool) -> None:
        """Have these rows of one duty worked on, but for those that are being worked on, or left to others."""
        asked = {row: self._rung.ring(row, now, ours=ours) for row in rows}
        for how in Ring:
            ringing = [row for row in rows if asked[row] is how]
            for at in range(0, len(ringing), BATCH):
                batch = ringing[at : at + BATCH]
                if not self._hand_over(ctx, batch[0][1], [one for one, _, _ in batch], how):
                    self._rung.forget(batch)
        # what was rung and not taken is rung again
        self._look_at = min([self._look_at, *(self._rung.next_at(row, now) for row in rows)])

    def _hand_over(self, ctx: Context, duty: str, ids: list[str], how: Ring) -> bool:
        """False when neither the broker nor a thread of ours takes it now."""
        lane, url = base.lane(), ctx.settings.broker_url
        if lane == "release" or (url is not None and how is Ring.AGAIN):
            return self._direct.run(TASKS[duty], ids)
        if url is not None:
            return bell_at(url).tell(lane, duty, ids) or self._direct.run(TASKS[duty], ids)
        try:
            self._app.send_task(duty, args=[ids], ignore_result=True)
        except BrokerDown:
            return self._direct.run(TASKS[duty], ids)
        return True
