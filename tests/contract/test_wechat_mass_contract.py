"""The one contract suite once more, for WeChat with `mode=mass`: its tests, with this bench in place of the kinds'."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import bench_wechat_mass
from tests.contract.bench import Bench
from tests.contract.test_contract import *  # noqa: F403 - the tests themselves


@pytest.fixture(params=["wechat"])
def bench(tmp_path: Path) -> Iterator[Bench]:
    """What applies is told by the kind; each test gets an account that mass sends."""
    with bench_wechat_mass.bench(tmp_path) as made:
        yield made
