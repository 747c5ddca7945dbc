"""A backup is of one moment, whole or refused, and becomes the same installation, on both databases."""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select

from sync import archive, backup, restore
from sync.bootstrap import context, create_home
from sync.clock import SystemClock
from sync.content.source import read
from sync.engine import identity, recover
from sync.engine.context import Context
from sync.engine.submit import accept
from sync.model import BadInput
from sync.settings import Settings, read_settings
from sync.store import items, journal, outlets, recovery
from sync.store.session import Store
from sync.store.tables import asset, edition, metadata
from tests.integration.rows import OUTLET
from tests.services.postgres import Postgres

CLOCK = SystemClock()
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)


class Here:
    """One installation: its settings and, as often as asked, a context."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        create_home(settings, CLOCK)
        self.ctx = context(settings, "command", person="test")

    def item(self, title: str) -> str:
        folder = self.settings.home.parent / "items"
        folder.mkdir(exist_ok=True)
        (folder / "route.png").write_bytes(PNG)
        path = folder / "item.md"
        path.write_text(f"---\ntitle: {title}\n---\n\n正文。\n\n![示意图](route.png)\n")
        return accept(self.ctx, read(path, CLOCK.now())).item

    def take(self, name: str = "b.tar", **how: Any) -> Path:
        out = self.settings.home.parent / name
        backup.take(self.ctx, out, lambda told: None, **how)
        return out

    def close(self) -> None:
        self.ctx.store.close()
        self.ctx.lock.release()


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Hands out settings of one new home and empty database after another."""
    server: Postgres | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    urls: list[str] = []

    def fresh(name: str) -> Settings:
        more: dict[str, Any] = {"secret_key_file": tmp_path / "secret.key"}
        if server is not None:
            urls.append(server.database())
            more["database_url"] = urls[-1]
        return read_settings(home=tmp_path / name, **more)

    yield fresh
    for url in urls:
        assert server is not None
        server.drop(url)


@pytest.fixture
def here(databases: Any) -> Iterator[Here]:
    made = Here(databases("home"))
    with made.ctx.store.write() as connection:
        outlets.add(connection, OUTLET, at=CLOCK.now(), actor="test")
    yield made
    made.close()


def rows(store: Store) -> dict[str, list[str]]:
    """Every row of every table that a backup holds, but for what the restore itself adds."""
    with store.read() as connection:
        found = {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in metadata.sorted_tables
            if table.name not in ("process", "recovery", "look")
        }
        found["guards"] = sorted(_guards(connection))
    found["entry"] = [one for one in found["entry"] if "'recovery'" not in one]
    return found


def _guards(connection: Any) -> list[str]:
    asked = "SELECT name || sql FROM sqlite_master WHERE type = 'trigger'"
    if connection.dialect.name == "postgresql":
        asked = "SELECT tgrelid::regclass || tgname || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal"
    return [str(row[0]) for row in connection.exec_driver_sql(asked)]


def bring_back(settings: Settings, path: Path, *, new_key: bool = False) -> dict[str, Any]:
    return restore.restore(settings, path, CLOCK, "test", lambda told: None, new_key=new_key)


def test_what_is_restored_is_what_was_backed_up(here: Here, databases: Any) -> None:
    """Row by row, guard by guard and file by file; and it is marked: nothing is sent before all was looked up."""
    made = here.item("一则通告")
    path = here.take()
    settings = databases("again")
    told = bring_back(settings, path)
    ctx = context(settings, "command", person="test")
    try:
        assert rows(here.ctx.store) == rows(ctx.store)
        with ctx.store.read() as connection:
            assert recovery.current(connection) is not None
            assert told["installation"] == outlets.identity(connection) == identity.kept(settings)
            frozen, _ = items.get(connection, made)
        assert [PNG] == [ctx.assets.get(one.digest) for one in frozen.assets]
    finally:
        ctx.store.close()
        ctx.lock.release()


def test_a_restored_installation_is_adopted_and_takes_new_items(here: Here, databases: Any) -> None:
    """Numbering goes on where it was: the log has no gap and no number twice."""
    path = here.take()
    settings = databases("again")
    bring_back(settings, path)
    again = Here(settings)
    try:
        assert recover.adopt(again.ctx)  # it is another folder, or another database
        recover.look_up(again.ctx)
        with again.ctx.store.read() as connection:
            assert (None, None) == (recovery.current(connection), identity.mismatch(again.settings, connection))
        before = _size(again.ctx)
        again.item("恢复之后的通告")
        assert before + 1 == _size(again.ctx)
    finally:
        again.close()


def _size(ctx: Context) -> int:
    with ctx.store.read() as connection:
        return journal.size(connection)


def test_it_is_of_one_moment_while_others_write(here: Here) -> None:
    """Taken again and again beside a writer that writes two entries at a time: never one without the other."""
    stop, made = threading.Event(), list[int]()

    def write() -> None:
        while not stop.is_set():
            with here.ctx.store.write() as connection:
                for act in ("one", "two"):
                    number = journal.write(
                        connection,
                        at=CLOCK.now(),
                        unit=outlets.LOCAL_UNIT,
                        subject="item",
                        subject_id=str(len(made)),
                        act=act,
                        actor="test",
                    )
                    made.append(number)

    before = _size(here.ctx) % 2

    writer = threading.Thread(target=write)
    writer.start()
    try:
        taken = [archive.check(here.take(f"{number}.tar")) for number in range(5)]
    finally:
        stop.set()
        writer.join()
    entries = [told["entries"] for told in taken]
    assert entries == sorted(entries) and entries[0] < entries[-1]
    assert {before} == {number % 2 for number in entries}
    assert all(told["missing"] == [] for told in taken)


