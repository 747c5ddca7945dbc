"""What a person publishes: a task at the instant that holds nobody back, and ends by their word and readers' eyes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from channels.memory import Post
from sync.contract import (
    Accepted,
    Capabilities,
    Correct,
    Prepared,
    Probe,
    Receipt,
    Reveal,
    Shot,
    Unsupported,
)
from sync.engine import control
from sync.engine.context import rendition
from sync.engine.plan import plan
from sync.engine.report import exit_code, finished
from sync.engine.withdraw import Withdrawal, withdraw
from sync.model import BadInput, Key, Rendition, Sighting
from sync.store import consistency, copies
from tests.integration.outside import KINDS, BareChannel
from tests.integration.test_engine_review import as_, staffed
from tests.integration.world import INSTALLATION, World

PAGE = "https://news.example/7"


class _Task(Shot):
    def _fire(self) -> None:
        """Nothing leaves."""

    def settle(self) -> Receipt | Accepted:
        return Accepted("")


class Hand(BareChannel):
    """Its pages are what somebody puts there; `ref` is the page's address."""

    kind = "hand"
    can: ClassVar[Capabilities] = replace(
        BareChannel.can, reveal=Reveal.MANUAL, probe=Probe.BLIND, correct=Correct.EDIT, withdraw=True, lands_within=0.0
    )

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        return Prepared("")

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        return _Task()

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        return None if hint is None else Accepted("")

    def discard(self, prepared: Prepared, key: Key) -> None:
        """Nothing is there."""

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        raise Unsupported("a person has to remove it")


class Walled(Hand):
    """Its pages are for members only."""

    kind = "walled"

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        raise Unsupported("no anonymous reader gets in")


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (Hand, Walled):
        monkeypatch.setitem(KINDS, one.kind, one)


def task(world: World, kind: str = "hand", *others: str, required: bool = True) -> tuple[str, str]:
    """A release that went out everywhere but where a person has to publish it; its id, and the task's."""
    world.add("site", "site")
    for other in others:
        world.add(other)
    world.add("news", kind, required=required)
    world.process()
    made = world.plan(",".join(world.outside), at=20)
    world.run(30)
    assert {"site": "verified", "news": "accepted"} | dict.fromkeys(others, "verified") == world.states(made)
    return made, str(world.rows(made)["news"].id)


def paste(world: World, release: str, url: str = PAGE, content: str | None = None) -> None:
    """Somebody puts the text there by hand, or changes what they had put there."""
    outside = world.outside["news"]
    row = world.rows(release)["news"]
    digest = content or rendition(row).digest
    there = [post for post in outside.posts if post.ref == url]
    token = Key(INSTALLATION, row.id).token
    if there:
        there[0].content = digest
    else:
        outside.posts.append(Post(url, token, digest, world.clock.now()))
        outside.record.append((world.clock.now(), "published", token))


def item_of(world: World, release: str) -> str:
    return str(world.report(release)["item"])


def told(world: World, release: str) -> dict[str, Any]:
    return next(one for one in world.report(release)["deliveries"] if one["outlet"] == "news")


def kept(world: World, item: str) -> list[tuple[int, str, str]]:
    with world.store.read() as connection:
        return [(one.revision, one.state, one.url) for one in copies.of(connection, item, "news")]


def correct(world: World, item: str, named: str = "", **more: Any) -> str:
    order = world.order(named or "x", world.file(name="corrected.md", body="自12月2日起试运行。"), **more)
    return plan(world.ctx, replace(order, outlets=tuple(named.split(",")) if named else (), corrects=item))


@pytest.mark.parametrize("required", [True, False])
def test_at_the_instant_it_becomes_a_task(world: World, required: bool) -> None:
    """Prepared without a call, accepted with the others' shots; it is nobody's skew or lateness, and then waits."""
    made, one = task(world, required=required)
    assert [] == world.outside["news"].record
    assert ["planned", "rendered", "prepare_begun", "prepared", "release_begun", "accepted"] == world.acts(one)
    report = world.report(made)
    assert ("committed", 4, False) == (report["state"], exit_code(report), report["late"])
    assert report["skew_ms"] is not None
    assert finished(report), "waiting longer brings nothing: a person has to act"
    assert ("publish", True) == (told(world, made)["task"], "--out" in told(world, made)["next"])
    row = world.rows(made)["news"]
    assert (world.release(made).release_at, None) == (row.fire_at, row.due_at)
    world.run(100_000)
    assert "accepted" == world.states(made)["news"]


