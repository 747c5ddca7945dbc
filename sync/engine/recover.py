"""After a restore or an adoption: everything is looked up at its outlet before anything is sent again.

The database may be older than the world. What it believes not to have ended was perhaps published,
corrected or withdrawn since; what it believes public is perhaps gone. `begin` stops everything,
`look_up` asks the outlets in rounds, and when all have answered the rest is concluded at once:

    found public          public, with its receipt and its copy; its release had been committed
    found nothing         never sent by the machine: its release is held, or after a commit a person is asked
    cannot be asked       a person is asked
    a copy that is gone   missing, and never published again; one that reads otherwise: altered, never overwritten

An absence counts only after the quarantine, counted from `begin`: whoever ran before may just have sent it.
Looking is harmless and may be repeated; a death costs a repetition.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from sync.clock import SECOND, iso
from sync.contract import Accepted, Receipt
from sync.engine import conclude, identity, outcome
from sync.engine.context import Context, dump
from sync.engine.look import Found, look, said
from sync.flow import RE, D, E, R
from sync.model import BadInput, Rendition
from sync.store import copies, deliveries, outlets, recovery, releases
from sync.store.deliveries import Superseded
from sync.store.tables import Record, copy, delivery, release
from sync.together import together

AGAIN = (1, 2, 5, 10, 30, 60)  # seconds until an outlet that did not answer is asked again; the last repeats
SHIELD = 30 * SECOND  # µs in which nobody else looks the same up
BATCH = 64


def begin(connection: Connection, why: str, backup: Mapping[str, Any], *, at: int, actor: str) -> Record:
    """Nothing is sent from now on. No owner is left, every waiting release is held, and all looks are due.

    Of a restore to be called in the very transaction, or before the very rename, by which the database
    comes to be: there must be no moment at which it could be started without.
    """
    row = recovery.begin(connection, secrets.token_hex(8), why, backup, at=at, actor=actor)
    since = f" (the backup is of {backup['taken_at']})" if "taken_at" in backup else ""
    held = f"{why}{since}: it may have been published, changed or cancelled since; look, then resume or cancel it"
    for one in connection.execute(select(delivery).where(delivery.c.state.not_in(conclude.OVER))).all():
        idle = {} if one.state == D.RELEASED else {"duty": None, "due_at": None, "armed_at": None}
        deliveries.note(connection, one, owner=None, epoch=one.epoch + 1, **idle)
    for joined in connection.execute(select(release).where(release.c.state.in_((R.OPEN, R.READY)))).all():
        releases.move(connection, joined, RE.HELD, at=at, actor=actor, detail={"why": held}, why=held, overdue_at=None)
    return row


def adopt(ctx: Context) -> bool:
    """From now on the installation is run here, and everything is looked up before anything is sent.

    False: it is run here already, and nothing was changed. Dying between the commit and the home's file: adopt again.
    """
    with ctx.store.write() as connection:
        known, now = outlets.identity(connection), ctx.store.now(connection)
        why = identity.mismatch(ctx.settings, connection)
        if why is None:
            return False
        host = identity.here(ctx.settings, connection)
        recovery.adopt(connection, host, at=now, actor=ctx.actor, detail={"why": why})
        begin(connection, recovery.ADOPTED, {}, at=now, actor=ctx.actor)
    identity.renew(ctx.settings, known)
    ctx.ring("prepare")
    return True


def is_waiting(ctx: Context) -> bool:
    """Whether a round of looks is due."""
    with ctx.store.read() as connection:
        row = recovery.current(connection)
        if row is None:
            return False
        next_at = recovery.next_due(connection)
        return next_at is None or next_at <= ctx.store.now(connection)


def look_up(ctx: Context) -> None:
    """One round: what is due is looked up side by side; when nothing is left, the recovery ends."""
    with ctx.store.write() as connection:
        row = recovery.current(connection)
        if row is None:
            return
        now = ctx.store.now(connection)
        due = recovery.due(connection, row.id, now, BATCH)
        for one in due:
            recovery.note(connection, one, due_at=now + SHIELD, attempts=one.attempts + 1)
    looks = {f"{one.subject} {one.delivery}": one for one in due}
    for name, found in together({name: partial(look, ctx, row, one) for name, one in looks.items()}):
        _store(ctx, looks[name], found if isinstance(found, Found) else Found(None, said(found)))
    with ctx.store.write() as connection:
        row = recovery.current(connection)
        if row is not None and recovery.is_empty(connection, row.id):
            conclude.conclude(ctx, connection, row)
            recovery.end(connection, row, at=ctx.store.now(connection), actor=ctx.actor)
    ctx.ring("prepare")


def give_up(ctx: Context, outlet: str) -> int:
    """A person says that this outlet cannot be asked: what is open there is theirs to decide. Returns how many looks.

    Raises BadInput when there is nothing to give up.
    """
    with ctx.store.write() as connection:
        row, now = recovery.current(connection), ctx.store.now(connection)
        left = [] if row is None else recovery.looks(connection, row.id, open_only=True)
        mine = [one for one in left if one.outlet == outlet]
        if not mine:
            mend = "`tongfa restore --status` shows what is left"
            raise BadInput(f"outlet {outlet}", "nothing there waits to be looked up", mend)
        for one in mine:
            values = {"found": recovery.UNREACHABLE, "looked_at": now, "due_at": None}
            recovery.note(connection, one, **values, why=f"given up by {ctx.actor}: {one.why}".rstrip(": "))
    ctx.ring("prepare")
    return len(mine)


# storing: one transaction a look


def _store(ctx: Context, one: Record, found: Found) -> None:
    with suppress(Superseded), ctx.store.write() as connection:  # moved at this moment: looked up again
        now = ctx.store.now(connection)
        if found.what is None:
            wait = AGAIN[min(one.attempts, len(AGAIN) - 1)] * SECOND
            again = max(now, found.again) if found.again is not None else now + wait
            recovery.note(connection, one, due_at=again, why=found.why, looked_at=now)
            return
        known = _apply_copy if one.subject == recovery.COPY else _apply
        what = found.what if known(ctx, connection, one, found, now) else recovery.MOVED
        recovery.note(connection, one, due_at=None, why=found.why, looked_at=now, found=what)


def _apply_copy(ctx: Context, connection: Connection, one: Record, found: Found, now: int) -> bool:
    """What a reader finds is the copy's state. False: it was moved since the recovery began."""
    row = connection.execute(select(copy).where(copy.c.id == one.delivery)).one()
    if row.entry_id != one.known:
        return False
    state = {
        recovery.PUBLIC: copies.LIVE,
        recovery.ALTERED: copies.ALTERED,
        recovery.MISSING: copies.MISSING,
    }.get(found.what or "")
    if state is not None:
        copies.move(connection, row, state, at=now, actor=ctx.actor, detail={"why": found.why, "after": "a restore"})
    return True


