"""How long outlets asked to be left alone, and which of them count as dead: rows of `outlet_hold` and `breaker`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from sync.breaker import Health
from sync.clock import iso
from sync.store import journal
from sync.store.tables import FORM, Record, breaker, delivery, outlet, outlet_hold, release

CLOSED, OPEN = "closed", "open"


@dataclass(frozen=True, slots=True)
class Hold:
    """`calls`: which of the outlet's, as `Budget.of`. `until`: µs UTC."""

    outlet: str
    live: bool
    calls: str
    until: int
    why: str


def hold(connection: Connection, outlet_name: str, live: bool, calls: str, until: int, why: str, now: int) -> None:
    """The outlet has asked for patience. A shorter wait takes no longer one's place; what has passed is forgotten."""
    whose = (outlet_hold.c.outlet == outlet_name, outlet_hold.c.live == live)
    connection.execute(delete(outlet_hold).where(*whose, outlet_hold.c.until <= now))
    this = (*whose, outlet_hold.c.calls == calls)
    there = connection.execute(select(outlet_hold.c.until).where(*this)).scalar()
    if there is None:
        values = {"outlet": outlet_name, "live": live, "calls": calls, "until": until, "why": why}
        connection.execute(insert(outlet_hold), values)
    elif there < until:
        connection.execute(update(outlet_hold).where(*this).values(until=until, why=why))


def holds(connection: Connection, now: int) -> list[Hold]:
    """Every wait that has not passed."""
    return [Hold(*row) for row in connection.execute(select(outlet_hold).where(outlet_hold.c.until > now))]


def breakers(connection: Connection) -> dict[str, Record]:
    """By outlet, of outlets as they are now: what failed before one was changed says nothing of it."""
    of = (breaker.c.outlet == outlet.c.name, breaker.c.live == outlet.c.live)
    wanted = select(breaker).where(*of, breaker.c.generation == outlet.c.generation)
    return {row.outlet: row for row in connection.execute(wanted)}


def breaker_of(connection: Connection, outlet_name: str, live: bool) -> Record | None:
    whose = (breaker.c.outlet == outlet_name, breaker.c.live == live)
    return connection.execute(select(breaker).where(*whose)).one_or_none()


def remember(connection: Connection, there: Record, row: Record | None, health: Health, now: int) -> Record:
    """What became of calls to the outlet `there`; the breaker stays as it is. Returns its row.

    `row`: as it was read in this write transaction; None: there was none."""
    values = {"generation": there.generation, "failures": health.failures, "recent": health.shown()}
    if row is None:
        fresh = {"state": CLOSED, "since": now, "looks": 0, "half_open_at": None, "why": "", "entry_id": None}
        connection.execute(insert(breaker), {"outlet": there.name, "live": there.live, **fresh, **values})
    else:
        _change(connection, row, values)
    found = breaker_of(connection, there.name, there.live)
    assert found is not None  # it was written just now
    return found


def move(
    connection: Connection, there: Record, row: Record, state: str, *, why: str, now: int, actor: str, **values: Any
) -> None:
    """Open or close the breaker of the outlet `there`, with its entry."""
    shown: dict[str, Any] = {"why": why}
    if values.get("half_open_at") is not None:
        shown["half_open_at"] = iso(values["half_open_at"])
    entry_id = journal.write(
        connection,
        at=now,
        unit=there.unit,
        subject="breaker",
        subject_id=there.name,
        act="opened" if state == OPEN else "closed",
        state=state,
        outlet=there.name,
        actor=actor,
        detail=shown,
    )
    fresh = {"generation": there.generation, "looks": 0, "half_open_at": None}
    _change(connection, row, {**fresh, "state": state, "since": now, "why": why, "entry_id": entry_id, **values})


def note(connection: Connection, row: Record, **values: Any) -> None:
    """Change what is not the state."""
    _change(connection, row, values)


def due(connection: Connection, now: int) -> Sequence[Record]:
    """Open breakers whose outlet is to be looked at."""
    wanted = select(breaker).where(breaker.c.state == OPEN, breaker.c.half_open_at <= now)
    return connection.execute(wanted).all()


def waiting(connection: Connection, outlet_name: str, instants: Sequence[int]) -> list[str]:
    """Deliveries of the outlet that were put off until one of these very instants, those planned first first."""
    those = (delivery.c.outlet == outlet_name, delivery.c.due_at.in_(instants), delivery.c.form <= FORM)
    wanted = select(delivery.c.id).join(release, release.c.id == delivery.c.release).where(*those)
    wanted = wanted.order_by(release.c.created_at, delivery.c.id)
    return list(connection.execute(wanted).scalars())


def lives(connection: Connection, names: Iterable[str]) -> dict[str, tuple[bool, int]]:
    """Whether each outlet is live, and its generation."""
    wanted = select(outlet.c.name, outlet.c.live, outlet.c.generation).where(outlet.c.name.in_(sorted(set(names))))
    return {row.name: (bool(row.live), int(row.generation)) for row in connection.execute(wanted)}


def _change(connection: Connection, row: Record, values: dict[str, Any]) -> None:
    whose = (breaker.c.outlet == row.outlet, breaker.c.live == row.live)
    connection.execute(update(breaker).where(*whose).values(**values))
