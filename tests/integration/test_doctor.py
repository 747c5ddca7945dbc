"""`doctor`: one fault planted for each check is found by that check, in both languages, and hides no other."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from sync import confine
from sync.bootstrap import context, create_home
from sync.clock import SECOND, SystemClock
from sync.engine import doctor, footing
from sync.engine.context import Context
from sync.engine.finding import CHECKS, Finding, Said, told
from sync.ownership import ProcessLock
from sync.settings import Settings, read_settings
from sync.store import copies, items, outlets, recovery, releases
from sync.store.session import Store
from sync.store.tables import FORM, required_form
from sync.vault import Vault, create_key
from tests.integration.rows import AT, EDITION, OUTLET, RELEASE, add_delivery, tell, the_delivery
from tests.services.postgres import Postgres

NOW = SystemClock().now


class Fast(SystemClock):
    """A host whose clock is ten seconds ahead of its database's."""

    def now(self) -> int:
        return super().now() + 10 * SECOND


@dataclass
class Examined:
    """An installation in which nothing is wrong, until a test plants something."""

    settings: Settings
    patch: pytest.MonkeyPatch
    lanes: dict[str, ProcessLock] = field(default_factory=dict)
    clock: SystemClock = field(default_factory=SystemClock)

    @property
    def store(self) -> Store:
        return Store(self.settings.database_url)

    def set(self, **changed: Any) -> None:
        self.settings = self.settings.model_copy(update=changed)

    def findings(self) -> list[Finding]:
        made: list[Context] = []

        def wired() -> Context:
            made.append(context(self.settings, "command", person="test", clock=self.clock, examining=True))
            return made[-1]

        try:
            return doctor.findings(self.settings, wired)
        finally:
            for ctx in made:
                ctx.store.close()
                ctx.lock.release()

    def bad(self) -> dict[str, Finding]:
        return {one.check: one for one in self.findings() if one.level == "bad"}

    def outlet(self, kind: str, *, retired: bool = False, **more: Any) -> None:
        with self.store.write() as connection:
            outlets.add(connection, {**OUTLET, "kind": kind, **more}, at=NOW(), actor="test")
            if retired:
                row = outlets.get(connection, "blog")
                outlets.change(connection, row, "retired", at=NOW(), actor="test", state="retired")

    def delivery(self, **values: Any) -> None:
        """One delivery, at an outlet that is no longer examined itself."""
        self.outlet("website", retired=True)
        with self.store.write() as connection:
            items.add(connection, EDITION, unit=outlets.LOCAL_UNIT, routing={}, at=AT, author="test")
            releases.add(connection, RELEASE, [(EDITION.item, 1)], at=AT, actor="test", detail={})
            state = values.get("state", "planned")
            add_delivery(connection, "delivery-1", **{"duty": None, "due_at": None, **values, "state": "planned"})
            if state != "planned":
                entry = tell(connection, "delivery", "delivery-1", state)
                connection.execute(text(f"UPDATE delivery SET state = '{state}', entry_id = {entry}"))


@pytest.fixture
def examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Examined]:
    """Embedded, the key outside the home, a process of each lane, and a clock that the kernel calls synchronised."""
    settings = read_settings(home=tmp_path / "home", secret_key_file=tmp_path / "secret.key")
    create_home(settings, SystemClock())
    monkeypatch.setattr(doctor, "kernel_clock", lambda: "synchronised")
    made = Examined(settings, monkeypatch)
    with ExitStack() as locks:
        for lane in ("prepare", "release"):
            made.lanes[lane] = ProcessLock(settings.home / "workers", lane)
            assert made.lanes[lane].name
            locks.callback(made.lanes[lane].release)
        yield made


# faults


def no_home(one: Examined) -> None:
    one.set(home=one.settings.home.with_name("none"), database_url=one.settings.database_url)


def no_database(one: Examined) -> None:
    (one.settings.home / "tongfa.sqlite3").unlink()


