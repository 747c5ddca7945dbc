"""SQLite beneath the store: one writer at a time, queueing on a `flock` gate.

SQLite's own busy wait has no queue and starves (WAL and synchronous=FULL; readers never wait).
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
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from sync.model import BadInput

SQLITE_FULL = 13
SQLITE_IOERR = 10


class Sqlite:
    """One database file."""

    def __init__(self, url: str) -> None:
        self.path = Path(url.removeprefix("sqlite:///"))
        self.shown = str(self.path)
        self._gate = self.path.with_suffix(".gate")
        self._turn = threading.Lock()  # flock does not separate threads that share a descriptor
        self._watching: Any = None  # a connection that never writes: its data_version tells of all others
        self.engine = _engine(url)
        self.writes = self.engine.execution_options(writes=True)

    def exists(self) -> bool:
        """Opening a file that is not there would make one."""
        return self.path.exists()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._turn, self._flock():
            try:
                with self.writes.begin() as connection:
                    yield connection
            except OperationalError as error:
                raise _named(error, self.path) from error

    migrating = beside = write

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Raises BadInput when the disk is full: the first to open the database needs a little space beside it."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except OperationalError as error:
            raise _named(error, self.path) from error

    def version(self) -> int:
        """Costs a fiftieth of a query."""
        try:
            if self._watching is None:
                self._watching = pysqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            return int(self._watching.execute("PRAGMA data_version").fetchone()[0])
        except pysqlite3.Error as error:
            self._watching = None
            raise _named(OperationalError("PRAGMA data_version", None, error), self.path) from error

    def now(self, connection: Connection) -> int:
        """SQLite has no clock of its own: it is the host's."""
        return time.time_ns() // 1_000

    def examine(self) -> str:
        with self.read() as connection:
            said = connection.exec_driver_sql("PRAGMA quick_check").scalar()
        return "ok" if said == "ok" else f"damaged: {said}"

    def close(self) -> None:
        self.engine.dispose()
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.close()

    @contextmanager
    def _flock(self) -> Iterator[None]:
        descriptor = os.open(self._gate, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _engine(url: str) -> Engine:
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
