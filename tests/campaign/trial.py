"""What a campaign consists of: trials, each of many cases that are told apart by their number alone.

A trial's number of a case is its seed: the same number is the same case. `make test` runs a few cases of
each (`test_*.py`), `make campaign` all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

Counts = Mapping[str, int]
Run = Callable[[int], Counts]


@dataclass(frozen=True)
class Trial:
    """`open` sets up what all cases share, and yields what runs one case.

    Running a case returns what was counted: how often `counted` happened, what was seen, and each of `zero`
    that was not. It raises AssertionError, naming the case, when a promise was broken in a way that ends it.
    """

    name: str  # on the command line
    what: str  # one line, for the report
    counted: str  # the count that the target is about: "kills", "seeds"
    target: int  # of it, in a full campaign
    open: Callable[[], AbstractContextManager[Run]]
    zero: tuple[str, ...] = ("lost", "duplicate", "early")
    worst: tuple[str, ...] = ()  # counts of which the report has the largest and the p99 instead of a sum: milliseconds
