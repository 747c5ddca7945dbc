"""A migrated database to copy, made once; a store and a world on copies of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.engine import removal, verify
from sync.store.session import Store
from tests.integration.rows import sow
from tests.integration.world import World, fresh_database, world_in
from tests.services.postgres import Postgres


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database; copy it."""
    return fresh_database(tmp_path_factory.mktemp("database"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server, started when the first test wants it; its database `migrated` is one to copy."""
    with Postgres() as server:
        made = Store(server.database(name="migrated"))
        made.migrate()
        made.close()
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database of the test's own, empty; with SQLite there is no file yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'tongfa.sqlite3'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    made = server.database()
    yield made
    server.drop(made)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A database of the test's own with one of everything in it."""
    if request.param == "sqlite":
        made = Store(f"sqlite:///{shutil.copy(request.getfixturevalue('database'), tmp_path / 'tongfa.sqlite3')}")
        sow(made)
        yield made
        made.close()
        return
    server: Postgres = request.getfixturevalue("postgres")
    made = Store(server.database("migrated"), "test")
    sow(made)
    yield made
    made.close()
    server.drop(made.url)


@pytest.fixture
def server_store(postgres: Postgres) -> Iterator[Store]:
    """As `store`, on PostgreSQL only."""
    made = Store(postgres.database("migrated"), "test")
    sow(made)
    yield made
    made.close()
    postgres.drop(made.url)


@pytest.fixture
def world(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An installation on memory outlets; a reader looks once a turn, because this clock stands while it naps."""
    monkeypatch.setattr(verify, "CLOSE_WATCH", 0.0)
    monkeypatch.setattr(removal, "WATCH", 0.0)
    with world_in(tmp_path, database) as made:
        yield made
