"""Ownership with real processes: it ends with its process, and only then."""

import fcntl
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sync import ownership
from sync.clock import SECOND, SetClock
from sync.model import BadInput
from sync.ownership import ProcessLock, file_system
from tests.services.program import running

# Prints its lock's name, then lives until its standard input ends.
OWNER = """
import sys; from pathlib import Path; from sync.ownership import ProcessLock
print(ProcessLock(Path(sys.argv[1]), "release").name, flush=True)
sys.stdin.read()
"""

# The same, with a child that asks for its own name (argument "asks") or never does.
PARENT = """
import os, sys; from pathlib import Path; from sync.ownership import ProcessLock
lock = ProcessLock(Path(sys.argv[1]), "prepare")
print(lock.name, flush=True)
child = os.fork()
if child == 0:
    print(os.getpid(), lock.name if sys.argv[2] == "asks" else "none", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "owners"


@pytest.fixture
def lock(folder: Path) -> Iterator[ProcessLock]:
    """The looking process's own lock."""
    lock = ProcessLock(folder, "verify", SetClock(5 * SECOND))
    yield lock
    lock.release()


def test_nothing_is_made_before_the_name_is_wanted(folder: Path, lock: ProcessLock) -> None:
    """A process that owns nothing leaves no file."""
    assert not folder.exists()
    assert lock.name == lock.name
    assert [lock.name] == [path.name for path in folder.iterdir()]


def test_the_file_tells_who_holds_it(folder: Path, lock: ProcessLock) -> None:
    """For a person who looks into the folder."""
    found: dict[str, Any] = json.loads((folder / lock.name).read_bytes())
    assert (os.getpid(), "verify", 5 * SECOND) == (found["pid"], found["lane"], found["started_at"])
    assert lock.name.startswith("verify-")


def test_a_process_is_not_dead_to_itself(lock: ProcessLock) -> None:
    """Its own look never takes its own lock away."""
    assert not lock.is_dead(lock.name)
    assert not lock.is_dead(lock.name)


def test_a_killed_owner_is_dead_at_once_and_stays_dead(folder: Path, lock: ProcessLock) -> None:
    """No lease has to run out; the file is removed by the first who finds it."""
    with running(OWNER, str(folder)) as (owner, said):
        name = said.readline().strip()
        assert not lock.is_dead(name)
        owner.kill()
        owner.wait()
        assert lock.is_dead(name)
        assert not (folder / name).exists()
        assert lock.is_dead(name)


def test_a_frozen_owner_is_not_dead(folder: Path, lock: ProcessLock) -> None:
    """It may wake up and send; only its death frees its rows."""
    with running(OWNER, str(folder)) as (owner, said):
        name = said.readline().strip()
        owner.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, owner.pid, os.WSTOPPED)
        assert not lock.is_dead(name)
        owner.kill()
        owner.wait()
        assert lock.is_dead(name)


@pytest.mark.parametrize("child_asks", ["asks", "never"])
def test_a_forked_child_neither_shares_nor_prolongs_its_parents_lock(
    folder: Path, lock: ProcessLock, child_asks: str
) -> None:
    """The parent is alive until it dies, though the child lives on; the child has a lock of its own."""
    with running(PARENT, str(folder), child_asks) as (parent, said):
        parents = said.readline().strip()
        pid, childs = said.readline().split()
        try:
            assert parents != childs
            assert not lock.is_dead(parents)
            parent.kill()
            parent.wait()
            assert lock.is_dead(parents)
            if child_asks == "asks":
                assert not lock.is_dead(childs)
        finally:
            os.kill(int(pid), signal.SIGKILL)


def test_a_child_that_ends_leaves_its_parents_lock_alone(folder: Path, lock: ProcessLock) -> None:
    """Closing the inherited file, and even `release` in the child, does not unlock the parent."""
    code = (
        PARENT.replace("sys.stdin.read()", "")
        + "if child == 0: lock.release()\nelse: os.wait(); print('ended', flush=True); sys.stdin.read()"
    )
    with running(code, str(folder), "never") as (_, said):
        parents = said.readline().strip()
        said.readline()
        assert "ended\n" == said.readline()
        assert not lock.is_dead(parents)


