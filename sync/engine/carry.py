"""What was accepted and is handed over part by part: a mailing to many recipients goes on, by one process at a time.

The claim is a row's owner and epoch, as everywhere; the ledger of who was reached is kept with the delivery
(`sync.ledger`). A death between a recipient's first byte and the server's answer leaves that one in doubt: the
next process goes on with all the others, and at the end a person is asked about that one.

A mailing goes on by turns (`sync.engine.admission`): a round lasts as long as its channel wants, and no round is
cut short; but only some threads carry at one outlet, so that one which hangs keeps no more. What a person
has stopped calls nobody, and waits for none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

from sqlalchemy import Connection

from sync.clock import SECOND
from sync.contract import Accepted, Ambiguous, Carrier, HeldBack, Receipt, Rejected, TryLater, Unsupported
from sync.engine import outcome
from sync.engine.admission import Turn, in_turn
from sync.engine.context import Context, accepted, dump, rendition
from sync.engine.identity import must_wait
from sync.flow import D, E
from sync.ledger import Ledger
from sync.model import Key, Problem
from sync.store import copies, deliveries, outlets
from sync.store.deliveries import Superseded
from sync.store.tables import Record
from sync.together import together

SHIELD = 60 * SECOND  # µs in which nobody else is rung for what is being carried
AGAIN = 60 * SECOND  # µs until a server that could not be spoken to is tried again


def carry(ctx: Context, ids: Sequence[str]) -> None:
    """Go on with what is due of these deliveries, side by side."""
    with ctx.store.read() as connection:
        stopped = [row.id for row in deliveries.some(connection, ids, light=True) if row.stopped]
    if stopped:  # they only conclude: whoever waits for the server has nothing to do with them
        _conclude(ctx, stopped)
    in_turn(ctx, "carry", [one for one in ids if one not in stopped], _carry)


def _carry(ctx: Context, turn: Turn) -> None:
    with ctx.held.during(turn.ids):
        rows = _begun(ctx, turn.ids)
        turn.ended(one for one in turn.ids if one not in rows)
        for one, came in together(turn.ordered({row.id: partial(_go_on, ctx, row) for row in rows.values()})):
            _store(ctx, rows[one], came)
            turn.ended([one])


def _conclude(ctx: Context, ids: Sequence[str]) -> None:
    """What was stopped: nothing is begun any more, and no server called."""
    with ctx.held.during(ids):
        for row in _begun(ctx, ids).values():
            ((_, came),) = together({row.id: partial(_go_on, ctx, row)})
            _store(ctx, row, came)


def _begun(ctx: Context, ids: Sequence[str]) -> dict[str, Record]:
    """Those that are due, ours from now on; by id."""
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        due = [row for row in deliveries.some(connection, ids) if _is_due(row, now)]
        rows = [_claimed(ctx, connection, row, now) for row in due]
    return {row.id: row for row in rows if row is not None}


def _is_due(row: Record, now: int) -> bool:
    free = row.state == D.ACCEPTED and row.duty == "carry" and row.owner is None
    return bool(free and row.due_at is not None and row.due_at <= now)


def _claimed(ctx: Context, connection: Connection, row: Record, now: int) -> Record | None:
    """Ours from now on; None while nothing may be sent at all."""
    if must_wait(ctx, connection, row):
        return None
    mine = {"owner": ctx.owner, "worker": ctx.actor, "epoch": row.epoch + 1}
    return deliveries.note(connection, row, **mine, due_at=now + SHIELD)


def _go_on(ctx: Context, row: Record) -> Accepted | Receipt:
    with ctx.store.read() as connection:
        outlet, installation = outlets.get(connection, row.outlet), outlets.identity(connection)
        (light,) = deliveries.some(connection, [row.id], light=True)  # written for each recipient, and texts are long
    if light.epoch != row.epoch:
        raise Superseded(row.id)
    channel = cast(Carrier, ctx.channel(outlet))
    keep = partial(_keep, ctx, light)
    return channel.carry(
        accepted(row) or Accepted(""), rendition(row), Key(installation, row.id), keep, stop=bool(row.stopped)
    )


def _keep(ctx: Context, row: Record, notes: Mapping[str, str]) -> bool:
    """Raises Superseded when somebody else has the delivery by now."""
    with ctx.store.write() as connection:
        after = deliveries.note(connection, row, accepted=dump(Accepted("", notes)))
        return not after.stopped


def _store(ctx: Context, row: Record, came: object) -> None:
    """What came of it, in one transaction. Of a row that somebody newer has nothing is written."""
    if isinstance(came, Superseded):
        return
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        held = deliveries.get(connection, row.id)
        if (held.epoch, held.state) != (row.epoch, D.ACCEPTED):
            return
        why = (str(came) or type(came).__name__) if isinstance(came, BaseException) else ""
        problems = [outcome.shown(Problem("outlet", why, fatal=False))] if why else []
        values: dict[str, Any] = {"owner": None, "duty": None, "due_at": None, "problems": problems}
        detail = {"worker": ctx.actor, **({"why": why} if why else {})}
        event: E | None = None
        match came:
            case Receipt():
                event = E.RELEASED
                values |= {"receipt": dump(came), "released_at": came.at, "duty": "verify", "due_at": now}
            case Ambiguous():
                event = E.IN_DOUBT
            case Rejected() | Unsupported():
                event = E.REFUSED
            case Accepted():
                values |= {"accepted": dump(came), "duty": "carry", "due_at": max(now, came.again_at or now)}
            case HeldBack():  # to the very instant for which others wait too
                values |= {"duty": "carry", "due_at": max(now, came.not_before or now + AGAIN)}
            case _:
                again = came.not_before if isinstance(came, TryLater) else None
                values |= {"duty": "carry", "due_at": max(now + AGAIN, again or 0)}
        if values["duty"] == "carry" and held.stopped:  # meanwhile: nobody has to be waited for
            values["due_at"] = now
        if event is None:
            deliveries.note(connection, held, **values)
        else:
            deliveries.move(connection, held, event, at=now, actor=ctx.actor, detail=detail, **values)
        if isinstance(came, Receipt):
            copies.appear_all(connection, [(held, dump(came))], at=now, actor=ctx.actor)
        outcome.settle(ctx, connection, row.release, now)
    ctx.ring("prepare")


def decided(ctx: Context, row: Record) -> dict[str, Any]:
    """After a person has said that a carried delivery is to be tried again: what of its row follows."""
    there = accepted(row)
    if there is None or not outcome.is_carried(ctx, row):
        return {}
    return {"accepted": dump(Accepted("", Ledger.read(there.notes).decided().notes()))}
