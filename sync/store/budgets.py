"""What was spent of outlets' budgets, by all processes: each ledger is one row, changed under its own lock.

With PostgreSQL the lock is the row's, so that counting calls of one outlet delays neither another's nor the
writers of deliveries (`Store.beside`); with SQLite there is one writer anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sync.budget import Ledger
from sync.contract import Budget
from sync.store.tables import outlet_budget

_THIS = (outlet_budget.c.outlet == bindparam("of_outlet"), outlet_budget.c.live == bindparam("of_live"))
_SOME = (
    select(outlet_budget.c.name, outlet_budget.c.ledger)
    .where(*_THIS, outlet_budget.c.name.in_(bindparam("names", expanding=True)))
    .order_by(outlet_budget.c.name)  # so that two who want several never wait for each other
)
_LOCKED = _SOME.with_for_update()
_KEEP = update(outlet_budget).where(*_THIS, outlet_budget.c.name == bindparam("of_name"))


@dataclass(frozen=True, slots=True)
class Account:
    """Whose budgets: an outlet's, or its sandbox twin's."""

    outlet: str
    live: bool


@dataclass(frozen=True, slots=True)
class Unused:
    """Calls that were taken, counted as made `at`, and never made."""

    at: int
    calls: int
    releasing: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """`calls` of one budget at most, to be counted as made `at`; `needed` of them could be used at once."""

    budget: Budget
    calls: int
    at: int
    releasing: bool
    needed: int = 1
    unused: tuple[Unused, ...] = ()


@dataclass(frozen=True, slots=True)
class Granted:
    """So many calls, counted under the instant `at`."""

    calls: int
    at: int


@dataclass(frozen=True, slots=True)
class Refused:
    """That budget is used up until then; nothing was taken of any."""

    budget: Budget
    until: int


def take(connection: Connection, account: Account, wishes: Sequence[Wish], now: int) -> dict[str, Granted] | Refused:
    """One call of each budget at least, or nothing of any; what was never used is given back in any case."""
    names = sorted(one.budget.name for one in wishes)
    ledgers = _locked(connection, account, names)
    for wish in wishes:
        for one in wish.unused:
            name = wish.budget.name
            ledgers[name] = ledgers[name].give_back(one.at, one.calls, releasing=one.releasing)
    rooms = {one.budget.name: ledgers[one.budget.name].room(one.budget, now, releasing=one.releasing) for one in wishes}
    answer: dict[str, Granted] | Refused
    if lacking := [one for one in wishes if rooms[one.budget.name] == 0]:
        answer = _refused(ledgers, lacking, now)
    else:
        answer = {}
        for wish in wishes:
            name, calls = wish.budget.name, min(wish.calls, rooms[wish.budget.name])
            taken = ledgers[name].take(wish.budget, now, calls, at=wish.at, releasing=wish.releasing)
            ledgers[name], stamp = taken
            answer[name] = Granted(calls, stamp)
    for name in names:
        connection.execute(_KEEP, _where(account) | {"of_name": name, "ledger": ledgers[name].shown()})
    return answer


def _refused(ledgers: dict[str, Ledger], lacking: Sequence[Wish], now: int) -> Refused:
    """Until the last of them has as much as is needed; who waits is promised it."""
    opens = [
        (ledgers[one.budget.name].opens(one.budget, now, one.needed, releasing=one.releasing), one) for one in lacking
    ]
    until, wish = max(opens, key=lambda one: one[0])
    name = wish.budget.name
    ledgers[name] = ledgers[name].promise(until, wish.needed)
    return Refused(wish.budget, until)


def read(connection: Connection, account: Account, names: Sequence[str]) -> Mapping[str, Ledger]:
    """As they are now; of what was never used there is none."""
    found = connection.execute(_SOME, _where(account) | {"names": list(names)})
    return {row.name: Ledger.read(row.ledger) for row in found}


def _locked(connection: Connection, account: Account, names: Sequence[str]) -> dict[str, Ledger]:
    """Nobody else changes them before this transaction ends. Those that are not there yet are made."""
    asked = _where(account) | {"names": list(names)}
    rows = connection.execute(_LOCKED, asked).all()
    if len(rows) < len(names):
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        columns = {"outlet": account.outlet, "live": account.live, "ledger": Ledger().shown()}
        fresh = insert(outlet_budget).on_conflict_do_nothing()
        connection.execute(fresh, [{**columns, "name": name} for name in names])
        rows = connection.execute(_LOCKED, asked).all()
    return {row.name: Ledger.read(row.ledger) for row in rows}


def _where(account: Account) -> dict[str, object]:
    return {"of_outlet": account.outlet, "of_live": account.live}
