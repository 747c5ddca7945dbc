"""One look at a feed: what is new becomes an item, what changed a new revision of its item. Nothing is published.

Repeating it is harmless, so it is claimed only by moving `due_at` ahead: an entry is known by the id that the feed
gives it, and by its content; each is stored in one transaction with what became of it. Whatever is wrong with the
feed, what was read before stays. The network is asked outside any transaction; a stranger's bytes are read in
confined processes only.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, select

from sync import confine
from sync.clock import SECOND
from sync.content import attachment
from sync.content import feed as reading
from sync.content.source import Draft
from sync.contract import OutletError, Rejected, Response
from sync.engine.context import Context
from sync.engine.entry import BUSY, NotYet, content_digest, drafted
from sync.engine.order import Order
from sync.engine.plan import plan
from sync.engine.submit import keep, revision_of, routing_of
from sync.http import Http, Limits
from sync.model import BadInput, Edition, canonical_bytes, sha256
from sync.store import feeds, items, people
from sync.store.feeds import REVIEW
from sync.store.people import THREE
from sync.store.tables import Record, edition, item

READ = "sync.content.feed:read"
SHIELD = 300 * SECOND  # µs in which nobody else reads the same feed
MINUTE = 60 * SECOND
SOONEST, LONGEST = 5 * MINUTE, 24 * 60 * MINUTE  # µs after a failure; they double from the one to the other
AGAIN = "it is tried again by itself; what was read before stays as it is"


class Failure(Exception):
    """The feed could not be read; what to do, for a person."""

    def __init__(self, why: str, mend: str = AGAIN, *, gone: bool = False) -> None:
        super().__init__(why)
        self.why, self.mend, self.gone = why, mend, gone


@dataclass
class Pulled:
    """What came of one look; titles by what became of them."""

    new: list[str]
    changed: list[str]
    refused: list[str]
    unchanged: int = 0
    delayed: int = 0  # entries whose files could not be had now
    failure: Failure | None = None


class _Way:
    """Out to a feed, and to the files of its entries. On the own network only the feed's own host is asked for those:
    what a feed says must not lead to any other machine there."""

    def __init__(self, ctx: Context, row: Record) -> None:
        limits, self._host = Limits(size=attachment.MAX_BYTES), urlsplit(row.url).netloc
        self.own = Http(private_network=bool(row.private_network), now=ctx.clock.now, limits=limits)
        self._others = Http(private_network=False, now=ctx.clock.now, limits=limits)

    def read(self, address: str) -> Response:
        """As `Http.read`."""
        return (self.own if urlsplit(address).netloc == self._host else self._others).read(address)

    def close(self) -> None:
        self.own.close()
        self._others.close()


def due(ctx: Context) -> None:
    """Read every feed that is due."""
    with ctx.store.read() as connection:
        waiting = [row.name for row in feeds.due(connection, ctx.store.now(connection))]
    for name in waiting:
        with ctx.store.write() as connection:
            row, now = feeds.get(connection, name), ctx.store.now(connection)
            ours = row.due_at is not None and row.due_at <= now
            if ours:
                feeds.note(connection, name, due_at=now + SHIELD, asked_at=now)
        if ours:
            pull(ctx, row)


def pull(ctx: Context, row: Record) -> Pulled:
    """Read the feed of this row now, whenever it is due."""
    pulled = Pulled([], [], [])
    way = _Way(ctx, row)
    kept = {"etag": row.etag, "modified": row.modified, "title": row.title}
    try:
        answer = _asked(way.own, row)
        if answer is not None:
            told = _read(answer, row.url)
            for one in reversed(told["entries"]):
                _take(ctx, way, row, one, pulled)
            kept["title"] = told["title"] or row.title
            if not pulled.delayed:  # else the same answer is wanted once more
                headers = answer.headers
                kept |= {"etag": headers.get("ETag", ""), "modified": headers.get("Last-Modified", "")}
        if row.rule == REVIEW:
            _plan(ctx, row)
    except Failure as failure:
        pulled.failure = failure
    finally:
        way.close()
    _store(ctx, row, pulled, kept)
    return pulled


def _asked(http: Http, row: Record) -> Response | None:
    """None: it is as it was. Raises Failure."""
    headers = {"If-None-Match": row.etag, "If-Modified-Since": row.modified}
    try:
        answer = http.read(row.url, {name: value for name, value in headers.items() if value})
    except Rejected as error:
        raise Failure(str(error), "remove the feed, and add it with an address that may be asked") from error
    except OutletError as error:
        raise Failure(str(error)) from error
    if answer.status == 304:
        return None
    if answer.status == 410:
        raise Failure("410: it is gone for ever, and is not asked any more", "`tongfa feed remove` it", gone=True)
    if answer.status != 200:
        raise Failure(
            f"it answers {answer.status}", AGAIN if answer.status in BUSY else "look at its address; " + AGAIN
        )
    if len(answer.body) > reading.MAX_BYTES:
        raise Failure(f"it is larger than {reading.MAX_BYTES // 1024 // 1024} MiB", "ask the site for a shorter feed")
    return answer


def _read(answer: Response, url: str) -> dict[str, Any]:
    charset = answer.headers.get("Content-Type", "").partition("charset=")[2].partition(";")[0].strip("\"' ")
    try:
        told, _ = confine.run(READ, {"url": url, "charset": charset}, [answer.body])
    except confine.Failed as failed:
        refusal = failed.refusal(url)
        raise Failure(refusal.message, refusal.mend) from None
    if "refused" in told:
        _, message, mend = told["refused"]
        raise Failure(message, mend)
    return dict(told)


def _take(ctx: Context, way: _Way, row: Record, one: dict[str, Any], pulled: Pulled) -> None:
    """One entry. What cannot be used is kept as refused, with the reason, until the feed says it otherwise."""
    entry_id, said = sha256(one["id"].encode()), sha256(canonical_bytes([one["file"], one["wanted"]]))
    with ctx.store.read() as connection:
        known = feeds.entry_of(connection, row.name, entry_id)
    if known is not None and known.said == said:
        pulled.unchanged += 1
        return
    facts = {"said": said, "title": one["title"] or one["link"] or one["id"][:80], "link": one["link"]}

    def fetch(address: str) -> Response:
        with ctx.store.write() as connection:  # whoever has many files to fetch is not taken for dead
            feeds.claim(connection, row.name, ctx.store.now(connection) + SHIELD)
        return way.read(address)

    try:
        draft = drafted(one, fetch, ctx.clock.now())
        keep(ctx, draft)
    except NotYet as later:
        pulled.delayed += 1
        refused = {"said": "", "state": feeds.REFUSED, "why": str(later), "mend": AGAIN}
        _remember(ctx, row, entry_id, known, {**facts, **refused})
        return
    except BadInput as refusal:
        pulled.refused.append(facts["title"])
        refused = {"state": feeds.REFUSED, "why": refusal.message, "mend": refusal.mend}
        _remember(ctx, row, entry_id, known, {**facts, **refused})
        return
    content = content_digest(draft)
    with ctx.store.write() as connection:
        known, now = feeds.entry_of(connection, row.name, entry_id), ctx.store.now(connection)
        facts |= {"content": content, "state": feeds.TAKEN, "why": "", "mend": "", "read_at": now}
        if known is not None and known.item is not None and known.state != feeds.KNOWN:
            frozen = revision_of(connection, known.item, draft)
            if frozen.revision > items.get(connection, known.item)[0].revision:
                _freeze(ctx, connection, row, frozen, draft, now)
                pulled.changed.append(draft.title)
            else:
                pulled.unchanged += 1
            where = {"item": known.item, "revision": frozen.revision}
        elif (there := _there(connection, row, draft, content)) is not None:
            where, facts["state"] = {"item": there[0], "revision": there[1]}, feeds.KNOWN
            pulled.unchanged += 1
        else:
            files = tuple(part for part, _ in draft.files)
            frozen = Edition(secrets.token_hex(8), 1, draft.title, draft.body, draft.metadata, files)
            _freeze(ctx, connection, row, frozen, draft, now)
            where = {"item": frozen.item, "revision": 1}
            pulled.new.append(draft.title)
        feeds.remember(connection, row.name, entry_id, **facts, **where)


def _remember(ctx: Context, row: Record, entry_id: str, known: Record | None, values: dict[str, Any]) -> None:
    """The item that was made of the entry before stays as it is; one that only said the same is none of its."""
    if known is not None and known.state == feeds.KNOWN:
        values |= {"item": None, "revision": None, "content": None}
    with ctx.store.write() as connection:
        feeds.remember(connection, row.name, entry_id, **values, read_at=ctx.store.now(connection))


def _freeze(ctx: Context, connection: Connection, row: Record, frozen: Edition, draft: Draft, now: int) -> None:
    routing = routing_of(draft)
    items.add(connection, frozen, unit=row.unit, routing=routing, at=now, author=f"feed {row.name}", actor=ctx.actor)


def _there(connection: Connection, row: Record, draft: Draft, content: str) -> tuple[str, int] | None:
    """Item and revision that say the very same already, by whatever way they came."""
    if (same := feeds.same_content(connection, row.unit, content)) is not None:
        return same.item, same.revision
    found = connection.execute(
        select(edition.c.item, edition.c.revision)
        .join(item, item.c.id == edition.c.item)
        .where(edition.c.digest == draft.digest, item.c.unit == row.unit)
        .limit(1)
    ).one_or_none()
    return None if found is None else (found.item, found.revision)


def _plan(ctx: Context, row: Record) -> None:
    """New items to the feed's outlets, under review: nothing of a feed ever goes out unseen."""
    with ctx.store.read() as connection:
        waiting = feeds.unplanned(connection, row.name)
        rule = people.unit_of(connection, row.unit).review
    if not waiting:
        return
    if rule != THREE:
        raise Failure(
            f"unit {row.unit} no longer asks for reviews, so nothing of this feed is planned",
            f"`tongfa unit set {row.unit} --review three`; or `tongfa feed remove {row.name}`, then publish by hand",
        )
    planner = replace(ctx, named=row.planner, actor=f"{row.planner} (feed {row.name})")
    for one in waiting:
        order = Order((one.item,), tuple(row.outlets), at="now", request_id=f"feed {row.name} {one.id}")
        values: dict[str, Any] = {"why": "", "mend": ""}
        try:
            values["release"] = plan(planner, order)
        except BadInput as refusal:
            values |= {"why": f"{refusal.where}: {refusal.message}", "mend": refusal.mend}
        with ctx.store.write() as connection:
            feeds.remember(connection, row.name, one.id, **values)


