"""Notifications: deliveries that tell of an item, and can be neither read back nor recalled.

They are prepared, checked and approved with the others, and take no part in the instant. Each goes out
alone, once the page that it leads to was read back: the canonical outlet's copy of its item, or, where a
release has none, every required copy that is no notification itself. They hold nobody back and delay nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import Connection

from sync.contract import Reveal
from sync.engine.context import Context
from sync.flow import ENDED, D, R
from sync.model import BadInput, Problem
from sync.store import copies, deliveries, outlets, releases
from sync.store.tables import Record

SEEN = (D.VERIFIED, D.CLOSED)  # closed: a person, or a receiver, has said that it is public
RECALLED = "已发出的通知无法收回，须另行告知 · what was sent cannot be recalled: tell its readers another way"


def reveals(ctx: Context, connection: Connection, names: Iterable[str]) -> dict[str, Reveal]:
    """How each of these outlets makes public; kinds that only a newer program knows are left out."""
    wanted = set(names)
    if missing := wanted - ctx.kinds.keys():
        ctx.kinds.update({name: row.kind for name, row in outlets.facts(connection, missing).items()})
    found = {}
    for name in wanted & ctx.kinds.keys():
        try:
            found[name] = ctx.kind(ctx.kinds[name]).can.reveal
        except BadInput:
            continue
    return found


def among(ctx: Context, connection: Connection, names: Iterable[str]) -> frozenset[str]:
    """Those of these outlets that only notify."""
    return frozenset(name for name, how in reveals(ctx, connection, names).items() if how is Reveal.NOTIFY)


def waiting(ctx: Context, connection: Connection, joined: Record, rows: Sequence[Record]) -> dict[str, list[Record]]:
    """The notifications among a release's deliveries `rows` that may not go out yet, and what each waits for.

    One that waits for nothing that could still come is among them too, with an empty list."""
    notices = among(ctx, connection, (row.outlet for row in rows))
    return {row.id: left for row in rows if (left := awaited(joined, row, rows, notices)) is not None}


def awaited(joined: Record, row: Record, rows: Sequence[Record], notices: Collection[str]) -> list[Record] | None:
    """The deliveries that have to be seen before `row` may go out; None: it need not wait. Pure."""
    if row.outlet not in notices:
        return None
    first = [one for one in rows if one.item == row.item and one.outlet not in notices and one.required]
    if joined.canonical_outlet is not None:
        first = [one for one in first if one.outlet == joined.canonical_outlet]
    going = [one for one in first if one.state != D.CANCELLED]
    left = [one for one in going if one.state not in SEEN]
    return left if left or not going else None


def without_cause(ctx: Context, connection: Connection, item: str, cleared: Collection[str]) -> set[str]:
    """Outlets with a notification of the item still to come, which leads to what is removed from `cleared`."""
    open_ = [
        one
        for one in deliveries.of_item(connection, item)
        if one.joined == R.COMMITTED and one.action != "withdraw" and one.state not in ENDED
    ]
    notices = among(ctx, connection, (one.outlet for one in open_))
    found = set()
    for one in open_:
        canonical = releases.get(connection, one.release).canonical_outlet
        leads_to = cleared if canonical is None else {canonical} & set(cleared)
        if one.outlet in notices and leads_to:
            found.add(one.outlet)
    return found


def unrecalled(connection: Connection, items: Iterable[str], notices: Collection[str]) -> list[Problem]:
    """Of items that are withdrawn: what their readers were sent, and keep."""
    there = [one for item in items for one in copies.of_item(connection, item)]
    names = dict.fromkeys(one.outlet for one in there if one.outlet in notices and one.state in copies.CURRENT)
    return [Problem(name, RECALLED, fatal=False) for name in names]
