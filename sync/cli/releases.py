"""`tongfa publish`, `tongfa release …`, `tongfa delivery …`."""

from __future__ import annotations

import threading
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from sync.cli.output import Json, document, err, out, state_word, table, wired, word
from sync.clock import iso
from sync.engine import control, report
from sync.engine.context import Context
from sync.engine.plan import Order
from sync.engine.plan import plan as plan_order
from sync.model import Align, BadInput, Policy
from sync.store import deliveries, journal, outlets, releases
from sync.store.outlets import Unknown

PATIENCE = 1.5  # seconds a missing worker is given to come up: it may just be restarting

release = typer.Typer(no_args_is_help=True, help="同步发布 releases")
delivery = typer.Typer(no_args_is_help=True, help="投送 deliveries: one item at one outlet")

Wait = Annotated[float | None, typer.Option("--wait", metavar="[SECONDS]", help="wait until it is verified everywhere")]


def register(app: typer.Typer) -> None:
    app.command("publish")(publish)
    app.add_typer(release, name="release")
    app.add_typer(delivery, name="delivery")


def publish(
    sources: Annotated[list[str], typer.Argument(metavar="FILE|ITEM…", help="files or item ids")],
    outlets_: Annotated[str | None, typer.Option("--outlets", metavar="A,B", help="where to")] = None,
    group: Annotated[str | None, typer.Option(help="a group of outlets")] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="ISO8601|now", help="the instant, with its offset")] = None,
    policy: Annotated[Policy, typer.Option(help="which outlets must be ready")] = Policy.REQUIRED,
    align: Annotated[Align, typer.Option(help="what happens at the instant")] = Align.NOT_BEFORE,
    wait: Wait = None,
    again: Annotated[bool, typer.Option("--again", help="although it is there already")] = False,
    request_id: Annotated[str | None, typer.Option(help="a repeated command returns the first result")] = None,
    json: Json = False,
) -> None:
    """Publish once: every outlet, one instant. 一次发布，处处同时。"""
    ctx = wired()
    need_workers(ctx)
    names = tuple(one.strip() for one in (outlets_ or "").split(",") if one.strip())
    order = Order(tuple(sources), names, group, at, policy, align, again, request_id)
    follow(ctx, plan_order(ctx, order), wait, json)


def need_workers(ctx: Context) -> None:
    """Raises BadInput unless both lanes have a living worker: a plan that nobody carries out helps nobody."""
    nap, ends = threading.Event(), ctx.clock.boottime() + PATIENCE
    while missing := [lane for lane in ("prepare", "release") if not ctx.lock.living(lane)]:
        if ctx.clock.boottime() > ends:
            lanes = " and no ".join(f"{lane} worker" for lane in missing)
            mend = f"start `tongfa up`, or `tongfa worker --lane {missing[0]}`; nothing was planned"
            raise BadInput("workers", f"no {lanes} is running", mend)
        nap.wait(0.05)


def follow(ctx: Context, release_id: str, wait: float | None, json: bool) -> None:
    """Print the release now, or, waiting, once nothing more will come of it; exits with its code."""
    told = watch(ctx, release_id, wait) if wait is not None else _report(ctx, release_id)
    if json:
        document(told)
    else:
        show_report(told)
    raise SystemExit(report.exit_code(told) if wait is not None else 0)


def watch(ctx: Context, release_id: str, wait: float) -> dict[str, Any]:
    nap, ends = threading.Event(), ctx.clock.boottime() + wait
    with Live(console=err, transient=True, auto_refresh=False) as live:
        while True:
            told = _report(ctx, release_id)
            if err.is_terminal:
                live.update(_progress(told), refresh=True)
            if report.finished(told) or ctx.clock.boottime() >= ends:
                return told
            nap.wait(0.1)


def _progress(told: dict[str, Any]) -> Table:
    shown = table("outlet", "state", "url")
    for one in told["deliveries"]:
        shown.add_row(one["outlet"], state_word(one["state"]), one["url"] or "")
    return shown


def _report(ctx: Context, release_id: str) -> dict[str, Any]:
    try:
        with ctx.store.read() as connection:
            return report.release_report(connection, ctx.kind, release_id)
    except Unknown:
        raise BadInput(
            f"release {release_id}", "there is no such release", "`tongfa release list` shows them"
        ) from None


def show_report(told: dict[str, Any]) -> None:
    """The report as a person reads it."""
    out.print(
        f"[bold]{word('release')}[/] {told['release']} · {state_word(told['state'])} · {told['release_at'] or '—'}"
    )
    if told["why"]:
        out.print(told["why"], markup=False)
    shown = table("outlet", "kind", "state", "visible", "lateness", "match", "worker", "url")
    for one in told["deliveries"]:
        match = {True: "✓", False: "✗", None: ""}[one["match"]]
        late = "" if one["lateness_ms"] is None else f"{one['lateness_ms']:.1f}"
        visible = (one["visible_at"] or "")[11:]
        worker = (one["worker"] or "").split(":")[-1]
        name = one["outlet"] + ("" if one["live"] else " °")
        shown.add_row(name, one["kind"], state_word(one["state"]), visible, late, match, worker, one["url"] or "")
    out.print(shown)
    for one in told["deliveries"]:
        for problem in one["problems"]:
            out.print(f"  {one['outlet']} · {problem['where']}: {problem['message']}", markup=False, highlight=False)
    if told["skew_ms"] is not None:
        error = f" ± {told['skew_error_ms']:.0f}" if told["skew_error_ms"] is not None else ""
        sent = f" · {word('sent')} {told['skew_sent_ms']:.2f} ms" if told["skew_sent_ms"] is not None else ""
        out.print(f"{word('skew')} {told['skew_ms']:.1f}{error} ms{sent} · {word('log')} {told['log']['size']}")
    if not all(one["live"] for one in told["deliveries"]):
        out.print("[dim]° sandbox[/]")


