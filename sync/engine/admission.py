"""What may be worked on now: nothing at an outlet that is dead or has asked for patience, nor too much at any.

What has to wait is put off to the very instant at which somebody looks whether the outlet is back, or to which
it has asked to be left alone; of other outlets nothing changes. So one dead outlet delays no other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from sync.clock import iso
from sync.engine import pace
from sync.engine.context import Context
from sync.engine.pace import GRACE, READS, Known
from sync.engine.turns import interleaved
from sync.flow import D
from sync.store import deliveries
from sync.store.deliveries import Change
from sync.store.pace import OPEN, lives
from sync.store.tables import Record
from sync.together import aside

T = TypeVar("T")


Work = Callable[[Context, "Turn"], None]


class Turn:
    """The deliveries that one task works on: `ids`, of different outlets in turn."""

    def __init__(
        self,
        ctx: Context,
        duty: str,
        work: Work,
        groups: Mapping[str, Sequence[str]],
        entered: Mapping[str, float],
    ) -> None:
        self._ctx, self._duty, self._work, self._since = ctx, duty, work, dict(entered)
        self._running = {outlet: set(groups[outlet]) for outlet in entered}
        self._at = {one: outlet for outlet in entered for one in groups[outlet]}
        self.outlets = tuple(entered)
        self.ids = interleaved({outlet: groups[outlet] for outlet in entered})

    def ordered(self, calls: Mapping[str, T]) -> dict[str, T]:
        """The calls in the order of `ids`, and then any others."""
        first = [one for one in self.ids if one in calls]
        return {one: calls[one] for one in [*first, *(one for one in calls if one not in self._at)]}

    def ended(self, ids: Iterable[str]) -> None:
        """The calls for these have ended. Once there is none any more at an outlet, others have the place, and at once:
        this task may have to wait for another outlet for long."""
        for one in ids:
            outlet = self._at.get(one)
            if outlet is None or outlet not in self._running:
                continue
            self._running[outlet].discard(one)
            if not self._running[outlet] and len(self._running) > 1:
                self._leave(outlet)
                if left := self._ctx.turns.take_on(self._duty, [outlet]):
                    aside(partial(in_turn, self._ctx, self._duty, left, self._work))

    def end(self) -> None:
        """Nothing is worked on any more."""
        for outlet in list(self._running):
            self._leave(outlet)

    def _leave(self, outlet: str) -> None:
        del self._running[outlet]
        self._ctx.turns.leave(outlet, self._since[outlet])


def in_turn(ctx: Context, duty: str, ids: Sequence[str], work: Work) -> None:
    """Work on what may be worked on of these; then on what others have left to us meanwhile."""
    left = list(dict.fromkeys(ids))
    served: dict[str, None] = {}  # where we had a place: others rely on us there, until nothing is left
    while left:
        turn = _turn(ctx, duty, left, work)
        served |= dict.fromkeys(turn.outlets)
        try:
            if turn.ids:
                work(ctx, turn)
        finally:
            turn.end()
        left = ctx.turns.take_on(duty, served)


def _turn(ctx: Context, duty: str, ids: Sequence[str], work: Work) -> Turn:
    with ctx.store.read() as connection:
        rows = deliveries.some(connection, ids, light=True)
        now = ctx.store.now(connection)
        known = pace.read(connection, now)
        now_live = lives(connection, {row.outlet for row in rows}) if known.holds or known.breakers else {}
    why = {row.id: said for row in rows if (said := _shut(known, now_live, row, duty, now)) is not None}
    if why:
        _put_off(ctx, duty, why)
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.id not in why:
            groups[row.outlet].append(row.id)
    # Who is just being read for the first time is measured by that.
    urgent = {row.outlet for row in rows if duty == "verify" and row.state == D.RELEASING}
    most = max(1, ctx.settings.workers_prepare_threads // 2)
    if duty == "carry":  # it may take for ever, well as its server is: what is due there beside it finds a place
        most = max(1, most // 2)
    entered = ctx.turns.enter(duty, groups, most, ctx.clock.boottime(), urgent=urgent)
    return Turn(ctx, duty, work, groups, entered)


def _shut(
    known: Known, now_live: Mapping[str, tuple[bool, int]], row: Record, duty: str, now: int
) -> tuple[int, str] | None:
    """Until when nothing of this delivery may go to its outlet, and why; None: it may. What has to go, always."""
    if row.outlet not in now_live or duty == "withdraw":
        return None
    live, generation = now_live[row.outlet]
    reading = duty == "verify" and row.state != D.ACCEPTED
    calls = READS if reading else ""
    waits = [
        (one.until, f"{row.outlet}: 平台要求稍后再来 · asked for patience until {iso(one.until)}: {one.why}")
        for one in known.holds
        if (one.outlet, one.live, one.calls) == (row.outlet, live, calls) and one.until > now
    ]
    breaker = known.breakers.get((row.outlet, live))
    if breaker is not None and breaker.state == OPEN and breaker.generation == generation and _may_wait(row):
        again = max(breaker.half_open_at or 0, now) + GRACE
        waits.append((again, f"{row.outlet}: 平台无应答，暂停访问 · does not answer, left alone: {breaker.why}"))
    return max(waits, default=None)


def _may_wait(row: Record) -> bool:
    """Of what is just being sent, the first reads measure when it was seen; they go on."""
    return not (row.state == D.RELEASING and row.duty == "verify")


def _put_off(ctx: Context, duty: str, why: Mapping[str, tuple[int, str]]) -> None:
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        changes = []
        for row in deliveries.some(connection, list(why), light=True):
            if row.owner is not None or row.duty != duty or row.due_at is None or row.due_at > now:
                continue  # somebody works on it, or it is not due any more
            until, said = why[row.id]
            values: dict[str, Any] = {"due_at": until}
            if row.state in (D.PLANNED, D.RENDERED, D.RELEASED) or duty == "carry":
                values["problems"] = [{"where": "outlet", "message": said, "fatal": False}]
            changes.append(Change(row, values=values))
        deliveries.change_all(connection, changes, at=now, actor=ctx.actor)
