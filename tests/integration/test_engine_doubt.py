"""After doubt: whatever fails, and whoever dies, each outlet ends with one copy or a person is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from channels.memory import Fault
from sync.clock import MILLISECOND, SECOND
from sync.contract import Accepted, Prepared, Receipt, Shot, Unauthorised
from sync.engine import control, outcome
from sync.engine.shards import release
from sync.flow import E
from sync.model import Key, Rendition
from sync.store import deliveries
from tests.integration.outside import BareChannel, Made, Queued, remade
from tests.integration.world import World


@pytest.mark.parametrize("fault", ["refuse", "lose", "unheard", "late"])
@pytest.mark.parametrize("call", ["prepare", "publish"])
def test_every_flavour_of_failure_ends_with_one_copy(world: World, fault: Fault, call: str) -> None:
    """Busy, lost on the way, done but unheard, done later: in each case exactly one copy, by itself."""
    outside = world.add("blog")
    outside.late_by = 4.0
    outside.faults.extend([fault] if call == "prepare" else [None, fault])
    world.process()
    made = world.plan("blog", at=20)
    world.run(60)
    assert "verified" == world.states(made)["blog"]
    assert 1 == world.published("blog")


def test_what_was_certainly_not_sent_is_sent_again_soon(world: World) -> None:
    """A refusal that says it did nothing needs no quarantine."""
    world.add("blog").faults.extend([None, "refuse"])
    world.process()
    made = world.plan("blog", at=20)
    world.run_to(made, before=-3)
    assert "verified" == world.states(made)["blog"]


def test_a_lost_request_waits_out_the_quarantine(world: World) -> None:
    """An absence counts only when the request can no longer land; then it is sent again."""
    world.add("blog").faults.extend([None, "lose"])
    world.process()
    made = world.plan("blog", at=20)
    world.run_to(made, before=-4.9)
    assert "releasing" == world.states(made)["blog"]
    assert 0 == world.published("blog")
    world.run(10)
    assert "verified" == world.states(made)["blog"]
    told = world.acts(world.rows(made)["blog"].id)
    assert ["release_begun", "absent", "release_begun", "released", "verified"] == told[-5:]


def test_an_unheard_answer_is_found_and_not_sent_again(world: World) -> None:
    """The probe finds the copy at once; a find needs no quarantine."""
    world.add("blog").faults.extend([None, "unheard"])
    world.process()
    made = world.plan("blog", at=20)
    world.run_to(made, before=-4)
    assert "verified" == world.states(made)["blog"]
    assert 1 == world.acts(world.rows(made)["blog"].id).count("release_begun")


def test_a_blind_outlet_in_doubt_goes_to_a_person(world: World) -> None:
    """It is never sent again by the machine, however long one waits."""
    world.add("blind", "blind").faults.extend([None, "lose"])
    world.process()
    made = world.plan("blind", at=20)
    world.run(4_000)
    assert "unresolved" == world.states(made)["blind"]
    assert 1 == world.acts(world.rows(made)["blind"].id).count("release_begun")
    control.settle(world.ctx, world.rows(made)["blind"].id, "hidden", None)
    world.run(20)
    assert "verified" == world.states(made)["blind"]


def test_a_blind_outlet_that_refused_is_sent_again(world: World) -> None:
    """What was certainly not sent is no doubt."""
    world.add("blind", "blind").faults.extend([None, "refuse"])
    world.process()
    made = world.plan("blind", at=20)
    world.run(30)
    assert "verified" == world.states(made)["blind"]


@pytest.mark.parametrize("done", [True, False], ids=["after the act", "before the act"])
def test_a_bug_while_preparing_may_have_happened(world: World, done: bool) -> None:
    """An exception nobody foresaw leaves the delivery in flight until a probe, and never a second draft in use."""

    def script(act: Callable[[], str]) -> str:
        if done:
            act()
        raise RuntimeError("bug")

    world.add("blog").scripts.append(script)
    world.process()
    made = world.plan("blog", at=20)
    world.run(0.5)
    assert "preparing" == world.states(made)["blog"]
    world.run(40)
    assert "verified" == world.states(made)["blog"]
    assert (1, 1) == (len(world.outside["blog"].drafts), world.published("blog"))


class _Clumsy(Shot):
    """A shot of a channel with a bug."""

    def __init__(self, inner: Shot, *, sending: bool) -> None:
        self._inner, self._sending = inner, sending

    def _fire(self) -> None:
        self._inner._fire()
        if self._sending:
            raise RuntimeError("bug in send")

    def settle(self) -> Receipt | Accepted:
        raise RuntimeError("bug in settle")


def clumsy(*, sending: bool) -> Made:
    class Clumsy(BareChannel):
        def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
            return _Clumsy(super().arm(prepared, rendition, key), sending=sending)

    return remade(Clumsy)


def test_a_bug_while_settling_may_have_happened(world: World) -> None:
    """The copy is looked up, found, and not sent again."""
    world.add("blog")
    world.mischief["blog"] = clumsy(sending=False)
    world.process()
    made = world.plan("blog", at=20)
    world.run(40)
    assert "verified" == world.states(made)["blog"]
    assert 1 == world.acts(world.rows(made)["blog"].id).count("release_begun")


def test_a_bug_while_sending_stops_nobody_else(world: World) -> None:
    """The shots after it leave all the same, this one is looked up, and the sender loop lives on."""
    for name in ("a", "b", "c"):
        world.add(name)
    world.mischief["b"] = clumsy(sending=True)
    worker = world.process()
    made = world.plan("a,b,c", at=20)
    world.run(40)
    world.failures[:] = [one for one in world.failures if str(one) != "bug in send"]
    assert not worker.sender.dead
    assert {"verified"} == set(world.states(made).values())
    assert {1} == {world.published(name) for name in world.outside}


@pytest.mark.parametrize(
    ("error", "looks"), [(RuntimeError("bug in probe"), range(12, 22)), (Unauthorised("revoked"), range(4, 8))]
)
def test_a_failing_probe_is_no_absence(world: World, error: Exception, looks: range) -> None:
    """As long as the outlet cannot be asked, nothing is sent again, however long ago the quarantine ended.

    It is asked ever more rarely. A key that is refused is shown once a minute: outlets lock out who keeps coming."""
    asked: list[int] = []

    class Unaskable(BareChannel):
        def probe(self, rendition: object, key: object, hint: object, replaces: object = None) -> Any:
            asked.append(1)
            raise error

    world.add("blog").faults.extend([None, "unheard"])
    world.process()
    made = world.plan("blog", at=20)
    world.run_to(made, before=0.5)
    world.mischief["blog"] = remade(Unaskable)
    world.run(300)
    row = world.rows(made)["blog"]
    assert ("releasing", str(error)) == (row.state, row.problems[0]["message"])
    assert len(asked) in looks
    del world.mischief["blog"]
    world.run(100)
    assert "verified" == world.states(made)["blog"]


@pytest.mark.parametrize("call", ["prepare", "publish"])
def test_a_look_that_began_too_early_proves_no_absence(world: World, call: str) -> None:
    """Its worker stands still between look and storing it: by then the quarantine is over, the look is no newer."""

    class Frozen(BareChannel):
        def probe(self, *asked: Any) -> Any:
            found = super().probe(*asked)
            world.mischief.clear()
            world.clock.advance(20)
            self.outside.land()
            return found

    outside = world.add("blog")
    outside.late_by = 4.0
    outside.faults.extend(["late"] if call == "prepare" else [None, "late"])
    world.process()
    world.mischief["blog"] = remade(Frozen)
    made = world.plan("blog", at=20)
    world.run(60)
    row = world.rows(made)["blog"]
    assert "verified" == row.state
    assert 1 == world.published("blog")
    assert "absent" not in world.acts(row.id)


def test_clocks_that_differ_hold_the_release(world: World) -> None:
    """Host and database more than 50 ms apart: nothing is committed, and the reason is told."""
    world.add("blog")
    worker = world.process()
    made = world.plan("blog", at=60)
    world.run_to(made, before=5)
    worker.store.offset = 61 * MILLISECOND
    world.run(20)
    row = world.release(made)
    assert ("held", True) == (row.state, "clock differ by 61 ms" in row.why)
    worker.store.offset = 0
    control.resume(world.ctx, made)
    world.run(20)
    assert "released" == world.release(made).state


def test_clocks_that_part_after_the_commit_send_nothing(world: World) -> None:
    """At the last look they differ: the shots stay unsent, certainly, and go out once the clocks agree."""
    world.add("blog")
    worker = world.process()
    made = world.plan("blog", at=60)
    world.run_to(made, before=0.5)
    worker.store.offset = -60 * MILLISECOND
    world.run(1)
    worker.store.offset = 0
    assert 0 == world.published("blog")
    world.run(20)
    assert "verified" == world.states(made)["blog"]


def test_a_slow_watcher_does_not_undo_what_another_found(world: World) -> None:
    """Two look after one queued job; the slower answer, older than the faster one, is dropped."""
    world.add("queue", "queued").late_by = 8.0
    world.process()
    made = world.plan("queue", at=20)
    world.run_to(made, before=-0.5)
    row = world.rows(made)["queue"]
    assert "accepted" == row.state

    class Slow(Queued):
        def probe(self, rendition: object, key: object, hint: object, replaces: object = None) -> Any:
            world.mischief.clear()
            world.clock.advance(8)
            self.outside.land()
            post = self.outside.posts[0]
            outcome.probed(world.ctx, world.rows(made)["queue"], Receipt(post.ref, "memory:", post.at))
            return hint

    world.mischief["queue"] = remade(Slow)
    world.run(30)
    assert "verified" == world.states(made)["queue"]


def test_what_is_due_apart_is_not_sent_apart(world: World) -> None:
    """Required deliveries that fall due at different moments still go out together, or not yet."""
    world.add("a")
    world.add("b")
    worker = world.process("prepare")
    made = world.plan("a,b")
    world.run(5)
    rows = world.rows(made)
    with world.store.write() as connection:
        deliveries.note(connection, rows["b"], due_at=world.clock.now() + 3 * SECOND)
    release(worker.ctx, worker.sender, [rows["a"].id])
    while worker.sender.turn():
        pass
    world.run(1)
    assert 1 != sum(world.published(name) for name in world.outside)


def test_nobody_commits_without_what_somebody_else_holds(world: World) -> None:
    """A required delivery is still another process's: the release waits for it, and goes out as one."""
    world.add("a")
    world.add("b")
    preparing = world.process("prepare")
    made = world.plan("a,b")
    world.run(1)
    row = world.rows(made)["b"]
    with world.store.write() as connection:
        kept = deliveries.note(connection, row, owner=preparing.ctx.owner)
    preparing.ctx.held.add([row.id])
    world.process("release")
    world.run(10)
    assert [0, 0] == [world.published(name) for name in world.outside]
    with world.store.write() as connection:
        deliveries.note(connection, kept, owner=None)
    world.run(10)
    assert {"verified"} == set(world.states(made).values())


