"""What a person may decide: hold, resume, cancel a release; retry or drop a delivery; retire an outlet.

What they found at an outlet is in `sync.engine.settle`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from sync.clock import SECOND
from sync.engine import outcome
from sync.engine.approval import waits
from sync.engine.context import Context
from sync.engine.people import ORDERS, STOPS, acting
from sync.engine.settle import decide, refuse_barred, settle, units_of
from sync.flow import ENDED, RE, D, E, IllegalMove, R
from sync.model import BadInput
from sync.store import deliveries, outlets, releases
from sync.store.outlets import Unknown
from sync.store.tables import Record, delivery

__all__ = ["cancel", "drop", "hold", "resume", "retire", "retry", "settle"]


def hold(ctx: Context, release_id: str) -> None:
    """Stop before the commit; free of consequences. Raises BadInput once it is committed."""
    with ctx.store.write() as connection:
        row = _release(connection, release_id)
        acting(ctx, connection, units_of(connection, row), STOPS)
        _move(ctx, connection, row, RE.HELD, why="held by a person")
        outcome.settle(ctx, connection, release_id)


def resume(ctx: Context, release_id: str) -> None:
    """Let a held release go on: what failed is tried again, what is ready stays ready.

    If its instant has passed, it goes out as soon as it is ready, marked late.
    """
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        row = _release(connection, release_id)
        for one in deliveries.of_release(connection, release_id):
            refuse_barred(ctx, connection, one)
        acting(ctx, connection, units_of(connection, row), ORDERS)
        overdue_at: int | None = max(row.release_at or now, now) + round(ctx.settings.late_limit_s * SECOND)
        if waits(row) and row.release_at is None:
            overdue_at = None  # its moment is when it is approved
        _move(ctx, connection, row, RE.RESUMED, why="", overdue_at=overdue_at)
        for one in deliveries.of_release(connection, release_id):
            due: dict[str, Any] = {"duty": "prepare", "due_at": now, "problems": []}
            if row.action == "withdraw":
                due |= {"duty": "withdraw", "due_at": max(now, row.release_at)}
            if one.state == D.FAILED:
                deliveries.move(connection, one, E.RETRIED, at=now, actor=ctx.actor, attempts=0, **due)
            elif one.state in (D.PLANNED, D.RENDERED):
                deliveries.note(connection, one, **due)
        outcome.settle(ctx, connection, release_id)
    ctx.ring("prepare")
    ctx.ring("release")


def cancel(ctx: Context, release_id: str) -> None:
    """End it before the commit: nothing goes out, hidden drafts are removed by the workers."""
    with ctx.store.write() as connection:
        row = _release(connection, release_id)
        acting(ctx, connection, units_of(connection, row), STOPS)
        _move(ctx, connection, row, RE.CANCELLED, overdue_at=None)
        outcome.settle(ctx, connection, release_id)
    ctx.ring("prepare")


def retry(ctx: Context, delivery_id: str) -> None:
    """Try a failed delivery again. In a held release, resume the release instead."""
    decide(ctx, delivery_id, E.RETRIED, duty="prepare", attempts=0, problems=[])


def drop(ctx: Context, delivery_id: str) -> None:
    """Give a failed delivery up, or one that is still to follow after the others: its release can go on, or end,
    without it.

    Raises BadInput for the canonical outlet before the commit: the others' texts link to it."""
    with ctx.store.read() as connection:
        row = next(iter(deliveries.some(connection, [delivery_id])), None)
        joined = releases.get(connection, row.release) if row is not None else None
    if (
        row is not None
        and joined is not None
        and row.state == D.FAILED
        and joined.committed_at is None
        and row.outlet == joined.canonical_outlet
    ):
        mend = f"mend it and resume, or `tongfa release cancel {joined.id}` and publish without {row.outlet}"
        raise BadInput(f"delivery {delivery_id}", "the other outlets link to this one", mend)
    if row is not None and joined is not None and row.state == D.PREPARED and joined.state == R.COMMITTED:
        decide(ctx, delivery_id, E.DISCARD_BEGUN, duty="reconcile", stopped=True)
    else:
        decide(ctx, delivery_id, E.CANCELLED, duty=None)


def retire(ctx: Context, name: str) -> None:
    """Take an outlet out of use for good. Raises BadInput while a delivery of it has not ended."""
    with ctx.store.write() as connection:
        open_ = connection.execute(
            select(delivery.c.id, delivery.c.state)
            .where(delivery.c.outlet == name, delivery.c.state.not_in([state.value for state in ENDED]))
            .limit(1)
        ).one_or_none()
        if open_ is not None:
            mend = f"wait for it, or cancel its release: `tongfa delivery show {open_.id}`"
            raise BadInput(f"outlet {name}", f"delivery {open_.id} is under way there ({open_.state})", mend)
        row, now = outlets.get(connection, name), ctx.store.now(connection)
        outlets.change(connection, row, "retired", at=now, actor=ctx.actor, state="retired")


def _release(connection: Connection, release_id: str) -> Record:
    try:
        return releases.get(connection, release_id)
    except Unknown:
        raise BadInput(
            f"release {release_id}", "there is no such release", "`tongfa release list` shows them"
        ) from None


def _move(ctx: Context, connection: Connection, row: Record, event: RE, **values: Any) -> None:
    try:
        releases.move(connection, row, event, at=ctx.store.now(connection), actor=ctx.actor, **values)
    except IllegalMove:
        mend = f"`tongfa release show {row.id}` shows it"
        if row.state in (R.COMMITTED, R.RELEASED):
            mend = f"after the commit there is only forward; {mend}"
        raise BadInput(f"release {row.id}", f"it is {row.state} and cannot be {event.value}", mend) from None
