"""One bench per kind of outlet, each on a sandbox process of its own."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.config import Config

from tests.contract.bench import Bench

# A literal list: a bench that is missing fails, it is not skipped.
KINDS = ("memory", "mastodon", "wechat", "website", "gazette")


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """The bench of one kind, fresh for each test."""
    module = importlib.import_module(f"tests.contract.bench_{request.param}")
    with module.bench(tmp_path) as made:
        yield made


def pytest_collection_modifyitems(config: Config, items: list[pytest.Item]) -> None:
    """Parts of the suite that a kind cannot show (a file system drops no answers) are left out, not skipped."""
    left_out = [item for item in items if isinstance(item, pytest.Function) and not _applies(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _applies(item: pytest.Function) -> bool:
    needs = item.get_closest_marker("needs")
    if needs is None:
        return True
    given = item.callspec.params
    kind: type[Bench] = importlib.import_module(f"tests.contract.bench_{given['bench']}").BENCH
    if "shown" in needs.kwargs:
        return given[needs.kwargs["shown"]] in kind.shows
    if "phase" in needs.kwargs:
        return (given["name"], needs.kwargs["phase"]) in kind.faults
    return kind.has_login
