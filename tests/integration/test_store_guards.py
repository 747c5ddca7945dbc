"""What the database refuses, whoever asks: a move without its entry, a change of what is append-only."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, insert, text, update
from sqlalchemy.exc import DatabaseError, IntegrityError

from sync.model import Asset, AssetRole, Edition
from sync.store import items, outlets
from sync.store.session import Store
from sync.store.sqlite import Sqlite
from sync.store.tables import asset_content, copy, delivery, outlet, release
from tests.integration.rows import (
    AT,
    EDITION,
    OUTLET,
    RELEASE,
    add_delivery,
    entries,
    everything,
    tell,
)

# What moves, by its table: the row's id, a state it is not in, and its column of identity.
MOVING = {
    "delivery": ("delivery-1", "rendered", "id"),
    "release": ("release-1", "ready", "id"),
    "outlet": ("blog", "paused", "name"),
}


COPY = {
    "id": "delivery-1", "unit": outlets.LOCAL_UNIT, "item": "item-1", "outlet": "blog", "revision": 1, "state": "live",
    "since": AT, "ref": "17", "url": "https://county.example/17", "receipt": {},
}  # fmt: skip

Forgery = Callable[[Connection, str, str, str], int]


def foreign(store: Store) -> Any:
    """Somebody else's connection, with the database's own defaults and none of ours.

    On PostgreSQL one that pretends to copy from another server, where ordinary triggers do not fire.
    """
    if isinstance(store.database, Sqlite):
        return sqlite3.connect(store.database.path, isolation_level=None)
    return psycopg.connect(store.url, autocommit=True, options="-c session_replication_role=replica")


REFUSED = (sqlite3.DatabaseError, psycopg.DatabaseError)


# ---- no move without its entry


def no_entry(connection: Connection, table: str, row: str, state: str) -> int:
    key = MOVING[table][2]
    return int(connection.execute(text(f"SELECT entry_id FROM {table} WHERE {key} = '{row}'")).scalar_one())


def another_subject(connection: Connection, table: str, row: str, state: str) -> int:
    return tell(connection, table, f"{row}-of-another", state)


def another_kind(connection: Connection, table: str, row: str, state: str) -> int:
    return tell(connection, "item", row, state)


def another_state(connection: Connection, table: str, row: str, state: str) -> int:
    return tell(connection, table, row, "failed")


def not_there(connection: Connection, table: str, row: str, state: str) -> int:
    return 4_711


@pytest.mark.parametrize("table", MOVING)
@pytest.mark.parametrize("forged", [no_entry, another_subject, another_kind, another_state, not_there])
def test_a_state_changes_only_with_its_own_entry(store: Store, table: str, forged: Forgery) -> None:
    """Without an entry, or with one of another subject, kind or state: refused, and nothing changed."""
    row, state, key = MOVING[table]
    before = everything(store)
    with pytest.raises(IntegrityError, match="moves only with its log entry"), store.write() as connection:
        entry_id = forged(connection, table, row, state)
        connection.execute(text(f"UPDATE {table} SET state = '{state}', entry_id = {entry_id} WHERE {key} = '{row}'"))
    assert before == everything(store)


@pytest.mark.parametrize("table", MOVING)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_state_never_changes_with_an_old_entry(store: Store, table: str, steps: int) -> None:
    """An entry older than the row's own tells of something past, also when the number is put there first."""
    row, state, key = MOVING[table]
    with store.write() as connection:
        old = tell(connection, table, row, state)
        now = connection.execute(text(f"SELECT state FROM {table} WHERE {key} = '{row}'")).scalar_one()
        for passing in ("failed", now):
            newer = tell(connection, table, row, passing)
            connection.execute(
                text(f"UPDATE {table} SET state = '{passing}', entry_id = {newer} WHERE {key} = '{row}'")
            )
    before = everything(store)
    forged = [f"UPDATE {table} SET state = '{state}', entry_id = {old} WHERE {key} = '{row}'"]
    if steps == 2:
        forged = [
            f"UPDATE {table} SET entry_id = {old} WHERE {key} = '{row}'",
            f"UPDATE {table} SET state = '{state}' WHERE {key} = '{row}'",
        ]
    if steps == 3:
        forged = [f"UPDATE {table} SET entry_id = 1 WHERE {key} = '{row}'", *forged]
    with pytest.raises(IntegrityError, match="log entry"), store.write() as connection:
        for statement in forged:
            connection.execute(text(statement))
    assert before == everything(store)


