"""People and the rules of their units. A name in the log is one person's for ever."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from sync.store import journal
from sync.store.outlets import Unknown
from sync.store.tables import Record, person, unit

ROLES = ("editor", "reviewer", "publisher", "admin", "auditor")
NONE, THREE = "none", "three"
RULES = (NONE, THREE)


def get(connection: Connection, name: str) -> Record:
    """Raises Unknown."""
    row = connection.execute(select(person).where(person.c.name == name)).one_or_none()
    if row is None:
        raise Unknown(name)
    return row


def every(connection: Connection) -> Sequence[Record]:
    return connection.execute(select(person).order_by(person.c.name)).all()


def active(connection: Connection, role: str) -> list[str]:
    """Names of those who have this role now."""
    wanted = select(person.c.name).where(person.c.state == "active", person.c[role].is_(True))
    return list(connection.execute(wanted.order_by(person.c.name)).scalars())


def roles_of(row: Record) -> list[str]:
    return [role for role in ROLES if getattr(row, role)]


def add(
    connection: Connection, name: str, full_name: str, unit_id: str, roles: Collection[str], *, at: int, actor: str
) -> None:
    """A new person. The entry names roles and unit; the full name stays in the row, where it can be erased."""
    entry_id = _tell(connection, name, unit_id, "added", "active", at, actor, {"roles": sorted(roles)})
    held = {role: role in roles for role in ROLES}
    connection.execute(
        insert(person).values(
            name=name, full_name=full_name, unit=unit_id, state="active", created_at=at, entry_id=entry_id, **held
        )
    )


def change(
    connection: Connection,
    row: Record,
    act: str,
    *,
    at: int,
    actor: str,
    roles: Collection[str] | None = None,
    detail: Mapping[str, Any] | None = None,
    **values: Any,
) -> None:
    """`values`: full_name, unit or state; `roles`: all that the person has from now on."""
    held = {} if roles is None else {role: role in roles for role in ROLES}
    told = {
        "roles": sorted(roles if roles is not None else roles_of(row)),
        "changed": sorted([*values, *(["roles"] if held else [])]),
        **(detail or {}),
    }
    state = values.get("state", row.state)
    entry_id = _tell(connection, row.name, values.get("unit", row.unit), act, state, at, actor, told)
    connection.execute(update(person).where(person.c.name == row.name).values(**values, **held, entry_id=entry_id))


def units(connection: Connection) -> Sequence[Record]:
    return connection.execute(select(unit).order_by(unit.c.id)).all()


def unit_of(connection: Connection, unit_id: str) -> Record:
    """Raises Unknown."""
    row = connection.execute(select(unit).where(unit.c.id == unit_id)).one_or_none()
    if row is None:
        raise Unknown(unit_id)
    return row


def add_unit(connection: Connection, unit_id: str, name: str, level: str, review: str, *, at: int, actor: str) -> None:
    """A further unit; its beginning is told in the book of the first one."""
    first = connection.execute(select(unit.c.id).where(unit.c.entry_id.is_(None)).limit(1)).scalar()
    book = first or connection.execute(select(unit.c.id).order_by(unit.c.entry_id).limit(1)).scalar_one()
    detail = {"name": name, "level": level, "review": review}
    entry_id = _tell_unit(connection, unit_id, book, "added", review, at, actor, detail)
    connection.execute(insert(unit).values(id=unit_id, name=name, level=level, review=review, entry_id=entry_id))


def change_unit(
    connection: Connection, row: Record, *, at: int, actor: str, by: str, second: str | None, **values: Any
) -> None:
    """`values`: name, level or review. The database refuses to relax the rule without two administrators."""
    review = values.get("review", row.review)
    detail = {**values, "was": {key: getattr(row, key) for key in values}, "by": by, "second": second}
    entry_id = _tell_unit(connection, row.id, row.id, "changed", review, at, actor, detail)
    connection.execute(
        update(unit).where(unit.c.id == row.id).values(**values, set_by=by, seconded_by=second, entry_id=entry_id)
    )


def _tell(
    connection: Connection, name: str, unit_id: str, act: str, state: str, at: int, actor: str, detail: dict[str, Any]
) -> int:
    return journal.write(
        connection,
        at=at,
        unit=unit_id,
        subject="person",
        subject_id=name,
        act=act,
        state=state,
        actor=actor,
        detail=detail,
    )


def _tell_unit(
    connection: Connection, unit_id: str, book: str, act: str, review: str, at: int, actor: str, detail: dict[str, Any]
) -> int:
    return journal.write(
        connection,
        at=at,
        unit=book,
        subject="unit",
        subject_id=unit_id,
        act=act,
        state=review,
        actor=actor,
        detail=detail,
    )