def test_pasted_it_is_read_like_any_other(world: World) -> None:
    made, one = task(world)
    world.run(3_600)
    paste(world, made)
    control.settle(world.ctx, one, "public", PAGE)
    world.run(5)
    report = world.report(made)
    assert ("verified", "released", 0) == (world.states(made)["news"], report["state"], exit_code(report))
    assert (PAGE, True) == (told(world, made)["url"], told(world, made)["match"])
    assert report["skew_ms"] < 1_000, "what a person did an hour later is listed, not counted"


def test_what_differs_is_shown_until_it_is_mended(world: World) -> None:
    made, one = task(world)
    paste(world, made, content="with a slip")
    control.settle(world.ctx, one, "public", PAGE)
    world.run(5)
    assert ("released", False) == (world.states(made)["news"], told(world, made)["match"])
    assert "altered" == told(world, made)["problems"][0]["message"]
    paste(world, made)
    world.run(60)
    assert "verified" == world.states(made)["news"]


def test_what_differs_may_be_well_by_a_persons_word(world: World) -> None:
    """Closed, with what was found still told."""
    made, one = task(world)
    paste(world, made, content="as that outlet words it")
    control.settle(world.ctx, one, "public", PAGE)
    world.run(5)
    control.settle(world.ctx, one, "public", None)
    world.run(60)
    report = world.report(made)
    assert ("closed", "released", 0) == (world.states(made)["news"], report["state"], exit_code(report))
    assert (False, "altered") == (told(world, made)["match"], told(world, made)["problems"][0]["message"])


def test_a_wrong_address_is_corrected(world: World) -> None:
    """Nothing is found there, until the right one is pasted; the copy is where that says."""
    made, one = task(world)
    paste(world, made)
    control.settle(world.ctx, one, "public", PAGE + "0")
    world.run(5)
    assert "released" == world.states(made)["news"]
    control.settle(world.ctx, one, "public", PAGE)
    world.run(5)
    assert "verified" == world.states(made)["news"]
    assert [(1, "live", PAGE)] == kept(world, item_of(world, made))


def test_behind_a_wall_it_ends_on_their_word(world: World) -> None:
    made, one = task(world, "walled")
    paste(world, made)
    control.settle(world.ctx, one, "public", PAGE)
    world.run(5)
    assert ("closed", 0) == (world.states(made)["news"], exit_code(world.report(made)))


def test_given_up_or_tried_again(world: World) -> None:
    """Said to be nowhere, it has failed: retried, it is a task anew; dropped, the release ends without it."""
    made, one = task(world)
    control.settle(world.ctx, one, "nothing", None)
    assert ("failed", "committed") == (world.states(made)["news"], world.release(made).state)
    control.retry(world.ctx, one)
    world.run(5)
    assert "accepted" == world.states(made)["news"]
    control.settle(world.ctx, one, "nothing", None)
    control.drop(world.ctx, one)
    assert ("cancelled", "released") == (world.states(made)["news"], world.release(made).state)


@pytest.mark.parametrize(
    ("found", "url", "says"),
    [("hidden", None, "no answer"), ("public", None, "address"), ("public", "news 7", "no address")],
)
def test_what_cannot_be_meant_changes_nothing(world: World, found: str, url: str | None, says: str) -> None:
    made, one = task(world)
    with pytest.raises(BadInput, match=says):
        control.settle(world.ctx, one, found, url)
    assert "accepted" == world.states(made)["news"]


def test_a_job_of_an_outlets_own_is_no_task(world: World) -> None:
    """What an outlet works on is polled; no person ends it."""
    world.add("queue", "queued").late_by = 600
    world.process()
    made = world.plan("queue", at=20)
    world.run(30)
    assert "accepted" == world.states(made)["queue"]
    with pytest.raises(BadInput):
        control.settle(world.ctx, world.rows(made)["queue"].id, "nothing", None)
    assert world.report(made)["deliveries"][0]["task"] is None


