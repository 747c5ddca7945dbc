"""What a person may decide about a release or a delivery: hold, resume, cancel, retry, drop, settle."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from sync.clock import SECOND
from sync.contract import Receipt
from sync.engine import outcome
from sync.engine.context import Context, dump
from sync.flow import RE, D, E, IllegalMove, R
from sync.model import BadInput
from sync.store import deliveries, releases
from sync.store.outlets import Unknown
from sync.store.tables import Record

FOUND = {"public": E.SETTLED_PUBLIC, "hidden": E.SETTLED_HIDDEN, "nothing": E.SETTLED_NOTHING}


def hold(ctx: Context, release_id: str) -> None:
    """Stop before the commit; free of consequences. Raises BadInput once it is committed."""
    with ctx.store.write() as connection:
        row = _release(connection, release_id)
        _move(ctx, connection, row, RE.HELD, why="held by a person")
        outcome.settle(ctx, connection, release_id)


def resume(ctx: Context, release_id: str) -> None:
    """Let a held release go on: what failed is tried again, what is ready stays ready.

    If its instant has passed, it goes out as soon as it is ready, marked late.
    """
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        row = _release(connection, release_id)
        overdue_at = max(row.release_at or now, now) + round(ctx.settings.late_limit_s * SECOND)
        _move(ctx, connection, row, RE.RESUMED, why="", overdue_at=overdue_at)
        for one in deliveries.of_release(connection, release_id):
            due: dict[str, Any] = {"duty": "prepare", "due_at": now, "problems": []}
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
        _move(ctx, connection, _release(connection, release_id), RE.CANCELLED, overdue_at=None)
        outcome.settle(ctx, connection, release_id)
    ctx.ring("prepare")


def retry(ctx: Context, delivery_id: str) -> None:
    """Try a failed delivery again. In a held release, resume the release instead."""
    _decide(ctx, delivery_id, E.RETRIED, duty="prepare", attempts=0, problems=[])


def drop(ctx: Context, delivery_id: str) -> None:
    """Give a failed delivery up: its release can then end without it."""
    _decide(ctx, delivery_id, E.CANCELLED, duty=None)


def settle(ctx: Context, delivery_id: str, found: str, url: str | None) -> None:
    """What a person found at the outlet of an unresolved delivery: public (with its address), hidden, nothing."""
    if found not in FOUND:
        raise BadInput("--found", f"{found!r} is none of {', '.join(FOUND)}", "say what the outlet shows")
    values: dict[str, Any] = {"problems": []}
    if found == "public":
        if not url:
            raise BadInput("--url", "an address is needed for what is public", "paste the page's address")
        now = ctx.clock.now()
        values |= {"receipt": dump(Receipt("", url, now)), "released_at": now}
    duty = {"public": "verify", "hidden": "release", "nothing": "prepare"}[found]
    _decide(ctx, delivery_id, FOUND[found], duty=duty, detail={"found": found, "url": url}, **values)


def _decide(
    ctx: Context,
    delivery_id: str,
    event: E,
    *,
    duty: str | None,
    detail: dict[str, Any] | None = None,
    **values: Any,
) -> None:
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        try:
            row = deliveries.get(connection, delivery_id)
        except Unknown:
            mend = "`tongfa delivery list` shows them"
            raise BadInput(f"delivery {delivery_id}", "there is no such delivery", mend) from None
        due = {"duty": duty, "due_at": now if duty else None}
        try:
            deliveries.move(connection, row, event, at=now, actor=ctx.actor, detail=detail, **due, **values)
        except IllegalMove as refused:
            mend = f"`tongfa delivery show {delivery_id}` tells what it needs"
            raise BadInput(f"delivery {delivery_id}", str(refused), mend) from None
        outcome.settle(ctx, connection, row.release)
    ctx.ring("prepare")
    ctx.ring("release")


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
        mend = (
            "after the commit there is only forward" if row.state in (R.COMMITTED, R.RELEASED) else "look at its state"
        )
        raise BadInput(f"release {row.id}", f"it is {row.state} and cannot be {event.value}", mend) from None