def _store(ctx: Context, row: Record, pulled: Pulled, kept: dict[str, str]) -> None:
    """What the look came to; told where it changed anything."""
    failure = pulled.failure
    counted = {"new": len(pulled.new), "changed": len(pulled.changed), "refused": len(pulled.refused)}
    with ctx.store.write() as connection:
        row, now = feeds.get(connection, row.name), ctx.store.now(connection)
        if row.state == feeds.RETIRED:  # meanwhile
            return
        values: dict[str, Any] = {"asked_at": now}
        if failure is None:
            soon = now + SOONEST if pulled.delayed else now + row.every_min * MINUTE
            values |= {"read_at": now, "failures": 0, "why": "", "mend": "", **kept}
            values["due_at"] = min(soon, now + row.every_min * MINUTE)
        else:
            wait = min(SOONEST << min(row.failures, 20), LONGEST, max(SOONEST, row.every_min * MINUTE))
            values |= {"failures": row.failures + 1, "why": failure.why, "mend": failure.mend}
            values["due_at"] = None if failure.gone or row.state == feeds.GONE else now + wait
        told = _told(row, failure, counted)
        if told is None:
            feeds.note(connection, row.name, **values)
        else:
            act, state, detail = told
            feeds.move(connection, row, act, state, at=now, actor=ctx.actor, detail=detail, **values)
    if row.rule == REVIEW:
        ctx.ring("prepare")


def _told(row: Record, failure: Failure | None, counted: dict[str, int]) -> tuple[str, str, dict[str, Any]] | None:
    """Act, state and detail of the entry; None: nothing was changed, and nothing is new that went wrong."""
    if failure is not None and failure.gone:
        return "gone", feeds.GONE, {"why": failure.why, **counted}
    if failure is not None:
        return ("pull_failed", row.state, {"why": failure.why, **counted}) if row.failures == 0 else None
    return ("pulled", feeds.ACTIVE, counted) if any(counted.values()) or row.state == feeds.GONE else None
