"""What a campaign has found so far: one line for each case, kept between runs, so that it goes on where it ended.

What was written into the report is summed up in one file of the repository, so that it goes on there on
any other machine, too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.campaign.trial import Counts, Trial


@dataclass(frozen=True)
class Line:
    """One case. `broken`: in one line, which promise was; "" when none."""

    trial: str
    case: int
    counts: Counts
    seconds: float
    commit: str
    broken: str = ""


@dataclass
class Tally:
    """All cases of one trial."""

    trial: Trial
    cases: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    worst: dict[str, list[int]] = field(default_factory=dict)
    seconds: float = 0.0
    broken: list[Line] = field(default_factory=list)
    commits: dict[str, int] = field(default_factory=dict)  # each with its number of cases, in their order
    following: int = 0  # the first case that was not run

    def add(self, line: Line) -> None:
        """A case that broke a promise, and holds when it is run anew, counts as what it was at last."""
        again = [one for one in self.broken if one.case == line.case]
        self.broken = [one for one in self.broken if one.case != line.case]
        self.cases += not again
        self.following = max(self.following, line.case + 1)
        self.seconds += line.seconds
        self.commits[line.commit] = self.commits.get(line.commit, 0) + 1
        if line.broken:
            self.broken.append(line)
        for name, many in line.counts.items():
            if name in self.trial.worst:
                self.worst.setdefault(name, []).append(many)
            else:
                self.counts[name] += many

    @property
    def done(self) -> bool:
        return self.counts[self.trial.counted] >= self.trial.target

    @property
    def kept(self) -> bool:
        """Nothing that must not be was seen."""
        return not self.broken and not any(self.counts[name] for name in self.trial.zero)

    def p99(self, name: str) -> int:
        ordered = sorted(self.worst.get(name, [0]))
        return ordered[max(0, -(-len(ordered) * 99 // 100) - 1)]


class Ledger:
    """A folder with a file for each trial, and a file that sums up what was there before.

    Lines are only added; one that was left half is passed over.
    """

    def __init__(self, folder: Path, summed: Path) -> None:
        self._folder, self._summed = folder, summed
        folder.mkdir(parents=True, exist_ok=True)

    def sum_up(self, tallies: Sequence[Tally]) -> None:
        """These tallies, made of all trials, take the place of their lines. Dying on the way repeats no case."""
        told = {one.trial.name: _summed(one) for one in tallies if one.cases}
        fresh = self._summed.with_name(f"{self._summed.name}.new")
        fresh.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n")
        fresh.replace(self._summed)
        # Lines of cases that are summed up are passed over, should they be left.
        for one in tallies:
            self._path(one.trial.name).unlink(missing_ok=True)

    def forget(self) -> None:
        """As if nothing had ever been run."""
        self._summed.unlink(missing_ok=True)
        for path in self._folder.glob("*.jsonl"):
            path.unlink()

    def add(self, line: Line) -> None:
        path = self._path(line.trial)
        left_half = path.exists() and not path.read_bytes().endswith(b"\n")
        with path.open("a") as file:
            file.write(left_half * "\n" + json.dumps(vars(line), ensure_ascii=False) + "\n")

    def lines(self, trial: str) -> Iterator[Line]:
        path = self._path(trial)
        for text in path.read_text().splitlines() if path.exists() else ():
            if (found := _read(text)) is not None:
                yield found

    def tally(self, trial: Trial) -> Tally:
        known = json.loads(self._summed.read_text()) if self._summed.exists() else {}
        made = _tally(trial, known[trial.name]) if trial.name in known else Tally(trial)
        before = made.following
        for line in self.lines(trial.name):
            if line.case >= before or any(line.case == one.case for one in made.broken):
                made.add(line)
        return made

    def _path(self, trial: str) -> Path:
        return self._folder / f"{trial}.jsonl"


def _summed(one: Tally) -> dict[str, Any]:
    worst = {name: sorted(Counter(found).items()) for name, found in one.worst.items()}  # each value, and how often
    counts = dict(sorted(one.counts.items()))
    told = {"cases": one.cases, "following": one.following, "counts": counts, "worst": worst}
    return {**told, "seconds": round(one.seconds, 1), "commits": one.commits, "broken": [vars(it) for it in one.broken]}


def _tally(trial: Trial, told: dict[str, Any]) -> Tally:
    worst = {name: [value for value, many in found for _ in range(many)] for name, found in told["worst"].items()}
    broken = [Line(**line) for line in told["broken"]]
    return Tally(
        trial,
        told["cases"],
        Counter(told["counts"]),
        worst,
        told["seconds"],
        broken,
        dict(told["commits"]),
        told["following"],
    )


def _read(text: str) -> Line | None:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    return Line(**found)
