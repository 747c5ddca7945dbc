"""`tongfa outlet …` and `tongfa channel …`."""

from __future__ import annotations

import os
import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer

from sync.bootstrap import create_home, kind, kinds
from sync.cli.output import Json, document, err, out, settings, state_word, table, wired
from sync.clock import SystemClock
from sync.contract import Capabilities, OutletError
from sync.engine.context import Context
from sync.model import BadInput
from sync.store import deliveries, outlets
from sync.store.tables import Record
from sync.vault import Vault

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
FINDINGS = 7

outlet = typer.Typer(no_args_is_help=True, help="发布端 outlets: accounts and sites")
channel = typer.Typer(no_args_is_help=True, help="渠道 kinds of outlets")

Set = Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="a setting")]
Secret = Annotated[
    list[str] | None, typer.Option("--secret", metavar="K=@FILE", help="K=@file, K=env:VAR or K=- (standard input)")
]
Group = Annotated[list[str] | None, typer.Option("--group", help="a group it belongs to")]


def register(app: typer.Typer) -> None:
    app.add_typer(outlet, name="outlet")
    app.add_typer(channel, name="channel")


@outlet.command("add")
def add(
    name: str,
    kind_: Annotated[str, typer.Option("--kind", help=", ".join(kinds()))],
    set_: Set = None,
    secret: Secret = None,
    group: Group = None,
    optional: Annotated[bool, typer.Option("--optional", help="a release need not wait for it")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="really publish there; otherwise its sandbox twin is used")
    ] = False,
    private_network: Annotated[
        bool, typer.Option("--private-network", help="its addresses may be intranet or http")
    ] = False,
    json: Json = False,
) -> None:
    """Add an outlet; it is a sandbox until marked live."""
    if not NAME.fullmatch(name):
        raise BadInput(f"outlet {name}", "not a name for an outlet", "use lower-case letters, digits and hyphens")
    can = kind(kind_).can
    given = _settings(can, set_ or [], kind_)
    secrets = _secrets(can, secret or [], kind_)
    if live:
        _complete(can, given, secrets, kind_)
    create_home(settings(), SystemClock())
    ctx = wired()
    vault = Vault.at(ctx.settings.secret_key_path)
    with ctx.store.write() as connection:
        if any(row.name == name for row in outlets.every(connection, retired=True)):
            raise BadInput(
                f"outlet {name}", "there is one of this name already", "choose another, or `tongfa outlet set`"
            )
        values = {
            "name": name,
            "unit": outlets.LOCAL_UNIT,
            "kind": kind_,
            "settings": given,
            "secrets": {key: vault.seal(name, key, text) for key, text in secrets.items()},
            "groups": group or [],
            "required": not optional,
            "live": live,
            "private_network": private_network,
        }
        outlets.add(connection, values, at=ctx.store.now(connection), actor=ctx.actor)
    _show(ctx, name, json)


@outlet.command("list")
def list_(json: Json = False) -> None:
    """All outlets, without their secrets."""
    ctx = wired()
    with ctx.store.read() as connection:
        rows = [_described(row) for row in outlets.every(connection)]
    if json:
        document({"outlets": rows})
        return
    shown = table("outlet", "kind", "required", "live", "state", "settings")
    for row in rows:
        told = " ".join(f"{key}={value}" for key, value in row["settings"].items())
        shown.add_row(row["outlet"], row["kind"], _tick(row["required"]), _tick(row["live"]), row["state"], told)
    out.print(shown)


@outlet.command("check")
def check(name: str, json: Json = False) -> None:
    """Prove credentials and rights without publishing anything."""
    ctx = wired()
    row = _row(ctx, name)
    try:
        ctx.channel(row).login()
    except OutletError as error:
        finding = {"outlet": name, "ok": False, "error": type(error).__name__, "message": str(error)}
        if json:
            document(finding)
        err.print(f"{name}: {error}", markup=False)
        raise SystemExit(FINDINGS) from error
    if json:
        document({"outlet": name, "ok": True, "live": row.live})
    else:
        out.print(f"✓ {name} {'' if row.live else '(sandbox)'}")


