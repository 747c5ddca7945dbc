"""Kept tokens: the rows of `outlet_token`. What is sealed in them is opened elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from sync.store.tables import Record, outlet_token


@dataclass(frozen=True, slots=True)
class Place:
    """Whose token: of an outlet, or of its sandbox twin, by the name that its channel gives it."""

    outlet: str
    live: bool
    name: str


_THIS = (
    outlet_token.c.outlet == bindparam("of_outlet"),
    outlet_token.c.live == bindparam("of_live"),
    outlet_token.c.name == bindparam("of_name"),
)
_GET = select(outlet_token).where(*_THIS)
_MINE = update(outlet_token).where(*_THIS, outlet_token.c.epoch == bindparam("read_epoch"))


def get(connection: Connection, place: Place) -> Record | None:
    return connection.execute(_GET, _where(place)).one_or_none()


def begin(connection: Connection, place: Place, row: Record | None, *, generation: int, owner: str) -> int:
    """`owner` renews it from now on; returns the epoch of this renewal. Whoever held it finds a newer one and stops.

    In a write transaction that has read `row` and found that nobody living renews it."""
    if row is None:
        values = {"generation": generation, "owner": owner, "epoch": 1}
        connection.execute(insert(outlet_token), _columns(place) | values)
        return 1
    epoch = int(row.epoch) + 1
    connection.execute(_MINE, _where(place) | {"read_epoch": row.epoch, "owner": owner, "epoch": epoch})
    return epoch


def gained(connection: Connection, place: Place, epoch: int, values: Mapping[str, Any]) -> bool:
    """Keep what the renewal of this epoch gained: `generation`, `sealed`, `gained_at`, `expires_at`.

    False: somebody newer renews it, or has; nothing was changed."""
    return _end(connection, place, epoch, {**values, "failure": None})


def failed(connection: Connection, place: Place, epoch: int, failure: Mapping[str, Any] | None) -> bool:
    """The renewal of this epoch gained nothing; what was kept stays kept. False as in `gained`."""
    return _end(connection, place, epoch, {"failure": None if failure is None else dict(failure)})


def _end(connection: Connection, place: Place, epoch: int, values: dict[str, Any]) -> bool:
    done = connection.execute(_MINE, _where(place) | {"read_epoch": epoch, "owner": None, **values})
    return done.rowcount == 1


def _where(place: Place) -> dict[str, Any]:
    return {"of_outlet": place.outlet, "of_live": place.live, "of_name": place.name}


def _columns(place: Place) -> dict[str, Any]:
    return {"outlet": place.outlet, "live": place.live, "name": place.name}
