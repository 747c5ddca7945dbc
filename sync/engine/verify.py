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

from sync.clock import MILLISECOND, SECOND
from sync.contract import OutletError, Receipt, Reveal, Unsupported
from sync.engine import announce, outcome
from sync.engine.admission import Turn, in_turn
from sync.engine.context import Context, accepted, prepared, receipt, rendition, replaced
from sync.engine.evidence import reading
from sync.flow import D, E
from sync.model import Edition, Key, Rendition, Sighting
from sync.store import copies, deliveries, items, outlets, readings
from sync.store.deliveries import Change
from sync.store.readings import Kept
from sync.store.tables import Record
from sync.together import batches

CLOSE_WATCH = 2.0  # seconds of reads in a row
AFTER_SHOTS = 0.005  # seconds after the instant: the first reads do not compete with the shots for a processor
BETWEEN_READS = 0.05  # seconds
BETWEEN_LOOKS = 0.015  # seconds; until the outlet has said where it is, only the database is asked
GATHER = 0.02  # seconds that what was seen waits to be stored with what others see; when it was seen is known by then
FRESH = 0.01  # seconds for which what the database said of all rows is as good as asked anew
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
    kept: Kept | None = None  # what the reader was given, once it says something: seen, or not seen any more


def verify(ctx: Context, ids: Sequence[str]) -> None:
    """Watch these deliveries for a moment, side by side, and store what was seen."""
    in_turn(ctx, "verify", ids, _verify)


def _verify(ctx: Context, turn: Turn) -> None:
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        due = [
            row
            for row in deliveries.some(connection, turn.ids)
            if row.duty == "verify" and row.due_at is not None and row.due_at <= now
        ]
        shielded = [Change(row, values={"due_at": now + READ_SHIELD}) for row in due]
        deliveries.change_all(connection, shielded, at=now, actor=ctx.actor)
    if not due:
        return
    places, latest = _places(ctx, due), _Latest(ctx, due)
    public: list[str] = []
    watches = {row.id: partial(_watch, ctx, row, places[row.id], latest) for row in due}
    turn.ended(one for one in turn.ids if one not in watches)
    for batch in batches(turn.ordered(watches), gather=GATHER):
        _store(ctx, {one: watched for one, watched in batch if isinstance(watched, Watched) and not watched.polled})
        public += _look_further(ctx, batch)
        turn.ended(one for one, _ in batch)
    if public:
        verify(ctx, public)  # a reader may see it from now on: no waiting for the next look for due rows


@dataclass(frozen=True)
class _Place:
    """Where one delivery is read, and what was there before; the same as long as it is watched."""

    outlet: Record
    edition: Edition
    key: Key
    before: Rendition | None  # what the place shows until this correction changes it


def _places(ctx: Context, rows: Sequence[Record]) -> dict[str, _Place]:
    with ctx.store.read() as connection:
        there, installation = outlets.some(connection, (row.outlet for row in rows)), outlets.identity(connection)
        named = dict.fromkeys((row.item, row.revision) for row in rows)
        editions = {one: items.get(connection, *one)[0] for one in named}
        changed = [row.replaces_copy for row in rows if row.replaces is not None and row.replaces_copy is not None]
        before = {row.id: rendition(row) for row in deliveries.some(connection, changed)} if changed else {}
    return {
        row.id: _Place(
            there[row.outlet],
            editions[row.item, row.revision],
            Key(installation, row.id),
            before.get(row.replaces_copy) if row.replaces is not None else None,
        )
        for row in rows
    }


class _Latest:
    """The watched rows as they are now: one question for all who watch, and texts only of rows that moved."""

    def __init__(self, ctx: Context, rows: Sequence[Record]) -> None:
        self._ctx, self._whole = ctx, {row.id: row for row in rows}
        self._guard = threading.Lock()
        self._asked = 0  # how often
        self._asked_at = 0.0  # seconds of boot time
        self._found: dict[str, Record] = {}

    def of(self, one: str, known: int) -> tuple[Record, Record, int]:
        """The row without texts and receipts; with them, as of its last move; and the number of the question that this
        answers: another than `known`, and asked a moment ago at most."""
        with self._guard:
            if self._asked == known or self._ctx.clock.boottime() - self._asked_at > FRESH:
                self._asked_at = self._ctx.clock.boottime()
                with self._ctx.store.read() as connection:
                    rows = deliveries.some(connection, self._whole, light=True)
                    moved = [row.id for row in rows if row.entry_id != self._whole[row.id].entry_id]
                    self._whole |= {row.id: row for row in deliveries.some(connection, moved)} if moved else {}
                self._found = {row.id: row for row in rows}
                self._asked += 1
            return self._found[one], self._whole[one], self._asked


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


