"""What every use-case is handed, and the few things they all do with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sync.clock import Clock
from sync.contract import Accepted, Channel, Prepared, Receipt
from sync.engine.turns import Turns
from sync.model import Asset, AssetRole, Rendition, Token
from sync.ownership import Ownership
from sync.settings import Settings
from sync.store.assets import AssetStore
from sync.store.session import Store
from sync.store.tables import Record


class Held:
    """Ids of the deliveries that threads of this process work on now.

    A row this process owns but nobody here holds was dropped by a dying thread; the sweeper disowns it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[str, int] = {}

    def add(self, ids: Iterable[str]) -> None:
        with self._lock:
            for one in ids:
                self._ids[one] = self._ids.get(one, 0) + 1

    def drop(self, ids: Iterable[str]) -> None:
        with self._lock:
            for one in ids:
                self._ids[one] = self._ids.get(one, 1) - 1
                if self._ids[one] <= 0:
                    del self._ids[one]

    @contextmanager
    def during(self, ids: Iterable[str]) -> Iterator[None]:
        """Before the claim is committed, until after the outcome is."""
        held = list(ids)
        self.add(held)
        try:
            yield
        finally:
            self.drop(held)

    def __contains__(self, one: str) -> bool:
        with self._lock:
            return one in self._ids


@dataclass(frozen=True)
class Context:
    """One process's wiring, made in `sync.bootstrap`.

    `actor` is who entries name: a person, with how they were identified, or this worker.
    """

    store: Store
    assets: AssetStore
    settings: Settings
    clock: Clock
    kind: Callable[[str], type[Channel]]
    channel: Callable[[Record], Channel]
    ring: Callable[[str], None]
    lock: Ownership
    actor: str
    named: str | None = None  # the person for whom a command acts, when it names one
    held: Held = field(default_factory=Held)
    turns: Turns = field(default_factory=Turns)
    kinds: dict[str, str] = field(default_factory=dict)  # outlet → its kind, which never changes

    @property
    def author(self) -> str:
        """Who wrote what is submitted now."""
        return self.named or self.actor

    @property
    def owner(self) -> str:
        """What this process's rows store as their owner."""
        return self.lock.name


def dump(value: Rendition | Prepared | Accepted | Receipt) -> dict[str, Any]:
    """A value as JSON for its column."""
    match value:
        case Rendition():
            return {
                "title": value.title,
                "content": value.content,
                "fields": dict(value.fields),
                "files": [[a.digest, a.media_type, a.size, a.name, a.role, a.alt] for a in value.files],
                "shown": [[t.kind, t.value] for t in value.shown],
            }
        case Prepared():
            return {"ref": value.ref, "fresh_until": value.fresh_until, "notes": dict(value.notes)}
        case Accepted():
            return {"job": value.job, "notes": dict(value.notes)}
        case Receipt():
            return {"ref": value.ref, "url": value.url, "at": value.at, "notes": dict(value.notes)}


def rendition(row: Record) -> Rendition:
    """The rendition a delivery was frozen with. Raises ValueError before it was rendered."""
    if row.rendition is None:
        raise ValueError(f"delivery {row.id} was never rendered")
    stored = row.rendition
    return Rendition(
        stored["title"],
        stored["content"],
        stored["fields"],
        tuple(Asset(d, m, s, n, AssetRole(r), alt) for d, m, s, n, r, alt in stored["files"]),
        tuple(Token(kind, value) for kind, value in stored["shown"]),
    )


def prepared(row: Record) -> Prepared | None:
    return None if row.prepared is None else Prepared(**row.prepared)


def accepted(row: Record) -> Accepted | None:
    return None if row.accepted is None else Accepted(**row.accepted)


def hint(row: Record) -> Accepted | Prepared | None:
    """What a probe is told of it. A Prepared that was to be sent says when in its notes: `fire_at`, µs UTC."""
    there = prepared(row)
    if there is not None and row.fire_at is not None:
        there = replace(there, notes={**there.notes, "fire_at": str(row.fire_at)})
    return accepted(row) or there


def replaced(row: Record) -> Receipt | None:
    """The public copy that this delivery changes in place."""
    return None if row.replaces is None else Receipt(**row.replaces)


def receipt(row: Record) -> Receipt | None:
    return None if row.receipt is None else Receipt(**row.receipt)
