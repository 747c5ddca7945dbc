"""An installation that is missing, broken, full, of another version or not running says so, and how to mend it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from sync.bootstrap import ownership
from sync.postgres import Address
from sync.settings import Settings, read_settings, variable
from sync.store import outlets
from sync.store.session import Store
from tests.acceptance.commands import Door, assert_refusal, refused, snapshot
from tests.acceptance.forks import Result
from tests.acceptance.installation import Installation, write_item
from tests.acceptance.mode import EMBEDDED, TONGFA, Mode
from tests.services.postgres import Postgres
from tests.services.redis import free_port

READS = ("item list", "release list", "delivery list", "log list", "outlet list", "outlet check site")
WRITES = ("item add item.md", "publish item.md --outlets site", "release hold 0123", "worker --lane prepare")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, mode: Mode) -> Door:
    """A folder with an item and an outlet in `home`, where nothing runs."""
    folder = tmp_path_factory.mktemp("setup")
    write_item(folder, "item")
    made = Door(Installation(folder / "home", mode=mode))
    made.done("outlet", "add", "site", "--kind", "website")
    return made


@dataclass(frozen=True)
class Place:
    """Where there may be an installation: a home, and with PostgreSQL a database that only migrations have seen."""

    installed: Installation
    door: Door

    @property
    def home(self) -> Path:
        return self.installed.home

    @property
    def database(self) -> str:
        """Where errors about the database say that it is."""
        url = self.installed.database
        return str(self.home) if url.startswith("sqlite") else Address(url).shown

    @contextmanager
    def store(self) -> Iterator[Store]:
        made = Store(self.installed.database)
        try:
            yield made
        finally:
            made.close()

    @contextmanager
    def workers(self, *lanes: str) -> Iterator[None]:
        """As if workers of these lanes ran there, of both unless named."""
        settings = read_settings(home=self.home, database_url=self.installed.database)
        with ExitStack() as locks:
            for lane in lanes or ("prepare", "release"):
                lock = ownership(settings, lane)
                assert lock.name
                locks.callback(lock.release)
            yield


def place(folder: Path, mode: Mode, name: str = "home", **env: str) -> Place:
    made = Installation(folder / name, env, mode=mode)
    if not (folder / "item.md").exists():
        write_item(folder, "item")
    return Place(made, Door(made))


@pytest.fixture
def new(tmp_path: Path, mode: Mode) -> Place:
    """A place where nothing was ever set up."""
    return place(tmp_path, mode)


@pytest.fixture
def there(new: Place) -> Place:
    """An installation with one website, where nothing runs."""
    new.door.done("outlet", "add", "site", "--kind", "website")
    return new


# settings


SETTINGS = {
    # environment → where, what it says, the mend
    "TONGFA_HOM=x": ("TONGFA_HOM", "no such setting", "did you mean TONGFA_HOME?"),
    "TONGFA_LANGUAGE=en": ("TONGFA_LANGUAGE", "no such setting", "did you mean TONGFA_LANG?"),
    "TONGFA_LANG=de": ("TONGFA_LANG", "must be 'zh-CN' or 'en'", "zh-CN or en"),
    "TONGFA_SWEEP_MS=soon": ("TONGFA_SWEEP_MS", "valid integer", "5 to 60000"),
    "TONGFA_TIMEZONE=Asia/Peking": ("TONGFA_TIMEZONE", "not a time zone", "Asia/Shanghai"),
    "TONGFA_DATABASE_URL=mysql://root:secret@localhost/x": ("TONGFA_DATABASE_URL", "neither a SQLite", "sqlite:///"),
    "TONGFA_SECRET_KEY_FILE=/nowhere/key": ("/nowhere/key", "cannot be read: No such file", "TONGFA_SECRET_KEY_FILE"),
}


@pytest.mark.parametrize("variables", SETTINGS)
def test_a_wrong_variable(opened: Door, variables: str) -> None:
    """Told before anything is done, with the nearest name; the value, which may hold a password, is not repeated."""
    name, _, value = variables.partition("=")
    where, says, mend = SETTINGS[variables]
    refused(opened, "item", "add", "item.md", where=where, says=says, mend=mend, **{name: value})
    assert "secret@" not in opened.run("item", "list", **{name: value}).err


FILES = {
    b"lang = zh-CN\n": ("tongfa.toml", "not valid TOML", "mend that line"),
    b'langage = "en"\n': ("tongfa.toml: langage", "no such setting", "did you mean lang?"),
    b"sweep_ms = 1\n": ("tongfa.toml: sweep_ms", "greater than or equal to 5", "5 to 60000"),
    "lang = '中文'".encode("gbk"): ("tongfa.toml", "cannot be read", "UTF-8"),
}


@pytest.mark.parametrize("content", FILES)
def test_a_wrong_file_of_settings(opened: Door, tmp_path: Path, content: bytes) -> None:
    """tongfa.toml of the folder one is in."""
    (tmp_path / "tongfa.toml").write_bytes(content)
    where, says, mend = FILES[content]
    unset = {} if b"sweep" not in content else {"TONGFA_SWEEP_MS": ""}
    told = opened.run("item", "list", "--json", cwd=str(tmp_path), **unset)
    assert_refusal(told, where, says, mend)


def test_errors_have_their_labels_in_chinese(opened: Door) -> None:
    """Also the errors about the settings, of which the language is one."""
    for wrong in ({}, {"TONGFA_HOM": "x"}):
        told = opened.run("item", "show", "0123", TONGFA_LANG="zh-CN", **wrong)
        assert 2 == told.code
        first, second = told.err.splitlines()
        assert first.startswith("错误 ") and second.startswith("处理办法 ")


# the home


@pytest.mark.parametrize("command", READS + WRITES)
def test_no_installation(new: Place, command: str) -> None:
    """Says which commands make one, and does not make one."""
    mend = "`tongfa setup`, `outlet add`, `up` or `demo` makes one"
    told = new.door.run(*command.split(), "--json")
    assert_refusal(told, str(new.home), "no installation here", mend)
    assert not new.home.exists()


def test_two_commands_make_an_installation(tmp_path: Path, mode: Mode) -> None:
    """`setup` and `outlet add`; what they refuse makes none. `up` and `demo` are tested where they run."""
    for number, command in enumerate(("setup", "outlet add new --kind website")):
        made = place(tmp_path, mode, str(number))
        wrong = made.door.run(*command.split(), "--nonsense")
        assert (2, False) == (wrong.code, made.home.exists())
        made.door.done(*command.split())
        assert [] == made.door.done("item", "list")["items"]
    none = place(tmp_path, mode, "none")
    assert (2, False) == (none.door.run("outlet", "add", "new", "--kind", "webiste").code, none.home.exists())


def test_a_home_that_cannot_be_made(new: Place, tmp_path: Path) -> None:
    """A file is in the way, or the way leads through one."""
    (tmp_path / "file").write_text("x")
    for home in (tmp_path / "file", tmp_path / "file" / "home"):
        told = new.door.run("setup", "--json", TONGFA_HOME=str(home))
        assert_refusal(told, str(home), "", "choose another TONGFA_HOME")


# the database


def missing(there: Place) -> None:
    _file(there).unlink()


def empty(there: Place) -> None:
    _file(there).write_bytes(b"")


def no_database(there: Place) -> None:
    _file(there).write_bytes(b"this is a letter to the editor\n" * 100)


def damaged(there: Place) -> None:
    content = bytearray(_file(there).read_bytes())
    content[4096 : len(content) // 2] = os.urandom(len(content) // 2 - 4096)
    _file(there).write_bytes(content)


def _file(there: Place) -> Path:
    return there.home / "tongfa.sqlite3"


def dropped(there: Place) -> None:
    _on_the_server(there, "DROP DATABASE {} WITH (FORCE)")


def emptied(there: Place) -> None:
    _on_the_server(there, "DROP DATABASE {} WITH (FORCE)", "CREATE DATABASE {} TEMPLATE template0 ENCODING UTF8")


def _on_the_server(there: Place, *statements: str) -> None:
    """In the server's own database, about that of the installation."""
    before, _, rest = there.installed.database.partition("?")
    address, _, name = before.rpartition("/")
    with psycopg.connect(f"{address}/postgres?{rest}", autocommit=True) as server:
        for statement in statements:
            server.execute(sql.SQL(statement).format(sql.Identifier(name)))