def test_a_changed_backup_is_refused(here: Here, databases: Any, tmp_path: Path) -> None:
    """Any byte of any part, cut off anywhere, or no backup at all: refused, and nothing comes to be."""
    here.item("一则通告")
    whole = here.take().read_bytes()
    chance, broken, settings = random.Random(3), tmp_path / "broken.tar", databases("again")
    told = archive.check(tmp_path / "b.tar")
    places = [_place(tmp_path / "b.tar", name, chance) for name in told["parts"] if told["parts"][name][0]]
    for at in places:
        broken.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(BadInput, match="no whole backup"):
            archive.check(broken)
    for end in (0, 10, len(whole) // 3, len(whole) // 2):
        broken.write_bytes(whole[:end])
        with pytest.raises(BadInput, match="no whole backup"):
            bring_back(settings, broken)
    broken.write_bytes(whole.replace(b'"entries": ', b'"entries": 1', 1))
    with pytest.raises(BadInput, match="no whole backup"):
        bring_back(settings, broken)
    assert not settings.home.exists()


def _place(path: Path, name: str, chance: random.Random) -> int:
    import tarfile

    with tarfile.open(path) as tar:
        member = tar.getmember(name)
        return member.offset_data + chance.randrange(member.size)


def test_nothing_is_overwritten(here: Here, tmp_path: Path) -> None:
    """Neither a file by a backup, nor an installation by a restore; and no half file is left."""
    path = here.take()
    before = path.read_bytes()
    with pytest.raises(BadInput, match="there is a file of this name"):
        here.take()
    with pytest.raises(BadInput, match="there is an installation already"):
        bring_back(here.settings, path)
    assert before == path.read_bytes()
    assert 0o600 == path.stat().st_mode & 0o777
    assert [] == [one.name for one in tmp_path.iterdir() if one.name.startswith(".")]


def test_the_key_is_in_it_only_if_asked_for(here: Here, databases: Any, tmp_path: Path) -> None:
    """Without it, and without the key at hand, the restore is refused unless a new one is wanted."""
    key = (tmp_path / "secret.key").read_bytes()
    without, held = here.take("without.tar"), here.take("with.tar", with_key=True)
    assert key not in without.read_bytes()
    (tmp_path / "secret.key").unlink()
    with pytest.raises(BadInput, match="does not hold the key"):
        bring_back(databases("one"), without)
    bring_back(databases("two"), held)
    assert key == (tmp_path / "secret.key").read_bytes()
    (tmp_path / "secret.key").unlink()
    bring_back(databases("three"), without, new_key=True)
    assert key != (tmp_path / "secret.key").read_bytes()


def test_a_death_half_way_leaves_nothing_that_could_be_started(
    here: Here, databases: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends right before it is marked: there is no installation, and restoring again succeeds."""
    here.item("一则通告")
    path, settings = here.take(), databases("again")

    def die(*given: object, **more: object) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(recover, "begin", die)
        with pytest.raises(KeyboardInterrupt):
            bring_back(settings, path)
    store = Store(settings.database_url)
    if settings.embedded:
        assert not (settings.home / "tongfa.sqlite3").exists()
    else:
        with store.read() as connection:
            assert inspect(connection).has_table("edition")
            assert connection.execute(select(edition)).first() is None
    store.close()
    bring_back(settings, path)
    again = context(settings, "command", person="test")
    with again.store.read() as connection:
        assert recovery.current(connection) is not None
    again.store.close()
    again.lock.release()


def test_a_full_disk_is_told_before(here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is written that could not be ended."""
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(BadInput, match="MiB are free"):
        here.take()
    assert not (tmp_path / "b.tar").exists()


def test_a_damaged_file_is_named(here: Here, tmp_path: Path) -> None:
    """One bad picture does not cost the whole backup."""
    if not here.settings.embedded:
        return  # there they are rows, which the server checks
    here.item("一则通告")
    with here.ctx.store.read() as connection:
        digest = connection.execute(select(asset.c.digest)).scalar_one()
    (here.settings.home / "assets" / digest[:2] / digest).write_bytes(b"other")
    assert [digest] == archive.check(here.take())["missing"]


def test_the_other_database_is_refused(here: Here, databases: Any, tmp_path: Path) -> None:
    """What was taken of one kind is restored into the same kind."""
    path = here.take()
    other = read_settings(home=tmp_path / "other", database_url="postgresql:///none")
    if not here.settings.embedded:
        other = read_settings(home=tmp_path / "other")
    with pytest.raises(BadInput, match="it is a backup of"):
        bring_back(other, path)


def test_the_manifest_says_what_it_is_of(here: Here) -> None:
    """Installation, time, schema and number of entries, without a secret."""
    told = archive.check(here.take())
    with here.ctx.store.read() as connection:
        assert (outlets.identity(connection), journal.size(connection)) == (told["installation"], told["entries"])
    assert "seal" not in json.dumps({**told, "columns": {}})
