"""Which feeds are read, by whose order, and what people are told of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sync import address
from sync.clock import iso
from sync.contract import Rejected
from sync.engine.context import Context
from sync.engine.people import ORDERS, acting, home_unit
from sync.model import BadInput
from sync.store import feeds, outlets, people
from sync.store.outlets import Unknown
from sync.store.people import THREE
from sync.store.tables import Record

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
DRAFT, REVIEW = feeds.DRAFT, feeds.REVIEW
EVERY_MIN = 30


@dataclass(frozen=True)
class Wish:
    """A feed as somebody wants it read."""

    name: str
    url: str
    every_min: int = EVERY_MIN
    rule: str = DRAFT
    outlets: tuple[str, ...] = ()
    private_network: bool = False
    unit: str | None = None


def add(ctx: Context, wish: Wish) -> Record:
    """Read this feed from now on. Raises BadInput; then nothing was stored."""
    where = f"feed {wish.name}"
    if not NAME.fullmatch(wish.name):
        raise BadInput(where, "not a name for a feed", "use lower-case letters, digits and hyphens")
    try:
        url = address.target(wish.url, wish.private_network).url
    except Rejected as error:
        mend = "give the https:// address of the feed; one on your own network needs --private-network"
        raise BadInput("URL", str(error), mend) from error
    if wish.rule not in (DRAFT, REVIEW):
        raise BadInput("--rule", f"{wish.rule!r} is no rule", f"use {DRAFT} or {REVIEW}")
    if wish.rule == DRAFT and wish.outlets:
        raise BadInput("--outlets", "drafts go to no outlet", f"add --rule {REVIEW}, or leave --outlets out")
    if wish.rule == REVIEW and not wish.outlets:
        raise BadInput("--outlets", "under review its items are planned: to which outlets?", "name them: --outlets a,b")
    with ctx.store.write() as connection:
        unit = home_unit(ctx, connection, wish.unit)
        known = {row.name: row for row in outlets.every(connection)}
        if missing := [one for one in wish.outlets if one not in known]:
            raise BadInput("--outlets", f"there is no outlet {missing[0]}", f"known: {', '.join(known) or 'none'}")
        if wish.rule == REVIEW and people.unit_of(connection, unit).review != THREE:
            mend = f"`tongfa unit set {unit} --review three` first, or use --rule {DRAFT} and publish by hand"
            raise BadInput("--rule", f"unit {unit} asks for no review: items of a feed would go out unseen", mend)
        acting(ctx, connection, {unit, *(known[one].unit for one in wish.outlets)}, ORDERS)
        if any(row.name == wish.name for row in feeds.every(connection, retired=True)):
            raise BadInput(where, "there is, or was, one of this name", "choose another: the log knows that one by it")
        values = {
            "name": wish.name,
            "unit": unit,
            "url": url,
            "every_min": wish.every_min,
            "rule": wish.rule,
            "outlets": list(wish.outlets),
            "private_network": wish.private_network,
            "planner": ctx.named or "",
        }
        feeds.add(connection, values, at=ctx.store.now(connection), actor=ctx.actor)
        row = feeds.get(connection, wish.name)
    ctx.ring("prepare")
    return row


def remove(ctx: Context, name: str) -> None:
    """It is read no more; its items stay. Raises BadInput."""
    row = known(ctx, name)
    with ctx.store.write() as connection:
        acting(ctx, connection, {row.unit}, ORDERS)
        at, detail = ctx.store.now(connection), {"url": row.url}
        feeds.move(connection, row, "removed", feeds.RETIRED, at=at, actor=ctx.actor, detail=detail, due_at=None)


def known(ctx: Context, name: str) -> Record:
    """A feed that is read, or is gone. Raises BadInput."""
    with ctx.store.read() as connection:
        names = [row.name for row in feeds.every(connection)]
        try:
            row = feeds.get(connection, name)
        except Unknown:
            row = None
    if row is None or row.state == feeds.RETIRED:
        mend = f"known: {', '.join(names)}" if names else "`tongfa feed add` makes one"
        raise BadInput(f"feed {name}", "there is no such feed", mend)
    return row


def described(row: Record, counts: dict[str, int]) -> dict[str, Any]:
    """For `feed list`, as JSON."""
    return {
        "feed": row.name,
        "unit": row.unit,
        "url": row.url,
        "title": row.title,
        "state": row.state,
        "every_min": row.every_min,
        "rule": row.rule,
        "outlets": list(row.outlets),
        "private_network": row.private_network,
        "asked_at": _iso(row.asked_at),
        "read_at": _iso(row.read_at),
        "due_at": _iso(row.due_at),
        "items": counts.get(feeds.TAKEN, 0),
        "known": counts.get(feeds.KNOWN, 0),
        "refused": counts.get(feeds.REFUSED, 0),
        "failures": row.failures,
        "why": row.why,
        "mend": row.mend,
    }


def shown(rows: Sequence[Record]) -> list[dict[str, Any]]:
    """What became of a feed's entries, as JSON."""
    return [
        {
            "title": row.title,
            "link": row.link,
            "state": row.state,
            "item": row.item,
            "revision": row.revision,
            "release": row.release,
            "read_at": iso(row.read_at),
            "why": row.why,
            "mend": row.mend,
        }
        for row in rows
    ]


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)
