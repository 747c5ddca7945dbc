"""One bench per kind of outlet, each on a sandbox process of its own."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.bench import Bench

# A literal list: a bench that is missing fails, it is not skipped.
KINDS = ("mastodon", "website", "gazette")


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """The bench of one kind, fresh for each test."""
    module = importlib.import_module(f"tests.contract.bench_{request.param}")
    with module.bench(tmp_path) as made:
        yield made
