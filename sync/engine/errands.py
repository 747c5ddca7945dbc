"""What prepare workers do beside deliveries, when it falls due: nothing of it is ever in the way of a release."""

from __future__ import annotations

import threading

from sqlalchemy import Connection, func, select

from sync.engine import announce, pull
from sync.engine.context import Context
from sync.store.tables import feed, ping

# Each by one thread of this process: a feed that takes its time delays no notice. Among processes the rows decide.
ERRANDS = tuple((errand, threading.Lock()) for errand in (announce.give_due, pull.due))


_NEXT = select(
    select(func.min(ping.c.due_at)).scalar_subquery(), select(func.min(feed.c.due_at)).scalar_subquery()
)  # one question: every sweeper asks it at every look


def next_due(connection: Connection) -> int | None:
    """When the next of them falls due, or fell due (µs UTC); None: none is planned."""
    return min((at for at in connection.execute(_NEXT).one() if at is not None), default=None)


def run(ctx: Context) -> None:
    """Do what is due, but for what another thread of this process does already."""
    for errand, busy in ERRANDS:
        if busy.acquire(blocking=False):
            try:
                errand(ctx)
            finally:
                busy.release()
