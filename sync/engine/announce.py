"""Hubs and search engines are told of what is live: after it was seen, and never in the way of a release.

That they are to be told is written in the transaction that ends the delivery; the telling is no part of it.
A ping makes nothing public and may be repeated, so it is claimed only by moving `due_at` ahead: who dies while
telling leaves it to be told again a minute later. While a restore is looked up, or by a copy of the installation,
nobody is told. Nothing that comes of it touches the delivery.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from sqlalchemy import Connection

from sync.clock import SECOND
from sync.contract import Announcer, HeldBack, OutletError, Rejected, TryLater
from sync.engine.context import Context
from sync.engine.identity import LOOKING, mismatch
from sync.flow import D
from sync.model import BadInput
from sync.store import copies, deliveries, outlets, pings, recovery
from sync.store.pings import FAILED, PINGED
from sync.store.tables import Record

AGAIN = (30, 300, 1_800, 7_200, 21_600)  # seconds after each failure; the last repeats
GIVEN_UP = 86_400 * SECOND  # µs after the delivery ended
SHIELD = 60 * SECOND  # µs in which nobody else gives the same ping


def ended(ctx: Context, connection: Connection, rows: Iterable[Record], now: int) -> None:
    """Plan the pings of those of these deliveries that have become verified or withdrawn in this transaction.

    A channel that cannot be made has none: it says so wherever else it is needed."""
    telling = [row.id for row in rows if _announces(ctx, connection, row.outlet)]
    for row in deliveries.some(connection, telling):
        if row.state not in (D.VERIFIED, D.WITHDRAWN):
            continue
        gone = row.state == D.WITHDRAWN
        for url in _addresses(connection, row, gone=gone):
            try:
                names = cast(Announcer, ctx.channel(outlets.get(connection, row.outlet))).pings()
            except (OutletError, BadInput):
                continue
            pings.add_all(connection, row, names, url, gone=gone, at=now)


def _announces(ctx: Context, connection: Connection, outlet: str) -> bool:
    if outlet not in ctx.kinds:
        ctx.kinds[outlet] = outlets.get(connection, outlet).kind
    return issubclass(ctx.kind(ctx.kinds[outlet]), Announcer)


def _addresses(connection: Connection, row: Record, *, gone: bool) -> list[str]:
    """Of what was published, or of the newest copy that was removed; [] when nobody ever found one."""
    if not gone:
        return [row.receipt["url"]] if row.receipt and row.receipt["url"] else []
    removed = [one for one in copies.of(connection, row.item, row.outlet) if one.state == copies.REMOVED and one.url]
    return [one.url for one in sorted(removed, key=lambda one: one.since)[-1:]]


def give_due(ctx: Context) -> int:
    """Give what is due, one after the other, the network outside any transaction; how many were given."""
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        due, mine = pings.due(connection, now), []
        there = outlets.some(connection, {row.outlet for row in due})
        looking, foreign = recovery.current(connection), mismatch(ctx.settings, connection) if due else None
        for row in due:
            if looking is not None or (foreign is not None and there[row.outlet].live):
                pings.put_off(connection, row, now + SHIELD, attempts=row.attempts, why=foreign or LOOKING)
            else:
                pings.put_off(connection, row, now + SHIELD, attempts=row.attempts + 1, why=row.why)
                mine.append(row)
    return sum(_give(ctx, row, there[row.outlet]) for row in mine)


def _give(ctx: Context, row: Record, outlet: Record) -> bool:
    error: OutletError | BadInput | None = None
    try:
        _tell(ctx, row, outlet)
    except (OutletError, BadInput) as failure:
        error = failure
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        attempts = row.attempts + (not isinstance(error, HeldBack))
        if error is None:
            pings.end(connection, row, PINGED, attempts=attempts, at=now, actor=ctx.actor)
            return True
        again = _again(error, attempts, now)
        if isinstance(error, Rejected) or again > row.since + GIVEN_UP:
            pings.end(connection, row, FAILED, attempts=attempts, at=now, actor=ctx.actor, why=str(error))
        else:
            pings.put_off(connection, row, again, attempts=attempts, why=str(error))
    return False


def _tell(ctx: Context, row: Record, outlet: Record) -> None:
    if outlet.state == "retired":
        raise Rejected(f"{outlet.name}: 已停用 · it is retired")
    channel = cast(Announcer, ctx.channel(outlet))
    if row.name not in channel.pings():
        raise Rejected(f"{outlet.name}: 设置中已无此通知 · its settings no longer ask for it")
    channel.ping(row.name, row.url, gone=row.gone)


def _again(error: Exception, attempts: int, now: int) -> int:
    """Never sooner than the outlet has asked for."""
    asked = error.not_before if isinstance(error, TryLater) and error.not_before is not None else now
    if isinstance(error, HeldBack):
        return max(asked, now + SECOND)
    return max(asked, now + AGAIN[min(attempts, len(AGAIN)) - 1] * SECOND)
