"""What only notifies: after the page it leads to was seen, once, and never as a burden to the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import pytest

from sync.contract import (
    Capabilities,
    Prepared,
    Shot,
    TryLater,
)
from sync.engine import control, outcome
from sync.engine.report import exit_code, finished
from sync.engine.withdraw import Withdrawal, withdraw
from sync.flow import E
from sync.model import Align, BadInput, Key, Policy, Rendition
from sync.store import copies, deliveries, journal
from tests.integration.notices import Bot, correct, item_of, messages, told, with_outlets
from tests.integration.outside import KINDS
from tests.integration.world import World


class Whisper(Bot):
    """Nobody learns what becomes of it: never a required one."""

    kind = "whisper"
    can: ClassVar[Capabilities] = replace(Bot.can, optional=True)


class Deaf(Bot):
    """Cannot be armed."""

    kind = "deaf"

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        raise TryLater("no connection")


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (Bot, Whisper, Deaf):
        monkeypatch.setitem(KINDS, one.kind, one)


def altering(world: World, name: str) -> Callable[[Callable[[], str]], str]:
    """A script: the outlet publishes, and shows another text."""

    def script(act: Callable[[], str]) -> str:
        ref = act()
        world.outside[name].posts[-1].content = "another"
        return ref

    return script


def mended(world: World, name: str) -> None:
    """The outlet shows what it was handed."""
    posts, drafts = world.outside[name].posts, world.outside[name].drafts
    posts[-1].content = list(drafts.values())[-1][1]


def unseen(world: World, **kinds: str) -> str:
    """A release whose page is public and is not what was approved, so that the bot waits; its id."""
    with_outlets(world, **(kinds or {"site": "site", "bot": "bot"}))
    world.outside["site"].scripts.extend([None, altering(world, "site")])
    made = world.plan(",".join(world.outside), at=20)
    world.run(60)
    return made


def test_it_goes_out_once_the_page_was_seen(world: World) -> None:
    """Prepared with the others, silent at the instant, sent after the first reader found the page as approved."""
    with_outlets(world, site="site", blog="memory", bot="bot")
    made = world.plan("site,blog,bot", at=60)
    world.run(1)
    assert {"prepared"} == set(world.states(made).values())
    assert world.rows(made)["bot"].due_at is None, "nobody looks after it yet"
    world.run_to(made, before=0.5)
    assert {"site": "releasing", "blog": "releasing", "bot": "prepared"} == world.states(made)
    world.run(10)
    assert {"site": "verified", "blog": "verified", "bot": "closed"} == world.states(made)
    assert world.rows(made)["site"].visible_at < world.outside["bot"].posts[0].at
    assert 1 == world.published("bot")
    report = world.report(made)
    assert ("released", 0, False) == (report["state"], exit_code(report), report["late"])


def test_it_is_listed_and_not_counted(world: World) -> None:
    """Skew and lateness are those of the outlets that show the item; the notification is late for nobody."""
    with_outlets(world, site="site", bot="bot")
    made = world.plan("site,bot", at=20)
    world.run_to(made, before=0.5)
    world.outside["site"].scripts.append(altering(world, "site"))
    world.run(30)
    mended(world, "site")
    world.run(60)
    report = world.report(made)
    assert "released" == report["state"]
    assert world.rows(made)["bot"].fire_at > world.release(made).release_at + 5_000_000
    assert (0.0, False) == (report["skew_ms"], report["late"] or told(world, made, "bot")["late"])


@pytest.mark.parametrize("shard", [1, 32])
def test_a_required_one_holds_back_only_until_it_is_prepared(world: World, shard: int) -> None:
    """It has to be in place before the release is ready; then the others leave without it, in however many shards."""
    world.settings = world.settings.model_copy(update={"release_shard": shard})
    for name, kind in {"site": "site", "blog": "memory", "bot": "bot"}.items():
        world.add(name, kind)
    world.outside["bot"].faults.extend(["refuse"] * 3)
    world.process("prepare")
    for _ in range(2):
        world.process("release")
    made = world.plan("site,blog,bot", at=50)
    world.run(30)
    assert ("open", "rendered") == (world.release(made).state, world.states(made)["bot"])
    world.run_to(made, before=0.5)
    assert {"site": "releasing", "blog": "releasing", "bot": "prepared"} == world.states(made)
    world.run(10)
    assert {"site": "verified", "blog": "verified", "bot": "closed"} == world.states(made)
    fired = [row.fire_at for name, row in world.rows(made).items() if name != "bot"]
    assert [world.release(made).release_at] * 2 == fired


def test_refused_at_preparation_it_holds_what_it_is_required_for(world: World) -> None:
    """What can be known before the instant is known before it."""
    with_outlets(world, site="site", bot="bot")
    world.outside["bot"].faults.append("reject")
    made = world.plan("site,bot", at=20)
    world.run(40)
    assert ("held", 0) == (world.release(made).state, world.published("site"))


def test_while_the_page_is_not_as_approved_it_waits_and_says_so(world: World) -> None:
    """Nobody is sent to a page that is wrong; once it is right the notification leaves by itself."""
    made = unseen(world)
    assert {"site": "released", "bot": "prepared"} == world.states(made)
    report = world.report(made)
    assert ("site", "committed", 4) == (told(world, made, "bot")["waits_for"], report["state"], exit_code(report))
    assert "site" in messages(told(world, made, "bot"))
    assert finished(report), "waiting longer brings nothing: a person has to look"
    with world.store.write() as connection:  # whatever else becomes of its release
        outcome.settle(world.ctx, connection, made)
    assert world.rows(made)["bot"].due_at is None, "nobody is called for it"
    world.run(4_000)
    assert 0 == world.published("bot")
    mended(world, "site")
    world.run(4_000)
    assert {"site": "verified", "bot": "closed"} == world.states(made)
    assert [] == told(world, made, "site")["problems"]


def test_a_person_gives_a_waiting_one_up(world: World) -> None:
    """Dropped, it never goes out, and what was prepared is removed; the log names the person."""
    made = unseen(world)
    control.drop(world.ctx, world.rows(made)["bot"].id)
    mended(world, "site")
    world.run(600)
    assert {"site": "verified", "bot": "cancelled"} == world.states(made)
    assert ({}, 0, "released") == (world.outside["bot"].drafts, world.published("bot"), world.release(made).state)
    assert "discard_begun" in world.acts(world.rows(made)["bot"].id)


def test_without_a_canonical_outlet_it_waits_for_every_required_one(world: World) -> None:
    """An optional outlet that fails is not waited for; a required one that is not seen yet is."""
    with_outlets(world, blog="memory", page="memory", bot="bot")
    world.add("extra", required=False).faults.append("reject")
    world.outside["page"].scripts.extend([None, altering(world, "page")])
    made = world.plan("blog,page,extra,bot", at=20)
    world.run(60)
    expected = {"blog": "verified", "page": "released", "extra": "failed", "bot": "prepared"}
    assert (expected, "page") == (world.states(made), told(world, made, "bot")["waits_for"])
    mended(world, "page")
    world.run(120)
    assert "closed" == world.states(made)["bot"]


def test_with_a_canonical_outlet_it_waits_for_no_other(world: World) -> None:
    """Its readers are led to that page; what another outlet shows is another matter."""
    with_outlets(world, site="site", blog="memory", bot="bot")
    world.outside["blog"].scripts.extend([None, altering(world, "blog")])
    made = world.plan("site,blog,bot", at=20)
    world.run(60)
    assert {"site": "verified", "blog": "released", "bot": "closed"} == world.states(made)


@pytest.mark.parametrize("left", [True, False], ids=["another is seen", "nothing is left"])
def test_what_a_person_gave_up_is_not_waited_for(world: World, left: bool) -> None:
    """It goes out for what is there. When nothing is, it stays, and says how it is ended."""
    with_outlets(world, page="memory", **({"blog": "memory"} if left else {}), bot="bot")
    world.outside["page"].faults.extend([None, "reject"])
    made = world.plan(",".join(world.outside), at=20)
    world.run(60)
    assert ("failed", "prepared") == (world.states(made)["page"], world.states(made)["bot"])
    control.drop(world.ctx, world.rows(made)["page"].id)
    world.run(60)
    if left:
        assert {"page": "cancelled", "blog": "verified", "bot": "closed"} == world.states(made)
        return
    waits = told(world, made, "bot")
    assert ("prepared", "", True) == (waits["state"], waits["waits_for"], "delivery drop" in waits["next"])
    assert 0 == world.published("bot")
    control.drop(world.ctx, world.rows(made)["bot"].id)
    world.run(10)
    assert ("cancelled", "released") == (world.states(made)["bot"], world.release(made).state)


def test_made_due_too_early_it_waits_all_the_same(world: World) -> None:
    """As by a program that does not know of notifications: the claim asks once more."""
    with_outlets(world, site="site", bot="bot")
    made = world.plan("site,bot", at=60)
    world.run(5)
    with world.store.write() as connection:
        rows = world.rows(made)
        deliveries.note(connection, rows["bot"], duty="release", due_at=rows["site"].due_at)
    world.run_to(made, before=0.5)
    assert {"site": "releasing", "bot": "prepared"} == world.states(made)
    world.run(20)
    assert {"site": "verified", "bot": "closed"} == world.states(made)
    assert world.rows(made)["site"].visible_at < world.outside["bot"].posts[0].at


def test_of_several_items_each_waits_for_its_own(world: World) -> None:
    with_outlets(world, site="site", bot="bot")
    first, second = world.file("first.md", body="甲"), world.file("second.md", body="乙")
    world.outside["site"].scripts.extend([None, None, altering(world, "site")])
    made = world.plan("site,bot", first, second, at=20)
    world.run(60)
    with world.store.read() as connection:
        rows = deliveries.of_release(connection, made)
    waits = {row.item: row.state for row in rows if row.outlet == "bot"}
    seen = {row.item: row.state for row in rows if row.outlet == "site"}
    assert {"closed", "prepared"} == set(waits.values())
    assert all((waits[item] == "closed") is (seen[item] == "verified") for item in seen)


def test_alone_it_would_tell_of_nothing(world: World) -> None:
    """Refused at the plan, with the mend; nothing is stored."""
    with_outlets(world, bot="bot", other="bot")
    with pytest.raises(BadInput, match="published elsewhere") as refused:
        world.plan("bot,other", at=20)
    assert "website" in refused.value.mend


@pytest.mark.parametrize("policy", list(Policy))
def test_what_shows_the_item_is_required_of_a_release_that_notifies(world: World, policy: Policy) -> None:
    """Whatever the policy and the marks: one outlet at least, which the notification waits for."""
    world.add("blog", required=False)
    world.add("bot", "bot")
    world.process()
    made = world.plan("blog,bot", at=20, policy=policy)
    assert world.rows(made)["blog"].required
    world.run(30)
    assert {"blog": "verified", "bot": "closed"} == world.states(made)


def test_what_may_never_be_required_is_refused_where_it_would_be(world: World) -> None:
    """Marked required, or under `all`; marked optional it takes part, and nothing waits for it."""
    world.add("site", "site")
    world.add("whisper", "whisper")
    world.add("quiet", "whisper", required=False)
    world.process()
    with pytest.raises(BadInput, match="required"):
        world.plan("site,whisper", at=20)
    with pytest.raises(BadInput, match="wait for quiet"):
        world.plan("site,quiet", at=20, policy=Policy.ALL)
    world.outside["quiet"].faults.append("reject")
    made = world.plan("site,quiet", at=20)
    world.run(30)
    assert {"site": "verified", "quiet": "failed"} == world.states(made)


# ---- doubt


@pytest.mark.parametrize("fault", ["lose", "unheard"])
def test_one_of_unknown_fate_is_never_sent_again(world: World, fault: str) -> None:
    """A person is asked, who need not paste an address: there is none."""
    with_outlets(world, site="site", bot="bot")
    world.outside["bot"].faults.extend([None, fault])  # type: ignore[list-item]
    made = world.plan("site,bot", at=20)
    world.run(4_000)
    row = world.rows(made)["bot"]
    assert ("unresolved", 1) == (row.state, world.acts(row.id).count("release_begun"))
    assert "verified" == world.states(made)["site"]
    control.settle(world.ctx, row.id, "public" if fault == "unheard" else "nothing", None)
    world.run(60)
    assert ("closed", 1) == (world.states(made)["bot"], world.published("bot"))
    assert "released" == world.release(made).state


def test_its_process_dies_and_it_is_not_sent_again(world: World) -> None:
    """What a dead process had in flight may have been said."""
    world.add("site", "site")
    world.add("bot", "bot")
    world.process("prepare")
    mortal = world.mortal("release")

    def die(act: Callable[[], str]) -> str:
        act()
        mortal.store.gone = True
        raise RuntimeError("killed")

    made = world.plan("site,bot", at=20)
    world.outside["bot"].scripts.extend([None, die])
    world.run(30)
    world.kill(mortal)
    world.failures.clear()
    world.process("release")
    world.run(4_000)
    assert {"site": "verified", "bot": "unresolved"} == world.states(made)
    assert 1 == world.published("bot")


def test_what_was_certainly_not_sent_is_sent_later(world: World) -> None:
    with_outlets(world, site="site", bot="bot")
    world.outside["bot"].faults.extend([None, "refuse", "refuse"])
    made = world.plan("site,bot", at=20)
    world.run(60)
    assert ("closed", 1) == (world.states(made)["bot"], world.published("bot"))


def test_found_hidden_by_a_person_it_still_waits_for_the_page(world: World) -> None:
    """A person's word makes it due; that the page was not seen keeps it."""
    made = unseen(world)
    row = world.rows(made)["bot"]
    with world.store.write() as connection:  # as after a restore that could not look it up
        deliveries.move(connection, row, E.IN_DOUBT, at=world.clock.now(), actor="test")
    control.settle(world.ctx, row.id, "hidden", None)
    world.run(60)
    assert ("prepared", 0) == (world.states(made)["bot"], world.published("bot"))
    mended(world, "site")
    world.run(120)
    assert ("closed", 1) == (world.states(made)["bot"], world.published("bot"))