def server_down(there: Place) -> None:
    """Nobody answers at its address any more."""
    down = f"postgresql://{Postgres.user}@127.0.0.1:{free_port()}/tongfa"
    there.installed.env = {**there.installed.env, "TONGFA_DATABASE_URL": down}


def of_another_version(there: Place) -> None:
    with there.store() as store, store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_from_the_future'"))
        connection.execute(text("INSERT INTO required_form (form) VALUES (9)"))


Break = Callable[[Place], None]
NEWER = (of_another_version, "is at 9999_from_the_future, this version needs", "that brought it there")
SET_UP = "run `tongfa setup`"

# What became of the database, by where it is kept → what commands say, and the mend.
FILES_LOST: dict[str, tuple[Break, str, str]] = {
    "missing": (missing, "never set up", SET_UP),
    "empty": (empty, "never set up", SET_UP),
    "another version": NEWER,
    "no database": (no_database, "no database", "restore it from a backup"),
    "damaged": (damaged, "damaged", "restore it from a backup"),
}
SERVERS_LOST: dict[str, tuple[Break, str, str]] = {
    "missing": (dropped, "there is no database", "createdb"),
    "empty": (emptied, "never set up", SET_UP),
    "another version": NEWER,
    "the server is down": (server_down, "does not answer", "start it, or mend host and port"),
}
LOST = {"embedded": FILES_LOST, "production": SERVERS_LOST}
EVERY = [(mode, state) for mode, states in LOST.items() for state in states]


