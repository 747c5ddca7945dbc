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
from tests.benchmarks import processes
from tests.benchmarks.crews import FAST, TEN
from tests.benchmarks.figures import Spread, arrivals, faults, volleys
from tests.benchmarks.installation import Installation, installed
from tests.benchmarks.machine import Machine, busy, cores, cpu_seconds, load, resident_mb, versions
from tests.benchmarks.pace import Instants, after, say, soon, until
from tests.benchmarks.report import Measured, put_in, report
from tests.benchmarks.rig import POOLS, Rig, burning, rig

RESULTS = Path(__file__).with_name("RESULTS.md")
NAIVE_SLOTS = 2  # one run of each pool, one after the other
GRACE = 0.1  # seconds after a naive run was seen to be complete; its last answer has left by then
TOO_BUSY = 0.25  # share of the cores
PLANNING = 0.3  # seconds that planning and preparing one release takes two cores
NAMES = [account.name for account in TEN]


@dataclass(frozen=True)
class Size:
    """How much is measured. `ours`: releases in a round in the open, and as many over TLS; `loaded`: releases
    beside busy processes; `crews`: releases to twenty outlets, of each number of processes on each database."""

    rounds: int
    ours: int
    loaded: int
    bursts: int
    nows: int
    idle_s: float
    crews: int


FULL, QUICK = Size(10, 5, 15, 3, 15, 15.0, 6), Size(4, 3, 0, 1, 5, 5.0, 3)
BURST = 10  # releases due at one instant


@dataclass(frozen=True)
class Bench:
    """The product in the open and over TLS, each an installation of its own, and what is beside them."""

    rig: Rig
    open: Installation
    tls: Installation


@dataclass(frozen=True)
class Planned:
    """Releases of one installation: when each is due, and its id."""

    by: Installation
    instants: Instants
    releases: Mapping[str, str]


def plan(by: Installation, instants: Instants) -> Planned:
    return Planned(by, instants, {mark: by.plan(mark, at, TEN) for mark, at in instants.items()})


def side_by_side(bench: Bench, size: Size, notes: list[str]) -> tuple[Planned, Planned, Instants]:
    """Rounds of releases of ours, in the open and over TLS by turns, and one naive run of each pool."""
    mine = 2 * size.ours
    every = mine + NAIVE_SLOTS
    say(f"planning {size.rounds * mine} releases …")
    begin = soon(5 + PLANNING * size.rounds * mine)
    slots = [turn * every + one for turn in range(size.rounds) for one in range(mine)]
    in_open = plan(bench.open, {f"release-{n:04d}": after(begin, slot) for n, slot in enumerate(slots[::2])})
    secure = plan(bench.tls, {f"tls-{n:04d}": after(begin, slot) for n, slot in enumerate(slots[1::2])})
    naive: Instants = {}
    overlaps = 0
    for turn in range(size.rounds):
        until(after(begin, turn * every + mine - 0.4))
        say(f"round {turn + 1} of {size.rounds}: naive … (load {load()})")
        for pool in POOLS:
            mark = f"{pool}-{turn:04d}"
            naive[mark] = None
            bench.rig.fire(pool, mark)
            _all_came(bench.rig, mark)
            time.sleep(GRACE)
        overlaps += turn + 1 < size.rounds and soon(1.0) > after(begin, (turn + 1) * every)
    if overlaps:
        notes.append(f"{overlaps} naive run(s) still ran when the next release was committed")
    return in_open, secure, naive


def _all_came(beside: Rig, mark: str, within: float = 15.0) -> None:
    ends = time.monotonic() + within
    while time.monotonic() < ends:
        if sum(arrival.mark == mark for arrival in arrivals(beside.plain.record())) >= len(TEN):
            return
        time.sleep(0.1)


def beside_busy(bench: Bench, size: Size) -> Planned:
    """The same releases while a busy process for every core runs beside them."""
    if not size.loaded:
        return Planned(bench.open, {}, {})
    say(f"{size.loaded} releases beside busy processes …")
    begin = soon(5 + PLANNING * size.loaded)
    planned = plan(bench.open, {f"loaded-{place:04d}": after(begin, place) for place in range(size.loaded)})
    until(begin - 2 * SECOND)
    with burning(bench.rig.folder / "busy.log"):
        until(after(begin, size.loaded))
    return planned


def bursts(bench: Bench, size: Size) -> list[Planned]:
    """Ten releases due at one instant, some times."""
    series = []
    for turn in range(size.bursts):
        say(f"{BURST} releases at one instant, {turn + 1} of {size.bursts} …")
        at = soon(5 + BURST)
        series.append(plan(bench.open, {f"burst-{turn * BURST + one:04d}": at for one in range(BURST)}))
        until(after(at, 1))
    return series