# ---- the others


def test_it_does_not_delay_another_that_follows_late(world: World) -> None:
    """An optional outlet that is ready late leaves at once, while a notification cannot be armed at all."""
    world.add("site", "site")
    world.add("slow", required=False).faults.extend(["refuse"] * 4)
    world.add("deaf", "deaf")
    world.process()
    made = world.plan("site,slow,deaf", at=20)
    world.run(400)
    assert {"site": "verified", "slow": "verified", "deaf": "prepared"} == world.states(made)
    slow = world.rows(made)["slow"]
    assert slow.fire_at - _prepared_at(world, slow.id) < 1_000_000
    assert "no connection" in messages(told(world, made, "deaf"))


def test_due_together_the_other_goes_first(world: World) -> None:
    """Taken by one process at one moment: what is public is not kept waiting by what cannot be armed."""
    world.add("site", "site")
    world.add("slow", required=False).faults.extend(["refuse"] * 4)
    world.add("deaf", "deaf")
    world.process("prepare")
    gone = world.process("release")
    made = world.plan("site,slow,deaf", at=20)
    world.run(30)
    assert {"site": "verified", "slow": "rendered", "deaf": "prepared"} == world.states(made)
    world.run(8)  # whatever it holds is given back
    world.processes.remove(gone)
    world.run(300)
    rows = world.rows(made)
    assert ("prepared", None, None) == (rows["slow"].state, rows["slow"].owner, rows["deaf"].owner)
    assert max(rows["slow"].due_at, rows["deaf"].due_at) <= world.clock.now()
    before = world.clock.now()
    world.process("release")
    world.run(60)
    assert "verified" == world.states(made)["slow"]
    assert world.rows(made)["slow"].fire_at - before < 1_000_000


