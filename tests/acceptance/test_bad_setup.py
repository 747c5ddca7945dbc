"""An installation that is missing, broken, full, of another version or not running says so, and how to mend it."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from sync.ownership import ProcessLock
from sync.settings import Settings, variable
from sync.store import outlets
from sync.store.session import Store
from tests.acceptance.commands import Door, assert_refusal, refused, snapshot
from tests.acceptance.forks import Result
from tests.acceptance.installation import Installation, write_item
from tests.acceptance.mode import TONGFA

READS = ("item list", "release list", "delivery list", "log list", "outlet list", "outlet check site")
WRITES = ("item add item.md", "publish item.md --outlets site", "release hold 0123", "worker --lane prepare")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """A folder with an item and an outlet in `home`, where nothing runs."""
    folder = tmp_path_factory.mktemp("setup")
    write_item(folder, "item")
    made = Door(Installation(folder / "home"))
    made.done("outlet", "add", "site", "--kind", "website")
    return made


@contextmanager
def workers(home: Path) -> Iterator[None]:
    """As if both workers ran there."""
    with ExitStack() as locks:
        for lane in ("prepare", "release"):
            lock = ProcessLock(home / "workers", lane)
            assert lock.name
            locks.callback(lock.release)
        yield


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
def test_no_installation(opened: Door, tmp_path: Path, command: str) -> None:
    """Says which commands make one, and does not make one."""
    home = tmp_path / "home"
    mend = "`tongfa setup`, `outlet add`, `up` or `demo` makes one"
    told = opened.run(*command.split(), "--json", TONGFA_HOME=str(home))
    assert_refusal(told, str(home), "no installation here", mend)
    assert not home.exists()


def test_two_commands_make_an_installation(opened: Door, tmp_path: Path) -> None:
    """`setup` and `outlet add`; what they refuse makes none. `up` and `demo` are tested where they run."""
    for number, command in enumerate(("setup", "outlet add new --kind website")):
        home = tmp_path / str(number)
        wrong = opened.run(*command.split(), "--nonsense", TONGFA_HOME=str(home))
        assert (2, False) == (wrong.code, home.exists())
        opened.done(*command.split(), TONGFA_HOME=str(home))
        assert [] == opened.done("item", "list", TONGFA_HOME=str(home))["items"]
    refused_kind = opened.run("outlet", "add", "new", "--kind", "webiste", TONGFA_HOME=str(tmp_path / "none"))
    assert (2, False) == (refused_kind.code, (tmp_path / "none").exists())


def test_a_home_that_cannot_be_made(opened: Door, tmp_path: Path) -> None:
    """A file is in the way, or the way leads through one."""
    (tmp_path / "file").write_text("x")
    for home in (tmp_path / "file", tmp_path / "file" / "home"):
        told = opened.run("setup", "--json", TONGFA_HOME=str(home))
        assert_refusal(told, str(home), "", "choose another TONGFA_HOME")


# the database


def missing(database: Path) -> None:
    database.unlink()


def empty(database: Path) -> None:
    database.write_bytes(b"")


def of_another_version(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_from_the_future'")
        connection.execute("INSERT INTO required_form (form) VALUES (9)")


def no_database(database: Path) -> None:
    database.write_bytes(b"this is a letter to the editor\n" * 100)


def damaged(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096 : len(content) // 2] = os.urandom(len(content) // 2 - 4096)
    database.write_bytes(content)


DATABASES = {
    "missing": (missing, "never set up", "run `tongfa setup`"),
    "empty": (empty, "never set up", "run `tongfa setup`"),
    "another version": (of_another_version, "is at 9999_from_the_future, this version needs", "that brought it there"),
    "no database": (no_database, "no database", "restore it from a backup"),
    "damaged": (damaged, "damaged", "restore it from a backup"),
}


@pytest.mark.parametrize("state", DATABASES)
def test_a_wrong_database(opened: Door, tmp_path: Path, state: str) -> None:
    """Every command that needs it refuses it the same way."""
    break_it, says, mend = DATABASES[state]
    home = tmp_path / "home"
    opened.done("outlet", "add", "site", "--kind", "website", TONGFA_HOME=str(home))
    break_it(home / "tongfa.sqlite3")
    with workers(home):
        for command in (*READS[:4], *WRITES[:2]):
            told = opened.run(*command.split(), "--json", TONGFA_HOME=str(home))
            assert_refusal(told, str(home), says, mend)
    if mend == "run `tongfa setup`":
        assert opened.done("setup", TONGFA_HOME=str(home))["ready"]
    else:
        assert 2 == opened.run("setup", TONGFA_HOME=str(home)).code


def test_a_newer_database_is_left_alone(opened: Door, tmp_path: Path) -> None:
    """Whatever would bring it up to date says who made it instead."""
    home = tmp_path / "home"
    opened.done("outlet", "add", "site", "--kind", "website", TONGFA_HOME=str(home))
    of_another_version(home / "tongfa.sqlite3")
    before = snapshot(home)
    for command in ("setup", "outlet add new --kind website", "up --port 0", "demo --once"):
        told = opened.run(*command.split(), "--json", TONGFA_HOME=str(home))
        assert_refusal(told, str(home), "9999_from_the_future", "the version that made it")
    assert before == snapshot(home)


# what doctor says of all that


def level(told: Result, check: str) -> str:
    """Of the one finding of this check; doctor has examined everything else, too, and ends with 7."""
    assert (7, "") == (told.code, told.err)
    (found,) = [one for one in told.json["findings"] if one["check"] == check]
    assert found["level"] != "bad" or found["mend"]
    return str(found["level"])


def test_doctor_examines_what_is_not_there(opened: Door, tmp_path: Path) -> None:
    """Neither a missing home, database or key nor an old schema keeps it from saying so, and none is made."""
    home = tmp_path / "home"
    assert "bad" == level(opened.run("doctor", "--json", TONGFA_HOME=str(home)), "home")
    assert not home.exists()
    opened.done("setup", TONGFA_HOME=str(home))
    key = (home / "secret.key").read_bytes()
    (home / "secret.key").unlink()
    told = opened.run("doctor", "--json", TONGFA_HOME=str(home))
    assert ("bad", "ok", "ok") == (level(told, "key"), level(told, "migrations"), level(told, "due work"))
    (home / "secret.key").write_bytes(key)
    with closing(sqlite3.connect(home / "tongfa.sqlite3")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000_pre'")
    told = opened.run("doctor", "--json", TONGFA_HOME=str(home))
    assert ("ok", "bad") == (level(told, "database"), level(told, "migrations"))
    (home / "tongfa.sqlite3").unlink()
    assert "bad" == level(opened.run("doctor", "--json", TONGFA_HOME=str(home)), "database")
    assert not (home / "tongfa.sqlite3").exists()


def test_doctor_speaks_the_installations_language(opened: Door, tmp_path: Path) -> None:
    """The same findings, in Chinese or English; `check` and `level` are the same in both."""
    home = str(tmp_path / "home")
    opened.done("outlet", "add", "site", "--kind", "website", TONGFA_HOME=home)
    both = [opened.run("doctor", "--json", TONGFA_HOME=home, TONGFA_LANG=lang).json for lang in ("zh-CN", "en")]
    chinese, english = ([(one["check"], one["level"]) for one in told["findings"]] for told in both)
    assert chinese == english
    text = opened.run("doctor", TONGFA_HOME=home, TONGFA_LANG="zh-CN").out
    assert "✗ 预置工作进程: 没有在运行\n    → `tongfa up`，或 `tongfa worker --lane prepare`" in text
    text = opened.run("doctor", TONGFA_HOME=home, TONGFA_LANG="en").out
    assert "✗ prepare worker: none is running\n    → `tongfa up`, or `tongfa worker --lane prepare`" in text


def test_what_no_channel_can_be_made_of_is_a_finding(opened: Door, tmp_path: Path) -> None:
    """Stored by an older version, or written past us: `outlet check` and `doctor` say so, and of the others too."""
    home = tmp_path / "home"
    for name in ("bad", "site"):
        opened.done("outlet", "add", name, "--kind", "website", TONGFA_HOME=str(home))
    store = Store(f"sqlite:///{home / 'tongfa.sqlite3'}")
    with store.write() as connection:
        row = outlets.get(connection, "bad")
        outlets.change(connection, row, "changed", at=1, actor="test", settings={"theme": "red"})
    store.close()
    (home / "sandbox" / "pages").mkdir(parents=True)
    (home / "sandbox" / "pages" / "address").write_text("http://127.0.0.1:9")
    told = opened.run("outlet", "check", "bad", "--json", TONGFA_HOME=str(home))
    assert (7, False, "BadInput") == (told.code, told.json["ok"], told.json["error"])
    assert "theme" in told.json["message"] and "outlet set bad" in told.json["mend"]
    assert 7 == opened.run("outlet", "check", "bad", TONGFA_HOME=str(home)).code
    told = opened.run("doctor", "--json", TONGFA_HOME=str(home))
    assert ("bad", "bad") == (level(told, "outlet bad (sandbox)"), level(told, "outlet site (sandbox)"))


# space


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


def test_a_full_disk(opened: Door, tmp_path: Path) -> None:
    """Nothing is stored, planned or half written, and once there is space everything goes on."""
    with full(tmp_path / "disk") as mounted:
        home = tmp_path / "disk" / "home"
        opened.done("outlet", "add", "site", "--kind", "website", TONGFA_HOME=str(home))
        with workers(home):
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


def test_a_quota(opened: Door, tmp_path: Path) -> None:
    """The same when it is not the disk but this user's share that is used up: no file may grow beyond 8 KiB."""
    home = tmp_path / "home"
    opened.done("outlet", "add", "site", "--kind", "website", TONGFA_HOME=str(home))
    before = snapshot(home)
    environment = {**os.environ, "TONGFA_HOME": str(home), "TONGFA_LANG": "en"}
    command = f"ulimit -f 8; exec {TONGFA} item add item.md --json"
    told = subprocess.run(
        ["bash", "-c", command], cwd=opened.folder, env=environment, capture_output=True, text=True, check=False
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


def test_a_repeated_request_needs_no_worker(opened: Door, tmp_path: Path) -> None:
    """Its first result is there already."""
    home = tmp_path / "home"
    opened.done("outlet", "add", "site", "--kind", "website", TONGFA_HOME=str(home))
    (home / "sandbox" / "pages").mkdir(parents=True)
    (home / "sandbox" / "pages" / "address").write_text("http://127.0.0.1:9")
    order = ("publish", "item.md", "--outlets", "site", "--at", "2090-01-02T09:00Z", "--request-id", "7")
    with workers(home):
        first = opened.done(*order, TONGFA_HOME=str(home))
        back = ("withdraw", first["item"], "--reason", "误发", "--request-id", "8")
        gone = opened.done(*back, TONGFA_HOME=str(home))
        assert ("cancelled", first["release"]) == (gone["state"], gone["release"])
    for command in (order, back):
        assert first["release"] == opened.done(*command, TONGFA_HOME=str(home))["release"]
    for other in ("withdraw", first["item"], "--reason", "误发", "--request-id", "7"), (*order[:-1], "8"):
        told = opened.run(*other, "--json", TONGFA_HOME=str(home))
        assert_refusal(told, "--request-id", "was used to", "an id of its own")


def test_no_sandbox_runs(opened: Door) -> None:
    """`outlet check` and `doctor` find it (7), and say what starts it."""
    told = opened.run("outlet", "check", "site", "--json")
    assert (7, False) == (told.code, told.json["ok"])
    assert "`tongfa up` starts" in told.json["mend"]
    findings = {one["check"]: one for one in opened.run("doctor", "--json").json["findings"]}
    assert "`tongfa up` starts" in findings["outlet site (sandbox)"]["mend"]


def test_the_port_is_taken(opened: Door, tmp_path: Path) -> None:
    """`up` says so, and makes no installation."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port, home = str(taken.getsockname()[1]), tmp_path / "home"
        told = opened.run("up", "--port", port, "--json", TONGFA_HOME=str(home))
    assert_refusal(told, f"--port {port}", "Address already in use", "another with --port")
    assert not home.exists()


def test_a_part_that_does_not_start(opened: Door, tmp_path: Path) -> None:
    """`up` names the part, its log and the last line of that, and leaves nothing running."""
    home = tmp_path / "home"
    opened.done("setup", TONGFA_HOME=str(home))
    (home / "sandbox" / "pages" / "record.jsonl").mkdir(parents=True)
    told = opened.run("up", "--port", "0", "--json", TONGFA_HOME=str(home))
    assert_refusal(told, "start", f"{home / 'log' / 'sandbox-pages.log'} ends with: ", "mend what its log says")
    assert "pages sandbox ended with code 1" in told.err and "Is a directory" in told.err
    assert [] == ProcessLock(home / "workers", "test").living()


# our own faults


def test_our_own_fault_is_told_without_a_traceback(opened: Door, tmp_path: Path) -> None:
    """Exit 1 and one line; the traceback is in the home's log, or on stderr with --debug."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sync.store.items\ndef page(*a, **k): raise KeyError('boom')\nsync.store.items.page = page\n"
    )
    log = opened.home / "log" / "internal-errors.log"
    installed = Installation(opened.home, {"PYTHONPATH": str(tmp_path)})
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
