"""What a campaign has found so far: one line for each case, kept between runs, so that it goes on where it ended."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
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

    def add(self, line: Line) -> None:
        self.cases += 1
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
    """A folder with a file for each trial. Lines are only added; one that was left half is passed over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

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
        made = Tally(trial)
        for line in self.lines(trial.name):
            made.add(line)
        return made

    def _path(self, trial: str) -> Path:
        return self._folder / f"{trial}.jsonl"


def _read(text: str) -> Line | None:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    return Line(**found)
