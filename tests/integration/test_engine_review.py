"""Three reviews by three people: what waits for them, what voids them, and what is sent before: nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from channels.memory import MemoryChannel
from sync.contract import Ambiguous, Place, Prepared, Receipt, TryLater
from sync.engine import approval, control, people, review
from sync.engine.plan import plan
from sync.engine.submit import submit
from sync.engine.withdraw import Withdrawal, withdraw
from sync.model import Align, BadInput, Edition, Key, Policy, Rendition
from sync.store import journal, outlets
from tests.integration.outside import BareChannel, remade
from tests.integration.world import World

HOW = "--as in a test, not signed in"
TEAM = {"li": "editor", "wang": "reviewer", "zhao": "reviewer", "qian": "publisher", "sun": "publisher"}


def as_(world: World, name: str) -> Any:
    """The context of a command that this person's name is given to."""
    return people.acting_as(world.ctx, name, HOW)


def staffed(world: World, *, review_rule: str = "three", unit: str = outlets.LOCAL_UNIT) -> World:
    """Two administrators, an editor, two reviewers, two publishers; the unit asks for three reviews."""
    people.add_person(world.ctx, "root", "管理员", None, ["admin"], None)
    for name, role in {"second": "admin", **TEAM}.items():
        people.add_person(as_(world, "root"), name, name, None, [role], None)
    people.set_unit(as_(world, "root"), unit, None, review=review_rule)
    return world


@pytest.fixture
def desk(world: World) -> World:
    """Two outlets under a rule of three reviews, one process working both lanes."""
    world.add("site", "site")
    world.add("blog", required=False)
    staffed(world)
    world.process()
    return world


def planned(world: World, *sources: Any, at: float | None = 60, named: str = "site,blog", by: str = "li") -> str:
    """Planned by the editor, and rendered."""
    made = plan(as_(world, by), world.order(named, *sources, at=at))
    world.run()
    return made


def approved(world: World, release_id: str, by: str = "wang,zhao,qian") -> None:
    for name in by.split(","):
        review.approve(as_(world, name), release_id)


def touched(world: World) -> dict[str, int]:
    """How often each outlet was called at all."""
    return {name: len(one.record) for name, one in world.outside.items() if one.record}


def acts(world: World, release_id: str) -> list[str]:
    with world.store.read() as connection:
        return [one.act for one in journal.of(connection, "release", release_id)]


def changed(world: World, release_id: str) -> list[dict[str, Any]]:
    """What the log says was different when approvals were voided."""
    with world.store.read() as connection:
        told = [one for one in journal.of(connection, "release", release_id) if one.act == approval.VOIDED]
    return [part for one in told for part in one.detail["changed"]]


class Retouched(BareChannel):
    """Its template was changed."""

    def render(self, edition: Edition, place: Place) -> Rendition:
        made = MemoryChannel.render(self, edition, place)
        return replace(made, content=f"{made.content} 另页")


def test_nothing_is_prepared_before_three_approvals(desk: World) -> None:
    """Rendered, and not one call to an outlet, however long it waits; after the third approval it goes out."""
    made = planned(desk, at=60)
    assert {"site": "rendered", "blog": "rendered"} == desk.states(made)
    for name in ("wang", "zhao"):
        review.approve(as_(desk, name), made)
        desk.run(5)
        assert {} == touched(desk)
        assert "open" == desk.release(made).state
        assert not desk.report(made)["reviewed"]
    review.approve(as_(desk, "qian"), made)
    desk.run(5)
    assert {"site": "prepared", "blog": "prepared"} == desk.states(made)
    desk.run(60)
    told = desk.report(made)
    assert ("released", True, "approved") == (told["state"], told["reviewed"], told["review"]["state"])
    assert ["wang", "zhao", "qian"] == [one["approver"] for one in told["review"]["approvals"]]
    assert [1, 1] == [desk.published(name) for name in ("site", "blog")]


def test_without_the_rule_it_is_published_without_review(world: World) -> None:
    """A fresh installation asks for none, and says so."""
    world.add("blog")
    world.process()
    made = world.plan("blog")
    world.run(5)
    told = world.report(made)
    assert ("released", False, "none") == (told["state"], told["reviewed"], told["review"]["rule"])


