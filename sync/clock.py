"""The only module that reads time.

Instants are integers: microseconds since 1970-01-01 UTC. Waits are floats: seconds of
CLOCK_BOOTTIME, which neither steps when the wall clock is set nor stops while the machine sleeps.
Everything else in the core is handed its time, so that it can be tested without waiting.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

SECOND = 1_000_000
MILLISECOND = 1_000


class Clock(Protocol):
    """Where the engine takes its time from."""

    def now(self) -> int:
        """Wall clock, microseconds UTC. May step."""
        ...

    def boottime(self) -> float:
        """Seconds since the machine started. Never steps; comparable only on one machine."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> int:
        return time.time_ns() // 1_000

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class SetClock:
    """A clock that stands still until it is moved; both faces move together."""

    def __init__(self, now: int = 1_700_000_000 * SECOND) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def boottime(self) -> float:
        return self._now / SECOND

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds`; never backward."""
        if seconds < 0:
            raise ValueError("a clock is only moved forward")
        self._now += round(seconds * SECOND)


def iso(instant: int) -> str:
    """Instant → `2026-11-23T01:00:00.000Z` (milliseconds, cut, never rounded up into the future)."""
    moment = datetime.fromtimestamp(instant // SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{instant % SECOND // MILLISECOND:03d}Z"


def instant(moment: datetime) -> int:
    """Aware datetime → instant. Raises ValueError for a naive one: its meaning would be a guess."""
    if moment.tzinfo is None:
        raise ValueError("a time without an offset names no instant")
    whole = moment.astimezone(UTC)
    return int(whole.replace(microsecond=0).timestamp()) * SECOND + whole.microsecond
