"""A person decides on one delivery: what they found where the machine cannot know, and what they did themselves.

Their word moves the delivery in one transaction with its entry; what can be read is then read all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from sqlalchemy import Connection

from sync.contract import Receipt, Reveal
from sync.engine import announce, carry, notice, outcome
from sync.engine.context import Context, dump, prepared
from sync.engine.identity import LOOKING, barred
from sync.engine.people import ORDERS, acting
from sync.engine.report import next_of_delivery, next_of_release
from sync.flow import D, E, IllegalMove
from sync.model import BadInput, Problem
from sync.store import copies, deliveries, releases, reviews
from sync.store.outlets import Unknown
from sync.store.tables import Record

NOT_DONE = "有人说明没有发布 · a person says that it was not published"
Ways: TypeAlias = Mapping[str, tuple[E, str | None]]  # what a person says: what follows, and who looks next

IN_DOUBT: Ways = {
    "public": (E.SETTLED_PUBLIC, "verify"),
    "hidden": (E.SETTLED_HIDDEN, "release"),
    "nothing": (E.SETTLED_NOTHING, "prepare"),
}
WITHDRAWAL_IN_DOUBT: Ways = {"public": (E.STILL_PUBLIC, "withdraw"), "nothing": (E.SETTLED_GONE, None)}
# Of a mailing that may have reached some: those are written to once more.
MAILING_IN_DOUBT: Ways = {"public": (E.SETTLED_PUBLIC, "verify"), "nothing": (E.ACCEPTED, "carry")}
TASK: Ways = {"public": (E.SETTLED_PUBLIC, "verify"), "nothing": (E.REFUSED, None)}
REMOVAL: Ways = {"nothing": (E.SETTLED_GONE, None)}
SEEN: Ways = {"public": (E.CLOSED, None)}
ELSEWHERE: Ways = {"public": (E.SETTLED_PUBLIC, "verify")}


def settle(ctx: Context, delivery_id: str, found: str, url: str | None) -> None:
    """What a person found or did at the outlet: it is public (at `url`), it is there hidden, nothing is there.

    Of a task it says how that ended. Of what is public, and what no reader finds as approved, `public` says
    that it is well so; with another `url`, of what they published themselves, that it is there instead.
    Raises BadInput for what cannot be meant; then nothing has changed."""
    if found not in IN_DOUBT:
        raise BadInput("--found", f"{found!r} is none of {', '.join(IN_DOUBT)}", "say what the outlet shows")
    with ctx.store.read() as connection:
        row = known(connection, delivery_id)
        withdraws = releases.get(connection, row.release).action == "withdraw"
        how = notice.reveals(ctx, connection, (row.outlet,)).get(row.outlet)
    ways = MAILING_IN_DOUBT if _is_mailing(ctx, row) else _ways(row, withdraws, how, url)
    if not ways:
        mend = f"wait until a reader has seen it; `tongfa delivery show {delivery_id}` shows it"
        raise BadInput(f"delivery {delivery_id}", "it is released, and readers still look: it needs no decision", mend)
    if found not in ways:
        raise BadInput("--found", f"{found} is no answer here", f"say {' or '.join(ways)}")
    event, duty = ways[found]
    values: dict[str, Any] = {} if event is E.CLOSED else {"problems": []}
    if event is E.REFUSED:
        values["problems"] = [outcome.shown(Problem("outlet", NOT_DONE, fatal=False))]
    if event is E.SETTLED_PUBLIC:
        values |= _there(ctx, row, url, how)
    decide(ctx, delivery_id, event, duty=duty, detail={"found": found, "url": url}, **values)


def _is_mailing(ctx: Context, row: Record) -> bool:
    return row.state == D.UNRESOLVED and row.accepted is not None and outcome.is_carried(ctx, row)


def _ways(row: Record, withdraws: bool, how: Reveal | None, url: str | None) -> Ways:
    """What a person may say of the delivery as it is now; nothing while readers may still find it themselves."""
    task = row.state == D.ACCEPTED and how is Reveal.MANUAL
    if withdraws:
        return REMOVAL if task else WITHDRAWAL_IN_DOUBT
    if task:
        return TASK
    if row.state != D.RELEASED:
        return IN_DOUBT
    if how is Reveal.MANUAL and url and url != (row.receipt or {}).get("url"):
        return ELSEWHERE
    return SEEN if how is Reveal.MANUAL or row.match is False else {}


def _there(ctx: Context, row: Record, url: str | None, how: Reveal | None) -> dict[str, Any]:
    """Where it is public, as a receipt. What notifies has no address; what a person published is known by it."""
    if how is not Reveal.NOTIFY and not url:
        raise BadInput("--url", "an address is needed for what is public", "paste the page's address")
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        raise BadInput("--url", f"{url!r} is no address of a page", "paste it whole, beginning with https://")
    now, there = ctx.clock.now(), prepared(row)  # the latter is what a later correction or withdrawal goes by
    ref, notes = ("", {}) if there is None else (there.ref, there.notes)
    ref = (url or "") if how is Reveal.MANUAL else ref
    receipt = dump(Receipt(ref, url or "", now, notes))
    return {"receipt": receipt, "released_at": now, "visible_at": None, "visible_after": None, "match": None}


def known(connection: Connection, delivery_id: str) -> Record:
    """The delivery's row. Raises BadInput when there is none."""
    try:
        return deliveries.get(connection, delivery_id)
    except Unknown:
        mend = "`tongfa delivery list` shows them"
        raise BadInput(f"delivery {delivery_id}", "there is no such delivery", mend) from None


