"""Which deliveries may go out, asked in the transaction that claims or commits them.

Nothing here writes. What is asked is asked for all of them at once, because whoever asks holds up
every other writer.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from sqlalchemy import Connection

from sync.contract import Reveal, TryLater
from sync.engine.context import Context
from sync.engine.identity import barred_of
from sync.engine.notice import reveals
from sync.flow import D
from sync.store import copies, deliveries, outlets
from sync.store.tables import Record


class Changed(Exception):
    """The outlet of this delivery was changed after it was prepared. Nothing was committed."""

    def __init__(self, delivery: str, outlet: str) -> None:
        super().__init__(f"{outlet} was changed after it was prepared")
        self.delivery = delivery


class Overtaken(Exception):
    """A later revision of the item is public, or about to be. Nothing was committed."""


class NotYet(Exception):
    """Another process still arms a required outlet, or an earlier revision is on its way. Nothing was committed."""


def may_go(ctx: Context, connection: Connection, joined: Record, rows: Sequence[Record], ours: Container[str]) -> bool:
    """Whether an outlet that the public reads takes part. `ours`: the ids that this process armed.

    Raises Overtaken, NotYet, TryLater or Changed when one of them may not go.
    """
    if older := outdated(ctx, connection, joined, rows):
        raise Overtaken(older[0].item)
    there = outlets.facts(connection, (row.outlet for row in rows))
    revisions = copies.revisions(connection, (row.item for row in rows))
    how = reveals(ctx, connection, there)
    for row in rows:
        # A person's task says which revision it is of: an older one that is open keeps nobody waiting.
        if how.get(row.outlet) is Reveal.MANUAL:
            continue
        if revisions.older_under_way(row.item, row.outlet, row.revision):
            raise NotYet(f"{row.outlet}: an earlier revision is on its way there")
    for why in barred_of(ctx, connection, rows).values():
        raise TryLater(f"nothing was sent: {why}")
    for row in rows:
        if there[row.outlet].generation != row.generation and row.id in ours:
            raise Changed(row.id, row.outlet)
        if there[row.outlet].generation != row.generation:
            raise NotYet(f"{row.outlet} was changed: the process that armed it is about to find out")
    return bool(joined.live and any(not one.private_network for one in there.values()))


def outdated(ctx: Context, connection: Connection, joined: Record, rows: Sequence[Record]) -> list[Record]:
    """Those of the rows whose item has a later revision in public, or whose place to correct is another one now.

    What notifies, and what a person does, has no such place: it stands beside what was there before."""
    revisions = copies.revisions(connection, (row.item for row in rows))
    found = {row.id for row in rows if revisions.newer(row.item, row.revision)}
    if joined.action == "correct":
        how = reveals(ctx, connection, (row.outlet for row in rows))
        placed = [row.id for row in rows if how.get(row.outlet) not in (Reveal.NOTIFY, Reveal.MANUAL)]
        whole = deliveries.some(connection, placed)
        found |= {row.id for row in whole if copies.outdated(connection, row)}
    return [row for row in rows if row.id in found]


def armed_elsewhere(ctx: Context, rows: Sequence[Record]) -> list[Record]:
    """Those of other processes' deliveries that are armed. Raises NotYet when a required one is not, or its owner
    is dead."""
    ready = [row for row in rows if row.state == D.PREPARED and row.owner is not None and row.armed_at is not None]
    _all_among(rows, ready)  # asked first: who lives is a question for each of them
    dead = {one for one in {row.owner for row in ready} if ctx.lock.is_dead(one)}
    ready = [row for row in ready if row.owner not in dead]
    _all_among(rows, ready)
    return ready


def _all_among(rows: Sequence[Record], ready: Sequence[Record]) -> None:
    there = {row.id for row in ready}
    for row in going(rows):
        if row.required and row.id not in there:
            raise NotYet(f"{row.outlet}: nobody has it armed")


def going(rows: Sequence[Record]) -> list[Record]:
    """Without those that a person gave up."""
    return [row for row in rows if row.state != D.CANCELLED]


def too_late(joined: Record, now: int) -> bool:
    return joined.overdue_at is not None and joined.overdue_at <= now


def is_free(row: Record) -> bool:
    return bool(row.state == D.PREPARED and row.owner is None and row.duty == "release")


def is_due(row: Record, now: int) -> bool:
    return is_free(row) and row.due_at is not None and row.due_at <= now
