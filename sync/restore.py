"""`tongfa restore`: a backup becomes an installation in an empty home or database, which first looks and sends nothing.

There is no moment at which it could be started without that: with SQLite the database gets its name last,
with the recovery already in it; with PostgreSQL rows and recovery are one transaction. A death half-way
leaves no installation, and restoring again is safe.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, inspect, select

from sync import archive, backup
from sync.clock import Clock
from sync.engine import identity, recover
from sync.model import BadInput
from sync.settings import Settings
from sync.store import journal, outlets, recovery
from sync.store.assets import Assets
from sync.store.consistency import contradictions
from sync.store.session import Store
from sync.store.sqlite import Sqlite
from sync.store.tables import SCHEMA, installation
from sync.vault import create_key

Tell = Callable[[str], None]
MODES = {"O": "", "A": "ALWAYS", "R": "REPLICA"}  # in which a trigger fires, by PostgreSQL's letters
NEW = "set TONGFA_HOME to a new folder (with PostgreSQL: TONGFA_DATABASE_URL to an empty database)"


def restore(settings: Settings, path: Path, clock: Clock, actor: str, tell: Tell, *, new_key: bool) -> dict[str, Any]:
    """Restore the backup at `path` and return its manifest. Raises BadInput; then nothing can be started."""
    tell("checking the backup …")
    told = archive.check(path)
    _refuse_unfit(settings, path, told)
    store = Store(settings.database_url)
    try:
        _refuse_there(settings, store)
        key = _Key(settings.secret_key_path, _key(settings, told, new_key=new_key))
        settings.home.mkdir(parents=True, exist_ok=True)
        if isinstance(store.database, Sqlite):
            _restore_sqlite(settings, store.database.path, path, told, clock, actor, tell, key)
        else:
            _restore_postgres(store, path, told, actor, tell, key)
    finally:
        store.close()
    identity.renew(settings, told["installation"])
    return told


def _refuse_unfit(settings: Settings, path: Path, told: dict[str, Any]) -> None:
    needs = "sqlite" if settings.embedded else "postgresql"
    if told["database"] != needs:
        mend = f"restore it into {told['database']}: TONGFA_DATABASE_URL"
        raise BadInput(str(path), f"it is a backup of {told['database']}, and the settings name {needs}", mend)
    if told["schema"] > SCHEMA or (needs == "postgresql" and told["schema"] != SCHEMA):
        message = f"its database is at {told['schema']}, this version needs {SCHEMA}"
        raise BadInput(str(path), message, f"restore it with version {told['version']}, then update")
    free = shutil.disk_usage(_existing(settings.home)).free
    size = sum(size for size, _ in told["parts"].values())
    if free < size + backup.SPARE:
        message = f"{free // 2**20} MiB are free, and {(size + backup.SPARE) // 2**20} MiB are needed"
        raise BadInput(str(settings.home), message, "free some space, or choose another TONGFA_HOME")


def _existing(folder: Path) -> Path:
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _refuse_there(settings: Settings, store: Store) -> None:
    """Nothing that exists is ever restored over."""
    there = identity.kept(settings) is not None
    if isinstance(store.database, Sqlite):
        there |= store.database.path.exists()
    else:
        with store.read() as connection:
            if inspect(connection).has_table("installation"):
                there |= connection.execute(select(installation.c.id)).first() is not None
    if there:
        raise BadInput(store.shown, "there is an installation already; a restore never overwrites one", NEW)


def _key(settings: Settings, told: dict[str, Any], *, new_key: bool) -> str:
    """Where the key comes from: it is here, or in the backup, or a new one is made if that is what is wanted."""
    if settings.secret_key_path.exists():
        return "here"
    if told["with_key"]:
        return "backup"
    if new_key:
        return "new"
    message = "the backup does not hold the key that seals the outlets' secrets, and it is not here"
    mend = "bring the key file here; if it is lost, --new-key makes one, and the secrets are given anew"
    raise BadInput(str(settings.secret_key_path), message, mend)


@dataclass
class _Key:
    """The key that the installation will have. It gets its place once nothing else speaks against the backup."""

    path: Path
    origin: str  # here, backup or new
    content: bytes = b""

    def put(self) -> None:
        if self.origin == "new":
            create_key(self.path)
        if self.origin == "backup" and not self.path.exists():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            archive.write_part(io.BytesIO(self.content), self.path)


def _restore_sqlite(
    settings: Settings, final: Path, path: Path, told: dict[str, Any], clock: Clock, actor: str, tell: Tell, key: _Key
) -> None:
    made = final.with_name(f"{final.name}.restoring")
    assets = Assets(settings.home / "assets")
    _clear(made)
    tell("restoring the database and its files …")
    for name, file in archive.parts(path, told):
        if name == backup.DATABASE:
            archive.write_part(file, made)
        elif name.startswith(backup.ASSETS):
            assets.put(file.read())
        elif name == backup.KEY:
            key.content = file.read()
    copied = Store(f"sqlite:///{made}")
    try:
        copied.migrate()
        if (said := copied.examine()) != "ok":
            raise BadInput(str(path), f"its database is {said}", archive.MEND)
        tell("checking what was restored …")
        _refuse_unguarded(copied, settings.home, path)
        with copied.write() as connection:
            _refuse_altered(connection, path)
            _begin(connection, told, max(clock.now(), copied.now(connection)), actor)
    except BadInput:
        copied.close()
        _clear(made)
        raise
    finally:
        copied.close()  # the last connection brings the write-ahead log home
    _clear(made, but_itself=True)
    key.put()
    _on_disk(made)
    made.rename(final)  # from here on there is an installation
    archive.sync_folder(final.parent)


def _clear(made: Path, *, but_itself: bool = False) -> None:
    """Remove what SQLite and we keep beside a database, and the database."""
    beside = [made.with_name(f"{made.name}-{ending}") for ending in ("wal", "shm")] + [made.with_suffix(".gate")]
    for one in beside if but_itself else [made, *beside]:
        one.unlink(missing_ok=True)


def _restore_postgres(store: Store, path: Path, told: dict[str, Any], actor: str, tell: Tell, key: _Key) -> None:
    store.migrate()
    with _told_of(path), store.database.migrating() as connection:
        if connection.execute(select(installation.c.id)).first() is not None:
            raise BadInput(store.shown, "there is an installation already; a restore never overwrites one", NEW)
        cursor = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
        # The guards judge steps, and rows come back in the state they had reached: what they would have refused is
        # looked for afterwards, before anything is committed. Keys and references are checked as the rows come.
        stepwise = _guards(connection)
        for table, guard, _ in stepwise:
            cursor.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER {}").format(*map(sql.Identifier, (table, guard))))
        for name, file in archive.parts(path, told):
            if name == backup.KEY:
                key.content = file.read()
            if not name.startswith(backup.TABLES):
                continue
            table = name.removeprefix(backup.TABLES)
            tell(f"restoring {table} …")
            asked = sql.SQL("COPY {} ({}) FROM STDIN").format(
                sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, told["columns"][table]))
            )
            with cursor.copy(asked) as rows:
                while chunk := file.read(archive.CHUNK):
                    rows.write(chunk)
        for table, guard, mode in stepwise:
            how = sql.SQL("ALTER TABLE {} ENABLE " + MODES[mode] + " TRIGGER {}")
            cursor.execute(how.format(*map(sql.Identifier, (table, guard))))
        tell("checking what was restored …")
        _refuse_altered(connection, path)
        _begin(connection, told, store.now(connection), actor)
        key.put()


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Raises BadInput for what the server itself does not take as rows of these tables."""
    try:
        yield
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
        message = f"it was altered after it was taken: {str(error).splitlines()[0]}"
        raise BadInput(str(path), message, archive.MEND) from error