def damaged_database(one: Examined) -> None:
    (one.settings.home / "tongfa.sqlite3").write_bytes(b"this is a letter to the editor\n" * 100)


def server_down(one: Examined) -> None:
    one.set(database_url="postgresql://nobody@127.0.0.1:1/none")


def empty_database(one: Examined) -> None:
    (one.settings.home / "tongfa.sqlite3").write_bytes(b"")


def schema(one: Examined, version: str) -> None:
    with one.store.write() as connection:
        connection.execute(insert(required_form).values(form=FORM + 1))
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))


def no_key(one: Examined) -> None:
    one.settings.secret_key_path.unlink()


def open_key(one: Examined) -> None:
    one.settings.secret_key_path.chmod(0o644)


def other_key(one: Examined) -> None:
    sealed = Vault.at(one.settings.secret_key_path).seal("blog", "secret", "whsec")
    one.outlet("webhook", secrets={"secret": sealed})
    (one.settings.home / "sandbox" / "webhook").mkdir(parents=True)
    one.settings.secret_key_path.unlink()
    create_key(one.settings.secret_key_path)


def full_disk(one: Examined) -> None:
    usage = shutil.disk_usage(one.settings.home)
    one.patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=usage.total // 100))


def no_walls(one: Examined) -> None:
    def fail() -> None:
        raise confine.Failed("crash", "no process")

    one.patch.setattr(confine, "walls", fail)


def copied_home(one: Examined) -> None:
    other = one.settings.home.with_name("copy")
    shutil.copytree(one.settings.home, other)
    one.set(home=other, database_url=f"sqlite:///{other / 'tongfa.sqlite3'}")
    for lane, lock in one.lanes.items():
        lock.release()
        one.lanes[lane] = ProcessLock(other / "workers", lane)
        assert one.lanes[lane].name


def other_identity(one: Examined) -> None:
    (one.settings.home / "installation").unlink()
    (one.settings.home / "installation").mkdir()  # a file that cannot be read, whoever asks


def restored(one: Examined) -> None:
    one.delivery(duty="prepare", due_at=NOW() + 60 * SECOND)
    with one.store.write() as connection:
        recovery.begin(connection, "recovery-1", recovery.RESTORED, {}, at=NOW(), actor="test")


def unsynchronised(one: Examined) -> None:
    one.patch.setattr(doctor, "kernel_clock", lambda: "unsynchronised")
    one.outlet("website", live=True, settings={"base_url": "https://a.example", "directory": "/nowhere/at/all"})


def altered_copy(one: Examined) -> None:
    receipt = {"ref": "1", "url": "https://blog.example/1", "at": AT, "notes": {}}
    one.delivery(state="released", receipt=receipt)
    with one.store.write() as connection:
        copies.appear(connection, the_delivery(one.store), at=AT, actor="test")
        (row,) = copies.of_item(connection, EDITION.item)
        copies.move(connection, row, copies.ALTERED, at=AT, actor="test", detail={})


def held_release(one: Examined) -> None:
    one.delivery()
    with one.store.write() as connection:
        entry = tell(connection, "release", RELEASE["id"], "held")
        connection.execute(text(f"UPDATE release SET state = 'held', why = 'blog: no', entry_id = {entry}"))


def broken_template(one: Examined) -> None:
    path = one.settings.home / "templates" / "mastodon" / "status.txt"
    path.parent.mkdir(parents=True)
    path.write_text("{{ title }}\n{% endif %}\n")


Plant = Callable[[Examined], Any]

