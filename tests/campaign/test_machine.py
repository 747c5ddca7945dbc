"""People, faults and time in any order: a few histories."""

from __future__ import annotations

from tests.campaign.machine import histories


def test_no_history_breaks_a_promise() -> None:
    """The same ones each time; the campaign tries others."""
    counts = histories(1, many=25, steps=40)
    assert {"histories": 25, "steps": 1_000} == counts
