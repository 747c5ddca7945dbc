"""`tongfa release …`."""

from __future__ import annotations

from typing import Annotated

import typer

from sync.cli.output import As, Json, Limit, group, show_list, state_word, tell, when, wired
from sync.cli.publish import Wait, follow, need_workers
from sync.clock import iso
from sync.engine import control
from sync.engine.identity import stopped
from sync.store import releases

release = group("同步发布 releases")

Id = Annotated[str, typer.Argument(metavar="ID", help="as `release list` shows it")]


def register(app: typer.Typer) -> None:
    app.add_typer(release, name="release")


@release.command("list")
def list_(limit: Limit = 50, json: Json = False) -> None:
    """The newest releases."""
    ctx = wired()
    with ctx.store.read() as connection:
        rows = releases.page(connection, size=limit + 1)
    if (why := stopped(ctx)) is not None:
        tell(why)
    listed = [
        {
            "release": row.id,
            "state": row.state,
            "action": row.action,
            "policy": row.policy,
            "release_at": iso(row.release_at) if row.release_at else None,
            "created_at": iso(row.created_at),
            "why": row.why,
        }
        for row in rows
    ]
    show_list(
        "releases",
        listed,
        ("release", "state", "release at", "created"),
        lambda one: (one["release"], state_word(one["state"]), when(one["release_at"]), when(one["created_at"])),
        limit=limit,
        json=json,
        beside={} if why is None else {"stopped": why},
    )


@release.command("show")
def show(release_id: Id, wait: Wait = None, json: Json = False) -> None:
    """One release with its deliveries; with --wait, once nothing more will come of waiting."""
    follow(wired(), release_id, wait, json)


@release.command("hold")
def hold(release_id: Id, as_: As = None, json: Json = False) -> None:
    """Stop it before its commit; nothing is public then."""
    ctx = wired(as_=as_)
    control.hold(ctx, release_id)
    follow(ctx, release_id, None, json)


@release.command("resume")
def resume(release_id: Id, wait: Wait = None, as_: As = None, json: Json = False) -> None:
    """Let a held release go on; what failed is tried again."""
    ctx = wired(as_=as_)
    need_workers(ctx)
    control.resume(ctx, release_id)
    follow(ctx, release_id, wait, json)


@release.command("cancel")
def cancel(release_id: Id, as_: As = None, json: Json = False) -> None:
    """End it before its commit; hidden drafts are removed."""
    ctx = wired(as_=as_)
    control.cancel(ctx, release_id)
    follow(ctx, release_id, None, json)
