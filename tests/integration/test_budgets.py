"""Budgets, and what outlets ask for: kept by all processes together, and never at the cost of a release."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select

from sync.budget import DAY, china_midnight
from sync.clock import SECOND, SetClock
from sync.contract import Accepted, Budget, HeldBack, Receipt, Response, Shot, TryLater, Window
from sync.engine.pace import Pace
from sync.engine.paced import PacedEgress
from sync.engine.purse import LEASE, Purse
from sync.store import budgets, outlets
from sync.store.budgets import Account
from sync.store.session import Store
from sync.store.tables import Record, outlet_budget, outlet_hold
from tests.integration.rows import AT, OUTLET, end, line, spawn

URL = "https://outlet.example"
UPLOADS = Budget("uploads", 3, 60, of="POST /media")
CALLS = Budget("calls", 10, 60, reserve=4)
LARGE = Budget("many calls", 1_000, 600)
DAILY = Budget("calls a day", 2, 86_400, china_day=True)
READS = Budget("reads", 2, 60, of="GET /page", reads=True)
BLOG = Account("blog", False)

# Takes as many calls as it is granted, each a line; then says that it has ended.
SPENDER = """
import sys
from sync.clock import SystemClock
from sync.contract import Budget, HeldBack
from sync.engine.purse import Purse
from sync.store.budgets import Account
from sync.store.session import Store

url, calls, reserve, releasing = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "releasing"
purse = Purse(Store(url), SystemClock())
budget = Budget("calls", calls, 3_600, reserve=reserve)
print("ready", flush=True)
try:
    while True:
        purse.spend(Account("blog", False), [budget], releasing=releasing, taken={})
        print("call", flush=True)
except HeldBack:
    print("ended", flush=True)
"""


@dataclass
class Answered:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"

    def json(self) -> object:
        return {}


class Nothing(Shot):
    """A shot that goes nowhere."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fired, self.closed, self.fails = False, False, fails

    def _fire(self) -> None:
        self.fired = True

    def settle(self) -> Receipt | Accepted:
        if self.fails is not None:
            raise self.fails
        return Receipt("1", URL, 1)

    def close(self) -> None:
        self.closed = True


class Line:
    """An egress that records what leaves, and fails as it is told."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.fails: Exception | None = None
        self.shots: list[Nothing] = []

    def call(self, method: str, url: str, **more: Any) -> Response:
        self._leave(f"{method} {url}")
        return Answered()

    def read(self, url: str) -> Response:
        self._leave(f"READ {url}")
        return Answered()

    def shot(self, method: str, url: str, **more: Any) -> Shot:
        self._leave(f"SHOT {url}")
        self.shots.append(Nothing())
        return self.shots[-1]

    def _leave(self, what: str) -> None:
        if self.fails is not None:
            raise self.fails
        self.left.append(what)


class StoreInTime(Store):
    """The database with the test's clock."""

    def __init__(self, url: str, clock: SetClock) -> None:
        super().__init__(url)
        self._clock = clock

    def now(self, connection: object) -> int:
        return self._clock.now()


class OneProcess:
    """What one process has, in a time of the test's own."""

    def __init__(self, store: Store, clock: SetClock) -> None:
        self.store, self.clock = store, clock
        self.pace = Pace(store, clock, lambda lane: None, "test")
        self.purse = Purse(store, clock)
        self.line = Line()
        with store.read() as connection:
            self.outlet: Record = outlets.get(connection, "blog")

    def egress(self, *granted: Budget) -> PacedEgress:
        """As of one task."""
        return PacedEgress(self.line, self.outlet, granted, self.pace, self.purse, self.clock)


@pytest.fixture
def clock() -> SetClock:
    return SetClock(AT)


@pytest.fixture
def process(store: Store, clock: SetClock) -> Iterator[Callable[[], OneProcess]]:
    made: list[Store] = []

    def make() -> OneProcess:
        made.append(StoreInTime(store.url, clock))
        return OneProcess(made[-1], clock)

    yield make
    for one in made:
        one.close()


def call(egress: PacedEgress, path: str = "/posts", method: str = "GET") -> None:
    egress.call(method, URL + path, creates=False)


def upload(egress: PacedEgress) -> None:
    egress.call("POST", URL + "/media?of=blog", creates=False)


def shot(egress: PacedEgress, path: str = "/posts") -> Shot:
    return egress.shot("POST", URL + path, headers={}, body=b"", settle=lambda answer: Receipt("1", URL, 1))


