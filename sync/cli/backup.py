"""`tongfa backup`, `restore` and `adopt`: an installation kept, brought back, and taken over."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sync import archive
from sync.backup import take
from sync.cli.lookup import found
from sync.cli.output import Json, acting_person, document, help_word, say, settings, show_table, state_word, tell, wired
from sync.clock import SystemClock, iso
from sync.engine import identity, recover
from sync.engine.context import Context
from sync.model import BadInput
from sync.restore import restore as bring_back
from sync.store import outlets, recovery

# Chinese, English.
STILL_RUNS = (
    "若原主机仍在运行其数据库副本，它也会继续发布：请先将其停止",
    "if the old host still runs on its own copy of the database, it will publish too: stop it first",
)
LOOKS_FIRST = (
    "启动 `tongfa up`：先在各发布端逐一核对，核对完毕之前不发送任何内容（`tongfa restore --status`）",
    "start `tongfa up`: it first looks everything up at the outlets and sends nothing (`tongfa restore --status`)",
)
ADOPT_THEN = (
    "正式发布端在 `tongfa adopt` 之前只读",
    "live outlets are only read until `tongfa adopt`",
)
KEY_INSIDE = (
    "备份中含有密钥：得到此文件者可打开各发布端的密钥，请妥善保管",
    "the backup holds the key: whoever has the file can open the outlets' secrets; keep it as you keep the key",
)
FILES_MISSING = (
    "有文件缺失或已损坏，未能备份",
    "files were missing or damaged, and are not in the backup",
)


def register(app: typer.Typer) -> None:
    for command in (backup, restore, adopt):
        app.command()(command)


def backup(
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="a new file")] = None,
    check: Annotated[Path | None, typer.Option("--check", metavar="FILE", help="is this backup whole?")] = None,
    with_key: Annotated[bool, typer.Option("--with-key", help="the key too, which opens the secrets")] = False,
    json: Json = False,
) -> None:
    """Copy database and files, as of one moment, into one file, while everything goes on. 备份。"""
    if (out is None) == (check is None):
        raise BadInput("backup", "it needs either --out or --check", "`tongfa backup --out FILE`")
    if check is not None:
        _show(archive.check(check), check, json)
        return
    assert out is not None
    out = out.absolute()
    told = take(wired(), out, tell, with_key=with_key)
    if with_key:
        tell(help_word(*KEY_INSIDE))
    for digest in told["missing"]:
        tell(f"{help_word(*FILES_MISSING)}: {digest}")
    _show(told, out, json)


def restore(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="what `tongfa backup` wrote")] = None,
    status: Annotated[bool, typer.Option("--status", help="what is left to be looked up after a restore")] = False,
    unreachable: Annotated[
        str | None, typer.Option("--unreachable", metavar="OUTLET", help="it cannot be asked: a person decides there")
    ] = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="make a key: the old one is lost")] = False,
    json: Json = False,
) -> None:
    """Restore a backup into a new home or an empty database; nothing is sent before all was looked up. 恢复。"""
    if sum((file is not None, status, unreachable is not None)) != 1:
        raise BadInput("restore", "it needs one of FILE, --status, --unreachable", "`tongfa restore --help`")
    if file is None:
        _status(unreachable, json)
        return
    read = settings()
    told = bring_back(read, file, SystemClock(), acting_person(), tell, new_key=new_key)
    ctx = wired()
    if (why := _copy_of_another(ctx)) is not None:
        tell(f"{why}; {help_word(*ADOPT_THEN)}")
    tell(help_word(*LOOKS_FIRST))
    if json:
        document({"home": str(read.home), "backup": _shown(told, file), **_left(ctx)})
    else:
        say(f"✓ {ctx.store.shown}")


def adopt(
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    json: Json = False,
) -> None:
    """Take the installation over on this host, after everything was looked up. 接管。"""
    ctx = wired()
    why = _copy_of_another(ctx)
    if why is not None and not yes:
        tell(why)
        _confirm()
    adopted = recover.adopt(ctx)
    if adopted:
        tell(help_word(*LOOKS_FIRST))
    if json:
        document({"adopted": adopted, **_left(ctx)})
    else:
        say("✓" if adopted else help_word("✓ 本安装已由本机运行", "✓ it is run here already"))


def _confirm() -> None:
    told = help_word(*STILL_RUNS)
    if not sys.stdin.isatty():
        raise BadInput("adopt", told, "`tongfa adopt --yes` once it is stopped")
    if not typer.confirm(f"{told}. {help_word('继续？', 'Go on?')}", err=True):
        raise BadInput("adopt", help_word("未接管", "nothing was changed"), "`tongfa adopt` asks again")


def _copy_of_another(ctx: Context) -> str | None:
    with ctx.store.read() as connection:
        return identity.mismatch(ctx.settings, connection)


def _status(unreachable: str | None, json: bool) -> None:
    ctx = wired()
    if unreachable is not None:
        with ctx.store.read() as connection:
            found(lambda: outlets.get(connection, unreachable), "outlet", unreachable)
        recover.give_up(ctx, unreachable)
    told = _left(ctx)
    if json:
        document(told)
    elif told["recovery"] is None:
        say(help_word("没有待核对的内容", "nothing waits to be looked up"))
    else:
        say(f"{told['recovery']} · {state_word(told['why'])} · {told['found']}/{told['looks']}")
        rows = [(one["outlet"], one["subject"], one["delivery"], one["why"]) for one in told["left"]]
        show_table(("outlet", "subject", "id", "why"), rows)


def _left(ctx: Context) -> dict[str, Any]:
    """What a recovery has still to look up, as JSON; `recovery` is null when none is under way."""
    with ctx.store.read() as connection:
        row = recovery.current(connection)
        if row is None:
            return {"recovery": None, "left": []}
        total, done = recovery.count(connection, row.id)
        return {
            "recovery": row.id,
            "why": row.why,
            "begun_at": iso(row.begun_at),
            "taken_at": row.backup.get("taken_at"),
            "looks": total,
            "found": done,
            "left": list(recover.left(connection)),
        }


def _shown(told: dict[str, Any], path: Path) -> dict[str, Any]:
    shown = {key: value for key, value in told.items() if key not in ("parts", "columns")}
    return {"file": str(path), "bytes": path.stat().st_size, "parts": len(told["parts"]), **shown}


def _show(told: dict[str, Any], path: Path, json: bool) -> None:
    if json:
        document(_shown(told, path))
    else:
        say(f"✓ {path} · {told['taken_at']} · {told['entries']} · {path.stat().st_size // 1024} KiB")
