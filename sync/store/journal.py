"""The sync log's entries: written in the transaction of the act they tell of, never changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select

from sync.store import told
from sync.store.tables import Record, entry

_ONE = insert(entry)
_MANY = insert(entry).returning(entry.c.id, sort_by_parameter_order=True)


def write(
    connection: Connection,
    *,
    at: int,
    unit: str,
    subject: str,
    subject_id: str,
    act: str,
    actor: str,
    state: str | None = None,
    item: str | None = None,
    outlet: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> int:
    """Append one entry; returns its id. `actor` is a person or a worker process; `detail` has no secret."""
    values = act_of(at, unit, subject, subject_id, act, actor, state=state, item=item, outlet=outlet, detail=detail)
    key = connection.execute(_ONE, values).inserted_primary_key
    entry_id = int(key[0]) if key else 0
    told.note(connection, entry_id, values)
    return entry_id


def write_all(connection: Connection, acts: Sequence[Mapping[str, Any]]) -> list[int]:
    """Append entries made by `act_of`, as one statement; returns their ids, which ascend in the order of `acts`."""
    if not acts:
        return []
    ids = [int(one) for one in connection.execute(_MANY, list(acts)).scalars()]
    for entry_id, values in zip(ids, acts, strict=True):
        told.note(connection, entry_id, values)
    return ids


def act_of(
    at: int,
    unit: str,
    subject: str,
    subject_id: str,
    act: str,
    actor: str,
    *,
    state: str | None = None,
    item: str | None = None,
    outlet: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An entry's values; as in `write`."""
    return {
        "at": at,
        "unit": unit,
        "subject": subject,
        "subject_id": subject_id,
        "act": act,
        "state": state,
        "actor": actor,
        "item": item,
        "outlet": outlet,
        "detail": dict(detail or {}),
    }


def size(connection: Connection) -> int:
    """Number of entries: ids are given without gaps, because one writer writes at a time."""
    return connection.execute(select(func.max(entry.c.id))).scalar() or 0


def of(connection: Connection, subject: str, subject_id: str) -> list[Record]:
    """Every entry of one subject, oldest first."""
    wanted = select(entry).where(entry.c.subject == subject, entry.c.subject_id == subject_id).order_by(entry.c.id)
    return list(connection.execute(wanted))


def page(
    connection: Connection,
    *,
    item: str | None = None,
    outlet: str | None = None,
    since: int | None = None,
    after: int = 0,
    size: int = 1_000,
) -> Iterator[Record]:
    """Entries in order from `after` (exclusive), by page: never an OFFSET."""
    while True:
        wanted = select(entry).where(entry.c.id > after).order_by(entry.c.id).limit(size)
        if item is not None:
            wanted = wanted.where(entry.c.item == item)
        if outlet is not None:
            wanted = wanted.where(entry.c.outlet == outlet)
        if since is not None:
            wanted = wanted.where(entry.c.at >= since)
        rows = list(connection.execute(wanted))
        yield from rows
        if len(rows) < size:
            return
        after = rows[-1].id
