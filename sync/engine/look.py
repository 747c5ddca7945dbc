"""One look of a recovery: what an outlet shows of a delivery or copy that this database may be wrong about.

No transaction is open meanwhile, and nothing is changed, neither here nor there.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from sync.clock import SECOND
from sync.contract import Accepted, OutletError, Prepared, Probe, Receipt, Rejected, Unsupported
from sync.engine.context import Context, hint, rendition, replaced
from sync.engine.prepare import render
from sync.model import Key, Rendition
from sync.store import copies, deliveries, outlets, recovery, releases
from sync.store.tables import Record, copy, delivery

SOON = SECOND // 2  # µs


@dataclass(frozen=True)
class Found:
    """What one look came to. No `what`: not known yet, to be asked again, at `again` if that is known."""

    what: str | None
    why: str = ""
    answer: Receipt | Accepted | None = None
    made: Rendition | None = None  # rendered for the look
    again: int | None = None


def look(ctx: Context, began: Record, one: Record) -> Found:
    """What the outlet shows of it. Raises nothing that the outlet says; anything else is a bug."""
    with ctx.store.read() as connection:
        row, outlet = deliveries.get(connection, one.delivery), outlets.get(connection, one.outlet)
        withdraws = releases.get(connection, row.release).action == "withdraw"
        unsure = one.subject == recovery.COPY and _is_under_way(connection, began, row)
        now = ctx.store.now(connection)
    can = ctx.kind(outlet.kind).can
    lands = can.lands_within if ctx.settings.lands_within_s is None else ctx.settings.lands_within_s
    until = began.begun_at + round(lands * SECOND)
    try:
        if unsure:  # a correction of it may have changed it: that is found out first
            return Found(None, "what may have taken its place is looked up first", again=now + SOON)
        if one.subject == recovery.COPY:
            found = _look_at_copy(ctx, row, outlet)
        elif withdraws:
            found = _look_at_withdrawal(ctx, row, outlet)
        else:
            found = _look_at_delivery(ctx, row, outlet)
    except Unsupported as error:
        return Found(recovery.BLIND, str(error))
    except Rejected as error:
        return Found(recovery.REFUSED, str(error))
    except OutletError as error:
        return Found(None, said(error))
    absent = found.what in (recovery.NOTHING, recovery.HIDDEN, recovery.MISSING, recovery.COMING)
    if absent and now < until:
        return Found(None, "nothing is public yet; what was just sent may still appear", again=until)
    if absent and can.probe is Probe.BLIND and one.subject == recovery.DELIVERY and not withdraws:
        return Found(recovery.BLIND, "the outlet cannot be looked up")
    return found


def _look_at_delivery(ctx: Context, row: Record, outlet: Record) -> Found:
    made = None if row.rendition is not None else render(ctx, row)
    with ctx.store.read() as connection:
        key = Key(outlets.identity(connection), row.id)
    answer = ctx.channel(outlet).probe(made or rendition(row), key, hint(row), replaced(row))
    match answer:
        case Receipt():
            return Found(recovery.PUBLIC, answer=answer, made=made)
        case Accepted():
            return Found(recovery.COMING, "the outlet has taken it, and shows nothing yet", answer)
        case Prepared():
            return Found(recovery.HIDDEN)
        case None:
            return Found(recovery.NOTHING)


def _look_at_withdrawal(ctx: Context, row: Record, outlet: Record) -> Found:
    with ctx.store.read() as connection:
        left = copies.readable(connection, row.item, row.outlet)
        made_by = {one.id: deliveries.get(connection, one.id) for one in left}
    channel = ctx.channel(outlet)
    seen = [one.url for one in left if channel.verify(Receipt(**one.receipt), rendition(made_by[one.id])).visible]
    return Found(recovery.PUBLIC, f"still public: {', '.join(seen)}") if seen else Found(recovery.NOTHING)


def _look_at_copy(ctx: Context, row: Record, outlet: Record) -> Found:
    with ctx.store.read() as connection:
        there = connection.execute(select(copy).where(copy.c.id == row.id)).one()
    if row.rendition is None:
        raise Unsupported("what it should show was never kept")
    sighting = ctx.channel(outlet).verify(Receipt(**there.receipt), rendition(row))
    if not sighting.visible:
        return Found(recovery.MISSING, "no reader finds it")
    if sighting.problems:
        return Found(recovery.ALTERED, "; ".join(one.message for one in sighting.problems[:3]))
    return Found(recovery.PUBLIC)


def _is_under_way(connection: Connection, began: Record, row: Record) -> bool:
    """Whether a look at a delivery of the same item there has not found anything yet."""
    open_ = {one.delivery for one in recovery.looks(connection, began.id, open_only=True) if one.subject == "delivery"}
    there = select(delivery.c.id).where(delivery.c.item == row.item, delivery.c.outlet == row.outlet)
    return not open_.isdisjoint(connection.execute(there).scalars())


def said(error: BaseException) -> str:
    """For people, what went wrong."""
    return str(error) or type(error).__name__
