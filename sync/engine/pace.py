"""What outlets have asked for, and which of them count as dead: known to every process, a second late at most.

A call that fails is told here by whoever made it. Dead outlets are looked at by `sync.engine.upkeep`.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from sync.breaker import Health, failed, half_open_in
from sync.clock import SECOND, Clock
from sync.contract import HeldBack, OutletError, TryLater
from sync.engine.context import Context
from sync.model import BadInput
from sync.store import deliveries, pace
from sync.store.deliveries import Change
from sync.store.pace import Hold
from sync.store.session import Store
from sync.store.tables import Record, breaker

READS = "READ"  # the calls of a hold that came of an anonymous read; no method is called so
FRESH = 1.0  # seconds for which what the database said is known
LONGEST = 25 * 3600 * SECOND  # µs that an outlet may ask for at once: a day of China's, and what clocks differ by
GRACE = 2 * SECOND  # µs after a look is due until which what waits for it is put off
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """As of a moment ago."""

    holds: tuple[Hold, ...] = ()
    breakers: Mapping[tuple[str, bool], Record] = field(default_factory=dict)

    def held(self, outlet: Record, what: str, now: int) -> Hold | None:
        """The longest wait that this call falls under."""
        found = [
            one
            for one in self.holds
            if (one.outlet, one.live) == (outlet.name, bool(outlet.live)) and one.until > now and covers(one, what)
        ]
        return max(found, key=lambda one: one.until, default=None)

    def open(self, outlet: Record) -> Record | None:
        """The outlet's breaker, if it is open."""
        row = self.of(outlet)
        return row if row is not None and row.state == pace.OPEN else None

    def of(self, outlet: Record) -> Record | None:
        """Its breaker, unless the outlet was changed since."""
        row = self.breakers.get((outlet.name, bool(outlet.live)))
        return row if row is not None and row.generation == outlet.generation else None


