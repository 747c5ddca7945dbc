"""What is handed over to many, part by part: after the page was seen, each once, whoever dies and whatever fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from channels.mailing import go_on, outcome
from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Ambiguous,
    Capabilities,
    Prepared,
    Receipt,
    Rejected,
    Shot,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.engine import carry, control
from sync.engine.report import exit_code, finished
from sync.engine.withdraw import Withdrawal, withdraw
from sync.flow import E
from sync.ledger import Ledger
from sync.model import Key, Rendition, Sighting
from sync.store import deliveries
from tests.integration.notices import Bot, correct, item_of, messages, told, with_outlets
from tests.integration.outside import KINDS
from tests.integration.world import World

LIST = ("甲", "乙", "丙", "丁", "戊")
ROUND = 2  # letters a round
Fault = BaseException | None


class _Accepted(Shot):
    def _fire(self) -> None:
        """Nothing leaves."""

    def settle(self) -> Receipt | Accepted:
        return Accepted("")


class Letters(Bot):
    """A mailing list, two letters at a time. `box`: whom the server has a letter for; `faults` by recipient."""

    kind = "letters"
    can: ClassVar[Capabilities] = replace(Bot.can, lands_within=0.0)
    box: ClassVar[list[str]] = []
    faults: ClassVar[dict[str, list[Fault]]] = {}
    dying: ClassVar[Callable[[str], None]] = staticmethod(lambda recipient: None)

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        return _Accepted()

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        return None if hint is None else Accepted("")

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        raise Unsupported(receipt.notes.get("told", "by a person's word"))

    def carry(
        self,
        accepted: Accepted,
        rendition: Rendition,
        key: Key,
        keep: Callable[[Mapping[str, str]], bool],
        *,
        stop: bool,
    ) -> Accepted | Receipt:
        left = [ROUND]
        now = self.outside.now

        def send(recipient: str) -> None:
            left[0] -= 1
            Letters.dying(recipient)
            faults = Letters.faults.get(recipient, [])
            fault = faults.pop(0) if faults else None
            if fault is None or isinstance(fault, Ambiguous):
                if ("published", key.token) not in [(what, whose) for _, what, whose in self.outside.record]:
                    self.outside.record.append((now(), "published", key.token))
                Letters.box.append(recipient)
            if fault is not None:
                raise fault

        def passed() -> int:
            return now() if left[0] > 0 else 2**62

        ledger = Ledger.read(accepted.notes)
        found = go_on(ledger, LIST, send, keep, passed, stop=stop, until=2**61)
        if found.again_at is None or stop:
            said = outcome(found.ledger, "letters", lambda part: LIST.index(part) + 1)
            return Receipt("letters", "", now(), {"told": said})
        return Accepted("", found.ledger.notes(), None if found.again_at > 2**60 else found.again_at)


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "letters", Letters)
    monkeypatch.setitem(KINDS, "bot", Bot)
    monkeypatch.setattr(Letters, "box", [])
    monkeypatch.setattr(Letters, "faults", {})
    monkeypatch.setattr(Letters, "dying", staticmethod(lambda recipient: None))


def mailed(world: World, seconds: float = 60) -> str:
    """A release to a site and to the list, with the faults that were set; its id."""
    with_outlets(world, site="site", letters="letters")
    made = world.plan("site,letters", at=20)
    world.run(20 + seconds)
    assert "verified" == world.states(made)["site"]
    return made


def test_all_have_it_once_the_page_was_seen(world: World) -> None:
    """In rounds, after the page; then the mailing ends on the server's word, which says how many."""
    made = mailed(world)
    assert list(LIST) == Letters.box
    assert ("closed", "released", 0) == (
        world.states(made)["letters"],
        world.release(made).state,
        exit_code(world.report(made)),
    )
    assert "5 of 5" in messages(told(world, made, "letters"))
    at = next(at for at, what, _ in world.outside["letters"].record if what == "published")
    assert world.rows(made)["site"].visible_at < at
    acts = world.acts(world.rows(made)["letters"].id)
    assert ["release_begun", "accepted", "released", "closed"] == acts[-4:], "rounds are no entries: they name nobody"


