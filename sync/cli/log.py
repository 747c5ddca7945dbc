"""`tongfa log …`."""

from __future__ import annotations

import csv
import io
import json as jsonlib
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import typer

from sync.cli.lookup import found, named_outlet
from sync.cli.output import Json, document_of, group, lines_of, say, when, wired
from sync.clock import iso
from sync.content import moment
from sync.engine.context import Context
from sync.store import items, journal
from sync.store.tables import Record

PAGE = 500  # entries read at a time: a slow reader holds neither the database nor memory
COLUMNS = ("entry", "at", "unit", "subject", "id", "act", "state", "actor", "item", "outlet", "detail")

log = group("同步日志 the sync log")


class Format(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"


def register(app: typer.Typer) -> None:
    app.add_typer(log, name="log")


@log.command("list")
def list_(
    item: Annotated[str | None, typer.Option(help="only this item")] = None,
    outlet: Annotated[str | None, typer.Option(help="only this outlet")] = None,
    since: Annotated[str | None, typer.Option(metavar="ISO8601", help="only since this instant")] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="jsonl: an entry a line; csv: for spreadsheets, UTF-8 with BOM")
    ] = None,
    json: Json = False,
) -> None:
    """What was done, by whom, when: oldest first."""
    ctx = wired()
    after = None if since is None else moment.parse(since, ctx.clock.now(), "--since", allow_past=True)
    with ctx.store.read() as connection:
        if item is not None:
            found(lambda: items.get(connection, item), "item", item)
        if outlet is not None:
            named_outlet(connection, outlet, retired=True)
    entries = _entries(ctx, item=item, outlet=outlet, since=after)
    if json:
        document_of("entries", entries)
    elif format_ is Format.JSONL:
        lines_of(entries)
    elif format_ is Format.CSV:
        _spreadsheet(entries)
    else:
        for one in entries:
            where = one["outlet"] or one["item"] or ""
            at = when(one["at"], exact=True)
            say(f"{one['entry']:>6}  {at}  {one['subject']:<12} {one['act']:<16} {where}  {one['actor']}")


def _spreadsheet(entries: Iterable[dict[str, Any]]) -> None:
    """Spreadsheet programs take a file for UTF-8 only when it begins with a byte order mark."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8-sig", newline="")
    writer = csv.DictWriter(sys.stdout, COLUMNS)
    writer.writeheader()
    for one in entries:
        writer.writerow({**one, "detail": jsonlib.dumps(one["detail"], ensure_ascii=False)})


def _entries(ctx: Context, **only: Any) -> Iterator[dict[str, Any]]:
    last = 0
    while True:
        with ctx.store.read() as connection:
            rows = list(islice(journal.page(connection, after=last, size=PAGE, **only), PAGE))
        yield from map(_entry, rows)
        if len(rows) < PAGE:
            return
        last = rows[-1].id


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
