"""Put in place, remove, look up, hand over part by part, clear away what was public."""

from __future__ import annotations

from sync.engine import errands as beside
from sync.engine import prepare as engine
from sync.engine.carry import carry as carry_on
from sync.engine.reconcile import reconcile as look_after
from sync.engine.recover import look_up
from sync.engine.removal import remove
from sync.engine.upkeep import run as look_around
from tasks.base import ctx


def prepare(ids: list[str]) -> None:
    engine.prepare(ctx(), ids)


def discard(ids: list[str]) -> None:
    engine.discard(ctx(), ids)


def reconcile(ids: list[str]) -> None:
    look_after(ctx(), ids)


def carry(ids: list[str]) -> None:
    carry_on(ctx(), ids)


def withdraw(ids: list[str]) -> None:
    remove(ctx(), ids)


def recover(ids: list[str]) -> None:
    """After a restore: which deliveries, the rows say."""
    look_up(ctx())


def upkeep(ids: list[str]) -> None:
    """Which outlets, the rows say."""
    look_around(ctx())


def errands(ids: list[str]) -> None:
    """Which, the rows say."""
    beside.run(ctx())
