"""Releases: the only place where a release's row changes, and where the joint rules take effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from sync import flow
from sync.clock import SECOND
from sync.flow import IN_FLIGHT, RE, D, E, R, Standing
from sync.store import deliveries, journal
from sync.store.outlets import Unknown
from sync.store.tables import Record, delivery, release, release_item


def get(connection: Connection, release_id: str) -> Record:
    """Raises Unknown."""
    row = connection.execute(select(release).where(release.c.id == release_id)).one_or_none()
    if row is None:
        raise Unknown(release_id)
    return row


def by_request(connection: Connection, request_id: str) -> Record | None:
    return connection.execute(select(release).where(release.c.request_id == request_id)).one_or_none()


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
    """Releases that waited for a required outlet past their late limit."""
    waiting = release.c.state.in_((R.OPEN.value, R.READY.value))
    return connection.execute(select(release).where(release.c.overdue_at <= now, waiting)).all()


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
            {"reason": "", **values, "state": R.OPEN.value, "why": "", "evidence": {}}
            | {"created_at": at, "entry_id": entry_id}
        )
    )
    for position, (item, revision) in enumerate(items):
        connection.execute(
            insert(release_item).values(release=values["id"], position=position, item=item, revision=revision)
        )
    return get(connection, values["id"])


def standings(connection: Connection, release_id: str) -> list[Standing]:
    states = select(delivery.c.state, delivery.c.required).where(delivery.c.release == release_id)
    return [Standing(D(row.state), row.required) for row in connection.execute(states)]


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
    """State change with its entry, in the caller's transaction. Raises flow.IllegalMove or Superseded."""
    after = flow.step_release(R(row.state), event, standings(connection, row.id), approved=is_approved(row))
    return _write(connection, row, event.value, after, at, actor, detail or {}, values)


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
    """Something of a release other than its state, with its entry. Raises Superseded."""
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
    item = connection.execute(select(release_item.c.item).where(release_item.c.release == row.id)).scalars().first()
    entry_id = _tell(connection, row.id, row.unit, act, after, at, actor, detail, item)
    changed = connection.execute(
        update(release)
        .where(release.c.id == row.id, release.c.state == row.state, release.c.entry_id == row.entry_id)
        .values(state=after.value, entry_id=entry_id, **values)
        .returning(*release.c)
    ).one_or_none()
    if changed is None:
        raise deliveries.Superseded(row.id)
    return changed


def settle(
    connection: Connection, release_id: str, *, at: int, actor: str, arm_before: float, why: Callable[[], str]
) -> Record:
    """Apply the joint rules after deliveries moved, with the due rows that follow. Returns the release.

    To be called in the transaction of the moves, so that no state ever waits for a second one.
    """
    row = get(connection, release_id)
    while (asked := flow.joint(R(row.state), standings(connection, release_id), approved=is_approved(row))) is not None:
        told = why() if asked is RE.HELD else ""
        values = {"why": told or "a required outlet cannot go out"} if asked is RE.HELD else {}
        row = move(connection, row, asked, at=at, actor=actor, detail={"why": told} if told else {}, **values)
    if row.state == R.READY:
        going = deliveries.standing(connection, release_id)
        earliest = max((one.ahead for one in going), default=0)
        due_at = at if row.release_at is None else max(at, row.release_at - earliest - round(arm_before * SECOND))
        for one in going:
            if one.state == D.PREPARED and one.owner is None and (one.duty, one.due_at) != ("release", due_at):
                deliveries.note(connection, one, duty="release", due_at=due_at)
    elif row.state in (R.HELD, R.OPEN):
        for one in deliveries.standing(connection, release_id):
            if one.duty == "release" and D(one.state) not in IN_FLIGHT:
                deliveries.note(connection, one, duty=None, due_at=None)
    elif row.state == R.CANCELLED:
        for one in deliveries.standing(connection, release_id):
            if E.CANCELLED in flow.TABLE[D(one.state)]:
                deliveries.move(connection, one, E.CANCELLED, at=at, actor=actor, duty=None, due_at=None)
            elif one.state == D.PREPARED and one.duty != "discard":
                discard = {"duty": "discard", "due_at": at, "owner": None, "epoch": one.epoch + 1}
                deliveries.note(connection, one, **discard)
    elif row.state == R.COMMITTED:
        for one in deliveries.standing(connection, release_id):
            if one.stopped and E.CANCELLED in flow.TABLE[D(one.state)]:
                deliveries.move(connection, one, E.CANCELLED, at=at, actor=actor, duty=None, due_at=None)
            elif one.stopped and one.state == D.PREPARED and one.duty != "discard":
                discard = {"duty": "discard", "due_at": at, "owner": None, "epoch": one.epoch + 1}
                deliveries.note(connection, one, **discard)
            elif one.state == D.PREPARED and one.due_at is None and one.owner is None and is_approved(row):
                deliveries.note(connection, one, duty="release", due_at=at)
        if flow.joint(R.COMMITTED, standings(connection, release_id)) is RE.COMPLETED:
            row = move(connection, row, RE.COMPLETED, at=at, actor=actor)
    return row


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
