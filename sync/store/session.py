"""Connections and transactions.

SQLite: one writer at a time, queueing on a `flock` gate, because SQLite's own busy wait has no queue
and starves (WAL and synchronous=FULL; readers never wait). PostgreSQL: the same calls without gate.
Keep transactions short; no outlet is ever called inside one.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pysqlite3
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import OperationalError

from sync.model import BadInput
from sync.store.tables import SCHEMA

SQLITE_FULL = 13
SQLITE_IOERR = 10
MIGRATE = "run `tongfa setup`, which brings the database up to date"


class Store:
    """One database. Made per process; safe to use from its threads, never across a fork."""

    def __init__(self, url: str) -> None:
        if not url.startswith("sqlite:///"):
            raise BadInput(
                "TONGFA_DATABASE_URL", "this version runs on SQLite only", "leave it out, or give sqlite:///<file>"
            )
        self.path = Path(url.removeprefix("sqlite:///"))
        self._gate = self.path.with_suffix(".gate")
        self._turn = threading.Lock()  # flock does not separate threads that share a descriptor
        self._watching: Any = None  # a connection that never writes: its data_version tells of all others
        self.engine = _sqlite(url)
        self._writes = self.engine.execution_options(writes=True)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write; committed at the end, rolled back by any exception.

        Raises BadInput when the disk is full: nothing of the transaction happened then.
        """
        with self._turn, self._flock():
            try:
                with self._writes.begin() as connection:
                    yield connection
            except OperationalError as error:
                raise _named(error, self.path) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot. Never waits for a writer.

        Raises BadInput when the disk is full: the first to open the database needs a little space beside it.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except OperationalError as error:
            raise _named(error, self.path) from error

    def version(self) -> int:
        """A number that differs after any commit, at a fiftieth of a query's cost. For one thread only.

        Raises BadInput or OperationalError, as reading does; the next call begins anew.
        """
        try:
            if self._watching is None:
                self._watching = pysqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            return int(self._watching.execute("PRAGMA data_version").fetchone()[0])
        except pysqlite3.Error as error:
            self._watching = None
            raise _named(OperationalError("PRAGMA data_version", None, error), self.path) from error

    def now(self, connection: Connection) -> int:
        """The database's clock, µs UTC. SQLite has none of its own: it is the host's."""
        return time.time_ns() // 1_000

    def check_schema(self) -> None:
        """Raises BadInput unless the database is exactly at this code's schema."""
        found = self.schema() if self.path.exists() else None
        if found is None:
            raise BadInput(str(self.path), "this database was never set up", MIGRATE)
        if found != SCHEMA:
            raise BadInput(str(self.path), f"the database is at {found}, this version needs {SCHEMA}", MIGRATE)

    def schema(self) -> str | None:
        """The migration the database is at; None: never migrated."""
        with self.read() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    def migrate(self) -> None:
        """Bring the schema to this code's version, in one transaction: after a death it is old or new."""
        from alembic import command  # most commands never migrate, and need not wait for its import
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.write() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise BadInput(
                    str(self.path),
                    f"the database is not one of this version's: {error}",
                    "run the version that made it, or set TONGFA_HOME to another folder",
                ) from error

    @contextmanager
    def _flock(self) -> Iterator[None]:
        descriptor = os.open(self._gate, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, module=pysqlite3, pool_size=32, max_overflow=32)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin by itself
        for pragma in (
            "busy_timeout=30000",  # before journal_mode: the other order raised "database is locked"
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "recursive_triggers=ON",
            "trusted_schema=OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _named(error: OperationalError, path: Path) -> Exception:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    if code in (SQLITE_FULL, SQLITE_IOERR):
        return BadInput(str(path.parent), "the disk is full; nothing was stored", "free some space and try again")
    return error
