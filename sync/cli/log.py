"""`tongfa log …`."""

from __future__ import annotations

import csv
import json as jsonlib
import sys
from typing import Annotated, Any

import typer

from sync.cli.output import Json, document, out, wired
from sync.clock import iso
from sync.content import moment
from sync.model import BadInput
from sync.store import journal
from sync.store.tables import Record

log = typer.Typer(no_args_is_help=True, help="同步日志 the sync log")
COLUMNS = ("entry", "at", "unit", "subject", "id", "act", "state", "actor", "item", "outlet", "detail")


def register(app: typer.Typer) -> None:
    app.add_typer(log, name="log")


@log.command("list")
def list_(
    item: Annotated[str | None, typer.Option(help="only this item")] = None,
    outlet: Annotated[str | None, typer.Option(help="only this outlet")] = None,
    since: Annotated[str | None, typer.Option(help="only after this instant (ISO 8601 with offset)")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="jsonl or csv")] = None,
    json: Json = False,
) -> None:
    """What was done, by whom, when: oldest first."""
    if format_ not in (None, "jsonl", "csv"):
        raise BadInput("--format", f"{format_!r} is not offered", "use jsonl or csv")
    ctx = wired()
    after = None if since is None else moment.parse(since, ctx.clock.now(), "--since", allow_past=True)
    with ctx.store.read() as connection:
        entries = (_entry(row) for row in journal.page(connection, item=item, outlet=outlet, since=after))
        if json:
            document({"entries": list(entries)})
        elif format_ == "csv":
            writer = csv.DictWriter(sys.stdout, COLUMNS)
            writer.writeheader()
            for one in entries:
                writer.writerow({**one, "detail": jsonlib.dumps(one["detail"], ensure_ascii=False)})
        elif format_ == "jsonl":
            for one in entries:
                sys.stdout.write(jsonlib.dumps(one, ensure_ascii=False) + "\n")
        else:
            for one in entries:
                where = one["outlet"] or one["item"] or ""
                told = f"{one['entry']:>6}  {one['at']}  {one['subject']:<9} {one['act']:<16} {where}  {one['actor']}"
                out.print(told, highlight=False, markup=False, soft_wrap=True)


def _entry(row: Record) -> dict[str, Any]:
    return {
        "entry": row.id,
        "at": iso(row.at),
        "unit": row.unit,
        "subject": row.subject,
        "id": row.subject_id,
        "act": row.act,
        "state": row.state,
        "actor": row.actor,
        "item": row.item,
        "outlet": row.outlet,
        "detail": row.detail,
    }
