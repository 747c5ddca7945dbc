"""`tongfa backup`: the installation as of one moment, in one file, while everything goes on.

SQLite is copied by its own backup interface in one step: one snapshot, and no writer waits. PostgreSQL is
copied table by table with COPY inside one REPEATABLE READ transaction, not with `pg_dump`: no client
program of a fitting version is needed on this host, and the file is checked like any other.

Not in it: the key that seals the outlets' secrets, unless asked for; what websites and gazettes serve, which
is the outlets' own; the sandboxes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pysqlite3
from psycopg import sql
from sqlalchemy import Connection, create_engine, func, select

from sync.archive import Writer, refuse_existing, writing
from sync.clock import iso
from sync.engine.context import Context
from sync.model import BadInput
from sync.store import journal, outlets, readings
from sync.store.assets import Missing
from sync.store.sqlite import Sqlite
from sync.store.tables import SCHEMA, asset, metadata

DATABASE = "database.sqlite3"
KEY = "secret.key"
TABLES, ASSETS = "tables/", "assets/"
LIVING = frozenset({"process"})  # of processes that live now: no part of the installation
SPARE = 16 * 2**20  # bytes that are left free

Tell = Callable[[str], None]


def take(ctx: Context, out: Path, tell: Tell, *, with_key: bool = False) -> dict[str, Any]:
    """Write the backup `out` and return its manifest. Raises BadInput; then there is no file of that name."""
    refuse_existing(out)
    if not out.parent.is_dir():
        raise BadInput(str(out.parent), "there is no such folder", "make it, or name another file")
    if (found := ctx.store.schema()) != SCHEMA:  # a newer one: what this version does not know would be left out
        raise BadInput(ctx.store.shown, f"it is at {found}, this version knows {SCHEMA}", "take it with that version")
    _refuse_full(ctx, out.parent)
    if isinstance(ctx.store.database, Sqlite):
        return _take_sqlite(ctx, ctx.store.database.path, out, tell, with_key)
    return _take_postgres(ctx, out, tell, with_key)


def columns(table: str) -> list[str]:
    """The columns of a table, in the order in which its rows are copied."""
    return [column.name for column in metadata.tables[table].columns]


def tables() -> list[str]:
    """Every table that is copied, those that others refer to first."""
    return [table.name for table in metadata.sorted_tables if table.name not in LIVING]


def _take_sqlite(ctx: Context, path: Path, out: Path, tell: Tell, with_key: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix=".tongfa-backup-", dir=out.parent) as name:
        copied = Path(name) / DATABASE
        tell("copying the database …")
        with closing(pysqlite3.connect(path)) as source, closing(pysqlite3.connect(copied)) as target:
            source.backup(target)  # all pages in one step, so of one moment
            target.execute("PRAGMA journal_mode=DELETE")
            said = target.execute("PRAGMA quick_check").fetchone()[0]
        if said != "ok":
            raise BadInput(str(path), f"the database is damaged: {said}", "restore it from an earlier backup")
        engine = create_engine(f"sqlite:///{copied}", module=pysqlite3)
        try:
            with engine.connect() as connection, writing(out) as archive:
                archive.add(DATABASE, copied)
                missing = _add_assets(ctx, connection, archive, tell)
                return _seal(ctx, connection, archive, with_key, {"database": "sqlite", "missing": missing})
        finally:
            engine.dispose()


def _take_postgres(ctx: Context, out: Path, tell: Tell, with_key: bool) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix=".tongfa-backup-", dir=out.parent) as name,
        ctx.store.read() as connection,
        writing(out) as archive,
    ):
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        cursor = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
        for table in tables():
            tell(f"copying {table} …")
            part = Path(name) / table
            asked = sql.SQL("COPY {} ({}) TO STDOUT").format(
                sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns(table)))
            )
            with part.open("wb") as file, cursor.copy(asked) as rows:
                for chunk in rows:
                    file.write(chunk)
            archive.add(TABLES + table, part)
            part.unlink()
        about = {"database": "postgresql", "missing": [], "columns": {table: columns(table) for table in tables()}}
        return _seal(ctx, connection, archive, with_key, about)


def _add_assets(ctx: Context, connection: Connection, archive: Writer, tell: Tell) -> list[str]:
    """Every file that the copied database refers to; returns those that are missing or damaged."""
    digests = sorted({*connection.execute(select(asset.c.digest)).scalars(), *readings.bodies(connection)})
    missing = []
    for number, digest in enumerate(digests, 1):
        try:
            archive.add(ASSETS + digest, ctx.assets.get(digest))
        except Missing:
            missing.append(digest)
        if number % 100 == 0 or number == len(digests):
            tell(f"copying files … {number} of {len(digests)}")
    return missing


def _seal(
    ctx: Context, connection: Connection, archive: Writer, with_key: bool, about: dict[str, Any]
) -> dict[str, Any]:
    if with_key:
        archive.add(KEY, ctx.settings.secret_key_path)
    return archive.seal(
        {
            "version": version("tongfa"),
            "taken_at": iso(ctx.clock.now()),
            "installation": outlets.identity(connection),
            "schema": SCHEMA,
            "entries": journal.size(connection),
            "with_key": with_key,
            **about,
        }
    )


def _refuse_full(ctx: Context, folder: Path) -> None:
    """The database is written twice for a while: beside the file, and into it."""
    with ctx.store.read() as connection:
        files = int(connection.execute(select(func.coalesce(func.sum(asset.c.size), 0))).scalar_one())
        if isinstance(ctx.store.database, Sqlite):
            size = sum(path.stat().st_size for path in _files(ctx.store.database.path))
        else:
            size = int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
    free = shutil.disk_usage(folder).free
    if free < 2 * size + files + SPARE:
        message = f"{free // 2**20} MiB are free, and {(2 * size + files + SPARE) // 2**20} MiB are needed"
        raise BadInput(str(folder), message, "free some space, or name a file on another disk")


def _files(path: Path) -> list[Path]:
    return [one for one in (path, path.with_name(f"{path.name}-wal")) if one.exists()]
