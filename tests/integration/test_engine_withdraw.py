"""Withdrawals: removed everywhere, each outlet at once, and never forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from sync.engine.control import settle
from sync.engine.report import exit_code
from sync.engine.withdraw import Withdrawal, withdraw
from sync.model import BadInput
from sync.store import copies, deliveries, outlets
from sync.store.tables import Record
from tests.integration.world import World


def published(world: World, *names: str, at: float = 10) -> tuple[str, str]:
    """A release that is verified on these outlets; its id and its item's."""
    for name in names:
        world.add(name, "site" if name == "site" else "memory")
    world.process()
    made = world.plan(",".join(names), at=at)
    world.run(at + 5)
    assert dict.fromkeys(names, "verified") == world.states(made)
    return made, item_of(world, made)


def item_of(world: World, release: str) -> str:
    return str(world.report(release)["item"])


def copies_of(world: World, item: str) -> dict[str, str]:
    with world.store.read() as connection:
        return {one.outlet: one.state for one in copies.of_item(connection, item)}


def take_back(world: World, item: str, **more: object) -> str:
    return withdraw(world.ctx, Withdrawal(item, "发布有误", **more))  # type: ignore[arg-type]


def test_it_is_removed_everywhere(world: World) -> None:
    """Every outlet is cleared, an anonymous read says so, and the copies are kept as removed."""
    _, item = published(world, "site", "blog")
    made = take_back(world, item)
    world.run(2)
    assert {"site": "withdrawn", "blog": "withdrawn"} == world.states(made)
    assert "released" == world.release(made).state
    assert [] == world.outside["site"].posts + world.outside["blog"].posts
    assert {"site": "removed", "blog": "removed"} == copies_of(world, item)
    told = world.report(made)
    assert ("withdraw", "发布有误", 0) == (told["action"], told["reason"], exit_code(told))
    assert all(one["match"] for one in told["deliveries"])


def test_one_dead_outlet_delays_no_other(world: World) -> None:
    """The others are cleared at once; the withdrawal stays open and completes when it returns."""
    _, item = published(world, "site", "blog", "dead")
    world.outside["dead"].faults.extend(["refuse"] * 4)
    made = take_back(world, item)
    world.run(0.5)
    assert {"site": "withdrawn", "blog": "withdrawn", "dead": "planned"} == world.states(made)
    assert "committed" == world.release(made).state
    told = world.report(made)
    assert 4 == exit_code(told)
    assert "busy" in next(one for one in told["deliveries"] if one["outlet"] == "dead")["problems"][0]["message"]
    world.run(60)
    assert {"site": "withdrawn", "blog": "withdrawn", "dead": "withdrawn"} == world.states(made)
    assert [] == world.outside["dead"].posts


@pytest.mark.parametrize("fault", ["lose", "unheard", "late"])
def test_an_unclear_answer_is_asked_again(world: World, fault: str) -> None:
    """Done or not, what counts is that a reader finds nothing."""
    _, item = published(world, "site", "blog")
    world.outside["blog"].faults.append(fault)  # type: ignore[arg-type]
    made = take_back(world, item)
    world.run(30)
    assert {"site": "withdrawn", "blog": "withdrawn"} == world.states(made)
    assert [] == world.outside["blog"].posts


def test_what_refuses_goes_to_a_person(world: World) -> None:
    """The person removed it by hand and says so: the withdrawal ends, the copy is removed."""
    _, item = published(world, "site", "blog")
    world.outside["blog"].faults.append("reject")
    made = take_back(world, item)
    world.run(5)
    assert "unresolved" == world.states(made)["blog"]
    doubtful = str(world.rows(made)["blog"].id)
    settle(world.ctx, doubtful, "public", "https://blog.example/1")
    world.run(5)
    assert "withdrawn" == world.states(made)["blog"]


def test_a_person_may_say_that_nothing_is_left(world: World) -> None:
    """Settled as nothing, it is withdrawn, and the copy counts as removed."""
    _, item = published(world, "site", "blog")
    world.outside["blog"].faults.append("reject")
    made = take_back(world, item)
    world.run(5)
    world.outside["blog"].posts.clear()
    settle(world.ctx, str(world.rows(made)["blog"].id), "nothing", None)
    assert "withdrawn" == world.states(made)["blog"]
    assert "removed" == copies_of(world, item)["blog"]
    assert "released" == world.release(made).state


