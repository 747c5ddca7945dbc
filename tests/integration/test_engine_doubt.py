"""After doubt: whatever fails, and whoever dies, each outlet ends with one copy or a person is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from sqlalchemy.exc import OperationalError

from channels.memory import Fault
from sync.clock import MILLISECOND, SECOND
from sync.contract import Accepted, Ambiguous, OutletError, Prepared, Receipt, Shot, TryLater, Unauthorised
from sync.engine import control, outcome
from sync.engine.claim import Claim
from sync.engine.prepare import prepare
from sync.engine.reconcile import reconcile
from sync.engine.release import release
from sync.flow import E
from sync.model import Key, Rendition
from sync.store import deliveries, journal
from tests.integration.world import BareChannel, Process, Queued, Script, World

Made = Callable[[BareChannel], BareChannel]


def remade(kind: type[BareChannel]) -> Made:
    """The outlet's channel, as one of this class."""
    return lambda channel: kind(channel._outlet, channel._tools, channel.outside)


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


@pytest.mark.parametrize("error", [RuntimeError("bug in probe"), Unauthorised("the token was revoked")])
def test_a_failing_probe_is_no_absence(world: World, error: Exception) -> None:
    """As long as the outlet cannot be asked, nothing is sent again, however long ago the quarantine ended."""
    asked: list[int] = []

    class Unaskable(BareChannel):
        def probe(self, rendition: object, key: object, hint: object) -> Any:
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
    assert len(asked) > 10
    del world.mischief["blog"]
    world.run(10)
    assert "verified" == world.states(made)["blog"]


# ---- a process dies


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


def test_dying_while_looking_things_up(world: World) -> None:
    """The next process takes the row over, and its quarantine counts from then: longer, never shorter."""
    outside = world.add("blog")
    outside.faults.extend([None, "lose"])
    victim = world.mortal()
    made = world.plan("blog", at=20)
    world.run_to(made, before=-0.5)

    class Deadly(BareChannel):
        def probe(self, rendition: object, key: object, hint: object) -> Any:
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


# ---- the database fails


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


# ---- the clocks


def test_clocks_that_differ_hold_the_release(world: World) -> None:
    """Host and database more than 50 ms apart: nothing is committed, and the reason is told."""
    world.add("blog")
    worker = world.process()
    made = world.plan("blog", at=60)
    world.run_to(made, before=5)
    worker.store.offset = 61 * MILLISECOND
    world.run(20)
    row = world.release(made)
    assert ("held", True) == (row.state, "clock differ by 60 ms" in row.why)
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


# ---- odd orders of events


def test_a_slow_watcher_does_not_undo_what_another_found(world: World) -> None:
    """Two look after one queued job; the slower answer, older than the faster one, is dropped."""
    world.add("queue", "queued").late_by = 8.0
    world.process()
    made = world.plan("queue", at=20)
    world.run_to(made, before=-0.5)
    row = world.rows(made)["queue"]
    assert "accepted" == row.state

    class Slow(Queued):
        def probe(self, rendition: object, key: object, hint: object) -> Any:
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


# ---- shots that are put away


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
