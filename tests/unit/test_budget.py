"""The arithmetic of budgets: never more than the outlet grants, and the releases' part is nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.budget import DAY, STEPS, Ledger, china_midnight, window
from sync.clock import SECOND, instant
from sync.contract import Budget

NOW = instant(datetime(2026, 11, 30, 12, 0, tzinfo=UTC))
SMALL = Budget("uploads", 3, 60)
DAILY = Budget("calls a day", 3, 86_400, china_day=True)
LARGE = Budget("calls", 300, 300, reserve=40)


def spent(budget: Budget, *instants: int, releasing: bool = False) -> Ledger:
    """One call at each."""
    ledger = Ledger()
    for at in instants:
        ledger, _ = ledger.take(budget, at, 1, at=at, releasing=releasing)
    return ledger


def test_a_window_rolls() -> None:
    """A call counts until its very minute is over, and not a microsecond longer."""
    ledger = spent(SMALL, NOW, NOW + 10 * SECOND, NOW + 20 * SECOND)
    last = NOW + 60 * SECOND
    assert 0 == ledger.room(SMALL, last - 1, releasing=False)
    assert 1 == ledger.room(SMALL, last, releasing=False)
    assert last == ledger.opens(SMALL, NOW + 21 * SECOND, 1, releasing=False)
    assert NOW + 80 * SECOND == ledger.opens(SMALL, NOW + 21 * SECOND, 3, releasing=False)


@pytest.mark.parametrize(
    ("told", "midnight"),
    [
        (datetime(2026, 11, 30, 15, 59, 59, tzinfo=UTC), datetime(2026, 11, 29, 16, tzinfo=UTC)),
        (datetime(2026, 11, 30, 16, 0, 0, tzinfo=UTC), datetime(2026, 11, 30, 16, tzinfo=UTC)),
    ],
)
def test_a_day_in_china_begins_at_sixteen_hours_utc(told: datetime, midnight: datetime) -> None:
    assert instant(midnight) == china_midnight(instant(told))


def test_a_day_begins_anew_in_china() -> None:
    """All of a day's calls count until midnight there, whenever they were made, and none after it."""
    midnight = china_midnight(NOW) + DAY
    ledger = spent(DAILY, midnight - 5 * SECOND, midnight - 4 * SECOND, midnight - 3 * SECOND)
    assert 0 == ledger.room(DAILY, midnight - 1, releasing=False)
    assert midnight == ledger.opens(DAILY, midnight - SECOND, 1, releasing=False)
    assert 3 == ledger.room(DAILY, midnight, releasing=False)


def test_what_is_kept_for_releases_is_nobody_elses() -> None:
    """Looks use up all but the reserve; releases use the reserve first, and then what looks have left."""
    budget = Budget("calls", 10, 60, reserve=4)
    looked = spent(budget, *range(NOW, NOW + 6))
    assert (0, 4) == (looked.room(budget, NOW + 9, releasing=False), looked.room(budget, NOW + 9, releasing=True))
    released = spent(budget, *range(NOW, NOW + 4), releasing=True)
    assert (6, 6) == (released.room(budget, NOW + 9, releasing=False), released.room(budget, NOW + 9, releasing=True))
    more = spent(budget, *range(NOW, NOW + 7), releasing=True)
    assert 3 == more.room(budget, NOW + 9, releasing=False)


def test_who_wants_more_waits_for_more() -> None:
    """Four pictures are not begun for one free place; more than the budget grants at all is asked for in vain."""
    budget = Budget("uploads", 4, 60, reserve=1)
    ledger = spent(budget, NOW, NOW + SECOND, NOW + 2 * SECOND)
    assert NOW + 61 * SECOND == ledger.opens(budget, NOW + 3 * SECOND, 2, releasing=False)
    assert NOW + 62 * SECOND == ledger.opens(budget, NOW + 3 * SECOND, 9, releasing=False)