def test_before_the_commit_it_is_cancelled(world: World) -> None:
    """Nothing was public: the release itself is cancelled, its drafts are removed."""
    world.add("site", "site")
    world.add("blog")
    world.process()
    made = world.plan("site,blog", at=60)
    world.run(5)
    assert made == take_back(world, item_of(world, made))
    world.run(90)
    assert "cancelled" == world.release(made).state
    assert [0, 0] == [world.published("site"), world.published("blog")]
    assert {} == world.outside["blog"].drafts


def test_between_commit_and_instant_it_runs_right_after(world: World) -> None:
    """The shots leave, since that was committed, and are cleared away as soon as they settled."""
    world.add("site", "site")
    world.add("blog")
    world.process()
    first = world.plan("site,blog", at=60)
    world.run_to(first, 0.5)
    assert "committed" == world.release(first).state
    made = take_back(world, item_of(world, first))
    world.run(10)
    assert {"site": "withdrawn", "blog": "withdrawn"} == world.states(made)
    assert [1, 1] == [world.published("site"), world.published("blog")]
    assert [] == world.outside["site"].posts + world.outside["blog"].posts


def test_an_optional_outlet_that_is_late_never_goes_out(world: World) -> None:
    """What follows alone, late, is stopped by the withdrawal, and its draft removed."""
    world.add("site", "site")
    world.add("slow", required=False).faults.extend([None] + ["refuse"] * 3)
    world.process()
    first = world.plan("site,slow", at=10)
    world.run(10.3)
    assert "verified" == world.states(first)["site"]
    assert "verified" != world.states(first)["slow"]
    made = take_back(world, item_of(world, first))
    world.run(120)
    assert "withdrawn" == world.states(made)["site"]
    assert "cancelled" == world.states(first)["slow"]
    assert 0 == world.published("slow")
    assert {} == world.outside["slow"].drafts


def test_a_timed_withdrawal_waits_and_can_be_held(world: World) -> None:
    """Nothing is removed before its moment, nothing while held, everything when resumed."""
    from sync.engine.control import hold, resume

    _, item = published(world, "site")
    made = take_back(world, item, at=world.iso_in(60))
    world.run(30)
    assert "open" == world.release(made).state
    hold(world.ctx, made)
    world.run(60)
    assert "planned" == world.states(made)["site"]
    assert 1 == len(world.outside["site"].posts)
    resume(world.ctx, made)
    world.run(5)
    assert "withdrawn" == world.states(made)["site"]


def test_the_worker_dies_in_the_midst(world: World) -> None:
    """Its row is taken over; asking again is harmless; the end is the same."""
    world.add("site", "site")
    world.add("blog")
    mortal = world.mortal()
    first = world.plan("site,blog", at=10)
    world.run(15)

    def die(act: object) -> str:
        mortal.store.gone = True
        raise RuntimeError("killed")

    world.outside["blog"].scripts.append(die)
    made = take_back(world, item_of(world, first))
    world.run(0.5)
    world.kill(mortal)
    world.failures.clear()
    world.process()
    world.run(30)
    assert {"site": "withdrawn", "blog": "withdrawn"} == world.states(made)


def test_withdrawn_it_may_be_published_again(world: World) -> None:
    """Its content is nowhere any more, so that publishing it is no duplicate."""
    _, item = published(world, "site")
    take_back(world, item)
    world.run(5)
    again = world.plan("site", item, at=10)
    world.run(15)
    assert {"site": "verified"} == world.states(again)


def test_while_it_is_being_withdrawn_it_is_not_published_again(world: World) -> None:
    """The withdrawal, when its outlet answers at last, would take the new copy with it."""
    _, item = published(world, "site")
    world.outside["site"].faults.extend(["refuse"] * 3)
    leaving = take_back(world, item)
    world.run(0.5)
    with pytest.raises(BadInput, match="just being withdrawn"):
        world.plan("site", item, again=True)
    world.run(30)
    assert {"site": "withdrawn"} == world.states(leaving)
    made = world.plan("site", item)
    world.run(5)
    assert {"site": "verified"} == world.states(made)


