"""A dead outlet is left alone until it answers a look, by every process; and it delays no other."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from sync import breaker as rule
from sync.clock import SECOND, SystemClock
from sync.contract import (
    Accepted,
    Ambiguous,
    Channel,
    HeldBack,
    Prepared,
    Receipt,
    Rejected,
    Shot,
    TryLater,
    Unauthorised,
)
from sync.engine import admission, control, removal, upkeep, verify
from sync.engine.pace import GRACE, Known, Pace
from sync.engine.paced import Arming, PacedEgress, paced
from sync.engine.purse import Purse
from sync.engine.withdraw import Withdrawal, withdraw
from sync.model import Key, Rendition
from sync.ownership import ProcessLock
from sync.store import deliveries, journal, outlets, pace
from sync.store.session import Store
from sync.store.tables import Record, entry
from sync.store.tables import breaker as breaker_table
from tests.integration.hand import Process
from tests.integration.outside import KINDS, BareChannel, remade
from tests.integration.rows import AT
from tests.integration.test_engine_carry import LIST, Letters
from tests.integration.world import World

HOUR = 3_600


class PacedWorld(World):
    """A world whose channels are as `sync.bootstrap` makes them, and whose workers look after dead outlets."""

    def _process(self, lane: str, lanes: tuple[str, ...], lock: ProcessLock, person: str | None) -> Process:
        made = super()._process(lane, lanes, lock, person)
        view, purse = Pace.of(made.ctx), Purse(made.store, self.clock)
        arming = Arming(8)

        def channel(row: Record) -> Channel:
            egress = PacedEgress(None, row, (), view, purse, self.clock)  # type: ignore[arg-type]  # memory has none
            return paced(self._channel(row), egress, row, view, arming, self.clock)

        made.ctx = replace(made.ctx, channel=channel)
        return made

    def _sweep(self, process: Process) -> bool:
        if "prepare" in process.lanes and upkeep.is_due(process.ctx):
            upkeep.run(process.ctx)
            return True
        return super()._sweep(process)

    def _following(self) -> int | None:
        with self.store.read() as connection:
            looks = [row.half_open_at for row in connection.execute(select(breaker_table)) if row.half_open_at]
        following = super()._following()
        return min([at for at in (*looks, following) if at is not None], default=None)

    # looking

    def breaker(self, name: str) -> Any:
        with self.store.read() as connection:
            return pace.breaker_of(connection, name, live=False)

    def told(self) -> list[str]:
        """What became of breakers, in order."""
        with self.store.read() as connection:
            return list(
                connection.execute(
                    select(entry.c.act).where(entry.c.subject == "breaker").order_by(entry.c.id)
                ).scalars()
            )

    def delivery(self, release_id: str, name: str) -> Any:
        return self.rows(release_id)[name]


@pytest.fixture
def world(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PacedWorld]:
    monkeypatch.setattr(verify, "CLOSE_WATCH", 0.0)
    monkeypatch.setattr(removal, "WATCH", 0.0)
    made = PacedWorld(tmp_path / "home", database)
    try:
        yield made
        assert [] == made.failures, made.failures
    finally:
        made.close()


class Down:
    """An outlet that cannot be reached while it is `down`; `asked`: what it was asked, and when."""

    def __init__(
        self, world: PacedWorld, name: str, fails: Callable[[], Exception] = lambda: TryLater("no answer")
    ) -> None:
        self.down = True
        self.asked: list[tuple[int, str]] = []
        outer = self

        def ask(what: str) -> None:
            outer.asked.append((world.clock.now(), what))
            if outer.down:
                raise fails()

        class Channel(BareChannel):
            def login(self) -> None:
                ask("login")
                super().login()

            def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
                ask("prepare")
                return super().prepare(rendition, key, replaces)

            def probe(
                self,
                rendition: Rendition,
                key: Key,
                hint: Prepared | Accepted | None,
                replaces: Receipt | None = None,
            ) -> Prepared | Accepted | Receipt | None:
                ask("probe")
                return super().probe(rendition, key, hint, replaces)

            def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
                ask("arm")
                return super().arm(prepared, rendition, key)

            def discard(self, prepared: Prepared, key: Key) -> None:
                ask("discard")
                super().discard(prepared, key)

            def withdraw(self, receipt: Receipt, key: Key) -> None:
                ask("withdraw")
                super().withdraw(receipt, key)

        world.mischief[name] = lambda made: Channel(made._outlet, made._tools, made.outside)

    def count(self, what: str) -> int:
        return sum(one == what for _, one in self.asked)


def items(world: PacedWorld, many: int, at: float, named: str = "blog,other") -> list[str]:
    """So many releases of an item each."""
    return [
        world.plan(named, world.file(f"item-{number}.md", f"第{number}号：自12月1日起试运行。"), at=at)
        for number in range(many)
    ]


def opened(world: PacedWorld, many: int = 8) -> tuple[Down, list[str]]:
    """`blog` is dead and known to be; so many items wait for it, and for `other`, which lives."""
    world.add("blog", required=False)
    world.add("other")
    world.process()
    down = Down(world, "blog")
    made = items(world, many, at=26 * HOUR)
    world.run(2)
    assert "open" == world.breaker("blog").state
    return down, made


# ---- open


def test_after_five_failures_nobody_goes_there(world: PacedWorld) -> None:
    """What is left is put off to the look, unasked and without an attempt; nothing changes at the other outlet."""
    down, made = opened(world)
    assert rule.IN_A_ROW == down.count("prepare") == len(down.asked)
    assert ["opened"] == world.told()
    rows = [world.delivery(one, "blog") for one in made]
    until = world.breaker("blog").half_open_at
    assert {until + GRACE} == {row.due_at for row in rows}
    assert [1] * 5 + [0] * 3 == sorted((row.attempts for row in rows), reverse=True)
    assert 24 <= (until - world.clock.now()) / SECOND <= 36
    assert all("does not answer" in row.problems[0]["message"] for row in rows)
    assert {"prepared"} == {world.delivery(one, "other").state for one in made}


def test_only_a_look_goes_there_and_an_answer_to_it_brings_all_back(world: PacedWorld) -> None:
    """Never a create: `login`, ever more rarely; once it is answered, what waited is due at once, oldest first."""
    down, made = opened(world)
    before = len(down.asked)
    world.run(400)
    assert {"login"} == {what for _, what in down.asked[before:]}
    looks = [at for at, what in down.asked if what == "login"]
    gaps = [round((later - earlier) / SECOND) for earlier, later in pairwise(looks)]
    assert sorted(gaps) == gaps and 48 <= gaps[0] <= 72 and 96 <= gaps[1] <= 144
    assert 3 == len(looks) == world.breaker("blog").looks
    down.down = False
    world.run((world.breaker("blog").half_open_at - world.clock.now()) / SECOND + 0.5)
    assert ["opened", "closed"] == world.told()
    assert {"prepared"} == {world.delivery(one, "blog").state for one in made}
    came = [one.at for one in _begun(world, made)]
    assert sorted(came) == came


def _begun(world: PacedWorld, made: list[str]) -> list[Any]:
    """Each item's last try to prepare, in the order in which they were planned."""
    found = []
    with world.store.read() as connection:
        for one in made:
            acts = journal.of(connection, "delivery", world.delivery(one, "blog").id)
            found.append([act for act in acts if act.act == "prepare_begun"][-1])
    return found


