"""Put in place, remove, look up."""

from __future__ import annotations

from sync.engine import prepare as engine
from sync.engine.reconcile import reconcile as look_after
from tasks.base import ctx


def prepare(ids: list[str]) -> None:
    engine.prepare(ctx(), ids)


def discard(ids: list[str]) -> None:
    engine.discard(ctx(), ids)


def reconcile(ids: list[str]) -> None:
    look_after(ctx(), ids)