def test_a_released_page_is_not_ended_by_a_persons_word_unless_it_differs(world: World) -> None:
    """What readers may still confirm by themselves is left to them."""
    world.add("blog").scripts.extend([None, lambda act: _elsewhere(world, act)])
    world.process()
    made = world.plan("blog", at=10)
    world.run(12)
    row = world.rows(made)["blog"]
    assert ("released", None) == (row.state, row.match)
    with pytest.raises(BadInput):
        control.settle(world.ctx, row.id, "public", "https://blog.example/1")
    assert "released" == world.states(made)["blog"]


def test_its_process_dies_between_commit_and_instant(world: World) -> None:
    """Nothing was lost with it: whoever takes over finds the task."""
    world.add("site", "site")
    world.add("news", "hand")
    world.process("prepare")
    mortal = world.mortal("release")
    made = world.plan("site,news", at=20)
    world.run_to(made, before=0.5)
    assert "committed" == world.release(made).state
    world.kill(mortal)
    world.process("release")
    world.run(60)
    assert {"site": "verified", "news": "accepted"} == world.states(made)


# ---- corrections


def test_a_correction_is_a_task_too(world: World) -> None:
    """While the page still shows the old text, or a wrong one, it is not verified; the place stays one."""
    made, one = task(world)
    paste(world, made)
    control.settle(world.ctx, one, "public", PAGE)
    world.run(5)
    item = item_of(world, made)
    second = correct(world, item, at=30)
    world.run(40)
    assert {"site": "verified", "news": "accepted"} == world.states(second)
    assert ("correct", True) == (told(world, second)["task"], "in the place of" in told(world, second)["next"])
    control.settle(world.ctx, world.rows(second)["news"].id, "public", PAGE)
    world.run(5)
    assert ("released", None) == (world.states(second)["news"], told(world, second)["match"])
    paste(world, second)
    world.run(60)
    assert "verified" == world.states(second)["news"]
    assert [(1, "superseded", PAGE), (2, "live", PAGE)] == kept(world, item)


def test_put_elsewhere_the_old_page_has_to_go(world: World) -> None:
    """A correction at another address is open until nobody finds the old text any more."""
    made, one = task(world)
    paste(world, made)
    control.settle(world.ctx, one, "public", PAGE)
    world.run(5)
    second = correct(world, item_of(world, made), at=30)
    world.run(40)
    paste(world, second, PAGE + "0")
    control.settle(world.ctx, world.rows(second)["news"].id, "public", PAGE + "0")
    world.run(5)
    assert "released" == world.states(second)["news"]
    assert PAGE in " ".join(one["message"] for one in told(world, second)["problems"])
    world.outside["news"].posts.pop(0)
    world.run(700)
    assert "verified" == world.states(second)["news"]
    assert [(1, "removed", PAGE), (2, "live", PAGE + "0")] == kept(world, item_of(world, made))


def test_an_open_task_gives_way_to_the_correction(world: World) -> None:
    """The others are corrected in time; the old task says that it is over, and ends as nothing; a new one is there."""
    first, one = task(world, "hand", "blog")
    second = correct(world, item_of(world, first), at=30)
    assert {"site", "blog", "news"} == set(world.states(second))
    world.run(40)
    assert {"site": "verified", "blog": "verified", "news": "accepted"} == world.states(second)
    assert {world.release(second).release_at} == {row.fire_at for row in world.rows(second).values()}
    assert "do not publish it" in told(world, first)["next"]
    control.settle(world.ctx, one, "nothing", None)
    assert ("cancelled", "released") == (world.states(first)["news"], world.release(first).state)
    paste(world, second)
    control.settle(world.ctx, world.rows(second)["news"].id, "public", PAGE)
    world.run(5)
    assert "verified" == world.states(second)["news"]


def test_what_a_person_says_meanwhile_does_not_hold_the_correction(world: World) -> None:
    """The old text was published by hand after all: told late, it changes a place, and nobody else waits for that."""
    first, one = task(world)
    second = correct(world, item_of(world, first), at=30)
    paste(world, first)
    control.settle(world.ctx, one, "public", PAGE)
    world.run(40)
    assert {"site": "verified", "news": "accepted"} == world.states(second)


# ---- withdrawals


