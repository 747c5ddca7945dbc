"""Pictures and attachments, on disk or in the database: whole or not at all, never changed, and damage is noticed."""

from __future__ import annotations

import os
import resource
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sync.model import BadInput, sha256
from sync.store.assets import AssetRows, Assets, Missing
from sync.store.session import Store
from tests.integration.rows import end, line, small_disk, spawn

CONTENT = b"a picture" * 1_000

# Keeps a file and stops before it is safe on disk, or before it has its name.
KEEPER = """
import os, signal, sys
from pathlib import Path
from sync.store import assets

def stop(*given):
    print("here", flush=True)
    signal.pause()

if sys.argv[2] == "before fsync":
    os.fsync = stop
else:
    Path.rename = stop
assets.Assets(Path(sys.argv[1])).put(b"a picture" * 1_000)
"""


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_was_put_is_got(tmp_path: Path) -> None:
    """Under the SHA-256 of its bytes, once, however often it is put."""
    assets = Assets(tmp_path / "assets")
    digest = assets.put(CONTENT)
    assert sha256(CONTENT) == digest
    assert CONTENT == assets.get(digest)
    kept = files(tmp_path)
    assert digest == assets.put(CONTENT)
    assert kept == files(tmp_path)
    assert sha256(b"") == assets.put(b"")
    assert b"" == assets.get(sha256(b""))


def test_what_was_never_put_is_missing(tmp_path: Path) -> None:
    """Also in a store that has not been made yet."""
    with pytest.raises(Missing, match="not in the store"):
        Assets(tmp_path / "assets").get("d" * 64)


@pytest.mark.parametrize("change", [b"", CONTENT[:-1], CONTENT + b"!", b"another"])
def test_changed_bytes_are_noticed(tmp_path: Path, change: bytes) -> None:
    """Cut, lengthened or replaced on disk: never handed out, and put again it is whole again."""
    assets = Assets(tmp_path / "assets")
    digest = assets.put(CONTENT)
    files(tmp_path)[0].write_bytes(change)
    with pytest.raises(Missing, match="was changed on disk"):
        assets.get(digest)
    assert digest == assets.put(CONTENT)
    assert CONTENT == assets.get(digest)


@pytest.mark.parametrize("where", ["before fsync", "before its name"])
def test_killed_half_way_leaves_no_half_file(tmp_path: Path, where: str) -> None:
    """kill -9 before the file is safe: its name is not there, and putting it again works."""
    with spawn(KEEPER, tmp_path / "assets", where) as victim:
        assert "here" == line(victim)
        victim.send_signal(signal.SIGKILL)
        end(victim)
    assets = Assets(tmp_path / "assets")
    with pytest.raises(Missing, match="not in the store"):
        assets.get(sha256(CONTENT))
    assert sha256(CONTENT) == assets.put(CONTENT)
    assert CONTENT == assets.get(sha256(CONTENT))


def test_a_full_disk_leaves_no_half_file() -> None:
    """The error is the system's own; nothing is left behind, and with space again it is kept."""
    with small_disk(1) as disk:
        assets = Assets(disk.folder / "assets")
        assets.put(b"first")
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        if disk.mounted:
            disk.fill()
        else:  # the nearest a plain folder has: the system refuses to write more
            resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, limit[1]))
        try:
            with pytest.raises(OSError, match=r"No space left|File too large"):
                assets.put(os.urandom(100_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        disk.free()
        assert [sha256(b"first")] == [path.name for path in files(disk.folder)]
        assert CONTENT == assets.get(assets.put(CONTENT))


def test_every_folder_on_the_way_is_safe_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, its folder, and the folder that this one was made in: else a power cut loses what was committed."""
    safe: list[Path] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            safe.append(path)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    folder = tmp_path / "assets"
    digest = Assets(folder).put(CONTENT)
    assert {folder / digest[:2], folder, tmp_path} == set(safe)


def test_two_at_once_keep_one(tmp_path: Path) -> None:
    """Threads that keep the same bytes at the same moment leave one whole file."""
    assets = Assets(tmp_path / "assets")
    with ThreadPoolExecutor(8) as pool:
        assert {sha256(CONTENT)} == set(pool.map(lambda _: assets.put(CONTENT), range(40)))
    assert 1 == len(files(tmp_path))


# ---- in the database

# Sends a file and stops before it is committed.
SENDER = """
import signal, sys
from sqlalchemy import event
from sync.store.assets import AssetRows
from sync.store.session import Store

store = Store(sys.argv[1])

@event.listens_for(store.engine, "after_cursor_execute")
def stop(connection, cursor, statement, *given):
    if statement.startswith("INSERT"):
        print("here", flush=True)
        signal.pause()

AssetRows(store).put(b"a picture" * 1_000)
"""


def test_rows_keep_what_was_put(server_store: Store) -> None:
    """As files do: by digest, once, however often it is put; and a second host finds it."""
    assets, elsewhere = AssetRows(server_store), Store(server_store.url)
    digest = assets.put(CONTENT)
    assert sha256(CONTENT) == digest == assets.put(CONTENT)
    assert CONTENT == AssetRows(elsewhere).get(digest)
    assert b"" == assets.get(assets.put(b""))
    with pytest.raises(Missing, match="not in the store"):
        assets.get("d" * 64)
    elsewhere.close()


def test_changed_rows_are_noticed(server_store: Store) -> None:
    """Whoever gets past the guard is found out, by the next to read and by the next to put."""
    assets = AssetRows(server_store)
    digest = assets.put(CONTENT)
    with server_store.write() as connection:
        connection.exec_driver_sql("ALTER TABLE asset_content DISABLE TRIGGER USER")
        connection.exec_driver_sql("UPDATE asset_content SET content = 'another'")
    with pytest.raises(Missing, match="was changed in the database"):
        assets.get(digest)
    with pytest.raises(BadInput, match="was changed in the database"):
        assets.put(CONTENT)


def test_killed_while_it_is_sent_leaves_no_row(server_store: Store) -> None:
    """kill -9 before the commit: it is not there, and putting it again works."""
    with spawn(SENDER, server_store.url) as victim:
        assert "here" == line(victim)
        victim.send_signal(signal.SIGKILL)
        end(victim)
    assets = AssetRows(server_store)
    with pytest.raises(Missing, match="not in the store"):
        assets.get(sha256(CONTENT))
    assert CONTENT == assets.get(assets.put(CONTENT))


def test_a_row_is_kept_beside_a_writer(server_store: Store) -> None:
    """Who sends a long file queues for nobody: not even for a writer of this very thread."""
    with server_store.write():
        assert CONTENT == AssetRows(server_store).get(AssetRows(server_store).put(CONTENT))


def test_two_at_once_keep_one_row(server_store: Store) -> None:
    """Threads that keep the same bytes at the same moment: one row, and none of them fails."""
    assets = AssetRows(server_store)
    with ThreadPoolExecutor(8) as pool:
        assert {sha256(CONTENT)} == set(pool.map(lambda _: assets.put(CONTENT), range(40)))
    with server_store.read() as connection:
        assert 1 == connection.exec_driver_sql("SELECT count(*) FROM asset_content").scalar_one()