def test_no_outlet_starts_earlier_because_of_it(world: World) -> None:
    """Aligned, what the others start before is what they learned of each other."""
    with_outlets(world, queue="queued", bot="bot")
    world.outside["queue"].late_by = 3.0
    first = world.plan("queue,bot", world.file("a.md", body="a"), at=40)
    world.run(60)
    assert {"queue": "verified", "bot": "closed"} == world.states(first)
    second = world.plan("queue,bot", world.file("b.md", body="b"), at=60, align=Align.ALIGNED)
    assert {"queue": 0, "bot": 0} == {name: row.ahead for name, row in world.rows(second).items()}


# ---- corrections


def test_a_correction_notifies_anew_once_the_corrected_page_was_seen(world: World) -> None:
    """The text says that it is a correction; the first notification stands, as what was corrected."""
    with_outlets(world, site="site", bot="bot")
    first = world.plan("site,bot", at=10)
    world.run(15)
    made = correct(world, item_of(world, first), at=30)
    world.run_to(made, before=0.5)
    assert ("releasing", "prepared") == (world.states(made)["site"], world.states(made)["bot"])
    world.run(20)
    assert {"site": "verified", "bot": "closed"} == world.states(made)
    assert (2, 0) == (world.published("bot"), exit_code(world.report(made)))
    assert world.rows(made)["bot"].rendition["title"].startswith("更正：")
    assert world.rows(made)["site"].visible_at < world.outside["bot"].posts[-1].at
    with world.store.read() as connection:
        kept = [(one.revision, one.state) for one in copies.of(connection, item_of(world, first), "bot")]
    assert [(1, "superseded"), (2, "live")] == kept


