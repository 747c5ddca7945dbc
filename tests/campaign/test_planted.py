"""Planted bugs are found, and without them the same is green: some of them here, all in the campaign."""

from __future__ import annotations

import pytest

from tests.campaign.planted import PLANTS, Edit, NotPlantable, Plant, caught, named
from tests.campaign.simulation import Apart

SEEDS = 25  # each of those below is found among so few
QUICK = (
    "sent before the intent is committed",
    "no look-up after doubt",
    "no quarantine",
    "an unclear answer is taken for a refusal",
    "Retry-After is ignored",
    "called withdrawn without reading back",
    "the old copy of a correction is forgotten",
    "a millisecond early",
    "a part is committed",
    "the late limit is ignored",
    "a request is planned twice",
)


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found(name: str) -> None:
    """By the simulation, among its first seeds."""
    assert caught(named(name), SEEDS)


@pytest.mark.parametrize("weather", sorted({named(name).weather for name in QUICK}))
def test_without_it_the_same_seeds_are_green(weather: str) -> None:
    """So what found it was the bug."""
    with Apart(None, weather) as apart:
        assert [""] * SEEDS == [apart.run(seed).broken for seed in range(SEEDS)]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_every_plant_fits_the_product(plant: Plant) -> None:
    """What it changes is there, once: a plant that no longer changes anything would prove nothing."""
    for one in plant.edits:
        if isinstance(one, Edit):
            assert one.code(one.function()) != one.function().__code__


def test_a_plant_that_fits_no_more_says_so() -> None:
    """The product goes on, and its plants have to be renewed with it."""
    stale = Edit("sync.verdict:quarantine", "what is not there", "anything")
    with pytest.raises(NotPlantable, match="0 times"):
        stale.code(stale.function())


def test_there_are_enough() -> None:
    """Thirty at least, each with a name of its own."""
    assert len({one.name for one in PLANTS}) == len(PLANTS) >= 30