@pytest.mark.parametrize(
    ("stage", "who", "why"),
    [
        (1, "li", "own"),
        (1, "root", "publisher"),
        (2, "wang", "already"),
        (3, "zhao", "already"),
        (1, "chen", "belongs to unit"),
        (1, "gone", "disabled"),
        (1, "nobody", "no such user"),
    ],
)
def test_whoever_may_not_is_refused(desk: World, stage: int, who: str, why: str) -> None:
    """The author, the wrong role, the same person twice, another unit's, one who left: refused, nothing approved."""
    people.add_unit(as_(desk, "root"), "town", "某镇", "town", "none")
    people.add_person(as_(desk, "root"), "chen", "陈", "town", ["publisher"], None)
    people.add_person(as_(desk, "root"), "gone", "离", None, ["publisher"], None)
    people.set_state(as_(desk, "root"), "gone", "disabled", None)
    made = planned(desk)
    for name in ["wang", "zhao"][: stage - 1]:
        review.approve(as_(desk, name), made)
    with pytest.raises(BadInput, match=why):
        review.approve(as_(desk, who), made)
    assert stage - 1 == len(desk.report(made)["review"]["approvals"])


def test_the_third_is_a_publisher_s(desk: World) -> None:
    """A reviewer cannot have the last word; an author with the publisher's role has none at all."""
    people.add_person(as_(desk, "root"), "zhou", "周", None, ["reviewer"], None)
    people.set_person(as_(desk, "root"), "li", None, roles=["editor", "reviewer", "publisher"])
    made = planned(desk)
    approved(desk, made, "wang,zhao")
    with pytest.raises(BadInput, match="publisher"):
        review.approve(as_(desk, "zhou"), made)
    with pytest.raises(BadInput, match="own"):
        review.approve(as_(desk, "li"), made)
    review.approve(as_(desk, "sun"), made)
    assert desk.release(made).reviewed


def test_whoever_plans_is_named(desk: World) -> None:
    """Without --as nothing is planned, added, corrected, withdrawn, held or resumed under the rule."""
    made = planned(desk)
    for act in (
        lambda: plan(desk.ctx, desk.order("site", desk.file("other.md", body="另一篇。"), at=60)),
        lambda: submit(desk.ctx, desk.file("third.md", body="第三篇。")),
        lambda: control.hold(desk.ctx, made),
        lambda: control.cancel(desk.ctx, made),
        lambda: control.resume(desk.ctx, made),
        lambda: withdraw(desk.ctx, Withdrawal(desk.report(made)["item"], "误发")),
        lambda: review.approve(desk.ctx, made),
    ):
        with pytest.raises(BadInput, match="--as"):
            act()
    assert "open" == desk.release(made).state


def test_who_it_was_and_how_they_were_known_is_in_the_log(desk: World) -> None:
    """Every act of a person named with --as says so, and that they were not signed in."""
    made = planned(desk)
    review.approve(as_(desk, "wang"), made, note="事实无误")
    with desk.store.read() as connection:
        first = journal.of(connection, "release", made)[0]
    assert f"li ({HOW})" == first.actor
    assert "waits for three approvals" == first.detail["note"]
    told = desk.report(made)["review"]["approvals"][0]
    assert ("事实无误", HOW) == (told["note"], told["identified"])


def test_a_changed_template_voids_the_approvals(desk: World) -> None:
    """What prepare renders is not what was approved: nothing is sent, the difference is told, all begins anew."""
    made = planned(desk, at=600)
    approved(desk, made, "wang,zhao")
    desk.mischief["blog"] = remade(Retouched)
    review.approve(as_(desk, "qian"), made)
    desk.run(5)
    assert {} == touched(desk)
    assert {"site": "rendered", "blog": "rendered"} == desk.states(made)
    row = desk.release(made)
    assert ("open", 2, False) == (row.state, row.round, row.reviewed)
    assert {("blog", "content")} == {(one["outlet"], one["part"]) for one in changed(desk, made)}
    assert "另页" in changed(desk, made)[0]["after"]
    assert [] == desk.report(made)["review"]["approvals"]
    approved(desk, made)
    desk.run(600)
    assert "released" == desk.release(made).state
    assert [1, 1] == [desk.published(name) for name in ("site", "blog")]


def change_outlet(world: World, name: str, *, eager: bool, **values: Any) -> None:
    """As `outlet set`; `eager` False: past it, as any other writer of the row."""
    with world.store.write() as connection:
        row = outlets.get(connection, name)
        outlets.change(connection, row, "changed", at=world.clock.now(), actor="test", **values)
        if eager:
            approval.outlet_changed(world.ctx, connection, name)


