"""Deliveries: the only place where a delivery's row changes.

`move` is the single writer of a state; it writes the entry and the row together, and only for the
epoch it was read with. `note` changes what is not a state. A worker whose epoch has passed gets
Superseded and must do nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from sync import flow
from sync.flow import D, E, R
from sync.store import journal
from sync.store.outlets import Unknown
from sync.store.tables import Record, delivery, release

# Asked twenty times a second by every worker: built once, which is most of what a look costs.
_DUE = (
    select(delivery.c.id, delivery.c.duty, delivery.c.release, delivery.c.due_at)
    .where(delivery.c.due_at <= bindparam("now"), delivery.c.duty.in_(bindparam("duties", expanding=True)))
    .order_by(delivery.c.due_at)
    .limit(200)
)

_NEXT_DUE = select(func.min(delivery.c.due_at)).where(
    delivery.c.due_at > bindparam("now"), delivery.c.duty.in_(bindparam("duties", expanding=True))
)


HEAVY = frozenset({"rendition", "prepared", "accepted", "receipt", "replaces", "problems", "canonical_url"})


class Superseded(Exception):
    """The row went on without us: somebody with a newer epoch has it. Nothing was changed."""


def add(connection: Connection, *, at: int, actor: str, **values: Any) -> None:
    """A delivery of a release, with its entry and the duty that is due."""
    entry_id = journal.write(
        connection,
        at=at,
        unit=values["unit"],
        subject="delivery",
        subject_id=values["id"],
        act="planned",
        state=D.PLANNED.value,
        item=values["item"],
        outlet=values["outlet"],
        actor=actor,
        detail={"release": values["release"], "required": values["required"]},
    )
    fresh = {"state": D.PLANNED.value, "since": at, "epoch": 1, "attempts": 0, "reads": 0, "problems": []}
    fresh |= {"stopped": False, "ahead": 0}
    connection.execute(insert(delivery).values(fresh | {"entry_id": entry_id} | values))


def get(connection: Connection, delivery_id: str) -> Record:
    """Raises Unknown."""
    row = connection.execute(select(delivery).where(delivery.c.id == delivery_id)).one_or_none()
    if row is None:
        raise Unknown(delivery_id)
    return row


def some(connection: Connection, ids: Sequence[str]) -> Sequence[Record]:
    """The rows of these ids, in their order; unknown ids are left out: a message may name anything."""
    rows = {row.id: row for row in connection.execute(select(delivery).where(delivery.c.id.in_(ids)))}
    return [rows[one] for one in dict.fromkeys(ids) if one in rows]


def of_release(connection: Connection, release_id: str) -> Sequence[Record]:
    return connection.execute(
        select(delivery).where(delivery.c.release == release_id).order_by(delivery.c.outlet, delivery.c.item)
    ).all()


def standing(connection: Connection, release_id: str) -> Sequence[Record]:
    """As `of_release`, without texts and receipts: all that moves and notes need, at a fraction of the cost."""
    wanted = select(*(column for column in delivery.c if column.name not in HEAVY))
    return connection.execute(
        wanted.where(delivery.c.release == release_id).order_by(delivery.c.outlet, delivery.c.item)
    ).all()


def page(connection: Connection, *, state: str | None, after: str = "", size: int = 100) -> Sequence[Record]:
    wanted = select(delivery).where(delivery.c.id > after).order_by(delivery.c.id).limit(size)
    return connection.execute(wanted if state is None else wanted.where(delivery.c.state == state)).all()


def due(connection: Connection, now: int, duties: Sequence[str]) -> Sequence[Record]:
    """(id, duty, release, due_at) of what is due by `now`, oldest first, at most 200."""
    return connection.execute(_DUE, {"now": now, "duties": list(duties)}).all()


def next_due(connection: Connection, now: int, duties: Sequence[str]) -> int | None:
    """When the next of these duties falls due after `now` (µs UTC); None: none is planned."""
    return connection.execute(_NEXT_DUE, {"now": now, "duties": list(duties)}).scalar()


def of_item(connection: Connection, item: str) -> Sequence[Record]:
    """Every delivery of an item, with `joined`, the state of its release, and its `action`; oldest release first."""
    wanted = select(delivery, release.c.state.label("joined"), release.c.action)
    return connection.execute(
        wanted.join(release, release.c.id == delivery.c.release)
        .where(delivery.c.item == item)
        .order_by(release.c.created_at, delivery.c.id)
    ).all()


def owned(connection: Connection) -> Sequence[Record]:
    """(id, owner, duty, state) of every row some process holds."""
    return connection.execute(
        select(delivery.c.id, delivery.c.owner, delivery.c.duty, delivery.c.state).where(delivery.c.owner.is_not(None))
    ).all()


def move(
    connection: Connection,
    row: Record,
    event: E,
    *,
    at: int,
    actor: str,
    detail: Mapping[str, Any] | None = None,
    **values: Any,
) -> Record:
    """State change, entry and next due row, in the caller's transaction. Returns the row as it is now.

    Raises flow.IllegalMove (nothing written) or Superseded.
    """
    joined = connection.execute(select(release.c.state).where(release.c.id == row.release)).scalar_one()
    after = flow.step(D(row.state), event, R(joined))
    entry_id = journal.write(
        connection,
        at=at,
        unit=row.unit,
        subject="delivery",
        subject_id=row.id,
        act=event.value,
        state=after.value,
        actor=actor,
        item=row.item,
        outlet=row.outlet,
        detail={"from": row.state, "release": row.release, **(detail or {})},
    )
    return _write(connection, row, state=after.value, since=at, entry_id=entry_id, **values)


def note(connection: Connection, row: Record, **values: Any) -> Record:
    """Change columns other than the state. Raises Superseded."""
    return _write(connection, row, **values)


def _write(connection: Connection, row: Record, **values: Any) -> Record:
    changed = connection.execute(
        update(delivery)
        .where(delivery.c.id == row.id, delivery.c.epoch == row.epoch, delivery.c.state == row.state)
        .values(**values)
        .returning(*delivery.c)
    ).one_or_none()
    if changed is None:
        raise Superseded(row.id)
    return changed
