"""One bench per kind of outlet, each on a sandbox process of its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.config import Config

from sync.contract import Capabilities, Probe
from tests.contract import bench_gazette, bench_website
from tests.contract.bench import Bench
from tests.contract.sites import StaticBench

# A literal list: a bench that is missing fails, it is not skipped.
KINDS = (
    "memory",
    "mastodon",
    "bluesky",
    "wechat",
    "website",
    "gazette",
    "webhook",
    "manual",
    "email",
    "apprise",
    "wordpress",
    "telegram",
    "ghost",
    "weibo",
    "dingtalk",
    "feishu",
    "wecom",
)


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """The bench of one kind, fresh for each test."""
    module = importlib.import_module(f"tests.contract.bench_{request.param}")
    with module.bench(tmp_path) as made:
        yield made


@pytest.fixture(params=["website", "gazette"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StaticBench]:
    """The gazette without its PDFs, whose setting takes its time."""
    made = bench_website.bench(tmp_path) if request.param == "website" else bench_gazette.bench(tmp_path, "html")
    with made as opened:
        yield opened


@pytest.fixture
def gazette(tmp_path: Path) -> Iterator[StaticBench]:
    with bench_gazette.bench(tmp_path) as made:
        yield made


@pytest.fixture
def website(tmp_path: Path) -> Iterator[StaticBench]:
    with bench_website.bench(tmp_path) as made:
        yield made


def pytest_collection_modifyitems(config: Config, items: list[pytest.Item]) -> None:
    """Parts of the suite that a kind cannot show (a file system drops no answers) are left out, not skipped."""
    left_out = [item for item in items if isinstance(item, pytest.Function) and not _applies(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _applies(item: pytest.Function) -> bool:
    """Whether all that the test's `needs` names holds for the kind that it runs for."""
    needs = item.get_closest_marker("needs")
    if needs is None:
        return True
    given = item.callspec.params
    name = str(given["bench"])
    kind: type[Bench] = importlib.import_module(f"tests.contract.bench_{name}").BENCH
    can = _can(name)
    holds: dict[str, Callable[[Any], bool]] = {
        "login": lambda wanted: kind.has_login is wanted,
        "shown": lambda parameter: given[parameter] in kind.shows,
        "phase": lambda phase: (given["name"], phase) in kind.faults,
        "correct": lambda ways: can.correct in ways,
        "withdraw": lambda wanted: can.withdraw is wanted,
        "finds": lambda wanted: (can.probe is not Probe.BLIND) is wanted,
        "reads": lambda wanted: kind.reads is wanted,
    }
    return all(holds[named](wanted) for named, wanted in needs.kwargs.items())


def _can(name: str) -> Capabilities:
    """What the channel of this kind says that it can do."""
    module = importlib.import_module(f"channels.{name}")
    found: Capabilities = next(one.can for one in vars(module).values() if getattr(one, "kind", None) == name)
    return found