def test_removing_it_is_a_task_that_ends_by_itself(world: World) -> None:
    """The others are cleared at once; here a person has to, and an anonymous read tells when they have."""
    made, one = task(world)
    paste(world, made)
    control.settle(world.ctx, one, "public", PAGE)
    world.run(5)
    ended = withdraw(world.ctx, Withdrawal(item_of(world, made), "有误"))
    world.run(60)
    assert {"site": "withdrawn", "news": "accepted"} == world.states(ended)
    assert ("withdraw", 4) == (told(world, ended)["task"], exit_code(world.report(ended)))
    assert finished(world.report(ended))
    entries = len(world.acts(world.rows(ended)["news"].id))
    world.run(3_600)
    assert entries == len(world.acts(world.rows(ended)["news"].id)), "looking again is no news"
    world.outside["news"].posts.clear()
    world.run(700)
    assert ("withdrawn", "released") == (world.states(ended)["news"], world.release(ended).state)
    assert [(1, "removed", PAGE)] == kept(world, item_of(world, made))


@pytest.mark.parametrize("kind", ["hand", "walled"])
def test_removing_it_ends_by_their_word(world: World, kind: str) -> None:
    """Where nobody can look it is the only word there is."""
    made, one = task(world, kind)
    paste(world, made)
    control.settle(world.ctx, one, "public", PAGE)
    world.run(5)
    ended = withdraw(world.ctx, Withdrawal(item_of(world, made), "有误"))
    world.run(60)
    removal = str(world.rows(ended)["news"].id)
    assert "accepted" == world.states(ended)["news"]
    with pytest.raises(BadInput, match="nothing"):
        control.settle(world.ctx, removal, "public", PAGE)
    control.settle(world.ctx, removal, "nothing", None)
    assert ("withdrawn", "released") == (world.states(ended)["news"], world.release(ended).state)
    assert [(1, "removed", PAGE)] == kept(world, item_of(world, made))


@pytest.mark.parametrize("published", [False, True])
def test_withdrawn_while_the_task_is_open(world: World, published: bool) -> None:
    """Only the person knows whether it is public by now: asked for, by name; then it ends, or is to be removed."""
    made, one = task(world)
    ended = withdraw(world.ctx, Withdrawal(item_of(world, made), "有误"))
    world.run(30)
    assert {"site": "withdrawn", "news": "planned"} == world.states(ended)
    assert one in told(world, ended)["problems"][0]["message"]
    assert "do not publish it" in told(world, made)["next"]
    if published:
        paste(world, made)
    control.settle(world.ctx, one, "public" if published else "nothing", PAGE if published else None)
    world.run(30)
    assert ("accepted" if published else "withdrawn") == world.states(ended)["news"]
    assert ("verified" if published else "cancelled") == world.states(made)["news"]
    if published:
        world.outside["news"].posts.clear()
        world.run(700)
    assert ("withdrawn", "released") == (world.states(ended)["news"], world.release(ended).state)


def test_a_removal_under_review_is_as_sound_as_any(world: World) -> None:
    """A withdrawal is reviewed afterwards: a person's task of it is no delivery without approvals."""
    world.add("news", "hand")
    world.process()
    made = world.plan("news")
    world.run(5)
    paste(world, made)
    control.settle(world.ctx, str(world.rows(made)["news"].id), "public", PAGE)
    world.run(5)
    staffed(world)
    ended = withdraw(as_(world, "qian"), Withdrawal(item_of(world, made), "有误"))
    world.run(5)
    assert ("accepted", "three") == (world.states(ended)["news"], world.release(ended).review)
    with world.store.read() as connection:
        assert [] == list(consistency.contradictions(connection))


def test_withdrawn_before_the_instant_it_never_becomes_a_task(world: World) -> None:
    world.add("site", "site")
    world.add("news", "hand")
    world.process()
    made = world.plan("site,news", at=60)
    world.run(10)
    withdraw(world.ctx, Withdrawal(item_of(world, made), "有误"))
    world.run(90)
    assert {"site": "cancelled", "news": "cancelled"} == world.states(made)


def _elsewhere(world: World, act: Any) -> str:
    """Published, and shown to nobody for an hour."""
    ref = str(act())
    world.outside["blog"].posts.clear()
    return ref
