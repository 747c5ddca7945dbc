"""Corrections: the newer edition takes the place of the older one, everywhere, and is never undone by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from sync.clock import SECOND
from sync.contract import Capabilities, Correct
from sync.engine.plan import plan
from sync.engine.report import exit_code
from sync.engine.submit import submit
from sync.engine.withdraw import Withdrawal, withdraw
from sync.model import Align, BadInput, Key
from sync.store import copies, outlets
from tests.integration.outside import KINDS, BareChannel
from tests.integration.world import INSTALLATION, World


class Renewing(BareChannel):
    """What is public there cannot be edited: a correction is a new post, and the old one is deleted."""

    kind = "renewing"
    can: ClassVar[Capabilities] = replace(BareChannel.can, correct=Correct.REPLACE)


class Stubborn(BareChannel):
    """Neither corrects nor withdraws."""

    kind = "stubborn"
    can: ClassVar[Capabilities] = replace(BareChannel.can, correct=Correct.NONE, withdraw=False)


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (Renewing, Stubborn):
        monkeypatch.setitem(KINDS, one.kind, one)


def published(world: World, **kinds: str) -> tuple[str, str]:
    """A verified release on these outlets; its id and its item's."""
    for name, kind in kinds.items():
        world.add(name, kind)
    world.process()
    made = world.plan(",".join(kinds), at=10)
    world.run(15)
    assert dict.fromkeys(kinds, "verified") == world.states(made)
    return made, str(world.report(made)["item"])


def correct(world: World, item: str, body: str = "自12月2日起试运行。", named: str = "", **more: Any) -> str:
    order = world.order(named or "x", world.file(name="corrected.md", body=body), **more)
    return plan(world.ctx, replace(order, outlets=tuple(named.split(",")) if named else (), corrects=item))


def test_a_correction_leads_to_where_it_led_before(world: World) -> None:
    """Whatever the outlets' names, and however often: what links to the page goes on to link to the same one."""
    first, item = published(world, zeitung="site", amt="site", blog="memory")
    assert "zeitung" == world.release(first).canonical_outlet
    for body in ("自12月2日起试运行。", "自12月3日起试运行。"):
        made = correct(world, item, body, at=10)
        world.run(20)
        assert {"verified"} == set(world.states(made).values())
        assert "zeitung" == world.release(made).canonical_outlet
    alone = correct(world, item, "自12月4日起试运行。", named="amt,blog", at=10)
    assert "amt" == world.release(alone).canonical_outlet


def shown(world: World, name: str) -> list[str]:
    return [post.content for post in world.outside[name].posts]


def listed(world: World, item: str) -> list[tuple[str, int, str]]:
    with world.store.read() as connection:
        return [(one.outlet, one.revision, one.state) for one in copies.of_item(connection, item)]


def test_in_place_everywhere_at_the_instant(world: World) -> None:
    """Each outlet shows the new text in the old place, at one instant, once; the old copy is superseded."""
    first, item = published(world, site="site", blog="memory")
    before = shown(world, "blog")
    made = correct(world, item, at=30)
    world.run(25)
    assert before == shown(world, "blog")
    world.run(10)
    assert {"site": "verified", "blog": "verified"} == world.states(made)
    told = world.report(made)
    assert ("correct", 2, 0) == (told["action"], told["revision"], exit_code(told))
    assert [1, 1] == [len(shown(world, name)) for name in ("site", "blog")]
    assert before != shown(world, "blog")
    assert [("blog", 1, "superseded"), ("blog", 2, "live"), ("site", 1, "superseded"), ("site", 2, "live")] == listed(
        world, item
    )
    old = world.rows(first)["site"]
    assert old.receipt["ref"] == world.rows(made)["site"].receipt["ref"]


def test_a_new_copy_and_then_the_old_one_goes(world: World) -> None:
    """Where nothing can be edited the old copy is removed once the new one is verified; until then it is open."""
    _, item = published(world, site="site", news="renewing")
    made = correct(world, item, at=30)
    world.run_to(made, 0.1)
    world.outside["news"].faults.extend([None, "refuse", "refuse"])
    world.run(0.6)
    assert {"site": "verified", "news": "released"} == world.states(made)
    assert 2 == len(shown(world, "news"))
    assert 4 == exit_code(world.report(made))
    world.run(30)
    assert {"site": "verified", "news": "verified"} == world.states(made)
    assert 1 == len(shown(world, "news"))
    assert [("news", 1, "removed"), ("news", 2, "live")] == [one for one in listed(world, item) if one[0] == "news"]


