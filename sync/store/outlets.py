"""Units, outlets and the installation's own identity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from sync.store import journal
from sync.store.tables import Record, installation, outlet, unit

LOCAL_UNIT = "local"

# Built once: for statements this small the building is most of their cost.
_IDENTITY = select(installation.c.id)
_GET = select(outlet).where(outlet.c.name == bindparam("named"))
_SOME = select(outlet).where(outlet.c.name.in_(bindparam("names", expanding=True)))
_FACTS = select(
    outlet.c.name, outlet.c.kind, outlet.c.live, outlet.c.private_network, outlet.c.generation, outlet.c.state
).where(outlet.c.name.in_(bindparam("names", expanding=True)))


class Unknown(Exception):
    """No such row."""


def identity(connection: Connection) -> str:
    """The installation id; part of every key given to an outlet."""
    found = connection.execute(_IDENTITY).scalar()
    if found is None:
        raise Unknown("this installation has no identity; run `tongfa setup`")
    return str(found)


def found_installation(connection: Connection, *, installation_id: str, host: str, at: int) -> None:
    """First rows of a fresh database: its identity and its one unit, without review."""
    connection.execute(insert(installation).values(id=installation_id, host=host, created_at=at))
    connection.execute(insert(unit).values(id=LOCAL_UNIT, name="本单位", level="county", review="none"))
    journal.write(
        connection,
        at=at,
        unit=LOCAL_UNIT,
        subject="installation",
        subject_id=installation_id,
        act="founded",
        actor="setup",
    )


def get(connection: Connection, name: str) -> Record:
    """Raises Unknown."""
    row = connection.execute(_GET, {"named": name}).one_or_none()
    if row is None:
        raise Unknown(name)
    return row


def some(connection: Connection, names: Iterable[str]) -> dict[str, Record]:
    """The outlets of these names, by name; unknown names are left out."""
    return {row.name: row for row in connection.execute(_SOME, {"names": sorted(set(names))})}


def facts(connection: Connection, names: Iterable[str]) -> dict[str, Record]:
    """As `some`, without settings and secrets: all that is asked just before something is sent."""
    return {row.name: row for row in connection.execute(_FACTS, {"names": sorted(set(names))})}


def every(connection: Connection, *, retired: bool = False) -> Sequence[Record]:
    wanted = select(outlet).order_by(outlet.c.name)
    return connection.execute(wanted if retired else wanted.where(outlet.c.state != "retired")).all()


def add(connection: Connection, values: Mapping[str, Any], *, at: int, actor: str, agreed: str | None = None) -> None:
    """`values`: every column but state, generation and entry. `agreed`: the second administrator."""
    detail = _public(values) | ({"second": agreed} if agreed else {})
    entry_id = _tell(connection, values["unit"], values["name"], "added", "active", at, actor, detail)
    connection.execute(insert(outlet).values(**values, state="active", generation=1, entry_id=entry_id))


def change(
    connection: Connection,
    row: Record,
    act: str,
    *,
    at: int,
    actor: str,
    state: str | None = None,
    agreed: str | None = None,
    **values: Any,
) -> None:
    """Any change is an entry; a change of where or as whom it publishes makes a new generation,
    which makes every prepared delivery stale. `agreed`: the second administrator."""
    after = state or row.state
    detail = _public(values) | ({"second": agreed} if agreed else {})
    entry_id = _tell(connection, row.unit, row.name, act, after, at, actor, detail)
    generation = row.generation + bool({"settings", "secrets", "live", "private_network"} & set(values))
    connection.execute(
        update(outlet)
        .where(outlet.c.name == row.name)
        .values(**values, state=after, generation=generation, entry_id=entry_id)
    )


def _public(values: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry may hold: of secrets only the names."""
    shown = {key: value for key, value in values.items() if key != "secrets"}
    if "secrets" in values:
        shown["secrets"] = sorted(values["secrets"])
    return shown


def _tell(
    connection: Connection, unit_id: str, name: str, act: str, state: str, at: int, actor: str, detail: dict[str, Any]
) -> int:
    return journal.write(
        connection,
        at=at,
        unit=unit_id,
        subject="outlet",
        subject_id=name,
        outlet=name,
        act=act,
        state=state,
        actor=actor,
        detail=detail,
    )