@pytest.mark.parametrize("table", MOVING)
def test_a_state_changes_with_its_entry(store: Store, table: str) -> None:
    """The same update, told in the log first, is taken."""
    row, state, key = MOVING[table]
    with store.write() as connection:
        told = tell(connection, table, row, state)
        connection.execute(text(f"UPDATE {table} SET state = '{state}', entry_id = {told} WHERE {key} = '{row}'"))
    with store.read() as connection:
        assert state == connection.execute(text(f"SELECT state FROM {table} WHERE {key} = '{row}'")).scalar_one()


def test_an_entry_moves_one_row_once(store: Store) -> None:
    """An entry that moved a row cannot move another one, nor the same one again."""
    with store.write() as connection:
        told = tell(connection, "delivery", "delivery-1", "rendered")
        connection.execute(update(delivery).values(state="rendered", entry_id=told))
        back = tell(connection, "delivery", "delivery-1", "planned")
        connection.execute(update(delivery).values(state="planned", entry_id=back))
    with pytest.raises(IntegrityError), store.write() as connection:
        connection.execute(update(delivery).values(state="rendered", entry_id=told))


@pytest.mark.parametrize("table", MOVING)
def test_a_row_begins_only_with_its_entry(store: Store, table: str) -> None:
    """A delivery, release or outlet that the log does not tell of cannot be made."""
    with store.write() as connection:
        elsewhere = tell(connection, table, "somebody-else", "planned")
    made: dict[str, Callable[[Connection], object]] = {
        "delivery": lambda c: add_delivery(c, "delivery-2", outlet="blog", revision=2, entry_id=elsewhere),
        "release": lambda c: c.execute(
            insert(release).values(
                **{**RELEASE, "id": "release-2"}, state="open", why="", evidence={}, created_at=AT, entry_id=elsewhere
            )
        ),
        "outlet": lambda c: c.execute(
            insert(outlet).values(**{**OUTLET, "name": "new"}, state="active", generation=1, entry_id=elsewhere)
        ),
    }
    before = everything(store)
    with pytest.raises(IntegrityError, match="begins only with its log entry"), store.write() as connection:
        made[table](connection)
    assert before == everything(store)


@pytest.mark.parametrize("table", MOVING)
def test_a_row_keeps_its_identity(store: Store, table: str) -> None:
    """Its name in the log stays its name."""
    row, _, key = MOVING[table]
    with pytest.raises(IntegrityError), store.write() as connection:
        if isinstance(store.database, Sqlite):
            connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        connection.execute(text(f"UPDATE {table} SET {key} = 'other' WHERE {key} = '{row}'"))


# ---- append-only and kept

APPEND_ONLY = {
    "entry": "detail = '{}'",
    "edition": "title = 'another'",
    "asset": "size = 1",
    "asset_content": "digest = 'another'",
    "release_item": "revision = 2",
    "installation": "host = 'elsewhere'",
}


KEPT = ("unit", "item", "outlet", "release", "delivery", "copy")


