"""A release from plan to verified: the joint rule, who holds it and who does not, late, alone, several at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from sync.clock import SECOND
from sync.contract import Rejected, TryLater, Unsupported
from sync.engine.outcome import facts
from sync.engine.report import exit_code
from sync.model import Policy, Rendition
from sync.store import outlets
from tests.integration.outside import BareChannel, Queued, remade
from tests.integration.world import World


def refuse(error: Exception) -> Callable[[Callable[[], str]], str]:
    """A script: the outlet answers the call with this error, and does nothing."""

    def script(act: Callable[[], str]) -> str:
        raise error

    return script


def test_all_outlets_at_the_instant(world: World) -> None:
    """Prepared at once, public at the instant and not before, read back, and done."""
    for name, kind in (("site", "site"), ("blog", "memory"), ("queue", "queued")):
        world.add(name, kind)
    world.process()
    made = world.plan("site,blog,queue", at=60)
    world.run(1)
    assert {"prepared"} == set(world.states(made).values())
    assert "ready" == world.release(made).state
    world.run_to(made, before=1.5)
    assert "ready" == world.release(made).state
    world.run_to(made, before=0.5)
    assert "committed" == world.release(made).state
    assert {"releasing"} == set(world.states(made).values())
    assert [0, 0, 0] == [world.published(name) for name in world.outside]
    world.run(10)
    assert {"verified"} == set(world.states(made).values())
    assert "released" == world.release(made).state
    assert [1, 1, 1] == [world.published(name) for name in world.outside]


def test_now_is_a_moment_after_the_commit(world: World) -> None:
    """A release `now` gets its instant in the commit, and nothing goes out before it."""
    world.add("blog")
    world.process()
    made = world.plan("blog")
    world.run(5)
    row = world.release(made)
    assert world.settings.lead_ms <= (row.release_at - row.committed_at) / 1_000 < world.settings.lead_ms + 10
    assert "released" == row.state
    assert row.release_at <= world.outside["blog"].posts[0].at


def test_every_act_is_told_in_order(world: World) -> None:
    """The log tells the delivery's whole life, with the worker that did each act."""
    world.add("blog")
    worker = world.process()
    made = world.plan("blog", at=60)
    world.run(70)
    row = world.rows(made)["blog"]
    assert [
        "planned", "rendered", "prepare_begun", "prepared", "release_begun", "released", "verified",
    ] == world.acts(row.id)  # fmt: skip
    told = world.report(made)["deliveries"][0]
    assert [worker.ctx.actor] * 2 == [one["worker"] for one in told["attempt_log"]]


def test_nothing_is_public_before_every_required_outlet_is_ready(world: World) -> None:
    """While one of them is being prepared again and again, the others wait beyond the instant, then all go."""
    world.add("site", "site")
    world.add("slow").faults.extend(["refuse"] * 4)
    world.process()
    made = world.plan("site,slow", at=20)
    world.run(60)
    assert "open" == world.release(made).state
    assert {"site": "prepared", "slow": "rendered"} == world.states(made)
    world.run(200)
    assert "released" == world.release(made).state
    assert [1, 1] == [world.published(name) for name in world.outside]
    told = world.report(made)
    assert 40_000 < told["lateness_ms"]["first"] < 240_000
    assert told["skew_ms"] < 1_000


def test_a_refused_required_outlet_holds_the_release(world: World) -> None:
    """Nobody goes out, and the reason is in the release for the person who mends it."""
    world.add("site", "site")
    world.add("strict").faults.append("reject")
    world.process()
    made = world.plan("site,strict", at=20)
    world.run(2_000)
    row = world.release(made)
    assert ("held", "strict: the outlet does not take this") == (row.state, row.why)
    assert {"site": "prepared", "strict": "failed"} == world.states(made)
    assert [0, 0] == [world.published(name) for name in world.outside]
    assert 3 == report_exit(world, made)


def test_an_optional_outlet_does_not_hold(world: World) -> None:
    """Refused there, it is shown; the others go out at the instant."""
    world.add("site", "site")
    world.add("extra", required=False).faults.append("reject")
    world.process()
    made = world.plan("site,extra", at=20)
    world.run(40)
    assert {"site": "verified", "extra": "failed"} == world.states(made)
    assert "committed" == world.release(made).state
    assert 4 == report_exit(world, made)


