"""`tongfa outlet …`."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from sync.bootstrap import create_home, kinds
from sync.breaker import failed
from sync.cli.given import capabilities, need_all, refuse_unusable, secrets_given, settings_given
from sync.cli.lookup import named_outlet
from sync.cli.output import (
    As,
    Json,
    Second,
    document,
    group,
    say,
    settings,
    show_table,
    state_word,
    tell,
    tick,
    wired,
    word,
)
from sync.clock import SystemClock
from sync.engine import control
from sync.engine.approval import outlet_changed
from sync.engine.context import Context
from sync.engine.doctor import prove
from sync.engine.pace import Pace
from sync.engine.people import going_live, home_unit
from sync.model import BadInput, Outlet
from sync.store import outlets
from sync.store.tables import Record
from sync.vault import Vault

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
FINDINGS = 7

outlet = group("发布端 outlets: accounts and sites")

Name = Annotated[str, typer.Argument(metavar="NAME", help="the outlet's name")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="a setting; `channel show` lists them")]
Secret = Annotated[
    list[str] | None,
    typer.Option("--secret", metavar="K=@FILE", help="K=@FILE, K=env:VARIABLE or K=- (standard input)"),
]
Groups = Annotated[list[str] | None, typer.Option("--group", metavar="GROUP", help="a group it belongs to")]


def register(app: typer.Typer) -> None:
    app.add_typer(outlet, name="outlet")


@outlet.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="lower-case letters, digits and hyphens")],
    kind_: Annotated[str, typer.Option("--kind", metavar="KIND", help=", ".join(kinds()))],
    set_: Set = None,
    secret: Secret = None,
    group: Groups = None,
    optional: Annotated[bool, typer.Option("--optional", help="a release need not wait for it")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="really publish there; otherwise its sandbox twin is used")
    ] = False,
    private_network: Annotated[
        bool, typer.Option("--private-network", help="its addresses may be intranet or http")
    ] = False,
    unit: Annotated[str | None, typer.Option(metavar="UNIT", help="whose outlet it is")] = None,
    as_: As = None,
    second: Second = None,
    json: Json = False,
) -> None:
    """Add an outlet; it is a sandbox until marked live."""
    if not NAME.fullmatch(name):
        raise BadInput(f"outlet {name}", "not a name for an outlet", "use lower-case letters, digits and hyphens")
    can = capabilities(kind_)
    given, secrets = settings_given(can, kind_, set_ or []), secrets_given(can, kind_, secret or [])
    if live:
        need_all(can, kind_, given, secrets)
    tried = Outlet(name, unit or outlets.LOCAL_UNIT, kind_, given, secrets, not optional, live, private_network)
    refuse_unusable(settings(), tried)
    create_home(settings(), SystemClock())
    ctx = wired(as_=as_)
    vault = Vault.at(ctx.settings.secret_key_path)
    with ctx.store.write() as connection:
        there = next((row for row in outlets.every(connection, retired=True) if row.name == name), None)
        if there is not None and there.state == "retired":
            mend = "choose another: the log knows that one by this name"
            raise BadInput(f"outlet {name}", "a retired outlet has this name", mend)
        if there is not None:
            mend = f"choose another, or change it with `tongfa outlet set {name}`"
            raise BadInput(f"outlet {name}", "there is one of this name already", mend)
        values = {
            "name": name,
            "unit": home_unit(ctx, connection, unit),
            "kind": kind_,
            "settings": given,
            "secrets": {key: vault.seal(name, key, text) for key, text in secrets.items()},
            "groups": group or [],
            "required": not optional,
            "live": live,
            "private_network": private_network,
        }
        agreed = going_live(ctx, connection, second) if live else None
        outlets.add(connection, values, at=ctx.store.now(connection), actor=ctx.actor, agreed=agreed)
    _show(ctx, name, json)


@outlet.command("list")
def list_(json: Json = False) -> None:
    """All outlets, without their secrets."""
    with wired().store.read() as connection:
        rows = [_described(row) for row in outlets.every(connection)]
    if json:
        document({"outlets": rows})
        return
    show_table(
        ("outlet", "kind", "group", "required", "live", "state"),
        [
            (
                row["outlet"],
                row["kind"],
                ", ".join(row["groups"]),
                tick(row["required"] or None),
                tick(row["live"] or None),
                state_word(row["state"]),
            )
            for row in rows
        ],
    )
    for row in rows:
        for key, value in row["settings"].items():
            say(f"  {row['outlet']}  {key}={value}")


@outlet.command("check")
def check(name: Name, json: Json = False) -> None:
    """Prove credentials and rights without publishing anything. Exit code 7 when they are not good."""
    ctx = wired()
    row = _row(ctx, name)
    error, found = prove(ctx, row)
    if failed(error) is False:  # it answers: whoever left it alone goes on
        Pace.of(ctx).looked(row, error)
    if error is not None:
        shown = found.shown(ctx.settings.lang)
        if json:
            finding = {"outlet": name, "ok": False, "live": row.live, "error": type(error).__name__}
            document({**finding, "message": shown["message"], "mend": shown["mend"]})
        tell(f"✗ {name}: {shown['message']}")
        tell(f"    → {shown['mend']}")
        raise SystemExit(FINDINGS)
    if json:
        document({"outlet": name, "ok": True, "live": row.live})
    else:
        say(f"✓ {name}{_sandbox(row.live)}")


@outlet.command("set")
def set_values(
    name: Name,
    set_: Set = None,
    secret: Secret = None,
    group: Groups = None,
    live: Annotated[bool | None, typer.Option("--live/--sandbox", help="really publish there, or not")] = None,
    required: Annotated[bool | None, typer.Option("--required/--optional", help="whether releases wait for it")] = None,
    private_network: Annotated[
        bool | None, typer.Option("--private-network/--public-network", help="which addresses it may have")
    ] = None,
    as_: As = None,
    second: Second = None,
    json: Json = False,
) -> None:
    """Change an outlet. A new address, account or live mark makes what is prepared there stale, and voids approvals."""
    ctx = wired(as_=as_)
    row = _row(ctx, name)
    can = capabilities(row.kind)
    vault = Vault.at(ctx.settings.secret_key_path)
    changed: dict[str, Any] = {}
    if set_:
        changed["settings"] = {**row.settings, **settings_given(can, row.kind, set_)}
    if secret:
        sealed = {key: vault.seal(name, key, text) for key, text in secrets_given(can, row.kind, secret).items()}
        changed["secrets"] = {**row.secrets, **sealed}
    if group is not None:
        changed["groups"] = group
    for key, value in (("live", live), ("required", required), ("private_network", private_network)):
        if value is not None:
            changed[key] = value
    if not changed:
        raise BadInput("outlet set", "nothing to change is named", f"`tongfa outlet set {name} --set k=v`")
    if changed.get("live", row.live):
        need_all(can, row.kind, changed.get("settings", row.settings), changed.get("secrets", row.secrets))
    if changed.keys() & {"settings", "secrets", "live", "private_network"}:
        _refuse_unusable(ctx, row, vault, changed)
    with ctx.store.write() as connection:
        agreed = going_live(ctx, connection, second) if changed.get("live") and not row.live else None
        now = ctx.store.now(connection)
        outlets.change(connection, row, "changed", at=now, actor=ctx.actor, agreed=agreed, **changed)
        outlet_changed(ctx, connection, name)
    _show(ctx, name, json)


@outlet.command("group")
def set_group(
    name: Name,
    groups: Annotated[list[str], typer.Argument(metavar="GROUP…", help="its groups from now on")],
    json: Json = False,
) -> None:
    """Put an outlet into these groups, and no others."""
    ctx = wired()
    row = _row(ctx, name)
    with ctx.store.write() as connection:
        outlets.change(connection, row, "grouped", at=ctx.store.now(connection), actor=ctx.actor, groups=groups)
    _show(ctx, name, json)


@outlet.command("pause")
def pause(name: Name, json: Json = False) -> None:
    """Take no new releases there until resumed."""
    _set_state(name, "paused", "paused", json)


@outlet.command("resume")
def resume(name: Name, json: Json = False) -> None:
    """Take releases there again."""
    _set_state(name, "resumed", "active", json)


@outlet.command("remove")
def remove(name: Name, json: Json = False) -> None:
    """Retire an outlet; refused while something of it is under way."""
    ctx = wired()
    _row(ctx, name)
    control.retire(ctx, name)
    _show(ctx, name, json)


def _set_state(name: str, act: str, state: str, json: bool) -> None:
    ctx = wired()
    row = _row(ctx, name)
    with ctx.store.write() as connection:
        outlets.change(connection, row, act, at=ctx.store.now(connection), actor=ctx.actor, state=state)
    _show(ctx, name, json)


def _refuse_unusable(ctx: Context, row: Record, vault: Vault, changed: dict[str, Any]) -> None:
    """Raises BadInput when the outlet, so changed, could not be used. A secret that does not open, because the key
    is another one, is no reason to refuse the one that takes its place: nothing is tried then, and `doctor` tells."""
    sealed = changed.get("secrets", row.secrets)
    try:
        opened = {key: vault.open(row.name, key, text) for key, text in sealed.items()}
    except BadInput:
        return
    live, private = changed.get("live", row.live), changed.get("private_network", row.private_network)
    given = changed.get("settings", row.settings)
    refuse_unusable(ctx.settings, Outlet(row.name, row.unit, row.kind, given, opened, row.required, live, private))


def _row(ctx: Context, name: str, *, retired: bool = False) -> Record:
    with ctx.store.read() as connection:
        return named_outlet(connection, name, retired=retired)


def _show(ctx: Context, name: str, json: bool) -> None:
    row = _described(_row(ctx, name, retired=True))
    if json:
        document(row)
    else:
        say(f"✓ {row['outlet']} · {row['kind']} · {state_word(row['state'])}{_sandbox(row['live'])}")


def _sandbox(live: bool) -> str:
    return "" if live else f" · {word('sandbox')}"


def _described(row: Record) -> dict[str, Any]:
    return {
        "outlet": row.name,
        "unit": row.unit,
        "kind": row.kind,
        "settings": dict(row.settings),
        "secrets": sorted(row.secrets),
        "groups": list(row.groups),
        "required": row.required,
        "live": row.live,
        "private_network": row.private_network,
        "state": row.state,
    }
