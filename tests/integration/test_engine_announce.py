"""Whoever is to be told of what is live is told after it, again until they listen, and no release ever waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from sync.clock import SECOND
from sync.contract import (
    Ambiguous,
    Announcer,
    Channel,
    HeldBack,
    Misbehaved,
    OutletError,
    Rejected,
    TryLater,
    Unauthorised,
)
from sync.engine import announce, errands
from sync.engine.doctor import CHECKS
from sync.engine.plan import plan
from sync.engine.withdraw import Withdrawal, withdraw
from sync.store import journal, recovery
from sync.store.tables import Record, delivery, ping
from tests.integration.outside import KINDS, Site
from tests.integration.world import World

TOLD: list[tuple[str, str, bool]] = []
ANSWERS: dict[str, Callable[[], OutletError | None]] = {}


class Teller(Site):
    """A site that tells a hub and an index."""

    kind: ClassVar[str] = "teller"
    names: ClassVar[tuple[str, ...]] = ("hub", "index")

    def pings(self) -> tuple[str, ...]:
        return self.names

    def ping(self, name: str, url: str, *, gone: bool) -> None:
        if (error := ANSWERS.get(name, lambda: None)()) is not None:
            raise error
        TOLD.append((name, url, gone))


@pytest.fixture
def telling(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    TOLD.clear()
    ANSWERS.clear()
    monkeypatch.setitem(KINDS, "teller", Teller)
    world.add("site", kind="teller")
    world.add("blog")
    world.process()
    return world


def published(world: World, **more: Any) -> str:
    release = world.plan("site,blog", **more)
    world.run(10)
    assert {"site": "verified", "blog": "verified"} == world.states(release)
    return release


def rows(world: World) -> list[Record]:
    with world.store.read() as connection:
        return list(connection.execute(select(ping).order_by(ping.c.since, ping.c.name)))


def acts(world: World, of: str) -> list[tuple[str, str]]:
    with world.store.read() as connection:
        return [(one.act, one.detail["ping"]) for one in journal.of(connection, "ping", of)]


def findings(world: World) -> dict[str, str]:
    return {one.check: one.level for one in dict(CHECKS)["pings"](world.ctx)}


def test_each_is_told_once_of_what_is_live(telling: World) -> None:
    """Planned with the verification, given after it, with an entry; an outlet that tells nobody has none."""
    release = published(telling)
    url = telling.rows(release)["site"].receipt["url"]
    assert issubclass(Teller, Announcer)
    assert not issubclass(Site, Announcer)
    assert [("hub", "waiting"), ("index", "waiting")] == [(one.name, one.state) for one in rows(telling)]
    assert [] == TOLD
    errands.run(telling.ctx)
    errands.run(telling.ctx)
    assert [("hub", url, False), ("index", url, False)] == TOLD
    assert ["pinged", "pinged"] == [one.state for one in rows(telling)]
    assert [("pinged", "hub"), ("pinged", "index")] == acts(telling, telling.rows(release)["site"].id)
    with telling.store.read() as connection:
        assert errands.next_due(connection) is None
    assert {} == findings(telling)


def test_of_a_correction_and_a_withdrawal_as_well(telling: World) -> None:
    """The same address, told as gone once nobody finds it."""
    release = published(telling)
    item = telling.rows(release)["site"].item
    order = telling.order("site,blog", telling.file("new.md", body="自12月2日起。"), corrects=item)
    corrected = plan(telling.ctx, order)
    telling.run(10)
    gone = withdraw(telling.ctx, Withdrawal(item, "有误"))
    telling.run(10)
    assert "withdrawn" == telling.states(gone)["site"]
    errands.run(telling.ctx)
    url = telling.rows(corrected)["site"].receipt["url"]
    hub = [(url, gone) for name, url, gone in TOLD if name == "hub"]
    assert [(telling.rows(release)["site"].receipt["url"], False), (url, False), (url, True)] == hub


def test_a_failure_is_tried_again_on_schedule_and_given_up_after_a_day(telling: World) -> None:
    """0, 30 s, 5 min, 30 min, 2 h, then every 6 h; the release's report does not change, `doctor` notes it."""
    ANSWERS["hub"] = lambda: Misbehaved("no answer")
    release = published(telling)
    before = telling.report(release)["deliveries"]
    began, tries = telling.clock.now(), []
    while any(one.state == "waiting" for one in rows(telling)):
        announce.give_due(telling.ctx)
        tries.append(round((telling.clock.now() - began) / SECOND))
        waiting = [one.due_at for one in rows(telling) if one.due_at is not None]
        assert len(tries) < 20
        if waiting:
            assert {"ping hub of site": "note"} == findings(telling)
            telling.clock.reach(waiting[0])
    assert [0, 30, 330, 2_130, 9_330, 30_930, 52_530, 74_130] == tries
    (hub,) = (one for one in rows(telling) if one.name == "hub")
    assert ("ping_failed", 8, "no answer") == (hub.state, hub.attempts, hub.why)
    assert ("ping_failed", "hub") in acts(telling, hub.delivery)
    assert {"ping hub of site": "note"} == findings(telling)
    assert before == telling.report(release)["deliveries"]