def window(opens: float = 0.0) -> Window:
    return Window(opens, opens + 2)


# ---- budgets


def test_a_call_beyond_the_budget_does_not_leave(process: Callable[[], OneProcess], clock: SetClock) -> None:
    """Whichever process makes it; the error names the budget, and when the oldest call falls out of the window."""
    one, other = process(), process()
    for each in (one, other, one):
        upload(each.egress(UPLOADS))
        clock.advance(5)
    with pytest.raises(HeldBack, match="uploads") as told:
        upload(other.egress(UPLOADS))
    assert AT + 60 * SECOND == told.value.not_before
    assert [2, 1] == [len(each.line.left) for each in (one, other)]
    clock.advance(45)
    upload(other.egress(UPLOADS))
    with pytest.raises(HeldBack):
        upload(one.egress(UPLOADS))


def test_a_budget_counts_what_it_names(process: Callable[[], OneProcess]) -> None:
    """By method and path; another path, another method and an anonymous read are free of it."""
    egress = process().egress(UPLOADS)
    for _ in range(3):
        upload(egress)
    call(egress, "/media")
    call(egress, "/posts", "POST")
    egress.read(URL + "/media")
    with pytest.raises(HeldBack):
        upload(egress)


def test_anonymous_reads_count_where_the_budget_says_so(process: Callable[[], OneProcess]) -> None:
    egress = process().egress(READS, CALLS)
    egress.read(URL + "/page/1")
    egress.read(URL + "/other")
    egress.read(URL + "/page/2")
    with pytest.raises(HeldBack, match="reads"):
        egress.read(URL + "/page/3")
    for _ in range(CALLS.calls):
        egress.read(URL + "/other")
    call(egress)


def test_a_day_ends_at_midnight_in_china(process: Callable[[], OneProcess], clock: SetClock) -> None:
    midnight = china_midnight(AT) + DAY
    clock.advance((midnight - 30 * SECOND - AT) / SECOND)
    one = process()
    for _ in range(2):
        call(one.egress(DAILY))
    with pytest.raises(HeldBack, match="a day") as told:
        call(one.egress(DAILY))
    assert midnight == told.value.not_before
    clock.advance(30)
    call(one.egress(DAILY))


def test_nothing_is_spent_of_one_budget_when_another_is_used_up(process: Callable[[], OneProcess]) -> None:
    one = process()
    for _ in range(3):
        upload(one.egress(UPLOADS, CALLS))
    for _ in range(5):
        with pytest.raises(HeldBack, match="uploads"):
            upload(one.egress(UPLOADS, CALLS))
    for _ in range(3):
        call(one.egress(CALLS))
    with pytest.raises(HeldBack, match="calls"):
        call(one.egress(CALLS))


def test_looks_never_starve_a_release(process: Callable[[], OneProcess]) -> None:
    """They use up all but what is kept for releases; shots are armed from that, and what arming asks as well."""
    one = process()
    for _ in range(6):
        call(one.egress(CALLS))
    with pytest.raises(HeldBack, match="releases only"):
        call(one.egress(CALLS))
    arming = one.egress(CALLS)
    arming.releasing = True
    call(arming)
    for _ in range(3):
        shot(arming)
    with pytest.raises(HeldBack):
        shot(arming)


def test_a_shot_that_is_never_sent_gives_its_place_back(process: Callable[[], OneProcess], clock: SetClock) -> None:
    """Closed, or refused outside its window; one that was sent has used it."""
    budget = Budget("posts", 2, 600)
    one = process()
    arming = one.egress(budget)
    arming.releasing = True
    first, second = shot(arming), shot(arming)
    with pytest.raises(HeldBack):
        shot(arming)
    first.close()
    with pytest.raises(TryLater):
        second.send(window(clock.boottime() + 9), clock.boottime)
    second.close()
    second.close()  # once is enough
    third, fourth = shot(arming), shot(arming)
    third.send(window(clock.boottime()), clock.boottime)
    third.settle()
    third.close()
    fourth.close()
    shot(arming)
    with pytest.raises(HeldBack):
        shot(arming)
    assert [False, False, True, False, False] == [each.fired for each in one.line.shots]


def test_a_shot_that_cannot_be_armed_gives_its_place_back(process: Callable[[], OneProcess]) -> None:
    one = process()
    arming = one.egress(Budget("posts", 1, 600))
    one.line.fails = TryLater("no connection")
    for _ in range(3):
        with pytest.raises(TryLater, match="no connection"):
            shot(arming)
    one.line.fails = None
    shot(arming)


