"""The deliveries of one release that this process owns while it arms, sends and settles them.

This is the half of a release that speaks to the database; `sync.engine.release` is the half that
speaks to the clock. Every write names the epoch that was taken with the claim, so that a process
that was frozen and overtaken finds out, and writes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from sync.clock import MILLISECOND, SECOND, iso
from sync.contract import TryLater
from sync.engine import approval, notice, outcome
from sync.engine.context import Context
from sync.engine.evidence import clock_evidence, clock_offset, differ
from sync.engine.fit import armed_elsewhere, going, is_due, is_free, may_go, outdated, too_late
from sync.engine.identity import must_wait
from sync.flow import RE, D, E, R
from sync.model import Problem
from sync.store import copies, deliveries, releases
from sync.store.deliveries import Change, Superseded
from sync.store.tables import Record

WATCHERS_LEAD = SECOND // 2  # µs before the instant that the readers are called together; they read after it
AGAIN = 5 * SECOND  # µs until an outlet that could not be armed is tried again; longer the longer it lasts


class Claim:
    """A shard of one release: the deliveries among `among` that are prepared and due (None: all of the release)."""

    def __init__(self, ctx: Context, release_id: str, among: Collection[str] | None = None) -> None:
        self._ctx, self.id, self._among = ctx, release_id, among
        self.rows: dict[str, Record] = {}
        self._notices: Collection[str] = ()  # outlets of it that only notify: those take no part in the instant
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
            rows = deliveries.standing(connection, self.id)
            self._notices = notice.among(ctx, connection, (row.outlet for row in rows))
            mine = [row for row in rows if self._among is None or row.id in self._among]
            free = self._due(connection, joined, rows, [row for row in mine if is_due(row, now)], now)
            if joined.state not in (R.READY, R.COMMITTED) or not free:
                return False
            self.committed = joined.state == R.COMMITTED
            if not self.committed and too_late(joined, now):
                return False  # whoever looks after doubt is about to hold it
            if not releases.is_approved(joined):  # what follows was changed since: due when it is approved again
                nothing = {"duty": None, "due_at": None}
                self._change(connection, [Change(row, values=nothing) for row in free], now)
                return False
            if must_wait(ctx, connection, *free):
                return False
            if older := outdated(ctx, connection, joined, free):
                self._overtaken(connection, joined, older, now)
                return False
            if not self.committed:
                free = [row for row in mine if is_free(row) and row.outlet not in self._notices]
                # Whoever holds a required one will arm it, and nothing is committed before (see `commit`).
                if any(row.required and row.owner is None and not is_free(row) for row in self._at_once(rows)):
                    return False
            ids = {row.id for row in free}
            others = [row for row in self._at_once(rows) if row.id not in ids]
            self.alone = not any(row.required or row.state == D.PREPARED for row in others)
            self.earliest = max(row.ahead for row in rows)
            ahead = joined.release_at is not None and joined.release_at > now
            self.release_at = joined.release_at if ahead and not self.committed else None
            owned = {"owner": ctx.owner, "worker": ctx.actor, "armed_at": None}
            taken = [Change(row, values=owned | {"epoch": row.epoch + 1}) for row in free]
            self._change(connection, taken, now)
            self.rows = {row.id: row for row in deliveries.some(connection, [row.id for row in free])}
        ctx.held.add(self.rows)
        return True

    def _at_once(self, rows: Sequence[Record]) -> list[Record]:
        """Those that go out together at the instant."""
        return [row for row in going(rows) if row.outlet not in self._notices]

    def _due(
        self, connection: Connection, joined: Record, rows: Sequence[Record], due: Sequence[Record], now: int
    ) -> list[Record]:
        """Of what is due, what may go out now. A notification that became due too early waits; and none keeps
        another delivery that follows late waiting for its own arming."""
        waiting = notice.waiting(self._ctx, connection, joined, rows)
        nothing = {"duty": None, "due_at": None}
        early = [Change(row, values=nothing) for row in due if row.id in waiting]
        self._change(connection, early, now)
        due = [row for row in due if row.id not in waiting]
        return [row for row in due if row.outlet not in self._notices] or due

    def _overtaken(self, connection: Connection, joined: Record, rows: Sequence[Record], now: int) -> None:
        """A later revision is public: these must not appear beside it, nor take its place."""
        ctx = self._ctx
        why = f"item {rows[0].item} was corrected: a later revision than {rows[0].revision} is public"
        if not copies.revisions(connection, [rows[0].item]).newer(rows[0].item, rows[0].revision):
            why = f"what is public on {rows[0].outlet} is not what this was to correct; cancel it and correct anew"
        if joined.state == R.READY:
            held = {"why": why, "overdue_at": None}
            releases.move(connection, joined, RE.HELD, at=now, actor=ctx.actor, detail={"why": why}, **held)
        else:
            self._change(connection, [Change(row, values={"stopped": True}) for row in rows], now)
        outcome.settle(ctx, connection, self.id, now)

    def give_way(self) -> None:
        """After `Overtaken`: hold the release, or stop what of it was to follow; give the rest back."""
        ctx = self._ctx
        with ctx.store.write() as connection:
            joined, now = releases.get(connection, self.id), ctx.store.now(connection)
            held = deliveries.some(connection, self.rows, light=True)
            older = outdated(ctx, connection, joined, [row for row in held if row.owner == ctx.owner])
            if older and joined.state in (R.READY, R.COMMITTED):
                self._overtaken(connection, joined, older, now)
            given = self._give_back(connection, list(self.rows), now)
        self._drop(given)
        ctx.ring("prepare")

    def tell_armed(self, armed: Collection[str]) -> None:
        """Let the processes that have the other shards know; alone, nobody needs to. Raises Superseded."""
        if self.alone:
            return
        with self._ctx.store.write() as connection:
            now = self._ctx.store.now(connection)
            self._change(connection, [Change(self.rows[one], values={"armed_at": now}) for one in armed], now)

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
            if joined.state == R.READY and too_late(joined, now):  # the machine slept since it was armed
                raise TryLater(f"not sent by {iso(joined.overdue_at)}, the end of its late limit")
            leaving = [*(self.rows[one] for one in armed), *others]
            public = may_go(ctx, connection, joined, leaving, self.rows)
            evidence: dict[str, str | int] = clock_evidence(ctx, connection, public=public)
            instant = now + ctx.settings.lead_ms * MILLISECOND + self.earliest
            if self.release_at is not None:
                instant = self.release_at
            elif joined.release_at is not None:
                instant = max(instant, joined.release_at)  # what follows may be ready before the others have left
            if joined.state != R.COMMITTED:
                release_at = joined.release_at if joined.release_at is not None else instant
                told = {"release_at": iso(release_at), "fire_at": iso(max(instant, now)), "clock": evidence}
                evidence |= {"instant_us": instant}
                values = {"release_at": release_at, "committed_at": now, "evidence": evidence, "overdue_at": None}
                releases.move(connection, joined, RE.COMMITTED, at=now, actor=ctx.actor, detail=told, **values)
            self._change(connection, [self._begun(row, instant, now) for row in leaving], now, R.COMMITTED)
            moved = {row.id: row for row in deliveries.some(connection, armed, light=True)}
            given = self._give_back(connection, [one for one in self.rows if one not in armed], now)
        self.rows.update(moved)  # only now: a transaction that failed moved nothing
        self._drop(given)
        ctx.ring("prepare")  # the readers
        return {one: row.fire_at for one, row in moved.items()}

    def _look(self, armed: Collection[str]) -> dict[str, int] | None:
        """Reading only, since several ask again and again, and writers queue: the instants of our shots when another
        process's commit took all of them along; None when there is something to write. Raises NotYet."""
        with self._ctx.store.read() as connection:
            state = releases.state_of(connection, self.id)
            if state == R.READY:
                self._others(connection)
            if state != R.COMMITTED or set(armed) != set(self.rows):
                return None
            rows = {row.id: row for row in deliveries.some(connection, self.rows, light=True)}
        ours = ((row.owner, row.epoch, row.state) for row in rows.values())
        if list(ours) != [(self._ctx.owner, self.rows[one].epoch, D.RELEASING) for one in rows]:
            return None
        self.rows.update(rows)
        return {one: row.fire_at for one, row in rows.items()}

    def _others(self, connection: Connection) -> list[Record]:
        """What other processes have armed. Raises NotYet when a required one is not, or its owner is dead."""
        rows = [row for row in deliveries.standing(connection, self.id) if row.id not in self.rows]
        return armed_elsewhere(self._ctx, self._at_once(rows))

    def _committed_elsewhere(
        self, connection: Connection, joined: Record, armed: Collection[str], now: int
    ) -> dict[str, int]:
        """Another process's commit took our shots with it; what we had not announced follows at the same instant."""
        held = deliveries.some(connection, armed, light=True)
        ours = [row for row in held if (row.owner, row.epoch) == (self._ctx.owner, self.rows[row.id].epoch)]
        ours = [row for row in ours if row.state in (D.RELEASING, D.PREPARED)]
        instant = max(joined.evidence["instant_us"], now + MILLISECOND)
        fresh = [self._begun(row, instant, now) for row in ours if row.state == D.PREPARED]
        self._change(connection, fresh, now, R.COMMITTED)
        moved = {row.id: row for row in deliveries.some(connection, [row.id for row in ours], light=True)}
        given = self._give_back(connection, [one for one in self.rows if one not in moved], now)
        self.rows.update(moved)
        self._drop(given)
        return {one: row.fire_at for one, row in moved.items()}

    def _begun(self, row: Record, instant: int, now: int) -> Change:
        """In flight; the readers are called together a little before its instant."""
        fire_at = max(instant - row.ahead, now)
        told = {"worker": row.worker, "attempt": row.attempts + 1, "fire_at": iso(fire_at)}
        watch_from = max(now, fire_at - WATCHERS_LEAD)
        values = {"fire_at": fire_at, "attempts": row.attempts + 1, "duty": "verify", "due_at": watch_from}
        return Change(row, E.RELEASE_BEGUN, told, values)

    def _change(self, connection: Connection, changes: Sequence[Change], now: int, joined: R | None = None) -> None:
        deliveries.change_all(connection, changes, at=now, actor=self._ctx.actor, joined=joined)

    def last_look(self) -> tuple[set[str], int]:
        """Read once more, just before the instant: which deliveries are in flight by us and nobody else; and what
        `clocks_differ` says."""
        owner = self._ctx.owner
        if self._ctx.lock.is_dead(owner):
            return set(), 0  # somebody removed our lock: whoever takes the rows over must be the only one
        with self._ctx.store.read() as connection:
            found = deliveries.some(connection, self.rows, light=True)
            ours = {(one, row.epoch, owner, D.RELEASING) for one, row in self.rows.items()}
            still = {row.id for row in found if (row.id, row.epoch, row.owner, row.state) in ours}
            return still, self._apart(connection)

    def clocks_differ(self) -> int:
        """µs by which database and host clock are further apart than they may be; 0: they are not."""
        with self._ctx.store.read() as connection:
            return self._apart(connection)

    def _apart(self, connection: Connection) -> int:
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
            learnt = [{} if at is None else {"sent_at": at} for _, _, at in batch]
            try:
                answers = zip(batch, learnt, strict=True)
                outcome.keep(self._ctx, [outcome.Answer(self.rows[name], what, it) for (name, what, _), it in answers])
            finally:
                self._drop([name for name, _, _ in batch])
        self._ctx.ring("prepare")

    def stale(self, one: str, why: str) -> None:
        """What was prepared is gone: back to the prepare lane with it, everything else is given back."""
        ctx = self._ctx
        with ctx.store.write() as connection:
            now = ctx.store.now(connection)
            again: dict[str, Any] = {"owner": None, "duty": "prepare", "due_at": now, "problems": []}
            deliveries.move(connection, self.rows[one], E.STALE, at=now, actor=ctx.actor, detail={"why": why}, **again)
            given = [one, *self._give_back(connection, [other for other in self.rows if other != one], now)]
            approval.outlet_changed(ctx, connection, self.rows[one].outlet)
            outcome.settle(ctx, connection, self.id, now)
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
            given = self._give_back(connection, list(self.rows), now)
        self._drop(given)

    def _give_back(self, connection: Connection, given: list[str], now: int) -> list[str]:
        """Disown what is not in flight; due again while its release may still go out."""
        if not given:
            return given
        waits = releases.state_of(connection, self.id) in (R.READY, R.COMMITTED)
        changes = []
        for row in deliveries.some(connection, given, light=True):
            if row.owner == self._ctx.owner and row.state == D.PREPARED:
                due_at = now + max(AGAIN, (now - row.since) // 4)
                duty = {"duty": "release", "due_at": due_at} if waits else {"duty": None, "due_at": None}
                changes.append(Change(row, values={"owner": None, **duty}))
        self._change(connection, changes, now)
        return given

    def let_go(self) -> None:
        """Hold nothing any more, without a word to the database: the sweeper finds our rows that nobody holds."""
        self._drop(list(self.rows))

    def _drop(self, ids: Iterable[str]) -> None:
        dropped = [one for one in ids if self.rows.pop(one, None) is not None]
        self._ctx.held.drop(dropped)