def test_an_item_that_is_nowhere_is_refused(world: World) -> None:
    """There is nothing to withdraw, and the message says so."""
    world.add("site", "site")
    from sync.engine.submit import submit

    frozen = submit(world.ctx, world.file())
    with pytest.raises(BadInput, match="public nowhere"):
        take_back(world, frozen.item)
    with pytest.raises(BadInput, match="no such item"):
        take_back(world, "unknown")
    with pytest.raises(BadInput, match="reason"):
        withdraw(world.ctx, Withdrawal(frozen.item, " "))


def test_one_outlet_of_several(world: World, tmp_path: Path) -> None:
    """Only what is named is cleared."""
    _, item = published(world, "site", "blog")
    made = take_back(world, item, outlets=("blog",))
    world.run(5)
    assert {"blog": "withdrawn"} == world.states(made)
    assert {"blog": "removed", "site": "live"} == copies_of(world, item)


def test_a_group_of_several(world: World) -> None:
    """Its outlets, where the item is, and the named ones; a group that nobody is in is refused with the nearest."""
    world.add("paper")
    _, item = published(world, "site", "blog", "forum")
    for name in ("blog", "paper"):
        with world.store.write() as connection:
            row = outlets.get(connection, name)
            outlets.change(connection, row, "grouped", at=world.clock.now(), actor="test", groups=["posts"])
    with pytest.raises(BadInput, match=r"did you mean posts\?"):
        take_back(world, item, group="post")
    made = take_back(world, item, group="posts")
    world.run(5)
    assert {"blog": "withdrawn"} == world.states(made)
    assert {"blog": "removed", "site": "live", "forum": "live"} == copies_of(world, item)
    made = take_back(world, item, outlets=("forum",), group="posts")
    world.run(5)
    assert {"forum": "withdrawn"} == world.states(made)


@pytest.mark.parametrize("found", ["hidden", "nothing"])
def test_what_was_in_doubt_never_goes_out_afterwards(world: World, found: str) -> None:
    """Found hidden, or not there at all, it is given up: a withdrawn item is not published once more."""
    world.add("site", "site")
    world.add("blind", "blind").faults.extend([None, "lose"])
    world.process()
    first = world.plan("site,blind", at=10)
    world.run(20)
    assert {"site": "verified", "blind": "unresolved"} == world.states(first)
    made = take_back(world, item_of(world, first))
    world.run(5)
    assert "planned" == world.states(made)["blind"]
    settle(world.ctx, str(world.rows(first)["blind"].id), found, None)
    world.run(60)
    assert 0 == world.published("blind")
    assert "cancelled" == world.states(first)["blind"]
    assert {"site": "withdrawn", "blind": "withdrawn"} == world.states(made)


def test_withdrawn_after_a_correction_in_place_no_copy_counts(world: World) -> None:
    """The place is gone, and with it all that it ever showed: a second withdrawal finds nothing to do."""
    from sync.engine.plan import Order, plan

    _, item = published(world, "site")
    plan(world.ctx, Order((str(world.file("new.md", body="又一版")),), at="now", corrects=item))
    world.run(5)
    take_back(world, item)
    world.run(5)
    with world.store.read() as connection:
        assert ["removed", "removed"] == [one.state for one in copies.of_item(connection, item)]
    with pytest.raises(BadInput, match="public nowhere"):
        take_back(world, item)


def test_a_job_that_takes_its_time_is_waited_for_without_a_write_each_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an outlet accepted may become public after a long while, and is removed then; until then looks get rare."""
    world.add("queue", "queued").late_by = 1_200.0
    world.process()
    first = world.plan("queue", at=10)
    world.run(20)
    assert {"queue": "accepted"} == world.states(first)
    made = take_back(world, item_of(world, first))
    looks = []
    note = deliveries.note

    def counted(connection: Connection, row: Record, **values: Any) -> Record:
        looks.extend([row.id] if row.duty == "withdraw" else [])
        return note(connection, row, **values)

    monkeypatch.setattr(deliveries, "note", counted)
    world.run(1_000)
    assert {"queue": "planned"} == world.states(made)
    assert 20 < len(looks) < 200
    world.run(600)
    assert {"queue": "withdrawn"} == world.states(made)
    assert (1, []) == (world.published("queue"), world.outside["queue"].posts)
