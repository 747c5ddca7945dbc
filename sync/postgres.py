"""The way to a PostgreSQL server: its address, how long anybody waits for it, and what its refusals mean.

Store and process lock stand on this. A server that vanished without a word (power, cable) is noticed
within `SILENCE` seconds on both sides, so that what its clients held is free again; a frozen client
is not silent, its kernel still answers. Errors name the server as `shown`, never with the password.
"""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn, Ping, TransactionStatus

from sync.model import BadInput

T = TypeVar("T")

SETTING = "TONGFA_DATABASE_URL"
OLDEST = 140_000  # 14: the first whose snapshots, time-outs and exact epochs are all as used here
CONNECT = 5  # seconds
IDLE, INTERVAL, PROBES = 5, 2, 5  # keepalives: seconds, seconds, times
SILENCE = IDLE + INTERVAL * PROBES  # seconds
LOOK = 0.1  # seconds between two looks for Ctrl-C
GATE_WAIT_MS = 30_000  # for the writers before us, or for any other lock
STATEMENT_MS = 35_000  # longer than the gate may take
ANSWER = 40.0  # seconds; a server that has not answered by then will not

# What the server's codes mean to the person who runs this. Classes by their first two characters.
LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
MEANT = {
    "53100": ("the disk of the database server is full; nothing was stored", "free some space there and try again"),
    "53200": ("the database server has no memory left; nothing was stored", "give it more, or try again"),
    "53300": ("the database server takes no more connections", "raise its max_connections, or run fewer processes"),
    "25006": ("this database server only reads: it is a standby", f"let {SETTING} name the primary"),
    "42501": ("its user may not do this", "make that user the owner of the database"),
    "55P03": ("another process has kept the database busy for too long; nothing was stored", "try again"),
    "57014": ("the database server took too long; nothing was stored", "try again when it is less busy"),
}


class Session(psycopg.Connection[Any]):
    """A connection on which nobody waits for ever: behind a proxy that lost its server, keepalives are answered too.

    `patience`: seconds for one answer, in which the server's own bound (`statement_timeout`) has passed."""

    patience = ANSWER

    def wait(self, gen: PQGen[T], interval: float = LOOK, timeout: float | None = None) -> T:
        """Raises OperationalError when no answer comes; then the connection is closed."""
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if error.sqlstate is None and timeout is None and self._is_asking():
                self.close()  # a late answer would be taken for the next one's
                raise psycopg.OperationalError(f"no answer within {self.patience:g} s") from error
            raise

    def _is_asking(self) -> bool:
        return self.pgconn.transaction_status == TransactionStatus.ACTIVE


