"""`tongfa item …`."""

from __future__ import annotations

from pathlib import Path

import typer

from sync.cli.output import Json, document, out, table, wired
from sync.clock import iso
from sync.engine.submit import described
from sync.engine.submit import submit as submit_file
from sync.model import BadInput
from sync.store import items
from sync.store.outlets import Unknown

item = typer.Typer(no_args_is_help=True, help="稿件 items and their editions")


def register(app: typer.Typer) -> None:
    app.add_typer(item, name="item")


@item.command("add")
def add(file: Path, json: Json = False) -> None:
    """Read a Markdown or HTML file with front matter, and keep it as an item."""
    if not file.is_file():
        raise BadInput(str(file), "there is no such file", "give the path of a .md or .html file")
    ctx = wired()
    frozen = submit_file(ctx, file)
    if json:
        document(described(frozen, ctx.clock.now()))
    else:
        out.print(f"✓ {frozen.item}  {frozen.title}", highlight=False)


@item.command("list")
def list_(json: Json = False) -> None:
    """The newest items."""
    ctx = wired()
    with ctx.store.read() as connection:
        rows = items.page(connection)
    if json:
        keys = ("id", "unit", "title", "revision", "digest")
        listed = [{**{k: getattr(row, k) for k in keys}, "created_at": iso(row.created_at)} for row in rows]
        document({"items": [{"item": row.pop("id"), **row} for row in listed]})
        return
    shown = table("item", "title", "created")
    for row in rows:
        shown.add_row(row.id, row.title, iso(row.created_at))
    out.print(shown)


@item.command("show")
def show(item_id: str, json: Json = False) -> None:
    """One item: text, metadata, files."""
    ctx = wired()
    try:
        with ctx.store.read() as connection:
            frozen, row = items.get(connection, item_id)
    except Unknown:
        raise BadInput(f"item {item_id}", "there is no such item", "`tongfa item list` shows them") from None
    told = described(frozen, row.created_at)
    if json:
        document(told)
        return
    for key, value in told.items():
        out.print(f"[bold]{key}[/]: {value}", highlight=False)
