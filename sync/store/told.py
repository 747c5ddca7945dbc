"""Acts that were committed, told to the log of the process: one line for each entry, and none for what was undone."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event

log = logging.getLogger("tongfa.act")
ACTS, MARKS = "acts", "marks"  # in the connection's own dictionary, which one transaction has at a time


def note(connection: Connection, entry: int, act: Mapping[str, Any]) -> None:
    """An entry was written in this transaction."""
    connection.info.setdefault(ACTS, []).append((entry, act))


def watch(engine: Engine) -> None:
    """Forget what a savepoint takes back."""

    @event.listens_for(engine, "savepoint")
    def begun(connection: Connection, name: str | None) -> None:  # the name is made up only after this
        connection.info.setdefault(MARKS, []).append(len(connection.info.get(ACTS, ())))

    @event.listens_for(engine, "rollback_savepoint")
    def undone(connection: Connection, name: str, context: object) -> None:
        del connection.info.get(ACTS, [])[connection.info[MARKS].pop() :]

    @event.listens_for(engine, "release_savepoint")
    def kept(connection: Connection, name: str, context: object) -> None:
        connection.info[MARKS].pop()


@contextmanager
def telling(connection: Connection) -> Iterator[list[tuple[int, Mapping[str, Any]]]]:
    """Collect what is noted on the connection meanwhile."""
    acts: list[tuple[int, Mapping[str, Any]]] = []
    kept = connection.info  # asked for now: a connection that was lost meanwhile refuses
    kept[ACTS] = acts
    try:
        yield acts
    finally:
        kept.pop(ACTS, None)
        kept.pop(MARKS, None)


def tell(acts: list[tuple[int, Mapping[str, Any]]]) -> None:
    """After the commit: these things are so."""
    if not log.isEnabledFor(logging.INFO):
        return
    for entry, act in acts:
        subject, detail = act["subject"], act["detail"]
        release = act["subject_id"] if subject == "release" else detail.get("release")
        fields = {
            "entry": entry,
            "act": act["act"],
            "subject": subject,
            "state": act["state"],
            "release": release,
            "delivery": act["subject_id"] if subject in ("delivery", "copy") else None,
            "item": act["item"],
            "outlet": act["outlet"],
            "actor": act["actor"],
            "worker": detail.get("worker"),
            "attempt": detail.get("attempt"),
            "why": detail.get("why"),
        }
        log.info("%s %s", subject, act["act"], extra=fields)