@pytest.mark.parametrize(("mode", "state"), EVERY, indirect=["mode"])
def test_a_wrong_database(there: Place, mode: Mode, state: str) -> None:
    """Every command that needs it refuses it the same way; `setup` mends what only has to be set up."""
    break_it, says, mend = LOST["embedded" if mode is EMBEDDED else "production"][state]
    break_it(there)
    for command in (*READS[:4], *WRITES[:2]):
        told = there.door.run(*command.split(), "--json")
        assert_refusal(told, there.database, says, mend)
    if mend == SET_UP:
        assert there.door.done("setup")["ready"]
    else:
        assert 2 == there.door.run("setup").code


def test_a_newer_database_is_left_alone(there: Place) -> None:
    """Whatever would bring it up to date says who made it instead."""
    of_another_version(there)
    before = there.door.snapshot()
    for command in ("setup", "outlet add new --kind website", "up --port 0", "demo --once"):
        told = there.door.run(*command.split(), "--json")
        assert_refusal(told, there.database, "9999_from_the_future", "the version that made it")
    assert before == there.door.snapshot()


# what doctor says of all that


def level(told: Result, check: str) -> str:
    """Of the one finding of this check; doctor has examined everything else, too, and ends with 7."""
    assert (7, "") == (told.code, told.err)
    (found,) = [one for one in told.json["findings"] if one["check"] == check]
    assert found["level"] != "bad" or found["mend"]
    return str(found["level"])


def doctor(there: Place) -> Result:
    return there.door.run("doctor", "--json")


def test_doctor_examines_what_is_not_there(new: Place, mode: Mode) -> None:
    """Neither a missing home, database or key nor an old schema keeps it from saying so, and none is made."""
    assert "bad" == level(doctor(new), "home")
    assert not new.home.exists()
    new.door.done("setup")
    path = new.home / "secret.key" if mode is EMBEDDED else Path(new.installed.env["TONGFA_SECRET_KEY_FILE"])
    key = path.rename(path.with_name("away"))
    told = doctor(new)
    assert ("bad", "ok", "ok") == (level(told, "key"), level(told, "migrations"), level(told, "due work"))
    key.rename(path)
    with new.store() as store, store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000_pre'"))
    assert "bad" == level(doctor(new), "migrations")
    (missing if mode is EMBEDDED else dropped)(new)
    assert "bad" == level(doctor(new), "database")
    assert mode is not EMBEDDED or not (new.home / "tongfa.sqlite3").exists()


