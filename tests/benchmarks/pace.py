"""When what is measured happens, so that nothing that is measured meets anything else."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from sync.clock import MILLISECOND, SECOND

# Releases are armed 30 s ahead: at this distance from each other none is armed, nor committed, at another's instant.
SLOT = 30 / 20.5  # seconds

Instants = dict[str, int | None]  # mark → µs UTC, None for naive runs


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


def until(instant: int) -> None:
    time.sleep(max(0.0, instant / SECOND - time.time()))


def soon(seconds: float) -> int:
    """That far ahead, on a whole millisecond (µs UTC)."""
    return round((time.time() + seconds) * 1000) * MILLISECOND


def after(begin: int, slots: float) -> int:
    return begin + round(slots * SLOT * 1000) * MILLISECOND
