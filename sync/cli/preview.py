"""`tongfa preview`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sync.bootstrap import previewing
from sync.cli.output import Json, document, labelled, out, say, wired, word
from sync.content.source import get_ready
from sync.engine import preview as engine

UNFIT = 2


def register(app: typer.Typer) -> None:
    app.command("preview")(preview)


def preview(
    source: Annotated[str, typer.Argument(metavar="FILE|ITEM", help="a file, or an item's id")],
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="a new folder, or that of an earlier preview")],
    names: Annotated[
        list[str] | None, typer.Option("--outlet", metavar="NAME", help="one outlet; repeat it for several")
    ] = None,
    json: Json = False,
) -> None:
    """What every outlet will show, and every problem, without network. Exit code 2 when one is fatal."""
    get_ready()
    ctx = wired()
    made = engine.preview(ctx, source, names or [], previewing(ctx.settings, ctx.clock))
    index = engine.write(made, folder)
    if json:
        document(engine.described(made, folder, index))
    else:
        for one in made.shown:
            first = next(iter(one.files), None)
            shown = str(folder / one.outlet.name / first) if first else word("none")
            out.print(labelled("outlet", f"{one.outlet.name} · {one.outlet.kind} · {shown}"), soft_wrap=True)
            for problem in one.problems:
                say(f"  {'✗' if problem.fatal else '!'} {problem.where}: {problem.message}")
        for note in made.notes:
            say(f"! {note.where}: {note.message}")
        say(f"{'✗' if made.fatal else '✓'} {index}")
    raise SystemExit(UNFIT if made.fatal else 0)