def _apply(ctx: Context, connection: Connection, one: Record, found: Found, now: int) -> bool:
    """What is public, or about to be, is believed at once; absences only when all is known (`conclude`)."""
    row = deliveries.get(connection, one.delivery)
    if row.entry_id != one.known:
        return False
    joined = releases.get(connection, row.release)
    if joined.action == "withdraw":
        return True
    if isinstance(found.answer, Receipt):
        _believe(ctx, connection, row, found.answer, found.made, now)
    elif isinstance(found.answer, Accepted) and row.state in (D.RELEASING, D.ACCEPTED):
        watched = {"duty": "verify", "due_at": now, "accepted": dump(found.answer), "quarantine_until": None}
        if row.state == D.RELEASING:
            deliveries.move(connection, row, E.ACCEPTED, at=now, actor=ctx.actor, detail={"found": "coming"}, **watched)
        else:
            deliveries.note(connection, row, **watched)
    return True


def _believe(
    ctx: Context, connection: Connection, row: Record, answer: Receipt, made: Rendition | None, now: int
) -> None:
    """The outlet shows it: so its release had been committed, and there is a copy."""
    joined = releases.get(connection, row.release)
    told = {"found": "public", "url": answer.url}
    if joined.state in (R.OPEN, R.READY, R.HELD):
        # Of a release `now` nobody knows the instant any more; it was not before it was planned.
        values = {"committed_at": now, "overdue_at": None, "why": "", "evidence": {"found_at": iso(now)}}
        values["release_at"] = joined.release_at if joined.release_at is not None else joined.created_at
        releases.move(connection, joined, RE.FOUND_PUBLIC, at=now, actor=ctx.actor, detail=told, **values)
    learnt: dict[str, Any] = {"receipt": dump(answer), "released_at": answer.at, "problems": []}
    learnt |= {"duty": "verify", "due_at": now, "quarantine_until": None}
    if made is not None:
        learnt |= {"rendition": dump(made), "generation": outlets.get(connection, row.outlet).generation}
    event = E.RELEASED if row.state in (D.RELEASING, D.ACCEPTED) else E.FOUND_PUBLIC
    after = deliveries.move(connection, row, event, at=now, actor=ctx.actor, detail=told, **learnt)
    copies.appear(connection, after, at=now, actor=ctx.actor)
    outcome.settle(ctx, connection, row.release)


def left(connection: Connection) -> Sequence[Mapping[str, Any]]:
    """For people: every look that has found nothing out yet, and why."""
    row = recovery.current(connection)
    if row is None:
        return ()
    told = []
    for one in recovery.looks(connection, row.id, open_only=True):
        about = deliveries.get(connection, one.delivery)
        told.append(
            {
                "outlet": one.outlet,
                "subject": one.subject,
                "delivery": one.delivery,
                "item": about.item,
                "attempts": one.attempts,
                "why": one.why,
                "next_at": iso(one.due_at) if one.due_at is not None else None,
            }
        )
    return told
