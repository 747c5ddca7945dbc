"""Reading and writing: one transaction or nothing, epochs, pages, a full disk, and no secret in sight."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from sync.clock import iso
from sync.flow import RE, E, IllegalMove
from sync.model import BadInput
from sync.settings import read_settings
from sync.store import deliveries, items, journal, outlets, releases
from sync.store.deliveries import Superseded
from sync.store.outlets import Unknown
from sync.store.postgres import Postgres
from sync.store.session import Store
from sync.store.tables import asset_content, delivery
from sync.vault import Vault
from tests.integration.rows import (
    AT,
    OUTLET,
    RELEASE,
    add_delivery,
    entries,
    everything,
    small_disk,
    sow,
    tell,
    the_delivery,
)


class Crash(Exception):
    """The program fails here."""


def test_entry_ids_are_never_given_twice(store: Store) -> None:
    """An entry that was rolled back leaves no gap and no reuse behind: ids are dense."""
    size = entries(store)
    with pytest.raises(Crash), store.write() as connection:
        assert size + 1 == tell(connection, "item", "item-1", "lost")
        raise Crash
    with store.write() as connection:
        assert size + 1 == tell(connection, "item", "item-1", "kept")
    with store.read() as connection:
        assert list(range(1, size + 2)) == [one.id for one in journal.page(connection)]


# ---- one transaction


def moved(connection: Connection) -> None:
    """A move with all that belongs to it: state, entry, the next due row, and the release's joint rule."""
    row = deliveries.get(connection, "delivery-1")
    row = deliveries.move(connection, row, E.RENDERED, at=AT, actor="test", duty="prepare", due_at=AT)
    row = deliveries.move(connection, row, E.PREPARE_BEGUN, at=AT, actor="test", owner="me", epoch=row.epoch + 1)
    deliveries.move(connection, row, E.PREPARED, at=AT, actor="test", owner=None, duty=None, due_at=None)
    releases.settle(connection, "release-1", at=AT, actor="test", arm_before=30, why=str)


def test_state_entry_and_due_row_come_together(store: Store) -> None:
    """After the transaction the state, its entry, the release's state and the due row of the release are there."""
    with store.write() as connection:
        moved(connection)
    row = the_delivery(store)
    assert ("prepared", "release", RELEASE["release_at"] - 30_000_000) == (row.state, row.duty, row.due_at)
    with store.read() as connection:
        assert "ready" == releases.get(connection, "release-1").state
        assert row.entry_id == journal.of(connection, "delivery", row.id)[-1].id


def test_failing_after_any_statement_leaves_nothing(store: Store) -> None:
    """Cut off after the first statement, the second, …, the last before the commit: never a part of it."""
    counted = [0]
    stop_after = [10**9]

    @event.listens_for(store.engine, "after_cursor_execute")
    def count(*given: Any) -> None:
        counted[0] += 1
        if counted[0] == stop_after[0]:
            raise Crash

    before = everything(store)
    with pytest.raises(Crash), store.write() as connection:
        counted[0] = 0
        moved(connection)
        raise Crash
    statements = counted[0]
    assert statements > 10
    assert before == everything(store)
    for number in range(1, statements + 1):
        stop_after[0] = 10**9
        with pytest.raises(Crash), store.write() as connection:
            counted[0], stop_after[0] = 0, number
            moved(connection)
        stop_after[0] = 10**9
        assert before == everything(store)
    with store.write() as connection:
        moved(connection)
    assert "prepared" == the_delivery(store).state


def test_an_illegal_move_writes_nothing(store: Store) -> None:
    """Neither the state nor an entry that claims it."""
    before = everything(store)
    with pytest.raises(IllegalMove), store.write() as connection:
        deliveries.move(connection, deliveries.get(connection, "delivery-1"), E.RELEASED, at=AT, actor="test")
    with pytest.raises(IllegalMove), store.write() as connection:
        releases.move(connection, releases.get(connection, "release-1"), RE.COMMITTED, at=AT, actor="test")
    assert before == everything(store)


# ---- epochs


@pytest.mark.parametrize("stale", ["epoch", "state"])
@pytest.mark.parametrize("write", ["move", "note"])
def test_a_stale_writer_changes_nothing(store: Store, stale: str, write: str) -> None:
    """Whose epoch has passed, or whose row has moved on, is told so; no entry stays behind either."""
    read = the_delivery(store)
    with store.write() as connection:
        if stale == "epoch":
            deliveries.note(connection, read, epoch=read.epoch + 1)
        else:
            deliveries.move(connection, read, E.RENDERED, at=AT, actor="another")
    before = everything(store)
    with pytest.raises(Superseded), store.write() as connection:
        if write == "move":
            deliveries.move(connection, read, E.CANCELLED, at=AT, actor="late")
        else:
            deliveries.note(connection, read, problems=[{"where": "late"}])
    assert before == everything(store)