@outlet.command("set")
def set_values(
    name: str,
    set_: Set = None,
    secret: Secret = None,
    group: Group = None,
    live: Annotated[bool | None, typer.Option("--live/--sandbox")] = None,
    required: Annotated[bool | None, typer.Option("--required/--optional")] = None,
    private_network: Annotated[bool | None, typer.Option("--private-network/--public-network")] = None,
    json: Json = False,
) -> None:
    """Change an outlet. A new address, account or live mark makes what is prepared there stale."""
    ctx = wired()
    row = _row(ctx, name)
    can = kind(row.kind).can
    vault = Vault.at(ctx.settings.secret_key_path)
    changed: dict[str, Any] = {}
    if set_:
        changed["settings"] = {**row.settings, **_settings(can, set_, row.kind)}
    if secret:
        sealed = {key: vault.seal(name, key, text) for key, text in _secrets(can, secret, row.kind).items()}
        changed["secrets"] = {**row.secrets, **sealed}
    if group is not None:
        changed["groups"] = group
    for key, value in (("live", live), ("required", required), ("private_network", private_network)):
        if value is not None:
            changed[key] = value
    if changed.get("live", row.live):
        _complete(can, changed.get("settings", row.settings), changed.get("secrets", row.secrets), row.kind)
    if not changed:
        raise BadInput("outlet set", "nothing to change is named", "`tongfa outlet set NAME --set k=v`")
    with ctx.store.write() as connection:
        outlets.change(connection, row, "changed", at=ctx.store.now(connection), actor=ctx.actor, **changed)
    _show(ctx, name, json)


@outlet.command("group")
def set_group(name: str, groups: Annotated[list[str], typer.Argument()], json: Json = False) -> None:
    """Put an outlet into these groups, and no others."""
    ctx = wired()
    row = _row(ctx, name)
    with ctx.store.write() as connection:
        outlets.change(connection, row, "grouped", at=ctx.store.now(connection), actor=ctx.actor, groups=groups)
    _show(ctx, name, json)


@outlet.command("pause")
def pause(name: str, json: Json = False) -> None:
    """Take no new releases there until resumed."""
    _set_state(name, "paused", "paused", json)


@outlet.command("resume")
def resume(name: str, json: Json = False) -> None:
    """Take releases there again."""
    _set_state(name, "resumed", "active", json)


@outlet.command("remove")
def remove(name: str, json: Json = False) -> None:
    """Retire an outlet; refused while something of it is under way."""
    ctx = wired()
    with ctx.store.read() as connection:
        open_ = [
            row.id
            for state in (
                "planned",
                "rendered",
                "preparing",
                "prepared",
                "discarding",
                "releasing",
                "accepted",
                "unresolved",
            )
            for row in deliveries.page(connection, state=state)
            if row.outlet == name
        ]
    if open_:
        mend = "wait for it, or cancel its release"
        raise BadInput(f"outlet {name}", f"delivery {open_[0]} is under way there", mend)
    _set_state(name, "retired", "retired", json)


@channel.command("list")
def list_kinds(json: Json = False) -> None:
    """Every kind of outlet."""
    if json:
        document({"kinds": [_capabilities(name, kind(name).can) for name in kinds()]})
        return
    shown = table("kind", "reveal", "probe", "settings")
    for name in kinds():
        can = kind(name).can
        shown.add_row(name, can.reveal, can.probe, ", ".join(one.name + "*" * one.secret for one in can.settings))
    out.print(shown)


@channel.command("show")
def show_kind(name: Annotated[str, typer.Argument(metavar="KIND")], json: Json = False) -> None:
    """Settings, capabilities and limits of one kind."""
    can = kind(name).can
    if json:
        document(_capabilities(name, can))
        return
    out.print(f"[bold]{name}[/] · reveal {can.reveal} · probe {can.probe} · lands within {can.lands_within} s")
    shown = table("setting", "required", "secret", "default", "说明", "meaning")
    for one in can.settings:
        shown.add_row(one.name, _tick(one.required), _tick(one.secret), one.default, one.help_zh, one.help_en)
    out.print(shown)
    for limit, value in can.limits.items():
        out.print(f"{limit}: {value}")


