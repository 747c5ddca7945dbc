"""T-24, quick form: one upgrade on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.mode import Mode
from tests.campaign import upgrades


@pytest.fixture(scope="module")
def modes() -> Iterator[dict[str, Mode]]:
    with upgrades.modes() as made:
        yield made


@pytest.fixture(scope="module")
def trees() -> Iterator[dict[str, Path]]:
    with upgrades.versions() as made:
        yield made


@pytest.mark.parametrize("case", [0, 1], ids=["sqlite", "postgresql"])
def test_an_upgrade_under_fire(modes: dict[str, Mode], trees: dict[str, Path], case: int) -> None:
    counts = upgrades.run_case(modes, trees, case, stops=1)
    assert counts["upgrades"] == 1
    assert counts["kills"] >= 3
    assert not any(counts[one] for one in upgrades.TRIALS[0].zero)
