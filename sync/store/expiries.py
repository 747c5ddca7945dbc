"""When outlets' credentials end, as it was learnt last: rows of `outlet_expiry`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select, update

from sync.store.tables import Record, outlet, outlet_expiry

NOT_YET, SOON, NOW = "", "soon", "now"  # how urgent it is that a person gives new ones


def current(connection: Connection) -> dict[str, Record]:
    """By outlet, of outlets as they are now: other credentials end at another time."""
    of = (outlet_expiry.c.outlet == outlet.c.name, outlet_expiry.c.live == outlet.c.live)
    wanted = select(outlet_expiry).where(*of, outlet_expiry.c.generation == outlet.c.generation)
    return {row.outlet: row for row in connection.execute(wanted)}


def unasked(connection: Connection, now: int) -> Sequence[Record]:
    """(name, kind) of outlets in use of which it is not known, or has to be asked again by now."""
    of = (
        outlet_expiry.c.outlet == outlet.c.name,
        outlet_expiry.c.live == outlet.c.live,
        outlet_expiry.c.generation == outlet.c.generation,
    )
    wanted = select(outlet.c.name, outlet.c.kind).outerjoin(outlet_expiry, and_(*of))
    asked = or_(outlet_expiry.c.look_at.is_(None), outlet_expiry.c.look_at <= now)
    return connection.execute(wanted.where(outlet.c.state != "retired", asked)).all()


def keep(connection: Connection, there: Record, **values: Any) -> None:
    """Of the outlet `there`, as it is now. In a write transaction."""
    whose = (outlet_expiry.c.outlet == there.name, outlet_expiry.c.live == there.live)
    known = connection.execute(select(outlet_expiry).where(*whose)).one_or_none()
    if known is None:
        fresh = {"expires_at": None, "warned": NOT_YET, "outlet": there.name, "live": there.live}
        connection.execute(insert(outlet_expiry), {**fresh, "generation": there.generation, **values})
        return
    if known.generation != there.generation:  # what was known was of other credentials
        values = {"expires_at": None, "warned": NOT_YET, "generation": there.generation, **values}
    connection.execute(update(outlet_expiry).where(*whose).values(**values))
