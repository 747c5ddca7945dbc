"""PostgreSQL beneath the store: one writer at a time, queueing on an advisory lock of the database.

So every "read, decide, write" is as safe as on SQLite, entries get ids without gaps, and they are
committed in the order of their ids. Readers take no lock and see one moment. The gate is the first
statement of a write transaction at READ COMMITTED: a snapshot taken before the lock would be stale.
A writer that froze holds the gate for `FROZEN_MS` at most; then the server rolls it back.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError

from sync.postgres import GATE_WAIT_MS, STATEMENT_MS, Address, Session

# One fixed pair of numbers, the same for every process of every version. Owners' locks are single
# numbers (`sync.session_lock`), which PostgreSQL keeps apart from pairs.
GATE = "pg_advisory_xact_lock(1414480454, 1)"
FROZEN_MS = 5_000
MIGRATION_MS = 300_000
WATCHING = 8.0  # seconds; that question is answered at once, or not at all
PARKED, MOST = 5, 15  # connections of one process that are kept, and at most


class Postgres:
    """One database of a server. `lane` is the process's role, shown in the server's list of sessions."""

    def __init__(self, url: str, lane: str = "") -> None:
        self._address = Address(url)
        self.shown = self._address.shown
        self._who = f"tongfa {lane}".strip()
        self._watching: Session | None = None
        self.engine = self._engine()
        self._reads = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._writes = text(
            f"SELECT set_config('idle_in_transaction_session_timeout', '{FROZEN_MS}', true), "
            f"set_config('lock_timeout', '{GATE_WAIT_MS}', true), {GATE}"
        )
        self._migrates = text(
            f"SELECT set_config('idle_in_transaction_session_timeout', '{MIGRATION_MS}', true), "
            f"set_config('statement_timeout', '{MIGRATION_MS}', true), "
            f"set_config('lock_timeout', '{GATE_WAIT_MS}', true), {GATE}"
        )

    def exists(self) -> bool:
        return True  # connecting says so if not

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._named(), self.engine.begin() as connection:
            connection.execute(self._writes)
            yield connection

    @contextmanager
    def beside(self) -> Iterator[Connection]:
        """Past the gate: for rows that stand alone and are never changed."""
        with self._named(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """As a writer, with more patience: nobody writes meanwhile."""
        with self._named(), self.engine.connect() as connection:
            session = connection.connection.dbapi_connection
            assert isinstance(session, Session)
            session.patience = 2 * MIGRATION_MS / 1_000
            try:
                with connection.begin():
                    connection.execute(self._migrates)
                    yield connection
            finally:
                session.patience = Session.patience

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._named(), self._reads.begin() as connection:
            yield connection

    def version(self) -> int:
        """One short question, no transaction: which transactions have ended is what a snapshot consists of.

        The end of any other transaction on the server changes it too, which costs a look in vain.
        """
        try:
            if self._watching is None:
                who = f"{self._who} watching"
                self._watching = self._address.connect(who, autocommit=True, statement_timeout=STATEMENT_MS)
                self._watching.patience = WATCHING
            row = self._watching.execute("SELECT pg_current_snapshot()::text").fetchone()
        except psycopg.Error as error:
            self._watch_no_more()
            self.engine.dispose()  # parked connections have lost the same server; each would be waited for
            raise self._address.named(error) or DBAPIError("SELECT", None, error) from error
        _, newest, running = str(row[0] if row else "0:0:").split(":")
        # Of equal newest ones the running can only become fewer: no number comes twice.
        return (int(newest) << 20) - len(running.split(",") if running else ())

    def now(self, connection: Connection) -> int:
        asked = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        return int(connection.exec_driver_sql(asked).scalar_one())

    def examine(self) -> str:
        with self.read() as connection:
            told = connection.exec_driver_sql(
                "SELECT checksum_failures, current_setting('fsync'), current_setting('full_page_writes'), "
                "current_setting('synchronous_commit') FROM pg_stat_database WHERE datname = current_database()"
            ).one()
        if told[0]:
            return f"{told[0]} pages do not have their checksum"
        for name, value in zip(("fsync", "full_page_writes", "synchronous_commit"), told[1:], strict=True):
            if value == "off":
                return f"{name} is off, so a power cut loses what was stored"
        return "ok"

    def close(self) -> None:
        self.engine.dispose()
        self._watch_no_more()

    def _watch_no_more(self) -> None:
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            named = self._address.named(error.orig)
            if named is None:
                raise
            raise named from error

    def _engine(self) -> Engine:
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: self._address.connect(self._who, statement_timeout=STATEMENT_MS, lock_timeout=GATE_WAIT_MS),
            use_native_hstore=False,
            pool_size=PARKED,
            max_overflow=MOST - PARKED,
            pool_use_lifo=True,
        )

        @event.listens_for(engine, "checkout")
        def look(connection: Any, record: Any, proxy: Any) -> None:
            """A server that ended a parked connection has said so: one look instead of a question each time."""
            if _was_ended(connection):
                raise DisconnectionError  # the pool makes another one

        return engine


def _was_ended(connection: psycopg.Connection[Any]) -> bool:
    """True when there is something to read although nothing was asked: in the rule the end of the session."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))
