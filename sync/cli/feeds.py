"""`tongfa feed …`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sync.cli.output import As, Json, document, group, say, show_pairs, show_table, state_word, tell, when, wired, word
from sync.engine import feeds
from sync.engine.context import Context
from sync.engine.pull import pull
from sync.store import feeds as rows
from sync.store.tables import Record

FINDINGS = 7

feed = group("订阅源 feeds whose entries become items")

Name = Annotated[str, typer.Argument(metavar="NAME", help="the feed's name")]


def register(app: typer.Typer) -> None:
    app.add_typer(feed, name="feed")


@feed.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="lower-case letters, digits and hyphens")],
    url: Annotated[str, typer.Argument(metavar="URL", help="address of an RSS or Atom feed")],
    every: Annotated[
        int, typer.Option("--every", metavar="MINUTES", min=5, max=10_080, help="how often it is read")
    ] = feeds.EVERY_MIN,
    rule: Annotated[
        str, typer.Option(metavar="draft|review", help="entries become drafts, or are planned under review")
    ] = feeds.DRAFT,
    outlets: Annotated[
        str | None, typer.Option(metavar="A,B", help="where its items are planned to go, with --rule review")
    ] = None,
    private_network: Annotated[
        bool, typer.Option("--private-network", help="its addresses may be intranet or http")
    ] = False,
    unit: Annotated[str | None, typer.Option(metavar="UNIT", help="whose items they become")] = None,
    as_: As = None,
    json: Json = False,
) -> None:
    """Read a feed from now on: each entry becomes an item. Nothing of it is ever published unseen."""
    ctx = wired(as_=as_)
    named = tuple(one.strip() for one in (outlets or "").split(",") if one.strip())
    row = feeds.add(ctx, feeds.Wish(name, url, every, rule, named, private_network, unit))
    if json:
        document(_described(ctx, row))
    else:
        say(f"✓ {name}  {row.url}")


@feed.command("list")
def list_(json: Json = False) -> None:
    """All feeds, when each was read last, and what is wrong with it."""
    ctx = wired()
    with ctx.store.read() as connection:
        told = [feeds.described(row, rows.counts(connection, row.name)) for row in rows.every(connection)]
    if json:
        document({"feeds": told})
        return
    show_table(
        ("feed", "address", "state", "rule", "read", "items", "refused", "why"),
        [
            (
                one["feed"],
                one["url"],
                state_word(one["state"]),
                one["rule"],
                when(one["read_at"]),
                one["items"],
                one["refused"],
                one["why"],
            )
            for one in told
        ],
    )
    for one in told:
        if one["why"]:
            tell(f"{one['feed']}: {one['why']}\n    → {one['mend']}")


@feed.command("show")
def show(name: Name, json: Json = False) -> None:
    """One feed: what was read of it, and what was refused and why."""
    ctx = wired()
    row = feeds.known(ctx, name)
    with ctx.store.read() as connection:
        entries = feeds.shown(rows.entries(connection, name))
    told = _described(ctx, row)
    if json:
        document({**told, "entries": entries})
        return
    show_pairs({"feed": name, "title": row.title, "address": row.url, "state": row.state, "rule": row.rule})
    show_pairs({"outlet": row.outlets, "read": when(told["read_at"]), "why": row.why, "mend": row.mend})
    show_table(
        ("title", "state", "item", "revision", "release", "why"),
        [
            (one["title"], state_word(one["state"]), one["item"], one["revision"], one["release"], one["why"])
            for one in entries
        ],
    )


@feed.command("pull")
def pull_(name: Name, json: Json = False) -> None:
    """Read a feed now. Exit code 7 when it cannot be read; what was read before stays."""
    ctx = wired()
    came = pull(ctx, feeds.known(ctx, name))
    told: dict[str, Any] = {
        "feed": name,
        "ok": came.failure is None,
        "new": came.new,
        "changed": came.changed,
        "refused": came.refused,
        "unchanged": came.unchanged,
        "delayed": came.delayed,
        "why": came.failure.why if came.failure else "",
        "mend": came.failure.mend if came.failure else "",
    }
    if json:
        document(told)
    else:
        say(f"{'✓' if came.failure is None else '✗'} {name}")
        for label, titles in (("new", came.new), ("changed", came.changed), ("refused", came.refused)):
            for title in titles:
                say(f"  {word(label)} {title}")
        if came.failure is not None:
            tell(f"✗ {name}: {came.failure.why}\n    → {came.failure.mend}")
    if came.failure is not None:
        raise SystemExit(FINDINGS)


@feed.command("remove")
def remove(name: Name, as_: As = None, json: Json = False) -> None:
    """Read a feed no more. Its items stay."""
    feeds.remove(wired(as_=as_), name)
    if json:
        document({"feed": name, "state": rows.RETIRED})
    else:
        say(f"✓ {name}")


def _described(ctx: Context, row: Record) -> dict[str, Any]:
    with ctx.store.read() as connection:
        return feeds.described(row, rows.counts(connection, row.name))