@pytest.mark.parametrize(
    ("policy", "state", "copies"),
    [(Policy.ALL, "held", (0, 0)), (Policy.REQUIRED, "held", (0, 0)), (Policy.BEST_EFFORT, "committed", (1, 0))],
)
def test_policy_decides_whether_a_marked_outlet_holds(
    world: World, policy: Policy, state: str, copies: tuple[int, int]
) -> None:
    """An outlet marked required holds under `all` and `required`, and not under `best-effort`."""
    world.add("site", "site", required=False)
    world.add("marked").faults.append("reject")
    world.process()
    made = world.plan("site,marked", at=20, policy=policy)
    world.run(40)
    assert state == world.release(made).state
    assert copies == (world.published("site"), world.published("marked"))


def test_all_holds_for_an_unmarked_outlet(world: World) -> None:
    """Under `all`, an outlet marked optional is required like the others."""
    world.add("site", "site")
    world.add("extra", required=False).faults.append("reject")
    world.process()
    made = world.plan("site,extra", at=20, policy=Policy.ALL)
    world.run(40)
    assert "held" == world.release(made).state


def test_an_optional_outlet_follows_alone(world: World) -> None:
    """Not ready at the commit, it goes out by itself later, and is marked late by its own lateness."""
    world.add("site", "site")
    world.add("slow", required=False).faults.extend(["refuse"] * 3)
    world.process()
    made = world.plan("site,slow", at=20)
    world.run(22)
    assert {"site": "verified", "slow": "rendered"} == world.states(made)
    assert "committed" == world.release(made).state
    world.run(60)
    assert {"site": "verified", "slow": "verified"} == world.states(made)
    assert "released" == world.release(made).state
    late = {one["outlet"]: one["lateness_ms"] for one in world.report(made)["deliveries"]}
    assert late["site"] < 1_000
    assert late["slow"] > 10_000


def test_ready_between_commit_and_instant_it_waits_for_the_instant(world: World) -> None:
    """An optional outlet that becomes ready in the last second follows alone, and is not early."""
    world.add("site", "site")
    world.add("slow", required=False).faults.extend(["refuse"] * 3)
    world.process()
    made = world.plan("site,slow", at=36.5)  # its fourth try is 36 seconds from now
    world.run_to(made, before=0.4)
    assert {"site": "releasing", "slow": "releasing"} == world.states(made)
    world.run(5)
    assert {"site": "verified", "slow": "verified"} == world.states(made)


def test_several_items_under_one_joint_rule(world: World) -> None:
    """A policy and its interpretation: one refused item at one outlet holds both everywhere."""
    world.add("site", "site")
    world.add("blog")
    first, second = world.file("first.md", body="甲"), world.file("second.md", body="乙")
    world.process()
    both = world.plan("site,blog", first, second, at=20)
    world.run(40)
    assert "released" == world.release(both).state
    assert (2, 2) == (world.published("site"), world.published("blog"))
    assert 2 == len(world.report(both)["items"])
    third, fourth = world.file("third.md", body="丙"), world.file("fourth.md", body="丁")
    world.outside["blog"].faults.extend([None, "reject"])
    held = world.plan("site,blog", third, fourth, at=20)
    world.run(40)
    assert "held" == world.release(held).state
    assert (2, 2) == (world.published("site"), world.published("blog"))


def test_a_rendering_that_cannot_be_is_refused(world: World) -> None:
    """What the channel cannot express holds the release before anything was sent."""

    class Narrow(BareChannel):
        def render(self, edition: object, place: object) -> Rendition:
            raise Unsupported("no table fits here")

    world.add("site", "site")
    world.add("narrow")
    world.mischief["narrow"] = remade(Narrow)
    world.process()
    made = world.plan("site,narrow", at=20)
    world.run(40)
    assert ("held", "narrow: no table fits here") == (world.release(made).state, world.release(made).why)
    assert [] == world.outside["narrow"].record


@pytest.mark.parametrize("error", [RuntimeError("bug"), TryLater("its sandbox does not run")])
def test_a_rendering_that_fails_stops_nobody_else(world: World, error: Exception) -> None:
    """An optional outlet whose rendering fails, for whatever reason, is shown; the others go out."""

    class Broken(BareChannel):
        def render(self, edition: object, place: object) -> Rendition:
            raise error

    world.add("site", "site")
    world.add("broken", required=False)
    world.mischief["broken"] = remade(Broken)
    world.process()
    made = world.plan("site,broken", at=20)
    world.run(40)
    row = world.rows(made)["broken"]
    assert "verified" == world.states(made)["site"]
    assert [str(error)] == [problem["message"] for problem in row.problems]