def test_who_is_refused_for_now_gets_it_later(world: World) -> None:
    Letters.faults["丙"] = [TryLater("451 greylisted"), TryLater("451 greylisted")]
    made = mailed(world, 30)
    assert ({"甲", "乙", "丁", "戊"}, "accepted") == (set(Letters.box), world.states(made)["letters"])
    assert not finished(world.report(made))
    world.run(1_200)
    assert (sorted(LIST), "closed") == (sorted(Letters.box), world.states(made)["letters"])


def test_who_is_refused_for_good_is_told_by_line(world: World) -> None:
    Letters.faults["丙"] = [Rejected("550 nobody")]
    made = mailed(world)
    assert "closed" == world.states(made)["letters"]
    assert "3 (550)" in messages(told(world, made, "letters"))


@pytest.mark.parametrize("found", ["nothing", "public"])
def test_who_may_have_it_is_left_to_a_person(world: World, found: str) -> None:
    """All others have it; asked, they say that nothing came, and that one is written to once more, or that it came."""
    Letters.faults["丙"] = [Ambiguous("no answer after the last byte")]
    made = mailed(world, 4_000)
    assert ("unresolved", list(LIST)) == (world.states(made)["letters"], Letters.box)
    assert ": 3" in messages(told(world, made, "letters"))
    control.settle(world.ctx, world.rows(made)["letters"].id, found, None)
    world.run(60)
    assert "closed" == world.states(made)["letters"]
    assert [*LIST, "丙"] if found == "nothing" else list(LIST) == Letters.box


@pytest.mark.parametrize("sent", [False, True], ids=["before the first byte", "after the last"])
def test_its_process_dies_with_one_letter_in_hand(world: World, sent: bool) -> None:
    """That recipient is in doubt and never written to again by itself; everybody else has it once."""
    world.add("site", "site")
    world.add("letters", "letters")
    world.process("release")
    mortal = world.mortal("prepare")

    def die(recipient: str) -> None:
        if recipient == "丙" and not mortal.store.gone:
            if sent:
                Letters.box.append(recipient)
            mortal.store.gone = True
            raise RuntimeError("killed")

    Letters.dying = staticmethod(die)
    made = world.plan("site,letters", at=20)
    world.run(60)
    world.kill(mortal)
    world.failures.clear()
    world.process("prepare")
    world.run(600)
    assert "unresolved" == world.states(made)["letters"]
    assert {"甲", "乙", "丁", "戊"} == set(Letters.box) - {"丙"}
    assert (1 if sent else 0, 4) == (Letters.box.count("丙"), len([one for one in Letters.box if one != "丙"]))
    assert ": 3" in messages(told(world, made, "letters"))


def test_a_frozen_process_that_was_overtaken_goes_no_further(world: World) -> None:
    """It had one recipient in hand; of the delivery nothing more is written by it, and nobody gets a second letter."""
    world.add("site", "site")
    world.add("letters", "letters")
    worker = world.process()
    made = world.plan("site,letters", at=20)
    taken: list[bool] = []

    def freeze(recipient: str) -> None:
        if recipient == "乙" and not taken:
            taken.append(True)
            row = world.rows(made)["letters"]
            with world.store.write() as connection:  # as who takes it over
                deliveries.note(connection, row, owner=None, epoch=row.epoch + 1, due_at=world.clock.now())
            carry.carry(world.processes[-1].ctx, [row.id])

    Letters.dying = staticmethod(freeze)
    other = world.process()
    world.processes.remove(worker)
    world.processes.insert(0, worker)
    assert other is world.processes[-1]
    world.run(600)
    assert "unresolved" == world.states(made)["letters"]
    assert [1] * len(LIST) == [Letters.box.count(one) for one in LIST]


def test_a_server_that_refuses_us_is_tried_until_it_is_mended(world: World) -> None:
    """Nobody is in doubt, the reason is shown, and it goes on by itself."""
    Letters.faults["乙"] = [Unauthorised("535 wrong password")] * 3
    made = mailed(world, 30)
    assert ("accepted", ["甲"]) == (world.states(made)["letters"], Letters.box)
    assert "535" in messages(told(world, made, "letters"))
    world.run(600)
    assert ("closed", list(LIST)) == (world.states(made)["letters"], Letters.box)


