"""From the outlets' records to figures and a report. Pure: no clock, no process, no network."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

MARK = re.compile(r"\b(?:release|burst|quick|prefork|threads)-\d+\b")
PUBLISHING = frozenset({"/api/v1/statuses", "/cgi-bin/freepublish/submit"})
BEGIN, END = "<!-- figures: written by `make bench ARGS=--write` -->", "<!-- end of figures -->"


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


@dataclass(frozen=True)
class Goal:
    """A figure beside its target. `least`: the target is a minimum. `when`: what the target holds for."""

    name: str
    value: float
    unit: str
    target: float
    least: bool = False
    when: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.target if self.least else self.value <= self.target

    def row(self) -> tuple[str, str, str, str]:
        sign = "≥" if self.least else "≤"
        target = f"{sign} {number(self.target)} {self.unit}".rstrip()
        return self.name, f"{number(self.value)} {self.unit}".rstrip(), f"{target} {self.when}".rstrip(), _yes(self.met)


def _yes(met: bool) -> str:
    return "yes" if met else "**no**"


def number(value: float) -> str:
    """Three digits that count, thousands parted."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table that can be read as it stands: columns as wide as their widest cell."""
    whole = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[place]) for row in whole) for place in range(len(head))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in whole]
    return "\n".join([lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]])


def spreads(rows: Mapping[str, Spread], ours: str) -> str:
    """The variants side by side, in ms, with the ratio of their p50 to ours."""
    base = rows[ours].p50
    return table(
        ("", "n", "p50 ms", "p90 ms", "max ms", "ratio of p50"),
        (
            (name, str(s.n), number(s.p50), number(s.p90), number(s.most), f"{number(s.p50 / base)}×")
            for name, s in rows.items()
        ),
    )


def put_in(document: str, figures: str) -> str:
    """The document with the part between its two markers replaced. Raises ValueError when it has none."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the document has no place for figures")
    return f"{before}{BEGIN}\n\n{figures.strip()}\n\n{END}{after}"
