"""Random histories of whole releases against the memory outlet, with every flavour of fault.

The worker here is the smallest one that keeps the protocol: in-flight state first, then the call,
then the verdict. What it may do is decided by `flow` and `verdict` alone; the judge of the outcome
is the outlets' own record.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from channels.memory import LANDS_WITHIN, Fault, MemoryChannel, MemoryOutlet
from sync import flow, verdict
from sync.clock import SECOND, SetClock
from sync.contract import (
    Accepted,
    OutletError,
    Place,
    Prepared,
    Probe,
    Receipt,
    Rejected,
    Stale,
    Tools,
    TryLater,
    Window,
)
from sync.flow import RE, D, E, R, Standing
from sync.model import Edition, Key, Outlet, Rendition

EDITION = Edition("item", 1, "开通公交环线", "<p>自12月1日起试运行。</p>")
FAULTS: list[Fault | None] = [None, None, None, "refuse", "lose", "unheard", "late"]
HISTORIES = 2_000


class Violation(AssertionError):
    """A promise was broken in this history."""


class Crash(BaseException):
    """The worker died here; only what was stored survives."""


@dataclass
class Row:
    """What the store keeps of one delivery."""

    outlet: MemoryOutlet
    channel: MemoryChannel
    key: Key
    rendition: Rendition
    state: D = D.PLANNED
    due: int = 0
    attempts: int = 0
    quarantine_until: int | None = None
    orphan: bool = False
    prepared: Prepared | None = None


@dataclass
class History:
    chance: random.Random
    outlets: int
    look_up: bool = True
    quarantine: bool = True
    clock: SetClock = field(default_factory=SetClock)
    rows: list[Row] = field(default_factory=list)
    release: R = R.OPEN
    trace: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.release_at = self.clock.now() + self.chance.randrange(0, 60) * SECOND
        for number in range(self.outlets):
            world = MemoryOutlet(self.clock.now, late_by=self.chance.uniform(0.1, LANDS_WITHIN - 0.1))
            world.faults.extend(self.chance.choice(FAULTS) for _ in range(self.chance.randrange(12)))
            tools = Tools(None, lambda _: b"", None, self.clock.now)  # type: ignore[arg-type]
            channel = MemoryChannel(Outlet(f"m{number}", "town", "memory", {}, {"password": "open"}), tools, world)
            key = Key("installation", f"d{number}")
            self.rows.append(Row(world, channel, key, channel.render(EDITION, Place(key, None))))

    def standings(self) -> list[Standing]:
        return [Standing(row.state, True) for row in self.rows]

    def facts(self, row: Row) -> verdict.Facts:
        return verdict.Facts(
            self.clock.now(), row.attempts, LANDS_WITHIN if self.quarantine else 0.0, row.channel.can.probe,
            row.quarantine_until,
        )  # fmt: skip

    def move(self, row: Row, event: E) -> None:
        row.state = flow.step(row.state, event, self.release)
        self.trace.append(f"{self.clock.now()} {row.key.delivery} {event} → {row.state}")
        asked = flow.joint(self.release, self.standings())
        if asked is not None:
            self.release = flow.step_release(self.release, asked, self.standings())

    def apply(self, row: Row, found: verdict.Verdict) -> None:
        row.quarantine_until = found.quarantine_until
        row.due = found.due if found.due is not None else row.due
        if found.event is not None:
            self.move(row, found.event)

    def call(self, row: Row, act: Callable[[], object]) -> None:
        """One outlet call as a worker makes it: it may die before the call, or before storing the answer."""
        row.attempts += 1
        try:
            if self.chance.random() < 0.08:
                raise Crash
            try:
                answer = act()
            except OutletError as error:
                answer = error
            if self.chance.random() < 0.08:
                raise Crash
        except Crash:
            row.orphan = True
            return
        if isinstance(answer, Prepared):
            row.prepared = answer
        self.apply(row, verdict.judge_answer(row.state, answer, self.facts(row)))

    def work(self, row: Row) -> None:
        """Whatever is due for this row."""
        if row.orphan:
            row.orphan, row.due = False, self.clock.now()
            row.quarantine_until = verdict.quarantine(self.facts(row))
        if row.state in flow.IN_FLIGHT:
            self.look(row)
        elif row.state is D.PLANNED:
            self.move(row, E.RENDERED)
        elif row.state is D.RENDERED and self.release in flow.ALLOWED[E.PREPARE_BEGUN]:
            self.move(row, E.PREPARE_BEGUN)
            self.call(row, lambda: row.channel.prepare(row.rendition, row.key))
        elif row.state is D.PREPARED and self.release is R.COMMITTED:
            self.fire(row)
        elif row.state is D.RELEASED:
            self.move(row, E.VERIFIED)

    def look(self, row: Row) -> None:
        found: object
        if self.look_up:
            try:
                found = row.channel.probe(row.rendition, row.key, row.prepared)
            except OutletError as error:
                found = error
        else:
            found = None
        if isinstance(found, Prepared):
            row.prepared = found
        facts = self.facts(row)
        self.apply(row, verdict.judge_probe(row.state, found, replace(facts, now=self.clock.now())))

    def fire(self, row: Row) -> None:
        assert row.prepared is not None
        try:
            shot = row.channel.arm(row.prepared, row.rendition, row.key)
        except Stale:
            self.move(row, E.STALE)
            return
        self.move(row, E.RELEASE_BEGUN)
        opens = max(self.release_at, self.clock.now()) / SECOND

        def send_and_settle() -> Receipt | Accepted:
            shot.send(Window(opens, opens + 2), self.clock.boottime)
            return shot.settle()

        self.call(row, send_and_settle)

    def run(self) -> None:
        """Until everything is verified; bounded, so that a history that never converges is found."""
        for _ in range(3_000):
            if self.release is R.READY and self.clock.now() >= self.release_at:
                self.release = flow.step_release(self.release, RE.COMMITTED, self.standings())
            due = [row for row in self.rows if row.due <= self.clock.now() or row.orphan]
            for row in self.chance.sample(due, len(due)):
                self.work(row)
                self.check()
            if all(row.state is D.VERIFIED for row in self.rows):
                self.clock.advance(2 * LANDS_WITHIN)
                for row in self.rows:
                    row.outlet.land()
                self.check()
                return
            if any(row.state in (D.FAILED, D.UNRESOLVED) for row in self.rows):
                return  # shown to a person, with the next step
            self.clock.advance(self.chance.choice((0.05, 0.3, 1.0, 4.0)))
        raise Violation("did not converge\n" + "\n".join(self.trace[-40:]))

    def check(self) -> None:
        for row in self.rows:
            published = [at for at, what, _ in row.outlet.record if what == "published"]
            if len(published) > 1:
                raise Violation("published twice\n" + "\n".join(self.trace))
            if any(at < self.release_at for at in published):
                raise Violation("published early")
            if published and self.release is not R.COMMITTED and self.release is not R.RELEASED:
                raise Violation("published before the commit")
            if row.state in (D.RELEASED, D.VERIFIED) and not published:
                raise Violation("called released, but nothing is there")
            if published and row.state in (D.PLANNED, D.RENDERED, D.PREPARING):
                raise Violation("public, but the store believes it hidden")


@pytest.mark.parametrize("block", range(8))
def test_no_history_publishes_twice_early_or_never_ends(block: int) -> None:
    """Whatever fails, in whichever flavour, each outlet ends with exactly one copy, none of them early."""
    share = HISTORIES // 8
    for seed in range(block * share, (block + 1) * share):
        try:
            History(random.Random(seed), 1 + seed % 4).run()
        except (Violation, flow.IllegalMove) as broken:
            raise AssertionError(f"seed {seed}") from broken


@pytest.mark.parametrize("planted", ["no look-up", "no quarantine"])
def test_planted_faults_are_caught(planted: str) -> None:
    """Without the look-up, or without the quarantine, the same histories show a double publication."""
    broken = 0
    for seed in range(HISTORIES):
        try:
            History(
                random.Random(seed), 3, look_up=planted != "no look-up", quarantine=planted != "no quarantine"
            ).run()
        except Violation as violation:
            broken += "published twice" in str(violation)
    assert broken > 10


def test_rejection_is_shown_not_retried() -> None:
    """Content an outlet will never take ends in `failed` and holds the release; nothing is public."""
    history = History(random.Random(1), 2)
    for row in history.rows:
        row.outlet.faults.clear()
    history.rows[0].outlet.faults.append("reject")
    history.run()
    assert history.release is R.HELD
    assert [row.state for row in history.rows if row.state is D.FAILED] == [D.FAILED]
    assert not any(row.outlet.posts for row in history.rows)


def test_blind_outlet_in_doubt_goes_to_a_person() -> None:
    """An outlet that cannot be looked up is never resent by the machine."""
    facts = verdict.Facts(0, 1, 5.0, Probe.BLIND)
    for answer in (RuntimeError("bug"), Rejected("no")):
        event = verdict.judge_answer(D.RELEASING, answer, facts).event
        assert event is (E.REFUSED if isinstance(answer, Rejected) else E.IN_DOUBT)
    assert verdict.judge_answer(D.RELEASING, TryLater("not sent"), facts).event is E.ABSENT
