"""Feeds that are read, and what became of their entries. A feed's state and every outcome that changed anything
have their log entry; an entry of a feed that was read once is never forgotten."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from sync.store import journal
from sync.store.outlets import Unknown
from sync.store.tables import Record, feed, feed_entry

ACTIVE, GONE, RETIRED = "active", "gone", "retired"
TAKEN, KNOWN, REFUSED = "taken", "known", "refused"
DRAFT, REVIEW = "draft", "review"  # rules: who decides what becomes of its items


def add(connection: Connection, values: Mapping[str, Any], *, at: int, actor: str) -> None:
    """A feed that is read from now on."""
    told = {"url": values["url"], "rule": values["rule"], "outlets": values["outlets"]}
    entry_id = _tell(connection, values["name"], values["unit"], "added", ACTIVE, at, actor, told)
    fresh: dict[str, Any] = {"state": ACTIVE, "title": "", "etag": "", "modified": "", "due_at": at, "failures": 0}
    connection.execute(insert(feed), {**fresh, "why": "", "mend": "", "entry_id": entry_id, **values})


def get(connection: Connection, name: str) -> Record:
    """Raises Unknown."""
    row = connection.execute(select(feed).where(feed.c.name == name)).one_or_none()
    if row is None:
        raise Unknown(name)
    return row


def every(connection: Connection, *, retired: bool = False) -> Sequence[Record]:
    wanted = select(feed).order_by(feed.c.name)
    return connection.execute(wanted if retired else wanted.where(feed.c.state != RETIRED)).all()


def due(connection: Connection, now: int) -> Sequence[Record]:
    return connection.execute(select(feed).where(feed.c.due_at <= now).order_by(feed.c.due_at)).all()


def note(connection: Connection, name: str, **values: Any) -> None:
    """Change what is no state."""
    connection.execute(update(feed).where(feed.c.name == name).values(**values))


def claim(connection: Connection, name: str, until: int) -> None:
    """Nobody else reads it before then; nothing when it is not read by itself any more."""
    connection.execute(update(feed).where(feed.c.name == name, feed.c.due_at.is_not(None)).values(due_at=until))


def move(
    connection: Connection,
    row: Record,
    act: str,
    state: str,
    *,
    at: int,
    actor: str,
    detail: Mapping[str, Any],
    **values: Any,
) -> None:
    """An act that is told: retired, gone, or what a look at the feed came to."""
    entry_id = _tell(connection, row.name, row.unit, act, state, at, actor, detail)
    note(connection, row.name, state=state, entry_id=entry_id, **values)


def entries(connection: Connection, name: str) -> Sequence[Record]:
    """What became of each entry, the last read first."""
    wanted = select(feed_entry).where(feed_entry.c.feed == name)
    return connection.execute(wanted.order_by(feed_entry.c.read_at.desc(), feed_entry.c.id)).all()


def entry_of(connection: Connection, name: str, entry_id: str) -> Record | None:
    return connection.execute(select(feed_entry).where(*_this(name, entry_id))).one_or_none()


def remember(connection: Connection, name: str, entry_id: str, **values: Any) -> None:
    """What became of an entry: whole when it is new, else what changed."""
    if entry_of(connection, name, entry_id) is None:
        fresh: dict[str, Any] = {
            "content": None,
            "item": None,
            "revision": None,
            "release": None,
            "why": "",
            "mend": "",
        }
        connection.execute(insert(feed_entry), {**fresh, "feed": name, "id": entry_id, **values})
    else:
        connection.execute(update(feed_entry).where(*_this(name, entry_id)).values(**values))


def same_content(connection: Connection, unit: str, content: str) -> Record | None:
    """An entry of any feed of the unit whose item says the very same."""
    wanted = select(feed_entry).join(feed, feed.c.name == feed_entry.c.feed)
    of = (feed.c.unit == unit, feed_entry.c.content == content, feed_entry.c.item.is_not(None))
    return connection.execute(wanted.where(*of).order_by(feed_entry.c.read_at).limit(1)).one_or_none()


def unplanned(connection: Connection, name: str) -> Sequence[Record]:
    """New items of a feed under review that no release holds yet, oldest first."""
    of = (feed_entry.c.feed == name, feed_entry.c.state == TAKEN)
    wanted = select(feed_entry).where(*of, feed_entry.c.release.is_(None))
    return connection.execute(wanted.order_by(feed_entry.c.read_at, feed_entry.c.id)).all()


def under_review(connection: Connection, named: Collection[str]) -> dict[str, Record]:
    """Of these items those that were made of entries of a feed under review, which is not removed: the feed of each."""
    of = (feed.c.rule == REVIEW, feed.c.state != RETIRED, feed_entry.c.state != KNOWN, feed_entry.c.item.in_(named))
    wanted = select(feed_entry.c.item, feed).join(feed, feed.c.name == feed_entry.c.feed).where(*of)
    return {row.item: row for row in connection.execute(wanted)}


def counts(connection: Connection, name: str) -> dict[str, int]:
    """Entries by state."""
    wanted = select(feed_entry.c.state, func.count().label("number")).where(feed_entry.c.feed == name)
    return {row.state: row.number for row in connection.execute(wanted.group_by(feed_entry.c.state))}


def _this(name: str, entry_id: str) -> tuple[Any, ...]:
    return feed_entry.c.feed == name, feed_entry.c.id == entry_id


def _tell(
    connection: Connection, name: str, unit: str, act: str, state: str, at: int, actor: str, detail: Mapping[str, Any]
) -> int:
    return journal.write(
        connection,
        at=at,
        unit=unit,
        subject="feed",
        subject_id=name,
        act=act,
        state=state,
        actor=actor,
        detail=detail,
    )
