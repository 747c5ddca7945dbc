"""Feeds, their entries and pings are part of a backup; rows that contradict the log are refused."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from sync.engine import errands, feeds
from sync.engine.feeds import Wish
from sync.store import deliveries, pings
from sync.store.consistency import contradictions
from sync.store.session import Store
from sync.store.tables import ping
from tests.integration.feed_site import entry, feed_site, rss
from tests.integration.rows import AT
from tests.integration.test_backup import Here, bring_back, databases, here, rows

__all__ = ["databases", "here"]  # the fixtures


def test_feeds_come_back_with_what_was_read(here: Here, databases: Any) -> None:
    """Nothing of a feed is taken a second time after a restore."""
    with feed_site() as site:
        site.put("/feed.xml", rss(entry(1, "<p>一</p>"), entry(2, "<p>x</p><script>1</script>")))
        feeds.add(here.ctx, Wish("town", site.url("/feed.xml"), private_network=True))
        errands.run(here.ctx)
        assert 1 == len([one for one in site.asked if one[0] == "/feed.xml"])
    before = rows(here.ctx.store)
    assert (1, 2) == (len(before["feed"]), len(before["feed_entry"]))
    settings = databases("again")
    bring_back(settings, here.take())
    again = Store(settings.database_url)
    try:
        after = rows(again)
        assert (before["feed"], before["feed_entry"]) == (after["feed"], after["feed_entry"])
        with again.read() as connection:
            assert [] == list(contradictions(connection))
    finally:
        again.close()


def test_what_was_to_be_told_is_kept(store: Store) -> None:
    """Of the rows as they are: a ping that ended has its entry."""
    with store.write() as connection:
        row = deliveries.get(connection, "delivery-1")
        pings.add_all(connection, row, ("hub", "index"), "https://x.example/", gone=False, at=AT)
        hub, _ = sorted(pings.due(connection, AT), key=lambda one: str(one.name))
        pings.end(connection, hub, pings.PINGED, attempts=1, at=AT, actor="test")
    with store.read() as connection:
        assert [] == list(contradictions(connection))


@pytest.mark.parametrize("state", ["pinged", "ping_failed"])
def test_a_ping_that_was_never_told_is_a_contradiction(store: Store, state: str) -> None:
    """A row that came past the guards and says that it ended."""
    with store.write() as connection:
        row = {"delivery": "delivery-1", "name": "hub", "url": "u", "gone": False, "since": AT, "attempts": 1}
        connection.execute(insert(ping), {**row, "state": state, "why": ""})
    with store.read() as connection:
        assert ["a ping has ended without its log entry (delivery-1)"] == list(contradictions(connection))
