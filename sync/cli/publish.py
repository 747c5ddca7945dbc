"""`tongfa publish`, and following what a release comes to."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.live import Live

from sync.cli.lookup import found
from sync.cli.output import (
    As,
    Json,
    document,
    err,
    help_word,
    labelled,
    out,
    plain,
    say,
    show_table,
    state_word,
    table,
    tell,
    tick,
    when,
    wired,
    word,
)
from sync.content.source import get_ready
from sync.engine import report
from sync.engine.context import Context
from sync.engine.identity import stopped
from sync.engine.plan import Order, planned_before
from sync.engine.plan import plan as plan_order
from sync.flow import R
from sync.model import Align, BadInput, Policy
from sync.store.people import THREE

PATIENCE = 0.5  # seconds a missing worker is given to come up
LOOK_AGAIN = 0.1  # seconds
INTERRUPTED = 130

Wait = Annotated[
    float | None,
    typer.Option(
        "--wait", metavar="[SECONDS]", min=0, max=604_800, help="until it is verified everywhere; alone: 600 seconds"
    ),
]


Outlets = Annotated[str | None, typer.Option("--outlets", metavar="A,B", help="where to")]
Group = Annotated[str | None, typer.Option(metavar="GROUP", help="a group of outlets")]
At = Annotated[str | None, typer.Option("--at", metavar="ISO8601|now", help="the instant, with its offset")]
Deciding = Annotated[Policy, typer.Option("--policy", help="which outlets must be ready")]
Aligning = Annotated[
    Align, typer.Option("--align", help="aligned: slow outlets start earlier, by what was learned of them")
]
Again = Annotated[bool, typer.Option("--again", help="although it is there already")]
RequestId = Annotated[
    str | None, typer.Option("--request-id", metavar="ID", help="a repeated command returns the first result")
]


def register(app: typer.Typer) -> None:
    app.command("publish")(publish)


def publish(
    sources: Annotated[list[str], typer.Argument(metavar="FILE|ITEM…", help="files or item ids")],
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
    """Publish once: every outlet, one instant. 一次发布，处处同时。"""
    refuse_empty(("--outlets", outlets_), ("--group", group), ("--request-id", request_id))
    get_ready()
    ctx = wired(as_=as_)
    order = Order(tuple(sources), names_of(outlets_), group, at, policy, align, again, request_id)
    release_id = planned_before(ctx, order)
    if release_id is None:
        need_workers(ctx)
        release_id = plan_order(ctx, order)
    follow(ctx, release_id, wait, json)


def refuse_empty(*given: tuple[str, str | None]) -> None:
    """Raises BadInput for an option that was given nothing."""
    for option, value in given:
        if value is not None and not value.strip(" ,"):
            raise BadInput(option, "it is empty", "name something, or leave the option out")


def names_of(given: str | None) -> tuple[str, ...]:
    """The outlets that `--outlets A,B` names."""
    return tuple(one.strip() for one in (given or "").split(",") if one.strip())


def need_workers(ctx: Context, lanes: Sequence[str] = ("prepare", "release")) -> None:
    """Raises BadInput unless both lanes have a living worker: a plan that nobody carries out helps nobody."""
    nap, ends = threading.Event(), ctx.clock.boottime() + PATIENCE
    while missing := [lane for lane in lanes if not ctx.lock.living(lane)]:
        if ctx.clock.boottime() > ends:
            lanes = " and no ".join(f"{lane} worker" for lane in missing)
            mend = f"start `tongfa up`, or `tongfa worker --lane {missing[0]}`; nothing was planned"
            raise BadInput("workers", f"no {lanes} is running", mend)
        nap.wait(0.05)


def follow(ctx: Context, release_id: str, wait: float | None, json: bool, *, withdrawing: bool = False) -> None:
    """Print the release now, or, waiting, once nothing more will come of it; exits with its code.

    `withdrawing`: a release that was cancelled before it went out is what was asked for."""
    if (why := stopped(ctx)) is not None:
        tell(why)
    try:
        told = look(ctx, release_id) if wait is None else watch(ctx, release_id, wait)
        code = 0 if wait is None or (withdrawing and told["state"] == R.CANCELLED) else report.exit_code(told)
    except KeyboardInterrupt:
        tell(f"release {release_id} goes on; `tongfa release show {release_id} --wait` follows it again")
        told, code = look(ctx, release_id), INTERRUPTED
        if not json:
            raise SystemExit(code) from None
    if json:
        document(told | ({} if why is None else {"stopped": why}))
    else:
        show_report(told)
    raise SystemExit(code)


def watch(ctx: Context, release_id: str, wait: float) -> dict[str, Any]:
    """The report as soon as nothing more will come of waiting, or after `wait` seconds; progress on stderr."""
    nap, ends = threading.Event(), ctx.clock.boottime() + wait
    with Live(console=err, transient=True, auto_refresh=False) as live:
        while True:
            told = look(ctx, release_id)
            if err.is_terminal:
                rows = [
                    (one["outlet"], state_word(one["state"]), when(one["visible_at"])) for one in told["deliveries"]
                ]
                live.update(table(("outlet", "state", "visible"), rows), refresh=True)
            if report.finished(told) or ctx.clock.boottime() >= ends:
                return told
            nap.wait(LOOK_AGAIN)


def look(ctx: Context, release_id: str) -> dict[str, Any]:
    """The report as it is now. Raises BadInput for an unknown release."""
    with ctx.store.read() as connection:
        return found(lambda: report.release_report(connection, ctx.kind, release_id), "release", release_id)


def show_report(told: dict[str, Any]) -> None:
    """The report as a person reads it: 80 columns do, and every address stays in one piece."""
    rows = told["deliveries"]
    at = when(told["release_at"], exact=True)
    out.print(labelled("release", f"{told['release']} · {state_word(told['state'])} · {at}"), soft_wrap=True)
    if told["review"]["rule"] != THREE and told["action"] != "withdraw":
        say(help_word("未经审核发布 · published without review", "published without review"))
    if told["late"]:
        behind = dict.fromkeys(one["outlet"] for one in rows if one["late"])
        out.print(labelled("late", ", ".join(behind)), soft_wrap=True)
    if told["why"]:
        out.print(labelled("why", told["why"]), soft_wrap=True)
    names = {one["id"]: one["outlet"] + ("" if one["live"] else " °") for one in rows}
    if len(told["items"]) > 1:
        names = {one["id"]: f"{names[one['id']]} {one['item']}" for one in rows}
    show_table(
        ("outlet", "state", "visible", "lateness", "match", "worker"),
        [
            (
                names[one["id"]],
                state_word(one["state"]),
                when(one["visible_at"], exact=True)[11:23],
                "" if one["lateness_ms"] is None else f"{one['lateness_ms']:.1f}",
                tick(one["match"]),
                (one["worker"] or "").split(":")[-1],
            )
            for one in rows
        ],
    )
    for one in rows:
        if one["url"]:
            say(f"{one['outlet']}  {one['url']}")
    for one in rows:
        for problem in one["problems"]:
            if problem["message"] not in told["why"]:
                say(f"✗ {one['outlet']} · {problem['where']}: {problem['message']}")
    for problem in told["problems"]:
        say(f"{'✗' if problem['fatal'] else '!'} {problem['where']}: {problem['message']}")
    for step in dict.fromkeys([*(one["next"] for one in rows), told["next"]]):
        if step:
            out.print(labelled("next", step), soft_wrap=True)
    if told["skew_ms"] is not None:
        error = f" ± {told['skew_error_ms']:.0f}" if told["skew_error_ms"] is not None else ""
        sent = f" · {word('sent')} {told['skew_sent_ms']:.2f} ms" if told["skew_sent_ms"] is not None else ""
        say(f"{word('skew')} {told['skew_ms']:.1f}{error} ms{sent} · {word('log')} {told['log']['size']}")
    if not all(one["live"] for one in rows):
        out.print(plain(f"° {word('sandbox')}"), style="dim")