def test_doctor_speaks_the_installations_language(there: Place) -> None:
    """The same findings, in Chinese or English; `check` and `level` are the same in both."""
    both = [there.door.run("doctor", "--json", TONGFA_LANG=lang).json for lang in ("zh-CN", "en")]
    chinese, english = ([(one["check"], one["level"]) for one in told["findings"]] for told in both)
    assert chinese == english
    shown = there.door.run("doctor", TONGFA_LANG="zh-CN").out
    assert "✗ 预置工作进程: 没有在运行\n    → `tongfa up`，或 `tongfa worker --lane prepare`" in shown
    shown = there.door.run("doctor", TONGFA_LANG="en").out
    assert "✗ prepare worker: none is running\n    → `tongfa up`, or `tongfa worker --lane prepare`" in shown


def test_what_no_channel_can_be_made_of_is_a_finding(there: Place) -> None:
    """Stored by an older version, or written past us: `outlet check` and `doctor` say so, and of the others too."""
    there.door.done("outlet", "add", "bad", "--kind", "website")
    with there.store() as store, store.write() as connection:
        row = outlets.get(connection, "bad")
        outlets.change(connection, row, "changed", at=1, actor="test", settings={"theme": "red"})
    sandbox(there)
    told = there.door.run("outlet", "check", "bad", "--json")
    assert (7, False, "BadInput") == (told.code, told.json["ok"], told.json["error"])
    assert "theme" in told.json["message"] and "outlet set bad" in told.json["mend"]
    assert 7 == there.door.run("outlet", "check", "bad").code
    told = doctor(there)
    assert ("bad", "bad") == (level(told, "outlet bad (sandbox)"), level(told, "outlet site (sandbox)"))


def sandbox(there: Place) -> None:
    """As if the pages' sandbox had run there once."""
    (there.home / "sandbox" / "pages").mkdir(parents=True)
    (there.home / "sandbox" / "pages" / "address").write_text("http://127.0.0.1:9")


# space: of the disk that an embedded installation keeps its database on. In production that is the server's: what it
# answers then is in tests/integration/test_store_server.py, and tests/acceptance/test_faults.py shows it at the commit.


@contextmanager
def full(folder: Path) -> Iterator[bool]:
    """`folder` on a disk of its own without a byte to spare; False where this user may not mount one."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> None:
    with (folder / "fill").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_a_full_disk(tmp_path: Path) -> None:
    """Nothing is stored, planned or half written, and once there is space everything goes on."""
    with full(tmp_path / "disk") as mounted:
        small = place(tmp_path / "disk", EMBEDDED)
        opened, home = small.door, small.home
        opened.done("outlet", "add", "site", "--kind", "website")
        with small.workers():
            before = snapshot(home)
            if mounted:
                fill(tmp_path / "disk")
            for command in ("publish item.md --outlets site", "item add item.md", "outlet add new --kind website",
                            "outlet pause site"):  # fmt: skip
                for how in (["--json"], []) if mounted else ():
                    told = opened.run(*command.split(), *how, TONGFA_HOME=str(home))
                    where, says = str(home), "nothing was stored"
                    assert_refusal(told, where, says, "free some space", json=bool(how))
            if mounted:
                told = opened.run("setup", "--json", TONGFA_HOME=str(tmp_path / "disk" / "second"))
                assert_refusal(told, str(tmp_path / "disk" / "second"), "", "free some space")
                (tmp_path / "disk" / "fill").unlink()
            assert before == snapshot(home)  # only now: looking needs a little space, too
            opened.done("setup", TONGFA_HOME=str(tmp_path / "disk" / "second"))
            opened.done("item", "add", "item.md", TONGFA_HOME=str(home))
            opened.done("outlet", "pause", "site", TONGFA_HOME=str(home))


def test_a_quota(tmp_path: Path) -> None:
    """The same when it is not the disk but this user's share that is used up: no file may grow beyond 8 KiB."""
    made = place(tmp_path, EMBEDDED)
    home = made.home
    made.door.done("outlet", "add", "site", "--kind", "website")
    before = snapshot(home)
    command = f"ulimit -f 8; exec {TONGFA} item add item.md --json"
    environment = made.installed.environment()
    told = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert 2 == told.returncode, told.stderr
    assert "Traceback" not in told.stderr and '"error"' in told.stdout
    assert before == snapshot(home)


# nobody is there


