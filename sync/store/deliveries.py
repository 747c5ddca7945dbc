"""Deliveries: the only place where a delivery's row changes.

`move` is the single writer of a state; it writes the entry and the row together, and only for the
epoch it was read with. `note` changes what is not a state. A worker whose epoch has passed gets
Superseded and must do nothing more. `change_all` does both for many rows, in a few statements.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from sync import flow
from sync.flow import D, E, R
from sync.model import BadInput
from sync.store import journal
from sync.store.outlets import Unknown
from sync.store.tables import FORM, Record, delivery, release

# Asked twenty times a second by every worker: built once, which is most of what a look costs.
_DUE = (
    select(delivery.c.id, delivery.c.duty, delivery.c.release, delivery.c.due_at)
    .where(
        delivery.c.due_at <= bindparam("now"),
        delivery.c.duty.in_(bindparam("duties", expanding=True)),
        delivery.c.form <= FORM,
    )
    .order_by(delivery.c.due_at)
    .limit(200)
)

_NEXT_DUE = select(func.min(delivery.c.due_at)).where(
    delivery.c.due_at > bindparam("now"),
    delivery.c.duty.in_(bindparam("duties", expanding=True)),
    delivery.c.form <= FORM,
)


# Texts and receipts: all that moves and notes need is in the other columns, at a fraction of the cost.
HEAVY = frozenset({"rendition", "prepared", "accepted", "receipt", "replaces", "problems", "canonical_url"})
LIGHT = tuple(column for column in delivery.c if column.name not in HEAVY)
_GET = select(delivery).where(delivery.c.id == bindparam("this"))
_SOME = select(delivery).where(delivery.c.id.in_(bindparam("ids", expanding=True)))
_SOME_LIGHT = select(*LIGHT).where(delivery.c.id.in_(bindparam("ids", expanding=True)))
_OF_RELEASE, _IDS, _STANDING = (
    select(*wanted).where(delivery.c.release == bindparam("of_release")).order_by(delivery.c.outlet, delivery.c.item)
    for wanted in (tuple(delivery.c), (delivery.c.id,), LIGHT)
)
_ADD = insert(delivery)
_JOINED = select(release.c.state).where(release.c.id == bindparam("this"))
_CHANGE = update(delivery).where(
    delivery.c.id == bindparam("this"),
    delivery.c.epoch == bindparam("read_epoch"),
    delivery.c.state == bindparam("read_state"),
)
_CHANGE_WHOLE, _CHANGE_LIGHT = _CHANGE.returning(*delivery.c), _CHANGE.returning(*LIGHT)


class Superseded(Exception):
    """The row went on without us: somebody with a newer epoch has it. Nothing was changed."""


class TooNew(BadInput):
    """A newer program planned this, in a way that this one does not know. Nothing was changed."""

    def __init__(self, planned: str) -> None:
        super().__init__(planned, "a newer version of this program planned it", "use that version for it")


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one delivery: of its state, when there is an `event`, and of other columns."""

    row: Record
    event: E | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


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
    fresh |= {"stopped": False, "ahead": 0, "form": FORM}
    connection.execute(_ADD, fresh | {"entry_id": entry_id} | values)


def get(connection: Connection, delivery_id: str) -> Record:
    """Raises Unknown."""
    row = connection.execute(_GET, {"this": delivery_id}).one_or_none()
    if row is None:
        raise Unknown(delivery_id)
    return row


def some(connection: Connection, ids: Collection[str], *, light: bool = False) -> Sequence[Record]:
    """The rows of these ids, in their order; unknown ids are left out: a message may name anything.

    `light`: without texts and receipts."""
    asked = connection.execute(_SOME_LIGHT if light else _SOME, {"ids": list(ids)})
    rows = {row.id: row for row in asked}
    return [rows[one] for one in dict.fromkeys(ids) if one in rows]


def of_release(connection: Connection, release_id: str) -> Sequence[Record]:
    return connection.execute(_OF_RELEASE, {"of_release": release_id}).all()


def ids_of_release(connection: Connection, release_id: str) -> Sequence[str]:
    """In the order of `of_release`, which never changes."""
    return connection.execute(_IDS, {"of_release": release_id}).scalars().all()


