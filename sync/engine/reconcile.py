"""After doubt: rows of dead owners taken over, deliveries in flight looked up, overdue releases held.

Nothing is sent here. A probe says what the outlet holds; the verdict says what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection

from sync import verdict
from sync.clock import SECOND, iso
from sync.contract import Accepted, Prepared, Receipt
from sync.engine import outcome
from sync.engine.admission import Turn, in_turn
from sync.engine.approval import waits
from sync.engine.context import Context, hint, rendition, replaced
from sync.engine.identity import must_wait
from sync.engine.prepare import discard_call
from sync.engine.removal import Cleared, clear
from sync.engine.removal import store as store_cleared
from sync.flow import IN_FLIGHT, RE, D
from sync.model import Key
from sync.store import deliveries, outlets, releases
from sync.store.tables import Record
from sync.together import together


def reconcile(ctx: Context, ids: Sequence[str]) -> None:
    """Look after these deliveries, and after releases that waited too long."""
    with ctx.held.during(ids), ctx.store.write() as connection:
        _hold_overdue(ctx, connection)
        for row in deliveries.some(connection, ids):
            if row.owner is not None and row.owner != ctx.owner and ctx.lock.is_dead(row.owner):
                take_over(ctx, connection, row)
    in_turn(ctx, "reconcile", ids, _look_up)


def _look_up(ctx: Context, turn: Turn) -> None:
    with ctx.held.during(turn.ids):
        claimed = []
        with ctx.store.write() as connection:
            for row in deliveries.some(connection, turn.ids):
                if row.owner is not None or row.duty != "reconcile" or (row.due_at or 0) > ctx.store.now(connection):
                    continue
                # These two are no looks: they remove, and ask once more to remove.
                if row.state in (D.DISCARDING, D.WITHDRAWING) and must_wait(ctx, connection, row):
                    continue
                attempts = row.attempts + (row.state == D.DISCARDING)
                mine = {"owner": ctx.owner, "epoch": row.epoch + 1, "attempts": attempts}
                claimed.append(deliveries.note(connection, row, **mine))
            asked_at = ctx.store.now(connection)  # or earlier than the looks, never later
        rows = {row.id: row for row in claimed}
        turn.ended(one for one in turn.ids if one not in rows)
        for one, found in together(turn.ordered({row.id: partial(_look, ctx, row) for row in claimed})):
            if rows[one].state == D.WITHDRAWING:
                store_cleared(
                    ctx, rows[one], found if isinstance(found, Cleared | BaseException) else RuntimeError(one)
                )
            elif rows[one].state == D.DISCARDING:
                outcome.answered(ctx, rows[one], found)
            else:
                outcome.probed(ctx, rows[one], found, asked_at)
            turn.ended([one])


def take_over(ctx: Context, connection: Connection, row: Record) -> None:
    """The owner is dead, or dropped the row: nobody works on it. The quarantine counts from now.

    Whoever held it finds a newer epoch if it ever wakes, and stops.
    """
    now = ctx.store.now(connection)
    free = {"owner": None, "epoch": row.epoch + 1}
    if D(row.state) in IN_FLIGHT:
        can = ctx.kind(outlets.get(connection, row.outlet).kind).can
        until = verdict.quarantine(outcome.facts(ctx, row, can, now))
        if row.state == D.RELEASING and row.fire_at is not None:
            closes = row.fire_at + round(ctx.settings.shot_window_s * SECOND)
            until += max(0, closes - now)
        deliveries.note(connection, row, **free, duty="reconcile", due_at=now, quarantine_until=until)
    elif row.state == D.PREPARED:
        deliveries.note(connection, row, **free, duty="release", due_at=now)
        outcome.settle(ctx, connection, row.release)
    else:
        deliveries.note(connection, row, **free)


def disown(ctx: Context, ids: Sequence[str]) -> None:
    """Rows that this very process owns but no thread of it holds: as if their owner had died."""
    with ctx.store.write() as connection:
        for row in deliveries.some(connection, ids):
            if row.owner == ctx.owner and row.id not in ctx.held:
                take_over(ctx, connection, row)


def _look(ctx: Context, row: Record) -> Prepared | Accepted | Receipt | Cleared | None:
    if row.state == D.WITHDRAWING:
        return clear(ctx, row)
    if row.state == D.DISCARDING:
        discard_call(ctx, row)
        return None
    with ctx.store.read() as connection:
        outlet, installation = outlets.get(connection, row.outlet), outlets.identity(connection)
    return ctx.channel(outlet).probe(rendition(row), Key(installation, row.id), hint(row), replaced(row))


def _hold_overdue(ctx: Context, connection: Connection) -> None:
    now = ctx.store.now(connection)
    for late in releases.overdue(connection, now):
        why = f"not ready by {iso(late.overdue_at)}, the end of its late limit"
        waiting = [one.outlet for one in deliveries.of_release(connection, late.id) if one.state != D.PREPARED]
        if waits(late):
            why += "; waiting for its approvals"
        elif waiting:
            why += f"; waiting for {', '.join(waiting)}"
        releases.move(connection, late, RE.HELD, at=now, actor=ctx.actor, detail={"why": why}, why=why, overdue_at=None)
        outcome.settle(ctx, connection, late.id)
