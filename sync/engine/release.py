"""The instant: arm → commit → send → settle, for one release at a time, in the release process.

The task only arms and hands over; the sender loop does the rest by the clock. Where the process may
die, and what then finds it:

    armed, not committed     nothing happened; the due rows bring the release to the next process
    committed, not sent      in flight under a dead owner: a probe after the quarantine finds nothing, it is sent late
    sent, answer not stored  the same state: a probe finds the copy, it is never sent again
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from sync.clock import MILLISECOND, SECOND
from sync.contract import OutletError, Reveal, Shot, Stale, TryLater, Window
from sync.engine.claim import Claim
from sync.engine.context import Context, prepared, rendition
from sync.engine.fit import Changed, NotYet, Overtaken
from sync.engine.sender import Sender
from sync.flow import IllegalMove
from sync.model import Key
from sync.store import outlets
from sync.store.deliveries import Superseded
from sync.store.tables import Record
from sync.together import together

ARM_AGAIN = 0.5  # seconds between two tries to arm
ARM_GRACE = 2.0  # seconds before the instant by which every required shot must be armed
NOW_PATIENCE = 5.0  # seconds that a release `now`, or a late one, tries to arm
LAST_LOOK = 0.2  # seconds before the instant
COMMIT_AGAIN = 0.02  # seconds between two tries to commit while another process is still arming
COMMIT_GRACE = 0.3  # seconds before the first shot by which all processes must have armed
MOST_SLEW = 20 * MILLISECOND  # µs by which the clocks may drift apart between last look and instant


class Volley:
    """All shots of one release that this process fires at one instant."""

    def __init__(self, ctx: Context, sender: Sender, claim: Claim) -> None:
        self._ctx, self._sender, self._claim = ctx, sender, claim
        self._shots: dict[str, Shot] = {}
        self._unarmed: dict[str, str] = {}  # why, in the outlet's words
        self._queued: set[str] = set()
        first = None if claim.release_at is None else self._until(claim.release_at - claim.earliest)
        self._patience = ctx.clock.boottime() + max(NOW_PATIENCE if first is None else first - ARM_GRACE, 0.0)
        # Others may still be arming: how long the commit waits for them, in seconds of boot time.
        self._commit_by = ctx.clock.boottime() + (NOW_PATIENCE if first is None else first - COMMIT_GRACE)

    def or_let_go(self, act: Callable[[], None]) -> None:
        """Run an act. One that breaks off, as on a full disk, leaves no delivery with a thread that is gone.

        Each act hands on as its last step, so nothing of one that broke off is still going to be sent.
        """
        ended = False
        try:
            act()
            ended = True
        finally:
            if not ended:
                self._disarm()
                self._claim.let_go()

    def _later(self, boot: float, act: Callable[[], None], *, final: bool = False) -> None:
        self._sender.later(boot, partial(self.or_let_go, act), final=final)

    # ---- arm: nothing public, free to stop

    def arm(self) -> None:
        """Warm connections and finished bytes for all; again in a moment for those that were not to be had."""
        rows = self._claim.rows
        with self._ctx.store.read() as connection:
            there, key = outlets.some(connection, (row.outlet for row in rows.values())), outlets.identity(connection)
        calls = {one: partial(self._arm_one, row, there[row.outlet], key) for one, row in rows.items()}
        missing = {one: call for one, call in calls.items() if one not in self._shots}
        waiting, hopeless, stale = False, False, None
        for one, shot in together(missing):
            if isinstance(shot, Shot):
                self._shots[one] = shot
                self._unarmed.pop(one, None)
            elif isinstance(shot, Stale):
                stale = one, str(shot)
            else:
                self._unarmed[one] = str(shot) or type(shot).__name__
                passing = isinstance(shot, TryLater)
                # With an instant ahead there is time for all; without one only what is required is waited for.
                waiting |= passing and (rows[one].required or self._claim.release_at is not None)
                hopeless |= rows[one].required and isinstance(shot, OutletError) and not passing
        if stale is not None:
            self._disarm()
            return self._claim.stale(*stale)
        lacking = [rows[one] for one in self._unarmed if rows[one].required and not self._claim.committed]
        boot = self._ctx.clock.boottime()
        if waiting and boot < self._patience and not (hopeless and lacking):
            return self._later(boot + ARM_AGAIN, self.arm)
        if lacking or not self._shots:
            why = "; ".join(f"{row.outlet}: {self._unarmed[row.id]}" for row in lacking)
            self._disarm()
            return self._claim.give_up(self._unarmed, hold=why or None)
        try:
            self._claim.tell_armed(self._shots)
        except Superseded:
            self._disarm()
            return self._claim.give_up({})
        if self._claim.release_at is None:
            return self.commit()
        ahead = self._until(self._claim.release_at - self._claim.earliest) - self._ctx.settings.commit_before_s
        return self._later(self._ctx.clock.boottime() + ahead, self.commit)  # telling may have waited: not from `boot`

    def _arm_one(self, row: Record, outlet: Record, installation: str) -> Shot:
        there = prepared(row)
        if there is None or row.generation != outlet.generation:
            raise Stale(f"{row.outlet} was changed after it was prepared")
        channel = self._ctx.channel(outlet)
        if channel.can.reveal is Reveal.QUEUED:
            self._queued.add(row.id)
        instant = self._claim.release_at or self._ctx.clock.now() + self._ctx.settings.lead_ms * MILLISECOND
        if there.fresh_until is not None and there.fresh_until < instant:
            raise Stale(f"what was prepared at {row.outlet} does not last until the instant")
        there = replace(there, notes={**there.notes, "release_at": str(instant)})
        return channel.arm(there, rendition(row), Key(installation, row.id))

    # ---- commit: the point of no return

    def commit(self) -> None:
        """Everything goes out, or nothing. What could not be armed, being optional, follows later."""
        try:
            fire_at = self._claim.commit(self._shots)
        except NotYet:
            boot = self._ctx.clock.boottime()
            if boot < self._commit_by:
                return self._later(boot + COMMIT_AGAIN, self.commit)
            self._disarm()  # its process may have died: whoever takes its part over brings us together again, late
            return self._claim.give_up({})
        except (IllegalMove, Superseded):
            self._disarm()  # held, cancelled or taken over meanwhile: nothing was committed
            return self._claim.give_up({})
        except Overtaken:
            self._disarm()
            return self._claim.give_way()
        except Changed as changed:
            self._disarm()
            return self._claim.stale(changed.delivery, str(changed))
        except TryLater as mistrust:
            self._disarm()
            return self._claim.give_up({}, hold=str(mistrust))
        for one in self._shots.keys() - fire_at.keys():  # taken over while we waited for the others
            self._shots.pop(one).close()
        if not self._claim.alone and (apart := self._claim.clocks_differ()):  # the commit may be another host's
            why = TryLater(f"not sent: host and database clock differ by {abs(apart) // MILLISECOND} ms")
            return self._put_away(dict.fromkeys(fire_at, why))
        for instant in sorted(set(fire_at.values())):
            self._schedule(instant, [one for one in fire_at if fire_at[one] == instant])
        return None

    def _schedule(self, instant: int, ids: Sequence[str]) -> None:
        """All shots of one instant (µs UTC); there are several instants only in an aligned release."""
        boot = self._ctx.clock.boottime() + self._until(instant)
        if self._until(instant) > LAST_LOOK:
            return self._later(boot - LAST_LOOK, partial(self._look_again, boot, instant, ids), final=True)
        fire = partial(self._fire, boot, instant, ids)
        return self._sender.at(boot, partial(self.or_let_go, fire), final=True)

    def _look_again(self, boot: float, instant: int, ids: Sequence[str]) -> None:
        """Just before the instant: still ours, clocks agree, connections alive. What is not is not sent."""
        ours, apart = self._claim.last_look()
        for one in set(ids) - ours:
            self._shots.pop(one).close()
        going = [one for one in ids if one in ours]
        if apart:
            why = TryLater(f"not sent: host and database clock differ by {abs(apart) // MILLISECOND} ms")
            return self._put_away(dict.fromkeys(going, why))
        checks = {one: self._shots[one].check for one in going}
        faults = {one: _unsent(fault) for one, fault in together(checks) if fault is not None}
        going = [one for one in going if one not in faults]
        # Both clocks were looked at again: the later of the two readings of the instant counts.
        boot = max(boot, self._ctx.clock.boottime() + self._until(instant))
        self._sender.at(boot, partial(self.or_let_go, partial(self._fire, boot, instant, going)), final=True)
        if faults:
            self._sender.soon(self._put_away, faults)  # storing waits for a disk: the others are on their way by now
        return None

    # ---- send: in the sender loop, microseconds

    def _fire(self, boot: float, instant: int, ids: Sequence[str]) -> None:
        clock, window = self._ctx.clock, Window(boot, boot + self._ctx.settings.shot_window_s)
        order = sorted(ids, key=lambda one: one not in self._queued)  # the slowest outlets first
        sent: dict[str, int] = {}
        refused: dict[str, object] = {}
        doubtful: dict[str, object] = {}
        collecting = gc.isenabled()
        gc.disable()  # a collection among the shots would be skew
        while 0 < instant - clock.now() <= MOST_SLEW:
            pass  # the wall clock runs a little slower than the other: never early by it either
        early = clock.now() < instant
        for one in order:
            try:
                if early:
                    raise TryLater("not sent: the clock was set back")
                sent[one] = clock.now()
                self._shots[one].send(window, clock.boottime)
            except TryLater as missed:
                refused[one] = missed
            except Exception as bug:  # noqa: BLE001 - of one channel: the other shots leave all the same, this one is probed
                doubtful[one] = bug
        if collecting:
            gc.enable()
        for one in sent.keys() - refused.keys() - doubtful.keys():
            self._sender.soon(self._settle, one, self._shots[one], sent[one])
        if refused or doubtful:
            self._sender.soon(self._put_away, refused | doubtful)

    # ---- settle: in the pool, as long as an outlet's answer takes

    def _settle(self, one: str, shot: Shot, sent_at: int) -> None:
        try:
            for _, answer in together({one: shot.settle}):
                self._claim.store(one, answer, sent_at)
        finally:
            shot.close()

    def _put_away(self, faults: Mapping[str, object]) -> None:
        """Shots that were not sent, or of which nobody knows: their faults are their answers."""
        for one in faults:
            self._shots.pop(one).close()
        for one, fault in faults.items():
            self._claim.store(one, fault, None)

    def _disarm(self) -> None:
        for shot in self._shots.values():
            shot.close()
        self._shots.clear()

    def _until(self, instant: int) -> float:
        """Seconds from now by the wall clock; negative once it has passed."""
        return (instant - self._ctx.clock.now()) / SECOND


def _unsent(fault: object) -> TryLater:
    """Whatever goes wrong before the first byte: nothing was sent."""
    return fault if isinstance(fault, TryLater) else TryLater(f"not sent: {fault}")
