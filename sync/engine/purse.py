"""Calls of outlets' budgets, spent by this process: from the database one by one, or a few ahead where there are many.

A lease of a few calls is counted as made when it ends, so that no window ever holds more than the outlet
grants. What of it was not used, and the place of a shot that was armed and never sent, is given back when
this process next takes of that budget; its death loses them until the window has passed.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sync.budget import DAY, china_midnight
from sync.clock import SECOND, Clock, iso
from sync.contract import Budget, HeldBack
from sync.store import budgets
from sync.store.budgets import Account, Refused, Unused, Wish
from sync.store.session import Store

LEASED_FROM = 200  # calls of a budget: smaller ones are taken one by one
SHARE, MOST = 100, 30  # a lease is so small a part, and so many at most: a second and a half of close reading
LEASE = 2.0  # seconds, and no more than a sixtieth of the window


@dataclass(frozen=True, slots=True)
class Paid:
    """One call's place in a budget, counted under the instant `at`."""

    budget: str
    at: int
    releasing: bool


@dataclass(slots=True)
class _Lease:
    at: int
    left: int
    until: float  # seconds of boot time


class Purse:
    """One process's. Safe to share between threads; those of one outlet take turns."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._guard = threading.Lock()
        self._turns: defaultdict[Account, threading.Lock] = defaultdict(threading.Lock)
        self._leases: dict[tuple[Account, str], _Lease] = {}
        self._unused: defaultdict[tuple[Account, str], list[Unused]] = defaultdict(list)

    def spend(
        self, account: Account, wanted: Sequence[Budget], *, releasing: bool = False, taken: Mapping[str, int]
    ) -> list[Paid]:
        """One call of each budget. Raises HeldBack, naming the one that is used up; then nothing was spent.

        `taken`: how many the same task took of each before. It will begin anew, so that it needs as many and one more.
        """
        if not wanted:
            return []
        with self._guard:
            turn = self._turns[account]
        with turn:
            leased = [] if releasing else [one for one in wanted if self._is_leased(account, one)]
            paid = self._take(account, [one for one in wanted if one not in leased], releasing, taken)
            for one in leased:
                lease = self._leases[account, one.name]
                lease.left -= 1
                paid.append(Paid(one.name, lease.at, releasing=False))
            return paid

    def give_back(self, account: Account, paid: Sequence[Paid]) -> None:
        """Calls that were certainly not made. Costs nothing now: it is written when more is taken."""
        with self._guard:
            for one in paid:
                self._unused[account, one.budget].append(Unused(one.at, 1, one.releasing))

    def _is_leased(self, account: Account, budget: Budget) -> bool:
        lease = self._leases.get((account, budget.name))
        return lease is not None and lease.left > 0 and self._clock.boottime() < lease.until

    def _take(
        self, account: Account, wanted: Sequence[Budget], releasing: bool, taken: Mapping[str, int]
    ) -> list[Paid]:
        if not wanted:
            return []
        boot = self._clock.boottime()  # before the database's time: a lease never ends later than it is counted
        with self._store.beside() as connection:
            now = self._store.now(connection)
            lengths = {one.name: _length(one, now) if not releasing else 0 for one in wanted}
            wishes = [
                Wish(
                    one,
                    _most(one) if lengths[one.name] else 1,
                    now + lengths[one.name],
                    releasing,
                    taken.get(one.name, 0) + 1,
                    self._returned(account, one),
                )
                for one in wanted
            ]
            answer = budgets.take(connection, account, wishes, now)
        if isinstance(answer, Refused):
            raise HeldBack(_used_up(account, answer), answer.until)
        for wish in wishes:
            granted, key = answer[wish.budget.name], (account, wish.budget.name)
            if lengths[wish.budget.name]:
                until = boot + lengths[wish.budget.name] / SECOND
                self._leases[key] = _Lease(granted.at, granted.calls - 1, until)
        return [Paid(name, granted.at, releasing) for name, granted in answer.items()]

    def _returned(self, account: Account, budget: Budget) -> tuple[Unused, ...]:
        """What is given back with this taking. Should it fail, that is lost until the window has passed."""
        with self._guard:
            unused = self._unused.pop((account, budget.name), [])
        lease = self._leases.pop((account, budget.name), None)
        if lease is not None and lease.left:
            unused.append(Unused(lease.at, lease.left, releasing=False))
        return tuple(unused)


def _length(budget: Budget, now: int) -> int:
    """µs for which calls of it may be taken ahead; 0: they are not. None lasts beyond its day."""
    if budget.calls < LEASED_FROM:
        return 0
    longest = min(round(LEASE * SECOND), budget.seconds * SECOND // 60)
    return min(longest, china_midnight(now) + DAY - 1 - now) if budget.china_day else longest


def _most(budget: Budget) -> int:
    return max(1, min(budget.calls // SHARE, MOST))


def _used_up(account: Account, refused: Refused) -> str:
    budget = refused.budget
    span = "天 · a day" if budget.china_day else f"{budget.seconds} 秒 · {budget.seconds} s"
    kept = f"，其中 {budget.reserve} 次只供发布 · {budget.reserve} of them for releases only" if budget.reserve else ""
    return (
        f"{account.outlet}: 配额已用完 · a budget is used up: {budget.name} ({budget.calls} / {span}{kept}); "
        f"{iso(refused.until)}"
    )