def test_no_worker_runs(opened: Door) -> None:
    """Said at once, not after the seconds of --wait; and nothing is planned."""
    began = time.monotonic()
    told = opened.run("publish", "item.md", "--outlets", "site", "--wait", "60", "--json")
    assert_refusal(told, "workers", "no prepare worker and no release worker is running", "start `tongfa up`")
    assert time.monotonic() - began < 30
    mend = "nothing was planned"
    for order in ("publish item.md --outlets site", "release resume 0123"):
        refused(opened, *order.split(), where="workers", says="is running", mend=mend)


def test_a_repeated_request_needs_no_worker(there: Place) -> None:
    """Its first result is there already; an id of another request is refused."""
    sandbox(there)
    order = ("publish", "item.md", "--outlets", "site", "--at", "2090-01-02T09:00Z", "--request-id", "7")
    with there.workers():
        first = there.door.done(*order)
        back = ("withdraw", first["item"], "--reason", "误发", "--request-id", "8")
        gone = there.door.done(*back)
        assert ("cancelled", first["release"]) == (gone["state"], gone["release"])
    for command in (order, back):
        assert first["release"] == there.door.done(*command)["release"]
    for other in (*back[:-1], "7"), (*order[:-1], "8"):
        assert_refusal(there.door.run(*other, "--json"), "--request-id", "was used to", "an id of its own")


def test_no_sandbox_runs(opened: Door) -> None:
    """`outlet check` and `doctor` find it (7), and say what starts it."""
    told = opened.run("outlet", "check", "site", "--json")
    assert (7, False) == (told.code, told.json["ok"])
    assert "`tongfa up` starts" in told.json["mend"]
    findings = {one["check"]: one for one in opened.run("doctor", "--json").json["findings"]}
    assert "`tongfa up` starts" in findings["outlet site (sandbox)"]["mend"]


def test_the_port_is_taken(new: Place) -> None:
    """`up` says so, and makes no installation."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        told = new.door.run("up", "--port", port, "--json")
    assert_refusal(told, f"--port {port}", "Address already in use", "another with --port")
    assert not new.home.exists()


def test_a_part_that_does_not_start(new: Place) -> None:
    """`up` names the part, its log and the last line of that, and leaves nothing running."""
    new.door.done("setup")
    (new.home / "sandbox" / "pages" / "record.jsonl").mkdir(parents=True)
    told = new.door.run("up", "--port", "0", "--json")
    log = new.home / "log" / "sandbox-pages.log"
    assert_refusal(told, "start", f"{log} ends with: ", "mend what its log says")
    assert "pages sandbox ended with code 1" in told.err and "Is a directory" in told.err
    assert [] == [*new.installed.workers("prepare"), *new.installed.workers("release")]


# our own faults


def test_our_own_fault_is_told_without_a_traceback(there: Place, tmp_path: Path) -> None:
    """Exit 1 and one line; the traceback is in the home's log, or on stderr with --debug."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sync.store.items\ndef page(*a, **k): raise KeyError('boom')\nsync.store.items.page = page\n"
    )
    log, installed = there.home / "log" / "internal-errors.log", there.installed
    installed.env = {**installed.env, "PYTHONPATH": str(tmp_path)}
    told = installed.run_anew("item", "list", "--json")
    assert_refusal(told, "tongfa", "internal error: KeyError: 'boom'", str(log), code=1)
    assert "Traceback" in log.read_text() and 0o600 == log.stat().st_mode & 0o777
    told = installed.run_anew("item", "list", "--debug")
    assert (1, "") == (told.code, told.out)
    assert "Traceback" in told.err and "error tongfa: internal error" in told.err
    assert 1 == log.read_text().count("Traceback")
    away = Installation(tmp_path / "none", installed.env).run_anew("item", "list")
    assert 2 == away.code and not (tmp_path / "none").exists()


def test_a_user_without_a_name(opened: Door) -> None:
    """Containers run under numbers nobody named; entries then name the number."""
    item = opened.done("item", "add", "item.md", LOGNAME="", USER="", LNAME="", USERNAME="")
    entries = opened.done("log", "list", "--item", item["item"])["entries"]
    assert entries[0]["actor"] in ("cli:root", f"cli:{os.getuid()}")


def test_every_setting_has_a_variable_that_is_known() -> None:
    """So that the nearest name can be told for any misspelling."""
    assert all(variable(name).startswith("TONGFA_") for name in Settings.model_fields)
