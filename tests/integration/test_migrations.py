"""The schema is what its migrations make, and a database that is not at it is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, text

from sync import store as store_package
from sync.bootstrap import context, create_home
from sync.clock import SystemClock
from sync.model import BadInput
from sync.settings import read_settings
from sync.store.session import Store
from sync.store.tables import SCHEMA, metadata
from tests.integration.rows import end, everything, line, sow, spawn

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


def at(path: Path) -> Store:
    return Store(f"sqlite:///{path}")


@pytest.fixture
def migrated(tmp_path: Path) -> Store:
    store = at(tmp_path / "tongfa.sqlite3")
    store.migrate()
    return store


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return ScriptDirectory.from_config(config)


def schema(connection: Connection) -> dict[str, Any]:
    """Columns, keys and indexes of every table, as SQLite itself describes them; not the triggers."""
    tables = [
        row[0]
        for row in connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    ]
    found: dict[str, Any] = {}
    for table in tables:
        told = {
            pragma: sorted(map(tuple, connection.exec_driver_sql(f"PRAGMA {pragma}('{table}')")), key=repr)
            for pragma in ("table_xinfo", "foreign_key_list")
        }
        columns = {row[1]: row[2:] for row in told.pop("table_xinfo")}
        keys = {tuple(row[2:]) for row in told["foreign_key_list"]}
        indexes = set()
        for row in connection.exec_driver_sql(f"PRAGMA index_list('{table}')").all():
            parts = [tuple(part)[2:] for part in connection.exec_driver_sql(f"PRAGMA index_xinfo('{row[1]}')")]
            sql = connection.exec_driver_sql(f"SELECT sql FROM sqlite_master WHERE name = '{row[1]}'").scalar()
            name = row[1] if sql else ""  # SQLite numbers the nameless ones as they come
            indexes.add((name, tuple(row[2:]), tuple(parts), re.sub(r'["\s]+', " ", sql or "")))
        found[table] = {"columns": columns, "foreign keys": keys, "indexes": indexes}
    return found


def test_migrations_make_what_the_code_declares(migrated: Store) -> None:
    """Alembic, asked what a further migration would have to do, finds nothing."""
    with migrated.read() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert [] == compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


def test_migrations_make_the_very_same_tables(migrated: Store, tmp_path: Path) -> None:
    """Down to keys, partial indexes and their order: as if the tables had been made from the declaration."""
    declared = at(tmp_path / "declared.sqlite3")
    with declared.write() as connection:
        metadata.create_all(connection)
    with migrated.read() as one, declared.read() as other:
        made = schema(one)
        made.pop("alembic_version")
        assert schema(other) == made
        ever_growing = [
            connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'entry'").scalar()
            for connection in (one, other)
        ]
    assert [True, True] == ["AUTOINCREMENT" in str(sql) for sql in ever_growing]


def test_every_table_has_its_guards(migrated: Store) -> None:
    """No table can be changed or emptied unseen, save those that say so here."""
    with migrated.read() as connection:
        guarded = {
            row[0] for row in connection.exec_driver_sql("SELECT tbl_name FROM sqlite_master WHERE type='trigger'")
        }
    assert set(metadata.tables) == guarded


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
        before = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").all()
    rows = everything(migrated)
    migrated.migrate()
    with migrated.read() as connection:
        assert before == connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").all()
    assert rows == everything(migrated)
    migrated.check_schema()


def test_a_failed_migration_leaves_nothing(tmp_path: Path) -> None:
    """Cut off after whichever statement: the database is as before, and migrating it then works."""
    store = at(tmp_path / "tongfa.sqlite3")
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
            assert [] == connection.exec_driver_sql("SELECT name FROM sqlite_master").all()
        assert store.schema() is None
    store.migrate()
    store.check_schema()


def test_processes_that_migrate_at_once(tmp_path: Path) -> None:
    """Each of them ends with a database at the right schema; none fails."""
    path = tmp_path / "tongfa.sqlite3"
    children = [spawn(MIGRATOR, f"sqlite:///{path}") for _ in range(2)]
    assert ["ready"] * 2 == [line(child) for child in children]
    assert [0] * 2 == [end(child) for child in children]
    at(path).check_schema()


@pytest.mark.parametrize("state", ["absent", "empty", "older", "newer"])
def test_another_schema_is_refused_with_its_mend(tmp_path: Path, state: str) -> None:
    """Never set up, or of another version: the error says what to run, and the file is not touched."""
    path = tmp_path / "tongfa.sqlite3"
    store = at(path)
    if state == "empty":
        path.touch()
    elif state != "absent":
        store.migrate()
        with store.write() as connection:
            version = "0000_pre" if state == "older" else "9999_post"
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))
    with pytest.raises(BadInput) as refused:
        store.check_schema()
    assert "tongfa" in refused.value.mend
    assert path.exists() == (state != "absent")
    if state == "newer":
        with pytest.raises(BadInput):
            store.migrate()


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
