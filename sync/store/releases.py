"""Releases: the only place where a release's row changes, and where the joint rules take effect."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from sync import flow
from sync.clock import SECOND
from sync.flow import IN_FLIGHT, RE, D, E, R, Standing
from sync.store import deliveries, journal
from sync.store.deliveries import Change
from sync.store.outlets import Unknown
from sync.store.tables import FORM, Record, delivery, release, release_item

_GET = select(release).where(release.c.id == bindparam("this"))
_STATE = select(release.c.state).where(release.c.id == bindparam("this"))
_STANDINGS = select(delivery.c.state, delivery.c.required).where(delivery.c.release == bindparam("this"))
_ITEM = (
    select(release_item.c.item)
    .where(release_item.c.release == bindparam("this"))
    .order_by(release_item.c.position)
    .limit(1)
)
_WENT_OUT = (R.COMMITTED.value, R.RELEASED.value)
_CHANGE = (
    update(release)
    .where(
        release.c.id == bindparam("this"),
        release.c.state == bindparam("read_state"),
        release.c.entry_id == bindparam("read_entry"),
    )
    .returning(*release.c)
)


def get(connection: Connection, release_id: str) -> Record:
    """Raises Unknown."""
    row = connection.execute(_GET, {"this": release_id}).one_or_none()
    if row is None:
        raise Unknown(release_id)
    return row


def state_of(connection: Connection, release_id: str) -> R:
    """Only its state, which is much cheaper. Raises Unknown."""
    state = connection.execute(_STATE, {"this": release_id}).scalar()
    if state is None:
        raise Unknown(release_id)
    return R(state)


def by_request(connection: Connection, request_id: str) -> Record | None:
    return connection.execute(select(release).where(release.c.request_id == request_id)).one_or_none()


def led_to(connection: Connection, item: str) -> str | None:
    """The canonical outlet of the last release that made the item public; None: there was none."""
    wanted = select(release.c.canonical_outlet).join(release_item, release_item.c.release == release.c.id)
    of = (release_item.c.item == item, release.c.canonical_outlet.is_not(None), release.c.state.in_(_WENT_OUT))
    return connection.execute(wanted.where(*of).order_by(release.c.created_at.desc()).limit(1)).scalar()


def page(connection: Connection, *, before: int | None = None, size: int = 50) -> Sequence[Record]:
    """Newest first; continue with the last `created_at`."""
    wanted = select(release).order_by(release.c.created_at.desc()).limit(size)
    return connection.execute(wanted if before is None else wanted.where(release.c.created_at < before)).all()


def in_state(connection: Connection, state: R) -> Sequence[Record]:
    """All releases in a state, oldest first."""
    return connection.execute(
        select(release).where(release.c.state == state.value).order_by(release.c.created_at)
    ).all()


def overdue(connection: Connection, now: int) -> Sequence[Record]:
    """Releases that waited for a required outlet past their late limit; none that is too new."""
    waiting = release.c.state.in_((R.OPEN.value, R.READY.value))
    return connection.execute(select(release).where(release.c.overdue_at <= now, waiting, release.c.form <= FORM)).all()


def add(
    connection: Connection,
    values: Mapping[str, Any],
    items: Sequence[tuple[str, int]],
    *,
    at: int,
    actor: str,
    detail: Mapping[str, Any],
) -> Record:
    """`values`: every column but state, why, evidence, reason (of a withdrawal only) and entry."""
    entry_id = _tell(connection, values["id"], values["unit"], "planned", R.OPEN, at, actor, detail, items[0][0])
    connection.execute(
        insert(release).values(
            {"reason": "", "form": FORM, **values, "state": R.OPEN.value, "why": "", "evidence": {}}
            | {"created_at": at, "entry_id": entry_id}
        )
    )
    for position, (item, revision) in enumerate(items):
        connection.execute(
            insert(release_item).values(release=values["id"], position=position, item=item, revision=revision)
        )
    return get(connection, values["id"])


def standings(connection: Connection, release_id: str) -> list[Standing]:
    return _standings(connection.execute(_STANDINGS, {"this": release_id}))


def _standings(rows: Iterable[Record]) -> list[Standing]:
    return [Standing(D(row.state), row.required) for row in rows]


def move(
    connection: Connection,
    row: Record,
    event: RE,
    *,
    at: int,
    actor: str,
    detail: Mapping[str, Any] | None = None,
    **values: Any,
) -> Record:
    """State change with its entry, in the caller's transaction. Raises flow.IllegalMove, Superseded or TooNew."""
    known = standings(connection, row.id)
    return _move(connection, row, event, known, at=at, actor=actor, detail=detail or {}, values=values)


def _move(
    connection: Connection,
    row: Record,
    event: RE,
    known: Sequence[Standing],
    *,
    at: int,
    actor: str,
    detail: Mapping[str, Any],
    values: Mapping[str, Any],
) -> Record:
    after = flow.step_release(R(row.state), event, known, approved=is_approved(row))
    return _write(connection, row, event.value, after, at, actor, detail, values)