# What is planted → the check that finds it, a word of what it says, and one of the mend; then what else is bad by it.
FAULTS: dict[str, tuple[Plant, str, str, str, tuple[str, ...]]] = {
    "no home": (no_home, "home", "no installation", "tongfa setup", ()),
    "no database": (no_database, "database", "there is no", "tongfa setup", ()),
    "no database but a letter": (damaged_database, "database", "not a database", "from a backup", ("migrations",)),
    "the server is down": (server_down, "database", "127.0.0.1", "", ("migrations",)),
    "an empty database": (empty_database, "migrations", "never set up", "tongfa setup", ()),
    "an older database": (lambda one: schema(one, "0000_pre"), "migrations", "0000_pre", "tongfa setup", ()),
    "a newer database": (lambda one: schema(one, "9999_post"), "migrations", "9999_post", "the version", ()),
    "no key": (no_key, "key", "No such file", "TONGFA_SECRET_KEY_FILE", ()),
    "a key for everybody": (open_key, "key", "other users", "chmod 600", ()),
    "another key": (other_key, "key", "blog.secret", "secret.key", ("outlet blog (sandbox)",)),
    "a broker that is down": (
        lambda one: one.set(broker_url="redis://127.0.0.1:1/0"),
        "broker",
        "reached",
        "TONGFA_BROKER_URL",
        (),
    ),
    "a full disk": (full_disk, "disk", "MiB free", "free some space", ()),
    "no font": (lambda one: one.patch.setattr(footing, "FONTS", Path("/none")), "fonts", "font", "fonts-noto", ()),
    "no walls": (no_walls, "confinement", "no process", "", ()),
    "a broken template": (broken_template, "templates", "status.txt:2", "mend that line", ()),
    "a copied home": (copied_home, "installation", "was moved", "tongfa adopt", ()),
    "an unreadable home": (other_identity, "installation", "cannot be read", "give this user", ()),
    "a restore": (restored, "reconciled", "0 of 1 looked up", "tongfa restore --status", ()),
    "no prepare worker": (lambda one: one.lanes["prepare"].release(), "prepare worker", "none", "--lane prepare", ()),
    "no release worker": (lambda one: one.lanes["release"].release(), "release worker", "none", "--lane release", ()),
    "work that nobody does": (
        lambda one: one.delivery(duty="prepare", due_at=NOW() - 100 * SECOND),
        "due work",
        "1 deliveries wait",
        "more workers",
        (),
    ),
    "clocks that differ": (lambda one: setattr(one, "clock", Fast()), "clock", "differ by", "time service", ()),
    "an unsynchronised clock": (unsynchronised, "clock", "no release to blog", "time service", ("outlet blog",)),
    "an outlet of settings that mean nothing": (
        lambda one: one.outlet("website", settings={"theme": "red"}, live=True),
        "outlet blog",
        "directory",
        "outlet set blog",
        (),
    ),
    "an outlet of an unknown kind": (lambda one: one.outlet("fax"), "outlet blog (sandbox)", "fax", "", ()),
    "a sandbox that is down": (
        lambda one: one.outlet("website"),
        "outlet blog (sandbox)",
        "not running",
        "`tongfa up` starts",
        (),
    ),
    "a failed delivery": (
        lambda one: one.delivery(state="failed"),
        "delivery delivery-1",
        "blog is failed",
        "delivery retry delivery-1",
        (),
    ),
    "an unresolved delivery": (
        lambda one: one.delivery(state="unresolved"),
        "delivery delivery-1",
        "blog is unresolved",
        "delivery settle delivery-1",
        (),
    ),
    "a held release": (held_release, "release release-1", "blog: no", "release resume release-1", ()),
    "an altered copy": (altered_copy, "copy delivery-1", "is altered", "tongfa correct", ()),
}


