"""Release skew of the product beside a hand-written Celery `group`, at the same ten outlets in the same run.

    python -m tests.benchmarks.skew [--quick] [--write]          (make bench ARGS=--quick)

Ends with 1 when a call arrived early, twice or not at all: then no figure means anything. A missed
target is printed and is no failure: most of the time it is the machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sync.clock import MILLISECOND, SECOND
from tests.benchmarks.figures import Spread, arrivals, faults, volleys
from tests.benchmarks.machine import Machine, busy, cores, cpu_seconds, load, resident_mb, versions
from tests.benchmarks.report import Measured, put_in, report
from tests.benchmarks.rig import FAST, POOLS, TEN, Rig, burning, rig

RESULTS = Path(__file__).with_name("RESULTS.md")
# Releases are armed 30 s ahead: at this distance from each other none is armed, nor committed, at another's instant.
SLOT = 30 / 20.5  # seconds
NAIVE_SLOTS = 2  # one run of each pool, one after the other
GRACE = 0.1  # seconds after a naive run was seen to be complete; its last answer has left by then
TOO_BUSY = 0.25  # share of the cores
NAMES = [account.name for account in TEN]


@dataclass(frozen=True)
class Size:
    """How much is measured. `ours`: releases in a round; `loaded`: releases beside busy processes."""

    rounds: int
    ours: int
    loaded: int
    bursts: int
    nows: int
    idle_s: float


FULL, QUICK = Size(12, 5, 20, 3, 15, 15.0), Size(5, 4, 0, 1, 5, 5.0)
BURST = 10  # releases due at one instant

Instants = dict[str, int | None]  # mark → µs UTC, None for naive runs


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def until(instant: int) -> None:
    time.sleep(max(0.0, instant / SECOND - time.time()))


def soon(seconds: float) -> int:
    """That far ahead, on a whole millisecond (µs UTC)."""
    return round((time.time() + seconds) * 1000) * MILLISECOND


def after(begin: int, slots: float) -> int:
    return begin + round(slots * SLOT * 1000) * MILLISECOND


def side_by_side(installed: Rig, size: Size, notes: list[str]) -> tuple[Instants, dict[str, str]]:
    """Rounds of some releases of ours and one naive run of each pool; returns the instants, and our releases."""
    mine, every = size.rounds * size.ours, size.ours + NAIVE_SLOTS
    say(f"planning {mine} releases …")
    begin = soon(5 + 0.5 * mine)
    slots = [turn * every + one for turn in range(size.rounds) for one in range(size.ours)]
    instants: Instants = {f"release-{place:04d}": after(begin, slot) for place, slot in enumerate(slots)}
    planned = {mark: installed.plan(mark, at, TEN) for mark, at in instants.items()}
    overlaps = 0
    for turn in range(size.rounds):
        until(after(begin, turn * every + size.ours - 0.4))
        say(f"round {turn + 1} of {size.rounds}: naive … (load {load()})")
        for pool in POOLS:
            mark = f"{pool}-{turn:04d}"
            instants[mark] = None
            installed.fire(pool, mark)
            _all_came(installed, mark)
            time.sleep(GRACE)
        overlaps += turn + 1 < size.rounds and soon(1.0) > after(begin, (turn + 1) * every)
    if overlaps:
        notes.append(f"{overlaps} naive run(s) still ran when the next release was committed")
    return instants, planned


def _all_came(installed: Rig, mark: str, within: float = 15.0) -> None:
    ends = time.monotonic() + within
    while time.monotonic() < ends:
        if sum(arrival.mark == mark for arrival in arrivals(installed.record())) >= len(TEN):
            return
        time.sleep(0.1)


def beside_busy(installed: Rig, size: Size) -> tuple[Instants, dict[str, str]]:
    """The same releases while a busy process for every core runs beside them."""
    if not size.loaded:
        return {}, {}
    say(f"{size.loaded} releases beside busy processes …")
    begin = soon(5 + 0.5 * size.loaded)
    instants: Instants = {f"loaded-{place:04d}": after(begin, place) for place in range(size.loaded)}
    planned = {mark: installed.plan(mark, at, TEN) for mark, at in instants.items()}
    until(begin - 2 * SECOND)
    with burning(installed):
        until(after(begin, size.loaded))
    return instants, planned


def bursts(installed: Rig, size: Size) -> tuple[list[Instants], list[str]]:
    """Ten releases due at one instant, some times."""
    series: list[Instants] = []
    planned = []
    for turn in range(size.bursts):
        say(f"{BURST} releases at one instant, {turn + 1} of {size.bursts} …")
        at = soon(5 + BURST)
        series.append({f"burst-{turn * BURST + one:04d}": at for one in range(BURST)})
        planned += [installed.plan(mark, at, TEN) for mark in series[-1]]
        until(after(at, 1))
    return series, planned


def publish_now(installed: Rig, size: Size) -> tuple[list[float], list[str]]:
    """From the order to the first anonymous read that showed the last of ten fast outlets, ms."""
    say(f"{size.nows} × publish now …")
    installed.set_delays(())
    took, wrong = [], []
    for turn in range(size.nows + 1):
        ordered = installed.ctx.clock.now()
        release = installed.plan(f"now-{turn:04d}", None, FAST, picture=False)
        wrong += installed.settled([release], 20)
        seen = [row.visible_at for row in installed.rows(release) if row.visible_at is not None]
        if len(seen) == len(FAST):
            took.append((max(seen) - ordered) / MILLISECOND)
    return took[1:], wrong  # the first one found everything cold


def idle(installed: Rig, seconds: float) -> dict[str, tuple[float, float]]:
    """Of each worker: share of a core, and MB resident."""
    say(f"idle for {seconds:g} s …")
    workers = {name: pid for name, pid in installed.supervisor.pids().items() if name.endswith(" worker")}
    before = {name: cpu_seconds(pid) for name, pid in workers.items()}
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return {name: ((cpu_seconds(pid) - before[name]) / passed, resident_mb(pid)) for name, pid in workers.items()}


def measure(installed: Rig, size: Size) -> Measured:
    say("one release to warm up …")
    notes: list[str] = []
    wrong = installed.settled([installed.plan("warm-up", None, TEN)], 30)
    instants, planned = side_by_side(installed, size, notes)
    busy_instants, busy_planned = beside_busy(installed, size)
    series, crowded = bursts(installed, size)
    wrong += installed.settled([*planned.values(), *busy_planned.values(), *crowded], 60)
    if late := installed.late([*planned.values(), *busy_planned.values(), *crowded]):
        notes.append(f"{late} release(s) were not prepared by the instant and went out after it")
    took, unseen = publish_now(installed, size)
    resting = idle(installed, size.idle_s)
    found = arrivals(installed.record())
    every = volleys(found, instants)
    measured = Measured(
        ours=[one for one in every if one.release_at is not None],
        loaded=volleys(found, busy_instants),
        naive={pool: [one for one in every if one.mark.startswith(f"{pool}-")] for pool in POOLS},
        bursts=[volleys(found, marks) for marks in series],
        sent=Spread.of(last - first for first, last in _sent(installed, planned, instants)),
        first_sent=Spread.of(first for first, _ in _sent(installed, planned, instants)),
        now=Spread.of(took),
        idle=resting,
        ready_s=installed.ready_s,
        notes=notes,
        wrong=wrong + unseen,
    )
    return replace(measured, wrong=[*measured.wrong, *faults(measured.every, NAMES)])


def _sent(installed: Rig, planned: Mapping[str, str], instants: Instants) -> list[tuple[float, float]]:
    """First and last send after the instant (ms) by the sender's own clock."""
    found = []
    for mark, release in planned.items():
        sent = [row.sent_at for row in installed.rows(release) if row.sent_at is not None]
        due = instants[mark]
        if sent and due is not None:
            found.append(((min(sent) - due) / MILLISECOND, (max(sent) - due) / MILLISECOND))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.skew", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute and a half instead of five")
    parser.add_argument("--write", action="store_true", help=f"put the figures into {RESULTS.name}")
    given = parser.parse_args(arguments)
    used, load_before, before = busy(), load(), Machine.now()
    note = f"; {used:.0%} of the cores were in use before anything was started" if used > TOO_BUSY else ""
    say(f"load {load_before}{note or '; the machine is quiet'}")
    with tempfile.TemporaryDirectory(prefix="tongfa-bench-") as folder, rig(Path(folder)) as installed:
        measured = measure(installed, QUICK if given.quick else FULL)
    wanted = " ".join(f"--{name}" for name in ("quick", "write") if vars(given)[name])
    command = f'make bench ARGS="{wanted}"' if wanted else "make bench"
    heading = [
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, `{command}`, {cores()}",
        f"- load average before {load_before}, after {load()}; cores {Machine.now().since(before)}{note}",
        f"- {versions()}",
    ]
    if all(one.arrivals for one in measured.every):
        told = report(measured, heading)
        print(told)
        if given.write and not measured.wrong:
            RESULTS.write_text(put_in(RESULTS.read_text(), told))
    for one in measured.wrong:
        print(f"WRONG: {one}")
    return 1 if measured.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