def test_nobody_wants_it(world: World) -> None:
    """All refused: it has failed. Retried by a person, all are written to anew."""
    Letters.faults.update({one: [Rejected("550 nobody")] for one in LIST})
    made = mailed(world)
    assert ("failed", []) == (world.states(made)["letters"], Letters.box)
    control.retry(world.ctx, world.rows(made)["letters"].id)
    world.run(60)
    assert ("closed", list(LIST)) == (world.states(made)["letters"], Letters.box)


@pytest.mark.parametrize("early", [True, False], ids=["before anybody had it", "in the midst"])
def test_withdrawn_nobody_more_gets_it(world: World, early: bool) -> None:
    """At once, though the next letters would have been hours away; whoever has it keeps it, and the report says so."""
    for one in LIST if early else LIST[2:]:
        Letters.faults[one] = [TryLater("451 busy", world.clock.now() + 9_000 * SECOND)]
    made = mailed(world, 60)
    ended = withdraw(world.ctx, Withdrawal(item_of(world, made), "有误"))
    world.run(5)
    assert {"site": "withdrawn"} == world.states(ended)
    assert ("cancelled" if early else "closed") == world.states(made)["letters"]
    assert ([] if early else ["letters"]) == [one["where"] for one in world.report(ended)["problems"]]
    world.run(20_000)
    assert ([] if early else ["甲", "乙"]) == Letters.box


def test_withdrawn_while_the_last_letter_of_a_round_is_on_its_way(world: World) -> None:
    """It ends at once, and not when that recipient would have been tried again, hours later."""
    ended: list[str] = []

    def stop(recipient: str) -> None:
        if recipient == "戊" and not ended:
            ended.append(withdraw(world.ctx, Withdrawal(item_of(world, made), "有误")))

    Letters.faults["戊"] = [TryLater("451 busy", world.clock.now() + 9_000 * SECOND)]
    Letters.dying = staticmethod(stop)
    with_outlets(world, site="site", letters="letters")
    made = world.plan("site,letters", at=20)
    world.run(60)
    assert ({"site": "withdrawn"}, "closed") == (world.states(ended[0]), world.states(made)["letters"])
    assert list(LIST[:4]) == Letters.box


def test_a_correction_stops_the_old_letters_and_says_what_it_is(world: World) -> None:
    """Those who had the old text, and those who had not yet, get the new one, as a correction."""
    for one in LIST[2:]:
        Letters.faults[one] = [TryLater("451 busy", world.clock.now() + 9_000 * SECOND)]
    first = mailed(world, 60)
    made = correct(world, item_of(world, first), at=10)
    assert {"site", "letters"} == set(world.states(made))
    world.run(120)
    assert {"site": "verified", "letters": "closed"} == world.states(made)
    assert "closed" == world.states(first)["letters"]
    assert ["甲", "乙", *LIST] == Letters.box
    assert world.rows(made)["letters"].rendition["title"].startswith("更正：")


def test_the_ledger_names_nobody_in_the_log(world: World) -> None:
    """Entries and reports hold no recipient."""
    Letters.faults["丙"] = [Rejected("550 <丙> nobody")]
    made = mailed(world)
    shown = str(world.report(made)) + str(_entries(world))
    assert [] == [one for one in LIST if one in shown]


def test_found_again_after_its_shot_was_lost(world: World) -> None:
    """The process that sent the shot died before anybody knew: the mailing begins all the same, once."""
    world.add("site", "site")
    world.add("letters", "letters")
    world.process("prepare")
    mortal = world.mortal("release")
    made = world.plan("site,letters", at=20)
    while "releasing" != world.states(made)["letters"]:
        world.run(0.05)
    world.kill(mortal)
    world.process("release")
    world.run(60)
    assert ("closed", list(LIST)) == (world.states(made)["letters"], Letters.box)
    assert 1 == world.acts(world.rows(made)["letters"].id).count(E.ACCEPTED)


def _entries(world: World) -> list[Any]:
    with world.store.read() as connection:
        return [dict(row) for row in connection.exec_driver_sql("SELECT * FROM entry").mappings()]
