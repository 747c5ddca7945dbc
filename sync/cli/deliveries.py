"""`tongfa delivery …`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sync.bootstrap import previewing
from sync.cli.lookup import found
from sync.cli.output import As, Json, Limit, document, group, say, show_list, show_pairs, state_word, when, wired
from sync.clock import iso
from sync.engine import control, handout, report
from sync.engine.context import Context
from sync.flow import D
from sync.store import deliveries, journal

delivery = group("投送 deliveries: one item at one outlet")

Id = Annotated[str, typer.Argument(metavar="ID", help="as `delivery list` shows it")]


class Found(StrEnum):
    PUBLIC = "public"
    HIDDEN = "hidden"
    NOTHING = "nothing"


def register(app: typer.Typer) -> None:
    app.add_typer(delivery, name="delivery")


@delivery.command("list")
def list_(
    state: Annotated[D | None, typer.Option(help="only in this state")] = None,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """Deliveries, of all releases."""
    ctx = wired()
    with ctx.store.read() as connection:
        rows = deliveries.page(connection, state=state, size=limit + 1)
        listed = [report.told_of(connection, ctx.kind, row) for row in rows]
    show_list(
        "deliveries",
        listed,
        ("id", "outlet", "state", "release"),
        lambda one: (one["id"], one["outlet"], state_word(one["state"]), one["release"]),
        limit=limit,
        json=json,
    )


@delivery.command("show")
def show(
    delivery_id: Id,
    folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="also write what the outlet is handed there, for publishing by hand"),
    ] = None,
    json: Json = False,
) -> None:
    """One delivery with everything that happened to it, and the worker of every attempt."""
    ctx = wired()
    files: list[Path] = []
    if folder is not None:
        files = handout.write(handout.handout(ctx, delivery_id, previewing(ctx.settings, ctx.clock)), folder)
    _show(ctx, delivery_id, json, files)


@delivery.command("retry")
def retry(delivery_id: Id, as_: As = None, json: Json = False) -> None:
    """Try a failed delivery again."""
    ctx = wired(as_=as_)
    control.retry(ctx, delivery_id)
    _show(ctx, delivery_id, json)


@delivery.command("drop")
def drop(delivery_id: Id, as_: As = None, json: Json = False) -> None:
    """Give a failed delivery up, or one that still waits to follow the others."""
    ctx = wired(as_=as_)
    control.drop(ctx, delivery_id)
    _show(ctx, delivery_id, json)


@delivery.command("settle")
def settle(
    delivery_id: Id,
    what: Annotated[Found, typer.Option("--found", help="what the outlet shows")],
    url: Annotated[str | None, typer.Option(metavar="URL", help="where it is public")] = None,
    as_: As = None,
    json: Json = False,
) -> None:
    """Say what you found at the outlet of an unresolved delivery, or how your task ended."""
    ctx = wired(as_=as_)
    control.settle(ctx, delivery_id, what.value, url)
    _show(ctx, delivery_id, json)


def _show(ctx: Context, delivery_id: str, json: bool, files: Sequence[Path] = ()) -> None:
    with ctx.store.read() as connection:
        row = found(lambda: deliveries.get(connection, delivery_id), "delivery", delivery_id)
        told: dict[str, Any] = report.told_of(connection, ctx.kind, row)
        history = journal.of(connection, "delivery", delivery_id)
    told["history"] = [
        {"at": iso(one.at), "act": one.act, "state": one.state, "actor": one.actor, "detail": one.detail}
        for one in history
    ]
    if json:
        document(told | ({"files": [str(file) for file in files]} if files else {}))
        return
    show_pairs(
        {
            "id": told["id"],
            "release": told["release"],
            "item": told["item"],
            "outlet": f"{told['outlet']} · {told['kind']}",
            "state": state_word(told["state"]),
            "address": told["url"],
            "ref": told["ref"],
            "attempts": told["attempts"],
            "worker": told["worker"],
            "sent at": _exact(told["sent_at"]),
            "visible": _exact(told["visible_at"]),
            "lateness": told["lateness_ms"],
            "match": told["match"],
            "level": told["level"],
            "problems": [f"{one['where']}: {one['message']}" for one in told["problems"]],
            "files": str(files[0]) if files else None,
            "next": told["next"],
        }
    )
    for one in told["history"]:
        say(f"  {_exact(one['at'])}  {one['act']:<14} {one['actor']}")


def _exact(instant: str | None) -> str | None:
    return None if instant is None else when(instant, exact=True)