def test_a_lost_answer_leaves_one_copy(world: World) -> None:
    """Done and not told, or told and not done: found by a probe, the correction is there once."""
    for fault in ("unheard", "lose"):
        name = f"blog-{fault}"
        world.add(name)
    world.process()
    for fault in ("unheard", "lose"):
        name = f"blog-{fault}"
        first = world.plan(name, world.file(name=f"{name}.md", body=name), at=10)
        world.run(15)
        made = correct(world, str(world.report(first)["item"]), body=f"{name}, corrected", at=10)
        world.run_to(made, 1)
        world.outside[name].faults.append(fault)  # type: ignore[arg-type]
        world.run(60)
        assert {name: "verified"} == world.states(made)
        assert 1 == len(shown(world, name))


def test_what_cannot_be_corrected_is_said_beforehand(world: World) -> None:
    """Nothing is planned; leaving the outlet out is the mend."""
    _, item = published(world, site="site", stone="stubborn")
    with pytest.raises(BadInput, match=r"stone.*cannot correct"):
        correct(world, item)
    made = correct(world, item, named="site")
    world.run(5)
    assert {"site": "verified"} == world.states(made)


def test_an_older_revision_never_overwrites_a_newer_one(world: World) -> None:
    """The older correction, planned for later, is held: it would undo what is public by then."""
    _, item = published(world, site="site")
    older = correct(world, item, body="the second", at=60)
    newer = correct(world, item, body="the third", at=10)
    world.run(20)
    assert {"site": "verified"} == world.states(newer)
    content = shown(world, "site")
    world.run(60)
    assert "held" == world.release(older).state
    assert "later revision" in world.release(older).why
    assert content == shown(world, "site")


def test_a_late_outlet_of_the_older_release_is_stopped(world: World) -> None:
    """What was still to follow of the first edition never goes out once the second is planned there."""
    world.add("site", "site")
    world.add("slow", required=False).faults.extend([None] + ["refuse"] * 3)
    world.process()
    first = world.plan("site,slow", at=10)
    world.run(13)
    assert "prepared" == world.states(first)["slow"]
    item = str(world.report(first)["item"])
    made = correct(world, item, named="site,slow", at=30)
    world.run(60)
    assert {"site": "verified", "slow": "verified"} == world.states(made)
    assert "cancelled" == world.states(first)["slow"]
    assert 1 == len(shown(world, "slow"))


def test_nothing_to_correct(world: World) -> None:
    """An item that is public nowhere, the same text, and an item that is not there are refused."""
    world.add("site", "site")
    frozen = submit(world.ctx, world.file())
    with pytest.raises(BadInput, match="public nowhere"):
        correct(world, frozen.item, named="site")
    with pytest.raises(BadInput, match="no such item"):
        correct(world, "unknown", named="site")


def test_the_same_text_is_no_correction(world: World) -> None:
    """A file that says what is public already is refused as a duplicate."""
    _, item = published(world, site="site")
    with pytest.raises(BadInput, match="this very content"):
        plan(world.ctx, replace(world.order("x", world.file()), outlets=(), corrects=item))


def test_publishing_a_newer_edition_beside_the_old_is_refused(world: World) -> None:
    """`publish` of a corrected item would put a second copy beside the first: `correct` is the way."""
    _, item = published(world, site="site", blog="memory")
    made = correct(world, item, named="site", at=10)
    world.run(15)
    assert {"site": "verified"} == world.states(made)
    with pytest.raises(BadInput, match="tongfa correct"):
        world.plan("blog", item)


def test_withdrawn_after_a_correction_nothing_is_left(world: World) -> None:
    """All that readers may find goes, the changed copy and a superseded one that was not removed yet."""
    _, item = published(world, site="site", news="renewing")
    made = correct(world, item, at=10)
    world.run_to(made, 0.1)
    world.outside["news"].faults.extend([None] + ["refuse"] * 3)
    world.run(0.5)
    assert 2 == len(shown(world, "news"))
    ended = withdraw(world.ctx, Withdrawal(item, "有误"))
    world.run(60)
    assert {"site": "withdrawn", "news": "withdrawn"} == world.states(ended)
    assert [] == shown(world, "site") + shown(world, "news")


