"""From the outlets' records to figures. Pure: no clock, no process, no network."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

MARK = re.compile(r"\b(?:release|tls|loaded|burst|now|prefork|threads|sqlite|postgresql)-\d+\b")
PUBLISHING = frozenset({"/api/v1/statuses", "/cgi-bin/freepublish/submit"})


@dataclass(frozen=True)
class Arrival:
    """A publish call as an outlet recorded it: when its last packet came (µs UTC), at which account, of which text."""

    at: int
    account: str
    mark: str


@dataclass(frozen=True)
class Volley:
    """All publish calls of one text. `release_at`: µs UTC; None where nothing was promised."""

    mark: str
    arrivals: tuple[Arrival, ...]
    release_at: int | None = None

    @property
    def skew_ms(self) -> float:
        """Last minus first arrival."""
        return (max(a.at for a in self.arrivals) - min(a.at for a in self.arrivals)) / 1000

    @property
    def first_ms(self) -> float:
        """First arrival after the instant; negative would be early."""
        assert self.release_at is not None
        return (min(a.at for a in self.arrivals) - self.release_at) / 1000

    @property
    def early(self) -> int:
        """Calls that arrived before the instant."""
        return 0 if self.release_at is None else sum(a.at < self.release_at for a in self.arrivals)

    def wrong(self, accounts: Collection[str]) -> str:
        """Why this volley is not one call for each account; "" when it is."""
        met = [a.account for a in self.arrivals]
        missing, twice = sorted(set(accounts) - set(met)), sorted({one for one in met if met.count(one) > 1})
        told = [f"no call at {', '.join(missing)}"] if missing else []
        told += [f"more than one call at {', '.join(twice)}"] if twice else []
        return f"{self.mark}: {'; '.join(told)}" if told else ""


@dataclass(frozen=True)
class Crew:
    """Releases of one installation: on which database, by how many release processes; `senders`: by how many of
    them each release was sent, `late`: how many went out after their instant, `wrong`: what makes them worthless."""

    database: str
    processes: int
    volleys: Sequence[Volley]
    senders: Sequence[int]
    late: int = 0
    wrong: Sequence[str] = ()

    @property
    def skews(self) -> Spread:
        return Spread.of(one.skew_ms for one in self.volleys)

    @property
    def firsts(self) -> Spread:
        return Spread.of(one.first_ms for one in self.volleys)

    @property
    def early(self) -> int:
        return sum(one.early for one in self.volleys)

    @property
    def calls(self) -> int:
        return sum(len(one.arrivals) for one in self.volleys)


@dataclass(frozen=True)
class Spread:
    n: int
    p50: float
    p90: float
    most: float
    least: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Raises ValueError when there are none. p90: the smallest value that nine tenths do not exceed."""
        ordered = sorted(values)
        if not ordered:
            raise ValueError("nothing was measured")
        rank = math.ceil(0.9 * len(ordered)) - 1
        return cls(len(ordered), median(ordered), ordered[rank], ordered[-1], ordered[0])


def arrivals(lines: Sequence[Mapping[str, Any]]) -> list[Arrival]:
    """The publish calls of our texts in a sandbox's record.

    A submission names only its draft; what the draft was about is in the line of the job.
    """
    jobs = {line["detail"]["media_id"]: line["detail"]["title"] for line in lines if line["path"] == "job"}
    found = []
    for line in lines:
        if line["method"] != "POST" or line["path"] not in PUBLISHING:
            continue
        detail = line["detail"]
        mark = MARK.search(str(detail.get("text") or jobs.get(detail.get("media_id"), "")))
        if mark:
            found.append(Arrival(int(line["at"]), str(line["account"]), mark[0]))
    return found


def volleys(found: Iterable[Arrival], instants: Mapping[str, int | None]) -> list[Volley]:
    """One for each mark of `instants`, with every call that bears it."""
    by_mark: dict[str, list[Arrival]] = {mark: [] for mark in instants}
    for one in found:
        if one.mark in by_mark:
            by_mark[one.mark].append(one)
    return [Volley(mark, tuple(by_mark[mark]), at) for mark, at in instants.items()]


def faults(measured: Iterable[Volley], accounts: Collection[str]) -> list[str]:
    """What makes the run worthless: calls missing, repeated, or early."""
    told = []
    for volley in measured:
        if wrong := volley.wrong(accounts):
            told.append(wrong)
        if volley.early:
            told.append(f"{volley.mark}: {volley.early} of {len(volley.arrivals)} calls arrived before the instant")
    return told
