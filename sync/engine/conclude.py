"""What follows, once everything was looked up, for what the outlets did not show.

Nothing here is sent, and nothing is made to be sent by itself: the newer past, which this database does
not know, may have cancelled, changed or withdrawn it. Runs in the transaction that ends the recovery.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from sync.engine import announce, outcome
from sync.engine.context import Context
from sync.flow import ENDED, TABLE, D, E, R
from sync.model import Problem
from sync.store import copies, deliveries, recovery, releases
from sync.store.tables import Record

OVER = [state.value for state in ENDED]
# Of these nobody knows whether it is, or was, public.
UNKNOWN = (recovery.BLIND, recovery.UNREACHABLE, recovery.COMING, recovery.REFUSED)
SAID = {
    recovery.NOTHING: "nothing of it is at the outlet: it was never sent, or was removed since",
    recovery.HIDDEN: "the outlet has it, not public: it was never sent, or was removed since",
    recovery.COMING: "the outlet has taken it, and shows nothing yet",
    recovery.REFUSED: "the outlet refuses to tell of it",
    recovery.BLIND: "the outlet cannot be looked up",
    recovery.UNREACHABLE: "the outlet could not be asked",
    recovery.PUBLIC: "it is still public",
}


def conclude(ctx: Context, connection: Connection, began: Record) -> None:
    """Every delivery that was not found public is held, given to a person, or goes on being removed."""
    touched = set()
    for one in recovery.looks(connection, began.id):
        if one.subject != recovery.DELIVERY or one.found is None:
            continue
        row = deliveries.get(connection, one.delivery)
        if row.entry_id != one.known:  # moved by what was found, or by a person
            continue
        touched.add(row.release)
        joined = releases.get(connection, row.release)
        if joined.action == "withdraw":
            _withdrawal(ctx, connection, one, row, joined)
        elif joined.state == R.CANCELLED:
            _tidy(ctx, connection, row)
        elif joined.state in (R.COMMITTED, R.RELEASED):
            _committed(ctx, connection, one, row)
        else:
            _held(ctx, connection, one, row, joined)
    for release_id in sorted(touched):
        outcome.settle(ctx, connection, release_id)


def _withdrawal(ctx: Context, connection: Connection, one: Record, row: Record, joined: Record) -> None:
    """What no reader finds is withdrawn; what is still public goes on being removed, as was ordered."""
    now = ctx.store.now(connection)
    over: dict[str, Any] = {"duty": None, "due_at": None, "problems": []}
    if joined.state != R.COMMITTED or row.state not in (D.PLANNED, D.WITHDRAWING, D.ACCEPTED):
        return
    if one.found == recovery.NOTHING:
        for left in copies.readable(connection, row.item, row.outlet):
            copies.move(connection, left, copies.REMOVED, at=now, actor=ctx.actor, detail={"by": row.id})
        values = {"visible_at": one.looked_at, "released_at": now, "match": True, **over}
        told = {"found": one.found}
        deliveries.move(connection, row, E.WITHDRAWN, at=now, actor=ctx.actor, detail=told, **values)
        announce.ended(ctx, connection, [row], now)
        return
    due: dict[str, Any] = {"duty": "withdraw", "due_at": now}
    if row.state == D.WITHDRAWING:
        deliveries.move(connection, row, E.STILL_PUBLIC, at=now, actor=ctx.actor, detail={"found": one.found}, **due)
    else:
        deliveries.note(connection, row, **due)


def _tidy(ctx: Context, connection: Connection, row: Record) -> None:
    """Its release was cancelled: hidden drafts are removed, which is harmless however often."""
    duty = {D.PREPARED: "discard", D.DISCARDING: "reconcile", D.PREPARING: "reconcile"}.get(D(row.state))
    if duty is not None:
        now = ctx.store.now(connection)
        deliveries.note(connection, row, duty=duty, due_at=now, quarantine_until=now)


def _committed(ctx: Context, connection: Connection, one: Record, row: Record) -> None:
    """Its release is past the point of no return; whether this one may still follow is for a person to say."""
    now = ctx.store.now(connection)
    absent = one.found in (recovery.NOTHING, recovery.HIDDEN)
    if row.stopped and absent:  # withdrawn or overtaken before it went out: given up, as was decided
        if row.state == D.RELEASING:
            deliveries.move(connection, row, E.ABSENT, at=now, actor=ctx.actor, detail={"found": one.found})
        else:
            _tidy(ctx, connection, row)
        return
    if (row.state == D.FAILED and absent) or (row.state == D.ACCEPTED and one.found == recovery.COMING):
        return  # a person decides on it anyway; or it is polled on
    _ask(ctx, connection, one, row)


def _held(ctx: Context, connection: Connection, one: Record, row: Record, joined: Record) -> None:
    """Its release waits for a person anyway, who is told what is known."""
    now = ctx.store.now(connection)
    passed = joined.release_at is None or joined.release_at <= now
    if one.found in UNKNOWN and passed:
        _ask(ctx, connection, one, row)
    elif row.state in (D.PREPARING, D.DISCARDING):
        _tidy(ctx, connection, row)
    else:
        deliveries.note(connection, row, problems=[*row.problems, _problem(one)])


def _ask(ctx: Context, connection: Connection, one: Record, row: Record) -> None:
    """A person looks, and says what they found (`tongfa delivery settle`)."""
    nobody: dict[str, Any] = {"duty": None, "due_at": None, "quarantine_until": None, "problems": [_problem(one)]}
    if E.IN_DOUBT in TABLE[D(row.state)]:
        why = {"found": one.found, "why": _problem(one)["message"]}
        now = ctx.store.now(connection)
        deliveries.move(connection, row, E.IN_DOUBT, at=now, actor=ctx.actor, detail=why, **nobody)
    else:
        deliveries.note(connection, row, problems=[*row.problems, _problem(one)])


def _problem(one: Record) -> dict[str, Any]:
    said = SAID.get(one.found, one.found)
    return outcome.shown(Problem("outlet", f"{said}: {one.why}" if one.why else said, fatal=False))
