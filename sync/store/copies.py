"""Copies: what the public sees of an item at an outlet. The only place where a copy's row changes.

A copy begins when an outlet says that a delivery is public, and has that delivery's id. Rows stay for
ever; `PUBLIC` are the states in which a reader may find it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, update

from sync.flow import D
from sync.store import journal
from sync.store.tables import Record, copy, delivery, release

LIVE, ALTERED, MISSING, SUPERSEDED, REMOVED = "live", "altered", "missing", "superseded", "removed"
CURRENT = (LIVE, ALTERED, MISSING)
# In flight, or waiting at the outlet: it may be about to become public.
COMING = (D.RELEASING.value, D.ACCEPTED.value, D.UNRESOLVED.value)


_ADD = insert(copy)
_SOME = select(copy).where(copy.c.id.in_(bindparam("ids", expanding=True)))
_OF = (
    select(copy)
    .where(copy.c.item == bindparam("of_item"), copy.c.outlet == bindparam("at_outlet"))
    .order_by(copy.c.revision, copy.c.id)
)
_PUBLIC = (
    select(copy.c.item, func.max(copy.c.revision).label("revision"))
    .where(copy.c.item.in_(bindparam("items", expanding=True)), copy.c.state != bindparam("removed"))
    .group_by(copy.c.item)
)
_UNDER_WAY = (
    select(delivery.c.item, delivery.c.outlet, delivery.c.revision)
    .join(release, release.c.id == delivery.c.release)
    .where(
        delivery.c.item.in_(bindparam("items", expanding=True)),
        delivery.c.state.in_(bindparam("sent", expanding=True)),
        release.c.action != bindparam("withdraws"),
    )
)
_SUPERSEDED = select(copy.c.item, copy.c.outlet).where(
    copy.c.item.in_(bindparam("items", expanding=True)), copy.c.state == bindparam("superseded")
)


def appear(connection: Connection, row: Record, *, at: int, actor: str) -> None:
    """The delivery `row` is public by the outlet's word: its copy, and the end of the one it replaces."""
    appear_all(connection, [(row, row.receipt)], at=at, actor=actor)


def appear_all(
    connection: Connection, found: Sequence[tuple[Record, Mapping[str, Any] | None]], *, at: int, actor: str
) -> None:
    """As `appear`, for deliveries each with the receipt that the outlet gave."""
    given = [(row, receipt or {"ref": "", "url": ""}) for row, receipt in found]
    details = [{"revision": row.revision, "url": receipt["url"], "release": row.release} for row, receipt in given]
    acts = [
        journal.act_of(
            at, row.unit, "copy", row.id, "appeared", actor, state=LIVE, item=row.item, outlet=row.outlet, detail=detail
        )
        for (row, _), detail in zip(given, details, strict=True)
    ]
    rows = [
        {"unit": row.unit, "item": row.item, "outlet": row.outlet, "revision": row.revision, "id": row.id}
        | {"state": LIVE, "since": at, "ref": receipt["ref"], "url": receipt["url"], "receipt": receipt}
        | {"entry_id": entry_id}
        for (row, receipt), entry_id in zip(given, journal.write_all(connection, acts), strict=True)
    ]
    if rows:
        connection.execute(_ADD, rows)
    by_old = {row.replaces_copy: row.id for row, _ in given if row.replaces_copy is not None}
    for old in some(connection, by_old):
        if old.state in CURRENT:
            move(connection, old, SUPERSEDED, at=at, actor=actor, superseded_by=by_old[old.id])


def move(
    connection: Connection,
    row: Record,
    state: str,
    *,
    at: int,
    actor: str,
    detail: Mapping[str, Any] | None = None,
    **values: Any,
) -> None:
    """A copy's new state with its entry. Called again with the state it has: nothing."""
    known = connection.execute(select(copy.c.state).where(copy.c.id == row.id)).scalar_one()
    if known == state:
        return
    told = {"revision": row.revision, "url": row.url, "from": known, **(detail or {})}
    entry_id = _tell(connection, row._asdict(), row.id, state, state, at, actor, told)
    connection.execute(
        update(copy).where(copy.c.id == row.id).values(state=state, since=at, entry_id=entry_id, **values)
    )


def relocate(connection: Connection, row: Record, *, at: int, actor: str) -> None:
    """The copy of the delivery `row` is where its receipt says now: whoever published it had named another place."""
    receipt = row.receipt
    for one in some(connection, [row.id]):
        told = {"revision": one.revision, "url": receipt["url"], "from": one.url}
        entry_id = _tell(connection, one._asdict(), one.id, "relocated", one.state, at, actor, told)
        moved = {"ref": receipt["ref"], "url": receipt["url"], "receipt": receipt, "entry_id": entry_id}
        connection.execute(update(copy).where(copy.c.id == one.id).values(moved))


def read_back(connection: Connection, same: Mapping[str, bool], *, at: int, actor: str) -> None:
    """What an anonymous reader found of these deliveries' copies: as approved, or altered."""
    for row in some(connection, same):
        if row.state in CURRENT and row.state != (found := LIVE if same[row.id] else ALTERED):
            move(connection, row, found, at=at, actor=actor)


def some(connection: Connection, ids: Iterable[str]) -> Sequence[Record]:
    """The copies of these ids that there are, in their order."""
    wanted = sorted(ids)
    return sorted(connection.execute(_SOME, {"ids": wanted}), key=lambda row: str(row.id)) if wanted else []


def of(connection: Connection, item: str, outlet: str) -> Sequence[Record]:
    """Every copy of an item at an outlet, oldest first."""
    return connection.execute(_OF, {"of_item": item, "at_outlet": outlet}).all()


