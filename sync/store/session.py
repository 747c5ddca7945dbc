"""Connections and transactions, the same on SQLite and PostgreSQL: one writer at a time, readers that wait for nobody.

Keep transactions short; no outlet is ever called inside one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, func, inspect, select, text

from sync.model import BadInput
from sync.store import told
from sync.store.postgres import Postgres
from sync.store.sqlite import Sqlite
from sync.store.tables import FORM, SCHEMA, required_form

MIGRATE = "run `tongfa setup`, which brings the database up to date"


class Store:
    """One database. Made per process; safe to use from its threads, never across a fork."""

    def __init__(self, url: str, lane: str = "") -> None:
        """Connects to nothing yet. `lane`: the process's role, for the server's list of sessions.

        Raises BadInput when it is no address of a database.
        """
        self.url = url  # may hold a password
        self.database: Sqlite | Postgres = Sqlite(url) if url.startswith("sqlite:///") else Postgres(url, lane)
        told.watch(self.database.engine)

    @property
    def engine(self) -> Engine:
        return self.database.engine

    @property
    def shown(self) -> str:
        """Where the database is, without secrets."""
        return self.database.shown

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write; committed at the end, rolled back by any exception.

        Raises BadInput when the disk is full: nothing of the transaction happened then. Also when the
        server was lost: all of it happened, or nothing.
        """
        with self.database.write() as connection, told.telling(connection) as acts:
            yield connection
        told.tell(acts)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot. Never waits for a writer. Raises BadInput as writing does."""
        with self.database.read() as connection:
            yield connection

    @contextmanager
    def beside(self) -> Iterator[Connection]:
        """For adding what nothing is decided by; with PostgreSQL it does not queue with the writers."""
        with self.database.beside() as connection:
            yield connection

    def version(self) -> int:
        """A number that differs after any commit, much cheaper than a look. For one thread only.

        Raises BadInput or SQLAlchemyError, as reading does; the next call begins anew.
        """
        return self.database.version()

    def now(self, connection: Connection) -> int:
        """The database's clock, µs UTC."""
        return self.database.now(connection)

    def examine(self) -> str:
        """ "ok", or what is wrong with the database."""
        return self.database.examine()

    def close(self) -> None:
        """End every connection that is not in use. The store may be used again."""
        self.database.close()

    def check_schema(self) -> None:
        """Raises BadInput unless this code may work on the database: at its schema or a newer that admits it."""
        found = self.schema() if self.database.exists() else None
        if found is None:
            raise BadInput(self.shown, "this database was never set up", MIGRATE)
        if found > SCHEMA and not self._admitted():
            problem = f"the database is at {found}, this version needs {SCHEMA} and is too old for it"
            raise BadInput(self.shown, problem, "run the version of `tongfa` that brought it there, or a newer one")
        if found < SCHEMA:
            raise BadInput(self.shown, f"the database is at {found}, this version needs {SCHEMA}", MIGRATE)

    def _admitted(self) -> bool:
        """Whether what newer migrations did leaves programs of this form their place."""
        with self.read() as connection:
            required = connection.execute(select(func.max(required_form.c.form))).scalar()
        return required is None or required <= FORM

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
        with self.database.migrating() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise BadInput(
                    self.shown,
                    f"the database is not one of this version's: {error}",
                    "run the version that made it, or set TONGFA_HOME to another folder",
                ) from error
