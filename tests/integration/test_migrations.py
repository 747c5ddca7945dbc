"""The schema is what its migrations make, and a database that is not at it is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, insert, inspect, text

from sync import store as store_package
from sync.bootstrap import context, create_home
from sync.clock import SystemClock
from sync.model import BadInput
from sync.settings import read_settings
from sync.store.session import Store
from sync.store.sqlite import Sqlite
from sync.store.tables import FORM, SCHEMA, copy, metadata, required_form
from tests.integration.rows import end, everything, line, sow, spawn, tell
from tests.services.postgres import Postgres

FOLDER = Path(store_package.__file__).parent / "migrations"

MIGRATOR = """
import sys
from sync.store.session import Store
store = Store(sys.argv[1])
print("ready", flush=True)
store.migrate()
store.check_schema()
"""


class Crash(Exception):
    """The program fails here."""


@pytest.fixture
def store(fresh_url: str) -> Iterator[Store]:
    """Empty: no migration has run."""
    made = Store(fresh_url)
    yield made
    made.close()


@pytest.fixture
def migrated(store: Store) -> Store:
    store.migrate()
    return store


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return ScriptDirectory.from_config(config)


def to(store: Store, revision: str) -> None:
    """Migrate so far and no further."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    with store.database.migrating() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def schema(connection: Connection) -> dict[str, Any]:
    """Columns, keys and indexes of every table; not the triggers, nor the defaults that filled columns added later."""
    seen, found = inspect(connection), {}
    for table in seen.get_table_names():
        indexes = [
            (one["name"], one["column_names"], one["unique"], {k: str(v) for k, v in one["dialect_options"].items()})
            for one in seen.get_indexes(table)
        ]
        references = [{**one, "name": ""} for one in seen.get_foreign_keys(table)]  # SQLite forgets names given inline
        found[table] = {
            "columns": {one["name"]: (repr(one["type"]), one["nullable"]) for one in seen.get_columns(table)},
            "key": seen.get_pk_constraint(table),
            "foreign keys": sorted(map(repr, references)),
            "unique": sorted(repr(one) for one in seen.get_unique_constraints(table)),
            "indexes": sorted(map(repr, indexes)),
        }
    return found


def guards(connection: Connection) -> list[tuple[Any, ...]]:
    """Table, name and text of every trigger, and of what it calls."""
    asked = "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY 1, 2"
    if connection.dialect.name != "sqlite":
        asked = (
            "SELECT tgrelid::regclass::text, tgname, tgenabled, pg_get_triggerdef(t.oid), prosrc FROM pg_trigger t "
            "JOIN pg_proc p ON p.oid = tgfoid WHERE NOT tgisinternal ORDER BY 1, 2"
        )
    return [tuple(row) for row in connection.exec_driver_sql(asked)]


def test_migrations_make_what_the_code_declares(migrated: Store) -> None:
    """Alembic, asked what a further migration would have to do, finds nothing."""
    with migrated.read() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
    assert [] == found


