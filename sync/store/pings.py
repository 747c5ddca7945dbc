"""Whom to tell of what a delivery made public or removed. A ping is kept, and ends with its entry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, insert, select, update

from sync.store import journal
from sync.store.tables import Record, delivery, ping

WAITING, PINGED, FAILED = "waiting", "pinged", "ping_failed"


def add_all(connection: Connection, row: Record, names: Iterable[str], url: str, *, gone: bool, at: int) -> None:
    """One for each name that the delivery has none for yet, due at once."""
    there = set(connection.execute(select(ping.c.name).where(ping.c.delivery == row.id)).scalars())
    fresh = {"delivery": row.id, "url": url, "gone": gone, "since": at, "due_at": at, "attempts": 0}
    fresh |= {"state": WAITING, "why": ""}
    if wanted := [{**fresh, "name": name} for name in dict.fromkeys(names) if name not in there]:
        connection.execute(insert(ping), wanted)


def due(connection: Connection, now: int, most: int = 50) -> Sequence[Record]:
    """With the delivery's `outlet`, `item` and `unit`; oldest first."""
    return connection.execute(
        select(ping, delivery.c.outlet, delivery.c.item, delivery.c.unit)
        .join(delivery, delivery.c.id == ping.c.delivery)
        .where(ping.c.due_at <= now)
        .order_by(ping.c.due_at)
        .limit(most)
    ).all()


def put_off(connection: Connection, row: Record, due_at: int, *, attempts: int, why: str) -> None:
    """Again at `due_at`."""
    values = {"due_at": due_at, "attempts": attempts, "why": why}
    connection.execute(update(ping).where(*_this(row)).values(values))


def end(connection: Connection, row: Record, state: str, *, attempts: int, at: int, actor: str, why: str = "") -> None:
    """It was given, or given up, with its entry; nothing when that was told already."""
    if connection.execute(select(ping.c.name).where(*_this(row))).first() is None:
        return
    detail = {"ping": row.name, "url": row.url, "attempts": attempts}
    entry_id = journal.write(
        connection,
        at=at,
        unit=row.unit,
        subject="ping",
        subject_id=row.delivery,
        act=state,
        state=state,
        item=row.item,
        outlet=row.outlet,
        actor=actor,
        detail={**detail, "why": why} if why else detail,
    )
    values = {"state": state, "due_at": None, "why": why, "attempts": attempts, "entry_id": entry_id}
    connection.execute(update(ping).where(*_this(row)).values(values))


def not_given(connection: Connection, since: int) -> Sequence[Record]:
    """What was given up since then, and what waits after a failure; with the delivery's `outlet`."""
    wanted = select(ping, delivery.c.outlet).join(delivery, delivery.c.id == ping.c.delivery)
    failed = (ping.c.state == FAILED) & (ping.c.since >= since)
    retried = (ping.c.state == WAITING) & (ping.c.why != "")
    return connection.execute(wanted.where(failed | retried).order_by(ping.c.since).limit(50)).all()


def _this(row: Record) -> tuple[ColumnElement[bool], ...]:
    """While it waits: of two who gave it side by side, one tells of it."""
    return ping.c.delivery == row.delivery, ping.c.name == row.name, ping.c.state == WAITING
