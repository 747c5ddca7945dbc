"""Everything put in place at the outlets, invisible; and drafts of a cancelled release removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from sync.clock import SECOND
from sync.contract import Place, Prepared, TryLater, Unsupported
from sync.engine import approval, outcome
from sync.engine.admission import Turn, in_turn
from sync.engine.context import Context, dump, prepared, rendition, replaced
from sync.engine.identity import barred_of, must_wait, wait
from sync.engine.outcome import Answer
from sync.flow import ALLOWED, D, E, R
from sync.model import BadInput, Edition, Key, Rendition
from sync.store import deliveries, items, outlets, releases
from sync.store.deliveries import Change
from sync.store.people import THREE
from sync.store.tables import Record
from sync.together import batches, together

RENDER_AGAIN = 5 * SECOND  # µs


def prepare(ctx: Context, ids: Sequence[str]) -> None:
    """Render and prepare what is due of these deliveries, side by side.

    The in-flight state is committed before the first byte. Dying after that leaves it to a probe.
    """
    in_turn(ctx, "prepare", ids, _prepare)


def _prepare(ctx: Context, turn: Turn) -> None:
    with ctx.held.during(turn.ids):
        rows = {row.id: row for row in _begin(ctx, turn.ids)}
        turn.ended(one for one in turn.ids if one not in rows)
        if not rows:
            return
        with ctx.store.read() as connection:
            there = outlets.some(connection, (row.outlet for row in rows.values()))
            installation = outlets.identity(connection)
        calls = {one: partial(_call, ctx, row, there[row.outlet], installation) for one, row in rows.items()}
        for batch in batches(turn.ordered(calls)):
            outcome.all_answered(ctx, [Answer(rows[one], answer) for one, answer in batch])
            turn.ended(one for one, _ in batch)


def discard(ctx: Context, ids: Sequence[str]) -> None:
    """Remove the hidden drafts of a cancelled release. Repeating it is harmless."""
    in_turn(ctx, "discard", ids, _discard)


def _discard(ctx: Context, turn: Turn) -> None:
    with ctx.held.during(turn.ids):
        with ctx.store.write() as connection:
            begun = []
            for row in deliveries.some(connection, turn.ids):
                due = row.state == D.PREPARED and row.owner is None and row.duty == "discard"
                if due and not must_wait(ctx, connection, row):
                    begun.append(_claimed(ctx, connection, row, E.DISCARD_BEGUN))
        rows = {row.id: row for row in begun}
        turn.ended(one for one in turn.ids if one not in rows)
        for one, answer in together(turn.ordered({row.id: partial(discard_call, ctx, row) for row in begun})):
            outcome.answered(ctx, rows[one], answer)
            turn.ended([one])


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
        sources = _sources(connection, due)
    renditions = dict(together({row.id: partial(sources[row.id].render, ctx) for row in due}))
    if not renditions:
        return []
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        made = {one: got for one, got in renditions.items() if isinstance(got, Rendition)}
        approval.take_in(ctx, connection, made)
        known = deliveries.some(connection, list(renditions), light=True)
        rows = [row for row in known if _is_due(row, now)]
        why = barred_of(ctx, connection, rows)
        wait(ctx, connection, why, rows)
        rows = [row for row in rows if row.id not in why]
        for row in rows:
            if isinstance(failed := renditions[row.id], BaseException):
                _not_rendered(ctx, connection, row, failed)
        begun = _claim(ctx, connection, [row for row in rows if row.id in made], made, now)
        for release_id in dict.fromkeys(row.release for row in known):
            outcome.settle(ctx, connection, release_id, now)
        return list(deliveries.some(connection, begun))


def _claim(
    ctx: Context, connection: Connection, rows: Sequence[Record], made: Mapping[str, Rendition], now: int
) -> list[str]:
    """What was rendered is kept and goes on; returns the ids of what may be prepared, which is ours now."""
    joined = {one: releases.get(connection, one) for one in dict.fromkeys(row.release for row in rows)}
    there = outlets.facts(connection, (row.outlet for row in rows))
    first = [row for row in rows if row.state == D.PLANNED]
    rendered = [Change(row, E.RENDERED, {"rendition": made[row.id].digest}) for row in first]
    deliveries.change_all(connection, rendered, at=now, actor=ctx.actor)
    changes, begun = [], []
    for row in deliveries.some(connection, [row.id for row in rows], light=True):
        release = joined[row.release]
        values: dict[str, Any] = {"duty": None, "due_at": None}
        if release.review != THREE:  # otherwise taken in before, and approved as it is
            values |= {"rendition": dump(made[row.id]), "generation": there[row.outlet].generation}
        if R(release.state) not in ALLOWED[E.PREPARE_BEGUN]:
            changes.append(Change(row, values=values))
            continue
        begun.append(row.id)
        told = {"worker": ctx.actor, "attempt": row.attempts + 1}
        values |= {"epoch": row.epoch + 1, "attempts": row.attempts + 1, "owner": ctx.owner, "worker": ctx.actor}
        changes.append(Change(row, E.PREPARE_BEGUN, told, values))
    deliveries.change_all(connection, changes, at=now, actor=ctx.actor)
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


def _call(ctx: Context, row: Record, outlet: Record, installation: str) -> Prepared:
    return ctx.channel(outlet).prepare(rendition(row), Key(installation, row.id), replaced(row))


@dataclass(frozen=True)
class _Source:
    """All that a delivery is rendered from, as it was at one moment."""

    row: Record
    outlet: Record
    edition: Edition
    installation: str
    planned_live: bool

    def render(self, ctx: Context) -> Rendition:
        row, outlet = self.row, self.outlet
        if outlet.live != self.planned_live:
            is_now, was = ("live", "a sandbox") if outlet.live else ("a sandbox", "live")
            raise Unsupported(f"{row.outlet} is {is_now} now and was {was} when this was planned; plan it anew")
        key = Key(self.installation, row.id)
        return ctx.channel(outlet).render(self.edition, Place(key, row.canonical_url, replaced(row)))


def _sources(connection: Connection, rows: Sequence[Record]) -> dict[str, _Source]:
    there, installation = outlets.some(connection, (row.outlet for row in rows)), outlets.identity(connection)
    live = {one: releases.get(connection, one).live for one in dict.fromkeys(row.release for row in rows)}
    named = dict.fromkeys((row.item, row.revision) for row in rows)
    editions = {one: items.get(connection, *one)[0] for one in named}
    return {
        row.id: _Source(row, there[row.outlet], editions[row.item, row.revision], installation, live[row.release])
        for row in rows
    }


def render(ctx: Context, row: Record) -> Rendition:
    """What its outlet will be handed; nothing is sent. Raises an OutletError, or what reading raises."""
    with ctx.store.read() as connection:
        source = _sources(connection, [row])[row.id]
    return source.render(ctx)


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
