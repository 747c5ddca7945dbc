"""What anonymous readers were given: for each delivery a row whenever that changed. Rows are never changed.

Bodies lie in the asset store under their digest; a row says which answers a reading is made of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select

from sync.model import Level
from sync.store.tables import Record, reading


@dataclass(frozen=True)
class Kept:
    """A reading whose bodies are stored: `captures` have url, status, media_type, size, digest, and `kept`."""

    delivery: str
    began_at: int
    ended_at: int
    level: Level
    captures: Sequence[Mapping[str, Any]]
    problems: Sequence[Mapping[str, Any]]

    def tells(self, last: Record | None) -> bool:
        """Whether it says anything that the last one did not."""
        if last is None:
            return True
        answers = [(one["url"], one["status"], one["digest"]) for one in self.captures]
        return (self.level, answers) != (last.level, [(c["url"], c["status"], c["digest"]) for c in last.captures])


def add_all(connection: Connection, seen: Sequence[Kept], *, reader: str) -> None:
    """Those that tell something new."""
    known = newest(connection, [one.delivery for one in seen])
    for one in seen:
        last = known.get(one.delivery)
        if one.tells(last):
            connection.execute(
                insert(reading).values(
                    delivery=one.delivery,
                    number=1 if last is None else last.number + 1,
                    began_at=one.began_at,
                    ended_at=one.ended_at,
                    level=one.level.value,
                    captures=[dict(capture) for capture in one.captures],
                    problems=[dict(problem) for problem in one.problems],
                    reader=reader,
                )
            )


def bodies(connection: Connection) -> set[str]:
    """The digests of all answers that are kept whole."""
    rows = connection.execute(select(reading.c.captures)).scalars()
    return {str(one["digest"]) for captures in rows for one in captures if one["kept"]}


def newest(connection: Connection, ids: Collection[str]) -> dict[str, Record]:
    """The last reading of each of these deliveries that has one."""
    last = (
        select(reading.c.delivery, func.max(reading.c.number).label("number"))
        .where(reading.c.delivery.in_(list(ids)))
        .group_by(reading.c.delivery)
        .subquery()
    )
    joined = (reading.c.delivery == last.c.delivery) & (reading.c.number == last.c.number)
    rows = connection.execute(select(reading).join(last, joined)).all()
    return {row.delivery: row for row in rows}


def of(connection: Connection, delivery_id: str) -> Sequence[Record]:
    """Every reading of one delivery, in their order."""
    asked = select(reading).where(reading.c.delivery == delivery_id).order_by(reading.c.number)
    return connection.execute(asked).all()