@pytest.mark.parametrize("eager", [True, False], ids=["told", "found"])
@pytest.mark.parametrize("outlet", ["site", "blog"])
@pytest.mark.parametrize("values", [{"settings": {"a": "b"}}, {"secrets": {"password": "x"}}])
def test_a_changed_outlet_voids_the_approvals(desk: World, eager: bool, outlet: str, values: dict[str, Any]) -> None:
    """After everything was approved and prepared: its settings or account are others, nothing goes out with them."""
    made = planned(desk, at=600)
    approved(desk, made)
    desk.run(5)
    assert "ready" == desk.release(made).state
    change_outlet(desk, outlet, eager=eager, **values)
    if eager:
        assert ("open", False) == (desk.release(made).state, desk.release(made).reviewed)
    desk.run(700)
    assert [0, 0] == [desk.published(name) for name in ("site", "blog")]
    assert outlet in {one["outlet"] for one in changed(desk, made)}
    if desk.release(made).state != "held":
        return
    control.resume(as_(desk, "li"), made)
    desk.run(5)
    approved(desk, made)
    desk.run(60)
    assert "released" == desk.release(made).state
    assert [1, 1] == [desk.published(name) for name in ("site", "blog")]


def test_no_outlet_goes_out_beside_a_changed_one(world: World) -> None:
    """The release process alone finds an optional outlet changed: the others do not go out without it either."""
    world.add("site", "site")
    world.add("blog", required=False)
    staffed(world)
    preparing = world.process("prepare")
    made = planned(world, at=600)
    approved(world, made)
    world.run(5)
    world.processes.remove(preparing)
    world.process("release")
    change_outlet(world, "blog", eager=False, settings={"a": "b"})
    world.run(700)
    assert [0, 0] == [world.published(name) for name in ("site", "blog")]
    assert ("open", 2) == (world.release(made).state, world.release(made).round)
    world.processes.append(preparing)


def test_a_changed_outlet_before_the_last_approval(desk: World) -> None:
    """Approvals of something else are not added up: the third person is told to look again."""
    made = planned(desk, at=600)
    approved(desk, made, "wang,zhao")
    change_outlet(desk, "site", eager=False, settings={"a": "b"})
    with pytest.raises(BadInput, match="has changed"):
        review.approve(as_(desk, "qian"), made)
    assert 2 == desk.release(made).round
    desk.run(5)
    approved(desk, made)
    desk.run(700)
    assert "released" == desk.release(made).state


def test_what_was_looked_at_can_be_named(desk: World) -> None:
    """An approval of another digest than the one under review is refused."""
    made = planned(desk)
    digest = desk.release(made).digest
    with pytest.raises(BadInput, match="under review is"):
        review.approve(as_(desk, "wang"), made, digest="0" * 64)
    review.approve(as_(desk, "wang"), made, digest=digest)
    assert 1 == len(desk.report(made)["review"]["approvals"])


def test_rejected_it_is_held_and_begins_anew(desk: World) -> None:
    """With the reason; resumed, the earlier approvals count no more."""
    made = planned(desk, at=600)
    approved(desk, made, "wang,zhao")
    review.reject(as_(desk, "qian"), made, "数字有误")
    row = desk.release(made)
    assert ("held", "rejected by qian: 数字有误") == (row.state, row.why)
    with pytest.raises(BadInput, match="held"):
        review.approve(as_(desk, "qian"), made)
    control.resume(as_(desk, "li"), made)
    desk.run(5)
    with pytest.raises(BadInput, match=r"publisher|already"):
        approved(desk, made, "wang,wang")
    approved(desk, made, "zhao,qian")
    desk.run(700)
    assert "released" == desk.release(made).state


def test_now_is_when_it_is_approved(desk: World) -> None:
    """A release `now` waits for its approvals for days, and goes out at the third."""
    made = planned(desk, at=None)
    desk.run(100_000)
    assert "open" == desk.release(made).state
    approved(desk, made)
    third = desk.clock.now()
    desk.run(5)
    row = desk.release(made)
    assert "released" == row.state
    assert third < row.release_at < third + 2_000_000


def test_approved_too_late_it_is_held_and_the_approvals_stay(desk: World) -> None:
    """The late limit holds it; resumed, what is approved is approved still, for its instant is in the digest."""
    made = planned(desk, at=60)
    approved(desk, made, "wang,zhao")
    desk.run(60 + 1_000)
    row = desk.release(made)
    assert "held" == row.state
    assert "approvals" in row.why
    control.resume(as_(desk, "li"), made)
    desk.run(5)
    review.approve(as_(desk, "qian"), made)
    desk.run(60)
    assert ("released", True) == (desk.release(made).state, desk.report(made)["late"])


