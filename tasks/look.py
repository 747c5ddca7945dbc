"""Look now: the doorbell. Wakes this process's sweeper, and carries nothing."""

from __future__ import annotations

import logging
import threading

from sync.bell import LOOK

RUNG = threading.Event()


def look() -> None:
    RUNG.set()


def unsaid(record: logging.LogRecord) -> bool:
    """A filter for Celery's logs: each commit rings, and two lines for each would bury the rest."""
    return bool(getattr(record, "data", {}).get("name") != LOOK)


for name in ("celery.worker.strategy", "celery.app.trace"):
    logging.getLogger(name).addFilter(unsaid)
