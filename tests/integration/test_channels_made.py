"""What channels are wired with: made once for a process, however many threads ask at first."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sync import bootstrap
from sync.clock import SystemClock
from sync.settings import read_settings
from sync.store import outlets
from sync.store.assets import Assets
from sync.store.session import Store
from sync.together import together
from sync.vault import create_key
from tests.integration.rows import AT, OUTLET


def test_certificates_are_read_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by each of the threads that arm the first release, they would cost it seconds."""
    made: list[bool] = []

    class Slow:
        def __init__(self, private_network: bool, now: object) -> None:
            time.sleep(0.05)
            made.append(private_network)

    monkeypatch.setattr(bootstrap, "Http", Slow)
    settings = read_settings(home=tmp_path, database_url=store.url, sandbox_urls="mastodon=http://127.0.0.1:1")
    create_key(settings.secret_key_path)
    channel = bootstrap._channels(settings, Assets(tmp_path / "assets"), SystemClock())
    with store.write() as connection:
        outlets.add(connection, {**OUTLET, "name": "page", "kind": "mastodon"}, at=AT, actor="test")
        row: Any = outlets.get(connection, "page")
    found = dict(together({str(number): partial(channel, row) for number in range(8)}))
    assert [] == [one for one in found.values() if isinstance(one, BaseException)]
    assert 1 == len(made)
