"""A private PostgreSQL: its own folder, socket and port, as an ordinary user, gone at the end.

    with Postgres() as server:
        url = server.database()              # empty
        url = server.database("template")    # a copy of another one of this server
        with Standby(server) as standby:     # has every commit that a client was told of
            server.stop("immediate")
            standby.promote()

Never skips: where PostgreSQL is missing, it fails and says what to install.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
from psycopg import sql

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")
MISSING = "PostgreSQL's server is not installed; `make setup` installs it (Debian's package: postgresql)"
ORDINARY = ("postgres", "nobody")  # the server refuses to run as root
PATIENCE = 60.0  # seconds
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()  # tests that are killed leave none


def programs() -> Path:
    """The folder of the newest server's programs."""
    found = [path for place in PLACES for path in Path("/").glob(place.lstrip("/")) if (path / "initdb").exists()]
    if not found and (known := shutil.which("initdb")):
        found = [Path(known).resolve().parent]
    if not found:
        raise RuntimeError(MISSING)
    return max(found, key=lambda path: [int(part) for part in path.parent.name.split("-")[-1:] if part.isdigit()])


class Postgres:
    """`durable`: every commit waits for the disk, as in earnest. `password`: asked of who comes over TCP."""

    user = "tongfa"

    def __init__(self, *, durable: bool = False, password: str = "") -> None:
        self._durable, self._password = durable, password
        self._programs = programs()
        self._counted = 0
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Postgres:
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # short: a socket's path has 107 bytes
        self._owner = _ordinary_user() if os.geteuid() == 0 else None
        self.data = self.folder / "data"
        if self._owner is not None:
            os.chown(self.folder, self._owner.pw_uid, self._owner.pw_gid)
        self.create()
        self.port = _free_port()
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self) -> None:
        """Its data, before it is started."""
        (self.folder / "password").write_text(self._password or "unused")
        (self.folder / "password").chmod(0o644)
        self.run(
            *("initdb", "--pgdata", self.data, "--username", self.user, "--encoding", "UTF8", "--locale", "C.UTF-8"),
            *("--auth-local", "trust", "--auth-host", "scram-sha-256" if self._password else "trust"),
            *("--pwfile", self.folder / "password", "--no-sync"),
        )

    @property
    def pid(self) -> int:
        assert self._server is not None
        return self._server.pid

    @property
    def living(self) -> bool:
        return self._server is not None and self._server.poll() is None

    def start(self) -> None:
        """Start it, and wait until it lets clients in."""
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "fsync": "on" if self._durable else "off",
            "autovacuum": "off",
            "max_connections": "200",
            "shared_buffers": "32MB",
            "logging_collector": "off",
        }
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [*DIES_WITH_US, str(self._programs / "postgres"), "-D", str(self.data), *given],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as_owner(),
            )
        nap, patience = threading.Event(), PATIENCE
        while not self._answers():
            if self._server.poll() is not None or patience <= 0:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-2_000:]}")
            nap.wait(0.05)
            patience -= 0.05

    def stop(self, how: str = "fast") -> None:
        """`fast`: sessions are ended, everything is stored; `immediate`: as in a crash."""
        if self.living:
            assert self._server is not None
            self._server.send_signal(signal.SIGINT if how == "fast" else signal.SIGQUIT)
            try:
                self._server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()

    def restart(self, how: str = "fast") -> None:
        self.stop(how)
        self.start()

    def freeze(self) -> None:
        """Every process of the server stands still; its kernel still answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def url(self, name: str = "postgres", *, tcp: bool = False, password: str | None = None) -> str:
        """Over the socket, or over TCP."""
        if not tcp:
            return f"postgresql://{self.user}@/{name}?host={self.folder}&port={self.port}"
        secret = self._password if password is None else password
        return f"postgresql://{self.user}{f':{secret}' if secret else ''}@127.0.0.1:{self.port}/{name}"

    def database(self, template: str = "template0", *, name: str = "", encoding: str = "UTF8") -> str:
        """The address of a new database, empty or a copy; `template`: the name of one nobody is connected to."""
        self._counted += 1
        name = name or f"test_{self._counted}"
        self.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING {} LC_COLLATE {locale} LC_CTYPE {locale}").format(
                sql.Identifier(name),
                sql.Identifier(template),
                encoding,
                locale="C" if encoding != "UTF8" else "C.UTF-8",
            )
        )
        return self.url(name)

    def drop(self, url: str) -> None:
        """A database and whoever is still connected to it."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(self, statement: sql.Composed | str, *given: object) -> list[tuple[Any, ...]]:
        """As the server's owner, in its own database, each statement for itself."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement, given or None)
            return cursor.fetchall() if cursor.description else []

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        pids = [self.pid, *_children(self.pid)]
        for pid in pids if number == signal.SIGSTOP else reversed(pids):
            os.kill(pid, number)

    def run(self, program: str, *arguments: object) -> None:
        """One of PostgreSQL's programs, to its end. Raises RuntimeError with what it said."""
        command = [str(self._programs / program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._as_owner())
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")

    def _as_owner(self) -> dict[str, Any]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        drop = (
            {} if self._owner is None else {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}
        )
        return {"cwd": self.folder, "env": environment, **drop}


class Standby(Postgres):
    """Of another server, which from now on tells no client of a commit that this one does not have."""

    def __init__(self, primary: Postgres) -> None:
        super().__init__()
        self._primary = primary

    def __enter__(self) -> Standby:
        super().__enter__()
        self._primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self._primary.execute("SELECT pg_reload_conf()")
        nap = threading.Event()
        for _ in range(round(PATIENCE / 0.05)):
            if self._primary.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"):
                return self
            nap.wait(0.05)
        raise RuntimeError("the standby does not follow its primary")

    def create(self) -> None:
        self.run(
            *("pg_basebackup", "--pgdata", self.data, "--write-recovery-conf", "--checkpoint", "fast", "--no-sync"),
            *("--dbname", self._primary.url("postgres")),
        )

    def promote(self) -> None:
        """It lets writers in, and waits for no standby of its own. Its primary must have stopped before."""
        self.execute("SELECT pg_promote()")


def _ordinary_user() -> pwd.struct_passwd:
    known = {one.pw_name: one for one in pwd.getpwall()}
    return next(known[name] for name in ORDINARY if name in known)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