def test_a_release_has_one_mover(store: Store) -> None:
    """Two that read the same release: the second to write is told so."""
    with store.read() as connection:
        read = releases.get(connection, "release-1")
    with store.write() as connection:
        held = releases.move(connection, read, RE.HELD, at=AT, actor="first")
        releases.move(connection, held, RE.RESUMED, at=AT, actor="first")
    before = everything(store)
    with pytest.raises(Superseded), store.write() as connection:
        releases.move(connection, read, RE.HELD, at=AT, actor="second")
    assert before == everything(store)


# ---- reading


def test_due_rows_are_found_in_order(store: Store) -> None:
    """What is due by now and is of the asked duties, oldest first; the rest is not."""
    with store.write() as connection:
        for number, due_at in enumerate((AT + 5, AT + 3, AT + 7, None)):
            outlets.add(connection, {**OUTLET, "name": f"outlet-{number}"}, at=AT, actor="test")
            add_delivery(connection, f"more-{number}", outlet=f"outlet-{number}", due_at=due_at)
        outlets.add(connection, {**OUTLET, "name": "other"}, at=AT, actor="test")
        add_delivery(connection, "other", outlet="other", duty="release")
    with store.read() as connection:
        found = deliveries.due(connection, AT + 5, ["prepare", "verify"])
        assert ["delivery-1", "more-1", "more-0"] == [row.id for row in found]
        assert ["delivery-1"] == [row.id for row in deliveries.due(connection, AT, ["prepare"])]
        assert [] == deliveries.due(connection, AT - 1, ["prepare"])


def test_the_journal_is_read_by_page(store: Store) -> None:
    """Every entry once, in order, whatever the page's size, and by what it is about."""
    with store.write() as connection:
        for number in range(10):
            tell(connection, "item", f"item-{number}", "told")
    with store.read() as connection:
        whole = [one.id for one in journal.page(connection)]
        assert list(range(1, journal.size(connection) + 1)) == whole
        assert whole == [one.id for one in journal.page(connection, size=3)]
        assert whole[4:] == [one.id for one in journal.page(connection, after=4, size=2)]
        assert {"blog"} == {one.outlet for one in journal.page(connection, outlet="blog")}
        assert {"item-1"} == {one.item for one in journal.page(connection, item="item-1")}
        assert [] == list(journal.page(connection, since=AT + 1))


@pytest.mark.parametrize("find", [deliveries.get, releases.get, outlets.get, items.get])
def test_what_is_not_there_is_unknown(store: Store, find: Callable[[Connection, str], object]) -> None:
    """Its name is in the error."""
    with store.read() as connection, pytest.raises(Unknown, match="nobody"):
        find(connection, "nobody")


def test_unknown_ids_in_a_message_are_left_out(store: Store) -> None:
    """A message may name anything: what exists comes in the message's order, once."""
    with store.read() as connection:
        found = deliveries.some(connection, ["nobody", "delivery-1", "delivery-1"])
    assert ["delivery-1"] == [row.id for row in found]


def test_a_reader_sees_one_moment(store: Store) -> None:
    """Within one read nothing changes, though a writer commits in between; and it does not wait for the writer."""
    with store.read() as reading:
        before = deliveries.get(reading, "delivery-1")
        with store.write() as connection:
            deliveries.move(connection, before, E.RENDERED, at=AT, actor="test")
            with store.read() as beside:
                assert "planned" == deliveries.get(beside, "delivery-1").state
        assert before == deliveries.get(reading, "delivery-1")
    assert "rendered" == the_delivery(store).state


def test_an_outlet_that_publishes_elsewhere_is_another_generation(store: Store) -> None:
    """Settings, secrets, live mark or network make what was prepared stale; a group or a pause does not."""
    for change, generation in (
        ({"groups": ["all"]}, 1),
        ({"settings": {"base_url": "https://a.example"}}, 2),
        ({"secrets": {"token": "v1.sealed"}}, 3),
        ({"live": True}, 4),
        ({"private_network": True}, 5),
        ({"state": "paused"}, 5),
    ):
        with store.write() as connection:
            outlets.change(connection, outlets.get(connection, "blog"), "changed", at=AT, actor="test", **change)
        with store.read() as connection:
            assert generation == outlets.get(connection, "blog").generation


# ---- a full disk


@pytest.mark.parametrize("megabytes", [2])
def test_a_full_disk_refuses_and_stores_nothing(megabytes: int) -> None:
    """The writer is told to free space; nothing of it was stored; with space again it goes on."""
    with small_disk(megabytes) as disk:
        store = Store(f"sqlite:///{disk.folder / 'tongfa.sqlite3'}")
        store.migrate()
        sow(store)
        before = everything(store)
        disk.fill(store)
        with pytest.raises(BadInput, match="the disk is full; nothing was stored"), store.write() as connection:
            moved(connection)
            for number in range(200):
                outlets.add(
                    connection, {**OUTLET, "name": f"o{number}", "settings": {"a": "b" * 4_000}}, at=AT, actor="test"
                )
        assert before == everything(store)
        disk.free(store)
        with store.write() as connection:
            moved(connection)
        assert "prepared" == the_delivery(store).state
        store.engine.dispose()


