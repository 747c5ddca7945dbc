"""Installations to test, embedded and production: one that all share, and one for those who kill things."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.installation import Installation, running
from tests.acceptance.mode import EMBEDDED, Mode, Production, migrated
from tests.services.postgres import Postgres
from tests.services.redis import running as running_redis


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Started when the first test needs it."""
    with Postgres() as server:
        yield migrated(server)


@pytest.fixture(scope="session")
def production(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Production]:
    """Many installations on one PostgreSQL and one Redis."""
    with running_redis(tmp_path_factory.mktemp("redis")) as redis:
        yield Production(postgres, redis.fresh)


@pytest.fixture(scope="session", params=["embedded", "production"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """Every installation is made with it, so that every test of one runs twice."""
    made: Mode = EMBEDDED if request.param == "embedded" else request.getfixturevalue("production")
    return made


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, mode: Mode) -> Iterator[Installation]:
    """An installation with the outlets site, wechat, mastodon and gazette. Leave it as you found it: clear knobs."""
    with running(tmp_path_factory.mktemp("shared"), mode=mode) as installed:
        yield installed
