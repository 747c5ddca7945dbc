"""Approvals, and which unit's rule a release is under. An approval is written once and never changed."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select

from sync.model import Edition
from sync.store import journal
from sync.store.people import THREE
from sync.store.tables import Record, approval, delivery, edition, entry, item, release, release_item, unit

NEEDED = 3


def ruling(connection: Connection, items: Sequence[str], outlets: Sequence[Record]) -> tuple[str, str]:
    """Unit and rule of a release of these items to these outlets: the strictest of all their units.

    So nobody gets round a unit's reviews by way of another unit's outlets or items.
    """
    rules = {row.id: row.review for row in connection.execute(select(unit))}
    owners = {row.id: row.unit for row in connection.execute(select(item).where(item.c.id.in_(items)))}
    units = [*(owners[one] for one in items), *(one.unit for one in outlets)]
    chosen = next((one for one in units if rules[one] == THREE), units[0])
    return chosen, rules[chosen]


def owners(connection: Connection, editions: Sequence[Edition]) -> set[str]:
    """The units whose items these are editions of."""
    wanted = select(item.c.unit).where(item.c.id.in_([one.item for one in editions]))
    return set(connection.execute(wanted).scalars())


def units_of(connection: Connection, row: Record) -> set[str]:
    """Whose people may approve a release: its unit's, and those of the units whose outlets it goes to."""
    there = connection.execute(select(delivery.c.unit).where(delivery.c.release == row.id)).scalars()
    return {row.unit, *there}


def item_units(connection: Connection, release_id: str) -> set[str]:
    """The units whose items are in a release."""
    wanted = select(item.c.unit).join(release_item, release_item.c.item == item.c.id)
    return set(connection.execute(wanted.where(release_item.c.release == release_id)).scalars())


def authors(connection: Connection, release_id: str) -> list[str]:
    """Who wrote its editions, in the release's order."""
    wanted = select(edition.c.author).join(
        release_item, and_(release_item.c.item == edition.c.item, release_item.c.revision == edition.c.revision)
    )
    named = connection.execute(wanted.where(release_item.c.release == release_id).order_by(release_item.c.position))
    return list(dict.fromkeys(named.scalars()))


def of(connection: Connection, row: Record) -> Sequence[Record]:
    """The approvals that count now, by stage."""
    wanted = select(approval).where(
        approval.c.release == row.id, approval.c.round == row.round, approval.c.digest == row.digest
    )
    return connection.execute(wanted.order_by(approval.c.stage)).all()


def add(
    connection: Connection,
    row: Record,
    stage: int,
    approver: str,
    *,
    note: str,
    identified: str,
    at: int,
    actor: str,
    item_id: str,
) -> None:
    """One approval of what is under review now, with its entry. The database refuses whoever may not."""
    approval_id = secrets.token_hex(8)
    detail: dict[str, Any] = {
        "release": row.id,
        "round": row.round,
        "stage": stage,
        "approver": approver,
        "digest": row.digest,
        "identified": identified,
        "note": note,
    }
    entry_id = journal.write(
        connection,
        at=at,
        unit=row.unit,
        subject="approval",
        subject_id=approval_id,
        act="approved",
        state="approved",
        actor=actor,
        item=item_id,
        detail=detail,
    )
    connection.execute(
        insert(approval).values(
            id=approval_id,
            release=row.id,
            round=row.round,
            stage=stage,
            approver=approver,
            digest=row.digest,
            at=at,
            note=note,
            identified=identified,
            entry_id=entry_id,
        )
    )


def waiting(connection: Connection) -> Sequence[Record]:
    """Releases whose review is open, oldest first: not approved yet, or withdrawn and to be reviewed afterwards."""
    done = select(approval.c.id).where(approval.c.release == release.c.id)
    return connection.execute(
        select(release)
        .where(
            release.c.review == THREE,
            or_(
                and_(
                    release.c.action != "withdraw",
                    release.c.reviewed.is_(False),
                    release.c.state.in_(("open", "held", "committed")),
                ),
                and_(release.c.action == "withdraw", release.c.state != "cancelled", ~done.exists()),
            ),
        )
        .order_by(release.c.created_at, release.c.id)
    ).all()


def bound_to(connection: Connection, outlet: str) -> Sequence[Record]:
    """Releases under review or approved that still have something to put in place, or send, at an outlet."""
    going = delivery.c.state.in_(("planned", "rendered", "preparing", "prepared"))
    there = select(delivery.c.release).where(delivery.c.outlet == outlet, going)
    return connection.execute(
        select(release).where(
            release.c.id.in_(there),
            release.c.review == THREE,
            release.c.action != "withdraw",
            release.c.digest.is_not(None),
            release.c.state.in_(("open", "ready", "held", "committed")),
        )
    ).all()


def told(connection: Connection, release_id: str, acts: Collection[str]) -> Sequence[Record]:
    """The entries of a release's reviews, oldest first."""
    wanted = select(entry).where(
        entry.c.subject == "release", entry.c.subject_id == release_id, entry.c.act.in_(list(acts))
    )
    return connection.execute(wanted.order_by(entry.c.id)).all()