def test_what_still_waited_is_overtaken_by_the_correction(world: World) -> None:
    """Its readers were never told: without being named again they are, once, of the newest text."""
    first = unseen(world)
    made = correct(world, item_of(world, first), at=30)
    assert {"site", "bot"} == set(world.states(made))
    world.run(60)
    assert {"site": "verified", "bot": "closed"} == world.states(made)
    assert ("cancelled", 1) == (world.states(first)["bot"], world.published("bot"))
    assert not world.rows(made)["bot"].rendition["title"].startswith("更正：")


def test_one_in_doubt_stands_in_no_corrections_way(world: World) -> None:
    """Nor does it go out afterwards, whatever a person finds."""
    with_outlets(world, site="site", bot="bot")
    world.outside["bot"].faults.extend([None, "lose"])
    first = world.plan("site,bot", at=10)
    world.run(30)
    assert "unresolved" == world.states(first)["bot"]
    made = correct(world, item_of(world, first), at=10)
    world.run(30)
    assert {"site": "verified", "bot": "closed"} == world.states(made)
    control.settle(world.ctx, world.rows(first)["bot"].id, "hidden", None)
    world.run(60)
    assert ("cancelled", 1) == (world.states(first)["bot"], world.published("bot"))


# ---- withdrawals


def test_a_withdrawal_says_what_cannot_be_recalled(world: World) -> None:
    """The others are cleared; nothing is tried at the bot, and the report tells plainly."""
    with_outlets(world, site="site", bot="bot")
    first = world.plan("site,bot", at=10)
    world.run(15)
    ended = withdraw(world.ctx, Withdrawal(item_of(world, first), "有误"))
    world.run(10)
    report = world.report(ended)
    assert ({"site": "withdrawn"}, "released", 0) == (world.states(ended), report["state"], exit_code(report))
    assert [("bot", False)] == [(one["where"], one["fatal"]) for one in report["problems"]]
    assert "cannot be recalled" in messages(report)
    assert 1 == len(world.outside["bot"].posts)