def _watch(ctx: Context, row: Record, place: _Place, latest: _Latest) -> Watched:
    channel, nap = ctx.channel(place.outlet), threading.Event()
    rung_for_a_poll = row.state == D.ACCEPTED
    foreseen = replaced(row) or _foreseen(row, channel.address(place.edition, place.key))
    if row.fire_at is not None:
        nap.wait(max(0.0, (row.fire_at - ctx.clock.now()) / SECOND + AFTER_SHOTS))
    ends = ctx.clock.boottime() + CLOSE_WATCH
    unseen_after: int | None = row.visible_after
    why, asked = "", 0
    gone: Sighting | None = None
    while True:
        now, row, asked = latest.of(row.id, asked)
        where = receipt(row) or foreseen
        if now.state == D.ACCEPTED and not rung_for_a_poll:
            return Watched()  # accepted while we watched: its first poll has a time of its own
        if now.state == D.ACCEPTED:
            try:
                found = channel.probe(rendition(row), place.key, accepted(row), replaced(row))
            except OutletError as error:
                return Watched(polled=True, found=error)
            return Watched(polled=True, found=found)
        if now.state not in (D.RELEASING, D.RELEASED):
            return Watched(unseen_after=unseen_after)
        if where is not None and not (now.visible_at is not None and now.state == D.RELEASING):
            try:
                sighting = channel.verify(where, rendition(row), place.before)
            except Unsupported as error:
                return Watched(why=str(error), unreadable=True)
            except OutletError as error:
                why = str(error)
            else:
                if sighting.visible:
                    return Watched(sighting, unseen_after, kept=reading(ctx, row.id, sighting))
                unseen_after, gone = sighting.began_at, sighting
                why = why or "; ".join(one.message for one in sighting.problems)
        if ctx.clock.boottime() >= ends:
            absent = reading(ctx, row.id, gone) if gone is not None and now.state == D.RELEASED else None
            return Watched(unseen_after=unseen_after, why=why, kept=absent)
        nap.wait(BETWEEN_READS if where is not None else BETWEEN_LOOKS)


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
        now = ctx.store.now(connection)
        rows = [row for row in deliveries.some(connection, seen) if row.state in (D.RELEASING, D.RELEASED)]
        kept = [it for row in rows if row.state == D.RELEASED and (it := seen[row.id].kept) is not None]
        readings.add_all(connection, kept, reader=ctx.actor)
        read = {row.id: watched for row in rows if (watched := seen[row.id].sighting) and row.state == D.RELEASED}
        copies.read_back(connection, {one: not it.problems for one, it in read.items()}, at=now, actor=ctx.actor)
        left = copies.have_superseded(connection, (row.item for row in rows))
        before = [copies.superseded(connection, row) if (row.item, row.outlet) in left else [] for row in rows]
        changes = [_judged(ctx, row, seen[row.id], now, old) for row, old in zip(rows, before, strict=True)]
        deliveries.change_all(connection, changes, at=now, actor=ctx.actor)
        announce.ended(ctx, connection, [one.row for one in changes if one.event is E.VERIFIED], now)
        for release_id in sorted({one.row.release for one in changes if one.event is not None}):
            outcome.settle(ctx, connection, release_id, now)
    if any(one.values.get("duty") == "withdraw" for one in changes):
        ctx.ring("prepare")


def _judged(ctx: Context, row: Record, watched: Watched, now: int, before: Sequence[Record]) -> Change:
    """What a watch makes of a delivery; `before`: older copies that readers still find beside it."""
    seen = watched.sighting
    if watched.unreadable:
        return _end_unread(ctx, row, now, watched.why)
    values: dict[str, Any] = {"reads": row.reads + 1}
    if row.visible_at is None:
        values["visible_after"] = watched.unseen_after
        if seen is not None:
            values["visible_at"] = seen.ended_at
    if row.state == D.RELEASED and seen is not None and not seen.problems:
        detail = {"reader": ctx.actor, "visible_at": values.get("visible_at", row.visible_at)}
        values |= {"match": True, "problems": [], "duty": None, "due_at": None}
        if not before:
            return Change(row, E.VERIFIED, detail, values)
        message = f"the copy before it is still public: {before[0].url}"
        problems = [{"where": "public", "message": message, "fatal": False}]
        return Change(row, values=values | {"problems": problems, "duty": "withdraw", "due_at": now, "attempts": 0})
    if row.state == D.RELEASED and seen is not None:
        values |= {"match": False, "problems": [outcome.shown(problem) for problem in seen.problems]}
    elif row.state == D.RELEASED:
        values["problems"] = [{"where": "public", "message": watched.why or "not visible yet", "fatal": False}]
    wait = 0.0 if row.state == D.RELEASING and seen is not None else AGAIN[min(row.reads, len(AGAIN) - 1)]
    return Change(row, values=values | {"due_at": now + max(50 * MILLISECOND, round(wait * SECOND))})


def _end_unread(ctx: Context, row: Record, now: int, why: str) -> Change:
    """Nobody can read it: it is public on the receiver's word, and ends so. Not before the word is there."""
    if row.state != D.RELEASED:
        return Change(row, values={"due_at": now + SECOND})
    over = {"duty": None, "due_at": None, "problems": [{"where": "public", "message": why, "fatal": False}]}
    return Change(row, E.CLOSED, {"reader": ctx.actor, "why": why}, over)


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