# ---- aligned


def test_a_slow_outlet_starts_earlier_by_what_was_learned(world: World) -> None:
    """Aligned, both become visible together; not aligned, the slow one is later by its delay."""
    world.add("site", "site")
    world.add("queue", "queued").late_by = 3.0
    world.process()
    first = world.plan("site,queue", world.file(name="a.md", body="a"), at=40)
    world.run(60)
    told = world.report(first)
    assert told["skew_ms"] >= 2_900
    second = world.plan("site,queue", world.file(name="b.md", body="b"), at=60, align=Align.ALIGNED)
    world.run_to(second, 3.5)
    rows = world.rows(second)
    assert 2_900_000 <= rows["queue"].ahead <= 6_000_000
    world.run(30)
    told = world.report(second)
    assert {"site": "verified", "queue": "verified"} == world.states(second)
    rows = world.rows(second)
    assert rows["queue"].fire_at == world.release(second).release_at - rows["queue"].ahead
    assert rows["site"].fire_at == world.release(second).release_at
    assert not told["late"]


def test_aligned_is_refused_under_embargo(world: World) -> None:
    """Nothing of what is under embargo may start early."""
    world.add("site", "site")
    file = world.file(embargo=world.iso_in(30), release_at=world.iso_in(60))
    with pytest.raises(BadInput, match="aligned is refused"):
        plan(world.ctx, replace(world.order("site", file, align=Align.ALIGNED), at=None))


# ---- late


def test_late_is_marked(world: World) -> None:
    """What went out noticeably after its instant says so; what was in time does not."""
    world.add("site", "site")
    world.add("slow").faults.extend(["refuse"] * 3)
    world.process()
    made = world.plan("site,slow", at=5)
    world.run(120)
    assert {"site": "verified", "slow": "verified"} == world.states(made)
    assert world.report(made)["late"]
    again = world.plan("site,slow", world.file(name="b.md", body="b"), at=30)
    world.run(60)
    assert not world.report(again)["late"]


# ---- several release processes


def _in_shards_of_two(world: World, outlets: int) -> list[str]:
    """So many outlets, and who prepares for them; each release process sends at most two at a time."""
    world.settings = world.settings.model_copy(update={"release_shard": 2})
    names = [f"o{number}" for number in range(outlets)]
    for name in names:
        world.add(name)
    world.process("prepare")
    return names


def test_several_processes_share_a_release(world: World) -> None:
    """Each has a part; all leave at one instant, after one commit, once."""
    names = _in_shards_of_two(world, 7)
    others = [world.process("release") for _ in range(3)]
    made = world.plan(",".join(names), at=40)
    world.run(60)
    assert dict.fromkeys(names, "verified") == world.states(made)
    assert [1] * 7 == [world.published(name) for name in names]
    rows = world.rows(made)
    assert 3 == len({row.worker for row in rows.values()} & {one.ctx.actor for one in others})
    assert 1 == len({row.fire_at for row in rows.values()})


def test_now_over_several_processes(world: World) -> None:
    """Without an instant the last one that is armed commits for all."""
    names = _in_shards_of_two(world, 5)
    for _ in range(2):
        world.process("release")
    made = world.plan(",".join(names))
    world.run(20)
    assert dict.fromkeys(names, "verified") == world.states(made)
    assert 1 == len({row.fire_at for row in world.rows(made).values()})


def test_one_of_several_dies_before_the_commit(world: World) -> None:
    """Its part is taken over, and nothing is public before all of it is armed again."""
    names = _in_shards_of_two(world, 4)
    mortal = world.mortal("release")
    world.process("release")
    made = world.plan(",".join(names), at=60)
    world.run_to(made, 1.5)
    assert 2 == len({row.owner for row in world.rows(made).values()})
    world.kill(mortal)
    world.run(60)
    assert dict.fromkeys(names, "verified") == world.states(made)
    assert [1] * 4 == [world.published(name) for name in names]
    late = world.release(made)
    assert all(row.fire_at >= late.release_at for row in world.rows(made).values())


