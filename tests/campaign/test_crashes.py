"""T-01, quick form: chains of deaths over every fail point; and planted faults, which the trial has to find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.campaign import crashes
from tests.campaign.crashes import CHAINS, Court, court
from tests.campaign.points import in_source

# Acts of a person's command: one transaction each, which happened or did not, and is asked for again.
COMMANDS = ("sync.cli.", "sync.engine.people.", "sync.engine.review.", "sync.engine.control.", "sync.bootstrap.")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    with court(tmp_path_factory.mktemp("crashes")) as made:
        yield made


def test_death_at_every_fail_point(both: Court) -> None:
    """Nothing is early, twice or lost; every point that was ever hit has killed somebody, at least 480 in all."""
    counted: Counter[str] = Counter()
    for number in range(CHAINS):
        counted.update(both.run(number))
    assert counted["crashes"] >= 480, counted
    assert not any(counted[name] for name in crashes.TRIALS[0].zero), counted
    for point, (database, outlet, before) in both.spared():
        told, findings = both.case(database, outlet, (*before, point))
        assert not findings, (database, outlet, before, point, findings)
        assert point in told["died"]
    assert [] == both.spared()
    print(f"{counted['crashes']} deaths at {len(both.reached)} points; numbered: {both.lengths}")


def test_the_points_that_the_code_has(both: Court) -> None:
    """What the source commits, renames or removes on the way of an item is what was hit."""
    found = in_source("sync/engine")["commit"]
    assert {"sync.engine.plan.plan", "sync.engine.prepare._begin", "sync.engine.claim.Claim.commit"} <= found


@pytest.mark.parametrize(
    ("planted", "outlet", "kind"),
    [("no look", "search", "duplicate"), ("early", "search", "early"), ("no takeover", "search", "lost")],
)
def test_a_planted_fault_is_found(both: Court, planted: str, outlet: str, kind: str) -> None:
    found: set[str] = set()
    for at in range(both.length("sqlite", outlet), 0, -1):  # whatever is in flight then was sent, or is about to be
        _, findings = both.case("sqlite", outlet, (at,), planted)
        found |= {one.kind for one in findings}
        if kind in found:
            return
    raise AssertionError(f"{planted} was not found, only {found}")
