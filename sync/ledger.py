"""Who of many recipients has been reached: the ledger of one delivery that is handed over part by part. Pure.

A recipient is a `part`: a digest that leads to nobody. What was begun is written before its first byte, so
that a process that dies leaves a doubt about one recipient and no other. What is in doubt is never begun
again by the machine; a person says what became of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

NOTE = "ledger"  # of an accepted delivery's notes


class Reached(StrEnum):
    """What became of one recipient."""

    NOT_YET = "n"
    BEGUN = "b"  # a first byte may have left
    TAKEN = "t"  # the final answer was read: never begun again
    LATER = "l"  # certainly not taken; tried again at its time
    REFUSED = "r"  # for good
    DOUBTFUL = "d"  # it may have been taken


@dataclass(frozen=True, slots=True)
class Line:
    """`due`: when a LATER one is tried again; `since`: when it was first tried; µs UTC. `why`: a code, no address."""

    reached: Reached = Reached.NOT_YET
    tries: int = 0
    due: int = 0
    since: int = 0
    why: str = ""


@dataclass(frozen=True)
class Ledger:
    lines: Mapping[str, Line] = field(default_factory=dict)

    @classmethod
    def read(cls, notes: Mapping[str, str]) -> Ledger:
        """As it was kept; one without lines where nothing was."""
        kept = json.loads(notes.get(NOTE, "{}"))
        return cls({part: Line(Reached(told[0]), *told[1:]) for part, told in kept.items()})

    def notes(self) -> dict[str, str]:
        """To be kept. Lines that end say little, because they are many."""
        kept = {part: [one.reached.value, *_told(one)] for part, one in self.lines.items()}
        return {NOTE: json.dumps(kept, separators=(",", ":"))}

    def opened(self, parts: Iterable[str]) -> Ledger:
        """With a line for each of these, when it has none at all; who comes later is not of this delivery."""
        return self if self.lines else Ledger({part: Line() for part in parts})

    def taken_up(self) -> Ledger:
        """As somebody finds it who goes on with it: what another process had begun is in doubt."""
        return self._each(Reached.BEGUN, lambda one: replace(one, reached=Reached.DOUBTFUL))

    def with_line(self, part: str, line: Line) -> Ledger:
        return Ledger({**self.lines, part: line})

    def decided(self) -> Ledger:
        """After a person has said that what is in doubt or refused is to be tried again."""
        lines = {
            part: Line() if one.reached in (Reached.BEGUN, Reached.DOUBTFUL, Reached.REFUSED) else one
            for part, one in self.lines.items()
        }
        return Ledger(lines)

    def _each(self, reached: Reached, changed: Callable[[Line], Line]) -> Ledger:
        return Ledger({part: changed(one) if one.reached is reached else one for part, one in self.lines.items()})

    def next(self, now: int, among: Iterable[str]) -> str | None:
        """Of these recipients, in their order, the first who may be begun with now."""
        for part in among:
            line = self.lines.get(part)
            if line is not None and (
                line.reached is Reached.NOT_YET or (line.reached is Reached.LATER and line.due <= now)
            ):
                return part
        return None

    def next_due(self, among: Iterable[str]) -> int | None:
        """When the next of these recipients is tried again, µs UTC; None: none of them is."""
        found = (self.lines.get(part, Line(Reached.REFUSED)) for part in among)
        return min((one.due for one in found if one.reached is Reached.LATER), default=None)

    def count(self) -> Counter[Reached]:
        return Counter(one.reached for one in self.lines.values())

    def of(self, reached: Reached) -> list[str]:
        """The recipients of whom this is so."""
        return [part for part, one in self.lines.items() if one.reached is reached]


def _told(line: Line) -> list[int | str]:
    """All but `reached`, without what says nothing at its end."""
    told: list[int | str] = [line.tries, line.due, line.since, line.why]
    while told and not told[-1]:
        told.pop()
    return told