def test_what_no_address_tells_apart_is_spent_by_its_word(process: Callable[[], OneProcess]) -> None:
    """And counts as no call of the others."""
    budget = Budget("forced renewals", 1, 600, of="force")
    one = process()
    egress = one.egress(budget, CALLS)
    egress.spend("force")
    with pytest.raises(HeldBack, match="forced renewals"):
        egress.spend("force")
    egress.spend("something else")
    for _ in range(6):
        call(egress)


def test_who_needs_four_is_not_called_for_one(process: Callable[[], OneProcess], clock: SetClock) -> None:
    """A task that came to its third upload and had to stop comes back once three are free: it begins anew."""
    one = process()
    upload(one.egress(UPLOADS))
    clock.advance(10)
    task = one.egress(UPLOADS)
    upload(task)
    upload(task)
    with pytest.raises(HeldBack) as told:
        upload(task)
    assert AT + 70 * SECOND == told.value.not_before


def test_a_large_budget_is_taken_a_few_at_a_time(process: Callable[[], OneProcess], clock: SetClock) -> None:
    """One transaction for ten calls; what a lease has left is given back when the process takes again."""
    one = process()
    asked = 0
    whole = one.store.beside

    def beside() -> Any:
        nonlocal asked
        asked += 1
        return whole()

    one.store.beside = beside  # type: ignore[method-assign]
    for _ in range(10):
        call(one.egress(LARGE))
    assert 1 == asked
    call(one.egress(LARGE))
    clock.advance(LEASE)
    call(one.egress(LARGE))
    assert 3 == asked
    ledger = _ledger(one.store, LARGE)
    assert 10 + 1 + 10 == sum(stamp.ordinary for stamp in ledger.spent)
    assert 1_000 - 21 == ledger.room(LARGE, clock.now(), releasing=False)


def test_a_lease_counts_as_made_when_it_ends(process: Callable[[], OneProcess], clock: SetClock) -> None:
    """The last of its calls may leave then; and a release takes its own place, not one of a lease."""
    one, budget = process(), Budget("calls a minute", 1_000, 64)
    call(one.egress(budget))
    arming = one.egress(budget)
    arming.releasing = True
    shot(arming)
    assert 1 == sum(stamp.releasing for stamp in _ledger(one.store, budget).spent)
    clock.advance(64 + 64 / 60 - 0.001)
    assert _ledger(one.store, budget).room(budget, clock.now(), releasing=False) < 1_000
    clock.advance(2)
    assert 1_000 == _ledger(one.store, budget).room(budget, clock.now(), releasing=False)


def _ledger(store: Store, budget: Budget) -> Any:
    with store.read() as connection:
        return budgets.read(connection, BLOG, [budget.name])[budget.name]


def test_a_sandbox_spends_nothing_of_the_live_account(process: Callable[[], OneProcess], store: Store) -> None:
    one = process()
    for _ in range(3):
        upload(one.egress(UPLOADS))
    with store.write() as connection:
        outlets.change(connection, one.outlet, "changed", at=AT, actor="test", live=True)
    live = process()
    assert live.outlet.live
    for _ in range(3):
        upload(live.egress(UPLOADS))


@pytest.mark.parametrize(("calls", "reserve", "most"), [(50, 0, 50), (50, 20, 30), (400, 40, 360)])
def test_processes_together_never_take_more(store: Store, calls: int, reserve: int, most: int) -> None:
    """Three that take as fast as they can, and two threads' worth in this one: exactly what is granted, or, where
    they take a few at a time, at most that and nearly that."""
    children = [spawn(SPENDER, store.url, calls, reserve, "ordinary") for _ in range(3)]
    assert ["ready"] * 3 == [line(one) for one in children]
    taken = [list(iter(lambda one=one: line(one), "ended")) for one in children]  # type: ignore[misc]
    assert [0] * 3 == [end(one) for one in children]
    total = sum(map(len, taken))
    assert total == most if calls < 200 else most - 3 * 10 <= total <= most
    releasing = spawn(SPENDER, store.url, calls, reserve, "releasing")
    assert "ready" == line(releasing)
    assert reserve == len(list(iter(lambda: line(releasing), "ended")))
    assert 0 == end(releasing)


