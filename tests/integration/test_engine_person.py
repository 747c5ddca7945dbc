"""What a person decides: hold, resume and cancel of a release; retry, drop and settle of a delivery."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import pytest

from channels.memory import Fault, MemoryOutlet
from sync.clock import SECOND
from sync.contract import Ambiguous, Receipt
from sync.engine import control
from sync.engine.prepare import prepare
from sync.engine.report import exit_code
from sync.engine.shards import release
from sync.model import BadInput
from sync.store import journal
from tests.integration.outside import BareChannel, remade
from tests.integration.world import World

RACES = 200
FAULTS: dict[str, Fault | None] = {"answered": None, "refused": "reject", "busy": "refuse"}
T = TypeVar("T")


def held(world: World) -> tuple[str, str]:
    """A release that its outlet `strict` stopped; release and delivery id."""
    world.add("site", "site")
    world.add("strict").faults.append("reject")
    world.process()
    made = world.plan("site,strict", at=60)
    world.run(1)
    assert "held" == world.release(made).state
    return made, str(world.rows(made)["strict"].id)


def unresolved(world: World, *, done: bool) -> tuple[str, str]:
    """A committed release whose blind outlet gave no answer; release and delivery id."""
    world.add("site", "site")
    world.add("blind", "blind").faults.extend([None, "unheard" if done else "lose"])
    world.process()
    made = world.plan("site,blind", at=10)
    world.run(20)
    assert {"site": "verified", "blind": "unresolved"} == world.states(made)
    return made, str(world.rows(made)["blind"].id)


# ---- hold


@pytest.mark.parametrize("before", [59.0, 20.0, 1.5], ids=["preparing", "armed", "last moment"])
def test_held_before_the_commit_nothing_goes_out(world: World, before: float) -> None:
    """However late it is held, nothing is public, and resumed it goes out once, marked late."""
    world.add("site", "site")
    world.add("blog")
    world.process()
    made = world.plan("site,blog", at=60)
    world.run_to(made, before=before)
    control.hold(world.ctx, made)
    world.run(2_000)
    assert ("held", "held by a person") == (world.release(made).state, world.release(made).why)
    assert [0, 0] == [world.published(name) for name in world.outside]
    assert 3 == exit_code(world.report(made))
    control.resume(world.ctx, made)
    world.run(20)
    assert {"verified"} == set(world.states(made).values())
    assert [1, 1] == [world.published(name) for name in world.outside]
    assert 1_900_000 < world.report(made)["lateness_ms"]["first"]


@pytest.mark.parametrize("fault", [None, "refuse"])
def test_held_before_anything_was_prepared(world: World, fault: Fault | None) -> None:
    """Nothing is begun at any outlet while it is held; what is being tried again waits as well."""
    outside = world.add("blog")
    outside.faults.append(fault)
    if fault is not None:
        world.process()
    made = world.plan("blog", at=60)
    world.run(0.1)
    control.hold(world.ctx, made)
    if fault is None:
        world.process()
    world.run(30)
    assert {} == outside.drafts
    assert (None, None) == (world.rows(made)["blog"].duty, world.rows(made)["blog"].due_at)
    control.resume(world.ctx, made)
    world.run(40)
    assert {"blog": "verified"} == world.states(made)


def test_held_and_resumed_in_time_is_on_time(world: World) -> None:
    """A hold that is lifted before the instant costs nothing."""
    world.add("site", "site")
    world.process()
    made = world.plan("site", at=60)
    world.run(20)
    control.hold(world.ctx, made)
    world.run(20)
    control.resume(world.ctx, made)
    world.run(30)
    assert world.report(made)["lateness_ms"]["last"] < 1_000


@pytest.mark.parametrize("before", [0.5, -0.01, -5.0], ids=["committed", "sent", "verified"])
@pytest.mark.parametrize("decide", [control.hold, control.cancel])
def test_after_the_commit_there_is_only_forward(world: World, before: float, decide: Any) -> None:
    """Holding and cancelling are refused, and change nothing."""
    world.add("site", "site")
    world.process()
    made = world.plan("site", at=10)
    world.run_to(made, before=before)
    was = world.release(made)
    with pytest.raises(BadInput, match="only forward"):
        decide(world.ctx, made)
    assert was == world.release(made)
    world.run(20)
    assert "verified" == world.states(made)["site"]


def test_hold_races_the_commit(world: World) -> None:
    """At the same moment by two processes, many times: one wins, and after a successful hold nothing is public."""
    world.add("blog")
    worker = world.process()
    chance = random.Random(17)
    came_out: Counter[str] = Counter()
    made = ""
    with ThreadPoolExecutor(2) as pool:
        for number in range(RACES):
            if not made:
                made = world.plan("blog", world.file(body=f"第{number}次。"), at=20)
                delivery = world.rows(made)["blog"].id
                prepare(worker.ctx, [delivery])
            release(worker.ctx, worker.sender, [delivery])
            world.clock.reach(world.release(made).release_at - SECOND)
            start = threading.Barrier(2)
            committing = pool.submit(_late, start, chance.uniform(0, 0.003), worker.sender.pop())
            holding = pool.submit(_late, start, chance.uniform(0, 0.003), partial(_held, world, made))
            committing.result()
            winner = "held" if holding.result() else "committed"
            assert winner == world.release(made).state
            came_out[winner] += 1
            while (following := worker.sender.due_at()) is not None:
                world.clock.reach(following + 1)
                worker.sender.turn()
            assert came_out["committed"] == world.published("blog")
            if winner == "held":
                control.resume(world.ctx, made)
            else:
                made = ""
    world.check()
    assert RACES == came_out.total()
    assert min(came_out["held"], came_out["committed"]) > 0


def _late(start: threading.Barrier, seconds: float, act: Callable[[], T]) -> T:
    start.wait()
    threading.Event().wait(seconds)
    return act()


def _held(world: World, made: str) -> bool:
    """Whether holding it was granted."""
    try:
        control.hold(world.ctx, made)
    except BadInput:
        return False
    return True


# ---- resume


def test_resume_tries_again_what_failed(world: World) -> None:
    """Mended at the outlet, the held release goes on; what was prepared stays prepared."""
    made, strict = held(world)
    control.resume(world.ctx, made)
    world.run(80)
    assert {"site": "verified", "strict": "verified"} == world.states(made)
    assert 1 == world.acts(world.rows(made)["site"].id).count("prepare_begun")
    assert 2 == world.acts(strict).count("prepare_begun")


def test_resume_what_is_still_broken_is_held_again(world: World) -> None:
    """With the newest reason."""
    made, _ = held(world)
    world.outside["strict"].faults.append("reject")
    control.resume(world.ctx, made)
    world.run(80)
    row = world.release(made)
    assert ("held", "strict: the outlet does not take this") == (row.state, row.why)


def test_resume_only_what_is_held(world: World) -> None:
    """An open release is not resumed; an unknown one is named."""
    world.add("blog")
    made = world.plan("blog", at=60)
    with pytest.raises(BadInput, match="it is open and cannot be resumed"):
        control.resume(world.ctx, made)
    with pytest.raises(BadInput, match="no such release"):
        control.resume(world.ctx, "0123")


# ---- cancel


def test_cancel_removes_the_hidden_drafts(world: World) -> None:
    """Nothing goes out, and every draft is removed from the outlets."""
    world.add("site", "site")
    world.add("blog")
    world.process()
    made = world.plan("site,blog", at=60)
    world.run(5)
    assert [1, 1] == [len(one.drafts) for one in world.outside.values()]
    control.cancel(world.ctx, made)
    world.run(100)
    assert ("cancelled", {"cancelled"}) == (world.release(made).state, set(world.states(made).values()))
    assert [0, 0] == [len(one.drafts) for one in world.outside.values()]
    assert [0, 0] == [world.published(name) for name in world.outside]


def test_cancel_takes_armed_shots_back(world: World) -> None:
    """Cancelled between arming and commit: the armed shots are put away."""
    world.add("site", "site")
    world.process()
    made = world.plan("site", at=60)
    world.run_to(made, before=5)
    control.cancel(world.ctx, made)
    world.run(30)
    assert {"site": "cancelled"} == world.states(made)
    assert {} == world.outside["site"].drafts


@pytest.mark.parametrize("how", ["answered", "refused", "lost", "busy"])
def test_cancel_while_an_outlet_is_being_prepared(world: World, how: str) -> None:
    """Whatever the running call comes to, nothing hidden is left, and the delivery ends."""
    outside = world.add("blog")
    world.process()
    made = world.plan("blog", at=60)

    def cancelled_meanwhile(act: Any) -> str:
        control.cancel(world.ctx, made)
        if how == "lost":
            act()
            raise Ambiguous("no answer")
        outside.faults.append(FAULTS[how])
        return MemoryOutlet.call(outside, act)

    outside.scripts.append(cancelled_meanwhile)
    world.run(100)
    assert {"blog": "cancelled"} == world.states(made)
    assert {} == outside.drafts


def test_cancel_a_held_release(world: World) -> None:
    """What failed ends with it, what was prepared is removed."""
    made, _ = held(world)
    control.cancel(world.ctx, made)
    world.run(10)
    assert {"site": "cancelled", "strict": "cancelled"} == world.states(made)
    assert {} == world.outside["site"].drafts


# ---- deliveries


def test_retry_a_failed_optional_outlet(world: World) -> None:
    """After the commit it follows alone."""
    world.add("site", "site")
    world.add("extra", required=False).faults.append("reject")
    world.process()
    made = world.plan("site,extra", at=10)
    world.run(20)
    control.retry(world.ctx, world.rows(made)["extra"].id)
    world.run(10)
    assert {"site": "verified", "extra": "verified"} == world.states(made)
    assert "released" == world.release(made).state


def test_retry_a_failed_optional_outlet_before_the_instant(world: World) -> None:
    """Mended while the others wait for the instant, it is in time."""
    world.add("site", "site")
    world.add("extra", required=False).faults.append("reject")
    world.process()
    made = world.plan("site,extra", at=60)
    world.run(5)
    assert "ready" == world.release(made).state
    control.retry(world.ctx, world.rows(made)["extra"].id)
    world.run(70)
    assert {"site": "verified", "extra": "verified"} == world.states(made)
    assert world.report(made)["lateness_ms"]["last"] < 1_000


def test_retry_in_a_held_release_is_refused(world: World) -> None:
    """The release is what to resume; nothing changed."""
    made, strict = held(world)
    was = world.rows(made)["strict"]
    with pytest.raises(BadInput, match="its release held: it cannot be retried"):
        control.retry(world.ctx, strict)
    assert was == world.rows(made)["strict"]


def test_drop_ends_a_release_without_the_outlet(world: World) -> None:
    """What was given up is no longer waited for; the release has ended, and its skew counts the others."""
    world.add("site", "site")
    world.add("extra", required=False).faults.append("reject")
    world.process()
    made = world.plan("site,extra", at=10)
    world.run(20)
    control.drop(world.ctx, world.rows(made)["extra"].id)
    told = world.report(made)
    assert ("released", 0) == (told["state"], exit_code(told))
    assert {"site": "verified", "extra": "cancelled"} == world.states(made)
    assert told["skew_ms"] is not None


def test_only_what_failed_is_retried_or_dropped(world: World) -> None:
    """A prepared delivery is neither; an unknown one is named."""
    world.add("site", "site")
    world.process()
    made = world.plan("site", at=60)
    world.run(5)
    for decide in (control.retry, control.drop):
        with pytest.raises(BadInput, match="it cannot be"):
            decide(world.ctx, world.rows(made)["site"].id)
        with pytest.raises(BadInput, match="no such delivery"):
            decide(world.ctx, "0123")


def test_found_public_is_released_and_read_back(world: World) -> None:
    """A person found it at this address: a reader looks there, and the release ends."""
    made, blind = unresolved(world, done=True)

    class Linked(BareChannel):
        def verify(self, receipt: Receipt, rendition: Any, before: Any = None) -> Any:
            return super().verify(Receipt(receipt.url.rpartition("/")[2], receipt.url, 0), rendition)

    world.mischief["blind"] = remade(Linked)
    control.settle(world.ctx, blind, "public", f"https://blind.example/{world.outside['blind'].posts[0].ref}")
    row = world.rows(made)["blind"]
    assert ("released", "verify", []) == (row.state, row.duty, row.problems)
    world.run(10)
    assert ("verified", "released") == (world.states(made)["blind"], world.release(made).state)
    assert 1 == world.published("blind")


@pytest.mark.parametrize("found", ["hidden", "nothing"])
def test_found_not_public_is_sent_after_all(world: World, found: str) -> None:
    """The draft is there, or nothing is: it goes out now, once."""
    made, blind = unresolved(world, done=False)
    control.settle(world.ctx, blind, found, None)
    world.run(20)
    assert {"site": "verified", "blind": "verified"} == world.states(made)
    assert 1 == world.published("blind")
    assert ("nothing" == found) == (2 == world.acts(blind).count("prepare_begun"))


def test_settle_needs_a_word_and_an_address(world: World) -> None:
    """Another word, `public` without its address, or a delivery that nobody doubts: refused."""
    made, blind = unresolved(world, done=True)
    with pytest.raises(BadInput, match="none of public, hidden, nothing"):
        control.settle(world.ctx, blind, "gone", None)
    with pytest.raises(BadInput, match="an address is needed"):
        control.settle(world.ctx, blind, "public", None)
    with pytest.raises(BadInput, match="it cannot be"):
        control.settle(world.ctx, world.rows(made)["site"].id, "nothing", None)
    assert "unresolved" == world.rows(made)["blind"].state


def test_settle_in_a_cancelled_release(world: World) -> None:
    """What a person found hidden after the cancel is removed, what was nothing ends."""
    for name in ("a", "b"):
        world.add(name, "blind").faults.append("unheard")
    world.process()
    made = world.plan("a,b", at=60)
    world.run(40)
    assert {"a": "unresolved", "b": "unresolved"} == world.states(made)
    control.cancel(world.ctx, made)
    rows = world.rows(made)
    control.settle(world.ctx, rows["a"].id, "hidden", None)
    control.settle(world.ctx, rows["b"].id, "nothing", None)
    world.run(40)
    assert {"a": "cancelled", "b": "cancelled"} == world.states(made)


def test_every_decision_is_told_with_who_took_it(world: World) -> None:
    """Hold, resume, cancel: an entry each, in the person's name."""
    world.add("blog")
    made = world.plan("blog", at=60)
    control.hold(world.ctx, made)
    control.resume(world.ctx, made)
    control.cancel(world.ctx, made)
    with world.store.read() as connection:
        told = [(one.act, one.actor) for one in journal.of(connection, "release", made)]
    assert [(act, "desk") for act in ("planned", "held", "resumed", "cancelled")] == told