def test_migrations_make_the_very_same_tables(migrated: Store, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Down to keys, partial indexes and their order: as if the tables had been made from the declaration."""
    url = f"sqlite:///{tmp_path / 'declared.sqlite3'}"
    if not isinstance(migrated.database, Sqlite):
        url = request.getfixturevalue("postgres").database()
    declared = Store(url)
    with declared.write() as connection:
        metadata.create_all(connection)
    with migrated.read() as one, declared.read() as other:
        made = schema(one)
        made.pop("alembic_version")
        assert schema(other) == made
        if isinstance(migrated.database, Sqlite):
            told = "SELECT sql FROM sqlite_master WHERE name = 'entry'"
            made_as = [str(connection.exec_driver_sql(told).scalar()) for connection in (one, other)]
            assert [True, True] == ["AUTOINCREMENT" in sql for sql in made_as]
    declared.close()


def test_every_table_has_its_guards(migrated: Store) -> None:
    """No table can be changed or emptied unseen, save those that say so here."""
    # Who lives now, and what outlets grant, ask for and tell: nothing about what was done.
    unguarded = {"process", "outlet_budget", "outlet_hold", "outlet_expiry"}
    with migrated.read() as connection:
        found = guards(connection)
    assert set(metadata.tables) - unguarded == {one[0] for one in found}
    if not isinstance(migrated.database, Sqlite):
        assert {"A"} == {one[2] for one in found}  # always, also while copying from another server


def test_both_databases_have_the_same_guards(postgres: Postgres, tmp_path: Path) -> None:
    """By table and name; only PostgreSQL knows TRUNCATE, which asks no trigger of a row."""
    of_file, of_server = Store(f"sqlite:///{tmp_path / 'tongfa.sqlite3'}"), Store(postgres.database("migrated"))
    of_file.migrate()
    with of_file.read() as one, of_server.read() as other:
        named = {(table, name) for table, name, *_ in guards(one)}
        kept = {(table, f"{table}_no_truncate") for table, name in named if name.endswith("_no_delete")}
        assert named | kept == {(table, name) for table, name, *_ in guards(other)}
    of_server.close()


def test_the_code_asks_for_the_newest_migration() -> None:
    """`SCHEMA` is alembic's one head."""
    assert [SCHEMA] == scripts().get_heads()


def test_names_say_before_or_after_the_code() -> None:
    """Every migration is `v<number>_<pre|post>_<what>.py`, its revision `<number>_<pre|post>`, and numbers rise."""
    found = list(reversed(list(scripts().walk_revisions())))
    for number, script in enumerate(found, 1):
        name = Path(script.path).name
        told = re.fullmatch(r"v(\d{4})_(pre|post)_[a-z0-9_]+\.py", name)
        assert told is not None, name
        assert f"{told[1]}_{told[2]}" == script.revision
        assert number == int(told[1])


def test_migrating_twice_is_harmless(migrated: Store) -> None:
    """Nothing changes the second time, in schema or rows."""
    sow(migrated)
    with migrated.read() as connection:
        before = schema(connection), guards(connection)
    rows = everything(migrated)
    migrated.migrate()
    with migrated.read() as connection:
        assert before == (schema(connection), guards(connection))
    assert rows == everything(migrated)
    migrated.check_schema()


def test_a_failed_migration_leaves_nothing(store: Store) -> None:
    """Cut off after whichever statement: the database is as before, and migrating it then works."""
    left = [0]

    @event.listens_for(store.engine, "after_cursor_execute")
    def count(*given: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Crash

    for statements in (8, 20, 40, 60):
        left[0] = statements
        with pytest.raises(Crash):
            store.migrate()
        left[0] = 0
        with store.read() as connection:
            assert ({}, []) == (schema(connection), guards(connection))
        assert store.schema() is None
    store.migrate()
    store.check_schema()


def test_processes_that_migrate_at_once(store: Store) -> None:
    """Each of them ends with a database at the right schema; none fails."""
    children = [spawn(MIGRATOR, store.url) for _ in range(2)]
    assert ["ready"] * 2 == [line(child) for child in children]
    assert [0] * 2 == [end(child) for child in children]
    store.check_schema()


@pytest.mark.parametrize("state", ["absent", "empty", "older", "newer"])
def test_another_schema_is_refused_with_its_mend(store: Store, state: str) -> None:
    """Never set up, or of another version: the error says what to run, and no file is made by asking."""
    path = store.database.path if isinstance(store.database, Sqlite) else None
    if state == "empty" and path is not None:
        path.touch()
    elif state not in ("absent", "empty"):
        store.migrate()
        with store.write() as connection:
            version = "0000_pre" if state == "older" else "9999_post"
            connection.execute(insert(required_form).values(form=FORM + 1))
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))
    with pytest.raises(BadInput) as refused:
        store.check_schema()
    assert "tongfa" in refused.value.mend
    assert path is None or path.exists() == (state != "absent")
    if state == "newer":
        with pytest.raises(BadInput):
            store.migrate()


def test_a_newer_schema_may_admit_this_version(store: Store) -> None:
    """As long as its migrations only added something; it is never brought back to an older one."""
    store.migrate()
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_pre'"))
    store.check_schema()
    with pytest.raises(BadInput):
        store.migrate()
    with store.write() as connection:
        connection.execute(insert(required_form).values(form=FORM + 1))
    with pytest.raises(BadInput, match="too old for it"):
        store.check_schema()


