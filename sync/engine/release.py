"""The instant: arm → commit → send → settle, for one release at a time, in the release process.

The task only arms and hands over; the sender loop does the rest by the clock. Where the process may
die, and what then finds it:

    armed, not committed     nothing happened; the due rows bring the release to the next process
    committed, not sent      in flight under a dead owner: a probe after the quarantine finds nothing, it is sent late
    sent, answer not stored  the same state: a probe finds the copy, it is never sent again
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from sync.clock import MILLISECOND, SECOND, iso
from sync.contract import Accepted, OutletError, Receipt, Reveal, Shot, Stale, TryLater, Window
from sync.engine import outcome
from sync.engine.context import Context, prepared, rendition, together
from sync.engine.evidence import clock_evidence
from sync.engine.sender import Sender
from sync.flow import RE, D, E, IllegalMove, R
from sync.model import Key, Problem
from sync.store import deliveries, outlets, releases
from sync.store.deliveries import Superseded
from sync.store.tables import Record

ARM_AGAIN = 0.5  # seconds between two tries to arm
ARM_GRACE = 2.0  # seconds before the instant by which every required shot must be armed
NOW_PATIENCE = 5.0  # seconds that a release `now`, or a late one, tries to arm
LAST_LOOK = 0.2  # seconds before the instant
MOST_SLEW = 20 * MILLISECOND  # the clocks may drift apart so much between last look and instant


def release(ctx: Context, sender: Sender, ids: Sequence[str]) -> None:
    """Take the releases of these deliveries: those prepared and due are armed and handed to the sender."""
    with ctx.store.read() as connection:
        wanted = dict.fromkeys(row.release for row in deliveries.some(connection, ids) if row.state == D.PREPARED)
    for release_id in wanted:
        volley = Volley(ctx, sender, release_id)
        if volley.claim():
            volley.arm()


class Volley:
    """All shots of one release that this process fires at one instant."""

    def __init__(self, ctx: Context, sender: Sender, release_id: str) -> None:
        self._ctx, self._sender, self._id = ctx, sender, release_id
        self._rows: dict[str, Record] = {}
        self._shots: dict[str, Shot] = {}
        self._why: dict[str, str] = {}
        self._queued: set[str] = set()
        self._fire_at: int | None = None  # µs UTC; None until the commit of a release `now`
        self._answers: list[tuple[str, object, int | None]] = []
        self._storing = threading.Lock()
        self._patience = 0.0
        self._committed = False

    # ---- claim and arm: nothing public, free to stop

    def claim(self) -> bool:
        """Own the prepared deliveries, so that no other process arms them too. False: nothing to do here."""
        ctx = self._ctx
        with ctx.store.write() as connection:
            joined = releases.get(connection, self._id)
            now = ctx.store.now(connection)
            free = [row for row in deliveries.of_release(connection, self._id) if self._is_due(row, now)]
            if joined.state not in (R.READY, R.COMMITTED) or not free:
                return False
            self._fire_at = joined.release_at if joined.state == R.READY else None
            if self._fire_at is not None and self._fire_at <= now:
                self._fire_at = None  # late already: as soon as it is armed
            self._committed = joined.state == R.COMMITTED
            for row in free:
                claimed = deliveries.note(connection, row, owner=ctx.owner, worker=ctx.actor, epoch=row.epoch + 1)
                self._rows[row.id] = claimed
        ctx.held.add(self._rows)
        left = NOW_PATIENCE if self._fire_at is None else (self._fire_at - now) / SECOND - ARM_GRACE
        self._patience = ctx.clock.boottime() + max(left, 0.0)
        return True

    def arm(self) -> None:
        """Warm connections and finished bytes for all; again in a moment for those that were not to be had."""
        missing = {one: partial(self._arm_one, row) for one, row in self._rows.items() if one not in self._shots}
        for one, shot in together(missing):
            if isinstance(shot, Shot):
                self._shots[one] = shot
            elif isinstance(shot, Stale):
                return self._prepare_again(one, str(shot))
            else:
                self._why[one] = f"{shot}"
                if isinstance(shot, OutletError) and not isinstance(shot, TryLater):
                    self._patience = 0.0  # waiting will not mend it
        boot = self._ctx.clock.boottime()
        unarmed = [row for one, row in self._rows.items() if one not in self._shots]
        if not self._shots or (not self._committed and any(row.required for row in unarmed)):
            if boot < self._patience:
                return self._sender.later(boot + ARM_AGAIN, self.arm)
            return self._give_up(unarmed)
        if self._fire_at is None:
            return self.commit()
        ahead = (self._fire_at - self._ctx.clock.now()) / SECOND - self._ctx.settings.commit_before_s
        return self._sender.later(boot + ahead, self.commit)

    def _arm_one(self, row: Record) -> Shot:
        with self._ctx.store.read() as connection:
            outlet, installation = outlets.get(connection, row.outlet), outlets.identity(connection)
        there = prepared(row)
        if there is None or row.generation != outlet.generation:
            raise Stale(f"{row.outlet} was changed after it was prepared")
        channel = self._ctx.channel(outlet)
        if channel.can.reveal is Reveal.QUEUED:
            self._queued.add(row.id)
        instant = self._fire_at or self._ctx.clock.now() + self._ctx.settings.lead_ms * MILLISECOND
        there = replace(there, notes={**there.notes, "release_at": str(instant)})
        return channel.arm(there, rendition(row), Key(installation, row.id))

    def _prepare_again(self, one: str, why: str) -> None:
        """What was prepared is gone: back to the prepare lane, and this volley is disarmed."""
        ctx, row = self._ctx, self._rows.pop(one)
        with ctx.store.write() as connection:
            now = ctx.store.now(connection)
            again: dict[str, object] = {"owner": None, "duty": "prepare", "due_at": now, "problems": []}
            deliveries.move(connection, row, E.STALE, at=now, actor=ctx.actor, detail={"why": why}, **again)
            self._disown(connection, now)
        ctx.held.drop([one])
        self._close()
        ctx.ring("prepare")

    def _give_up(self, unarmed: Sequence[Record]) -> None:
        """A required outlet could not be armed in time: held, nothing public; committed already: later."""
        ctx = self._ctx
        why = "; ".join(f"{row.outlet}: {self._why.get(row.id, 'not armed')}" for row in unarmed if row.required)
        with ctx.store.write() as connection:
            now, joined = ctx.store.now(connection), releases.get(connection, self._id)
            for row in unarmed:
                problem = outcome.shown(Problem("outlet", self._why.get(row.id, "not armed")))
                self._rows[row.id] = deliveries.note(connection, row, problems=[problem])
            if joined.state == R.READY:
                releases.move(connection, joined, RE.HELD, at=now, actor=ctx.actor, detail={"why": why}, why=why)
            self._disown(connection, now + 5 * SECOND)
        self._close()

    # ---- commit: one transaction, the point of no return

    def commit(self) -> None:
        """Everything goes out, or nothing: the release committed and every armed delivery in flight."""
        ctx = self._ctx
        try:
            with ctx.store.write() as connection:
                joined, now = releases.get(connection, self._id), ctx.store.now(connection)
                evidence = clock_evidence(ctx, now, live=joined.live)
                lead = ctx.settings.lead_ms * MILLISECOND
                fire_at = max(self._fire_at or 0, now + (lead if self._fire_at is None else 0))
                if joined.state != R.COMMITTED:
                    release_at = joined.release_at if joined.release_at is not None else fire_at
                    detail = {"release_at": iso(release_at), "fire_at": iso(fire_at), "clock": evidence}
                    releases.move(
                        connection, joined, RE.COMMITTED, at=now, actor=ctx.actor, detail=detail,
                        release_at=release_at, committed_at=now, evidence=evidence, overdue_at=None,
                    )  # fmt: skip
                for one in self._shots:
                    row = self._rows[one]
                    self._rows[one] = deliveries.move(
                        connection, row, E.RELEASE_BEGUN, at=now, actor=ctx.actor,
                        detail={"worker": ctx.actor, "attempt": row.attempts + 1, "fire_at": iso(fire_at)},
                        fire_at=fire_at, attempts=row.attempts + 1, duty="verify", due_at=fire_at,
                    )  # fmt: skip
                self._disown(connection, now + 5 * SECOND, besides=self._shots)
        except (IllegalMove, Superseded):
            return self._stand_down(hold=None)  # held, cancelled or taken over meanwhile: nothing was committed
        except TryLater as mistrust:
            return self._stand_down(hold=str(mistrust))
        self._fire_at = fire_at
        boot = ctx.clock.boottime() + (fire_at - ctx.clock.now()) / SECOND
        if boot - ctx.clock.boottime() > LAST_LOOK:
            self._sender.later(boot - LAST_LOOK, partial(self._look_again, boot))
        else:
            self._sender.at(boot, partial(self._fire, boot))
        return None

    def _look_again(self, boot: float) -> None:
        """Just before the instant: still ours, clocks agree, connections alive. Otherwise nothing is sent."""
        ctx = self._ctx
        with ctx.store.read() as connection:
            rows = deliveries.some(connection, list(self._shots))
            by_database, by_host = ctx.store.now(connection), ctx.clock.now()
        offset = abs(by_database - by_host)
        for row in rows:
            if row.epoch != self._rows[row.id].epoch or row.owner != ctx.owner or row.state != D.RELEASING:
                self._shots.pop(row.id).close()
        if offset > ctx.settings.clock_offset_ms * MILLISECOND:
            why = TryLater(f"host and database clock differ by {offset // MILLISECOND} ms")
            return self._settle_all(dict.fromkeys(self._shots, why))
        for one, fault in together({one: shot.check for one, shot in self._shots.items()}):
            if fault is not None:
                self._settle_all({one: fault})
        assert self._fire_at is not None
        again = ctx.clock.boottime() + (self._fire_at - ctx.clock.now()) / SECOND
        self._sender.at(max(boot, again), partial(self._fire, max(boot, again)))
        return None

    # ---- send: in the sender loop, microseconds

    def _fire(self, boot: float) -> None:
        clock, window = self._ctx.clock, Window(boot, boot + self._ctx.settings.shot_window_s)
        assert self._fire_at is not None
        collecting = gc.isenabled()
        gc.disable()  # a collection among the shots would be skew
        sent: dict[str, int] = {}
        refused: dict[str, TryLater] = {}
        while 0 < self._fire_at - clock.now() <= MOST_SLEW:
            pass  # the wall clock runs a little slower than the other: never early by it either
        if clock.now() < self._fire_at:
            refused = {one: TryLater("not sent: the clock was set back") for one in self._shots}
        for one in sorted(self._shots.keys() - refused.keys(), key=lambda one: one not in self._queued):
            sent[one] = clock.now()
            try:
                self._shots[one].send(window, clock.boottime)
            except TryLater as missed:
                refused[one] = missed
        if collecting:
            gc.enable()
        for one, shot in self._shots.items():
            if one not in refused:
                self._sender.soon(self._settle, one, shot, sent[one])
        if refused:
            self._sender.soon(self._settle_all, dict(refused))

    # ---- settle: in the pool, as long as an outlet's answer takes

    def _settle(self, one: str, shot: Shot, sent_at: int) -> None:
        for _, answer in together({one: shot.settle}):
            self._store(one, answer, sent_at)
        shot.close()

    def _settle_all(self, answers: dict[str, object]) -> None:
        for one, answer in answers.items():
            shot = self._shots.pop(one, None)
            if shot is not None:
                shot.close()
            self._store(one, answer, None)

    def _store(self, one: str, answer: Receipt | Accepted | object, sent_at: int | None) -> None:
        """Answers that come together are stored together: whoever has the turn takes all there are."""
        self._answers.append((one, answer, sent_at))
        with self._storing:
            batch, self._answers = self._answers, []
            if not batch:
                return
            ctx = self._ctx
            try:
                cans = {name: outcome.can_of(ctx, self._rows[name]) for name, _, _ in batch}
                with ctx.store.write() as connection:
                    for name, what, at in batch:
                        learnt = {} if at is None else {"sent_at": at}
                        outcome.apply_answer(ctx, connection, self._rows[name], cans[name], what, **learnt)
                    outcome.settle(ctx, connection, self._id)
            finally:
                ctx.held.drop([name for name, _, _ in batch])  # not stored: the sweeper has it probed
        ctx.ring("prepare")

    # ---- giving back

    def _stand_down(self, hold: str | None) -> None:
        ctx = self._ctx
        with ctx.store.write() as connection:
            now = ctx.store.now(connection)
            joined = releases.get(connection, self._id)
            if joined.state == R.READY and hold is not None:
                releases.move(connection, joined, RE.HELD, at=now, actor=ctx.actor, detail={"why": hold}, why=hold)
            self._disown(connection, now + SECOND)
        self._close()

    def _disown(self, connection: Connection, due_at: int, besides: Sequence[str] | dict[str, Shot] = ()) -> None:
        """Give back what is not in flight; due again while its release may still go out."""
        joined = releases.get(connection, self._id)
        waits = joined.state in (R.READY, R.COMMITTED)
        given = [one for one in self._rows if one not in besides]
        for row in deliveries.some(connection, given):
            if row.owner == self._ctx.owner and row.state == D.PREPARED:
                duty = {"duty": "release", "due_at": due_at} if waits else {"duty": None, "due_at": None}
                deliveries.note(connection, row, owner=None, **duty)
        self._ctx.held.drop(given)

    def _close(self) -> None:
        for shot in self._shots.values():
            shot.close()
        self._shots.clear()

    def _is_due(self, row: Record, now: int) -> bool:
        return bool(
            row.state == D.PREPARED
            and row.owner is None
            and row.duty == "release"
            and row.due_at is not None
            and row.due_at <= now
        )