def test_one_of_several_dies_after_the_commit(world: World) -> None:
    """The others' shots leave in time; of its own a probe finds nothing, and they follow."""
    names = _in_shards_of_two(world, 4)
    mortal = world.mortal("release")
    world.process("release")
    made = world.plan(",".join(names), at=60)
    world.run_to(made, 0.5)
    assert "committed" == world.release(made).state
    theirs = {row.outlet for row in world.rows(made).values() if row.owner == mortal.ctx.owner}
    assert 2 == len(theirs)
    world.kill(mortal)
    world.run(0.6)
    assert set(names) - theirs == {name for name in names if world.published(name)}
    world.run(120)
    assert dict.fromkeys(names, "verified") == world.states(made)
    assert [1] * 4 == [world.published(name) for name in names]


def test_the_one_it_falls_to_does_not_come(world: World) -> None:
    """A process that lives and never takes its part is no reason to wait: another takes it after a moment."""
    names = _in_shards_of_two(world, 4)
    idle = world.process("release")
    idle.lanes = ()
    world.process("release")
    made = world.plan(",".join(names), at=40)
    world.run(60)
    assert dict.fromkeys(names, "verified") == world.states(made)
    assert world.release(made).release_at + SECOND > max(row.sent_at for row in world.rows(made).values())


def test_overtaken_after_it_was_armed(world: World) -> None:
    """The later revision became public between arming and commit: the older one is held, and never sent."""
    _, item = published(world, site="site")
    older = correct(world, item, body="the second", at=60)
    world.run_to(older, 20)
    assert world.rows(older)["site"].owner is not None, "it is armed"
    newer = correct(world, item, body="the third")
    world.run(5)
    assert {"site": "verified"} == world.states(newer)
    content = shown(world, "site")
    world.run(60)
    assert "held" == world.release(older).state
    assert "later revision" in world.release(older).why
    assert content == shown(world, "site")


def test_two_revisions_at_one_instant(world: World) -> None:
    """Whichever is committed first, the later one is what stays, and it was sent last."""
    _, item = published(world, site="site", blog="memory")
    at = 60
    older = correct(world, item, body="the second", at=at)
    newer = correct(world, item, body="the third", at=at)
    world.run(120)
    assert {"site": "verified", "blog": "verified"} == world.states(newer)
    assert world.release(older).state in ("held", "released")
    for name in ("site", "blog"):
        assert [world.rows(newer)[name].rendition["content"]] != []
        assert world.outside[name].posts[0].token == _token(world, newer, name)


def _token(world: World, release: str, name: str) -> str:
    return Key(INSTALLATION, world.rows(release)[name].id).token


def test_an_outlet_of_another_process_changed_after_it_was_armed(world: World) -> None:
    """Whoever commits looks at the others' outlets too: what was armed for the old address is not sent."""
    world.settings = world.settings.model_copy(update={"release_shard": 1})
    for name in ("a", "b"):
        world.add(name)
    world.process("prepare")
    for _ in range(2):
        world.process("release")
    made = world.plan("a,b", at=60)
    world.run_to(made, 10)
    assert 2 == len({row.owner for row in world.rows(made).values()})
    with world.store.write() as connection:
        row = outlets.get(connection, "b")
        outlets.change(connection, row, "changed", at=world.clock.now(), actor="test", settings={"url": "new"})
    world.run(120)
    assert {"a": "verified", "b": "verified"} == world.states(made)
    assert [1, 1] == [world.published("a"), world.published("b")]
    assert all(row.generation == 2 for name, row in world.rows(made).items() if name == "b")


def test_a_correction_planned_for_later_does_not_bring_back_what_was_withdrawn(world: World) -> None:
    """The withdrawal had its own time, before the correction's: the correction is held."""
    _, item = published(world, site="site", news="renewing")
    withdraw(world.ctx, Withdrawal(item, "有误", at=world.iso_in(30)))
    made = correct(world, item, at=60)
    world.run(90)
    assert "held" == world.release(made).state
    assert "not what this was to correct" in world.release(made).why
    assert [] == shown(world, "site") + shown(world, "news")


def test_two_corrections_leave_one_copy(world: World) -> None:
    """Where a copy is replaced, a later correction that knew of the first copy only is held, not put beside it."""
    _, item = published(world, news="renewing")
    later = correct(world, item, body="the second", at=20)
    last = correct(world, item, body="the third", at=60)
    world.run(120)
    assert {"news": "verified"} == world.states(later)
    assert "held" == world.release(last).state
    assert 1 == len(shown(world, "news"))
