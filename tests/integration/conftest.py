"""A migrated database to copy, made once; a store and a world on copies of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.engine import verify
from sync.store.session import Store
from tests.integration.rows import sow
from tests.integration.world import World, fresh_database, world_in


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database; copy it."""
    return fresh_database(tmp_path_factory.mktemp("database"))


@pytest.fixture
def store(tmp_path: Path, database: Path) -> Store:
    """A database of the test's own with one of everything in it."""
    made = Store(f"sqlite:///{shutil.copy(database, tmp_path / 'tongfa.sqlite3')}")
    sow(made)
    return made


@pytest.fixture
def world(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An installation on memory outlets; a reader looks once a turn, because this clock stands while it naps."""
    monkeypatch.setattr(verify, "CLOSE_WATCH", 0.0)
    with world_in(tmp_path, database) as made:
        yield made
