"""People, faults and time in any order that hypothesis comes up with, over the simulation's installation and judge.

Where a simulated seed has a schedule, a history has rules: one edits, another approves, a process dies, an hour
passes. A broken history is shortened to the few steps that matter.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from sync.clock import SECOND
from sync.engine import review
from sync.model import BadInput
from tests.campaign.sim_hosts import Broken, Weather
from tests.campaign.sim_judge import Joint
from tests.campaign.simulation import EDITOR, STAFF, Room, Simulation
from tests.campaign.trial import Counts, Run, Trial

AT_ONCE = 5  # histories of a case
STEPS = 80
APPROVERS = ("wang", "zhao", "qian")


class History(RuleBasedStateMachine):
    """One installation. Each rule is something that somebody does, or that happens."""

    room: Room
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()

    @initialize(number=st.integers(0, 2**32), reviewed=st.booleans())
    def begin(self, number: int, reviewed: bool) -> None:
        self.simulation: Simulation = self._open.enter_context(self.room.simulation(number))
        self.reviewed = reviewed
        if reviewed:
            self.simulation.staff()
        self._watched(self.simulation.desk.publish)

    # people

    @rule()
    def publish(self) -> None:
        self._watched(self.simulation.desk.publish)

    @rule()
    def correct(self) -> None:
        self._watched(self.simulation.desk.correct)

    @rule()
    def publish_again(self) -> None:
        self._watched(self.simulation.desk.again)

    @rule()
    def withdraw(self) -> None:
        self._watched(self.simulation.desk.withdraw)

    @rule(what=st.sampled_from(("hold", "resume", "cancel", "settle", "retry", "drop")))
    def decide(self, what: str) -> None:
        self._watched(getattr(self.simulation.desk, what))

    @rule()
    def change_an_outlet(self) -> None:
        self._watched(self.simulation.desk.change)

    @precondition(lambda self: self.reviewed)
    @rule(which=st.integers(0, 5), template=st.sampled_from(("", "甲", "乙")))
    def change_a_template(self, which: int, template: str) -> None:
        there = sorted(self.simulation.outlets)
        self.simulation.outlets[there[which % len(there)]].template = template

    @precondition(lambda self: self.reviewed)
    @rule(who=st.sampled_from((*APPROVERS, *APPROVERS, "sun", EDITOR)))
    def approve(self, who: str) -> None:
        if joint := self._under_review():
            self._as(who, lambda: review.approve(self.simulation.ctx, joint.id))

    @precondition(lambda self: self.reviewed)
    @rule()
    def approve_all(self) -> None:
        """The three of them, one after the other."""
        if joint := self._under_review():
            self._as("wang", lambda: review.approve(self.simulation.ctx, joint.id))
            self._as("zhao", lambda: review.approve(self.simulation.ctx, joint.id))
            self._as("qian", lambda: review.approve(self.simulation.ctx, joint.id))

    @precondition(lambda self: self.reviewed)
    @rule(who=st.sampled_from(APPROVERS))
    def revoke(self, who: str) -> None:
        if joint := self._under_review():
            self._as(who, lambda: review.reject(self.simulation.ctx, joint.id, "有误"))

    # what happens

    @rule(seconds=st.sampled_from((0.05, 0.5, 2.0, 10.0, 60.0, 1_200.0)))
    def time_passes(self, seconds: float) -> None:
        self._run(seconds)

    @rule(which=st.integers(0, 3))
    def a_process_dies(self, which: int) -> None:
        hosts = self.simulation.universe.hosts
        if hosts:
            self.simulation.universe.die(hosts[which % len(hosts)])

    @rule(
        seconds=st.sampled_from((0.5, 2.0, 10.0)),
        how=st.sampled_from(("dies", "freezes", "answers", "full", "slow")),
    )
    def meanwhile(self, seconds: float, how: str) -> None:
        """For a while processes die half-way, freeze, are slow, or outlets answer badly."""
        weather = {
            "dies": Weather(kill=0.05),
            "freezes": Weather(freeze=0.05, cut=0.4),
            "answers": Weather(call=0.5),
            "full": Weather(full=0.1),
            "slow": Weather(slow=0.3),
        }
        self._run(seconds, weather[how])

    @rule()
    def every_bell_rings_again(self) -> None:
        """All sweepers find all that is due, at once, whoever works on it."""
        for host in self.simulation.universe.hosts:
            host.rung.clear()
            host.found.clear()

    @rule(seconds=st.sampled_from((1, 30, 600)))
    def no_bell(self, seconds: int) -> None:
        for host in self.simulation.universe.hosts:
            host.asleep_until = self.simulation.universe.time + seconds * SECOND

    @rule(which=st.integers(0, 5), seconds=st.sampled_from((1, 30, 600)))
    def outage(self, which: int, seconds: int) -> None:
        there = sorted(self.simulation.outlets)
        self.simulation.outlets[there[which % len(there)]].down_until = self.simulation.universe.time + seconds * SECOND

    @rule(which=st.integers(0, 5))
    def drafts_are_lost(self, which: int) -> None:
        there = sorted(self.simulation.outlets)
        self.simulation.outlets[there[which % len(there)]].drafts.clear()

    def teardown(self) -> None:
        History.steps += 1
        with self._open:
            if hasattr(self, "simulation"):
                self._watched(self.simulation.end_well)

    # how

    def _run(self, seconds: float, weather: Weather | None = None) -> None:
        universe = self.simulation.universe
        universe.weather = weather or Weather()
        self._watched(lambda: universe.run(universe.time + round(seconds * SECOND)))
        universe.weather = Weather()

    def _under_review(self) -> Joint | None:
        """The oldest release that waits for approvals."""
        every = self.simulation.judge.releases.values()
        return next((one for one in every if one.state == "open" and len(one.approvers) < 3 and one.renditions), None)

    def _as(self, who: str, act: Any) -> None:
        self.simulation.named = who
        try:
            self._watched(act)
        except BadInput as refusal:
            self.simulation.universe.say(f"refused: {refusal}")
        finally:
            self.simulation.named = EDITOR

    def _watched(self, act: Any) -> None:
        try:
            act()
        except Broken as broken:
            raise AssertionError("\n".join([str(broken), *self.simulation.universe.trace[-60:]])) from None


assert EDITOR in STAFF


def histories(case: int, many: int = AT_ONCE, steps: int = STEPS) -> Counts:
    """So many histories, told apart by the case's number. Raises AssertionError with the shortest that is broken."""
    room = Room()
    try:
        # A class of its own: hypothesis keeps the seed there.
        made = seed(case)(type("History", (History,), {"room": room}))
        logging.disable(logging.CRITICAL)
        run_state_machine_as_test(
            made,
            settings=settings(
                max_examples=many,
                stateful_step_count=steps,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                report_multiple_bugs=False,
                print_blob=False,
            ),
        )
    finally:
        logging.disable(logging.NOTSET)
        room.close()
    return {"histories": many, "steps": many * steps}


@contextmanager
def _cases() -> Iterator[Run]:
    yield histories


TRIALS = (Trial("machine", "people, faults and time in any order, by hypothesis", "histories", 5_000, _cases),)
