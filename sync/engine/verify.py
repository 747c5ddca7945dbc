"""Read back as an anonymous reader: when did it become visible, and is it what was approved?

Reading is harmless and is not claimed: `due_at` is only moved ahead, so that a death costs a few
seconds. Reads begin at the instant, never before it, so that no cache learns of an absence.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection

from sync.clock import MILLISECOND, SECOND
from sync.contract import OutletError, Receipt, Reveal, Unsupported
from sync.engine import outcome
from sync.engine.context import Context, accepted, batches, prepared, receipt, rendition, replaced
from sync.flow import D, E
from sync.model import Key, Rendition, Sighting
from sync.store import copies, deliveries, items, outlets
from sync.store.tables import Record

CLOSE_WATCH = 2.0  # seconds of reads in a row
AFTER_SHOTS = 0.005  # seconds after the instant: the first reads do not compete with the shots for a processor
BETWEEN_READS = 0.05  # seconds
AGAIN = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800)  # seconds; the last repeats
READ_SHIELD = 8 * SECOND  # nobody else starts watching the same row for so long


@dataclass(frozen=True)
class Watched:
    """What one watch of one delivery came to."""

    sighting: Sighting | None = None
    unseen_after: int | None = None
    polled: bool = False
    found: object = None
    why: str = ""
    unreadable: bool = False  # there is nothing that the public could read


def verify(ctx: Context, ids: Sequence[str]) -> None:
    """Watch these deliveries for a moment, side by side, and store what was seen."""
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        rows = {
            row.id: deliveries.note(connection, row, due_at=now + READ_SHIELD)
            for row in deliveries.some(connection, ids)
            if row.duty == "verify" and row.due_at is not None and row.due_at <= now
        }
    public: list[str] = []
    for batch in batches({one: partial(_watch, ctx, row) for one, row in rows.items()}):
        _store(ctx, {one: watched for one, watched in batch if isinstance(watched, Watched) and not watched.polled})
        public += _look_further(ctx, batch)
    if public:
        verify(ctx, public)  # a reader may see it from now on: no waiting for the next look for due rows


def _look_further(ctx: Context, batch: Sequence[tuple[str, Watched | BaseException]]) -> list[str]:
    """Reads that failed, and jobs that were asked about; returns what became public by the outlet's word."""
    public = []
    for one, watched in batch:
        if isinstance(watched, BaseException):
            _put_off(ctx, one, str(watched))
        elif watched.polled:
            with ctx.store.read() as connection:
                row = deliveries.get(connection, one)
            if row.state == D.ACCEPTED:  # another watcher's poll may have come first, and said all
                outcome.probed(ctx, row, watched.found)
            if isinstance(watched.found, Receipt):
                public.append(one)
    return public


def _watch(ctx: Context, row: Record) -> Watched:
    with ctx.store.read() as connection:
        outlet, installation = outlets.get(connection, row.outlet), outlets.identity(connection)
        edition, _ = items.get(connection, row.item, row.revision)
    channel, key, nap = ctx.channel(outlet), Key(installation, row.id), threading.Event()
    rung_for_a_poll = row.state == D.ACCEPTED
    foreseen = replaced(row) or _foreseen(row, channel.address(edition, key))
    before = _before(ctx, row)
    if row.fire_at is not None:
        nap.wait(max(0.0, (row.fire_at - ctx.clock.now()) / SECOND + AFTER_SHOTS))
    ends = ctx.clock.boottime() + CLOSE_WATCH
    unseen_after: int | None = row.visible_after
    why = ""
    while True:
        with ctx.store.read() as connection:
            row = deliveries.get(connection, row.id)
        where = receipt(row) or foreseen
        if row.state == D.ACCEPTED and not rung_for_a_poll:
            return Watched()  # accepted while we watched: its first poll has a time of its own
        if row.state == D.ACCEPTED:
            try:
                return Watched(polled=True, found=channel.probe(rendition(row), key, accepted(row), replaced(row)))
            except OutletError as error:
                return Watched(polled=True, found=error)
        if row.state not in (D.RELEASING, D.RELEASED):
            return Watched(unseen_after=unseen_after)
        if where is not None and not (row.visible_at is not None and row.state == D.RELEASING):
            try:
                sighting = channel.verify(where, rendition(row), before)
            except Unsupported as error:
                return Watched(why=str(error), unreadable=True)
            except OutletError as error:
                why = str(error)
            else:
                if sighting.visible:
                    return Watched(sighting, unseen_after)
                unseen_after = sighting.began_at
        if ctx.clock.boottime() >= ends:
            return Watched(unseen_after=unseen_after, why=why)
        nap.wait(BETWEEN_READS)