def test_a_full_disk_is_named_to_readers_too() -> None:
    """The first to open the database needs a little space beside it: told like that, not as an inner failure."""
    with small_disk(2) as disk:
        url = f"sqlite:///{disk.folder / 'tongfa.sqlite3'}"
        store = Store(url)
        store.migrate()
        sow(store)
        store.engine.dispose()
        disk.fill()
        if disk.mounted:
            with pytest.raises(BadInput, match="the disk is full"):
                the_delivery(Store(url))
        disk.free()
        assert "planned" == the_delivery(Store(url)).state


def test_the_version_tells_of_every_commit(store: Store) -> None:
    """By this store or by anybody else; not of reading, and on SQLite not of what was rolled back."""
    watching = Store(store.url)
    told = [watching.version(), watching.version()]
    with store.write() as connection:
        tell(connection, "item", "item-1", "told")
    told.append(watching.version())
    with pytest.raises(Crash), store.write() as connection:
        tell(connection, "item", "item-1", "lost")
        raise Crash
    if isinstance(store.database, Postgres):  # a look in vain
        told[2] = watching.version()
    the_delivery(store)
    told.append(watching.version())
    with watching.write() as connection:
        tell(connection, "item", "item-1", "told")
    told.append(watching.version())
    assert told[0] == told[1] != told[2] == told[3] != told[4]
    watching.close()


def test_the_version_tells_of_a_commit_that_was_under_way(store: Store) -> None:
    """A transaction that was open at one look and others ended in between: its commit is seen at the next."""
    watching, told = Store(store.url), []
    with store.write() as connection:
        deliveries.note(connection, deliveries.get(connection, "delivery-1"), due_at=AT + 1)
        told.append(watching.version())
        if isinstance(store.database, Postgres):
            with store.beside() as another:
                another.execute(insert(asset_content).values(digest="d", content=b""))
            told.append(watching.version())
    told.append(watching.version())
    assert len(told) == len(set(told))
    watching.close()


def test_a_version_that_cannot_be_read_is_an_error_of_the_database(store: Store) -> None:
    """One of those that the sweeper expects and outlives; the next look begins anew."""
    before = store.version()
    assert store.database._watching is not None
    store.database._watching.close()
    with pytest.raises((SQLAlchemyError, BadInput)):
        store.version()
    assert before <= store.version()


def test_a_database_that_is_none(tmp_path: Path) -> None:
    """A file that is something else is refused with words, not taken for empty."""
    path = tmp_path / "tongfa.sqlite3"
    path.write_bytes(b"PK\x03\x04 something else entirely" * 100)
    with pytest.raises((BadInput, DatabaseError)):
        Store(f"sqlite:///{path}").check_schema()
    assert path.read_bytes().startswith(b"PK")


def test_the_log_says_when(store: Store) -> None:
    """Entries carry the instant of their act."""
    with store.read() as connection:
        assert {iso(AT)} == {iso(one.at) for one in journal.page(connection)}
        assert 1 <= len(connection.execute(select(delivery)).all())


# ---- secrets


def test_a_secret_is_nowhere_in_the_home(tmp_path: Path) -> None:
    """Added and changed by command: the column holds it sealed, and no file of the home holds it at all."""
    first, second = "s3cr3t-of-the-account", "another-s3cr3t-of-it"
    home, kept = tmp_path / "home", tmp_path / "kept"
    kept.write_text(second)
    environment = {**os.environ, "TONGFA_HOME": str(home), "ACCOUNT_SECRET": first}
    for command in (
        ["add", "town", "--kind", "mastodon", "--secret", "access_token=env:ACCOUNT_SECRET"],
        ["set", "town", "--secret", f"access_token=@{kept}"],
    ):
        tongfa = Path(sys.executable).with_name("tongfa")
        subprocess.run([tongfa, "outlet", *command], env=environment, cwd=tmp_path, check=True, capture_output=True)
    settings = read_settings(home=home)
    made = Store(settings.database_url)
    with made.read() as connection:
        sealed = outlets.get(connection, "town").secrets["access_token"]
        told = [one.detail for one in journal.of(connection, "outlet", "town")]
    assert second == Vault.at(settings.secret_key_path).open("town", "access_token", sealed)
    assert [["access_token"], ["access_token"]] == [one["secrets"] for one in told]
    made.engine.dispose()
    for path in [one for one in home.rglob("*") if one.is_file()]:
        content = path.read_bytes()
        assert first.encode() not in content, path
        assert second.encode() not in content, path
