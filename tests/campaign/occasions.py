"""One release of which a part of the outlets fails, while people change their minds: each part of six, ten times."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sync.clock import SECOND
from tests.campaign.sim_hosts import Broken, Weather
from tests.campaign.sim_judge import PUBLIC
from tests.campaign.sim_outlets import KINDS
from tests.campaign.simulation import SHOWN, Room, Simulation
from tests.campaign.trial import Counts, Run, Trial
from tests.integration.hand import BEGAN

SIX = 6
REFUSES = ("refused", "never")
SICK = (REFUSES, ("login", "busy"), ("busy",), ("wait",), ("lost",), ("late", "unheard"))
MINDS = ("hold", "hold", "resume", "cancel", "withdraw")
PATIENCE = 100 * SECOND  # µs from the order on: 60 s until its instant, and time for what is slow


def _part(made: Simulation, case: int) -> Counts:
    """Those whose bits the case has are sick. Raises Broken."""
    universe, desk, judge = made.universe, made.desk, made.judge
    chance = universe.chance
    universe.weather = Weather(slow=0.05)
    for number, outlet in enumerate(made.outlets.values()):
        if case >> number & 1:
            outlet.sick = chance.choice(SICK)
    desk.publish()
    minds = chance.choice((0, 1, 2, 4))
    for _ in range(minds):
        act = getattr(desk, chance.choice(MINDS))
        universe.at(BEGAN + round(chance.random() * 80 * SECOND), "", act)
    universe.run(BEGAN + PATIENCE)
    if not minds:
        _obeyed(made)
    for outlet in made.outlets.values():
        outlet.sick = ()
    made.end_well()
    return {"cases": 1, "second thoughts": minds, **judge.found}


def _obeyed(made: Simulation) -> None:
    """Nobody changed anything, so the policy alone says what is public by now."""
    judge = made.judge
    for joint in judge.releases.values():
        needed = {one.outlet for one in joint.deliveries if judge._is_required(joint, one)}
        # Of several that are all optional, the first is waited for.
        needed = needed or {min(one.outlet for one in joint.deliveries)}
        if any(made.outlets[name].sick == REFUSES for name in needed):
            if any(one.honest for one in joint.deliveries):
                judge.broken("policy", "a part is public, while a required outlet refuses")
        elif not any(made.outlets[name].sick for name in needed):
            for one in joint.deliveries:
                if not made.outlets[one.outlet].sick and one.state not in (*PUBLIC, "accepted"):
                    judge.broken("policy", f"{one.outlet} is {one.state}: it waits for what it need not wait for")


@contextmanager
def _parts() -> Iterator[Run]:
    room = Room()

    def run(case: int) -> Counts:
        kinds = [list(KINDS)[(case // 64 + number) % len(KINDS)] for number in range(SIX)]
        with room.simulation(case, kinds=kinds) as made:
            try:
                return _part(made, case)
            except Broken as broken:
                raise AssertionError("\n".join([f"case {case}: {broken}", *made.universe.trace[-SHOWN:]])) from None

    logging.disable(logging.CRITICAL)
    try:
        yield run
    finally:
        logging.disable(logging.NOTSET)
        room.close()


TRIALS = (
    Trial("parts", "T-14: every part of six outlets fails, and people hold, cancel and withdraw", "cases", 640, _parts),
)