def test_one_worker_looks_at_a_time(world: PacedWorld) -> None:
    """While a look waits for its answer nobody else looks; should its process die, somebody does in two minutes."""
    opened(world)
    world.run((world.breaker("blog").half_open_at - world.clock.now()) / SECOND - 0.1)
    meanwhile: list[tuple[bool, int]] = []

    def looking() -> Exception:
        due = upkeep.is_due(world.ctx)
        meanwhile.append((due, (world.breaker("blog").half_open_at - world.clock.now()) // SECOND))
        return TryLater("no answer")

    Down(world, "blog", looking)
    world.run(1)
    assert [(False, 119)] == meanwhile


def test_what_is_just_being_sent_is_read_all_the_same() -> None:
    """When it is seen is measured by that; later reads of a dead outlet wait, and so does every other duty."""
    row: Any = SimpleNamespace(
        outlet="blog", live=False, generation=3, state=pace.OPEN, half_open_at=9_000_000, why="?"
    )
    known = Known(breakers={("blog", False): row})

    def waits(duty: str, state: str, generation: int = 3) -> bool:
        delivery: Any = SimpleNamespace(outlet="blog", duty=duty, state=state)
        return admission._shut(known, {"blog": (False, generation)}, delivery, duty, 1) is not None

    assert not waits("verify", "releasing")
    assert all(waits(*one) for one in (("verify", "released"), ("verify", "accepted"), ("reconcile", "releasing")))
    assert waits("prepare", "planned") and waits("discard", "prepared")
    assert not waits("withdraw", "planned") and not waits("prepare", "planned", generation=4)


def test_a_day_without_the_outlet(world: PacedWorld) -> None:
    """Few calls meanwhile, and within a quarter of an hour of its return all is in place."""
    down, made = opened(world, many=12)
    world.run(24 * HOUR)
    assert down.count("prepare") == rule.IN_A_ROW
    assert down.count("login") < 24 * 6 + 10
    down.down = False
    world.run(15 * 60)
    assert {"prepared"} == {world.delivery(one, "blog").state for one in made}
    world.run(2 * HOUR)
    assert {"released"} == {world.release(one).state for one in made}
    assert 12 == world.published("blog") == world.published("other")


def test_a_refusal_is_an_answer(world: PacedWorld) -> None:
    """An outlet that refuses whatever it is asked is not dead: each delivery is told why."""
    world.add("blog", required=False)
    world.add("other")
    world.process()
    Down(world, "blog", lambda: Rejected("no"))
    made = items(world, 7, at=HOUR)
    world.run(5)
    assert {"failed"} == {world.delivery(one, "blog").state for one in made}
    assert (None, []) == (world.breaker("blog"), world.told())


def test_whatever_a_look_is_answered_with_closes_it(world: PacedWorld) -> None:
    """Also that the credentials are dead: what is tried then says so, and to whom."""
    down, made = opened(world)
    fails = Down(world, "blog", lambda: Unauthorised("revoked"))
    world.run(60)
    assert ["opened", "closed"] == world.told()
    assert {"failed"} == {world.delivery(one, "blog").state for one in made}
    assert fails.count("login") == 1 and down.count("login") == 0


def test_an_outlet_that_works_costs_nothing(world: PacedWorld) -> None:
    """Of one that never fails nothing is written."""
    world.add("blog")
    world.process()
    items(world, 6, at=30, named="blog")
    world.run(60)
    assert (6, None) == (world.published("blog"), world.breaker("blog"))


def test_doubt_about_a_dead_outlet_waits_for_the_look(world: PacedWorld) -> None:
    """Nobody probes it meanwhile; afterwards the copy that was made is found, and none is made anew."""
    world.add("blog", required=False).faults.extend([None, "unheard"])
    world.add("other")
    world.process()
    made = world.plan("blog,other", at=20)
    world.run_to(made, before=0.5)
    down = Down(world, "blog")
    world.run(1)
    assert "releasing" == world.delivery(made, "blog").state
    world.run(30)
    probes = down.count("probe")
    items(world, 6, at=HOUR, named="blog,other")
    world.run(2)
    assert "open" == world.breaker("blog").state
    probes = down.count("probe")
    world.run(20)
    assert probes == down.count("probe")
    down.down = False
    world.run(200)
    assert "verified" == world.delivery(made, "blog").state
    assert 1 == world.published("blog")


def test_what_one_delivery_was_told_the_others_heed(world: PacedWorld) -> None:
    """429 until a time: nothing else of the outlet is tried before it, nor counted as tried; then all goes on."""
    world.add("blog", required=False)
    world.add("other")
    world.process()
    until = world.clock.now() + 60 * SECOND
    down = Down(world, "blog", lambda: TryLater("429: too many", until))
    made = items(world, 6, at=HOUR)
    world.run(50)
    assert 1 == down.count("prepare")
    rows = [world.delivery(one, "blog") for one in made]
    assert ({until}, [0] * 5 + [1]) == ({row.due_at for row in rows}, sorted(row.attempts for row in rows))
    assert all("429: too many" in row.problems[0]["message"] for row in rows)
    assert {"prepared"} == {world.delivery(one, "other").state for one in made}
    down.down = False
    world.run(11)
    assert {"prepared"} == {world.delivery(one, "blog").state for one in made}
    assert [] == world.told()


def test_a_limit_of_our_own_is_no_attempt(world: PacedWorld) -> None:
    """A budget that is used up, a dozen times and more: never given up, tried again at the very instant it names."""
    world.add("blog")
    world.process()
    until = [world.clock.now() + 60 * SECOND]
    down = Down(world, "blog", lambda: HeldBack("the budget is used up", until[0]))
    made = world.plan("blog", at=2 * HOUR)
    for _ in range(14):
        world.run((until[0] - world.clock.now()) / SECOND - 1)
        row = world.delivery(made, "blog")
        assert ("rendered", 0, until[0]) == (row.state, row.attempts, row.due_at)
        until[0] += 60 * SECOND
        world.run(2)
    assert (15, None) == (down.count("prepare"), world.breaker("blog"))
    down.down = False
    world.run(60)
    assert "prepared" == world.delivery(made, "blog").state


# ---- releases


def test_a_shot_that_is_armed_is_never_skipped(world: PacedWorld) -> None:
    """In place before the outlet died and was known to be dead; back at the instant: it leaves with the others."""
    world.add("blog")
    world.add("other")
    world.process()
    made = world.plan("blog,other", at=60)
    world.run(5)
    down = Down(world, "blog")
    items(world, 8, at=HOUR)
    world.run_to(made, before=31)
    assert "open" == world.breaker("blog").state
    down.down = False
    world.run_to(made, before=25)
    assert ["opened", "closed"] == world.told()  # arming is a look, too
    world.run(30)
    row = world.delivery(made, "blog")
    assert ("verified", True) == (row.state, row.sent_at - world.release(made).release_at < SECOND // 10)


class MailServer:
    """Mailings to a server that goes down after so many rounds."""

    def __init__(self, world: PacedWorld, monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
        self.up, self.asked = rounds, Counter[str]()
        for name, value in (("box", []), ("faults", {}), ("dying", staticmethod(lambda recipient: None))):
            monkeypatch.setattr(Letters, name, value)
        monkeypatch.setitem(KINDS, "letters", Letters)
        outer = self

        class Post(Letters):
            def login(self) -> None:
                outer.ask("login")

            def carry(self, *given: Any, stop: bool) -> Accepted | Receipt:
                if not stop:  # what was stopped opens no connection
                    outer.ask("carry")
                return super().carry(*given, stop=stop)

        world.mischief["letters"] = remade(Post)

    def ask(self, what: str) -> None:
        self.asked[what] += 1
        if self.up < 1:
            raise TryLater("no answer")
        self.up -= what == "carry"


def test_a_mail_server_that_is_dead_is_left_alone(world: PacedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """After five rounds that failed no mailing is tried any more, until a look is answered; then each goes on where
    it was, and nobody has a letter twice. What a person stops meanwhile ends at once, though nobody answers."""
    post = MailServer(world, monkeypatch, rounds=2)
    world.add("site", "site")
    world.add("letters", "letters", required=False)
    world.process()
    made = items(world, 7, at=20, named="site,letters")
    world.run(40)
    assert ("open", 2 + rule.IN_A_ROW) == (world.breaker("letters").state, post.asked["carry"])
    begun = list(Letters.box)
    assert list(LIST[:4]) == begun  # one mailing is in the midst, the others have not begun
    unread = next(one for one in made if world.delivery(one, "letters").accepted is None)
    world.run(300)
    assert (2 + rule.IN_A_ROW, begun) == (post.asked["carry"], Letters.box) and post.asked["login"] > 1
    rows = [world.delivery(one, "letters") for one in made]
    assert {world.breaker("letters").half_open_at + GRACE} == {row.due_at for row in rows}
    assert all("does not answer" in row.problems[0]["message"] for row in rows)

    withdraw(world.ctx, Withdrawal(world.rows(unread)["letters"].item, "发布有误"))
    world.run(1)
    assert ("cancelled", 2 + rule.IN_A_ROW) == (world.delivery(unread, "letters").state, post.asked["carry"])
    assert "open" == world.breaker("letters").state  # that nobody was called is no sign of life

    post.up = 2**31
    world.run((world.breaker("letters").half_open_at - world.clock.now()) / SECOND + 60)
    assert ["opened", "closed"] == world.told()
    assert {"closed"} == {world.delivery(one, "letters").state for one in made if one != unread}
    assert dict.fromkeys(LIST, len(made) - 1) == Counter(Letters.box)


def test_mailings_beside_the_one_that_finds_it_dead_call_nobody(
    world: PacedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their tasks had begun a moment before it was known; they are put off to the look with all others."""
    post = MailServer(world, monkeypatch, rounds=1)
    world.add("site", "site")
    world.add("letters", "letters", required=False)
    world.process()
    made = items(world, 7, at=20, named="site,letters")
    monkeypatch.setattr(admission, "_shut", lambda *known: None)
    world.run(22)
    assert ("open", 1 + rule.IN_A_ROW) == (world.breaker("letters").state, post.asked["carry"])
    due = [world.delivery(one, "letters").due_at for one in made]
    assert 2 == due.count(world.breaker("letters").half_open_at + GRACE)


def test_a_doubt_about_one_recipient_says_nothing_of_the_server(
    world: PacedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six mailings that each end in doubt about one: the server took all the other letters."""
    MailServer(world, monkeypatch, rounds=2**31)
    Letters.faults["丙"] = [Ambiguous("no answer after the last byte")] * 6
    world.add("site", "site")
    world.add("letters", "letters", required=False)
    world.process()
    made = items(world, 6, at=20, named="site,letters")
    world.run(60)
    assert {"unresolved"} == {world.delivery(one, "letters").state for one in made}
    assert None is world.breaker("letters")


def test_a_required_outlet_that_is_dead_is_not_ready(world: PacedWorld) -> None:
    """Nothing goes out anywhere; at the end of its late limit the release is held, and says for whom it waits."""
    world.add("blog")
    world.add("other")
    world.process()
    Down(world, "blog")
    made = items(world, 6, at=120)
    world.run(1_100)
    assert {"held"} == {world.release(one).state for one in made}
    assert all("blog" in world.release(one).why for one in made)
    assert (0, 0) == (world.published("blog"), world.published("other"))


def test_what_has_to_go_is_tried_though_it_is_dead(world: PacedWorld) -> None:
    """A withdrawal is never put off to a look: it may be the one call that gets through."""
    world.add("blog")
    world.add("other")
    world.process()
    made = world.plan("blog,other", at=20)
    world.run(40)
    down = Down(world, "blog")
    items(world, 6, at=HOUR)
    world.run(2)
    assert "open" == world.breaker("blog").state
    item = world.rows(made)["blog"].item
    gone = withdraw(world.ctx, Withdrawal(item, "发布有误"))
    world.run(3)
    assert down.count("withdraw") >= 1
    assert "withdrawn" == world.rows(gone)["other"].state
    down.down = False
    world.run(8)
    assert "withdrawn" == world.rows(gone)["blog"].state
    assert ["opened", "closed"] == world.told()


def test_an_outlet_that_was_changed_is_another_one(world: PacedWorld) -> None:
    """A person has mended its address: what failed before says nothing of it."""
    down, made = opened(world)
    with world.store.write() as connection:
        row = outlets.get(connection, "blog")
        outlets.change(connection, row, "changed", at=world.clock.now(), actor="me", settings={"url": "new"})
    down.down, asked = False, len(down.asked)
    world.run(1)
    new = world.plan("blog,other", world.file("new.md", "新的一条。"), at=HOUR)
    world.run(1)
    assert "prepared" == world.delivery(new, "blog").state
    world.run(40)
    assert ["opened", "closed"] == world.told()
    assert {"prepared"} == {world.delivery(one, "blog").state for one in made}
    assert "prepare" == down.asked[asked][1]  # nobody looked first


def test_a_dead_outlet_that_is_retired_is_looked_at_no_more(world: PacedWorld) -> None:
    down, made = opened(world)
    for one in made:
        control.cancel(world.ctx, one)
    world.run(1)
    control.retire(world.ctx, "blog")
    world.run(HOUR)
    assert (0, ["opened", "closed"]) == (down.count("login"), world.told())


# ---- its rows, on both databases


class Talk:
    """Two processes that are told what becomes of calls at the outlet `blog`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rung: list[str] = []
        self.processes = [Pace(store, SystemClock(), self.rung.append, f"process-{one}") for one in range(2)]

    def row(self) -> Record:
        with self.store.read() as connection:
            return outlets.get(connection, "blog")

    def breaker(self) -> Any:
        with self.store.read() as connection:
            return pace.breaker_of(connection, "blog", live=bool(self.row().live))

    def fail(self, times: int, error: Exception | None = None) -> None:
        for number in range(times):
            self.processes[number % 2].heard(self.row(), error or Ambiguous("no answer"))

    def entries(self) -> list[Record]:
        with self.store.read() as connection:
            return journal.of(connection, "breaker", "blog")


@pytest.fixture
def talk(store: Store) -> Talk:
    return Talk(store)


def test_failures_of_all_processes_count_together(talk: Talk) -> None:
    """The fifth opens it, with one entry that says why; what fails beside it changes nothing more."""
    talk.fail(4)
    assert "closed" == talk.breaker().state
    talk.fail(3)
    row = talk.breaker()
    assert ("open", "no answer", 7) == (row.state, row.why, row.failures)
    assert [("opened", "open", "no answer")] == [(one.act, one.state, one.detail["why"]) for one in talk.entries()]
    assert talk.entries()[0].id == row.entry_id
    for one in talk.processes:
        one.forget()
        assert one.known().open(talk.row()) is not None
    talk.processes[0].heard(talk.row(), None)
    assert ("closed", 0, None) == (talk.breaker().state, talk.breaker().failures, talk.breaker().half_open_at)
    assert ["opened", "closed"] == [one.act for one in talk.entries()]
    assert ["prepare"] == talk.rung


def test_processes_that_fail_at_once_open_it_once(talk: Talk) -> None:
    at_once = threading.Barrier(12)

    def fail(number: int) -> None:
        at_once.wait(20)
        talk.processes[number % 2].heard(talk.row(), TryLater("no answer"))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(fail, range(12)))
    assert (["opened"], 12) == ([one.act for one in talk.entries()], talk.breaker().failures)


def test_a_reader_or_a_persons_look_does_not_count(talk: Talk) -> None:
    """A public page may be somewhere else, and is read twenty times a second; a look says for itself what it found."""
    for _ in range(9):
        talk.processes[0].heard(talk.row(), TryLater("no answer"), reading=True)
        talk.processes[0].heard(talk.row(), TryLater("no answer"), counts=False)
        talk.processes[0].heard(talk.row(), HeldBack("our own limit"))
    assert talk.breaker() is None


def test_a_look_that_fails_makes_the_next_one_later(talk: Talk) -> None:
    talk.fail(5)
    first = talk.breaker().half_open_at
    talk.processes[0].looked(talk.row(), TryLater("still no answer"))
    second = talk.breaker()
    assert (1, "still no answer", True) == (second.looks, second.why, second.half_open_at > first)
    talk.processes[1].looked(talk.row(), HeldBack("it asked for patience", second.half_open_at + 99 * SECOND))
    assert (1, True) == (talk.breaker().looks, talk.breaker().half_open_at > second.half_open_at)
    talk.processes[1].looked(talk.row(), ZeroDivisionError("a bug"))
    assert (2, "open") == (talk.breaker().looks, talk.breaker().state)
    talk.processes[1].looked(talk.row(), TryLater("429", second.half_open_at))  # whoever says when is there
    assert "closed" == talk.breaker().state


def test_what_waited_for_it_is_due_when_it_closes(talk: Talk, store: Store) -> None:
    """Only what was put off to its look: other deliveries of the outlet keep their own time."""
    talk.fail(5)
    with store.write() as connection:
        row = deliveries.get(connection, "delivery-1")
        deliveries.note(connection, row, due_at=talk.breaker().half_open_at + GRACE)
    talk.processes[0].looked(talk.row(), None)
    with store.read() as connection:
        row = deliveries.get(connection, "delivery-1")
        assert row.due_at <= store.now(connection)
        later = store.now(connection) + HOUR * SECOND
    with store.write() as connection:
        deliveries.note(connection, row, due_at=later)
    talk.fail(5)
    talk.processes[0].looked(talk.row(), None)
    with store.read() as connection:
        assert later == deliveries.get(connection, "delivery-1").due_at


def test_a_change_of_the_outlet_begins_anew(talk: Talk, store: Store) -> None:
    talk.fail(5)
    old = talk.row()
    with store.write() as connection:
        outlets.change(connection, old, "changed", at=AT, actor="test", settings={"url": "new"})
    for one in talk.processes:
        one.forget()
        assert one.known().open(talk.row()) is None
    talk.fail(1)
    talk.processes[0].heard(old, TryLater("of the old one"))
    assert ("closed", 1) == (talk.breaker().state, talk.breaker().failures)
    assert ["opened", "closed"] == [one.act for one in talk.entries()]


def test_the_database_wants_the_entry(talk: Talk, store: Store) -> None:
    """Whoever writes past us neither opens nor closes one in silence, nor makes it another outlet's, nor removes it."""
    refused = [
        "INSERT INTO breaker (outlet, live, generation, state, since, failures, recent, looks, why) "
        "VALUES ('blog', false, 1, 'open', 1, 5, '[]', 0, '')"
    ]
    for statement in refused:
        with pytest.raises(DBAPIError), store.write() as connection:
            connection.exec_driver_sql(statement)
    talk.fail(5)
    for statement in (
        "UPDATE breaker SET state = 'closed'",
        "UPDATE breaker SET entry_id = NULL",
        "UPDATE breaker SET live = true",
        "DELETE FROM breaker",
    ):
        with pytest.raises(DBAPIError), store.write() as connection:
            connection.exec_driver_sql(statement)
    assert "open" == talk.breaker().state