def test_a_queued_outlet_is_polled_until_its_job_ends(world: World) -> None:
    """Accepted is not public: the job is asked about at the outlet's own times, and only once it ended is it read."""
    world.add("queue", "queued").late_by = 11.5
    world.process()
    made = world.plan("queue", at=20)
    world.run_to(made, before=-3)
    assert "accepted" == world.states(made)["queue"]
    world.run(20)
    assert "verified" == world.states(made)["queue"]
    told = world.report(made)["deliveries"][0]
    assert 11_000 < told["lateness_ms"] < 18_000


def test_a_queued_job_that_fails_is_shown(world: World) -> None:
    """The outlet's word that its job failed ends in `failed`, and nothing is sent again."""

    class Refusing(Queued):
        def probe(self, rendition: object, key: object, hint: object, replaces: object = None) -> None:
            raise Rejected("the job failed its review")

    world.add("queue", "queued").late_by = 3_600
    world.mischief["queue"] = remade(Refusing)
    world.process()
    made = world.plan("queue", at=20)
    world.run(60)
    row = world.rows(made)["queue"]
    assert ("failed", "the job failed its review") == (row.state, row.problems[0]["message"])
    assert 1 == world.acts(row.id).count("release_begun")


def test_what_readers_see_is_compared(world: World) -> None:
    """Altered at the outlet: never verified, `match` is false, and the difference is told."""

    def altering(act: Callable[[], str]) -> str:
        ref = act()
        outside.posts[-1].content = "another"
        return ref

    world.add("site", "site")
    outside = world.add("blog")
    outside.scripts.extend([None, altering])
    world.process()
    made = world.plan("site,blog", at=20)
    world.run(60)
    row = world.rows(made)["blog"]
    assert ("released", False) == (row.state, row.match)
    assert "altered" == row.problems[0]["message"]
    assert 4 == report_exit(world, made)
    outside.posts[-1].content = outside.drafts[next(iter(outside.drafts))][1]
    world.run(60)
    assert ("verified", True) == (world.rows(made)["blog"].state, world.rows(made)["blog"].match)


def test_not_visible_yet_is_read_again(world: World) -> None:
    """A page that a cache still hides is read until it shows; the last read without it bounds the moment."""

    class Cached(BareChannel):
        hidden_until = 0

        def verify(self, receipt: object, rendition: object, before: object = None) -> object:  # type: ignore[override]
            seen = super().verify(receipt, rendition)  # type: ignore[arg-type]
            hidden = seen.began_at < Cached.hidden_until
            return type(seen)(not hidden, seen.began_at, seen.ended_at, ())

    world.add("blog")
    world.mischief["blog"] = remade(Cached)
    world.process()
    made = world.plan("blog", at=20)
    Cached.hidden_until = world.release(made).release_at + 7 * SECOND
    world.run(60)
    row = world.rows(made)["blog"]
    assert "verified" == row.state
    assert row.visible_after < Cached.hidden_until <= row.visible_at
    told = world.report(made)
    assert (row.visible_at - row.visible_after) / 1_000 == pytest.approx(told["skew_error_ms"], abs=0.01)


def test_a_paused_outlet_still_gets_what_was_planned(world: World) -> None:
    """Pausing takes no new releases; the frozen one goes on."""
    world.add("blog")
    world.process()
    made = world.plan("blog", at=20)
    with world.store.write() as connection:
        row = outlets.get(connection, "blog")
        outlets.change(connection, row, "paused", at=world.clock.now(), actor="test", state="paused")
    world.run(40)
    assert "verified" == world.states(made)["blog"]


def test_a_failing_database_at_the_plan_leaves_nothing(world: World) -> None:
    """The commit of the plan fails: no release, no delivery, no due row, and the order can be repeated."""
    world.add("blog")
    world.store.breaks.append(True)
    with pytest.raises(OperationalError):
        world.plan("blog", at=20, request_id="one")
    world.process()
    world.run(30)
    assert 0 == world.published("blog")
    world.plan("blog", at=20, request_id="one")
    world.run(30)
    assert 1 == world.published("blog")


def test_the_late_landing_bound_can_be_set_for_tests(world: World) -> None:
    """Facts take the channel's own bound unless the settings name another."""
    world.add("blog")
    made = world.plan("blog", at=20)
    row = world.rows(made)["blog"]
    assert 5.0 == facts(world.ctx, row, BareChannel.can, 0).lands_within


def report_exit(world: World, release: str) -> int:
    return exit_code(world.report(release))