def test_those_who_wait_do_not_come_back_at_one_instant() -> None:
    """Each is told the next instant that nobody was told before, as the calls fall out of the window."""
    ledger, told = spent(SMALL, NOW, NOW + SECOND, NOW + 2 * SECOND), []
    for _ in range(4):
        at = ledger.opens(SMALL, NOW + 3 * SECOND, 1, releasing=False)
        ledger = ledger.promise(at, 1)
        told.append((at - NOW) // SECOND)
    assert [60, 61, 62, 120] == told
    assert NOW + 60 * SECOND == ledger.opens(SMALL, NOW + 3 * SECOND, 1, releasing=True)


def test_what_was_never_made_is_given_back() -> None:
    ledger = spent(SMALL, NOW, NOW + 1)
    ledger, stamp = ledger.take(SMALL, NOW + 2, 1, at=NOW + 2, releasing=True)
    assert 0 == ledger.room(SMALL, NOW + 3, releasing=True)
    assert 1 == ledger.give_back(stamp, 1, releasing=True).room(SMALL, NOW + 3, releasing=True)
    assert 0 == ledger.give_back(NOW + 9, 1, releasing=True).room(SMALL, NOW + 3, releasing=True)


def test_a_ledger_is_kept_as_json() -> None:
    ledger = spent(SMALL, NOW, NOW + 1).promise(NOW + 9, 2)
    assert ledger == Ledger.read(ledger.shown())
    assert Ledger() == Ledger.read({})


def test_a_large_budget_stays_short() -> None:
    """However many calls: a window has no more stamps than steps, and what is over is forgotten."""
    ledger = spent(LARGE, *range(NOW, NOW + 900 * SECOND, 3 * SECOND))
    assert len(ledger.spent) <= STEPS + 2


def test_a_large_budget_counts_a_call_a_little_too_long_and_never_too_short() -> None:
    """A whole window after a call, there is no room for another yet; a step later there is."""
    budget = Budget("calls", 100, 64)
    at = NOW + SECOND * 9 // 10
    ledger, _ = Ledger().take(budget, at, 100, at=at, releasing=False)
    assert 0 == ledger.room(budget, at + 64 * SECOND - 1, releasing=False)
    assert 100 == ledger.room(budget, at + 65 * SECOND, releasing=False)


def test_many_promises_stay_short_too() -> None:
    ledger = spent(SMALL, NOW, NOW + 1, NOW + 2)
    for _ in range(700):
        ledger = ledger.promise(ledger.opens(SMALL, NOW + 3, 1, releasing=False), 1)
    assert len(ledger.promised) <= 201


budgets = st.builds(
    Budget,
    st.just("calls"),
    st.integers(1, 200),
    st.integers(1, 200),
    china_day=st.booleans(),
    reserve=st.just(0),
)


@given(budgets, st.lists(st.tuples(st.integers(0, 40 * SECOND), st.integers(1, 40), st.integers(0, 5 * SECOND))))
def test_no_window_ever_holds_more_than_is_granted(budget: Budget, wishes: list[tuple[int, int, int]]) -> None:
    """Whoever takes what there is room for, at whatever moments, and calls as late as the lease allows."""
    ledger, now, made = Ledger(), NOW, []
    for pause, calls, lease in wishes:
        now += pause
        end = min(now + lease, china_midnight(now) + DAY - 1) if budget.china_day else now + lease
        granted = min(calls, ledger.room(budget, now, releasing=False))
        if granted:
            ledger, _ = ledger.take(budget, now, granted, at=end, releasing=False)
            made += [end] * granted
    for first in made:
        if budget.china_day:
            counted = [at for at in made if china_midnight(at) == china_midnight(first)]
        else:
            counted = [at for at in made if first <= at < first + window(budget)]
        assert len(counted) <= budget.calls


@given(budgets, st.lists(st.tuples(st.integers(0, 9 * SECOND), st.integers(1, 9)), min_size=1), st.integers(1, 9))
def test_there_is_room_when_it_was_said(budget: Budget, wishes: list[tuple[int, int]], wanted: int) -> None:
    """At the instant that `opens` tells there is room, and a microsecond before there is not."""
    ledger, now = Ledger(), NOW
    for pause, calls in wishes:
        now += pause
        if granted := min(calls, ledger.room(budget, now, releasing=False)):
            ledger, _ = ledger.take(budget, now, granted, at=now, releasing=False)
    least = min(wanted, budget.calls)
    at = ledger.opens(budget, now, wanted, releasing=False)
    assert least <= ledger.room(budget, at, releasing=False)
    assert at == now or ledger.room(budget, at - 1, releasing=False) < least
