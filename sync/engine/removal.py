"""Public copies removed: for a withdrawal, and after a correction that made a new copy instead of changing the old.

Each outlet is cleared at once, whatever becomes of the others. Asking an outlet twice to remove is
harmless, so that a death anywhere costs only a repetition; only an anonymous read that finds nothing
ends it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection

from sync.clock import SECOND
from sync.contract import OutletError, Receipt, Rejected, Reveal, Stale, TryLater, Unsupported
from sync.engine import announce, notice, outcome
from sync.engine.admission import Turn, in_turn
from sync.engine.context import Context, rendition
from sync.engine.evidence import reading
from sync.engine.identity import must_wait
from sync.engine.withdraw import begin
from sync.flow import D, E, R
from sync.model import Key, Problem
from sync.store import copies, deliveries, outlets, readings, releases
from sync.store.deliveries import Superseded
from sync.store.readings import Kept
from sync.store.tables import Record
from sync.together import together

WATCH = 2.0  # seconds that a removed copy is read again, until nothing is found
BETWEEN_READS = 0.05  # seconds
AGAIN = (1, 2, 5, 10, 30, 60, 120, 300, 600)  # seconds; the last repeats
NOT_YET, LATEST = SECOND // 5, 15 * SECOND  # µs between two looks whether what is becoming public is there by now
SHIELD = 30 * SECOND  # µs in which nobody else starts on the same superseded copy


@dataclass
class Cleared:
    """What came of one outlet: copies that no reader finds any more, and what speaks of the others."""

    began_at: int
    gone: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    hopeless: bool = False  # the outlet has no such act, or will not: a person has to look
    not_before: int = 0
    seen_at: int | None = None  # began: the last read that still found one
    ended_at: int = 0
    read: list[Kept] = field(default_factory=list)  # what readers were given where a copy had been


def remove(ctx: Context, ids: Sequence[str]) -> None:
    """Clear what is due of these deliveries, side by side: withdrawals, and corrections whose old copy is left."""
    in_turn(ctx, "withdraw", ids, _remove)


def _remove(ctx: Context, turn: Turn) -> None:
    with ctx.held.during(turn.ids):
        rows = {row.id: row for row in _begin(ctx, turn.ids)}
        turn.ended(one for one in turn.ids if one not in rows)
        for one, cleared in together(turn.ordered({row.id: partial(clear, ctx, row) for row in rows.values()})):
            store(ctx, rows[one], cleared)
            turn.ended([one])


def _begin(ctx: Context, ids: Sequence[str]) -> list[Record]:
    """Claim them; the intent is committed before the first call."""
    begun = []
    with ctx.store.write() as connection:
        for row in deliveries.some(connection, ids):
            now = ctx.store.now(connection)
            if row.duty != "withdraw" or row.owner is not None or row.due_at is None or row.due_at > now:
                continue
            if must_wait(ctx, connection, row):
                continue
            if row.state in (D.RELEASED, D.ACCEPTED):  # nothing is asked for again but a reader's look
                begun.append(deliveries.note(connection, row, due_at=now + SHIELD))
                continue
            joined = releases.get(connection, row.release)
            if joined.state == R.OPEN:
                begin(ctx, connection, joined)
            elif joined.state != R.COMMITTED:  # held: resuming makes it due again
                deliveries.note(connection, row, duty=None, due_at=None)
                continue
            if row.state != D.PLANNED or _is_coming(ctx, connection, row, now):
                continue
            begun.append(
                deliveries.move(
                    connection,
                    row,
                    E.WITHDRAW_BEGUN,
                    at=now,
                    actor=ctx.actor,
                    detail={"worker": ctx.actor, "attempt": row.attempts + 1},
                    epoch=row.epoch + 1,
                    attempts=row.attempts + 1,
                    owner=ctx.owner,
                    worker=ctx.actor,
                    sent_at=row.sent_at or now,
                    duty=None,
                    due_at=None,
                )
            )
    return begun


def _is_coming(ctx: Context, connection: Connection, row: Record, now: int) -> bool:
    """Something of it is just becoming public there: it is removed right after, and never forgotten."""
    coming = copies.coming(connection, row.item, row.outlet)
    if not coming:
        return False
    how = notice.reveals(ctx, connection, (row.outlet,)).get(row.outlet)
    open_ = (D.UNRESOLVED, D.ACCEPTED) if how is Reveal.MANUAL else (D.UNRESOLVED,)
    doubtful = next((one for one in coming if one.state in open_), None)
    problems = []
    if doubtful is not None:
        is_what = "unresolved" if doubtful.state == D.UNRESOLVED else "a person's open task"
        message = f"delivery {doubtful.id} there is {is_what}: say what you find with `tongfa delivery settle`"
        problems = [outcome.shown(Problem("outlet", message, fatal=False))]
    # A job may take hours: each look is a write, so they come ever more rarely.
    again = min(LATEST, max(NOT_YET, (now - row.since) // 16))
    deliveries.note(connection, row, due_at=now + (again if doubtful is None else 5 * SECOND), problems=problems)
    return True


def clear(ctx: Context, row: Record) -> Cleared:
    """Ask the outlet to remove, then look as anybody would. Raises nothing that the outlet says."""
    with ctx.store.read() as connection:
        outlet, installation = outlets.get(connection, row.outlet), outlets.identity(connection)
        left = copies.readable(connection, row.item, row.outlet)
        if row.state == D.RELEASED:
            left = copies.superseded(connection, row)  # of a correction: its own copy stays
        made_by = {one.id: deliveries.get(connection, one.id) for one in left}
    channel, key, nap = ctx.channel(outlet), Key(installation, row.id), threading.Event()
    cleared = Cleared(ctx.clock.now())
    asked: dict[str, OutletError | None] = {}
    for one in left:
        try:
            channel.withdraw(Receipt(**one.receipt), key)
            asked[one.id] = None
        except OutletError as error:
            asked[one.id] = error
    ends = ctx.clock.boottime() + WATCH
    unread = {one.id: one for one in left}
    while unread:
        for one in list(unread.values()):
            refused = asked[one.id]
            try:
                sighting = channel.verify(Receipt(**one.receipt), rendition(made_by[one.id]))
            except Unsupported:
                if refused is None:  # no reader can look: the outlet's word is all there is
                    cleared.gone.append(one.id)
                    del unread[one.id]
                    cleared.ended_at = ctx.clock.now()
                continue
            except OutletError as error:
                asked[one.id] = refused or error
                continue
            if sighting.visible:
                cleared.seen_at = max(cleared.seen_at or 0, sighting.began_at)
            else:
                cleared.gone.append(one.id)
                cleared.read.append(reading(ctx, one.id, sighting))
                del unread[one.id]
                cleared.ended_at = max(cleared.ended_at, sighting.ended_at)
        if ctx.clock.boottime() >= ends or all(asked[one] is not None for one in unread):
            break
        nap.wait(BETWEEN_READS)
    for one in unread.values():
        _tell(cleared, one, asked[one.id])
    return cleared


def _tell(cleared: Cleared, one: Record, error: OutletError | None) -> None:
    why = f"{one.url or one.ref}: " + (str(error) if error is not None else "a reader still finds it")
    cleared.problems.append(Problem("outlet", why, fatal=False))
    cleared.hopeless |= isinstance(error, Unsupported | Rejected | Stale)
    if isinstance(error, TryLater) and error.not_before is not None:
        cleared.not_before = max(cleared.not_before, error.not_before)


def store(ctx: Context, row: Record, cleared: Cleared | BaseException) -> None:
    """Keep what came of it, in one transaction of its own."""
    with suppress(Superseded), ctx.store.write() as connection:
        now = ctx.store.now(connection)
        told = isinstance(cleared, Cleared)
        problems = cleared.problems if isinstance(cleared, Cleared) else [Problem("outlet", str(cleared), fatal=False)]
        gone = cleared.gone if isinstance(cleared, Cleared) else []
        detail = {"worker": ctx.actor}
        if isinstance(cleared, Cleared):
            readings.add_all(connection, cleared.read, reader=ctx.actor)
        there = copies.of(connection, row.item, row.outlet)
        places = {one.ref for one in there if one.id in gone}
        for one in there:
            # What was changed in place before is gone with the place.
            if one.id in gone or (one.state == copies.SUPERSEDED and one.ref in places):
                copies.move(connection, one, copies.REMOVED, at=now, actor=ctx.actor, detail={"by": row.id})
        attempts = row.attempts + (row.state in (D.RELEASED, D.ACCEPTED))
        not_before = cleared.not_before if isinstance(cleared, Cleared) else 0
        due = {"duty": "withdraw", "due_at": max(not_before, now + AGAIN[min(attempts, len(AGAIN)) - 1] * SECOND)}
        values: dict[str, Any] = {
            "problems": [outcome.shown(one) for one in problems],
            "attempts": attempts,
            "worker": ctx.actor,
        }
        over = {"duty": None, "due_at": None}
        if row.state == D.RELEASED:
            if told and not problems:
                deliveries.move(connection, row, E.VERIFIED, at=now, actor=ctx.actor, detail=detail, **values, **over)
            else:
                deliveries.note(connection, row, **values, **due)
        elif isinstance(cleared, Cleared) and not problems:
            ended = cleared.ended_at or now
            values |= {"visible_at": ended, "visible_after": cleared.seen_at, "released_at": now, "match": True}
            values["owner"] = None
            deliveries.move(connection, row, E.WITHDRAWN, at=now, actor=ctx.actor, detail=detail, **values, **over)
        elif row.state == D.ACCEPTED:
            deliveries.note(connection, row, **values, **due)
        elif notice.reveals(ctx, connection, (row.outlet,)).get(row.outlet) is Reveal.MANUAL:  # it is a person's task
            values["owner"] = None
            deliveries.move(connection, row, E.ACCEPTED, at=now, actor=ctx.actor, detail=detail, **values, **due)
        elif isinstance(cleared, Cleared) and cleared.hopeless:
            why = {**detail, "why": problems[0].message}
            values["owner"] = None
            deliveries.move(connection, row, E.IN_DOUBT, at=now, actor=ctx.actor, detail=why, **values, **over)
        else:
            why = {**detail, "why": problems[0].message}
            values["owner"] = None
            deliveries.move(connection, row, E.STILL_PUBLIC, at=now, actor=ctx.actor, detail=why, **values, **due)
        announce.ended(ctx, connection, [row], now)
        outcome.settle(ctx, connection, row.release)
    ctx.ring("prepare")
