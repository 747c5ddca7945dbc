"""What channels are wired with: made once for a process, however many threads ask at first."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sync import bootstrap
from sync.contract import TryLater
from sync.settings import read_settings
from sync.store import budgets, outlets
from sync.store.budgets import Account
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
    key = tmp_path / "secret.key"
    create_key(key)
    told = {"secret_key_file": key, "sandbox_urls": "mastodon=http://127.0.0.1:1"}
    ctx = bootstrap.context(read_settings(home=tmp_path, database_url=store.url, **told), "test")
    with store.write() as connection:
        outlets.add(connection, {**OUTLET, "name": "page", "kind": "mastodon"}, at=AT, actor="test")
        row: Any = outlets.get(connection, "page")
    found = dict(together({str(number): partial(ctx.channel, row) for number in range(8)}))
    assert [] == [one for one in found.values() if isinstance(one, BaseException)]
    assert 1 == len(made)
    ctx.lock.release()
    ctx.store.close()


@pytest.mark.parametrize(("kept", "counted"), [("all", 3), ("live", 0)])
def test_a_channel_is_in_step_with_what_its_kind_is_granted(
    store: Store, tmp_path: Path, kept: str, counted: int
) -> None:
    """Its calls are counted and heard of; a sandbox twin's may be let be. It is still all that its kind can do."""
    key = tmp_path / "secret.key"
    create_key(key)
    told: dict[str, Any] = {"secret_key_file": key, "sandbox_urls": "mastodon=http://127.0.0.1:1", "budgets": kept}
    ctx = bootstrap.context(read_settings(home=tmp_path, database_url=store.url, **told), "test")
    with store.write() as connection:
        outlets.add(connection, {**OUTLET, "name": "page", "kind": "mastodon"}, at=AT, actor="test")
        row = outlets.get(connection, "page")
    channel: Any = ctx.channel(row)
    assert (counted, "mastodon") == (len(channel._egress._granted), channel.kind)
    with pytest.raises(TryLater):
        channel.login()
    with store.read() as connection:
        spent = budgets.read(connection, Account("page", False), [one.name for one in channel.can.budgets])
    assert (1 if counted else 0) == len(spent)
    ctx.lock.release()
    ctx.store.close()