def test_held_and_resumed_is_not_approved(desk: World) -> None:
    """Rendered again, and that is all."""
    made = planned(desk, at=600)
    control.hold(as_(desk, "li"), made)
    control.resume(as_(desk, "li"), made)
    desk.run(5)
    assert {"rendered"} == set(desk.states(made).values())
    assert {} == touched(desk)


def test_what_is_prepared_later_is_rendered_with_the_first(desk: World) -> None:
    """An outlet whose drafts do not keep is prepared last; that it changed is found before anything is sent."""
    desk.add("brief", "brief")
    made = planned(desk, at=600, named="site,brief")
    approved(desk, made, "wang,zhao")
    desk.mischief["brief"] = remade(Retouched)
    review.approve(as_(desk, "qian"), made)
    desk.run(60)
    assert {} == touched(desk)
    assert {("brief", "content")} == {(one["outlet"], one["part"]) for one in changed(desk, made)}


def lost(act: Callable[[], str]) -> str:
    raise Ambiguous("the answer was lost")


def test_what_a_person_calls_hidden_waits_for_approvals_too(desk: World) -> None:
    """Settled, retried and resumed while another round is open: nothing is public until three people agree again."""
    desk.add("dark", "blind")
    desk.outside["dark"].scripts.append(lost)
    made = planned(desk, at=600, named="site,dark")
    approved(desk, made)
    desk.run(100)
    assert ("unresolved", "held") == (desk.states(made)["dark"], desk.release(made).state)
    change_outlet(desk, "site", eager=True, settings={"a": "b"})
    control.settle(as_(desk, "li"), desk.rows(made)["dark"].id, "nothing", None)
    control.resume(as_(desk, "li"), made)
    desk.run(700)
    assert [0, 0] == [desk.published(name) for name in ("site", "dark")]
    approved(desk, made)
    desk.run(60)
    assert "released" == desk.release(made).state
    assert [1, 1] == [desk.published(name) for name in ("site", "dark")]


class NotToday(BareChannel):
    """Takes nothing for a while."""

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        raise TryLater("busy")


def test_what_follows_alone_is_approved_as_it_is_then(desk: World) -> None:
    """An optional outlet that was late and then changed waits for another round, though the others are public."""
    desk.mischief["blog"] = remade(NotToday)
    made = planned(desk, at=60)
    approved(desk, made)
    desk.run(90)
    assert ("committed", 1, 0) == (desk.release(made).state, desk.published("site"), desk.published("blog"))
    change_outlet(desk, "blog", eager=True, settings={"a": "b"})
    desk.mischief.clear()
    desk.run(90)
    assert 0 == desk.published("blog")
    assert [made] == [one["release"] for one in review.waiting(desk.ctx)]
    approved(desk, made)
    desk.run(90)
    assert ("released", 1, 1) == (desk.release(made).state, desk.published("site"), desk.published("blog"))


def test_a_unit_s_rule_holds_at_another_s_outlets(desk: World) -> None:
    """Neither an item of the unit at others' outlets, nor others' item at its outlets, goes out without approvals."""
    people.add_unit(as_(desk, "root"), "town", "某镇", "town", "none")
    people.add_person(as_(desk, "root"), "chen", "陈", "town", ["editor"], None)
    made = planned(desk, desk.file("town.md", body="镇里的事。"), named="site", by="chen")
    row = desk.release(made)
    assert ("three", outlets.LOCAL_UNIT) == (row.review, row.unit)
    assert {"site": "rendered"} == desk.states(made)
    approved(desk, made)
    desk.run(120)
    assert "released" == desk.release(made).state


def test_relaxing_the_rule_needs_two_administrators(desk: World) -> None:
    """And what is planned already keeps the rule."""
    made = planned(desk, at=60)
    assert "three" == desk.release(made).review
    for second in (None, "root", "li"):
        with pytest.raises(BadInput, match="--second"):
            people.set_unit(as_(desk, "root"), outlets.LOCAL_UNIT, second, review="none")
    with pytest.raises(BadInput, match="administrator"):
        people.set_unit(as_(desk, "li"), outlets.LOCAL_UNIT, "root", review="none")
    people.set_unit(as_(desk, "root"), outlets.LOCAL_UNIT, "second", review="none")
    desk.run(120)
    assert {} == touched(desk)
    other = desk.plan("blog", desk.file("other.md", body="另一篇。"), at=60)
    desk.run(120)
    assert "released" == desk.release(other).state
    with desk.store.read() as connection:
        told = journal.of(connection, "unit", outlets.LOCAL_UNIT)[-1]
    assert ("none", "root", "second") == (told.state, told.detail["by"], told.detail["second"])


