"""The sweeper of a worker process: finds due rows and rings its own lane. It writes nothing.

What it rang it remembers for a moment, so that a row is rung once and not at every look; a ring that
is lost is repeated after that.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from itertools import islice
from typing import Any

from celery import bootsteps
from kombu.exceptions import OperationalError as BrokerDown
from sqlalchemy.exc import SQLAlchemyError

from sync.clock import SECOND
from sync.engine.context import Context
from sync.engine.reconcile import disown
from sync.model import BadInput
from sync.store import deliveries, releases
from tasks import LANES, base

REMEMBERED = 3 * SECOND  # µs
LONGEST = 10 * SECOND  # µs that a look may be left out, should the wall clock be set back
BATCH = 32  # deliveries a message
ORPHANS_EVERY = 20  # looks between two searches for rows of dead owners
log = logging.getLogger(__name__)


class Sweeper(bootsteps.StartStopStep):  # type: ignore[misc]  # the worker's blueprint: not restarted with the broker
    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._halt = threading.Event()
        self._version, self._look_at = -1, 0
        self._rung: dict[tuple[str, str, int], int] = {}
        self._dropped: set[str] = set()

    def start(self, parent: Any) -> None:
        self._app = parent.app
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def stop(self, parent: Any) -> None:
        self._halt.set()
        self._thread.join(timeout=5)
        if base.lane() == "release" and base.sender.cache_info().currsize:
            base.sender().stop()
        base.ctx().lock.release()

    def _run(self) -> None:
        ctx, lane = base.ctx(), base.lane()
        log.info("%s serves the %s lane", ctx.owner, lane)
        looks = 0
        while not self._halt.wait(ctx.settings.sweep_ms / 1_000):
            try:
                self._ring_due(ctx, LANES[lane])
                if looks % ORPHANS_EVERY == 0:
                    self._ring_orphans(ctx, lane)
            except (SQLAlchemyError, BadInput, OSError, BrokerDown) as error:
                log.error("a look for due work failed: %s", error)  # the next look is the remedy
            looks += 1

    def _ring_due(self, ctx: Context, duties: tuple[str, ...]) -> None:
        now, version = ctx.clock.now(), ctx.store.version()
        if version == self._version and now < self._look_at:
            return  # nobody committed anything, and nothing has fallen due by time alone
        with ctx.store.read() as connection:
            due = deliveries.due(connection, now, duties)
            coming = deliveries.next_due(connection, now, duties)
        again = now + (REMEMBERED if due else LONGEST)  # what was rung and not taken is rung again
        self._version, self._look_at = version, min(again, coming or again)
        batches: dict[tuple[str, str], list[str]] = defaultdict(list)
        for row in due:
            if self._first_time(row.id, row.duty, row.due_at, now):
                # a release is armed as one, so its deliveries are rung together; verify likewise
                batches[row.duty, row.release].append(row.id)
        for (duty, _), ids in batches.items():
            self._ring(duty, ids)

    def _ring_orphans(self, ctx: Context, lane: str) -> None:
        with ctx.store.read() as connection:
            owned = deliveries.owned(connection)
            overdue = releases.overdue(connection, ctx.clock.now())
            waiting = [row.id for late in overdue for row in deliveries.of_release(connection, late.id)]
        mine = {row.id for row in owned if row.owner == ctx.owner and row.id not in ctx.held}
        if again := mine & self._dropped:  # seen at two looks: no thread here is about to hold it
            disown(ctx, sorted(again))
        self._dropped = mine - again
        if lane == "prepare":
            dead = {row.owner for row in owned if row.owner != ctx.owner and ctx.lock.is_dead(row.owner)}
            ids = [row.id for row in owned if row.owner in dead] + waiting
            self._ring("reconcile", [one for one in ids if self._first_time(one, "reconcile", 0, ctx.clock.now())])

    def _first_time(self, one: str, duty: str, due_at: int, now: int) -> bool:
        rung = self._rung.get((one, duty, due_at), 0)
        if now - rung < REMEMBERED:
            return False
        if len(self._rung) > 10_000:
            self._rung = {key: at for key, at in self._rung.items() if now - at < REMEMBERED}
        self._rung[one, duty, due_at] = now
        return True

    def _ring(self, duty: str, ids: list[str]) -> None:
        rest = iter(ids)
        while batch := list(islice(rest, BATCH)):
            self._app.send_task(duty, args=[batch], ignore_result=True)
