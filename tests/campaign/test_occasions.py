"""A part of the outlets fails: some parts here, all in the campaign."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.campaign.occasions import TRIALS
from tests.campaign.planted import Edit


def test_the_policy_is_obeyed_whatever_fails() -> None:
    """None of six, all of six, and some of the parts between."""
    counted: Counter[str] = Counter()
    with TRIALS[0].open() as run:
        for case in (0, 63, *range(64, 640, 48)):
            counted.update(run(case))
    assert 14 == counted["cases"]
    assert counted["verified"] > 14


def test_a_part_that_goes_alone_is_found() -> None:
    """With nothing required, some part is sent that had to wait."""
    wrong = Edit(
        "sync.engine.plan:_required", "return names if names & set(shows) else names | {shows[0]}", "return names"
    )
    with wrong.on(), TRIALS[0].open() as run, pytest.raises(AssertionError):
        for case in range(1, 63):
            run(case)