def test_nothing_but_what_cannot_be_recalled(world: World) -> None:
    """Asked for the bot alone, or for what is left once the rest was withdrawn, it is refused."""
    with_outlets(world, site="site", bot="bot")
    item = item_of(world, world.plan("site,bot", at=10))
    world.run(15)
    with pytest.raises(BadInput, match="cannot be recalled"):
        withdraw(world.ctx, Withdrawal(item, "有误", outlets=("bot",)))
    withdraw(world.ctx, Withdrawal(item, "有误"))
    world.run(10)
    with pytest.raises(BadInput, match="cannot be recalled"):
        withdraw(world.ctx, Withdrawal(item, "有误"))


@pytest.mark.parametrize("named", [(), ("site",), ("site", "bot")], ids=["everything", "the page", "both"])
def test_withdrawn_before_it_went_out_it_never_does(world: World, named: tuple[str, ...]) -> None:
    """Whether all is withdrawn or only the page that it leads to."""
    first = unseen(world)
    ended = withdraw(world.ctx, Withdrawal(item_of(world, first), "有误", outlets=named))
    world.run(60)
    assert {"site": "withdrawn"} == world.states(ended)
    assert ("cancelled", 0) == (world.states(first)["bot"], world.published("bot"))
    assert ({}, []) == (world.outside["bot"].drafts, world.report(ended)["problems"])


def test_only_what_is_still_to_come_is_withdrawn(world: World) -> None:
    """Named alone, it is stopped, and nothing else is touched."""
    first = unseen(world)
    assert first == withdraw(world.ctx, Withdrawal(item_of(world, first), "有误", outlets=("bot",)))
    mended(world, "site")
    world.run(120)
    assert {"site": "verified", "bot": "cancelled"} == world.states(first)
    assert 0 == world.published("bot")


def test_withdrawn_elsewhere_it_goes_out_all_the_same(world: World) -> None:
    """The page it leads to stays."""
    first = unseen(world, site="site", blog="memory", bot="bot")
    withdraw(world.ctx, Withdrawal(item_of(world, first), "有误", outlets=("blog",)))
    mended(world, "site")
    world.run(120)
    assert "closed" == world.states(first)["bot"]


def test_a_timed_withdrawal_stops_it_at_its_time(world: World) -> None:
    first = unseen(world)
    ended = withdraw(world.ctx, Withdrawal(item_of(world, first), "有误", at=world.iso_in(30)))
    world.run(10)
    assert "prepared" == world.states(first)["bot"]
    world.run(60)
    assert ("withdrawn", "cancelled") == (world.states(ended)["site"], world.states(first)["bot"])


def _prepared_at(world: World, delivery: str) -> int:
    with world.store.read() as connection:
        return [int(one.at) for one in journal.of(connection, "delivery", delivery) if one.act == "prepared"][-1]
