"""`make campaign`: every case of every trial, from where the last one ended.

    python -m tests.campaign [TRIAL…] [--minutes N] [--retry] [--again] [--write]

Without a trial's name: all of them, in turn. `--minutes`: end after so long; the next call goes on.
`--retry`: first the cases that broke a promise, anew; what holds now counts as held, and its defect stands in
defects.toml. `--again`: forget what was counted before. `--write` renews REPORT.md, and ledger.json, from which any
machine goes on; with or without running anything (`--minutes 0`). Ends with 1 when any promise was broken.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tests.campaign.ledger import Ledger, Line
from tests.campaign.report import write
from tests.campaign.trial import Run, Trial

HERE = Path(__file__).resolve().parent
LINES, LEDGER = HERE.parents[1] / ".campaign", HERE / "ledger.json"
GROUPS = (
    "simulation",
    "machine",
    "occasions",
    "planted",
    "zones",
    "crashes",
    "kills",
    "outlets",
    "networks",
    "hosts",
    "poison",
    "disks",
    "upgrades",
)


def trials() -> list[Trial]:
    return [one for group in GROUPS for one in import_module(f"tests.campaign.{group}").TRIALS]


def main(arguments: Sequence[str]) -> int:
    every = {one.name: one for one in trials()}
    parser = argparse.ArgumentParser(prog="make campaign", description=__doc__)
    parser.add_argument("trial", nargs="*", choices=[*every, []], metavar="TRIAL", help=", ".join(every))
    parser.add_argument("--minutes", type=float, default=24 * 60)
    parser.add_argument("--retry", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    ledger = Ledger(LINES, LEDGER)
    if asked.again:
        ledger.forget()
    ends = time.monotonic() + 60 * asked.minutes
    commit = _commit()
    for trial in [every[name] for name in asked.trial] or every.values():
        if asked.retry:
            _retry(trial, ledger, ends, commit)
        _run(trial, ledger, ends, commit)
    tallies = [ledger.tally(one) for one in every.values()]
    if asked.write:
        write(HERE / "REPORT.md", tallies)
        ledger.sum_up(tallies)
    return int(not all(one.kept for one in tallies))


def _run(trial: Trial, ledger: Ledger, ends: float, commit: str) -> None:
    """From the first case that the ledger does not have, until the target is reached or the time is up."""
    tally = ledger.tally(trial)
    if tally.done or time.monotonic() >= ends:
        return
    case = tally.following - 1
    began = told = time.monotonic()
    with trial.open() as run:
        while not tally.done and time.monotonic() < ends:
            case += 1
            line = _case(trial, run, case, commit)
            ledger.add(line)
            tally.add(line)
            if line.broken or time.monotonic() - told > 10:
                told = time.monotonic()
                _say(f"{trial.name}: {tally.counts[trial.counted]} of {trial.target} {trial.counted} {line.broken}")
    _say(f"{trial.name}: {tally.counts[trial.counted]} {trial.counted} in {time.monotonic() - began:.0f} s")


def _retry(trial: Trial, ledger: Ledger, ends: float, commit: str) -> None:
    broken = ledger.tally(trial).broken
    if not broken:
        return
    with trial.open() as run:
        for was in broken:
            if time.monotonic() >= ends:
                return
            line = _case(trial, run, was.case, commit)
            _say(f"{trial.name}: case {was.case}, broken at {was.commit}: {line.broken or 'holds'}")
            if not line.broken:
                ledger.add(line)


def _case(trial: Trial, run: Run, case: int, commit: str) -> Line:
    since = time.monotonic()
    try:
        counts, broken = run(case), ""
    except AssertionError as error:
        counts, broken = {}, str(error).strip().splitlines()[0][:300] if str(error).strip() else "assertion"
    return Line(trial.name, case, counts, round(time.monotonic() - since, 3), commit, broken)


def _commit() -> str:
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True)
    return told.stdout.strip()


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
