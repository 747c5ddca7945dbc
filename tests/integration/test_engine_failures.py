"""The database fails, or a connection: what was done is found out, and nothing stays open or owned."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from sqlalchemy.exc import OperationalError

from sync.clock import MILLISECOND
from sync.contract import Accepted, OutletError, Prepared, Receipt, Shot, TryLater
from sync.engine import control
from sync.engine.claim import Claim
from sync.model import Key, Rendition
from sync.store import deliveries, journal
from tests.integration.outside import BareChannel, remade
from tests.integration.world import World


def test_an_answer_that_cannot_be_stored_is_probed(world: World) -> None:
    """It was published and the database did not take it: found by a probe, not sent again."""
    world.add("blog")
    worker = world.process()
    made = world.plan("blog", at=20)
    world.run_to(made, before=0.1)
    worker.store.breaks.append(True)
    world.run(20)
    assert [OperationalError] == [type(one) for one in world.failures]
    world.failures.clear()
    assert "verified" == world.states(made)["blog"]
    assert 1 == world.acts(world.rows(made)["blog"].id).count("release_begun")


def test_a_prepared_draft_that_cannot_be_stored_is_probed(world: World) -> None:
    """The same while preparing: the draft is found, and no second one is made."""
    outside = world.add("blog")
    worker = world.process()
    made = world.plan("blog", at=20)
    worker.store.breaks.extend([False, True])
    world.run(10)
    assert [OperationalError] == [type(one) for one in world.failures]
    world.failures.clear()
    assert "prepared" == world.states(made)["blog"]
    assert 1 == len(outside.drafts)


def test_a_failing_database_while_rendering_passes(world: World) -> None:
    """It says nothing of the content: rendered again in a moment, and nothing is held."""

    class Unread(BareChannel):
        def render(self, edition: object, place: object) -> Rendition:
            raise OperationalError("SELECT", {}, Exception("disk I/O error"))

    world.add("blog")
    world.mischief["blog"] = remade(Unread)
    world.process()
    made = world.plan("blog", at=60)
    world.run(1)
    assert "planned" == world.states(made)["blog"]
    assert "disk I/O error" in world.rows(made)["blog"].problems[0]["message"]
    del world.mischief["blog"]
    world.run(80)
    assert "verified" == world.states(made)["blog"]


@pytest.mark.parametrize("lost", [0, 1], ids=["the claim", "the commit"])
def test_a_failing_database_at_the_commit_loses_nothing(world: World, lost: int) -> None:
    """Whichever transaction of the release fails: nothing was public, and it goes out when the database works."""
    world.add("site", "site")
    world.add("blog")
    worker = world.process()
    made = world.plan("site,blog", at=60)
    world.run_to(made, before=31 if lost == 0 else 2)
    worker.store.breaks.append(True)
    world.run(30 + 31)
    assert [OperationalError] == [type(one) for one in world.failures]
    world.failures.clear()
    assert {"verified"} == set(world.states(made).values())
    assert "released" == world.release(made).state


def test_a_failing_database_at_the_last_look_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Committed, and the last look cannot be taken: nothing is sent then, and it goes out late by itself."""
    world.add("blog")
    worker = world.process()
    made = world.plan("blog", at=30)
    world.run_to(made, before=0.5)
    whole = worker.store.read

    def broken() -> Any:
        monkeypatch.setattr(worker.store, "read", whole)
        raise OperationalError("SELECT", {}, Exception("disk I/O error"))

    act = worker.sender.pop()
    monkeypatch.setattr(worker.store, "read", broken)
    world.clock.reach(world.release(made).release_at - 100 * MILLISECOND)
    with pytest.raises(OperationalError):
        act()
    world.run(60)
    assert "verified" == world.states(made)["blog"]
    assert 1 == world.published("blog")


def test_one_overtaken_row_does_not_lose_the_others_answers(world: World) -> None:
    """Answers are stored together; one whose row was taken over is left out, the others are kept."""
    world.add("a")
    world.add("b", "blind")
    worker = world.process("prepare")
    made = world.plan("a,b")
    world.run(1)
    rows = world.rows(made)
    claim = Claim(worker.ctx, made)
    assert claim.take()
    claim.commit([rows["a"].id, rows["b"].id])
    with world.store.write() as connection:
        row = deliveries.get(connection, rows["a"].id)
        deliveries.note(connection, row, epoch=row.epoch + 1, owner=None)
    claim._answers.append((rows["a"].id, Receipt("1", "memory:1", 1), None))  # both came in the same moment
    claim.store(rows["b"].id, Receipt("2", "memory:2", 2), None)
    assert {"a": "releasing", "b": "released"} == world.states(made)
    with world.store.read() as connection:
        assert "released" not in [one.act for one in journal.of(connection, "delivery", rows["a"].id)]


class _Counted(Shot):
    """A shot that knows how many of its kind hold a connection open."""

    open: ClassVar[set[int]] = set()

    def __init__(self, inner: Shot, fault: OutletError | None) -> None:
        self._inner, self._fault = inner, fault
        self.open.add(id(self))

    def _fire(self) -> None:
        self._inner._fire()

    def check(self) -> None:
        if self._fault is not None:
            raise self._fault

    def settle(self) -> Receipt | Accepted:
        return self._inner.settle()

    def close(self) -> None:
        self.open.discard(id(self))


class Counted(BareChannel):
    faults: ClassVar[list[OutletError]] = []

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        return _Counted(super().arm(prepared, rendition, key), self.faults.pop() if self.faults else None)


@pytest.fixture
def counting(world: World) -> World:
    """Three outlets whose shots are counted."""
    _Counted.open.clear()
    Counted.faults.clear()
    for name in ("a", "b", "c"):
        world.add(name)
        world.mischief[name] = remade(Counted)
    return world


@pytest.mark.parametrize("what", ["sent", "stale", "held", "cancelled", "database", "answer lost"])
def test_every_armed_shot_is_put_away(counting: World, what: str) -> None:
    """Sent or not, no connection and no staged file stays open."""
    worker = counting.process()
    made = counting.plan("a,b,c", at=60)
    counting.run(5)
    if what == "stale":
        counting.outside["b"].drafts.clear()
    counting.run_to(made, before=5)
    assert 3 == len(_Counted.open)
    if what == "held":
        control.hold(counting.ctx, made)
    elif what == "cancelled":
        control.cancel(counting.ctx, made)
    elif what == "database":
        worker.store.breaks.append(True)
    elif what == "answer lost":
        counting.run_to(made, before=0.1)
        worker.store.breaks.append(True)
    counting.run(60)
    counting.failures[:] = [one for one in counting.failures if not isinstance(one, OperationalError)]
    assert set() == _Counted.open


def test_a_connection_that_is_gone_at_the_last_look_stops_nobody_else(counting: World) -> None:
    """It was certainly not sent and follows at once; the others leave at the instant."""
    counting.process()
    made = counting.plan("a,b,c", at=60)
    Counted.faults.append(TryLater("no connection can be had"))
    counting.run(70)
    assert {"verified"} == set(counting.states(made).values())
    late = sorted(one["lateness_ms"] for one in counting.report(made)["deliveries"])
    assert late[1] < 50
    assert late[2] < 5_000
    assert {1} == {counting.published(name) for name in counting.outside}
