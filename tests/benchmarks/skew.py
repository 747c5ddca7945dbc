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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sync.clock import MILLISECOND, SECOND
from tests.benchmarks.figures import (
    Goal,
    Spread,
    Volley,
    arrivals,
    faults,
    number,
    put_in,
    spreads,
    table,
    volleys,
)
from tests.benchmarks.rig import (
    FAST,
    POOLS,
    TEN,
    Machine,
    Rig,
    busy,
    cores,
    cpu_seconds,
    load,
    resident_mb,
    rig,
    versions,
)

RESULTS = Path(__file__).with_name("RESULTS.md")
# Releases are armed 30 s ahead: at this distance from each other none is armed, nor committed, at another's instant.
SLOT = 30 / 20.5  # seconds
NAIVE_SLOTS = 2  # one run of each pool, one after the other
GRACE = 0.35  # seconds after a naive run's last arrival: until all of it was answered
TOO_BUSY = 0.25  # share of the cores
OURS = "同发 Tongfa"
NAMES = {"prefork": "naive group, prefork -c2", "threads": "naive group, threads -c16"}


@dataclass(frozen=True)
class Size:
    """How much is measured. `ours`: releases in a round."""

    rounds: int
    ours: int
    bursts: int
    nows: int
    idle_s: float


FULL, QUICK = Size(12, 5, 3, 15, 15.0), Size(5, 4, 1, 5, 5.0)
BURST = 10  # releases due at one instant


@dataclass(frozen=True)
class Measured:
    ours: Sequence[Volley]
    naive: Mapping[str, Sequence[Volley]]
    bursts: Sequence[Sequence[Volley]]
    sent: Spread  # by our own clock
    first_sent: Spread
    now: Spread
    idle: dict[str, tuple[float, float]]  # worker → share of a core, MB
    ready_s: float
    wrong: list[str]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def until(instant: int) -> None:
    time.sleep(max(0.0, instant / SECOND - time.time()))


def soon(seconds: float) -> int:
    """That far ahead, on a whole millisecond (µs UTC)."""
    return round((time.time() + seconds) * 1000) * MILLISECOND


def side_by_side(installed: Rig, size: Size) -> tuple[dict[str, int | None], dict[str, str]]:
    """Rounds of some releases of ours and one naive run of each pool; returns mark → instant, and our releases."""
    mine = size.rounds * size.ours
    say(f"planning {mine} releases …")
    begin = soon(5 + 0.5 * mine)
    every = size.ours + NAIVE_SLOTS
    slots = [turn * every + one for turn in range(size.rounds) for one in range(size.ours)]
    instants: dict[str, int | None] = {
        f"release-{place:04d}": begin + round(slot * SLOT * 1000) * MILLISECOND for place, slot in enumerate(slots)
    }
    planned = {mark: installed.plan(mark, at, TEN) for mark, at in instants.items()}
    for turn in range(size.rounds):
        until(begin + round((turn * every + size.ours - 0.15) * SLOT * SECOND))
        say(f"round {turn + 1} of {size.rounds}: ours done, naive … (load {load()})")
        for pool in POOLS:
            mark = f"{pool}-{turn:04d}"
            instants[mark] = None
            installed.fire(pool, mark)
            _all_came(installed, mark)
            time.sleep(GRACE)
    return instants, planned


def _all_came(installed: Rig, mark: str, within: float = 15.0) -> None:
    ends = time.monotonic() + within
    while time.monotonic() < ends:
        if sum(arrival.mark == mark for arrival in arrivals(installed.record())) >= len(TEN):
            return
        time.sleep(0.1)


def bursts(installed: Rig, size: Size) -> tuple[list[dict[str, int | None]], list[str]]:
    """Ten releases due at one instant, some times."""
    say(f"{size.bursts} × {BURST} releases at one instant …")
    begin = soon(6 + 0.4 * BURST * size.bursts)
    series: list[dict[str, int | None]] = []
    planned = []
    for turn in range(size.bursts):
        at = begin + round(turn * 3 * SLOT * 1000) * MILLISECOND
        series.append({f"burst-{turn * BURST + one:04d}": at for one in range(BURST)})
        planned += [installed.plan(mark, at, TEN) for mark in series[-1]]
    until(begin + round(((size.bursts - 1) * 3 + 1) * SLOT * SECOND))
    return series, planned


def publish_now(installed: Rig, size: Size) -> tuple[list[float], list[str]]:
    """From the order to the first anonymous read that showed the last of ten fast outlets, ms."""
    say(f"{size.nows} × publish now …")
    installed.set_delays(())
    took, planned = [], []
    for turn in range(size.nows + 1):
        ordered = installed.ctx.clock.now()
        release = installed.plan(f"quick-{turn:04d}", None, FAST, picture=False)
        planned.append(release)
        if installed.settled([release], 20):
            break
        took.append((max(row.visible_at for row in installed.rows(release)) - ordered) / MILLISECOND)
    return took[1:], planned  # the first one found everything cold


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
    wrong = installed.settled([installed.plan("warm-up", None, TEN)], 30)
    instants, planned = side_by_side(installed, size)
    series, more = bursts(installed, size)
    wrong += installed.settled([*planned.values(), *more], 60)
    took, quick = publish_now(installed, size)
    wrong += installed.settled(quick, 10)
    resting = idle(installed, size.idle_s)
    found = arrivals(installed.record())
    every = volleys(found, instants)
    ours = [one for one in every if one.release_at is not None]
    naive = {pool: [one for one in every if one.mark.startswith(f"{pool}-")] for pool in POOLS}
    crowds = [volleys(found, marks) for marks in series]
    names = [account.name for account in TEN]
    wrong += faults([*every, *(one for crowd in crowds for one in crowd)], names)
    sent = [[row.sent_at for row in installed.rows(release) if row.sent_at] for release in planned.values()]
    at = [instants[mark] or 0 for mark in planned]
    return Measured(
        ours,
        naive,
        crowds,
        Spread.of((max(one) - min(one)) / MILLISECOND for one in sent if one),
        Spread.of((min(one) - due) / MILLISECOND for one, due in zip(sent, at, strict=True) if one),
        Spread.of(took),
        resting,
        installed.ready_s,
        wrong,
    )


