"""`tongfa review …`: three reviews by three people before anything is prepared. 三审。"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sync.cli.output import (
    As,
    Json,
    document,
    group,
    labelled,
    out,
    say,
    show_pairs,
    show_table,
    state_word,
    when,
    wired,
)
from sync.engine import review as reviews
from sync.engine.context import Context

review = group("审核 reviews: 初审、复审、终审")

Id = Annotated[str, typer.Argument(metavar="RELEASE", help="as `review list` shows it")]


def register(app: typer.Typer) -> None:
    app.add_typer(review, name="review")


@review.command("list")
def list_(json: Json = False) -> None:
    """What waits for whom; withdrawals that a second person has still to look at, too."""
    waiting = reviews.waiting(wired())
    if json:
        document({"reviews": waiting})
        return
    show_table(
        ("release", "title", "state", "stage", "waits for", "release at"),
        [
            (
                one["release"],
                one["title"],
                state_word(one["state"]),
                one["stage_name"],
                "、".join(one["waits_for"]) or "—",
                when(one["release_at"]),
            )
            for one in waiting
        ],
    )


@review.command("show")
def show(release_id: Id, json: Json = False) -> None:
    """Everything that will go out, where, when and by whom; and what was said so far."""
    _show(wired(), release_id, json)


@review.command("approve")
def approve(
    release_id: Id,
    as_: As = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="a remark; it stands in the log")] = "",
    digest: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="what was looked at; refused when it is another by now")
    ] = None,
    json: Json = False,
) -> None:
    """Approve exactly what `review show` shows. Any change of it makes the approval void."""
    ctx = wired(as_=as_)
    reviews.approve(ctx, release_id, note=note, digest=digest)
    _tell(ctx, release_id, json)


@review.command("reject")
def reject(
    release_id: Id,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="why; it stands in the log")],
    as_: As = None,
    json: Json = False,
) -> None:
    """Hold it; resumed, it needs all three approvals anew."""
    ctx = wired(as_=as_)
    reviews.reject(ctx, release_id, reason)
    _tell(ctx, release_id, json)


def _tell(ctx: Context, release_id: str, json: bool) -> None:
    told = reviews.shown(ctx, release_id)
    if json:
        document(told)
        return
    given = "、".join(f"{one['stage']} {one['approver']}" for one in told["approvals"])
    say(f"✓ {told['release']} · {state_word(told['state'])} · {told['title']}")
    show_pairs({"approvals": given, "stage": told["stage_name"], "waits for": told["waits_for"], "why": told["why"]})


def _show(ctx: Context, release_id: str, json: bool) -> None:
    told = reviews.shown(ctx, release_id)
    if json:
        document(told)
        return
    show_pairs(
        {
            "release": f"{told['release']} · {told['action']} · {state_word(told['state'])}",
            "why": told["why"] or told["reason"],
            "unit": told["unit"],
            "release at": when(told["release_at"], exact=True) if told["release_at"] else "批准后即发 when approved",
            "policy": f"{told['policy']} · {told['align']}",
            "digest": told["digest"],
            "stage": told["stage_name"],
            "waits for": told["waits_for"],
        }
    )
    for one in told["approvals"]:
        line = f"{one['stage']} · {one['approver']} · {when(one['at'])} {one['note']}"
        out.print(labelled("approvals", line), soft_wrap=True)
    for one in told["said"]:
        _show_said(one)
    for one in told["editions"]:
        say("")
        show_pairs({"title": one["title"], "author": one["author"], "item": f"{one['item']} · {one['revision']}"})
        show_pairs({"digest": one["digest"], "metadata": one["metadata"]})
        say(one["body"])
    for one in told["outlets"]:
        _show_outlet(one)


def _show_said(one: dict[str, Any]) -> None:
    """Why an earlier round's approvals count no more."""
    told = one["detail"]
    out.print(labelled("changed", f"{when(one['at'])} {one['act']} {told.get('reason', '')}"), soft_wrap=True)
    for part in told.get("changed", []):
        where = " · ".join(part[key] for key in ("outlet", "item", "part") if key in part)
        say(f"  {where}")
        if "before" in part:
            say(f"    − {part['before']}")
            say(f"    + {part['after']}")


def _show_outlet(one: dict[str, Any]) -> None:
    say("")
    mark = "" if one["live"] else " °"
    out.print(labelled("outlet", f"{one['outlet']}{mark} · {one['kind']} · {state_word(one['state'])}"), soft_wrap=True)
    for problem in one["problems"]:
        say(f"  ✗ {problem['where']}: {problem['message']}")
    made = one["rendition"]
    if made is None:
        return
    show_pairs({"digest": made["digest"], "files": [file["name"] for file in made["files"]]})
    for kind, value in made["shown"]:
        say(f"  {kind:<6} {value}")