def test_nothing_is_wrong_and_nothing_is_found(examined: Examined) -> None:
    """Every check says that it is content, in the order of the list, and each but for what is not there once."""
    found = examined.findings()
    assert {} == examined.bad()
    assert {"ok"} == {one.level for one in found}
    subjects = {"outlet", "delivery", "release", "copy", "ping", "feed"}
    subjects |= {"breaker", "patience", "budget", "credentials"}
    assert set(CHECKS) - subjects == {one.check for one in found}
    assert len(found) == len(CHECKS) - len(subjects)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_by_its_check(examined: Examined, fault: str) -> None:
    """With what is wrong and its mend; every other check says what it said before."""
    plant, check, says, mend, besides = FAULTS[fault]
    plant(examined)
    bad = examined.bad()
    assert {check, *besides} == bad.keys()
    shown = bad[check].shown("en")
    assert says in shown["message"] and mend in shown["mend"] and shown["mend"], shown


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_told_in_both_languages(examined: Examined, fault: str) -> None:
    """What we say ourselves has Chinese words; what an error says, and a command to type, is the same in both."""
    plant, check, *_ = FAULTS[fault]
    plant(examined)
    found = examined.bad()[check]
    for part in (found.message, found.mend):
        if isinstance(part, Said):
            assert part.zh != part.en
            assert any("一" <= letter <= "鿿" for letter in part.zh), part
    assert any("一" <= letter <= "鿿" for letter in found.named("zh-CN"))
    assert check == found.named("en") and told(found.message, "en") == found.shown("en")["message"]


def test_an_unsynchronised_clock_is_worth_knowing_where_it_stops_nothing(examined: Examined) -> None:
    """No live outlet in public, or the operator accepts it: a note, with the same mend."""
    examined.patch.setattr(doctor, "kernel_clock", lambda: "unsynchronised")
    assert ["note"] == [one.level for one in examined.findings() if one.check == "clock"]
    unsynchronised(examined)
    assert "clock" in examined.bad()
    examined.set(clock_unsynchronised="accept")
    assert ["note"] == [one.level for one in examined.findings() if one.check == "clock"]


def test_the_key_is_tried_on_every_secret(examined: Examined) -> None:
    """One that was altered is named, the others are not, and no secret is shown."""
    vault = Vault.at(examined.settings.secret_key_path)
    good, altered = (vault.seal("blog", name, "geheim") for name in ("one", "two"))
    examined.outlet("website", secrets={"one": good, "two": altered[:-8] + "AAAAAAA="})
    message = told(examined.bad()["key"].message, "en")
    assert message.startswith("1 of 2 secrets") and "blog.two" in message and "blog.one" not in message
    assert "geheim" not in repr(examined.findings())


def test_a_key_in_the_home_is_worth_knowing(tmp_path: Path) -> None:
    """As it is embedded unless it is put elsewhere."""
    settings = read_settings(home=tmp_path / "home")
    create_home(settings, SystemClock())
    (found,) = [one for one in footing.findings(settings) if one.check == "key"]
    assert ("note", True) == (found.level, "TONGFA_SECRET_KEY_FILE" in told(found.mend, "en"))


def test_an_empty_database_of_a_server(postgres: Postgres, tmp_path: Path) -> None:
    """What is missing is said to be its tables, and not the database."""
    url = postgres.database()
    settings = read_settings(home=tmp_path, database_url=url, secret_key_file=tmp_path / "secret.key")
    create_key(settings.secret_key_path)
    found = {one.check: one for one in footing.findings(settings)}
    assert "never set up" in told(found["migrations"].message, "en")
    assert "there is no" not in told(found["database"].message, "en")
    postgres.drop(url)


def test_examining_changes_nothing(examined: Examined) -> None:
    """No row, and no file but what SQLite keeps beside its own."""

    def there() -> dict[str, bytes]:
        files = [path for path in examined.settings.home.rglob("*") if path.is_file()]
        return {path.name: path.read_bytes() for path in files if not path.name.startswith("tongfa.sqlite3-")}

    examined.outlet("website")
    with examined.store.read() as connection:
        entries = connection.execute(text("SELECT count(*) FROM entry")).scalar()
    before = there()
    examined.findings()
    assert before == there()
    with examined.store.read() as connection:
        assert entries == connection.execute(text("SELECT count(*) FROM entry")).scalar()
