"""REPORT.md: every trial beside its target, the planted bugs, and the defects that were found on the way."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.machine import cores, versions
from tests.campaign.ledger import Tally

DEFECTS = Path(__file__).with_name("defects.toml")
HEAD = """# Campaign

Written by `make campaign ARGS=--write`; what each trial does is in the module of its name in this folder. The cases of
a trial are numbered from 0, and the number is the seed. A campaign goes on where the last one ended.
A power cut is not simulated: tests assert settings and the order of writing, renaming and syncing instead.
"""


def write(path: Path, tallies: Sequence[Tally]) -> None:
    path.write_text("\n".join(_lines(tallies)) + "\n")


def _lines(tallies: Sequence[Tally]) -> Iterator[str]:
    yield HEAD
    yield f"{datetime.now(UTC).strftime('%Y-%m-%d %H:%M UTC')}, {cores()}; {versions()}"
    yield "\n## Figures\n"
    rows = [
        (one.trial.name, one.trial.what, _counted(one), _zeros(one), _seeds(one), _hours(one), _commits(one))
        for one in tallies
    ]
    yield from table(("trial", "what", "counted", "must be 0", "cases", "time", "commits"), rows)
    yield from _rest(tallies)
    broken = [line for one in tallies for line in one.broken]
    yield f"\n## Broken promises: {len(broken)}\n"
    yield from (f"- {one.trial}, case {one.case}: {one.broken}" for one in broken)
    yield "\n## Defects found on the way\n"
    yield from table(("what", "kept away by"), [(one["what"], f"`{one['test']}`") for one in defects()])


def defects() -> list[dict[str, str]]:
    """Each with the test that would find it again."""
    return list(tomllib.loads(DEFECTS.read_text()).get("defect", []))


def _counted(one: Tally) -> str:
    reached = "" if one.done else ", **not reached**"
    return f"{one.counts[one.trial.counted]:,} {one.trial.counted} of {one.trial.target:,}{reached}"


def _zeros(one: Tally) -> str:
    return ", ".join(f"{one.counts[name]} {name}" for name in one.trial.zero)


def _seeds(one: Tally) -> str:
    return f"0–{one.cases - 1}" if one.cases else "none"


def _hours(one: Tally) -> str:
    return f"{one.seconds / 60:.0f} min"


def _commits(one: Tally) -> str:
    """What was tried, oldest first: a trial goes on where it ended, also with a newer version."""
    return ", ".join(one.commits)


def _rest(tallies: Iterable[Tally]) -> Iterator[str]:
    """What else was counted, and the worst of what is measured."""
    yield "\nAlso counted:\n"
    for one in tallies:
        said = {one.trial.counted, *one.trial.zero}
        told = [f"{many:,} {name}" for name, many in sorted(one.counts.items()) if name not in said]
        told += [f"{name} at most {max(found)}, p99 {one.p99(name)}" for name, found in sorted(one.worst.items())]
        if told:
            yield f"- {one.trial.name}: {', '.join(told)}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