def _capabilities(name: str, can: Capabilities) -> dict[str, Any]:
    return {
        "kind": name,
        "reveal": can.reveal.value,
        "probe": can.probe.value,
        "lands_within_s": can.lands_within,
        "fresh_for_s": can.fresh_for,
        "address_known": can.address,
        "settings": [
            {
                "name": s.name,
                "required": s.required,
                "secret": s.secret,
                "default": s.default,
                "zh": s.help_zh,
                "en": s.help_en,
            }
            for s in can.settings
        ],
        "limits": dict(can.limits),
    }


def _settings(can: Capabilities, given: list[str], kind_: str) -> dict[str, str]:
    known = [one.name for one in can.settings if not one.secret]
    return dict(_pair(one, known, "--set", kind_) for one in given)


def _secrets(can: Capabilities, given: list[str], kind_: str) -> dict[str, str]:
    known = [one.name for one in can.settings if one.secret]
    return {key: _secret(key, source) for key, source in (_pair(one, known, "--secret", kind_) for one in given)}


def _pair(text: str, known: list[str], option: str, kind_: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise BadInput(option, f"{key!r} has no value", f"write {option} {key}=…")
    if key not in known:
        near = get_close_matches(key, known, n=1)
        mend = f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none'}"
        raise BadInput(f"{option} {key}", f"{kind_} has no such {option.strip('-').replace('set', 'setting', 1)}", mend)
    return key, value


def _secret(key: str, source: str) -> str:
    if source == "-":
        return sys.stdin.readline().rstrip("\n")
    if source.startswith("env:"):
        name = source.removeprefix("env:")
        if name not in os.environ:
            raise BadInput(f"--secret {key}", f"the environment has no {name}", f"export {name}, or use {key}=@file")
        return os.environ[name]
    if source.startswith("@"):
        try:
            return Path(source[1:]).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"--secret {key}", f"{source[1:]} cannot be read: {error}", "give a text file") from error
    err.print(
        f"--secret {key}: a value on the command line is seen by others; better {key}=@file, {key}=env:VAR or {key}=-"
    )
    return source


def _complete(can: Capabilities, given: Any, secrets: Any, kind_: str) -> None:
    missing = [
        f"--{'secret' if one.secret else 'set'} {one.name}=…"
        for one in can.settings
        if one.required and one.name not in (secrets if one.secret else given)
    ]
    if missing:
        raise BadInput(f"kind {kind_}", "a live outlet needs all its settings", f"add {' '.join(missing)}")


def _row(ctx: Context, name: str) -> Record:
    with ctx.store.read() as connection:
        known = {row.name: row for row in outlets.every(connection)}
    if name not in known:
        near = get_close_matches(name, known, n=1)
        mend = f"did you mean {near[0]}?" if near else f"outlets: {', '.join(known) or 'none yet'}"
        raise BadInput(f"outlet {name}", "there is no such outlet", mend)
    return known[name]


def _set_state(name: str, act: str, state: str, json: bool) -> None:
    ctx = wired()
    row = _row(ctx, name)
    with ctx.store.write() as connection:
        outlets.change(connection, row, act, at=ctx.store.now(connection), actor=ctx.actor, state=state)
    if state != "retired":
        _show(ctx, name, json)
    elif json:
        document({"outlet": name, "state": state})


def _show(ctx: Context, name: str, json: bool) -> None:
    row = _described(_row(ctx, name))
    if json:
        document(row)
    else:
        out.print(
            f"✓ {row['outlet']} · {row['kind']} · {state_word(row['state'])}{'' if row['live'] else ' · sandbox'}"
        )


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


def _tick(value: bool) -> str:
    return "✓" if value else ""
