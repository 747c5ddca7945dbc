"""A backup whose rows never came to be under the guards is refused, and nothing of it is left, on both databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from sync.model import BadInput
from sync.store.consistency import contradictions
from sync.store.session import Store
from tests.integration.rows import AT
from tests.integration.test_backup import Here, bring_back, databases
from tests.integration.test_store_reviews import begin, move_release, pass_, staff

__all__ = ["databases"]  # the fixture

FIRST = "(SELECT MIN(e.id) FROM entry e WHERE e.subject = '{0}' AND e.subject_id = {0}.id)"
REWOUND = "UPDATE {0} SET state = '{1}', entry_id = " + FIRST + " WHERE id = '{0}-3'"
ENTRY = (
    "INSERT INTO entry (id, at, unit, subject, subject_id, act, state, actor, detail) "
    "SELECT MAX(id) + 1, 1, 'local', '{}', '{}', 'told', '{}', 'me', '{{}}' FROM entry; "
)
NEWEST = "(SELECT MAX(id) FROM entry)"
FORGED = (
    "INSERT INTO approval (id, release, round, stage, approver, digest, at, note, identified, entry_id) "
    "SELECT 'forged', 'release-3', round, {}, '{}', {}, 1, '', '', " + NEWEST + " FROM release WHERE id = 'release-3'"
)
APPROVED = ENTRY.format("approval", "forged", "approved")

# What was done to the rows past the guards → what the restore says of it. `base`: with or without its three approvals.
ALTERED: dict[str, tuple[str, str, str]] = {
    "a delivery that no entry tells of": (
        "approved", "UPDATE delivery SET state = 'verified' WHERE id = 'delivery-3'", "delivery is not in the state"),
    "a delivery that would go out again": (
        "approved", REWOUND.format("delivery", "planned"), "delivery is in an earlier state"),
    "a delivery in no state": (
        "approved", ENTRY.format("delivery", "delivery-3", "gone") + f"UPDATE delivery SET state = 'gone', entry_id = "
        f"{NEWEST} WHERE id = 'delivery-3'", "a state that there is not"),
    "a release that no entry tells of": (
        "approved", "UPDATE release SET state = 'released' WHERE id = 'release-3'", "release is not in the state"),
    "a release that would go out again": ("approved", REWOUND.format("release", "open"), "release is in an earlier"),
    "a removed entry": ("approved", "DELETE FROM entry WHERE act = 'founded'", "log has a gap"),
    "an entry that tells another state": (
        "approved", "UPDATE entry SET state = 'retired' WHERE subject = 'outlet'", "outlet is not in the state"),
    "a release that counts as reviewed": (
        "open", "UPDATE release SET reviewed = true WHERE id = 'release-3'", "without three approvals"),
    "a delivery on its way without approvals": (
        "open", ENTRY.format("delivery", "delivery-3", "releasing") + "UPDATE delivery SET state = 'releasing', "
        f"entry_id = {NEWEST} WHERE id = 'delivery-3'", "on its way without three approvals"),
    "a release under no rule": (
        "open", "UPDATE release SET review = 'none' WHERE id = 'release-3'", "not under the rule"),
    "a unit under no rule": ("open", "UPDATE unit SET review = 'none' WHERE id = 'county'", "unit is not in the state"),
    "a unit relaxed by one": (
        "open", ENTRY.format("unit", "county", "none") + f"UPDATE unit SET review = 'none', entry_id = {NEWEST}, "
        "set_by = 'root', seconded_by = 'root' WHERE id = 'county'", "without two administrators"),
    "an approval of one's own": (
        "open", APPROVED + FORGED.format(1, "li", "digest"), "of their own"),
    "an approval that no entry tells of": (
        "open", FORGED.format(1, "wang", "digest"), "approval is not in the state"),
    "an approval of another text": (
        "open", APPROVED + FORGED.format(1, "wang", "'e'"), "never under review"),
    "a third approval without the second": (
        "open", APPROVED + FORGED.format(3, "qian", "digest"), "before the one it follows"),
    "an approval that is out of its order": (
        "approved", "UPDATE approval SET stage = 5 WHERE stage = 3", "without three approvals|before the one"),
    "another text": (
        "approved", "UPDATE edition SET body = '<p>9</p>' WHERE item = 'item-3'", "not what it was frozen as"),
    "another text under its own digest": (
        "approved", "UPDATE edition SET title = '通知' WHERE item = 'item-3'; UPDATE entry SET detail = '{}' "
        "WHERE subject = 'item'", "not what it was frozen as"),
    "a delivery of an outlet that there is not": (
        "approved", "UPDATE delivery SET outlet = 'ghost' WHERE id = 'delivery-3'",
        "violates foreign key|refers to a outlet"),
    "a breaker that no entry tells of": (
        "approved", "INSERT INTO breaker (outlet, live, generation, state, since, failures, recent, looks, why) VALUES "
        "('paper', false, 1, 'open', 1, 9, '[]', 0, '')", "breaker is open without its log entry"),
    "an adoption that no entry tells of": (
        "approved", "UPDATE entry SET act = 'looked' WHERE act = 'adopted'", "adoption has no log entry"),
}  # fmt: skip


@pytest.fixture
def here(databases: Any) -> Iterator[Here]:
    made = Here(databases("home"))
    yield made
    made.close()


def based(here: Here, base: str) -> None:
    """A unit under three reviews and its release: rendered and open, or approved, ready and prepared."""
    staff(here.ctx.store)
    if base == "approved":
        with here.ctx.store.write() as connection:
            pass_(connection)
            begin("preparing")(connection)
            begin("prepared")(connection)
            move_release(connection, "ready")


def alter(store: Store, statements: str) -> None:
    """Past every guard and reference, as whoever owns the database can; the guards are there again afterwards."""
    each = [one for one in statements.split("; ") if one.strip()]
    if store.url.startswith("postgresql"):
        with psycopg.connect(store.url) as server:
            for (table,) in server.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relhastriggers"):
                if not str(table).startswith(("pg_", "sql_")):
                    server.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
            for one in each:
                server.execute(one.encode())
        return
    with closing(sqlite3.connect(store.url.removeprefix("sqlite:///"))) as file, file:
        guards = file.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            file.execute(f"DROP TRIGGER {name}")
        for one in each:
            file.execute(one)
        for _, made in guards:
            file.execute(made)


def assert_refused(here: Here, databases: Any, says: str) -> None:
    """With its place and mend; and nothing is left that could be started, nor a key that was not there."""
    path, settings = here.take(with_key=True), databases("again")
    key = here.settings.secret_key_path.rename(here.settings.secret_key_path.with_name("away"))
    with pytest.raises(BadInput, match=says) as refused:
        bring_back(settings, path)
    assert (str(path), True) == (refused.value.where, "altered after it was taken" in refused.value.message)
    assert not settings.secret_key_path.exists()
    assert [] == [one.name for one in settings.home.iterdir() if one.name.startswith("tongfa.sqlite3")]
    if not settings.embedded:
        store = Store(settings.database_url)
        with store.read() as connection:
            assert [0, 0] == [
                connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()
                for table in ("entry", "installation")
            ]
        store.close()
    key.rename(here.settings.secret_key_path)


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_backup_is_refused(here: Here, databases: Any, how: str) -> None:
    """Whole by its manifest, but with rows that the guards would have refused."""
    base, statements, says = ALTERED[how]
    based(here, base)
    alter(here.ctx.store, statements)
    assert_refused(here, databases, says)


@pytest.mark.parametrize("base", ["open", "approved"])
def test_honest_rows_are_not_refused(here: Here, databases: Any, base: str) -> None:
    """The very rows that the others begin with, restored; the guards are in force again."""
    based(here, base)
    settings = databases("again")
    bring_back(settings, here.take())
    store = Store(settings.database_url)
    with store.read() as connection:
        assert [] == list(contradictions(connection))
    with pytest.raises(Exception, match="moves only with its log entry"), store.write() as connection:
        connection.execute(text("UPDATE delivery SET state = 'verified'"))
    store.close()


def test_a_file_that_is_another_one(here: Here, databases: Any) -> None:
    """A picture under the digest of another: with PostgreSQL it is a row, on SQLite a file that is left out."""
    here.item("一则通告")
    if here.settings.embedded:
        (file,) = [one for one in (here.settings.home / "assets").rglob("*") if one.is_file()]
        file.write_bytes(b"other")
        settings = databases("again")
        bring_back(settings, here.take())
        assert [] == [one for one in (settings.home / "assets").rglob("*") if one.is_file()]
        return
    alter(here.ctx.store, "UPDATE asset_content SET content = 'other'")
    assert_refused(here, databases, "not the one of its digest")


def test_a_database_file_without_its_guards(here: Here, databases: Any) -> None:
    """A file brings its own guards: one that is missing is missed. PostgreSQL's are made by the migrations."""
    if not here.settings.embedded:
        return
    with closing(sqlite3.connect(Path(here.ctx.store.url.removeprefix("sqlite:///")))) as file, file:
        file.execute("DROP TRIGGER delivery_move")
    assert_refused(here, databases, "no guard delivery_move")


def test_the_backup_was_taken_at(here: Here) -> None:
    """The rows of the base are of one moment, so that what the tests alter is all that differs."""
    based(here, "approved")
    with here.ctx.store.read() as connection:
        assert [] == list(contradictions(connection))
        assert AT == connection.execute(text("SELECT MIN(at) FROM entry WHERE subject = 'delivery'")).scalar()