def decide(
    ctx: Context,
    delivery_id: str,
    event: E,
    *,
    duty: str | None,
    detail: dict[str, Any] | None = None,
    **values: Any,
) -> None:
    """Move a delivery on a person's word, with all that follows. Raises BadInput where it cannot be moved so."""
    with ctx.store.write() as connection:
        now, row = ctx.store.now(connection), known(connection, delivery_id)
        acting(ctx, connection, units_of(connection, releases.get(connection, row.release)), ORDERS)
        if event is E.RETRIED:
            refuse_barred(ctx, connection, row)
        due: dict[str, Any] = {"duty": duty, "due_at": now if duty else None}
        if event in (E.RETRIED, E.ACCEPTED):
            due |= carry.decided(ctx, row)
        if event is E.DISCARD_BEGUN:  # whoever has it armed finds a newer epoch, and sends nothing
            due |= {"owner": None, "epoch": row.epoch + 1}
        try:
            after = deliveries.move(connection, row, event, at=now, actor=ctx.actor, detail=detail, **due, **values)
        except IllegalMove:
            joined = releases.get(connection, row.release)
            how = notice.reveals(ctx, connection, (row.outlet,)).get(row.outlet, Reveal.CREATE)
            needed = next_of_release(joined) or next_of_delivery(joined, row, how)
            mend = needed or f"it needs no decision; `tongfa delivery show {delivery_id}` shows it"
            what = {E.RETRIED: "retried", E.CANCELLED: "dropped", E.DISCARD_BEGUN: "dropped"}.get(event, "settled")
            message = f"it is {row.state} and its release {joined.state}: it cannot be {what}"
            raise BadInput(f"delivery {delivery_id}", message, mend) from None
        if event is E.SETTLED_PUBLIC and row.state == D.RELEASED:
            copies.relocate(connection, after, at=now, actor=ctx.actor)
        elif event is E.SETTLED_PUBLIC:
            copies.appear(connection, after, at=now, actor=ctx.actor)
        if event is E.SETTLED_GONE:
            for one in copies.readable(connection, row.item, row.outlet):
                copies.move(connection, one, copies.REMOVED, at=now, actor=ctx.actor, detail={"found": "by a person"})
            announce.ended(ctx, connection, [row], now)
        outcome.settle(ctx, connection, row.release)
    ctx.ring("prepare")
    ctx.ring("release")


def refuse_barred(ctx: Context, connection: Connection, row: Record) -> None:
    """Letting something go on that nothing may be sent for would only look as if it went on. Raises BadInput."""
    if (why := barred(ctx, connection, row)) is not None:
        mend = "`tongfa restore --status` shows what is left" if why == LOOKING else "`tongfa doctor` tells more"
        raise BadInput(f"outlet {row.outlet}", why, mend)


def units_of(connection: Connection, row: Record) -> set[str]:
    """Whose release it is: its items' units, and those of the outlets it goes to."""
    return reviews.units_of(connection, row) | reviews.item_units(connection, row.id)