class Address:
    """Where the database is and as whom to go there. `shown` is for people: without password and options."""

    def __init__(self, url: str) -> None:
        """Connects to nothing. Raises BadInput when it is no address."""
        scheme, _, rest = url.partition(":")
        try:
            given = conninfo_to_dict(f"{scheme.partition('+')[0]}:{rest}")
        except psycopg.ProgrammingError:  # its words quote the address
            mend = "give it an address like postgresql://user@host/name"
            raise BadInput(SETTING, "is no PostgreSQL address", mend) from None
        self._given: dict[str, Any] = {name: str(value) for name, value in given.items()}
        self.database = self._given.get("dbname") or self._given.get("user", "")
        user = f"{self._given['user']}@" if "user" in self._given else ""
        port = f":{self._given['port']}" if "port" in self._given else ""
        self.shown = f"postgresql://{user}{self._given.get('host', '')}{port}/{self.database}"

    def connect(self, who: str, *, autocommit: bool = False, **session: int) -> Session:
        """A new connection; `who` is what the server's lists call it, `session` its settings there.

        Raises BadInput when the server cannot be reached, lets nobody in, or cannot be used.
        """
        conninfo = self._conninfo(who, session)
        try:
            connection = Session.connect(conninfo, autocommit=autocommit)
            problem = _unfit(connection)
        except psycopg.Error as error:
            raise self._refused(error) from error
        if problem is not None:
            connection.close()
            raise BadInput(self.shown, *problem)
        return connection

    def named(self, error: BaseException | None) -> BadInput | None:
        """What an error of the driver means to a person; None: it is no matter of server or settings."""
        if not isinstance(error, psycopg.Error):
            return None
        code = error.sqlstate or ""
        if code in MEANT:
            return BadInput(self.shown, *MEANT[code])
        if code in LOST or code.startswith("08") or (not code and isinstance(error, psycopg.OperationalError)):
            message = "the connection to the database server was lost; a change is stored as a whole or not at all"
            return BadInput(self.shown, message, "look whether the server runs, then try again")
        return None

    def _conninfo(self, who: str, session: dict[str, int]) -> str:
        """Ours first, so that whoever gives the address may know better."""
        on_the_server = {
            "tcp_keepalives_idle": IDLE,
            "tcp_keepalives_interval": INTERVAL,
            "tcp_keepalives_count": PROBES,
            "tcp_user_timeout": SILENCE * 1_000,
            **session,
        }
        options = " ".join(f"-c {name}={value}" for name, value in on_the_server.items())
        ours: dict[str, Any] = {
            "connect_timeout": CONNECT,
            "keepalives_idle": IDLE,
            "keepalives_interval": INTERVAL,
            "keepalives_count": PROBES,
            "tcp_user_timeout": SILENCE * 1_000,
            "application_name": who,
            "client_encoding": "UTF8",
        }
        return make_conninfo(
            **{**ours, **self._given, "options": f"{options} {self._given.get('options', '')}".strip()}
        )

    def _refused(self, error: psycopg.Error) -> BadInput:
        """Why nobody was let in, by what the server does and asks for; its words are only shown."""
        match PGconn.ping(make_conninfo(**{**self._given, "connect_timeout": CONNECT}).encode()):
            case Ping.NO_RESPONSE:
                mend = f"start it, or mend host and port in {SETTING}"
                return BadInput(self.shown, "the database server does not answer", mend)
            case Ping.REJECT:
                return BadInput(self.shown, "the database server is starting or stopping", "wait, and try again")
            case Ping.NO_ATTEMPT:
                return BadInput(SETTING, "is no address that can be tried", "mend it")
        if self._lacks_database():
            mend = f"make it there: createdb --encoding=UTF8 --template=template0 {self.database}"
            return BadInput(self.shown, f"there is no database {self.database}", mend)
        words = str(error).strip().splitlines()[-1].rpartition("FATAL:")[2].strip()
        if error.pgconn is not None and error.pgconn.needs_password:
            mend = f"put it into {SETTING}, or into ~/.pgpass"
            return BadInput(self.shown, "the database server asks for a password", mend)
        if error.pgconn is not None and error.pgconn.used_password:
            return BadInput(self.shown, f"user or password was refused: {words}", f"mend them in {SETTING}")
        return BadInput(self.shown, f"the database server refuses: {words}", f"mend {SETTING}, or its pg_hba.conf")

    def _lacks_database(self) -> bool:
        """True when the server lets us into its own database and knows none of our name."""
        theirs = make_conninfo(**{**self._given, "dbname": "postgres", "connect_timeout": CONNECT})
        try:
            with psycopg.connect(theirs, autocommit=True) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self.database,))
                return found.fetchone() is None
        except psycopg.Error:
            return False


def _unfit(connection: psycopg.Connection[Any]) -> tuple[str, str] | None:
    """What is wrong with the server for good, and the mend; asks it nothing, it told when it was connected to."""
    if connection.info.server_version < OLDEST:
        version = connection.info.server_version // 10_000
        return f"this is PostgreSQL {version}", f"PostgreSQL {OLDEST // 10_000} or newer is needed"
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        mend = "make one that can hold Chinese: createdb --encoding=UTF8 --template=template0 NAME"
        return f"this database stores text as {encoding}", mend
    return None
