"""No outlet takes up all threads of a process: of those that may wait for one there is a bound.

A task asks for a place at each outlet of its deliveries before it calls anything, and gives it up as soon as
the last call there has ended. What gets no place is left to a task that has one, which goes on with it; so
an outlet that works is served by fewer threads for a moment, and one that hangs keeps only these.
Kept in memory: what a death forgets is still due.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

STUCK = 5.0  # seconds after which whoever waits for an outlet is thought to wait in vain
HANDED_ON = 8  # deliveries that are gone on with at once


class Turns:
    """One process's. `duty`: which task's work it is; outlets are named, and so are deliveries, by their ids."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._places: defaultdict[str, list[float]] = defaultdict(list)  # since when each is taken, boot time
        self._left: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)

    def enter(
        self, duty: str, wanted: Mapping[str, Sequence[str]], most: int, now: float, *, urgent: Collection[str] = ()
    ) -> dict[str, float]:
        """Outlets at which there was a place, and what gives it up again; the deliveries at others are left to those
        who have one. At an `urgent` one there is always a place, unless somebody seems to wait there in vain."""
        entered = {}
        with self._guard:
            for outlet, ids in wanted.items():
                there = self._places[outlet]
                stuck = any(now - since > STUCK for since in there)
                if len(there) < most or (outlet in urgent and not stuck):
                    there.append(now)
                    entered[outlet] = now
                    for one in ids:
                        self._left[duty, outlet].pop(one, None)
                else:
                    self._left[duty, outlet].update(dict.fromkeys(ids))
        return entered

    def leave(self, outlet: str, since: float) -> None:
        """The place that was taken then is free."""
        with self._guard:
            self._places[outlet].remove(since)
            if not self._places[outlet]:
                del self._places[outlet]

    def take_on(self, duty: str, outlets: Collection[str]) -> list[str]:
        """Some of what was left to whoever has a place at these outlets; it is no longer left to anybody else."""
        with self._guard:
            found: list[str] = []
            for outlet in outlets:
                left = self._left[duty, outlet]
                for one in list(left)[: HANDED_ON - len(found)]:
                    del left[one]
                    found.append(one)
                if not left:
                    del self._left[duty, outlet]
            return found


def interleaved(groups: Mapping[str, Sequence[str]]) -> list[str]:
    """One of each group in turn, the largest group last in each round: so many as hang at the head of a queue, of
    every other group that many were begun before them."""
    ordered = sorted(groups.values(), key=len)
    return [group[at] for at in range(max(map(len, ordered), default=0)) for group in ordered if at < len(group)]