def report(measured: Measured, heading: Sequence[str]) -> str:
    """Everything as Markdown."""
    rows = {OURS: Spread.of(one.skew_ms for one in measured.ours)}
    rows |= {NAMES[pool]: Spread.of(one.skew_ms for one in runs) for pool, runs in measured.naive.items()}
    skew = rows[OURS]
    first = Spread.of(one.first_ms for one in measured.ours)
    crowds = [_crowd(crowd) for crowd in measured.bursts]
    crowd_skew = Spread.of(one.skew_ms for crowd in measured.bursts for one in crowd)
    threads, prefork = (rows[NAMES[pool]].p50 / skew.p50 for pool in ("threads", "prefork"))
    most_mb = max(mb for _, mb in measured.idle.values())
    most_cpu = max(share for share, _ in measured.idle.values()) * 100
    goals = [
        Goal("release skew, p50", skew.p50, "ms", 0.2),
        Goal("release skew, max", skew.most, "ms", 1, when="idle, 10 with both cores busy"),
        Goal("tighter than naive threads, p50", threads, "×", 900, least=True),
        Goal("tighter than naive prefork -c2, p50", prefork, "×", 4000, least=True),
        Goal("first send after `release_at`, p50", measured.first_sent.p50, "ms", 1),
        Goal("first send after `release_at`, least", measured.first_sent.least, "ms", 0, least=True),
        Goal(
            f"{BURST} × 10 calls at one instant: last of all after it, worst", max(last for last, _ in crowds), "ms", 50
        ),
        Goal("publish now → last of ten fast outlets visible, p50", measured.now.p50, "ms", 400),
        Goal("resident memory of a worker, the largest", most_mb, "MB", 150),
        Goal("CPU of an idle worker, the largest", most_cpu, "% of a core", 1),
        Goal("both workers ready after", measured.ready_s, "s", 5),
    ]
    early = sum(one.early for one in measured.ours) + sum(one.early for crowd in measured.bursts for one in crowd)
    calls = sum(len(one.arrivals) for one in measured.ours) + sum(len(o.arrivals) for c in measured.bursts for o in c)
    details = [
        f"- Early: {early} of {calls} calls. First arrival at an outlet after `release_at`: "
        f"least {number(first.least)}, p50 {number(first.p50)}, p90 {number(first.p90)}, max {number(first.most)} ms.",
        f"- By the sender's own clock: skew p50 {number(measured.sent.p50)}, p90 {number(measured.sent.p90)}, "
        f"max {number(measured.sent.most)} ms; first send after `release_at` p50 {number(measured.first_sent.p50)}, "
        f"p90 {number(measured.first_sent.p90)}, max {number(measured.first_sent.most)} ms.",
        f"- {BURST} releases × 10 outlets at one instant, {len(crowds)} time(s): all calls arrived within "
        f"{', '.join(number(width) for _, width in crowds)} ms of each other; inside one release p50 "
        f"{number(crowd_skew.p50)}, max {number(crowd_skew.most)} ms.",
        f"- Publish now, n = {measured.now.n}: p50 {number(measured.now.p50)}, p90 {number(measured.now.p90)}, "
        f"max {number(measured.now.most)} ms.",
        *(
            f"- Idle {name}: {share:.1%} of a core, {number(mb)} MB resident."
            for name, (share, mb) in measured.idle.items()
        ),
    ]
    goal_table = table(("figure", "measured", "target", "met"), (goal.row() for goal in goals))
    return "\n\n".join(["\n".join(heading), spreads(rows, OURS), goal_table, "\n".join(details)])


def _crowd(crowd: Sequence[Volley]) -> tuple[float, float]:
    """Last arrival of all after the instant, and between the first and the last of all, ms."""
    at = [arrival.at for one in crowd for arrival in one.arrivals]
    due = crowd[0].release_at or 0
    return (max(at) - due) / MILLISECOND, (max(at) - min(at)) / MILLISECOND


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.skew", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="about a minute and a half instead of five")
    parser.add_argument("--write", action="store_true", help=f"put the figures into {RESULTS.name}")
    given = parser.parse_args(arguments)
    used, load_before, before = busy(), load(), Machine.now()
    note = f"{used:.0%} of the cores were in use before anything was started" if used > TOO_BUSY else ""
    say(f"load {load_before}; {note or 'the machine is quiet'}")
    with tempfile.TemporaryDirectory(prefix="tongfa-bench-") as folder, rig(Path(folder)) as installed:
        measured = measure(installed, QUICK if given.quick else FULL)
    command = f'make bench ARGS="{" ".join(arguments if arguments is not None else sys.argv[1:])}"'
    heading = [
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, `{command}`, {cores()}",
        f"- load average before {load_before}, after {load()}; cores during the run "
        f"{Machine.now().since(before)}{'; ' + note if note else ''}",
        f"- {versions()}",
    ]
    told = report(measured, heading)
    print(told)
    for one in measured.wrong:
        print(f"WRONG: {one}")
    if given.write and not measured.wrong:
        RESULTS.write_text(put_in(RESULTS.read_text(), told))
    return 1 if measured.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
