"""Items and their editions. An edition is written once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select

from sync.model import Asset, AssetRole, Edition
from sync.store import journal
from sync.store.outlets import Unknown
from sync.store.tables import Record, asset, copy, delivery, edition, item, release, release_item

_NEWEST = (
    select(edition, item.c.unit)
    .join(item, item.c.id == edition.c.item)
    .where(edition.c.item == bindparam("of_item"))
    .order_by(edition.c.revision.desc())
    .limit(1)
)
_REVISION = _NEWEST.where(edition.c.revision == bindparam("of_revision"))


def add(
    connection: Connection,
    frozen: Edition,
    *,
    unit: str,
    routing: Mapping[str, Any],
    at: int,
    author: str,
    actor: str | None = None,
) -> None:
    """A new item with its first edition, or a further edition of an item that exists.

    `actor`: the author with how they were identified; the author alone unless given."""
    detail = {"revision": frozen.revision, "digest": frozen.digest, "title": frozen.title}
    entry_id = journal.write(
        connection,
        at=at,
        unit=unit,
        subject="item",
        subject_id=frozen.item,
        act="edition_frozen",
        state=f"revision {frozen.revision}",
        item=frozen.item,
        actor=actor or author,
        detail=detail,
    )
    if frozen.revision == 1:
        connection.execute(insert(item).values(id=frozen.item, unit=unit, created_at=at, entry_id=entry_id))
    for part in {one.digest: one for one in frozen.assets}.values():
        if connection.execute(select(asset.c.digest).where(asset.c.digest == part.digest)).first() is None:
            connection.execute(
                insert(asset).values(digest=part.digest, size=part.size, media_type=part.media_type, created_at=at)
            )
    connection.execute(
        insert(edition).values(
            item=frozen.item,
            revision=frozen.revision,
            digest=frozen.digest,
            title=frozen.title,
            body=frozen.body,
            metadata={key: list(v) if isinstance(v, tuple) else v for key, v in frozen.metadata.items()},
            assets=[[a.digest, a.media_type, a.size, a.name, a.role, a.alt] for a in frozen.assets],
            routing=dict(routing),
            author=author,
            created_at=at,
        )
    )


def get(connection: Connection, item_id: str, revision: int | None = None) -> tuple[Edition, Record]:
    """An edition and its row (unit, routing, author). Newest revision unless named. Raises Unknown."""
    if revision is None:
        row = connection.execute(_NEWEST, {"of_item": item_id}).one_or_none()
    else:
        row = connection.execute(_REVISION, {"of_item": item_id, "of_revision": revision}).one_or_none()
    if row is None:
        raise Unknown(item_id)
    return _frozen(row), row


def known(connection: Connection, item_id: str) -> bool:
    """Whether there is an item of this id."""
    return connection.execute(select(item.c.id).where(item.c.id == item_id)).first() is not None


def page(connection: Connection, *, before: int | None = None, size: int = 50) -> Sequence[Record]:
    """Newest items first, with the title of their newest edition; continue with the last `created_at`."""
    newest = select(edition.c.item, func.max(edition.c.revision).label("revision")).group_by(edition.c.item).subquery()
    wanted = (
        select(item.c.id, item.c.unit, item.c.created_at, edition.c.title, edition.c.revision, edition.c.digest)
        .join(newest, newest.c.item == item.c.id)
        .join(edition, and_(edition.c.item == item.c.id, edition.c.revision == newest.c.revision))
        .order_by(item.c.created_at.desc(), item.c.id)
        .limit(size)
    )
    if before is not None:
        wanted = wanted.where(item.c.created_at < before)
    return connection.execute(wanted).all()


def same_content(connection: Connection, digest: str, outlets: Sequence[str]) -> Record | None:
    """A delivery of an edition with this digest that is planned or public on one of the outlets.

    One whose copy was withdrawn, or changed by a correction, is neither."""
    return connection.execute(
        select(edition.c.item, delivery.c.outlet, delivery.c.release, delivery.c.state)
        .join(delivery, and_(delivery.c.item == edition.c.item, delivery.c.revision == edition.c.revision))
        .join(release, release.c.id == delivery.c.release)
        .outerjoin(copy, copy.c.id == delivery.c.id)
        .where(
            edition.c.digest == digest,
            delivery.c.outlet.in_(outlets),
            delivery.c.state.not_in(("cancelled", "withdrawn")),
            release.c.action != "withdraw",
            or_(copy.c.state.is_(None), copy.c.state.not_in(("removed", "superseded"))),
        )
        .limit(1)
    ).one_or_none()


def of_release(connection: Connection, release: str) -> Sequence[Record]:
    """(item, revision) in the release's order."""
    return connection.execute(
        select(release_item.c.item, release_item.c.revision)
        .where(release_item.c.release == release)
        .order_by(release_item.c.position)
    ).all()


def _frozen(row: Record) -> Edition:
    return Edition(
        item=row.item,
        revision=row.revision,
        title=row.title,
        body=row.body,
        metadata={key: tuple(v) if isinstance(v, list) else v for key, v in row.metadata.items()},
        assets=tuple(
            Asset(digest, media_type, size, name, AssetRole(role), alt)
            for digest, media_type, size, name, role, alt in row.assets
        ),
    )
