"""Everything put in place at the outlets, invisible; and drafts of a cancelled release removed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from sync.clock import SECOND
from sync.contract import Place, Prepared, TryLater, Unsupported
from sync.engine import approval, outcome
from sync.engine.context import Context, batches, dump, prepared, rendition, replaced, together
from sync.engine.identity import must_wait
from sync.flow import ALLOWED, D, E, R
from sync.model import BadInput, Key, Rendition
from sync.store import deliveries, items, outlets, releases
from sync.store.people import THREE
from sync.store.tables import Record

RENDER_AGAIN = 5 * SECOND  # µs


def prepare(ctx: Context, ids: Sequence[str]) -> None:
    """Render and prepare what is due of these deliveries, side by side.

    The in-flight state is committed before the first byte. Dying after that leaves it to a probe.
    """
    with ctx.held.during(ids):
        begun = _begin(ctx, ids)
        rows = {row.id: row for row in begun}
        for batch in batches({row.id: partial(_call, ctx, row) for row in begun}):
            outcome.all_answered(ctx, [(rows[one], answer) for one, answer in batch])


def discard(ctx: Context, ids: Sequence[str]) -> None:
    """Remove the hidden drafts of a cancelled release. Repeating it is harmless."""
    with ctx.held.during(ids):
        with ctx.store.write() as connection:
            begun = []
            for row in deliveries.some(connection, ids):
                due = row.state == D.PREPARED and row.owner is None and row.duty == "discard"
                if due and not must_wait(ctx, connection, row):
                    begun.append(_claimed(ctx, connection, row, E.DISCARD_BEGUN))
        rows = {row.id: row for row in begun}
        for one, answer in together({row.id: partial(discard_call, ctx, row) for row in begun}):
            outcome.answered(ctx, rows[one], answer)


def discard_call(ctx: Context, row: Record) -> None:
    with ctx.store.read() as connection:
        outlet, installation = outlets.get(connection, row.outlet), outlets.identity(connection)
    there = prepared(row)
    if there is not None:
        ctx.channel(outlet).discard(there, Key(installation, row.id))


def _begin(ctx: Context, ids: Sequence[str]) -> list[Record]:
    """Claim what is due, render what was not rendered: one transaction for the whole batch."""
    with ctx.store.read() as connection:
        due = [row for row in deliveries.some(connection, ids) if _is_due(row, ctx.clock.now())]
        due += approval.beside(connection, due)
    renditions = dict(together({row.id: partial(render, ctx, row) for row in due}))
    begun = []
    with ctx.store.write() as connection:
        touched = {row.release for row in deliveries.some(connection, list(renditions))}
        approval.take_in(
            ctx, connection, {one: made for one, made in renditions.items() if isinstance(made, Rendition)}
        )
        for row in deliveries.some(connection, list(renditions)):
            if not _is_due(row, ctx.store.now(connection)):
                continue
            if must_wait(ctx, connection, row):
                continue
            made = renditions[row.id]
            joined = releases.get(connection, row.release)
            now, state = ctx.store.now(connection), R(joined.state)
            if isinstance(made, BaseException):
                _not_rendered(ctx, connection, row, made)
                continue
            generation = outlets.get(connection, row.outlet).generation
            stored = {"rendition": dump(made), "generation": generation}
            if joined.review == THREE:
                stored = {}  # taken in above, and approved as it is
            if row.state == D.PLANNED:
                digest = {"rendition": made.digest}
                row = deliveries.move(connection, row, E.RENDERED, at=now, actor=ctx.actor, detail=digest)
            if state in ALLOWED[E.PREPARE_BEGUN]:
                begun.append(_claimed(ctx, connection, row, E.PREPARE_BEGUN, **stored))
            else:
                deliveries.note(connection, row, duty=None, due_at=None, **stored)
        for release_id in touched:
            outcome.settle(ctx, connection, release_id)
    return begun


def _claimed(ctx: Context, connection: Connection, row: Record, event: E, **values: object) -> Record:
    return deliveries.move(
        connection,
        row,
        event,
        at=ctx.store.now(connection),
        actor=ctx.actor,
        detail={"worker": ctx.actor, "attempt": row.attempts + 1},
        epoch=row.epoch + 1,
        attempts=row.attempts + 1,
        owner=ctx.owner,
        worker=ctx.actor,
        duty=None,
        due_at=None,
        **values,
    )


def _call(ctx: Context, row: Record) -> Prepared:
    with ctx.store.read() as connection:
        outlet, installation = outlets.get(connection, row.outlet), outlets.identity(connection)
    return ctx.channel(outlet).prepare(rendition(row), Key(installation, row.id), replaced(row))


def render(ctx: Context, row: Record) -> Rendition:
    """What its outlet will be handed; nothing is sent. Raises an OutletError, or what reading raises."""
    with ctx.store.read() as connection:
        outlet = outlets.get(connection, row.outlet)
        edition, _ = items.get(connection, row.item, row.revision)
        key = Key(outlets.identity(connection), row.id)
        planned_live = releases.get(connection, row.release).live
    if outlet.live != planned_live:
        is_now, was = ("live", "a sandbox") if outlet.live else ("a sandbox", "live")
        raise Unsupported(f"{row.outlet} is {is_now} now and was {was} when this was planned; plan it anew")
    return ctx.channel(outlet).render(edition, Place(key, row.canonical_url, replaced(row)))


def _not_rendered(ctx: Context, connection: Connection, row: Record, error: BaseException) -> None:
    """Nothing was sent. What may pass is tried again; the rest is shown, and holds a required delivery."""
    now = ctx.store.now(connection)
    problem = {"where": "content", "message": str(error) or type(error).__name__, "fatal": True}
    if isinstance(error, TryLater | SQLAlchemyError | OSError | BadInput) or row.state != D.PLANNED:
        due_at = max(error.not_before or 0 if isinstance(error, TryLater) else 0, now + RENDER_AGAIN)
        deliveries.note(connection, row, problems=[problem], due_at=due_at)
    else:
        nothing = {"duty": None, "due_at": None, "problems": [problem]}
        deliveries.move(connection, row, E.REFUSED, at=now, actor=ctx.actor, detail=problem, **nothing)


def _is_due(row: Record, now: int) -> bool:
    waiting = row.state in (D.PLANNED, D.RENDERED) and row.owner is None and row.duty == "prepare"
    return bool(waiting and row.due_at is not None and row.due_at <= now)
