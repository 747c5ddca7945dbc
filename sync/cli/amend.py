"""`tongfa correct` and `tongfa withdraw`: what is public is changed, or taken back."""

from __future__ import annotations

from typing import Annotated

import typer

from sync.cli.output import As, Json, wired
from sync.cli.publish import (
    Again,
    Aligning,
    At,
    Deciding,
    Group,
    Outlets,
    RequestId,
    Wait,
    follow,
    names_of,
    need_workers,
    refuse_empty,
)
from sync.content.source import get_ready
from sync.engine.plan import Order, plan, planned_before
from sync.engine.withdraw import Withdrawal, withdrawn_before
from sync.engine.withdraw import withdraw as plan_withdrawal
from sync.model import Align, Policy

Item = Annotated[str, typer.Argument(metavar="ITEM", help="the item's id, as `item list` shows it")]


def register(app: typer.Typer) -> None:
    app.command("correct")(correct)
    app.command("withdraw")(withdraw)


def correct(
    item: Item,
    file: Annotated[str, typer.Argument(metavar="FILE", help="the corrected text")],
    outlets_: Outlets = None,
    group: Group = None,
    at: At = None,
    policy: Deciding = Policy.REQUIRED,
    align: Aligning = Align.NOT_BEFORE,
    wait: Wait = None,
    again: Again = False,
    request_id: RequestId = None,
    as_: As = None,
    json: Json = False,
) -> None:
    """Put a corrected text in the place of what is public, everywhere at one instant. 更正。"""
    refuse_empty(("--outlets", outlets_), ("--group", group), ("--request-id", request_id))
    get_ready()
    ctx = wired(as_=as_)
    order = Order((file,), names_of(outlets_), group, at, policy, align, again, request_id, corrects=item)
    release_id = planned_before(ctx, order)
    if release_id is None:
        need_workers(ctx)
        release_id = plan(ctx, order)
    follow(ctx, release_id, wait, json)


def withdraw(
    item: Item,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="why; it stands in the log")],
    outlets_: Outlets = None,
    group: Group = None,
    at: At = None,
    wait: Wait = None,
    request_id: RequestId = None,
    as_: As = None,
    json: Json = False,
) -> None:
    """Remove an item everywhere, each outlet as soon as it can be reached; not out yet, it is cancelled. 撤回。"""
    refuse_empty(("--outlets", outlets_), ("--group", group), ("--request-id", request_id))
    ctx = wired(as_=as_)
    asked = Withdrawal(item, reason, names_of(outlets_), at, request_id, group)
    release_id = withdrawn_before(ctx, asked)
    if release_id is None:
        need_workers(ctx, ("prepare",))
        release_id = plan_withdrawal(ctx, asked)
    follow(ctx, release_id, wait, json, withdrawing=True)
