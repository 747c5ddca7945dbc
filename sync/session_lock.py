"""Ownership that dies with the process, for installations on PostgreSQL: one session per process, holding one lock.

A row in flight stores the name of its owner; the name's digits are the number of an advisory lock that
the owner's session holds. The server drops it with the session, however that ends, so whoever may
share the lock knows that the owner is dead. A frozen process keeps its session, and its lock.

A session that was lost takes its name with it: whatever is owned under that name counts as dropped, by
this very process too, which has a new name when it next looks. The driver would connect anew by
itself and hold nothing; so this session is never pooled, and is asked in bounded time.
"""

from __future__ import annotations

import os
import secrets
import select
import socket
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus

from sync.clock import Clock, SystemClock
from sync.model import BadInput
from sync.ownership import NAME, Holder
from sync.postgres import Address

PROOF = 0.15  # seconds that the last look before an instant may take
ANSWER = 5.0  # seconds for everything else
UNKNOWN_TABLE = "42P01"
ENDING = (b"FATAL", b"PANIC")

Row: TypeAlias = tuple[str | None, ...]

# The number of a name: its digits, as PostgreSQL reads them.
NUMBER = "('x' || right(name, 16))::bit(64)::bigint"
LOCKS = (
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 "
    "AND granted AND mode = 'ExclusiveLock' "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
TAKE = (
    "SELECT pg_try_advisory_lock($1::bigint), set_config('application_name', $2, false), "
    "set_config('idle_session_timeout', '0', false)"
)
PROVE = f"SELECT $1::bigint IN ({LOCKS} AND pid = pg_backend_pid())"
FREE = "SELECT pg_try_advisory_xact_lock_shared($1::bigint)"
CLEAR = f"DELETE FROM process WHERE {NUMBER} NOT IN ({LOCKS})"  # noqa: S608 - constants
REGISTER = "INSERT INTO process (name, lane, pid, host, started_at) VALUES ($1, $2, $3, $4, $5)"
LEAVE = "DELETE FROM process WHERE name = $1"
LIVING = (
    "SELECT name, pid, host, lane, started_at FROM process "  # noqa: S608 - constants
    f"WHERE ($1::text IS NULL OR lane = $1) AND {NUMBER} IN ({LOCKS}) ORDER BY started_at, name"
)

_LEFT: list[_Session] = []  # in a forked child: its parent's, never touched again


class Lost(Exception):
    """The session ended, or did not answer in time: it counts as ended, and so does the name it held."""


class Refused(Exception):
    """The server answered with an error; `code` is its SQLSTATE."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(eq=False, slots=True)
class _Session:
    pid: int
    connection: psycopg.Connection[Any]
    name: str | None = None  # None: asks, and holds nothing


class SessionLock:
    """This process's lock in the database at `url`, taken at the first look at `name`, anew in a forked child.

    The same interface as `ownership.ProcessLock`. All threads of a process share the lock and its
    session. Every method but the constructor may raise BadInput when the server cannot be reached.
    """

    def __init__(self, url: str, lane: str, clock: Clock | None = None) -> None:
        """Connects to nothing yet. Raises BadInput when `url` is no address."""
        if not NAME.fullmatch(f"{lane}-{'0' * 16}"):
            raise ValueError(f"a lane is lower-case letters and digits, not {lane!r}")
        self._address, self._lane, self._clock = Address(url), lane, clock or SystemClock()
        self._guard = threading.Lock()  # one question at a time
        self._session: _Session | None = None
        self._wanted = False  # a name was asked for: with a new session comes a new one, or nobody would know us
        self._over: set[str] = set()  # names this process had; needs no guard
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _leave_parent(itself))

    @property
    def name(self) -> str:
        """What rows store as their owner. Takes a lock if this process holds none, or lost its session.

        Once taken it is told without waiting: not even for a question of another thread.
        """
        if not self._guard.acquire(blocking=False):
            held = self._session
            if held is not None and held.pid == os.getpid() and held.name is not None and held.name not in self._over:
                return held.name
            self._guard.acquire()
        try:
            self._wanted = True
            session = self._current()
            if session.name is None:
                session.name = self._take(session)
            return session.name
        finally:
            self._guard.release()

    def release(self) -> None:
        """Give the lock up at a clean end, after the last write of a row. Without a lock: nothing."""
        with self._guard:
            self._wanted = False
            session = self._session
            if session is None or session.pid != os.getpid():
                return
            if session.name is not None:
                with suppress(Lost, Refused):  # then it is cleared away like a dead one's
                    _ask(session, LEAVE, [session.name], ANSWER)
            self._drop()

    def is_dead(self, name: str) -> bool:
        """True when the process that had this name has ended, or lost its session. True is final.

        Asked of this process's own name, it proves within `PROOF` seconds, on the very session, that
        the lock is held; what cannot be proved counts as lost, and the next name is a new one.
        """
        if not NAME.fullmatch(name):
            raise ValueError(f"not the name of a process lock: {name!r}")
        session = self._session
        if name in self._over:
            return True
        if session is not None and session.name == name and session.pid == os.getpid():
            return not self._is_proved(name)
        return self._look(FREE, [_number(name)])[0][0] == "t"

    def living(self, lane: str | None = None) -> list[Holder]:
        """Who holds a lock now, of one lane or of all, on every host, oldest first. Changes nothing.

        In a database that was never set up: nobody.
        """
        rows = self._look(LIVING, [lane], without_table=())
        return [
            Holder(str(name), int(pid or 0), str(host), str(lane_), int(at or 0)) for name, pid, host, lane_, at in rows
        ]

    def _is_proved(self, name: str) -> bool:
        """Bounded, also when another thread's question is stuck on this session."""
        began = self._clock.boottime()
        if not self._guard.acquire(timeout=PROOF):
            self._over.add(name)
            return False
        try:
            session = self._session
            if session is None or session.name != name:
                return False
            left = PROOF - (self._clock.boottime() - began)
            with suppress(Lost, Refused):
                if _ask(session, PROVE, [_number(name)], max(left, 0.0))[0][0] == "t":
                    return True
            self._drop()
            return False
        finally:
            self._guard.release()

    def _look(
        self, statement: str, given: Sequence[str | None], without_table: Sequence[Row] | None = None
    ) -> Sequence[Row]:
        """Asked again, once, on a new session when the first was lost: looking may be repeated.

        `without_table`: the answer in a database that was never set up.
        """
        with self._guard:
            try:
                with suppress(Lost), self._dropped_when_lost():
                    return _ask(self._current(), statement, given, ANSWER)
                with self._dropped_when_lost():
                    return _ask(self._current(), statement, given, ANSWER)
            except Lost as lost:
                raise _unanswered(self._address) from lost
            except Refused as refused:
                if refused.code == UNKNOWN_TABLE and without_table is not None:
                    return without_table
                raise _refused(self._address, refused) from refused

    def _current(self) -> _Session:
        """This process's session, known to have been alive a moment ago; a new one if there is none."""
        session = self._session
        if session is not None and (session.name in self._over or _has_ended(session)):
            self._drop()
        if self._session is None:
            self._session = _Session(os.getpid(), self._address.connect(f"tongfa {self._lane}", autocommit=True))
            if self._wanted:
                self._session.name = self._take(self._session)
        return self._session

    def _take(self, session: _Session) -> str:
        """A number that nobody ever held, locked and told to the others; the dead are cleared away."""
        try:
            while True:
                name = f"{self._lane}-{secrets.token_hex(8)}"
                if _ask(session, TAKE, [_number(name), name], ANSWER)[0][0] == "t":
                    break
            _ask(session, CLEAR, [], ANSWER)
            about = [name, self._lane, str(os.getpid()), socket.gethostname(), str(self._clock.now())]
            _ask(session, REGISTER, about, ANSWER)
        except Refused as refused:
            self._drop()
            raise _refused(self._address, refused) from refused
        except Lost as lost:
            self._drop()
            raise _unanswered(self._address) from lost
        return name

    @contextmanager
    def _dropped_when_lost(self) -> Iterator[None]:
        try:
            yield
        except (Lost, BadInput):
            self._drop()
            raise

    def _drop(self) -> None:
        """The session is over, and its name for good. Under the guard."""
        session, self._session = self._session, None
        if session is not None:
            if session.name is not None:
                self._over.add(session.name)
            session.connection.close()

    def _leave(self) -> None:
        """In a forked child: let go of the parent's session without ending it.

        Closing it properly would say good-bye in the parent's name; keeping it open would keep its
        lock beyond the parent's death. So only the child's copy of the socket is closed.
        """
        self._guard = threading.Lock()  # the parent's may have been held by a thread that is not here
        self._over = set()  # of the parent: it is asked like anybody else
        self._wanted = False
        session, self._session = self._session, None
        if session is not None:
            os.close(session.connection.pgconn.socket)
            _LEFT.append(session)


def _leave_parent(itself: weakref.ref[SessionLock]) -> None:
    lock = itself()
    if lock is not None:
        lock._leave()


def _number(name: str) -> str:
    """64 bits, as PostgreSQL's signed whole number."""
    return str(int.from_bytes(bytes.fromhex(name[-16:]), "big", signed=True))


def _unanswered(address: Address) -> BadInput:
    return BadInput(address.shown, "the database server does not answer", "look whether it runs, then try again")


def _refused(address: Address, refused: Refused) -> BadInput:
    return BadInput(address.shown, str(refused), "`tongfa setup` mends what is missing; the server's log tells more")


def _has_ended(session: _Session) -> bool:
    """What the server said unasked: in the rule its end. Costs no question."""
    pgconn = session.connection.pgconn
    try:
        while pgconn.status == ConnStatus.OK and _wait(pgconn.socket, select.POLLIN, 0.0):
            pgconn.consume_input()
    except psycopg.Error:
        return True
    return pgconn.status != ConnStatus.OK


def _ask(session: _Session, statement: str, given: Sequence[str | None], within: float) -> list[Row]:
    """One round trip in a transaction of its own; rows as text. Raises Lost or Refused.

    After Lost the session must be dropped: a late answer would be taken for the next one's.
    """
    pgconn = session.connection.pgconn
    try:
        pgconn.send_query_params(statement.encode(), [None if one is None else one.encode() for one in given])
        while pgconn.flush():
            _ready(pgconn.socket, select.POLLOUT, within)
        result = None
        while True:
            while pgconn.is_busy():
                _ready(pgconn.socket, select.POLLIN, within)
                pgconn.consume_input()
            following = pgconn.get_result()
            if following is None:
                break
            result = following
    except psycopg.Error as error:
        raise Lost(str(error)) from error
    if result is None or pgconn.status != ConnStatus.OK:
        raise Lost("the session ended")
    if result.status == ExecStatus.FATAL_ERROR:
        if result.error_field(DiagnosticField.SEVERITY_NONLOCALIZED) in ENDING:  # the end comes right behind it
            raise Lost("the server ended the session")
        code = result.error_field(DiagnosticField.SQLSTATE) or b""
        words = result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b""
        raise Refused(code.decode(), words.decode(errors="replace"))
    return [
        tuple(
            None if (cell := result.get_value(row, column)) is None else cell.decode()
            for column in range(result.nfields)
        )
        for row in range(result.ntuples)
    ]


def _ready(descriptor: int, what: int, within: float) -> None:
    if not _wait(descriptor, what, within):
        raise Lost(f"no answer within {within:g} seconds")


def _wait(descriptor: int, what: int, within: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, what)
    return bool(poll.poll(within * 1_000))
