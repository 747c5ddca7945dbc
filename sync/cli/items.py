"""`tongfa item …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sync.cli.lookup import found
from sync.cli.output import (
    As,
    Json,
    Limit,
    document,
    group,
    labelled,
    out,
    say,
    show_list,
    show_pairs,
    show_table,
    state_word,
    when,
    wired,
    word,
)
from sync.clock import iso
from sync.content.source import ENDINGS, get_ready, read
from sync.engine.export import export
from sync.engine.submit import accept, described
from sync.model import BadInput
from sync.store import copies, items

item = group("稿件 items and their editions")


def register(app: typer.Typer) -> None:
    app.add_typer(item, name="item")


@item.command("add")
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=f"a file: {', '.join(ENDINGS)}")],
    unit: Annotated[str | None, typer.Option(metavar="UNIT", help="whose item it is")] = None,
    as_: As = None,
    json: Json = False,
) -> None:
    """Read a file, and keep it as an item. The same content again is the same item.

    Markdown or HTML with front matter, a Word document, or IPTC ninjs."""
    get_ready()
    ctx = wired(as_=as_)
    draft = read(file, ctx.clock.now())
    frozen = accept(ctx, draft, unit=unit)
    if json:
        notes = [{"where": note.where, "message": note.message, "fatal": note.fatal} for note in draft.notes]
        document({**described(frozen, ctx.clock.now()), "problems": notes})
    else:
        say(f"✓ {frozen.item}  {frozen.title}")
        for note in draft.notes:
            say(f"  ! {note.message}")


@item.command("list")
def list_(limit: Limit = 50, json: Json = False) -> None:
    """The newest items."""
    with wired().store.read() as connection:
        rows = items.page(connection, size=limit + 1)
    listed = [
        {
            "item": row.id,
            "unit": row.unit,
            "title": row.title,
            "revision": row.revision,
            "digest": row.digest,
            "created_at": iso(row.created_at),
        }
        for row in rows
    ]
    show_list(
        "items",
        listed,
        ("item", "title", "created"),
        lambda one: (one["item"], one["title"], when(one["created_at"])),
        limit=limit,
        json=json,
    )


@item.command("export")
def export_(
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="its id")],
    out_: Annotated[Path, typer.Option("--out", metavar="FILE", help="ends in .json; its files go beside it")],
    format_: Annotated[str, typer.Option("--format", metavar="ninjs", help="ninjs: IPTC News in JSON 3.3")] = "ninjs",
    json: Json = False,
) -> None:
    """Write an item's newest text and files as any newsroom reads them. Added again, it is the same item."""
    if format_ != "ninjs":
        raise BadInput("--format", f"{format_!r} is not written", "use ninjs")
    frozen = export(wired(), item_id, out_)
    if json:
        document({"item": frozen.item, "revision": frozen.revision, "digest": frozen.digest, "file": str(out_)})
    else:
        say(f"✓ {out_}")


@item.command("show")
def show(
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="its id")],
    json: Json = False,
) -> None:
    """One item: metadata, files, text, and what the public sees of it, outlet by outlet."""
    ctx = wired()
    with ctx.store.read() as connection:
        frozen, row = found(lambda: items.get(connection, item_id), "item", item_id)
        public = [
            {
                "outlet": one.outlet,
                "revision": one.revision,
                "state": one.state,
                "url": one.url,
                "since": iso(one.since),
            }
            for one in copies.of_item(connection, item_id)
        ]
    told = {**described(frozen, row.created_at), "copies": public}
    if json:
        document(told)
        return
    show_pairs(
        {
            "item": frozen.item,
            "title": frozen.title,
            "revision": frozen.revision,
            "created": when(iso(row.created_at), exact=True),
            "digest": frozen.digest,
            "metadata": dict(frozen.metadata),
        }
    )
    if public:
        show_table(
            ("outlet", "revision", "state", "address"),
            [(one["outlet"], one["revision"], state_word(one["state"]), one["url"]) for one in public],
        )
    for part in frozen.assets:
        out.print(labelled("files", f"{part.name} · {part.media_type} · {part.size} B"), soft_wrap=True)
    say(f"{word('body')}\n{frozen.body}")
