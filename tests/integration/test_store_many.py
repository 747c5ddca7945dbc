"""Many rows changed at once: the same rules as for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from sync.contract import Receipt
from sync.engine.claim import Claim
from sync.engine.verify import _Latest
from sync.flow import E, IllegalMove, R
from sync.store import copies, deliveries, journal, outlets, releases
from sync.store.deliveries import Change, Superseded
from sync.store.session import Store
from sync.store.tables import Record
from tests.integration.rows import AT, OUTLET, add_delivery, entries, everything
from tests.integration.world import World

MORE = ("blog", "page", "site")


@pytest.fixture
def rows(store: Store) -> Sequence[Record]:
    """Three deliveries of the release, as they were read."""
    with store.write() as connection:
        for name in MORE[1:]:
            outlets.add(connection, {**OUTLET, "name": name}, at=AT, actor="test")
            add_delivery(connection, f"delivery-{name}", outlet=name)
        return deliveries.of_release(connection, "release-1")


def test_each_has_its_entry_in_their_order(store: Store, rows: Sequence[Record]) -> None:
    """Moves of one event and of another, and a change that is no move: dense ids, each at its own delivery."""
    before = entries(store)
    with store.write() as connection:
        changes = [
            Change(rows[2], E.RENDERED, {"rendition": "two"}, {"duty": None, "due_at": None}),
            Change(rows[0], values={"reads": 7}),
            Change(rows[1], E.CANCELLED, {"why": "one"}),
        ]
        deliveries.change_all(connection, changes, at=AT + 5, actor="test")
    with store.read() as connection:
        after = {row.outlet: row for row in deliveries.of_release(connection, "release-1")}
        told = list(journal.page(connection, after=before))
    assert [(before + 1, rows[2].id, "rendered"), (before + 2, rows[1].id, "cancelled")] == [
        (one.id, one.subject_id, one.state) for one in told
    ]
    assert {"rendition": "two", "from": "planned", "release": "release-1"} == told[0].detail
    assert [("rendered", AT + 5, before + 1), ("cancelled", AT + 5, before + 2)] == [
        (after[row.outlet].state, after[row.outlet].since, after[row.outlet].entry_id) for row in (rows[2], rows[1])
    ]
    assert ("planned", 7, rows[0].entry_id) == (
        after[rows[0].outlet].state,
        after[rows[0].outlet].reads,
        rows[0].entry_id,
    )


@pytest.mark.parametrize("newer", [{"epoch": 2}, {}], ids=["of another epoch", "of another state"])
def test_one_that_is_not_as_it_was_read_undoes_all(store: Store, rows: Sequence[Record], newer: dict[str, int]) -> None:
    """Nothing of a commit may stand when a single one of its rows has gone on without us."""
    with store.write() as connection:
        if newer:
            deliveries.note(connection, rows[1], **newer)
        else:
            deliveries.move(connection, rows[1], E.RENDERED, at=AT, actor="other")
    before = everything(store)
    changes = [Change(row, E.RENDERED, values={"duty": None}) for row in rows]
    with pytest.raises(Superseded), store.write() as connection:
        deliveries.change_all(connection, changes, at=AT, actor="test")
    assert before == everything(store)


def test_an_illegal_move_writes_nothing(store: Store, rows: Sequence[Record]) -> None:
    before = everything(store)
    with store.write() as connection:
        with pytest.raises(IllegalMove):
            deliveries.change_all(
                connection, [Change(rows[0], E.RENDERED), Change(rows[1], E.VERIFIED)], at=AT, actor="test"
            )
        with pytest.raises(IllegalMove):  # a release that is open: by what was read, and by what is said to be read
            deliveries.change_all(connection, [Change(rows[0], E.RELEASE_BEGUN)], at=AT, actor="test", joined=R.OPEN)
    assert before == everything(store)


def test_nothing_to_change_asks_nothing(store: Store) -> None:
    with store.write() as connection, counted(store.engine) as statements:
        deliveries.change_all(connection, [], at=AT, actor="test")
    assert [] == statements


def test_a_row_comes_back_as_it_was_read(store: Store) -> None:
    """Texts are read again only for whoever had them."""
    with store.write() as connection:
        (light,) = deliveries.some(connection, ["delivery-1"], light=True)
        light = deliveries.note(connection, light, reads=3)
        whole = deliveries.note(connection, deliveries.get(connection, "delivery-1"), reads=4)
    assert ("rendition" in light._fields, light.reads) == (False, 3)
    assert ("rendition" in whole._fields, whole.reads, whole.problems) == (True, 4, [])


def test_what_revisions_there_are(store: Store, rows: Sequence[Record]) -> None:
    """Public anywhere counts, and so does what may be about to be; removed and withdrawn does not."""
    with store.write() as connection:
        item = rows[0].item
        nothing = copies.revisions(connection, [item])
        assert not nothing.newer(item, 0)
        copies.appear_all(connection, [(rows[0], {"ref": "1", "url": "u"}), (rows[1], None)], at=AT, actor="test")
        public = copies.revisions(connection, [item, "another"])
        assert (public.newer(item, 0), public.newer(item, 1), public.newer("another", 0)) == (True, False, False)
        for row in copies.some(connection, [rows[0].id, rows[1].id]):
            copies.move(connection, row, copies.REMOVED, at=AT, actor="test")
        assert not copies.revisions(connection, [item]).newer(item, 0)
        assert releases.state_of(connection, "release-1") is R.OPEN


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """Every statement meanwhile, but for the entries: SQLite takes them one by one."""
    found: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if "INSERT INTO entry" not in statement:
            found.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_no_statement_for_each_outlet(world: World) -> None:
    """From claim to commit and last look: a release to twelve outlets asks what one to two asks."""
    for number in range(12):
        world.add(f"outlet-{number:02}")
    worker = world.process("prepare")
    asked = []
    for many in (2, 12):
        made = world.plan(
            ",".join(f"outlet-{number:02}" for number in range(many)), world.file(f"{many}.md", f"{many}")
        )
        world.run(1)
        claim = Claim(worker.ctx, made)
        with counted(worker.store.engine) as statements:
            assert claim.take()
            assert many == len(claim.commit([row.id for row in world.rows(made).values()]))
            assert many == len(claim.last_look()[0])
        asked.append(statements)
        claim.let_go()
    assert len(asked[0]) == len(asked[1]) < 45


def test_who_watch_ask_once_for_all(world: World) -> None:
    """What one of them was told is good for the others, but nobody is told the same twice; texts only after a move."""
    for name in ("a", "b", "c"):
        world.add(name)
    worker = world.process("prepare")
    made = world.plan("a,b,c")
    world.run(1)
    claim = Claim(worker.ctx, made)
    assert claim.take()
    claim.commit(list(claim.rows))
    rows = list(world.rows(made).values())
    latest = _Latest(worker.ctx, rows)
    with counted(worker.store.engine) as statements:
        seen = [latest.of(row.id, 0) for row in rows]
        assert 1 == sum("FROM delivery" in one for one in statements)
        assert {(1, "releasing")} == {(asked, now.state) for now, _, asked in seen}
        assert 2 == latest.of(rows[0].id, 1)[2]
        assert 2 == sum("FROM delivery" in one for one in statements)
    claim.store(rows[1].id, Receipt("1", "memory:1", 1), None)
    now, whole, _ = latest.of(rows[1].id, 2)
    assert ("released", "released", "memory:1") == (now.state, whole.state, whole.receipt["url"])
    assert "rendition" not in now._fields
    claim.let_go()