def test_what_will_never_work_is_given_up_at_once(telling: World) -> None:
    ANSWERS["hub"] = lambda: Rejected("no such topic")
    published(telling)
    errands.run(telling.ctx)
    assert ["ping_failed", "pinged"] == [one.state for one in rows(telling)]


@pytest.mark.parametrize(
    ("error", "wait", "attempts"),
    [
        (lambda now: TryLater("later"), 30, 1),
        (lambda now: TryLater("later", now + 900 * SECOND), 900, 1),
        (lambda now: HeldBack("patience", now + 5 * SECOND), 5, 0),
        (lambda now: Unauthorised("key"), 30, 1),
        (lambda now: Ambiguous("cut off"), 30, 1),
    ],
)
def test_the_next_try_is_when_the_error_says(
    telling: World, error: Callable[[int], OutletError], wait: int, attempts: int
) -> None:
    """Never before the other side asked for it; a limit of our own is no attempt."""
    ANSWERS["hub"] = lambda: error(telling.clock.now())
    published(telling)
    errands.run(telling.ctx)
    (hub,) = (one for one in rows(telling) if one.state == "waiting")
    assert (wait, attempts) == (round((hub.due_at - telling.clock.now()) / SECOND), hub.attempts)


def test_who_dies_while_telling_leaves_it_to_be_told_again(telling: World) -> None:
    """A minute later; meanwhile nobody else tells."""

    class Death(BaseException):
        pass

    def die() -> OutletError | None:
        raise Death

    ANSWERS["hub"] = die
    published(telling)
    with pytest.raises(Death):
        errands.run(telling.ctx)
    ANSWERS.clear()
    errands.run(telling.ctx)
    assert [] == TOLD
    telling.clock.reach(telling.clock.now() + 61 * SECOND)
    errands.run(telling.ctx)
    assert ["hub", "index"] == [name for name, _, _ in TOLD]


def test_a_setting_that_was_taken_back_tells_nobody(telling: World, monkeypatch: pytest.MonkeyPatch) -> None:
    published(telling)
    monkeypatch.setattr(Teller, "names", ("index",))
    errands.run(telling.ctx)
    assert ["index"] == [name for name, _, _ in TOLD]
    assert ["ping_failed", "pinged"] == [one.state for one in rows(telling)]


def test_nobody_is_told_while_a_restore_is_looked_up(telling: World) -> None:
    """The newer past may have taken it back."""
    published(telling)
    with telling.store.write() as connection:
        recovery.begin(connection, "r", "restored", backup={}, at=telling.clock.now(), actor="test")
    errands.run(telling.ctx)
    assert ([], {"waiting"}) == (TOLD, {one.state for one in rows(telling)})


def test_the_database_refuses_a_ping_that_moves_without_its_entry(telling: World) -> None:
    """Nor does it let one be removed, or be about another address."""
    published(telling)
    for statement in ("UPDATE ping SET state = 'pinged'", "DELETE FROM ping", "UPDATE ping SET url = 'x'"):
        with pytest.raises(DBAPIError), telling.store.write() as connection:
            connection.execute(text(statement))


def test_a_channel_that_cannot_be_made_stops_nothing(telling: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was there for the release; what it would tell is left out."""

    def broken(self: Channel) -> tuple[str, ...]:
        raise Unauthorised("the key cannot be read")

    monkeypatch.setattr(Teller, "pings", broken)
    release = published(telling)
    assert [] == rows(telling)
    with telling.store.read() as connection:
        assert 2 == len(list(connection.execute(select(delivery.c.id).where(delivery.c.release == release))))
