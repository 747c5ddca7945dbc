"""A database server that is reached and says nothing, as behind a proxy that lost it: nobody waits for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sync.model import BadInput
from sync.postgres import ANSWER, GATE_WAIT_MS, STATEMENT_MS, Session
from sync.store.session import Store
from tests.services.postgres import Postgres
from tests.services.proxy import Proxy

SOON = 1.0  # seconds


@pytest.fixture
def link(postgres: Postgres) -> Iterator[Proxy]:
    with Proxy(lambda: postgres.port) as made:
        yield made


@pytest.fixture
def store(postgres: Postgres, link: Proxy) -> Iterator[Store]:
    name = postgres.database("migrated").partition("?")[0].rpartition("/")[2]
    made = Store(f"postgresql://{Postgres.user}@127.0.0.1:{link.port}/{name}", "test")
    yield made
    made.close()


def test_the_server_gives_up_before_its_client_and_both_before_a_minute() -> None:
    assert GATE_WAIT_MS < STATEMENT_MS < ANSWER * 1_000 < 60_000


@pytest.mark.parametrize("fault", ["half_open", "black_hole"])
@pytest.mark.parametrize("way", ["read", "write", "version"])
def test_a_question_without_an_answer_ends(
    store: Store, link: Proxy, fault: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends as a lost connection does, and the next one is a new one."""

    def ask() -> None:
        if way == "version":
            store.version()
            return
        with store.read() if way == "read" else store.write() as connection:
            connection.exec_driver_sql("SELECT 1")

    monkeypatch.setattr(Session, "patience", SOON)
    monkeypatch.setattr("sync.store.postgres.WATCHING", SOON)
    ask()
    with link.broken(fault):
        began = time.monotonic()
        with pytest.raises(BadInput, match="lost"):
            ask()
        assert time.monotonic() - began < 10 * SOON
    ask()
