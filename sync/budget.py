"""What is left of an outlet's budget: calls in a rolling window, or in a day that begins at midnight in China.

Pure: handed what was spent and when, it says how much may be spent now, and when again. Never too much by the
window's own arithmetic: of small budgets every call has its instant; of large ones calls are counted in
`STEPS` to a window, each as late as its step ends. All instants are µs UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from sync.clock import SECOND
from sync.contract import Budget

STEPS = 64
MOST_PROMISES = 200
DAY = 86_400 * SECOND
CHINA = 8 * 3_600 * SECOND  # ahead of UTC; no summer time since 1991


def china_midnight(at: int) -> int:
    """When the day of this instant began in China."""
    return (at + CHINA) // DAY * DAY - CHINA


def window(budget: Budget) -> int:
    """µs after which a call no longer counts."""
    return DAY if budget.china_day else budget.seconds * SECOND


@dataclass(frozen=True, slots=True)
class Spent:
    """Calls that count as made at one instant, by whether only a release might make them."""

    at: int
    ordinary: int
    releasing: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """One budget of one account. `promised`: instants that were told to who had to wait, and for how many calls.

    A promise binds nobody. It keeps those who wait from all coming back at one instant, for the same few calls.
    """

    spent: tuple[Spent, ...] = ()
    promised: tuple[tuple[int, int], ...] = ()

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        spent = tuple(Spent(*one) for one in stored.get("spent", ()))
        return cls(spent, tuple((at, calls) for at, calls in stored.get("promised", ())))

    def shown(self) -> dict[str, Any]:
        """As `read` takes it, for JSON."""
        spent = [[one.at, one.ordinary, one.releasing] for one in self.spent]
        return {"spent": spent, "promised": [list(one) for one in self.promised]}

    def room(self, budget: Budget, now: int, *, releasing: bool) -> int:
        """How many calls may be made now. What releases do not use of the reserve is nobody else's."""
        return max(0, _left(budget, [one for one in self.spent if _counts(budget, one.at, now)], releasing))

    def take(self, budget: Budget, now: int, calls: int, *, at: int, releasing: bool) -> tuple[Self, int]:
        """With so many calls more, counted as made `at` (now, or the last moment of a lease); and the instant under
        which they are counted. What counts no longer is forgotten."""
        stamp = _stamp(budget, at)
        kept = {one.at: one for one in self.spent if _counts(budget, one.at, now)}
        there = kept.get(stamp, Spent(stamp, 0, 0))
        kept[stamp] = Spent(stamp, there.ordinary + calls * (not releasing), there.releasing + calls * releasing)
        promised = tuple(one for one in self.promised if one[0] > now)
        return replace(self, spent=tuple(kept[one] for one in sorted(kept)), promised=promised), stamp

    def give_back(self, stamp: int, calls: int, *, releasing: bool) -> Self:
        """Calls that were taken under this instant and never made."""
        kept = []
        for one in self.spent:
            if one.at == stamp:
                less = one.releasing - calls if releasing else one.ordinary - calls
                one = replace(one, **{"releasing" if releasing else "ordinary": max(0, less)})
            if one.ordinary or one.releasing:
                kept.append(one)
        return replace(self, spent=tuple(kept))

    def opens(self, budget: Budget, now: int, calls: int, *, releasing: bool) -> int:
        """The first instant at which so many calls may be made at once, if nobody but who was promised takes any.

        More than the budget ever grants is asked for in vain: then as many as it grants."""
        most = budget.calls - (0 if releasing else budget.reserve)
        promised = () if releasing else self.promised
        if len(promised) >= MOST_PROMISES:
            return max(now, promised[-1][0])
        for at in _changes(budget, now, [one.at for one in self.spent], [at for at, _ in promised]):
            counted = [one for one in self.spent if _counts(budget, one.at, at)]
            counted += [Spent(one, n, 0) for one, n in promised if one <= at and _counts(budget, one, at)]
            if 0 < min(calls, most) <= _left(budget, counted, releasing):
                return at
        return now + window(budget)  # nothing is left for anybody but releases

    def promise(self, at: int, calls: int) -> Self:
        """Somebody was told to come back `at` for so many."""
        merged = dict(self.promised)
        merged[at] = merged.get(at, 0) + calls
        return replace(self, promised=tuple(sorted(merged.items())))


def _left(budget: Budget, counted: Iterable[Spent], releasing: bool) -> int:
    ordinary = released = 0
    for one in counted:
        ordinary, released = ordinary + one.ordinary, released + one.releasing
    return budget.calls - ordinary - (released if releasing else max(released, budget.reserve))


def _counts(budget: Budget, at: int, now: int) -> bool:
    return at >= china_midnight(now) if budget.china_day else at + window(budget) > now


def _stamp(budget: Budget, at: int) -> int:
    if budget.china_day:
        return china_midnight(at)  # the whole day's calls count as long as the day lasts
    if budget.calls <= STEPS:
        return at
    step = max(1, window(budget) // STEPS)
    return -(-at // step) * step


def _changes(budget: Budget, now: int, spent: Iterable[int], promised: Iterable[int]) -> list[int]:
    """When there may be more than now, soonest first; the last of them finds nothing spent or promised any more."""
    ends = [*spent, *promised]
    if budget.china_day:
        following = {china_midnight(one) + DAY for one in (now, *ends)}
    else:
        following = {one + window(budget) for one in ends}
    return [now, *sorted(one for one in following if one > now)]
