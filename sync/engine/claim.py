"""The deliveries of one release that this process owns while it arms, sends and settles them.

This is the half of a release that speaks to the database; `sync.engine.release` is the half that
speaks to the clock. Every write names the epoch that was taken with the claim, so that a process
that was frozen and overtaken finds out, and writes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection

from sync.clock import MILLISECOND, SECOND, iso
from sync.contract import TryLater
from sync.engine import approval, outcome
from sync.engine.context import Context
from sync.engine.evidence import clock_evidence, clock_offset, differ
from sync.engine.identity import barred, must_wait
from sync.flow import RE, D, E, R
from sync.model import Problem
from sync.store import copies, deliveries, outlets, releases
from sync.store.deliveries import Superseded
from sync.store.tables import Record

WATCHERS_LEAD = SECOND // 2  # µs before the instant that the readers are called together; they read after it
AGAIN = 5 * SECOND  # µs until an outlet that could not be armed is tried again; longer the longer it lasts


class Changed(Exception):
    """The outlet of this delivery was changed after it was prepared. Nothing was committed."""

    def __init__(self, delivery: str, outlet: str) -> None:
        super().__init__(f"{outlet} was changed after it was prepared")
        self.delivery = delivery


class Overtaken(Exception):
    """A later revision of the item is public, or about to be. Nothing was committed."""


class NotYet(Exception):
    """Another process still arms a required outlet, or an earlier revision is on its way. Nothing was committed."""


class Claim:
    """A shard of one release: the deliveries among `among` that are prepared and due (None: all of the release)."""

    def __init__(self, ctx: Context, release_id: str, among: Collection[str] | None = None) -> None:
        self._ctx, self.id, self._among = ctx, release_id, among
        self.rows: dict[str, Record] = {}
        self.alone = True  # no other process has a shard of it
        self.earliest = 0  # µs before the instant at which the first of all its shots leaves
        self.committed = False  # the release was committed before: these deliveries follow alone, late
        self.release_at: int | None = None  # µs UTC; None: as soon as everything is armed
        self._answers: list[tuple[str, object, int | None]] = []
        self._storing = threading.Lock()

    def take(self) -> bool:
        """Own what is prepared and due, so that no other process arms it too. False: nothing to do here."""
        ctx = self._ctx
        with ctx.store.write() as connection:
            joined, now = releases.get(connection, self.id), ctx.store.now(connection)
            rows = deliveries.of_release(connection, self.id)
            mine = [row for row in rows if self._among is None or row.id in self._among]
            free = [row for row in mine if _is_due(row, now)]
            if joined.state not in (R.READY, R.COMMITTED) or not free:
                return False
            self.committed = joined.state == R.COMMITTED
            if not self.committed and _too_late(joined, now):
                return False  # whoever looks after doubt is about to hold it
            if not releases.is_approved(joined):  # what follows was changed since: due when it is approved again
                for row in free:
                    deliveries.note(connection, row, duty=None, due_at=None)
                return False
            if must_wait(ctx, connection, *free):
                return False
            outdated = [one for one in free if _outdated(connection, joined, one)]
            if outdated:
                self._overtaken(connection, joined, outdated, now)
                return False
            if not self.committed:
                free = [row for row in mine if _is_free(row)]
                # Whoever holds a required one will arm it, and nothing is committed before (see `commit`).
                if any(row.required and row.owner is None and not _is_free(row) for row in _going(rows)):
                    return False
            ids = {row.id for row in free}
            others = [row for row in _going(rows) if row.id not in ids]
            self.alone = not any(row.required or row.state == D.PREPARED for row in others)
            self.earliest = max(row.ahead for row in rows)
            ahead = joined.release_at is not None and joined.release_at > now
            self.release_at = joined.release_at if ahead and not self.committed else None
            for row in free:
                owned = {"owner": ctx.owner, "worker": ctx.actor, "epoch": row.epoch + 1, "armed_at": None}
                self.rows[row.id] = deliveries.note(connection, row, **owned)
        ctx.held.add(self.rows)
        return True

    def _overtaken(self, connection: Connection, joined: Record, rows: Sequence[Record], now: int) -> None:
        """A later revision is public: these must not appear beside it, nor take its place."""
        ctx = self._ctx
        why = f"item {rows[0].item} was corrected: a later revision than {rows[0].revision} is public"
        if not copies.newer(connection, rows[0].item, rows[0].revision):
            why = f"what is public on {rows[0].outlet} is not what this was to correct; cancel it and correct anew"
        if joined.state == R.READY:
            held = {"why": why, "overdue_at": None}
            releases.move(connection, joined, RE.HELD, at=now, actor=ctx.actor, detail={"why": why}, **held)
        else:
            for row in rows:
                deliveries.note(connection, row, stopped=True)
        outcome.settle(ctx, connection, self.id)

    def give_way(self) -> None:
        """After `Overtaken`: hold the release, or stop what of it was to follow; give the rest back."""
        ctx = self._ctx
        with ctx.store.write() as connection:
            joined, now = releases.get(connection, self.id), ctx.store.now(connection)
            ours = [row for row in deliveries.some(connection, list(self.rows)) if row.owner == ctx.owner]
            outdated = [row for row in ours if _outdated(connection, joined, row)]
            if outdated and joined.state in (R.READY, R.COMMITTED):
                self._overtaken(connection, joined, outdated, now)
            given = self._give_back(connection, list(self.rows))
        self._drop(given)
        ctx.ring("prepare")

    def tell_armed(self, armed: Collection[str]) -> None:
        """Let the processes that have the other shards know; alone, nobody needs to. Raises Superseded."""
        if self.alone:
            return
        with self._ctx.store.write() as connection:
            now = self._ctx.store.now(connection)
            told = {one: deliveries.note(connection, self.rows[one], armed_at=now) for one in armed}
        self.rows.update(told)

    def commit(self, armed: Collection[str]) -> dict[str, int]:
        """The point of no return, in one transaction: the release committed, every armed delivery in flight,
        also those that other processes armed.

        Returns the instant of each of our shots (µs UTC). Raises NotYet while another process arms what is
        required, or an earlier revision is on its way; Overtaken when a later one is;
        IllegalMove or Superseded when the release was held, cancelled or taken over meanwhile;
        Changed when an outlet is not what was armed any more; TryLater when it is too late or the clocks
        cannot be trusted: then nothing was committed. Dying after it: the deliveries are in flight under a
        dead owner, and are probed.
        """
        ctx = self._ctx
        if not self.alone and not self.committed and (taken_along := self._look(armed)) is not None:
            return taken_along
        with ctx.store.write() as connection:
            joined, now = releases.get(connection, self.id), ctx.store.now(connection)
            if joined.state == R.COMMITTED and not self.committed:
                return self._committed_elsewhere(connection, joined, armed, now)
            if self.committed and not releases.is_approved(joined):
                raise Superseded(self.id)
            others = [] if self.alone or self.committed else self._others(connection)
            if joined.state == R.READY and _too_late(joined, now):  # the machine slept since it was armed
                raise TryLater(f"not sent by {iso(joined.overdue_at)}, the end of its late limit")
            going = [*(self.rows[one] for one in armed), *others]
            public = False
            for row in going:
                if _outdated(connection, joined, row):
                    raise Overtaken(row.item)
                if copies.older_under_way(connection, row.item, row.outlet, row.revision):
                    raise NotYet(f"{row.outlet}: an earlier revision is on its way there")
                if (why := barred(ctx, connection, row)) is not None:
                    raise TryLater(f"nothing was sent: {why}")
                outlet = outlets.get(connection, row.outlet)
                public |= joined.live and not outlet.private_network
                if outlet.generation != row.generation and row.id in self.rows:
                    raise Changed(row.id, row.outlet)
                if outlet.generation != row.generation:
                    raise NotYet(f"{row.outlet} was changed: the process that armed it is about to find out")
            evidence: dict[str, str | int] = clock_evidence(ctx, connection, public=public)
            instant = now + ctx.settings.lead_ms * MILLISECOND + self.earliest
            if self.release_at is not None:
                instant = self.release_at
            if joined.state != R.COMMITTED:
                release_at = joined.release_at if joined.release_at is not None else instant
                told = {"release_at": iso(release_at), "fire_at": iso(max(instant, now)), "clock": evidence}
                evidence |= {"instant_us": instant}
                values = {"release_at": release_at, "committed_at": now, "evidence": evidence, "overdue_at": None}
                releases.move(connection, joined, RE.COMMITTED, at=now, actor=ctx.actor, detail=told, **values)
            moved = {one: self._begin(connection, self.rows[one], instant, now) for one in armed}
            for row in others:
                self._begin(connection, row, instant, now)
            given = self._give_back(connection, [one for one in self.rows if one not in armed])
        self.rows.update(moved)  # only now: a transaction that failed moved nothing
        self._drop(given)
        ctx.ring("prepare")  # the readers
        return {one: row.fire_at for one, row in moved.items()}

    def _look(self, armed: Collection[str]) -> dict[str, int] | None:
        """Reading only, since several ask again and again, and writers queue: the instants of our shots when another
        process's commit took all of them along; None when there is something to write. Raises NotYet."""
        with self._ctx.store.read() as connection:
            joined = releases.get(connection, self.id)
            if joined.state == R.READY:
                self._others(connection)
            if joined.state != R.COMMITTED or set(armed) != set(self.rows):
                return None
            rows = {row.id: row for row in deliveries.some(connection, list(self.rows))}
        ours = ((row.owner, row.epoch, row.state) for row in rows.values())
        if list(ours) != [(self._ctx.owner, self.rows[one].epoch, D.RELEASING) for one in rows]:
            return None
        self.rows.update(rows)
        return {one: row.fire_at for one, row in rows.items()}

    def _others(self, connection: Connection) -> list[Record]:
        """What other processes have armed. Raises NotYet when a required one is not, or its owner is dead."""
        rows = [row for row in deliveries.of_release(connection, self.id) if row.id not in self.rows]
        ready = [row for row in rows if row.state == D.PREPARED and row.owner is not None and row.armed_at is not None]
        ready = [row for row in ready if not self._ctx.lock.is_dead(row.owner)]
        for row in _going(rows):
            if row.required and row not in ready:
                raise NotYet(f"{row.outlet}: nobody has it armed")
        return ready

    def _committed_elsewhere(
        self, connection: Connection, joined: Record, armed: Collection[str], now: int
    ) -> dict[str, int]:
        """Another process's commit took our shots with it; what we had not announced follows at the same instant."""
        fresh = {row.id: row for row in deliveries.some(connection, list(self.rows)) if row.owner == self._ctx.owner}
        instant = joined.evidence["instant_us"]
        moved = {}
        for one in armed:
            row = fresh.get(one)
            if row is not None and row.epoch == self.rows[one].epoch and row.state == D.RELEASING:
                moved[one] = row
            elif row is not None and row.epoch == self.rows[one].epoch and row.state == D.PREPARED:
                moved[one] = self._begin(connection, row, max(instant, now + MILLISECOND), now)
        given = self._give_back(connection, [one for one in self.rows if one not in moved])
        self.rows.update(moved)
        self._drop(given)
        return {one: row.fire_at for one, row in moved.items()}

    def _begin(self, connection: Connection, row: Record, instant: int, now: int) -> Record:
        """In flight; the readers are called together a little before its instant."""
        fire_at = max(instant - row.ahead, now)
        told = {"worker": row.worker, "attempt": row.attempts + 1, "fire_at": iso(fire_at)}
        watch_from = max(now, fire_at - WATCHERS_LEAD)
        values = {"fire_at": fire_at, "attempts": row.attempts + 1, "duty": "verify", "due_at": watch_from}
        return deliveries.move(connection, row, E.RELEASE_BEGUN, at=now, actor=self._ctx.actor, detail=told, **values)

    def still_ours(self) -> set[str]:
        """Read once more, just before the instant: which deliveries are in flight by us and nobody else."""
        if self._ctx.lock.is_dead(self._ctx.owner):
            return set()  # somebody removed our lock: whoever takes the rows over must be the only one
        with self._ctx.store.read() as connection:
            return {
                row.id
                for row in deliveries.some(connection, list(self.rows))
                if (row.epoch, row.owner, row.state) == (self.rows[row.id].epoch, self._ctx.owner, D.RELEASING)
            }

    def clocks_differ(self) -> int:
        """µs by which database and host clock are further apart than they may be; 0: they are not."""
        with self._ctx.store.read() as connection:
            offset, error = clock_offset(self._ctx, connection)
        return offset if differ(self._ctx, offset, error) else 0

    def store(self, one: str, answer: object, sent_at: int | None) -> None:
        """Keep what a shot came to. Answers that come together are stored together.

        If storing fails, the delivery stays in flight under our name with no thread on it: it is probed.
        """
        self._answers.append((one, answer, sent_at))
        with self._storing:
            batch, self._answers = self._answers, []
            if not batch:
                return
            ctx = self._ctx
            try:
                cans = {name: outcome.can_of(ctx, self.rows[name]) for name, _, _ in batch}
                with ctx.store.write() as connection:
                    for name, what, at in batch:
                        learnt = {} if at is None else {"sent_at": at}
                        # Somebody newer has the row: what was written for it is undone, the others' answers are kept.
                        with suppress(Superseded), connection.begin_nested():
                            outcome.apply_answer(ctx, connection, self.rows[name], cans[name], what, **learnt)
                    outcome.settle(ctx, connection, self.id)
            finally:
                self._drop([name for name, _, _ in batch])
        ctx.ring("prepare")

    def stale(self, one: str, why: str) -> None:
        """What was prepared is gone: back to the prepare lane with it, everything else is given back."""
        ctx = self._ctx
        with ctx.store.write() as connection:
            now = ctx.store.now(connection)
            again: dict[str, Any] = {"owner": None, "duty": "prepare", "due_at": now, "problems": []}
            deliveries.move(connection, self.rows[one], E.STALE, at=now, actor=ctx.actor, detail={"why": why}, **again)
            given = [one, *self._give_back(connection, [other for other in self.rows if other != one])]
            approval.outlet_changed(ctx, connection, self.rows[one].outlet)
            outcome.settle(ctx, connection, self.id)
        self._drop(given)
        ctx.ring("prepare")

    def give_up(self, problems: Mapping[str, str], *, hold: str | None = None) -> None:
        """Give everything back, nothing sent; `hold` also holds the release, if it is not committed yet."""
        ctx = self._ctx
        with ctx.store.write() as connection:
            now, joined = ctx.store.now(connection), releases.get(connection, self.id)
            for row in deliveries.some(connection, list(problems)):
                if row.owner == ctx.owner:
                    deliveries.note(connection, row, problems=[outcome.shown(Problem("outlet", problems[row.id]))])
            if hold is not None and joined.state == R.READY:
                releases.move(connection, joined, RE.HELD, at=now, actor=ctx.actor, detail={"why": hold}, why=hold)
            given = self._give_back(connection, list(self.rows))
        self._drop(given)

    def _give_back(self, connection: Connection, ids: Iterable[str]) -> list[str]:
        """Disown what is not in flight; due again while its release may still go out."""
        ctx, now = self._ctx, self._ctx.store.now(connection)
        waits = releases.get(connection, self.id).state in (R.READY, R.COMMITTED)
        given = list(ids)
        for row in deliveries.some(connection, given):
            if row.owner == ctx.owner and row.state == D.PREPARED:
                due_at = now + max(AGAIN, (now - row.since) // 4)
                duty = {"duty": "release", "due_at": due_at} if waits else {"duty": None, "due_at": None}
                deliveries.note(connection, row, owner=None, **duty)
        return given

    def let_go(self) -> None:
        """Hold nothing any more, without a word to the database: the sweeper finds our rows that nobody holds."""
        self._drop(list(self.rows))

    def _drop(self, ids: Iterable[str]) -> None:
        dropped = [one for one in ids if self.rows.pop(one, None) is not None]
        self._ctx.held.drop(dropped)


def _too_late(joined: Record, now: int) -> bool:
    return joined.overdue_at is not None and joined.overdue_at <= now


def _outdated(connection: Connection, joined: Record, row: Record) -> bool:
    if copies.newer(connection, row.item, row.revision):
        return True
    return bool(joined.action == "correct" and copies.outdated(connection, row))


def _going(rows: Sequence[Record]) -> list[Record]:
    """Without those that a person gave up."""
    return [row for row in rows if row.state != D.CANCELLED]


def _is_free(row: Record) -> bool:
    return bool(row.state == D.PREPARED and row.owner is None and row.duty == "release")


def _is_due(row: Record, now: int) -> bool:
    return _is_free(row) and row.due_at is not None and row.due_at <= now
