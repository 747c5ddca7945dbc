"""What prepare workers do beside deliveries, when it falls due: nothing of it is ever in the way of a release."""

from __future__ import annotations

import threading

from sqlalchemy import Connection, func, select

from sync.engine import announce, pull
from sync.engine.context import Context
from sync.store.tables import feed, ping

_running = threading.Lock()  # of this process; among several, each errand is claimed in its row


_NEXT = select(
    select(func.min(ping.c.due_at)).scalar_subquery(), select(func.min(feed.c.due_at)).scalar_subquery()
)  # one question: every sweeper asks it at every look


def next_due(connection: Connection) -> int | None:
    """When the next of them falls due, or fell due (µs UTC); None: none is planned."""
    return min((at for at in connection.execute(_NEXT).one() if at is not None), default=None)


def run(ctx: Context) -> None:
    """Do what is due. Returns at once while this process does so already."""
    if not _running.acquire(blocking=False):
        return
    try:
        announce.give_due(ctx)
        pull.due(ctx)
    finally:
        _running.release()
