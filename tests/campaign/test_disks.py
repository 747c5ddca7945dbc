"""T-18 to T-20, quick form; a power cut is not simulated: what outlives one is in the settings, and is asserted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync import archive
from sync.store.assets import Assets
from sync.store.postgres import Postgres as ServerDatabase
from sync.store.session import Store
from sync.store.sqlite import Sqlite
from tests.campaign import disks
from tests.campaign.kills import Rig
from tests.services.postgres import Postgres


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with disks.disk_and_rig(tmp_path_factory.mktemp("disks")) as made:
        yield made


@pytest.mark.parametrize("case", [0, 5])
def test_a_disk_that_gives_out(small: Rig, case: int) -> None:
    counts = disks.disk(small, case)
    assert counts["points"] == 1
    assert not any(counts[one] for one in disks.TRIALS[0].zero)


def test_restored_at_a_random_moment(tmp_path: Path) -> None:
    assert disks.restores(tmp_path, 3, points=1, steps=3)["restores"] == 1


# T-19


def test_sqlite_waits_for_the_disk(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'tongfa.sqlite3'}")
    assert isinstance(store.database, Sqlite)
    with store.write() as connection:
        asked = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "journal_mode")
        }
    store.close()
    assert asked == {"synchronous": 2, "journal_mode": "wal"}  # 2: FULL


@pytest.mark.parametrize("durable", [True, False])
def test_doctor_sees_a_server_that_does_not_wait_for_the_disk(durable: bool) -> None:
    with Postgres(durable=durable) as server:
        store = Store(server.database())
        assert isinstance(store.database, ServerDatabase)
        said = store.examine()
        settings = ("fsync", "full_page_writes", "synchronous_commit")
        with store.read() as connection:
            found = [connection.exec_driver_sql(f"SHOW {one}").scalar() for one in settings]
        store.close()
    assert (said == "ok") == durable == (found == ["on"] * 3), (said, found)


def test_files_and_their_folders_are_on_the_disk_before_anybody_relies_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced: the file is synchronised, renamed, and then its folder synchronised."""
    acts: list[tuple[str, str]] = []
    whole_sync, whole_rename, whole_link = os.fsync, os.rename, os.link

    def fsync(descriptor: int) -> None:
        acts.append(("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        whole_sync(descriptor)

    def renamed(act: str, whole: object) -> object:
        def move(source: object, target: object, **more: object) -> None:
            acts.append((act, str(target)))
            whole(source, target, **more)  # type: ignore[operator]

        return move

    monkeypatch.setattr(os, "fsync", fsync)
    for name, whole in (("rename", whole_rename), ("replace", os.replace), ("link", whole_link)):
        monkeypatch.setattr(os, name, renamed("moved", whole))
    Assets(tmp_path / "assets").put(b"content of an asset")
    (moved,) = [place for act, place in acts if act == "moved"]
    at = acts.index(("moved", moved))
    assert any(act == "fsync" and Path(place).parent == Path(moved).parent for act, place in acts[:at]), acts
    assert ("fsync", str(Path(moved).parent)) in acts[at:], acts
    acts.clear()
    archive.sync_folder(tmp_path)
    assert [("fsync", str(tmp_path))] == acts
