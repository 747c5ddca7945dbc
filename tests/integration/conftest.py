"""A migrated database to copy, made once, and a world on a copy of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.engine import verify
from tests.integration.world import World, fresh_database, world_in


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database; copy it."""
    return fresh_database(tmp_path_factory.mktemp("database"))


@pytest.fixture
def world(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An installation on memory outlets; a reader looks once a turn, because this clock stands while it naps."""
    monkeypatch.setattr(verify, "CLOSE_WATCH", 0.0)
    with world_in(tmp_path, database) as made:
        yield made
