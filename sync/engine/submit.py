"""A file becomes an item with a frozen edition."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from sync.clock import iso
from sync.content.source import Draft, read
from sync.engine.context import Context
from sync.engine.people import WRITES, acting, home_unit
from sync.model import BadInput, Edition
from sync.store import items
from sync.store.outlets import Unknown
from sync.store.tables import edition, item


def keep(ctx: Context, draft: Draft) -> None:
    """Keep the draft's pictures and attachments, to be called when nothing else speaks against it.

    Raises BadInput. Dying here leaves at most files that nobody refers to.
    """
    try:
        for _, content in draft.files:
            ctx.assets.put(content)
    except OSError as error:
        raise BadInput(str(ctx.settings.home), f"{error.strerror}; nothing was stored", "free some space") from error


def freeze(ctx: Context, connection: Connection, draft: Draft, *, unit: str | None = None) -> Edition:
    """The draft as an edition, in the caller's transaction: the same content again is the unit's same item.

    Raises BadInput for a person who may not, or when it cannot be told whose item it is.
    """
    home = home_unit(ctx, connection, unit)
    acting(ctx, connection, {home}, WRITES)
    known = connection.execute(
        select(edition.c.item, edition.c.revision)
        .join(item, item.c.id == edition.c.item)
        .where(edition.c.digest == draft.digest, item.c.unit == home)
        .order_by(edition.c.created_at.desc())
        .limit(1)
    ).one_or_none()
    if known is not None:
        return items.get(connection, known.item, known.revision)[0]
    frozen = edition_of(draft)
    _add(ctx, connection, frozen, home, draft)
    return frozen


def edition_of(draft: Draft) -> Edition:
    """The draft as the first edition of a new item."""
    files = tuple(part for part, _ in draft.files)
    return Edition(secrets.token_hex(8), 1, draft.title, draft.body, draft.metadata, files)


def revision_of(connection: Connection, item: str, draft: Draft) -> Edition:
    """The draft as the item's next edition, or as its newest if that says the same. Raises BadInput."""
    try:
        newest, _ = items.get(connection, item)
    except Unknown:
        mend = "`tongfa item list` shows the items and their ids"
        raise BadInput(f"item {item}", "there is no such item", mend) from None
    if newest.digest == draft.digest:
        return newest
    files = tuple(part for part, _ in draft.files)
    return Edition(item, newest.revision + 1, draft.title, draft.body, draft.metadata, files)


def revise(ctx: Context, connection: Connection, item: str, draft: Draft) -> Edition:
    """`revision_of`, stored in the caller's transaction."""
    frozen = revision_of(connection, item, draft)
    newest, row = items.get(connection, item)
    if frozen.revision > newest.revision:
        acting(ctx, connection, {row.unit}, WRITES)
        _add(ctx, connection, frozen, row.unit, draft)
    return frozen


def _add(ctx: Context, connection: Connection, frozen: Edition, unit: str, draft: Draft) -> None:
    now, routing = ctx.store.now(connection), routing_of(draft)
    items.add(connection, frozen, unit=unit, routing=routing, at=now, author=ctx.author, actor=ctx.actor)


def routing_of(draft: Draft) -> dict[str, Any]:
    """Where and when the front matter sends it; no part of the content."""
    return {
        "outlets": list(draft.outlets),
        "group": draft.group,
        "release_at": draft.release_at,
        "embargo": draft.embargo,
        "typed": draft.release_at_typed,
    }


def submit(ctx: Context, path: Path, *, unit: str | None = None) -> Edition:
    """Read the file and store it as an item. Raises BadInput; then nothing was stored."""
    return accept(ctx, read(path, ctx.clock.now()), unit=unit)


def accept(ctx: Context, draft: Draft, *, unit: str | None = None) -> Edition:
    """`item add`: store the draft as an item. Raises BadInput; then nothing was stored."""
    keep(ctx, draft)
    with ctx.store.write() as connection:
        return freeze(ctx, connection, draft, unit=unit)


def described(frozen: Edition, created_at: int) -> dict[str, object]:
    """An edition for `item show`, as JSON."""
    return {
        "item": frozen.item,
        "revision": frozen.revision,
        "title": frozen.title,
        "digest": frozen.digest,
        "created_at": iso(created_at),
        "metadata": {key: list(v) if isinstance(v, tuple) else v for key, v in frozen.metadata.items()},
        "assets": [
            {"name": a.name, "role": a.role.value, "media_type": a.media_type, "size": a.size, "digest": a.digest}
            for a in frozen.assets
        ],
        "body": frozen.body,
    }
