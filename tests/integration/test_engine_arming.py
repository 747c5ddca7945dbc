"""Before the instant: what can be armed in time, what holds, what follows, and what comes too late."""

from __future__ import annotations

import pytest

from sync.clock import SECOND
from sync.contract import Prepared, Shot, TryLater, Unauthorised
from sync.engine.claim import Claim
from sync.model import Key, Rendition
from sync.store import outlets
from tests.integration.outside import BareChannel, remade
from tests.integration.world import World


class Unarmable(BareChannel):
    """Has no connection to be had at the instant."""

    error: Exception = TryLater("no connection")

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        raise self.error


def unarmable(world: World, name: str, error: Exception) -> None:
    kind = type("Unarmable", (Unarmable,), {"error": error})
    world.mischief[name] = remade(kind)


def test_a_required_outlet_that_cannot_be_armed_holds(world: World) -> None:
    """Tried until two seconds before the instant, then held; nothing is public anywhere."""
    world.add("site", "site")
    world.add("blog")
    unarmable(world, "blog", TryLater("no connection"))
    world.process()
    made = world.plan("site,blog", at=40)
    world.run_to(made, before=2.1)
    assert "ready" == world.release(made).state
    world.run_to(made, before=1.3)
    row = world.release(made)
    assert ("held", "blog: no connection") == (row.state, row.why)
    assert [0, 0] == [world.published(name) for name in world.outside]
    assert {None} == {one.owner for one in world.rows(made).values()}


def test_a_required_outlet_that_will_never_be_armed_holds_at_once(world: World) -> None:
    """A revoked token is not mended by waiting."""
    world.add("site", "site")
    world.add("blog")
    unarmable(world, "blog", Unauthorised("the token was revoked"))
    world.process()
    made = world.plan("site,blog", at=60)
    world.run(35)
    assert "held" == world.release(made).state


def test_an_outlet_that_is_armed_in_time_holds_nothing(world: World) -> None:
    """A connection that comes ten seconds before the instant is early enough."""
    world.add("site", "site")
    world.add("blog")
    unarmable(world, "blog", TryLater("no connection"))
    world.process()
    made = world.plan("site,blog", at=60)
    world.run(48)
    del world.mischief["blog"]
    world.run(15)
    assert "released" == world.release(made).state
    assert world.report(made)["lateness_ms"]["last"] < 1_000


def test_an_optional_outlet_that_cannot_be_armed_follows(world: World) -> None:
    """The others go at the instant; it goes when it can be armed."""
    world.add("site", "site")
    world.add("blog", required=False)
    unarmable(world, "blog", TryLater("no connection"))
    world.process()
    made = world.plan("site,blog", at=40)
    world.run(60)
    assert {"site": "verified", "blog": "prepared"} == world.states(made)
    assert world.report(made)["lateness_ms"]["last"] < 1_000
    del world.mischief["blog"]
    world.run(60)
    assert {"site": "verified", "blog": "verified"} == world.states(made)


def test_an_optional_outlet_gives_a_required_one_its_time(world: World) -> None:
    """That an optional outlet will never be armed says nothing about a required one that needs a second try."""
    world.add("site", "site")
    world.add("extra", required=False)
    unarmable(world, "site", TryLater("no connection"))
    unarmable(world, "extra", Unauthorised("the token was revoked"))
    world.process()
    made = world.plan("site,extra", at=60)
    world.run(40)
    del world.mischief["site"]
    world.run(30)
    assert "verified" == world.states(made)["site"]


def test_an_optional_hiccup_long_before_the_instant_is_no_delay(world: World) -> None:
    """An optional outlet that is armed at the second try is public with the others."""
    world.add("site", "site")
    world.add("extra", required=False)
    unarmable(world, "extra", TryLater("no connection"))
    world.process()
    made = world.plan("site,extra", at=60)
    world.run(40)
    del world.mischief["extra"]
    world.run(120)
    assert {"site": "verified", "extra": "verified"} == world.states(made)
    assert world.report(made)["lateness_ms"]["last"] < 1_000


