"""Who runs an installation, and what has to be looked up at the outlets before it may act again.

A recovery begins with a restore or an adoption. While it is `looking`, nothing is sent (see
`sync.engine.identity`). Each of its looks names what this database believes of one delivery or copy;
what was found stays, and the database refuses an end before every look has found something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, or_, select, update

from sync.flow import ENDED, D
from sync.store import copies, journal
from sync.store.outlets import LOCAL_UNIT, identity
from sync.store.tables import Record, adoption, copy, delivery, look, recovery

LOOKING, ENDED_WELL, OVERTAKEN = "looking", "ended", "overtaken"
RESTORED, ADOPTED = "restored", "adopted"
DELIVERY, COPY = "delivery", "copy"
# What a look came to. Only an outlet that has no way to be asked, or a person who gave up asking, leaves it open.
PUBLIC, COMING, HIDDEN, NOTHING = "public", "coming", "hidden", "nothing"
ALTERED, MISSING, REFUSED, BLIND, UNREACHABLE = "altered", "missing", "refused", "blind", "unreachable"
MOVED = "moved"  # a person moved it meanwhile


_HOST = select(adoption.c.host).order_by(adoption.c.entry_id.desc()).limit(1)
_CURRENT = select(recovery).where(recovery.c.state == bindparam("looking"))


def adopt(connection: Connection, host: str, *, at: int, actor: str, detail: Mapping[str, Any]) -> None:
    """From now on the installation is run by `host`."""
    known = identity(connection)
    entry_id = _tell(connection, "installation", known, "adopted", None, at, actor, detail)
    connection.execute(insert(adoption).values(entry_id=entry_id, installation=known, host=host, at=at))


def host_of(connection: Connection) -> str | None:
    """Who runs it; None: a database from before this was kept."""
    return connection.execute(_HOST).scalar()


def current(connection: Connection) -> Record | None:
    """The recovery under way; None: there is none, or it has ended."""
    return connection.execute(_CURRENT, {"looking": LOOKING}).one_or_none()


def newest(connection: Connection) -> Record | None:
    """The last recovery, whatever its state."""
    return connection.execute(select(recovery).order_by(recovery.c.entry_id.desc()).limit(1)).one_or_none()


def begin(
    connection: Connection, recovery_id: str, why: str, backup: Mapping[str, Any], *, at: int, actor: str
) -> Record:
    """A recovery with one look for each delivery that has not ended and each copy that a reader may find.

    One that is under way is overtaken: what it found may be older than what is restored or adopted now.
    """
    if (open_ := current(connection)) is not None:
        _move(connection, open_, OVERTAKEN, at=at, actor=actor, detail={"by": recovery_id})
    entry_id = _tell(connection, "recovery", recovery_id, "begun", LOOKING, at, actor, {"why": why, **backup})
    connection.execute(
        insert(recovery).values(
            id=recovery_id, why=why, state=LOOKING, begun_at=at, backup=dict(backup), entry_id=entry_id
        )
    )
    ended = [state.value for state in ENDED | {D.RELEASED}]
    open_deliveries = select(delivery.c.id, delivery.c.outlet, delivery.c.entry_id).where(
        delivery.c.state.not_in(ended)
    )
    public = select(copy.c.id, copy.c.outlet, copy.c.entry_id).where(copy.c.state.in_(copies.CURRENT))
    rows = [
        {"recovery": recovery_id, "subject": subject, "delivery": row.id, "outlet": row.outlet}
        | {"known": row.entry_id, "due_at": at, "attempts": 0, "why": ""}
        for subject, wanted in ((DELIVERY, open_deliveries), (COPY, public))
        for row in connection.execute(wanted)
    ]
    if rows:
        connection.execute(insert(look), rows)
    return connection.execute(select(recovery).where(recovery.c.id == recovery_id)).one()


def due(connection: Connection, recovery_id: str, now: int, most: int) -> Sequence[Record]:
    """Looks that are due, those of one release's deliveries beside each other."""
    wanted = (
        select(look)
        .join(delivery, delivery.c.id == look.c.delivery)
        .where(look.c.recovery == recovery_id, look.c.due_at <= now)
        .order_by(delivery.c.release, look.c.subject, look.c.delivery)
        .limit(most)
    )
    return connection.execute(wanted).all()


def next_due(connection: Connection) -> int | None:
    """When the next look falls due, µs UTC; None: there is none."""
    open_ = select(func.min(look.c.due_at)).join(recovery, recovery.c.id == look.c.recovery)
    return connection.execute(open_.where(recovery.c.state == LOOKING)).scalar()


def looks(connection: Connection, recovery_id: str, *, open_only: bool = False) -> Sequence[Record]:
    """All looks of a recovery, or those that found nothing out yet, by outlet."""
    wanted = select(look).where(look.c.recovery == recovery_id)
    if open_only:
        wanted = wanted.where(look.c.found.is_(None))
    return connection.execute(wanted.order_by(look.c.outlet, look.c.subject, look.c.delivery)).all()


def note(connection: Connection, row: Record, **values: Any) -> None:
    """Change a look that has found nothing yet; one that has, stays."""
    connection.execute(
        update(look)
        .where(
            look.c.recovery == row.recovery,
            look.c.subject == row.subject,
            look.c.delivery == row.delivery,
            look.c.found.is_(None),
        )
        .values(**values)
    )


def end(connection: Connection, row: Record, *, at: int, actor: str) -> None:
    """Everything was looked up. The database refuses it otherwise."""
    counted = select(look.c.found, func.count().label("times")).where(look.c.recovery == row.id).group_by(look.c.found)
    found = {one.found: one.times for one in connection.execute(counted)}
    _move(connection, row, ENDED_WELL, at=at, actor=actor, detail={"found": found})


def count(connection: Connection, recovery_id: str) -> tuple[int, int]:
    """How many looks there are, and how many of them have found something."""
    every = select(func.count(), func.count(look.c.found)).where(look.c.recovery == recovery_id)
    total, found = connection.execute(every).one()
    return int(total), int(found)


def is_empty(connection: Connection, recovery_id: str) -> bool:
    """Nothing is left to look up."""
    left = select(look.c.delivery).where(
        look.c.recovery == recovery_id, or_(look.c.found.is_(None), look.c.due_at.is_not(None))
    )
    return connection.execute(left.limit(1)).first() is None


def _move(connection: Connection, row: Record, state: str, *, at: int, actor: str, detail: Mapping[str, Any]) -> None:
    entry_id = _tell(connection, "recovery", row.id, state, state, at, actor, detail)
    connection.execute(update(recovery).where(recovery.c.id == row.id).values(state=state, entry_id=entry_id))


def _tell(
    connection: Connection,
    subject: str,
    subject_id: str,
    act: str,
    state: str | None,
    at: int,
    actor: str,
    detail: Mapping[str, Any],
) -> int:
    return journal.write(
        connection,
        at=at,
        unit=LOCAL_UNIT,
        subject=subject,
        subject_id=subject_id,
        act=act,
        state=state,
        actor=actor,
        detail=detail,
    )
