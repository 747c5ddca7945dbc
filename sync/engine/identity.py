"""Whose installation this is, and whether this process may act for it. The one place where that is decided.

The database knows its installation's id and who runs it; the home keeps the id in a file. A copied
home, a copied database and a home of another installation do not agree: then live outlets are read
and never written to until a person adopts the installation (`tongfa adopt`). After a restore or an
adoption nothing is sent to any outlet before all was looked up (`sync.engine.recover`).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from sync.clock import SECOND
from sync.engine.context import Context
from sync.model import BadInput
from sync.settings import Settings
from sync.store import deliveries, outlets, recovery, releases
from sync.store.deliveries import Change
from sync.store.tables import Record

FILE = "installation"
MACHINE = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
LATER = 5 * SECOND  # µs until what may not be done now is asked for again
LOOKING = (
    "reconcile-only: after a restore or an adoption nothing is sent until every open delivery and public copy was "
    "looked up at its outlet; `tongfa restore --status` shows what is left"
)


def keep(settings: Settings, installation: str) -> None:
    """Write the id into a home that has none. Repeatable; another id that is there stays, and is told of later."""
    path = settings.home / FILE
    if path.exists():
        return
    temporary = path.with_name(f".{FILE}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"{installation}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def renew(settings: Settings, installation: str) -> None:
    """The home belongs to this installation from now on."""
    if kept(settings) not in (None, installation):
        (settings.home / FILE).unlink()
    keep(settings, installation)


def kept(settings: Settings) -> str | None:
    """The id that the home has; None: no file. Raises BadInput when it cannot be read."""
    path = settings.home / FILE
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(str(path), f"it cannot be read: {error}", "give this user the file") from error


def here(settings: Settings, connection: Connection) -> str:
    """Who runs the installation if this process does.

    SQLite: this machine, the home's place and its inode, so that neither a copied folder nor another
    machine is taken for it. PostgreSQL: the cluster, its timeline and the database, because several hosts
    rightly share one; a fail-over begins a new timeline, which may lack what the old one had committed.
    """
    if connection.dialect.name == "postgresql":
        asked = (
            "SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || oid || '/' || "
            "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) FROM pg_database WHERE datname = current_database()"
        )
        return f"postgresql {connection.execute(text(asked)).scalar_one()}"
    home = settings.home.resolve()
    parts = (_machine(), str(home), str(home.stat().st_ino))
    return f"home {hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"


def _machine() -> str:
    for path in MACHINE:
        try:
            if told := path.read_text().strip():
                return told
        except OSError:
            continue
    return socket.gethostname()


def mismatch(settings: Settings, connection: Connection) -> str | None:
    """Why live outlets are only read here; None: this is the installation that it seems to be."""
    known, in_home = outlets.identity(connection), kept(settings)
    if in_home is not None and in_home != known:
        return f"{settings.home} belongs to another installation ({in_home[:8]}…) than the database ({known[:8]}…)"
    runs = recovery.host_of(connection)
    if runs is not None and runs != here(settings, connection):
        what = "database server" if connection.dialect.name == "postgresql" else "machine or folder"
        return f"this installation was set up on another {what}: this is a copy of it, or it was moved"
    return None


def barred(ctx: Context, connection: Connection, row: Record) -> str | None:
    """Why nothing may be done at the outlet of the delivery `row` now, but looked at; None: it may.

    To be asked in the transaction that commits the intent: whoever prepares, releases, withdraws or discards.
    """
    return barred_of(ctx, connection, [row]).get(row.id)


def barred_of(ctx: Context, connection: Connection, rows: Sequence[Record]) -> dict[str, str]:
    """As `barred`, for all of them at once: the ids of those that are, each with the reason."""
    if recovery.current(connection) is not None:
        return {row.id: LOOKING for row in rows}
    there = outlets.facts(connection, (row.outlet for row in rows))
    live = {one: releases.get(connection, one).live for one in dict.fromkeys(row.release for row in rows)}
    concerned = [row.id for row in rows if there[row.outlet].live or live[row.release]]
    if not concerned or (why := mismatch(ctx.settings, connection)) is None:
        return {}
    return dict.fromkeys(concerned, f"{why}; live outlets are only read until `tongfa adopt`")


def must_wait(ctx: Context, connection: Connection, *rows: Record) -> bool:
    """Whether one of them is barred: then all of them stay due, and say why they wait."""
    why = barred_of(ctx, connection, rows)
    if not why:
        return False
    wait(ctx, connection, dict.fromkeys((row.id for row in rows), next(iter(why.values()))), rows)
    return True


def wait(ctx: Context, connection: Connection, why: Mapping[str, str], rows: Sequence[Record]) -> None:
    """Those of the rows that `why` names stay due, and say why they wait."""
    now = ctx.store.now(connection)
    changes = [
        Change(row, values={"due_at": now + LATER, "problems": [_problem(why[row.id])]})
        for row in rows
        if row.id in why
    ]
    deliveries.change_all(connection, changes, at=now, actor=ctx.actor)


def _problem(why: str) -> dict[str, Any]:
    return {"where": "installation", "message": why, "fatal": False}


def stopped(ctx: Context) -> str | None:
    """For people: why nothing goes out now, or nothing to live outlets; None: all is well."""
    with ctx.store.read() as connection:
        if recovery.current(connection) is not None:
            return LOOKING
        why = mismatch(ctx.settings, connection)
    return None if why is None else f"{why}; live outlets are only read until `tongfa adopt`"
