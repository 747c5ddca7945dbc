"""Whole installations in one thread: the first seeds, and that a seed is the same each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.campaign.simulation import AT_ONCE, TRIALS, Apart


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    with Apart() as made:
        yield made


def test_no_promise_is_broken() -> None:
    """Nothing early, nothing twice, nothing lost, and no unknown called by another name, whatever strikes."""
    with TRIALS[0].open() as run:
        counted = Counter(run(0))
    assert AT_ONCE == counted["seeds"]
    # Something happened at all.
    assert counted["public"] > 2 * AT_ONCE
    assert counted["faults"] > 2 * AT_ONCE
    assert {"verified", "withdrawn", "cancelled"} <= counted.keys()


def test_the_same_seed_is_the_same_again(apart: Apart) -> None:
    """Even in another process, and after other seeds."""
    seeds = (3, 7, 19)
    before = {seed: apart.run(seed).digest for seed in seeds}
    with Apart() as other:
        assert before == {seed: other.run(seed).digest for seed in reversed(seeds)}
    assert 3 == len(set(before.values()))


def test_a_broken_seed_is_told_in_few_lines(apart: Apart) -> None:
    """With a bug planted, the faults that have nothing to do with it are left out."""
    with Apart("no quarantine", "calls") as bad:
        broken = next(one for seed in range(60) if (one := bad.run(seed)).broken)
        short = bad.shortened(broken.seed)
    assert short.broken.partition(":")[0] == broken.broken.partition(":")[0]
    assert len(short.trace) <= len(broken.trace)