def test_a_withdrawal_needs_one_publisher_and_a_second_look(desk: World) -> None:
    """At once by one; it stays in the list until somebody else has looked at it."""
    made = planned(desk, at=None)
    approved(desk, made)
    desk.run(10)
    item = desk.report(made)["item"]
    for who in ("wang", "li"):
        with pytest.raises(BadInput, match="publisher"):
            withdraw(as_(desk, who), Withdrawal(item, "误发"))
    gone = withdraw(as_(desk, "qian"), Withdrawal(item, "误发"))
    desk.run(10)
    assert {"withdrawn"} == set(desk.states(gone).values())
    assert [gone] == [one["release"] for one in review.waiting(desk.ctx)]
    assert "qian" not in review.waiting(desk.ctx)[0]["waits_for"]
    with pytest.raises(BadInput, match="own"):
        review.approve(as_(desk, "qian"), gone)
    review.approve(as_(desk, "wang"), gone, note="应撤")
    assert [] == review.waiting(desk.ctx)
    assert not desk.report(gone)["reviewed"]


def test_a_correction_waits_for_approvals_too(desk: World) -> None:
    """The old text stays public until three people have seen the new one; its author is not among them."""
    made = planned(desk, at=None)
    approved(desk, made)
    desk.run(10)
    item = desk.report(made)["item"]
    order = replace(desk.order("site,blog", desk.file("new.md", body="自12月8日起试运行。")), corrects=item)
    fixed = plan(as_(desk, "sun"), replace(order, outlets=()))
    before = touched(desk)
    desk.run(30)
    assert before == touched(desk)
    with pytest.raises(BadInput, match="own"):
        review.approve(as_(desk, "sun"), fixed)
    approved(desk, fixed)
    desk.run(30)
    assert ("released", 2) == (desk.release(fixed).state, desk.report(fixed)["revision"])


def test_an_unknown_author_s_text_is_the_planner_s(world: World) -> None:
    """A text filed before anybody was named: whoever publishes it answers for it, and does not approve it."""
    world.add("blog")
    world.process()
    filed = submit(world.ctx, world.file())
    staffed(world)
    made = planned(world, filed.item, named="blog", by="qian")
    with pytest.raises(BadInput, match="own"):
        review.approve(as_(world, "qian"), made)
    approved(world, made, "wang,zhao,sun")
    assert world.release(made).reviewed


def test_what_is_shown_is_what_goes_out(desk: World) -> None:
    """Text, rendition and digest of every outlet, instant, authors, and what waits for whom."""
    made = planned(desk, at=600)
    (listed,) = review.waiting(desk.ctx)
    assert (made, ["qian", "sun", "wang", "zhao"], 1) == (listed["release"], listed["waits_for"], listed["stage"])
    told = review.shown(desk.ctx, made)
    assert ["li"] == [one["author"] for one in told["editions"]]
    assert "12月1日" in told["editions"][0]["body"]
    assert {"site", "blog"} == {one["outlet"] for one in told["outlets"]}
    assert all("12月1日" in str(one["rendition"]["shown"]) for one in told["outlets"])
    assert told["digest"] == approval.digest_of(told["parts"])
    digests = {one["rendition"] for one in told["parts"]["deliveries"]}
    assert digests == {one["rendition"]["digest"] for one in told["outlets"]}


def test_the_digest_is_over_everything(desk: World) -> None:
    """Outlets, instant, policy, alignment and text: each of them makes another digest."""
    first = desk.order("site,blog", at=600)
    orders = [
        first,
        replace(first, outlets=("site",)),
        desk.order("site,blog", at=601),
        replace(first, policy=Policy.ALL),
        replace(first, align=Align.ALIGNED),
        desk.order("site,blog", desk.file("b.md", body="另一篇。"), at=600),
    ]
    digests = []
    for order in orders:
        made = plan(as_(desk, "li"), order)
        desk.run()
        parts = desk.release(made).parts
        for row in parts["deliveries"]:
            row["rendition"] = ""  # every delivery's address is its own
        digests.append(approval.digest_of(parts))
        control.cancel(as_(desk, "li"), made)
    assert len(set(digests)) == len(digests)