def test_what_was_prepared_is_gone(world: World) -> None:
    """Noticed when it is armed, prepared again, and still public at the instant with the others."""
    world.add("site", "site")
    world.add("blog")
    world.process()
    made = world.plan("site,blog", at=60)
    world.run(5)
    world.outside["blog"].drafts.clear()
    world.run(60)
    assert {"site": "verified", "blog": "verified"} == world.states(made)
    row = world.rows(made)["blog"]
    assert 1 == world.acts(row.id).count("stale")
    assert 2 == world.acts(row.id).count("prepare_begun")
    assert world.report(made)["lateness_ms"]["last"] < 1_000


def test_an_outlet_changed_after_prepare_is_prepared_again(world: World) -> None:
    """Another address or account: what was prepared for the old one is not used."""
    world.add("site", "site")
    world.add("blog")
    world.process()
    made = world.plan("site,blog", at=60)
    world.run(5)
    with world.store.write() as connection:
        row = outlets.get(connection, "blog")
        outlets.change(connection, row, "changed", at=world.clock.now(), actor="test", settings={"to": "elsewhere"})
    world.run(60)
    row = world.rows(made)["blog"]
    assert ("verified", 2, 1) == (row.state, row.generation, world.acts(row.id).count("stale"))


def test_not_ready_by_the_late_limit_is_held(world: World) -> None:
    """It waits a quarter of an hour beyond the instant, then it is held, with whom it waited for."""
    world.add("site", "site")
    world.add("slow").faults.extend(["refuse"] * 30)
    world.process()
    made = world.plan("site,slow", at=20)
    world.run(900)
    assert "open" == world.release(made).state
    world.run(60)
    row = world.release(made)
    assert "held" == row.state
    assert "waiting for slow" in row.why
    assert [0, 0] == [world.published(name) for name in world.outside]


def test_late_within_the_limit_goes_out_marked(world: World) -> None:
    """Nobody worked at the instant; the next process releases it at once and the report says how late."""
    world.add("site", "site")
    made = world.plan("site", at=20)
    world.run(300)
    world.process()
    world.run(10)
    assert "released" == world.release(made).state
    assert 270_000 < world.report(made)["lateness_ms"]["first"] < 300_000


def test_beyond_the_late_limit_nothing_goes_out(world: World) -> None:
    """Nobody worked for an hour: a person decides whether it still makes sense."""
    world.add("site", "site")
    worker = world.process()
    made = world.plan("site", at=20)
    world.run(5)
    world.processes.remove(worker)
    world.run(3_600)
    world.processes.append(worker)
    world.run(10)
    assert "held" == world.release(made).state
    assert 0 == world.published("site")


def test_two_releases_at_one_instant(world: World) -> None:
    """They share the sender loop; each is committed by itself, and one that is held stops only itself."""
    world.add("site", "site")
    world.add("blog")
    world.process()
    first = world.plan("site", world.file("a.md", body="甲"), at=30)
    second = world.plan("blog", world.file("b.md", body="乙"), at=30)
    unarmable(world, "blog", TryLater("no connection"))
    world.run(60)
    assert ("released", "held") == (world.release(first).state, world.release(second).state)


def test_telling_the_others_brings_no_earlier_commit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may queue with other writers for long; until the commit a release can still be stopped."""
    world.add("blog")
    world.process()
    monkeypatch.setattr(Claim, "tell_armed", lambda claim, armed: world.clock.reach(world.clock.now() + 5 * SECOND))
    made = world.plan("blog", at=60)
    world.run(70)
    row = world.release(made)
    before = (row.release_at - row.committed_at) / SECOND
    assert 0 < before <= world.settings.commit_before_s
    assert "verified" == world.states(made)["blog"]
