"""Pings as rows, on both databases: planned once, due in their order, ended with an entry, and never otherwise."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from sync.engine import errands
from sync.store import deliveries, journal, pings
from sync.store.session import Store
from sync.store.tables import Record, ping
from tests.integration.rows import AT

URL = "https://county.example/1.html"


def planned(store: Store) -> list[Record]:
    """Two for the one delivery; planning them again adds none."""
    with store.write() as connection:
        row = deliveries.get(connection, "delivery-1")
        for names in (("hub", "index", "hub"), ("index",)):
            pings.add_all(connection, row, names, URL, gone=False, at=AT)
    with store.read() as connection:
        return list(pings.due(connection, AT))


def states(store: Store) -> dict[str, str]:
    with store.read() as connection:
        return {row.name: row.state for row in connection.execute(select(ping))}


def test_they_wait_are_put_off_and_end_once(store: Store) -> None:
    """Whoever gives one that was given meanwhile tells nothing of it."""
    hub, index = sorted(planned(store), key=lambda row: str(row.name))
    assert ("hub", "index", "blog", AT) == (hub.name, index.name, hub.outlet, hub.due_at)
    with store.write() as connection:
        assert AT == errands.next_due(connection)
        pings.put_off(connection, hub, AT + 30, attempts=1, why="503")
        pings.end(connection, index, pings.PINGED, attempts=1, at=AT, actor="test")
        pings.end(connection, index, pings.FAILED, attempts=1, at=AT, actor="test")
    with store.read() as connection:
        assert ([], ["hub"]) == tuple([row.name for row in pings.due(connection, at)] for at in (AT, AT + 30))
        assert AT + 30 == errands.next_due(connection)
        assert ["503"] == [row.why for row in pings.not_given(connection, AT)]
        (told,) = journal.of(connection, "ping", "delivery-1")
    assert ("pinged", "pinged", "blog", "item-1") == (told.act, told.state, told.outlet, told.item)
    assert {"hub": "waiting", "index": "pinged"} == states(store)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ping SET state = 'pinged'",
        "UPDATE ping SET state = 'pinged', entry_id = 1",
        "UPDATE ping SET url = 'x'",
        "DELETE FROM ping",
    ],
)
def test_the_database_refuses_what_is_not_told(store: Store, statement: str) -> None:
    planned(store)
    with pytest.raises(DBAPIError), store.write() as connection:
        connection.execute(text(statement))
    assert {"hub": "waiting", "index": "waiting"} == states(store)


def test_one_that_is_there_is_not_replaced(store: Store) -> None:
    """Nor made to wait again once it ended."""
    hub, _ = sorted(planned(store), key=lambda row: str(row.name))
    with store.write() as connection:
        pings.end(connection, hub, pings.PINGED, attempts=1, at=AT, actor="test")
        pings.put_off(connection, hub, AT, attempts=0, why="")
    assert {"hub": "pinged", "index": "waiting"} == states(store)
