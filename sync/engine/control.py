"""What a person may decide: hold, resume, cancel a release; retry, drop, settle a delivery; retire an outlet."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, select

from sync.clock import SECOND
from sync.contract import Receipt
from sync.engine import outcome
from sync.engine.approval import waits
from sync.engine.context import Context, dump, prepared
from sync.engine.identity import LOOKING, barred
from sync.engine.people import ORDERS, STOPS, acting
from sync.engine.report import next_of_delivery, next_of_release
from sync.flow import ENDED, RE, D, E, IllegalMove, R
from sync.model import BadInput
from sync.store import copies, deliveries, outlets, releases, reviews
from sync.store.outlets import Unknown
from sync.store.tables import Record, delivery

# What a person found: what follows, and who looks next.
FOUND: dict[str, tuple[E, str | None]] = {
    "public": (E.SETTLED_PUBLIC, "verify"),
    "hidden": (E.SETTLED_HIDDEN, "release"),
    "nothing": (E.SETTLED_NOTHING, "prepare"),
}


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
            _refuse_barred(ctx, connection, one)
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
    _decide(ctx, delivery_id, E.RETRIED, duty="prepare", attempts=0, problems=[])


def drop(ctx: Context, delivery_id: str) -> None:
    """Give a failed delivery up: its release can then go on, or end, without it.

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
    _decide(ctx, delivery_id, E.CANCELLED, duty=None)


def settle(ctx: Context, delivery_id: str, found: str, url: str | None) -> None:
    """What a person found at the outlet of an unresolved delivery: public (with its address), hidden, nothing."""
    if found not in FOUND:
        raise BadInput("--found", f"{found!r} is none of {', '.join(FOUND)}", "say what the outlet shows")
    values: dict[str, Any] = {"problems": []}
    if found == "public":
        if not url:
            raise BadInput("--url", "an address is needed for what is public", "paste the page's address")
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise BadInput("--url", f"{url!r} is no address of a page", "paste it whole, beginning with https://")
        now = ctx.clock.now()
        with ctx.store.read() as connection:
            row = next(iter(deliveries.some(connection, [delivery_id])), None)
        there = prepared(row) if row is not None else None  # what a later correction or withdrawal goes by
        found_at = Receipt(there.ref, url, now, there.notes) if there is not None else Receipt("", url, now)
        values |= {"receipt": dump(found_at), "released_at": now}
    event, duty = FOUND[found]
    if _withdraws(ctx, delivery_id):
        if found == "hidden":
            raise BadInput(
                "--found", "a withdrawal is unresolved", "say whether it is still public, or nothing is there"
            )
        values = {"problems": []}
        event, duty = {"public": (E.STILL_PUBLIC, "withdraw"), "nothing": (E.SETTLED_GONE, None)}[found]
    _decide(ctx, delivery_id, event, duty=duty, detail={"found": found, "url": url}, **values)


def _refuse_barred(ctx: Context, connection: Connection, row: Record) -> None:
    """Letting something go on that nothing may be sent for would only look as if it went on. Raises BadInput."""
    if (why := barred(ctx, connection, row)) is not None:
        mend = "`tongfa restore --status` shows what is left" if why == LOOKING else "`tongfa doctor` tells more"
        raise BadInput(f"outlet {row.outlet}", why, mend)


def _withdraws(ctx: Context, delivery_id: str) -> bool:
    with ctx.store.read() as connection:
        row = next(iter(deliveries.some(connection, [delivery_id])), None)
        return row is not None and releases.get(connection, row.release).action == "withdraw"


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
        acting(ctx, connection, units_of(connection, releases.get(connection, row.release)), ORDERS)
        if event is E.RETRIED:
            _refuse_barred(ctx, connection, row)
        due = {"duty": duty, "due_at": now if duty else None}
        try:
            after = deliveries.move(connection, row, event, at=now, actor=ctx.actor, detail=detail, **due, **values)
        except IllegalMove:
            joined = releases.get(connection, row.release)
            needed = next_of_release(joined) or next_of_delivery(joined, row)
            mend = needed or f"it needs no decision; `tongfa delivery show {delivery_id}` shows it"
            what = {E.RETRIED: "retried", E.CANCELLED: "dropped"}.get(event, "settled")
            message = f"it is {row.state} and its release {joined.state}: it cannot be {what}"
            raise BadInput(f"delivery {delivery_id}", message, mend) from None
        if event is E.SETTLED_PUBLIC:
            copies.appear(connection, after, at=now, actor=ctx.actor)
        if event is E.SETTLED_GONE:
            for one in copies.readable(connection, row.item, row.outlet):
                copies.move(connection, one, copies.REMOVED, at=now, actor=ctx.actor, detail={"found": "by a person"})
        outcome.settle(ctx, connection, row.release)
    ctx.ring("prepare")
    ctx.ring("release")


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


def units_of(connection: Connection, row: Record) -> set[str]:
    """Whose release it is: its items' units, and those of the outlets it goes to."""
    return reviews.units_of(connection, row) | reviews.item_units(connection, row.id)


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