def _refuse_altered(connection: Connection, path: Path) -> None:
    """Raises BadInput for rows that never came to be under the guards."""
    for found in islice(contradictions(connection), 1):
        raise BadInput(str(path), f"it was altered after it was taken: {found}", archive.MEND)


def _refuse_unguarded(copied: Store, home: Path, path: Path) -> None:
    """Raises BadInput when a guard is missing from a database file, which brings its own."""
    with tempfile.TemporaryDirectory(prefix=".tongfa-restore-", dir=home) as folder:
        fresh = Store(f"sqlite:///{Path(folder) / 'fresh.sqlite3'}")
        try:
            fresh.migrate()
            missing = _triggers(fresh) - _triggers(copied)
        finally:
            fresh.close()
    if missing:
        raise BadInput(str(path), f"it was altered after it was taken: no guard {min(missing)}", archive.MEND)


def _triggers(store: Store) -> set[str]:
    with store.read() as connection:
        return set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars())


def _guards(connection: Connection) -> list[tuple[str, str, str]]:
    """Table, name and mode of every trigger that is no reference's own."""
    asked = "SELECT tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal"
    return [(row[0], row[1], row[2]) for row in connection.exec_driver_sql(asked)]


def _begin(connection: Connection, told: dict[str, Any], at: int, actor: str) -> None:
    known, entries = outlets.identity(connection), journal.size(connection)
    if (known, entries) != (told["installation"], told["entries"]):
        raise BadInput("restore", "the database is not what its manifest says", archive.MEND)
    about = {"taken_at": told["taken_at"], "entries": entries}
    recover.begin(connection, recovery.RESTORED, about, at=at, actor=actor)


def _on_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