def of_item(connection: Connection, item: str) -> Sequence[Record]:
    """Every copy of an item, by outlet, oldest first."""
    wanted = select(copy).where(copy.c.item == item)
    return connection.execute(wanted.order_by(copy.c.outlet, copy.c.revision, copy.c.id)).all()


def current(connection: Connection, item: str, outlet: str) -> Record | None:
    """The newest copy that a reader may find there, and that no other took the place of."""
    return next((one for one in reversed(of(connection, item, outlet)) if one.state in CURRENT), None)


def readable(connection: Connection, item: str, outlet: str) -> list[Record]:
    """Every copy there that a reader may still find: a superseded one too, unless it was changed in place."""
    there = of(connection, item, outlet)
    shown = {one.ref for one in there if one.state in CURRENT}
    return [one for one in there if one.state in CURRENT or (one.state == SUPERSEDED and one.ref not in shown)]


def superseded(connection: Connection, row: Record) -> list[Record]:
    """What is still to be removed once the delivery `row` shows a newer revision there; not what it changed."""
    mine = (row.receipt or {}).get("ref")
    return [one for one in readable(connection, row.item, row.outlet) if one.state == SUPERSEDED and one.ref != mine]


@dataclass(frozen=True)
class Revisions:
    """What revisions of some items are public anywhere, or may be about to be, at one moment."""

    public: Mapping[str, int]  # the latest of each item
    under_way: Sequence[Record]  # (item, outlet, revision)

    def newer(self, item: str, revision: int) -> bool:
        """A later one is public, or may be about to be, anywhere: an older must not appear beside or after it."""
        return self.public.get(item, 0) > revision or any(
            one.item == item and one.revision > revision for one in self.under_way
        )

    def older_under_way(self, item: str, outlet: str, revision: int) -> bool:
        """An earlier one may be about to become public there: a later one sent now might land before it."""
        return any((one.item, one.outlet) == (item, outlet) and one.revision < revision for one in self.under_way)


def revisions(connection: Connection, items: Iterable[str]) -> Revisions:
    """Of these items, read in two statements."""
    wanted = {"items": sorted(set(items))}
    public = connection.execute(_PUBLIC, wanted | {"removed": REMOVED})
    sent = {"sent": [D.RELEASING.value, D.ACCEPTED.value], "withdraws": "withdraw"}
    return Revisions({row.item: row.revision for row in public}, connection.execute(_UNDER_WAY, wanted | sent).all())


def have_superseded(connection: Connection, items: Iterable[str]) -> set[tuple[str, str]]:
    """Item and outlet wherever a copy of these items was superseded, which a reader may still find."""
    found = connection.execute(_SUPERSEDED, {"items": sorted(set(items)), "superseded": SUPERSEDED})
    return {(row.item, row.outlet) for row in found}


def outdated(connection: Connection, row: Record) -> bool:
    """What a correction was planned to take the place of is not what is public there now.

    Sent all the same, it would bring back what was withdrawn, or stand beside another copy. A copy that was only
    changed in place meanwhile is the same place."""
    there = current(connection, row.item, row.outlet)
    if there is None:
        return row.replaces_copy is not None
    place = row.replaces["ref"] if row.replaces is not None else None
    return bool(there.id != row.replaces_copy and there.ref != place)


def coming(connection: Connection, item: str, outlet: str) -> Sequence[Record]:
    """Deliveries of the item there that may be about to become public: who knows will know soon."""
    return connection.execute(
        select(delivery)
        .join(release, release.c.id == delivery.c.release)
        .where(
            delivery.c.item == item,
            delivery.c.outlet == outlet,
            release.c.action != "withdraw",
            or_(
                delivery.c.state.in_(COMING),
                and_(
                    delivery.c.state == D.PREPARED.value, delivery.c.stopped.is_(False), release.c.state == "committed"
                ),
            ),
        )
    ).all()


def delays(connection: Connection, outlet: str, most: int = 20) -> list[int]:
    """µs from first byte to first sight of the outlet's newest deliveries that were seen so."""
    lasted = (delivery.c.visible_at - delivery.c.sent_at).label("lasted")
    wanted = (
        select(lasted)
        .join(release, release.c.id == delivery.c.release)
        .where(
            delivery.c.outlet == outlet,
            delivery.c.visible_at.is_not(None),
            delivery.c.sent_at.is_not(None),
            release.c.action != "withdraw",
        )
        .order_by(delivery.c.visible_at.desc())
        .limit(most)
    )
    return [int(row.lasted) for row in connection.execute(wanted)]


def in_states(connection: Connection, states: Sequence[str], most: int = 100) -> Sequence[Record]:
    """Copies in one of these states, those longest in it first."""
    wanted = select(copy).where(copy.c.state.in_(states)).order_by(copy.c.since)
    return connection.execute(wanted.limit(most)).all()


def count(connection: Connection) -> dict[str, int]:
    """How many copies are in each state."""
    counted = connection.execute(select(copy.c.state, func.count()).group_by(copy.c.state)).all()
    return {row[0]: row[1] for row in counted}


def _tell(
    connection: Connection,
    of_what: Mapping[str, Any],
    copy_id: str,
    act: str,
    state: str,
    at: int,
    actor: str,
    detail: Mapping[str, Any],
) -> int:
    return journal.write(
        connection,
        at=at,
        unit=of_what["unit"],
        subject="copy",
        subject_id=copy_id,
        act=act,
        state=state,
        actor=actor,
        item=of_what["item"],
        outlet=of_what["outlet"],
        detail=detail,
    )