class Pace:
    """One process's view of it. Safe to share between threads."""

    def __init__(self, store: Store, clock: Clock, ring: Callable[[str], None], actor: str) -> None:
        self.store, self._clock, self._ring, self._actor = store, clock, ring, actor
        self._guard = threading.Lock()
        self._known, self._read_at = Known(), float("-inf")

    @classmethod
    def of(cls, ctx: Context) -> Self:
        return cls(ctx.store, ctx.clock, ctx.ring, ctx.actor)

    def known(self) -> Known:
        """Asked anew once it is older than `FRESH`. While the database does not answer, what was known last."""
        with self._guard:
            if self._clock.boottime() - self._read_at < FRESH:
                return self._known
            try:
                with self.store.read() as connection:
                    self._known = read(connection, self.store.now(connection))
            except (BadInput, SQLAlchemyError, OSError) as error:
                log.warning("what outlets ask for could not be read: %s", error)
            self._read_at = self._clock.boottime()
            return self._known

    def heard(self, outlet: Record, error: BaseException | None, *, reading: bool = False, counts: bool = True) -> None:
        """A call at the outlet ended like this; None: it worked. What cannot be stored is lost: the answer comes first.

        `reading`: as the public, perhaps from somewhere else: its failure says nothing of the outlet. Of one
        that does not count either, only what the outlet asks for is kept."""
        bad = failed(error) if counts and not reading else None
        asked = isinstance(error, TryLater) and not isinstance(error, HeldBack) and error.not_before is not None
        if bad is False and not self._matters(outlet):
            bad = None
        if bad is None and not asked:
            return
        try:
            with self.store.write() as connection:
                now = self.store.now(connection)
                if isinstance(error, TryLater) and asked:
                    _hold(connection, outlet, error, reading, now)
                closed = bad is not None and self._record(connection, outlet, bad, str(error or ""), now)
        except (BadInput, SQLAlchemyError, OSError) as failure:
            log.warning("what %s said could not be stored: %s", outlet.name, failure)
            return
        self.forget()
        if closed:
            self._ring("prepare")

    def looked(self, outlet: Record, error: BaseException | None, due_at: int | None = None) -> None:
        """Somebody looked whether the outlet is back, and this came of it. An answer of any kind closes its breaker.

        `due_at`: when the look was due; while it lasted, deliveries waited for another instant."""
        alive = error is None or (isinstance(error, OutletError) and not isinstance(error, HeldBack))
        alive = alive and failed(error) is not True
        with self.store.write() as connection:
            now = self.store.now(connection)
            row = pace.breaker_of(connection, outlet.name, outlet.live)
            if row is None or row.state != pace.OPEN:
                return
            if alive:
                self._close(connection, outlet, row, "it answers again", now, due_at)
            elif isinstance(error, HeldBack):
                pace.note(connection, row, half_open_at=max(now, error.not_before or 0) + SECOND)
            else:
                again = now + half_open_in(row.looks + 1, _chance(now))
                pace.note(connection, row, looks=row.looks + 1, half_open_at=again, why=str(error))
        self.forget()
        if alive:
            self._ring("prepare")

    def forget(self) -> None:
        """Ask the database before the next call."""
        with self._guard:
            self._read_at = float("-inf")

    def changed(self, connection: Connection, outlet: Record, row: Record, now: int) -> None:
        """Close what was opened before the outlet was changed, or retired."""
        self._close(connection, outlet, row, "the outlet was changed", now)

    def _matters(self, outlet: Record) -> bool:
        """Whether that a call works says anything new: of an outlet that never fails nothing is written."""
        row = self.known().of(outlet)
        if row is None:
            return False
        return row.state == pace.OPEN or Health.read(row.failures, row.recent).remembers(self._clock.now())

    def _record(self, connection: Connection, outlet: Record, bad: bool, why: str, now: int) -> bool:
        """True when that closed the breaker."""
        row = pace.breaker_of(connection, outlet.name, outlet.live)
        if row is not None and row.generation > outlet.generation:
            return False  # the outlet was changed since: that was said of another one
        if row is not None and row.generation < outlet.generation:
            if row.state == pace.OPEN:
                self.changed(connection, outlet, row, now)
            health = Health()
        else:
            health = Health() if row is None else Health.read(row.failures, row.recent)
        health = health.after(not bad, now)
        row = pace.remember(connection, outlet, row, health, now)
        if row.state == pace.OPEN and not bad:
            self._close(connection, outlet, row, "it answers again", now)
            return True
        if row.state == pace.CLOSED and health.dead:
            again = now + half_open_in(0, _chance(now))
            pace.move(connection, outlet, row, pace.OPEN, why=why, now=now, actor=self._actor, half_open_at=again)
        return False

    def _close(
        self, connection: Connection, outlet: Record, row: Record, why: str, now: int, due_at: int | None = None
    ) -> None:
        """What waited for it is due, oldest first."""
        pace.move(connection, outlet, row, pace.CLOSED, why=why, now=now, actor=self._actor, failures=0, recent=[])
        instants = [at + GRACE for at in (row.half_open_at, due_at) if at is not None]
        waiting = deliveries.some(connection, pace.waiting(connection, outlet.name, instants), light=True)
        changes = [Change(one, values={"due_at": now + place}) for place, one in enumerate(waiting)]
        deliveries.change_all(connection, changes, at=now, actor=self._actor)


def read(connection: Connection, now: int) -> Known:
    rows = connection.execute(select(breaker)).all()
    return Known(tuple(pace.holds(connection, now)), {(row.outlet, bool(row.live)): row for row in rows})


def covers(hold: Hold, what: str) -> bool:
    """Whether the call `what` (METHOD /path, or `READ /path`) has to wait."""
    if hold.calls == READS:
        return what.startswith(f"{READS} ")
    return not what.startswith(f"{READS} ") and (not hold.calls or re.match(hold.calls, what) is not None)


def _hold(connection: Connection, outlet: Record, error: TryLater, reading: bool, now: int) -> None:
    if error.of is None or error.not_before is None or error.not_before <= now:
        return
    until = min(error.not_before, now + LONGEST)
    pace.hold(connection, outlet.name, outlet.live, READS if reading else error.of, until, str(error), now)


def _chance(now: int) -> float:
    """From 0 to 1: by microseconds, in which no two outlets die together."""
    return now % 10_007 / 10_007
