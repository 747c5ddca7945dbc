"""What a sweeper rang, and what it leaves to other processes. Kept in memory: a death forgets it, harmlessly."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum, auto
from hashlib import blake2b

from sync.clock import SECOND

REMEMBERED = 3 * SECOND  # µs after which what was rung and not taken is rung again
LEFT_TO_OTHERS = 1 * SECOND  # µs in which the process that should take it comes first
MOST = 10_000

Due = tuple[str, str, int]  # delivery, duty, due_at; of what a dead process left: its epoch


class Ring(Enum):
    FIRST = auto()
    AGAIN = auto()  # nobody took it: the message was lost, or all are busy


class Rung:
    """Which due rows to ring now. For one thread only."""

    def __init__(self) -> None:
        self._known: dict[Due, tuple[int, bool]] = {}  # when next, and whether it was rung

    def ring(self, row: Due, now: int, *, ours: bool) -> Ring | None:
        """Whether to ring this row at this look. `ours`: no other process should come first."""
        next_at, rung = self._known.get(row, (0 if ours else now + LEFT_TO_OTHERS, False))
        # A clock that was set back does not make it wait longer.
        if 0 < next_at - now <= REMEMBERED and (rung or not ours):
            self._remember(row, now, next_at, rung)
            return None
        self._remember(row, now, now + REMEMBERED, True)
        return Ring.AGAIN if rung else Ring.FIRST

    def next_at(self, row: Due, now: int) -> int:
        """When to look at this row again (µs UTC)."""
        return self._known.get(row, (now, False))[0]

    def forget(self, rows: Iterable[Due]) -> None:
        """They could not be rung after all."""
        for row in rows:
            self._known.pop(row, None)

    def _remember(self, row: Due, now: int, next_at: int, rung: bool) -> None:
        if len(self._known) >= MOST:
            self._known = {one: known for one, known in self._known.items() if known[0] > now}
        self._known[row] = next_at, rung


def taker(processes: Collection[str], release: str) -> str | None:
    """Which of these processes should take this release; None when there is none.

    All who know the same processes say the same; one that comes or goes changes only what is its own.
    """
    return max(processes, key=lambda name: blake2b(f"{name} {release}".encode()).digest(), default=None)