def standing(connection: Connection, release_id: str) -> Sequence[Record]:
    """As `of_release`, without texts and receipts."""
    return connection.execute(_STANDING, {"of_release": release_id}).all()


def page(connection: Connection, *, state: str | None, after: str = "", size: int = 100) -> Sequence[Record]:
    wanted = select(delivery).where(delivery.c.id > after).order_by(delivery.c.id).limit(size)
    return connection.execute(wanted if state is None else wanted.where(delivery.c.state == state)).all()


def due(connection: Connection, now: int, duties: Sequence[str]) -> Sequence[Record]:
    """(id, duty, release, due_at) of what is due by `now`, oldest first, at most 200; nothing that is too new."""
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


def of_outlet(connection: Connection, outlet: str, state: D) -> Sequence[Record]:
    """Those of one outlet that are in this state."""
    return connection.execute(select(delivery).where(delivery.c.outlet == outlet, delivery.c.state == state)).all()


def owned(connection: Connection) -> Sequence[Record]:
    """(id, owner, epoch, duty, state) of every row some process holds; nothing that is too new."""
    return connection.execute(
        select(delivery.c.id, delivery.c.owner, delivery.c.epoch, delivery.c.duty, delivery.c.state).where(
            delivery.c.owner.is_not(None), delivery.c.form <= FORM
        )
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
    """State change, entry and next due row, in the caller's transaction. Returns the row as it is now,
    with the columns that `row` was read with.

    Raises flow.IllegalMove (nothing written), Superseded or TooNew.
    """
    joined = connection.execute(_JOINED, {"this": row.release}).scalar_one()
    after = flow.step(D(row.state), event, R(joined))
    (entry_id,) = journal.write_all(connection, [_act(row, event, after, at, actor, detail or {})])
    return _write(connection, row, {"state": after.value, "since": at, "entry_id": entry_id, **values})


def note(connection: Connection, row: Record, **values: Any) -> Record:
    """Change columns other than the state. Returns as `move` does. Raises Superseded or TooNew."""
    return _write(connection, row, values)


def change_all(
    connection: Connection, changes: Iterable[Change], *, at: int, actor: str, joined: R | None = None
) -> None:
    """`move` or `note` for each of different deliveries; the entries are in the order of `changes`.

    `joined`: the state of the release of all of them, where this very transaction has read it.
    Raises flow.IllegalMove (nothing written) or Superseded: then a part of it is written, and the
    caller's transaction has to be undone.
    """
    states: dict[str, R] = {}
    acts, prepared = [], []
    for one in changes:
        row, values = one.row, dict(one.values)
        if one.event is not None:
            if joined is None and row.release not in states:
                states[row.release] = R(connection.execute(_JOINED, {"this": row.release}).scalar_one())
            after = flow.step(D(row.state), one.event, joined or states[row.release])
            acts.append(_act(row, one.event, after, at, actor, one.detail))
            values |= {"state": after.value, "since": at}
        prepared.append((one, values))
    ids = iter(journal.write_all(connection, acts))
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for one, values in prepared:
        if one.event is not None:
            values["entry_id"] = next(ids)
        if values:
            alike.setdefault(tuple(sorted(values)), []).append(_read_as(one.row) | values)
    for rows in alike.values():
        if connection.execute(_CHANGE, rows).rowcount != len(rows):
            raise Superseded(", ".join(row["this"] for row in rows))


def _act(row: Record, event: E, after: D, at: int, actor: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    return journal.act_of(
        at,
        row.unit,
        "delivery",
        row.id,
        event.value,
        actor,
        state=after.value,
        item=row.item,
        outlet=row.outlet,
        detail={"from": row.state, "release": row.release, **detail},
    )


def _read_as(row: Record) -> dict[str, Any]:
    """It may be written only as long as it is still this. Raises TooNew."""
    if row.form > FORM:
        raise TooNew(row.id)
    return {"this": row.id, "read_epoch": row.epoch, "read_state": row.state}


def _write(connection: Connection, row: Record, values: Mapping[str, Any]) -> Record:
    wanted = _CHANGE_WHOLE if "rendition" in row._fields else _CHANGE_LIGHT
    changed = connection.execute(wanted, {**_read_as(row), **values}).one_or_none()
    if changed is None:
        raise Superseded(row.id)
    return changed