def tell(
    connection: Connection,
    row: Record,
    act: str,
    *,
    at: int,
    actor: str,
    detail: Mapping[str, Any],
    **values: Any,
) -> Record:
    """Something of a release other than its state, with its entry. Raises Superseded or TooNew."""
    return _write(connection, row, act, R(row.state), at, actor, detail, values)


def is_approved(row: Record) -> bool:
    """It needs no review, or has its three approvals. A withdrawal is reviewed afterwards."""
    return bool(row.review != "three" or row.reviewed or row.action == "withdraw")


def _write(
    connection: Connection,
    row: Record,
    act: str,
    after: R,
    at: int,
    actor: str,
    detail: Mapping[str, Any],
    values: Mapping[str, Any],
) -> Record:
    if row.form > FORM:
        raise deliveries.TooNew(row.id)
    item = connection.execute(_ITEM, {"this": row.id}).scalar()
    entry_id = _tell(connection, row.id, row.unit, act, after, at, actor, detail, item)
    read_as = {"this": row.id, "read_state": row.state, "read_entry": row.entry_id}
    written = {"state": after.value, "entry_id": entry_id, **values}
    changed = connection.execute(_CHANGE, read_as | written).one_or_none()
    if changed is None:
        raise deliveries.Superseded(row.id)
    return changed


def settle(
    connection: Connection,
    release_id: str,
    *,
    at: int,
    actor: str,
    arm_before: float,
    why: Callable[[], str],
    waiting: Callable[[Record, Sequence[Record]], Container[str]] = lambda row, going: (),
) -> Record:
    """Apply the joint rules after deliveries moved, with the due rows that follow. Returns the release.

    To be called in the transaction of the moves, so that no state ever waits for a second one. `waiting`: of
    the release and its deliveries, the ids of what may not go out yet although it is prepared.
    """
    row, going = get(connection, release_id), deliveries.standing(connection, release_id)
    known = _standings(going)
    while (asked := flow.joint(R(row.state), known, approved=is_approved(row))) is not None:
        told = why() if asked is RE.HELD else ""
        values = {"why": told or "a required outlet cannot go out"} if asked is RE.HELD else {}
        detail = {"why": told} if told else {}
        row = _move(connection, row, asked, known, at=at, actor=actor, detail=detail, values=values)
    later = waiting(row, going)
    changes = [one for one in (_follows(row, each, at, later) for each in going) if one is not None]
    if row.state == R.READY:
        changes = _set_due(row, [one for one in going if one.id not in later], at, arm_before)
    deliveries.change_all(connection, changes, at=at, actor=actor, joined=R(row.state))
    if row.state == R.COMMITTED and any(one.event is not None for one in changes):
        known = standings(connection, release_id)
        if flow.joint(R.COMMITTED, known) is RE.COMPLETED:
            row = _move(connection, row, RE.COMPLETED, known, at=at, actor=actor, detail={}, values={})
    return row


def _set_due(row: Record, going: Sequence[Record], at: int, arm_before: float) -> list[Change]:
    """Everything is ready: when whoever releases it has to begin."""
    earliest = max((one.ahead for one in going), default=0)
    due_at = at if row.release_at is None else max(at, row.release_at - earliest - round(arm_before * SECOND))
    return [
        Change(one, values={"duty": "release", "due_at": due_at})
        for one in going
        if one.state == D.PREPARED and one.owner is None and (one.duty, one.due_at) != ("release", due_at)
    ]


def _follows(row: Record, one: Record, at: int, later: Container[str]) -> Change | None:
    """What becomes of a delivery by the state of its release, unless that is to go out."""
    nothing = {"duty": None, "due_at": None}
    if row.state in (R.HELD, R.OPEN):
        return Change(one, values=nothing) if one.duty == "release" and D(one.state) not in IN_FLIGHT else None
    if row.state == R.CANCELLED or (row.state == R.COMMITTED and one.stopped):
        if E.CANCELLED in flow.TABLE[D(one.state)]:
            return Change(one, E.CANCELLED, values=nothing)
        if one.state == D.PREPARED and one.duty != "discard":
            return Change(one, values={"duty": "discard", "due_at": at, "owner": None, "epoch": one.epoch + 1})
        return None
    ready = one.state == D.PREPARED and one.due_at is None and one.owner is None
    if row.state == R.COMMITTED and ready and one.id not in later:
        return Change(one, values={"duty": "release", "due_at": at}) if is_approved(row) else None
    return None


def _tell(
    connection: Connection,
    release_id: str,
    unit: str,
    act: str,
    state: R,
    at: int,
    actor: str,
    detail: Mapping[str, Any],
    item: str | None,
) -> int:
    return journal.write(
        connection,
        at=at,
        unit=unit,
        subject="release",
        subject_id=release_id,
        act=act,
        state=state.value,
        item=item,
        actor=actor,
        detail=detail,
    )
