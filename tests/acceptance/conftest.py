"""Installations to test: one that all share, and one for those who kill things."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.installation import Installation, running

# A build machine may start the tests with Ctrl-C ignored, which every program they start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with the outlets site, wechat, mastodon and gazette. Leave it as you found it: clear knobs."""
    with running(tmp_path_factory.mktemp("shared")) as installed:
        yield installed


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Installation]:
    """An installation of the test's own, to be killed and broken."""
    with running(tmp_path) as installed:
        yield installed