FIRST_ROWS = """
INSERT INTO installation VALUES ('installation-1', 'here', 1);
INSERT INTO unit VALUES ('local', 'here', 'county', 'none');
INSERT INTO entry VALUES (1, 1, 'local', 'outlet', 'blog', 'added', 'active', 'me', NULL, 'blog', '{}');
INSERT INTO entry VALUES (2, 1, 'local', 'outlet', 'site', 'added', 'active', 'me', NULL, 'site', '{}');
INSERT INTO entry VALUES (3, 1, 'local', 'item', 'item-1', 'edition_frozen', 'revision 1', 'me', 'item-1', NULL, '{}');
INSERT INTO entry VALUES (4, 1, 'local', 'release', 'one', 'planned', 'open', 'me', 'item-1', NULL, '{}');
INSERT INTO entry VALUES (5, 1, 'local', 'delivery', 'planned', 'planned', 'planned', 'me', 'item-1', 'blog', '{}');
INSERT INTO entry VALUES (6, 1, 'local', 'delivery', 'public', 'released', 'released', 'me', 'item-1', 'site', '{}');
INSERT INTO item VALUES ('item-1', 'local', 1, 3);
INSERT INTO edition VALUES ('item-1', 1, 'd', '开通公交环线', '<p>12月1日</p>', '{}', '[]', '{}', 'me', 1);
INSERT INTO outlet VALUES ('blog', 'local', 'memory', '{}', '{}', '[]', true, false, false, 'active', 1, 1);
INSERT INTO outlet VALUES ('site', 'local', 'memory', '{}', '{}', '[]', true, false, false, 'active', 1, 2);
INSERT INTO release VALUES ('one', 'local', 'publish', 'open', 'required', 'not-before', 9, 10, NULL, false, false,
  NULL, 1, NULL, '', '{}', 4);
INSERT INTO release_item VALUES ('one', 0, 'item-1', 1);
INSERT INTO delivery (release, item, revision, unit, required, since, epoch, attempts, generation, reads, problems,
  id, outlet, state, entry_id, receipt, released_at) VALUES ('one', 'item-1', 1, 'local', true, 1, 1, 0, 1, 0, '[]',
  'planned', 'blog', 'planned', 5, NULL, NULL);
INSERT INTO delivery (release, item, revision, unit, required, since, epoch, attempts, generation, reads, problems,
  id, outlet, state, entry_id, receipt, released_at) VALUES ('one', 'item-1', 1, 'local', true, 1, 1, 0, 1, 0, '[]',
  'public', 'site', 'released', 6, '{"ref": "17", "url": "https://county.example/17"}', 7);
"""


def test_rows_of_the_first_version_survive(store: Store) -> None:
    """Every one is there, as it was, after all later migrations; what was public then has its copy."""
    to(store, "0001_pre")
    with store.write() as connection:
        for statement in FIRST_ROWS.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        tables = [one for one in inspect(connection).get_table_names() if one != "alembic_version"]
        columns = {table: [one["name"] for one in inspect(connection).get_columns(table)] for table in tables}
        before = {table: rows(connection, table, columns[table]) for table in tables}
    store.migrate()
    store.check_schema()
    with store.read() as connection:
        after = {table: rows(connection, table, columns[table]) for table in tables}
        added = [one for one in after["entry"] if one not in before["entry"]]
        assert {**before, "entry": [*before["entry"], *added]} == after
        assert ["public"] == [row.id for row in connection.execute(copy.select())]
    with store.write() as connection:  # and what is written next is numbered on
        assert len(after["entry"]) + 1 == tell(connection, "item", "item-1", "told")


def rows(connection: Connection, table: str, columns: list[str]) -> list[tuple[Any, ...]]:
    named = ", ".join(f'"{one}"' for one in columns)
    return [tuple(row) for row in connection.exec_driver_sql(f"SELECT {named} FROM {table} ORDER BY 1, 2")]


def test_commands_refuse_an_unmigrated_database(tmp_path: Path) -> None:
    """A context is not made on a database that is not at this version's schema."""
    settings = read_settings(home=tmp_path / "home")
    with pytest.raises(BadInput, match="no installation here"):
        context(settings, "test")
    create_home(settings, SystemClock())
    context(settings, "test").lock.release()
    with Store(settings.database_url).write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000_pre'"))
    with pytest.raises(BadInput, match=f"is at 0000_pre, this version needs {SCHEMA}"):
        context(settings, "test")
