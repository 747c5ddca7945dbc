"""Every committed entry is told to the process's log once; what was rolled back is not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Connection

from sync.metrics import Figures
from sync.store import journal
from sync.store.session import Store
from tests.integration.world import World


def write(connection: Connection, act: str) -> None:
    journal.write(connection, at=1, unit="local", subject="test", subject_id="t", act=act, actor="test")


def acts(records: list[logging.LogRecord]) -> list[str]:
    return [record.__dict__["act"] for record in records if record.name == "tongfa.act"]


def test_what_was_committed_is_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """In order, after the commit; a transaction that failed and a savepoint that was undone tell nothing."""
    caplog.set_level(logging.INFO, "tongfa.act")
    with store.write() as connection:
        write(connection, "first")
        undone = connection.begin_nested()
        write(connection, "undone")
        undone.rollback()
        with connection.begin_nested():
            write(connection, "second")
        assert [] == acts(caplog.records)
    assert ["first", "second"] == acts(caplog.records)
    with pytest.raises(ValueError, match="broken"), store.write() as connection:
        write(connection, "lost")
        raise ValueError("broken")
    with store.write() as connection:
        write(connection, "third")
    assert ["first", "second", "third"] == acts(caplog.records)


def test_a_delivery_is_told_with_its_ids(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Release, delivery, item, outlet and worker stand in the line."""
    caplog.set_level(logging.INFO, "tongfa.act")
    world.add("blog")
    world.process()
    made = world.plan("blog")
    world.run(5)
    told: list[Mapping[str, Any]] = [record.__dict__ for record in caplog.records if record.name == "tongfa.act"]
    begun = next(one for one in told if one["act"] == "release_begun")
    row = world.rows(made)["blog"]
    assert (made, row.id, row.item, "blog") == tuple(begun[name] for name in ("release", "delivery", "item", "outlet"))
    assert row.worker == begun["worker"]


def test_the_figures_tell_what_is_so(world: World) -> None:
    """States, skew and the log's size, by the database; nothing of any item's text."""
    world.add("a")
    world.add("b")
    world.process()
    world.plan("a,b")
    world.run(5)
    families = {one.name: one for one in Figures(world.ctx).collect()}
    verified = {
        one.labels["outlet"]: one.value
        for one in families["tongfa_deliveries"].samples
        if one.labels["state"] == "verified"
    }
    assert {"a": 1, "b": 1} == verified
    assert 2 == families["tongfa_copies"].samples[0].value
    skews = {one.labels.get("le", one.name): one.value for one in families["tongfa_skew_seconds"].samples}
    assert 1 == skews["+Inf"] == skews["5.0"]
    told = " ".join(str(sample) for one in families.values() for sample in one.samples)
    assert "开通" not in told
