"""A process dies, freezes or is overtaken: what it held is found, and nothing is sent twice."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from sync.clock import SECOND
from sync.contract import Ambiguous, Prepared, TryLater
from sync.engine import control
from sync.engine.prepare import prepare
from sync.engine.reconcile import reconcile
from sync.model import Key
from sync.store import deliveries
from sync.store.tables import delivery
from sync.verdict import MOST_TRIES
from tests.integration.hand import Process
from tests.integration.outside import BareChannel, Script, remade
from tests.integration.world import World


def dying(process: Process, *, done: bool) -> Script:
    """A script: the process dies during this call, after the outlet did it or before; nothing is stored any more."""

    def script(act: Callable[[], str]) -> str:
        if done:
            act()
        process.store.gone = True
        raise Ambiguous("nobody hears this")

    return script


def bury(world: World, process: Process) -> None:
    """Kill it for good; that it could store nothing was meant."""
    world.kill(process)
    assert all(isinstance(one, OperationalError) for one in world.failures)
    world.failures.clear()


def test_what_kills_whoever_prepares_it_is_given_up(world: World) -> None:
    """Again at once three times, then ever more rarely; in the end a person is asked."""
    outside = world.add("blog")
    made = world.plan("blog", at=10 * 24 * 3600)
    deaths: list[int] = []

    def kills(act: Callable[[], str]) -> str:
        deaths.append(world.clock.now())
        victim.store.gone = True
        raise Ambiguous("nobody hears this")

    for tries in (1, 2, 3, 4, 5, MOST_TRIES):
        with world.store.write() as connection:
            connection.execute(update(delivery).where(delivery.c.release == made).values(attempts=tries - 1))
        victim = world.mortal()
        outside.scripts.append(kills)
        span = 1
        while not victim.store.gone:
            world.run(span)
            span *= 2
        bury(world, victim)
    world.process()
    world.run(60)
    assert ("failed", 6) == (world.states(made)["blog"], len(deaths))
    assert "tries that nobody answered" in world.report(made)["deliveries"][0]["problems"][0]["message"]
    waits = [later - earlier for earlier, later in pairwise(deaths)]
    assert max(waits[:3]) < waits[3] and waits[3] + 20 * SECOND < waits[4]


@pytest.mark.parametrize("done", [True, False], ids=["draft made", "no draft"])
def test_dying_while_preparing(world: World, done: bool) -> None:
    """The next process sees that the lock is free, waits out the quarantine unless it finds the draft, and goes on."""
    outside = world.add("blog")
    victim = world.mortal()
    outside.scripts.append(dying(victim, done=done))
    made = world.plan("blog", at=30)
    world.run(0.5)
    bury(world, victim)
    survivor = world.process()
    world.run(3)
    assert ("prepared" if done else "preparing") == world.states(made)["blog"]
    world.run(60)
    assert "verified" == world.states(made)["blog"]
    assert 1 == len(outside.drafts)
    assert survivor.ctx.actor == world.rows(made)["blog"].worker


def test_dying_armed_costs_nothing(world: World) -> None:
    """Nothing had happened: the next process arms anew and is in time."""
    world.add("site", "site")
    world.add("blog")
    victim = world.mortal()
    made = world.plan("site,blog", at=60)
    world.run_to(made, before=10)
    assert {victim.ctx.owner} == {row.owner for row in world.rows(made).values()}
    world.kill(victim)
    world.process()
    world.run(20)
    assert {"verified"} == set(world.states(made).values())
    assert world.report(made)["lateness_ms"]["last"] < 1_000


def test_dying_committed_and_not_sent_is_late_and_single(world: World) -> None:
    """In flight under a dead owner: after window and quarantine the probe finds nothing, and it is sent."""
    world.add("site", "site")
    world.add("blog")
    victim = world.mortal()
    made = world.plan("site,blog", at=30)
    world.run_to(made, before=0.5)
    assert "committed" == world.release(made).state
    world.kill(victim)
    world.process()
    world.run_to(made, before=-6.9)
    assert {"releasing"} == set(world.states(made).values())
    assert [0, 0] == [world.published(name) for name in world.outside]
    world.run(10)
    assert {"verified"} == set(world.states(made).values())
    assert 6_000 < world.report(made)["lateness_ms"]["first"] < 10_000


def test_dying_sent_and_not_stored_is_never_sent_again(world: World) -> None:
    """The same state as before, but the probe finds the copy, at once."""
    outside = world.add("blog")
    victim = world.mortal()
    outside.scripts.extend([None, dying(victim, done=True)])
    made = world.plan("blog", at=30)
    world.run_to(made, before=-0.001)
    bury(world, victim)
    assert "releasing" == world.states(made)["blog"]
    world.process()
    world.run(5)
    assert "verified" == world.states(made)["blog"]
    assert 1 == world.published("blog")


def test_a_probe_is_told_when_the_dead_process_was_to_send(world: World) -> None:
    """Whoever looks is told the instant of the shot, however much later it looks."""
    world.add("blog")
    victim = world.mortal()
    made = world.plan("blog", at=30)
    world.run_to(made, before=0.5)
    fires = world.rows(made)["blog"].fire_at
    world.kill(victim)
    told: list[str] = []

    class Listening(BareChannel):
        def probe(self, rendition: Any, key: Any, hint: Any, replaces: Any = None) -> Any:
            told.append(hint.notes["fire_at"])
            return super().probe(rendition, key, hint, replaces)

    world.mischief["blog"] = remade(Listening)
    world.process()
    world.run(20)
    assert {str(fires)} == set(told) and fires is not None
    assert 1 == world.published("blog")


def test_dying_while_looking_things_up(world: World) -> None:
    """The next process takes the row over, and its quarantine counts from then: longer, never shorter."""
    outside = world.add("blog")
    outside.faults.extend([None, "lose"])
    victim = world.mortal()
    made = world.plan("blog", at=20)
    world.run_to(made, before=-0.5)

    class Deadly(BareChannel):
        def probe(self, rendition: object, key: object, hint: object, replaces: object = None) -> Any:
            victim.store.gone = True

    world.mischief["blog"] = remade(Deadly)
    world.run(3)
    bury(world, victim)
    del world.mischief["blog"]
    died = world.clock.now()
    world.process()
    world.run(30)
    assert "verified" == world.states(made)["blog"]
    assert 1 == world.published("blog")
    assert world.outside["blog"].posts[0].at >= died + 5 * SECOND


def test_dying_while_discarding(world: World) -> None:
    """The draft of a cancelled release is removed by the next process."""
    outside = world.add("blog")
    victim = world.mortal()
    made = world.plan("blog", at=60)
    world.run(5)

    class Deadly(BareChannel):
        def discard(self, prepared: Prepared, key: Key) -> None:
            victim.store.gone = True

    world.mischief["blog"] = remade(Deadly)
    control.cancel(world.ctx, made)
    world.run(1)
    del world.mischief["blog"]
    bury(world, victim)
    assert "discarding" == world.states(made)["blog"]
    world.process()
    world.run(60)
    assert "cancelled" == world.states(made)["blog"]
    assert {} == outside.drafts


def test_a_frozen_owner_keeps_its_rows(world: World) -> None:
    """While its lock is held nobody takes over, and what it wakes up to send after the window is refused."""
    world.add("blog")
    frozen = world.mortal()
    made = world.plan("blog", at=30)
    world.run_to(made, before=0.1)
    world.processes.remove(frozen)
    other = world.process()
    world.run(300)
    assert ("releasing", frozen.ctx.owner) == (world.rows(made)["blog"].state, world.rows(made)["blog"].owner)
    assert 0 == world.published("blog")
    world.processes.append(frozen)
    world.run(30)
    assert other in world.processes
    assert "verified" == world.states(made)["blog"]
    assert ["release_begun", "absent", "release_begun"] == world.acts(world.rows(made)["blog"].id)[-5:-2]


def test_a_frozen_owner_that_lost_its_lock_sends_nothing(world: World) -> None:
    """Its rows were taken over: at the last look it finds a newer epoch, and its shots are put away."""
    world.add("blog")
    frozen = world.mortal()
    made = world.plan("blog", at=30)
    world.run_to(made, before=0.5)
    world.kill(frozen)
    world.process()
    world.run(0.1)
    frozen.sender.dead, frozen.lanes = False, ()  # it wakes with its shots, and has no time for more
    world.processes.append(frozen)
    world.run(30)
    assert "verified" == world.states(made)["blog"]
    assert 1 == world.published("blog")


def test_a_frozen_owner_that_was_overtaken_commits_nothing(world: World) -> None:
    """It had armed its shots when its rows were given to somebody else: its commit finds newer epochs."""
    world.add("site", "site")
    world.add("blog")
    frozen = world.mortal()
    made = world.plan("site,blog", at=30)
    world.run_to(made, before=5)
    frozen.ctx.lock.kill()  # type: ignore[attr-defined]
    reconcile(world.ctx, [row.id for row in world.rows(made).values()])
    assert {None} == {row.owner for row in world.rows(made).values()}
    frozen.lanes = ()
    world.run(20)
    assert "ready" == world.release(made).state
    assert {"prepared"} == set(world.states(made).values())
    world.process()
    world.run(40)
    assert {"verified"} == set(world.states(made).values())
    assert {1} == {world.published(name) for name in world.outside}


def test_a_row_that_went_to_somebody_else_is_not_sent(world: World) -> None:
    """At the last look one delivery has a newer epoch: only that shot is put away."""
    world.add("a")
    world.add("b")
    world.process()
    made = world.plan("a,b", at=30)
    world.run_to(made, before=0.5)
    row = world.rows(made)["a"]
    with world.store.write() as connection:
        deliveries.note(connection, row, owner=None, epoch=row.epoch + 1)
    world.run_to(made, before=-1)
    assert (0, 1) == (world.published("a"), world.published("b"))


def test_a_stale_answer_changes_nothing(world: World) -> None:
    """Who was overtaken while it waited for the outlet stores nothing, also not in the log."""
    world.add("blog")
    victim = world.mortal("prepare")
    made = world.plan("blog", at=60)
    stored: list[object] = []

    def overtaken(act: Callable[[], str]) -> str:
        victim.ctx.lock.kill()  # type: ignore[attr-defined]
        reconcile(world.ctx, [world.rows(made)["blog"].id])
        stored.append(world.rows(made)["blog"])
        raise TryLater("busy")

    world.outside["blog"].scripts.append(overtaken)
    before = len(world.acts(world.rows(made)["blog"].id))
    prepare(victim.ctx, [world.rows(made)["blog"].id])
    assert stored == [world.rows(made)["blog"]]
    assert before + 2 == len(world.acts(world.rows(made)["blog"].id))
    assert "preparing" == world.states(made)["blog"]