def _before(ctx: Context, row: Record) -> Rendition | None:
    """What the place shows until this correction changes it."""
    if row.replaces is None:
        return None
    with ctx.store.read() as connection:
        return rendition(deliveries.get(connection, row.replaces_copy))


def _foreseen(row: Record, address: str | None) -> Receipt | None:
    """Where it will be, before the outlet said so: lets reads begin at the instant."""
    there = prepared(row)
    if address is None or there is None:
        return None
    return Receipt(there.ref, address, 0, there.notes)


def _store(ctx: Context, seen: Mapping[str, Watched]) -> None:
    """What these watches came to, in one transaction."""
    if not seen:
        return
    with ctx.store.write() as connection:
        ended = {_keep(ctx, connection, deliveries.get(connection, one), watched) for one, watched in seen.items()}
        for release_id in sorted(one for one in ended if one is not None):
            outcome.settle(ctx, connection, release_id)


def _keep(ctx: Context, connection: Connection, row: Record, watched: Watched) -> str | None:
    """Returns the release when a delivery of it has come to its end."""
    now = ctx.store.now(connection)
    seen = watched.sighting
    values: dict[str, Any] = {"reads": row.reads + 1}
    if row.visible_at is None:
        values["visible_after"] = watched.unseen_after
        if seen is not None:
            values["visible_at"] = seen.ended_at
    if row.state not in (D.RELEASING, D.RELEASED):
        return None
    if watched.unreadable:
        return _end_unread(ctx, connection, row, now, watched.why)
    if row.state == D.RELEASED and seen is not None and not seen.problems:
        detail = {"reader": ctx.actor, "visible_at": values.get("visible_at", row.visible_at)}
        values |= {"match": True, "problems": [], "duty": None, "due_at": None}
        copies.read_back(connection, row.id, same=True, at=now, actor=ctx.actor)
        if left := copies.superseded(connection, row):  # until it is gone, readers find both
            message = f"the copy before it is still public: {left[0].url}"
            values["problems"] = [{"where": "public", "message": message, "fatal": False}]
            deliveries.note(connection, row, **values | {"duty": "withdraw", "due_at": now, "attempts": 0})
            ctx.ring("prepare")
            return None
        deliveries.move(connection, row, E.VERIFIED, at=now, actor=ctx.actor, detail=detail, **values)
        return str(row.release)
    if row.state == D.RELEASED and seen is not None:
        copies.read_back(connection, row.id, same=False, at=now, actor=ctx.actor)
        values |= {"match": False, "problems": [outcome.shown(problem) for problem in seen.problems]}
    elif row.state == D.RELEASED:
        values["problems"] = [{"where": "public", "message": watched.why or "not visible yet", "fatal": False}]
    wait = 0.0 if row.state == D.RELEASING and seen is not None else AGAIN[min(row.reads, len(AGAIN) - 1)]
    deliveries.note(connection, row, **values, due_at=now + max(50 * MILLISECOND, round(wait * SECOND)))
    return None


def _end_unread(ctx: Context, connection: Connection, row: Record, now: int, why: str) -> str | None:
    """Nobody can read it: it is public on the receiver's word, and ends so. Not before the word is there."""
    if row.state == D.RELEASED:
        told = {"reader": ctx.actor, "why": why}
        over = {"duty": None, "due_at": None, "problems": [{"where": "public", "message": why, "fatal": False}]}
        deliveries.move(connection, row, E.CLOSED, at=now, actor=ctx.actor, detail=told, **over)
        return str(row.release)
    deliveries.note(connection, row, due_at=now + SECOND)
    return None


def _put_off(ctx: Context, one: str, why: str) -> None:
    """The read itself failed; that says nothing of the outlet."""
    with ctx.store.write() as connection:
        row = deliveries.get(connection, one)
        if row.duty == "verify":
            problem = {"where": "public", "message": why, "fatal": False}
            due_at = ctx.store.now(connection) + AGAIN[min(row.reads, len(AGAIN) - 1)] * SECOND
            deliveries.note(connection, row, problems=[problem], due_at=due_at, reads=row.reads + 1)


def counted(reveal: Reveal) -> bool:
    """Whether an outlet of this kind takes part in the skew: the others are listed only."""
    return reveal in (Reveal.FLIP, Reveal.CREATE, Reveal.QUEUED)