@release.command("list")
def list_(json: Json = False) -> None:
    """The newest releases."""
    ctx = wired()
    with ctx.store.read() as connection:
        rows = releases.page(connection)
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
    if json:
        document({"releases": listed})
        return
    shown = table("release", "state", "release_at", "created")
    for one in listed:
        shown.add_row(one["release"], state_word(str(one["state"])), one["release_at"], one["created_at"])
    out.print(shown)


@release.command("show")
def show(release_id: Annotated[str, typer.Argument(metavar="ID")], wait: Wait = None, json: Json = False) -> None:
    """One release with its deliveries; with --wait, once nothing more will come of waiting."""
    follow(wired(), release_id, wait, json)


@release.command("hold")
def hold(release_id: Annotated[str, typer.Argument(metavar="ID")], json: Json = False) -> None:
    """Stop it before its commit; nothing is public then."""
    ctx = wired()
    control.hold(ctx, release_id)
    follow(ctx, release_id, None, json)


@release.command("resume")
def resume(release_id: Annotated[str, typer.Argument(metavar="ID")], wait: Wait = None, json: Json = False) -> None:
    """Let a held release go on; what failed is tried again."""
    ctx = wired()
    need_workers(ctx)
    control.resume(ctx, release_id)
    follow(ctx, release_id, wait, json)


@release.command("cancel")
def cancel(release_id: Annotated[str, typer.Argument(metavar="ID")], json: Json = False) -> None:
    """End it before its commit; hidden drafts are removed."""
    ctx = wired()
    control.cancel(ctx, release_id)
    follow(ctx, release_id, None, json)


@delivery.command("list")
def list_deliveries(
    state: Annotated[str | None, typer.Option(help="only in this state")] = None, json: Json = False
) -> None:
    """Deliveries, of all releases."""
    ctx = wired()
    with ctx.store.read() as connection:
        kinds = {row.name: row.kind for row in outlets.every(connection, retired=True)}
        listed = [
            {
                **report.delivery_report(releases.get(connection, row.release), row, kinds[row.outlet]),
                "release": row.release,
            }
            for row in deliveries.page(connection, state=state)
        ]
    if json:
        document({"deliveries": listed})
        return
    shown = table("id", "outlet", "state", "release", "url")
    for one in listed:
        shown.add_row(one["id"], one["outlet"], state_word(one["state"]), one["release"], one["url"] or "")
    out.print(shown)


@delivery.command("show")
def show_delivery(delivery_id: Annotated[str, typer.Argument(metavar="ID")], json: Json = False) -> None:
    """One delivery with everything that happened to it, and the worker of every attempt."""
    ctx = wired()
    try:
        with ctx.store.read() as connection:
            row = deliveries.get(connection, delivery_id)
            kind = outlets.get(connection, row.outlet).kind
            told = report.delivery_report(releases.get(connection, row.release), row, kind)
            history = journal.of(connection, "delivery", delivery_id)
    except Unknown:
        mend = "`tongfa delivery list` shows them"
        raise BadInput(f"delivery {delivery_id}", "there is no such delivery", mend) from None
    told["release"] = row.release
    told["history"] = [
        {"at": iso(one.at), "act": one.act, "state": one.state, "actor": one.actor, "detail": one.detail}
        for one in history
    ]
    if json:
        document(told)
        return
    for key, value in told.items():
        if key != "history":
            out.print(f"[bold]{key}[/]: {value}", highlight=False)
    for one in told["history"]:
        out.print(f"  {one['at']}  {one['act']:<14} {one['actor']}", highlight=False, markup=False)


@delivery.command("retry")
def retry(delivery_id: Annotated[str, typer.Argument(metavar="ID")], json: Json = False) -> None:
    """Try a failed delivery again."""
    ctx = wired()
    control.retry(ctx, delivery_id)
    show_delivery(delivery_id, json)


@delivery.command("drop")
def drop(delivery_id: Annotated[str, typer.Argument(metavar="ID")], json: Json = False) -> None:
    """Give a failed delivery up."""
    ctx = wired()
    control.drop(ctx, delivery_id)
    show_delivery(delivery_id, json)


@delivery.command("settle")
def settle(
    delivery_id: Annotated[str, typer.Argument(metavar="ID")],
    found: Annotated[str, typer.Option(help="public, hidden or nothing: what the outlet shows")],
    url: Annotated[str | None, typer.Option(help="where it is public")] = None,
    json: Json = False,
) -> None:
    """Say what you found at the outlet of an unresolved delivery."""
    ctx = wired()
    control.settle(ctx, delivery_id, found, url)
    show_delivery(delivery_id, json)
