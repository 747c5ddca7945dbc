"""What a prepare worker looks after without being asked: whether dead outlets are back, and when credentials end.

Looks only: `Channel.login` and `Expiring.expires` make nothing. Who looks says so in a row first; a death
costs as long as that row says.
"""

from __future__ import annotations

import logging
from functools import partial

from sqlalchemy import Connection

from sync.clock import SECOND, iso
from sync.contract import Expiring
from sync.engine.context import Context
from sync.engine.pace import Pace
from sync.model import BadInput
from sync.store import expiries, journal, outlets, pace
from sync.store.expiries import NOT_YET, NOW, SOON
from sync.store.tables import Record
from sync.together import together

LOOKING = 120 * SECOND  # µs that a look may take; nobody else looks at the same outlet meanwhile
DAILY, AGAIN = 24 * 3600 * SECOND, 3600 * SECOND  # µs until credentials are asked about again; after a failure
DAYS = {SOON: 7 * DAILY, NOW: DAILY}  # µs before their end from which people are told
URGENCY = (NOT_YET, SOON, NOW)
log = logging.getLogger(__name__)


def is_due(ctx: Context) -> bool:
    """Whether there is anything to look at."""
    with ctx.store.read() as connection:
        now = ctx.store.now(connection)
        return bool(pace.due(connection, now) or _unknown(ctx, connection, now))


def run(ctx: Context) -> None:
    """Look at all that is due, side by side."""
    half_open(ctx)
    ask_when_they_end(ctx)


def half_open(ctx: Context) -> None:
    """Log in where nobody may go: whoever answers, whatever, is back, and what waited for it is due."""
    outlook, looks, due_at = Pace.of(ctx), {}, {}
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        for row in pace.due(connection, now):
            there = outlets.get(connection, row.outlet)
            if there.state == "retired" or (there.live, there.generation) != (row.live, row.generation):
                outlook.changed(connection, there, row, now)
                continue
            pace.note(connection, row, half_open_at=now + LOOKING)
            looks[there.name], due_at[there.name] = there, row.half_open_at
    for name, answer in together({name: partial(_login, ctx, there) for name, there in looks.items()}):
        outlook.looked(looks[name], answer if isinstance(answer, BaseException) else None, due_at[name])


def _login(ctx: Context, there: Record) -> None:
    ctx.channel(there).login()


def ask_when_they_end(ctx: Context) -> None:
    """Once a day; people are told a week ahead, and once more a day ahead."""
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        asked = outlets.some(connection, _unknown(ctx, connection, now))
        for row in asked.values():
            expiries.keep(connection, row, look_at=now + AGAIN)
    for name, answer in together({name: partial(ends, ctx, row) for name, row in asked.items()}):
        if isinstance(answer, BaseException):
            log.warning("when the credentials of %s end could not be learnt: %s", name, answer, extra={"outlet": name})
        else:
            _learnt(ctx, asked[name], answer)


def ends(ctx: Context, row: Record) -> int | None:
    """When the outlet's credentials end, µs UTC; None: not for all that is known. Raises an OutletError."""
    channel = ctx.channel(row)
    return channel.expires() if isinstance(channel, Expiring) else None


def urgency(expires_at: int | None, now: int) -> str:
    """How urgent it is that a person gives new credentials."""
    if expires_at is None:
        return NOT_YET
    return next((word for word in (NOW, SOON) if expires_at - now <= DAYS[word]), NOT_YET)


def _unknown(ctx: Context, connection: Connection, now: int) -> list[str]:
    """Outlets that tell when their credentials end, and were not asked for a day."""
    return [row.name for row in expiries.unasked(connection, now) if _tells(ctx, row.kind)]


def _tells(ctx: Context, kind: str) -> bool:
    try:
        return hasattr(ctx.kind(kind), "expires")
    except BadInput:  # of a newer program
        return False


def _learnt(ctx: Context, row: Record, expires_at: int | None) -> None:
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        known, there = expiries.current(connection).get(row.name), outlets.get(connection, row.name)
        if known is None or there.generation != row.generation:
            return  # the outlet was changed meanwhile: it is asked about again
        word = urgency(expires_at, now)
        expiries.keep(connection, there, expires_at=expires_at, look_at=now + DAILY, warned=word)
        if expires_at is None or URGENCY.index(word) <= URGENCY.index(known.warned):
            return
        why = f"the credentials end at {iso(expires_at)}" if expires_at > now else f"they ended at {iso(expires_at)}"
        journal.write(
            connection,
            at=now,
            unit=there.unit,
            subject="credentials",
            subject_id=there.name,
            act="expiring" if expires_at > now else "expired",
            state=word,
            outlet=there.name,
            actor=ctx.actor,
            detail={"why": why, "expires_at": iso(expires_at)},
        )
    log.warning("%s: %s", row.name, why, extra={"outlet": row.name})
