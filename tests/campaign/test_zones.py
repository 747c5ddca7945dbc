"""Typed times around every change of the clocks: one instant, or a refusal, and never an hour early."""

from __future__ import annotations

from tests.campaign.zones import TRIALS, ZONES, changes


def test_every_change_of_the_clocks() -> None:
    """In front of it, behind it and in its midst, to the second."""
    with TRIALS[0].open() as run:
        counts = run(0)
    assert counts["times"] > 4_000
    assert counts["gaps refused"] > 200
    assert counts["overlaps asked"] > 200
    assert 0 == counts["wrong"]


def test_the_zones_are_the_ones_that_matter() -> None:
    """One that has no changes, one that changes by half an hour, and one whose changes follow the moon."""
    assert not changes("Asia/Shanghai")
    assert {1_800} == {abs(one.after - one.before) for one in changes("Australia/Lord_Howe")}
    assert len(changes("Africa/Casablanca")) > 5
    assert 12 == len(ZONES)
