"""When an outlet counts as dead: then nothing but a look goes there, until a look is answered.

Pure. It opens after `IN_A_ROW` failures, or when of `LEAST` or more calls in `WITHIN` at least `SHARE` failed. A
failure is a call of whose fate the outlet said nothing: it could not be reached, did not answer, or
answered with a failure of its own. A refusal is an answer. Instants are µs UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from sync.clock import SECOND
from sync.contract import Ambiguous, HeldBack, OutletError, TryLater, Unsupported

IN_A_ROW = 5
LEAST, SHARE, WITHIN = 10, 0.7, 600 * SECOND
MOST = 100  # outcomes that are remembered
WAITS = (30, 60, 120, 300, 600)  # seconds until it is looked at, by the looks that failed; the last repeats
SPREAD = 0.2  # of a wait, by which two outlets that died together come apart


@dataclass(frozen=True, slots=True)
class Health:
    """`failures` in a row; `recent`: what became of calls since the first failure that still matters."""

    failures: int = 0
    recent: tuple[tuple[int, bool], ...] = ()

    @classmethod
    def read(cls, failures: int, recent: Sequence[Sequence[int]]) -> Self:
        return cls(failures, tuple((at, bool(worked)) for at, worked in recent))

    def shown(self) -> list[list[int]]:
        """`recent`, for JSON."""
        return [[at, int(worked)] for at, worked in self.recent]

    def after(self, worked: bool, now: int) -> Self:
        """As it is once a call has ended so. Of an outlet that always works nothing is remembered."""
        recent = [one for one in self.recent if one[0] > now - WITHIN] + [(now, worked)]
        first = next((at for at, (_, fine) in enumerate(recent) if not fine), len(recent))
        return replace(self, failures=0 if worked else self.failures + 1, recent=tuple(recent[first:][-MOST:]))

    def remembers(self, now: int) -> bool:
        """Whether there was a failure that a call that works would have to be told beside."""
        return self.failures > 0 or any(at > now - WITHIN for at, _ in self.recent)

    @property
    def dead(self) -> bool:
        failed = sum(not worked for _, worked in self.recent)
        return self.failures >= IN_A_ROW or (len(self.recent) >= LEAST and failed >= SHARE * len(self.recent))


def failed(error: BaseException | None) -> bool | None:
    """Whether a call that ended like this failed; None: it says nothing of the outlet."""
    match error:
        case None:
            return False
        case HeldBack() | Unsupported():
            return None
        case TryLater():
            return error.not_before is None  # whoever says when to come again is not dead
        case Ambiguous():
            return True
        case OutletError():
            return False
        case _:
            return None  # a bug of ours


def half_open_in(looks: int, chance: float) -> int:
    """µs until the outlet is looked at, after so many looks that failed; `chance` is from 0 to 1."""
    wait = WAITS[min(looks, len(WAITS) - 1)] * SECOND
    return round(wait * (1 - SPREAD + 2 * SPREAD * chance))