def test_tries_to_prepare_are_not_tries_to_release(world: World) -> None:
    """An outlet that was hard to prepare at still has its twelve tries at the instant."""
    outside = world.add("blog")
    outside.faults.extend(["refuse"] * 4)
    world.process()
    made = world.plan("blog", at=600)
    world.run(500)
    assert ("prepared", 0) == (world.rows(made)["blog"].state, world.rows(made)["blog"].attempts)
    outside.faults.extend(["refuse"] * 9)
    world.run(1_500)
    assert "verified" == world.states(made)["blog"]


def test_a_removed_draft_is_looked_after_until_a_person_must(world: World) -> None:
    """Discarding is repeated, slower and slower, and shown in the end when it never works."""
    world.add("blog")

    class Stubborn(BareChannel):
        def discard(self, prepared: object, key: object) -> None:
            raise Unauthorised("the token was revoked")

    world.process()
    made = world.plan("blog", at=60)
    world.run(5)
    world.mischief["blog"] = remade(Stubborn)
    control.cancel(world.ctx, made)
    world.run(300)
    row = world.rows(made)["blog"]
    assert "discarding" == row.state
    assert row.due_at > world.clock.now() + 200 * SECOND
    world.run(90 * 3_600)
    assert "unresolved" == world.states(made)["blog"]


def test_twelve_tries_and_then_a_person(world: World) -> None:
    """An outlet that is always busy is given up after twelve tries, and the reason is told."""
    world.add("site", "site")
    world.add("busy", required=False).faults.extend(["refuse"] * 20)
    world.process()
    made = world.plan("site,busy", at=20)
    world.run(90 * 3_600)
    row = world.rows(made)["busy"]
    assert "failed" == row.state
    assert "given up after 12 tries" in row.problems[0]["message"]
    assert 12 == world.acts(row.id).count(E.PREPARE_BEGUN)