def test_threads_of_one_process_share_it(process: Callable[[], OneProcess]) -> None:
    """Sixteen at once: as many leave as are granted."""
    one, budget, at_once = process(), Budget("calls", 20, 60), threading.Barrier(16)

    def work(number: int) -> int:
        egress, made = one.egress(budget), 0
        at_once.wait(20)
        for _ in range(5):
            try:
                call(egress)
            except HeldBack:
                continue
            made += 1
        return made

    with ThreadPoolExecutor(16) as pool:
        assert 20 == sum(pool.map(work, range(16)))
    assert 20 == len(one.line.left)


def test_counting_does_not_wait_for_another_outlets_count(server_store: Store) -> None:
    """Nor for a writer of deliveries: with PostgreSQL each ledger has a lock of its own."""
    with server_store.write() as connection:
        outlets.add(connection, {**OUTLET, "name": "other"}, at=AT, actor="test")
    purse = Purse(server_store, SetClock(AT))
    budget = Budget("calls", 5, 60)
    purse.spend(BLOG, [budget], taken={})
    with server_store.write(), server_store.beside() as locked:
        locked.execute(select(outlet_budget).where(outlet_budget.c.outlet == "blog").with_for_update()).all()
        assert 1 == len(purse.spend(Account("other", False), [budget], taken={}))


# ---- what outlets ask for


def test_all_processes_wait_when_an_outlet_asks_for_it(process: Callable[[], OneProcess], clock: SetClock) -> None:
    """Not only the delivery that was told."""
    one, other = process(), process()
    until = AT + 300 * SECOND
    one.pace.heard(one.outlet, TryLater("429: too many", until))
    for each in (one, other):
        with pytest.raises(HeldBack, match="429: too many") as told:
            call(each.egress())
        assert until == told.value.not_before
    other.egress().read(URL)  # a reader has an allowance of their own
    clock.advance(300)
    call(other.egress())


def test_a_wait_may_concern_some_calls_only(
    process: Callable[[], OneProcess], caplog: pytest.LogCaptureFixture
) -> None:
    """Or one delivery alone, of which the others hear nothing."""
    one, other = process(), process()
    one.pace.heard(one.outlet, TryLater("the day's calls are used up", AT + 300 * SECOND, of="POST /posts"))
    one.pace.heard(one.outlet, TryLater("its picture is not known yet", AT + 300 * SECOND, of=None))
    call(other.egress(), "/posts", "GET")
    with pytest.raises(HeldBack, match="used up"):
        call(other.egress(), "/posts", "POST")
    assert [] == caplog.records


def test_a_reader_who_is_asked_to_wait_holds_up_readers_only(process: Callable[[], OneProcess]) -> None:
    one, other = process(), process()
    one.pace.heard(one.outlet, TryLater("429 to an anonymous reader", AT + 300 * SECOND), reading=True)
    call(other.egress())
    with pytest.raises(HeldBack, match="anonymous"):
        other.egress().read(URL)


def test_the_longest_wait_counts_and_an_absurd_one_is_a_day(process: Callable[[], OneProcess], store: Store) -> None:
    one = process()
    for seconds in (60, 600, 30):
        one.pace.heard(one.outlet, TryLater("wait", AT + seconds * SECOND))
    with pytest.raises(HeldBack) as told:
        call(one.egress())
    assert AT + 600 * SECOND == told.value.not_before
    one.pace.heard(one.outlet, TryLater("wait", AT + 1_000_000 * SECOND))
    with store.read() as connection:
        assert [AT + 25 * 3_600 * SECOND] == list(connection.execute(select(outlet_hold.c.until)).scalars())


def test_a_wait_that_ends_before_the_instant_keeps_no_shot_from_being_armed(
    process: Callable[[], OneProcess],
) -> None:
    """One that ends after it does; and what was armed before goes: the outlet decides."""
    one = process()
    early = one.egress()
    early.releasing, early.release_at = True, AT + 30 * SECOND
    armed = shot(early)
    one.pace.heard(one.outlet, TryLater("429", AT + 29 * SECOND))
    shot(early)
    one.pace.heard(one.outlet, TryLater("429", AT + 31 * SECOND))
    with pytest.raises(HeldBack):
        shot(early)
    armed.send(window(), lambda: 1.0)
    assert one.line.shots[0].fired


def test_our_own_limits_are_nothing_that_an_outlet_asked_for(process: Callable[[], OneProcess], store: Store) -> None:
    one = process()
    one.pace.heard(one.outlet, HeldBack("a budget is used up", AT + 600 * SECOND))
    with store.read() as connection:
        assert [] == connection.execute(select(outlet_hold)).all()