def test_a_released_lock_is_dead(folder: Path, lock: ProcessLock) -> None:
    """A clean end is known at once, and the next name is a new one."""
    before = lock.name
    lock.release()
    lock.release()
    assert lock.is_dead(before)
    assert before != lock.name


def test_the_living_are_listed_by_lane(folder: Path, lock: ProcessLock) -> None:
    """Looking does not disturb: neither the living nor what they hold."""
    assert [] == lock.living()
    own = lock.name
    with running(OWNER, str(folder)) as (owner, said):
        name = said.readline().strip()
        assert [own, name] == [holder.name for holder in lock.living()]
        assert [owner.pid] == [holder.pid for holder in lock.living("release")]
        owner.kill()
        owner.wait()
        assert [own] == [holder.name for holder in lock.living()]
        assert (folder / name).exists()


def test_a_new_process_clears_the_dead_away(folder: Path, lock: ProcessLock) -> None:
    """Their files do not pile up, even if they owned no row."""
    with running(OWNER, str(folder)) as (owner, said):
        name = said.readline().strip()
        owner.kill()
        owner.wait()
    assert [lock.name] == [path.name for path in folder.iterdir()]
    assert name != lock.name


def test_a_file_taken_away_while_it_is_locked_is_not_used(
    folder: Path, lock: ProcessLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone who looks between making and locking takes the file for a dead one's: another is made."""
    flock = fcntl.flock
    taken: list[Path] = []

    def slow(descriptor: int, operation: int) -> None:
        if not taken:
            taken.extend(folder.iterdir())
            taken[0].unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", slow)
    assert taken != [folder / lock.name]
    assert [folder / lock.name] == list(folder.iterdir())


def test_no_living_process_is_ever_taken_for_dead(folder: Path, lock: ProcessLock) -> None:
    """While others look at every file without pause, every lock that is handed out holds."""
    folder.mkdir()
    done = threading.Event()

    def look() -> None:
        watcher = ProcessLock(folder, "verify")
        while not done.is_set():
            watcher.living()
            for path in folder.iterdir():
                watcher.is_dead(path.name)

    watchers = [threading.Thread(target=look) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    locks = [ProcessLock(folder, "release") for _ in range(100)]
    names = [each.name for each in locks]
    done.set()
    for watcher in watchers:
        watcher.join()
    assert [] == [name for name in names if lock.is_dead(name)]
    for each in locks:
        each.release()


@pytest.mark.parametrize("name", ["", "release", "../release-0123456789abcdef", "release-0123456789abcdef/x"])
def test_a_name_that_is_no_lock_is_refused(lock: ProcessLock, name: str) -> None:
    """A damaged row must not make a path of its own."""
    with pytest.raises(ValueError, match="not the name"):
        lock.is_dead(name)


MOUNTED = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/a rw
30 22 0:30 / /srv rw - nfs4 files:/srv rw
31 30 254:2 / /srv/local\\040disk rw - xfs /dev/b rw
32 22 0:31 / /mnt rw - ext4 /dev/c rw
33 22 0:32 / /mnt rw - cifs //files/mnt rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/srv/x", "nfs4"), ("/srv/local disk/x", "xfs"), ("/srvx", "ext4"), ("/mnt/x", "cifs"), ("/", "ext4")],
)
def test_the_file_system_of_a_path_is_that_of_its_nearest_mount(path: str, kind: str) -> None:
    """Nested, escaped and covered mount points included."""
    assert kind == file_system(Path(path), MOUNTED)


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a dead owner may seem alive: say so before anything is owned."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"30 22 0:30 / {tmp_path} rw - nfs4 files:/srv rw\n")
    monkeypatch.setattr(ownership, "MOUNTS", mounts)
    with pytest.raises(BadInput, match="nfs4"):
        ProcessLock(tmp_path / "owners", "release")