@pytest.fixture
def full(store: Store) -> Store:
    """With a row in every table."""
    part = Asset("d" * 64, "image/png", 3, "route.png", AssetRole.IMAGE, "线路图")
    again = Edition("item-1", 2, "开通公交环线", "<p>自12月2日起试运行。</p>", {}, (part,))
    with store.write() as connection:
        items.add(connection, again, unit=outlets.LOCAL_UNIT, routing={}, at=AT, author="test")
        connection.execute(insert(asset_content).values(digest=part.digest, content=b"png"))
        connection.execute(insert(copy).values(**COPY, entry_id=tell(connection, "copy", "delivery-1", "live")))
    return store


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("ours", [True, False], ids=["our connection", "a foreign one"])
def test_append_only_tables_refuse_every_change(full: Store, table: str, ours: bool) -> None:
    """UPDATE, DELETE, INSERT OR REPLACE and upsert: refused, whoever asks, and the rows are as they were."""
    before = everything(full)
    upsert = f"INSERT INTO {table} SELECT * FROM {table} WHERE true ON CONFLICT"
    statements = [f"UPDATE {table} SET {APPEND_ONLY[table]}", f"DELETE FROM {table}"]
    if isinstance(full.database, Sqlite):
        statements += [
            f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
            f"{upsert} DO UPDATE SET {APPEND_ONLY[table]}",
            f"REPLACE INTO {table} SELECT * FROM {table}",
            f"UPDATE OR REPLACE {table} SET {APPEND_ONLY[table]}",
        ]
    else:
        statements += [
            f"TRUNCATE {table} CASCADE",
            f"{upsert} DO NOTHING",
            f"{upsert} ON CONSTRAINT pk_{table} DO UPDATE SET {APPEND_ONLY[table]}",
            f"WITH gone AS (DELETE FROM {table} RETURNING *) SELECT * FROM gone",
            f"MERGE INTO {table} USING (SELECT 1) AS one ON true WHEN MATCHED THEN UPDATE SET {APPEND_ONLY[table]}",
        ]
    for statement in statements:
        # TRUNCATE also asks the tables that refer to this one, and any of them may refuse first.
        told = "is append-only|rows are kept" if statement.startswith("TRUNCATE") else f"{table} is append-only"
        if ours:
            with pytest.raises(DatabaseError, match=told), full.write() as connection:
                connection.execute(text(statement))
        else:
            with closing(foreign(full)) as other, pytest.raises(REFUSED, match=told):
                other.execute(statement)
        assert before == everything(full)


@pytest.mark.parametrize("table", KEPT)
@pytest.mark.parametrize("ours", [True, False], ids=["our connection", "a foreign one"])
def test_kept_tables_refuse_deletion(full: Store, table: str, ours: bool) -> None:
    """DELETE, and INSERT OR REPLACE, which would delete without saying so."""
    before = everything(full)
    if isinstance(full.database, Sqlite):
        statements = [f"DELETE FROM {table}", f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"]
        if table == "delivery":
            statements += ["UPDATE OR REPLACE delivery SET outlet = 'blog', id = 'other'"]
    else:
        statements = [
            f"DELETE FROM {table}",
            f"TRUNCATE {table} CASCADE",
            f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT DO NOTHING",
        ]
    for statement in statements:
        if ours:
            with pytest.raises(DatabaseError), full.write() as connection:
                connection.execute(text(statement))
        else:
            with closing(foreign(full)) as other, pytest.raises(REFUSED):
                other.execute(statement)
        assert before == everything(full)


def test_a_new_edition_and_a_new_entry_are_taken(full: Store) -> None:
    """Appending is what these tables are for."""
    size = entries(full)
    with full.write() as connection:
        tell(connection, "item", "item-1", "told")
    assert size + 1 == entries(full)
    with full.read() as connection:
        assert 2 == items.get(connection, "item-1")[0].revision
        assert EDITION == items.get(connection, "item-1", 1)[0]


def test_a_mark_cannot_change_unseen(store: Store) -> None:
    """That an outlet is live, where it publishes and as whom: not without a new entry."""
    before = everything(store)
    for change in ("live = true", "settings = '{\"a\": 1}'", "secrets = '{\"a\": 1}'", "private_network = true"):
        with pytest.raises(IntegrityError, match="log entry"), store.write() as connection:
            connection.execute(text(f"UPDATE outlet SET {change}"))
    assert before == everything(store)
