"""What a worker writes to its log: one JSON object a line, UTC, with the ids of what it is about.

Only the fields named here are ever written, so that no value that somebody added in passing can carry
a secret into a file; control characters are encoded by JSON, so that no title can forge a line.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

from sync.clock import SystemClock, iso

FIELDS = (  # in the order in which a person reads them
    *("timestamp", "level", "event", "release", "delivery", "outlet", "item", "state", "act", "subject", "entry"),
    *("attempt", "why", "actor", "worker", "exception", "logger", "lane", "process"),
)
# A received message is no act; what came of it is told by the entries.
QUIET = ("celery.bootsteps", "celery.worker.strategy", "celery.app.trace", "kombu", "urllib3", "sqlalchemy", "alembic")

log = logging.getLogger("tongfa.process")


def configure(lane: str, owner: str, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send everything that is logged in this process to `stream` (stderr). Repeatable."""

    def whose(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["lane"], event["process"] = lane, owner
        return event

    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(FIELDS),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            whose,
            only_known,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def take_over(lane: str, owner: str) -> None:
    """From here on whatever this process has to say is such a line: also warnings, and what it or a thread dies of."""
    configure(lane, owner)
    logging.captureWarnings(True)
    sys.excepthook = _dies
    threading.excepthook = _thread_dies


def write(lane: str, event: str) -> None:
    """One line past all handlers and locks: a signal's handler may interrupt whoever holds them."""
    told = {
        "timestamp": iso(SystemClock().now()),
        "level": "info",
        "event": event,
        "lane": lane,
        "process": str(os.getpid()),
    }
    os.write(sys.stderr.fileno(), f"{json.dumps(told, ensure_ascii=False)}\n".encode())


def _dies(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    log.critical("the process ends by an error", exc_info=(kind, error, at))


def _thread_dies(told: threading.ExceptHookArgs) -> None:
    if told.exc_type is not SystemExit:
        error = told.exc_value or told.exc_type()
        log.critical("a thread ends by an error", exc_info=(told.exc_type, error, told.exc_traceback))


def only_known(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Leave out every field that is not named in `FIELDS`."""
    return {name: event[name] for name in FIELDS if event.get(name) is not None}