def publish_now(bench: Bench, size: Size) -> tuple[list[float], list[str]]:
    """From the order to the first anonymous read that showed the last of ten fast outlets, ms."""
    say(f"{size.nows} × publish now …")
    bench.rig.plain.set_delays(())
    took, wrong = [], []
    for turn in range(size.nows + 1):
        ordered = bench.open.ctx.clock.now()
        release = bench.open.plan(f"now-{turn:04d}", None, FAST, picture=False)
        wrong += bench.open.settled([release], 20)
        seen = [row.visible_at for row in bench.open.rows(release) if row.visible_at is not None]
        if len(seen) == len(FAST):
            took.append((max(seen) - ordered) / MILLISECOND)
    return took[1:], wrong  # the first one found everything cold


def idle(ours: Installation, seconds: float) -> dict[str, tuple[float, float]]:
    """Of each worker: share of a core, and MB resident."""
    say(f"idle for {seconds:g} s …")
    workers = ours.supervisor.pids()
    before = {name: cpu_seconds(pid) for name, pid in workers.items()}
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return {name: ((cpu_seconds(pid) - before[name]) / passed, resident_mb(pid)) for name, pid in workers.items()}


def measure(beside: Rig, size: Size) -> Measured:
    beside.plain.set_delays(TEN)
    beside.secure.set_delays(TEN)
    plain, secure = beside.plain.addresses, beside.secure.addresses
    trusting = beside.authority.environment
    with installed(beside.folder / "open", (*TEN, *FAST), plain) as ours:
        with installed(beside.folder / "tls", TEN, secure, environment=trusting) as tls:
            bench = Bench(beside, ours, tls)
            say("one release each to warm up …")
            notes: list[str] = []
            wrong = [line for one in (ours, tls) for line in one.settled([one.plan("warm-up", None, TEN)], 30)]
            in_open, over_tls, naive = side_by_side(bench, size, notes)
            wrong += _settled([over_tls], notes)
        loaded, crowds = beside_busy(bench, size), bursts(bench, size)
        wrong += _settled([in_open, loaded, *crowds], notes)
        took, unseen = publish_now(bench, size)
        resting = idle(ours, size.idle_s)
        sent = _sent(in_open)
        found = arrivals([*beside.plain.record(), *beside.secure.record()])
    crews = processes.measure(beside, size.crews) if size.crews else []
    fired = volleys(found, naive)
    mine = [volleys(found, one.instants) for one in (in_open, over_tls, loaded, *crowds)]
    every = [one for volley in (*mine, fired) for one in volley]
    return Measured(
        ours=mine[0],
        tls=mine[1],
        loaded=mine[2],
        bursts=mine[3:],
        naive={pool: [one for one in fired if one.mark.startswith(f"{pool}-")] for pool in POOLS},
        crews=crews,
        sent=Spread.of(last - first for first, last in sent),
        first_sent=Spread.of(first for first, _ in sent),
        now=Spread.of(took),
        idle=resting,
        ready_s=ours.ready_s,
        notes=notes,
        wrong=[*wrong, *unseen, *faults(every, NAMES), *(line for crew in crews for line in crew.wrong)],
    )


def _settled(planned: Sequence[Planned], notes: list[str]) -> list[str]:
    """What is not verified in a minute; what went out after its instant is noted."""
    wrong = []
    late = 0
    for one in planned:
        wrong += one.by.settled(list(one.releases.values()), 60)
        late += one.by.late(list(one.releases.values()))
    if late:
        notes.append(f"{late} release(s) were not prepared by the instant and went out after it")
    return wrong


def _sent(planned: Planned) -> list[tuple[float, float]]:
    """First and last send after the instant (ms) by the sender's own clock."""
    found = []
    for mark, release in planned.releases.items():
        sent = [row.sent_at for row in planned.by.rows(release) if row.sent_at is not None]
        due = planned.instants[mark]
        if sent and due is not None:
            found.append(((min(sent) - due) / MILLISECOND, (max(sent) - due) / MILLISECOND))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.skew", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three minutes instead of eight")
    parser.add_argument("--write", action="store_true", help=f"put the figures into {RESULTS.name}")
    given = parser.parse_args(arguments)
    used, load_before, before = busy(), load(), Machine.now()
    note = f"; {used:.0%} of the cores were in use before anything was started" if used > TOO_BUSY else ""
    say(f"load {load_before}{note or '; the machine is quiet'}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tongfa-bench-") as folder, rig(Path(folder)) as beside:
        measured = measure(beside, QUICK if given.quick else FULL)
    wanted = " ".join(f"--{name}" for name in ("quick", "write") if vars(given)[name])
    command = f'make bench ARGS="{wanted}"' if wanted else "make bench"
    heading = [
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, `{command}`, {cores()}; "
        f"took {(time.monotonic() - began) / 60:.1f} min",
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
