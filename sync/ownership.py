"""Ownership that dies with the process: one locked file per process, for installations on SQLite.

A row in flight stores the name of its owner's file. The kernel drops the lock when the process ends,
however it ends, so whoever gets the lock without waiting knows that the owner is dead. A frozen
process keeps its lock; there is no lease to run out while a request is still on its way.

Only `flock` is used. POSIX locks (`fcntl.lockf`) vanish when any descriptor of the file is closed.
The lock belongs to the open file, which a forked child shares: a child closes it, and never unlocks
it, because LOCK_UN would unlock its parent.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import socket
import threading
import weakref
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from sync.clock import Clock, SystemClock
from sync.model import BadInput

MOUNTS = Path("/proc/self/mountinfo")
# Locks on these are kept by a server, or by nobody, and may outlive or predecease the process.
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone"}
)
NAME = re.compile(r"[a-z][a-z0-9]*-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Holder:
    """A living process and what it does. `started_at` is microseconds UTC."""

    name: str
    pid: int
    host: str
    lane: str
    started_at: int


class Ownership(Protocol):
    """What proves that a process lives, and who else does: a locked file, or a session of the database."""

    @property
    def name(self) -> str:
        """What this process's rows store as their owner; never used twice."""

    def release(self) -> None:
        """Give it up at a clean end."""

    def is_dead(self, name: str) -> bool:
        """True, and that is final, when whoever had this name holds it no longer."""

    def living(self, lane: str | None = None) -> list[Holder]:
        """Who lives now, oldest first."""


class ProcessLock:
    """This process's lock file in `folder`, made at the first look at `name`, anew in a forked child.

    `lane` (lower-case letters and digits) is the process's role and the prefix of the name. All
    threads of a process share the lock: which of them works on what is decided by the rows.
    """

    def __init__(self, folder: Path, lane: str, clock: Clock | None = None) -> None:
        """Touches nothing yet. Raises BadInput when `folder` is on a network file system."""
        if not NAME.fullmatch(f"{lane}-{'0' * 16}"):
            raise ValueError(f"a lane is lower-case letters and digits, not {lane!r}")
        refuse_network(folder)
        self._folder, self._lane, self._clock = folder, lane, clock or SystemClock()
        self._guard = threading.Lock()  # makes one file, though several threads ask for the name at once
        self._held: tuple[int, int, str] | None = None  # pid, descriptor, name
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _leave_parent(itself))

    @property
    def name(self) -> str:
        """What rows store as their owner. Takes the lock if this process has none yet.

        Raises OSError when the folder's parent is missing or the disk is full.
        """
        with self._guard:
            if self._held is None or self._held[0] != os.getpid():
                self._held = self._take()
            return self._held[2]

    def release(self) -> None:
        """Give the lock up at a clean end, after the last write of a row. Without a lock: nothing."""
        with self._guard:
            if self._held is None or self._held[0] != os.getpid():
                return
            _, descriptor, name = self._held
            self._held = None
            # Removed while still locked: nobody can find the name free and then meet a new file.
            with suppress(FileNotFoundError):
                (self._folder / name).unlink()
            os.close(descriptor)

    def is_dead(self, name: str) -> bool:
        """True when the process that had this name has ended; its file is then removed.

        True is final. False may be late by one look: another process may be asking at this moment.
        """
        if not NAME.fullmatch(name):
            raise ValueError(f"not the name of a process lock: {name!r}")
        path = self._folder / name
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            with suppress(FileNotFoundError):
                path.unlink()  # under the lock; names are never used twice
            return True
        finally:
            os.close(descriptor)

    def living(self, lane: str | None = None) -> list[Holder]:
        """Who holds a lock now, of one lane or of all, oldest first. Changes nothing."""
        holders = []
        for path in _files(self._folder):
            holder = _read(path) if _is_held(path) else None
            if holder is not None and lane in (None, holder.lane):
                holders.append(holder)
        return sorted(holders, key=lambda holder: (holder.started_at, holder.name))

    def _take(self) -> tuple[int, int, str]:
        """Make and lock a file, and clear away those of the dead: nobody else does when they owned no row."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for path in _files(self._folder):
            self.is_dead(path.name)
        while True:
            name = f"{self._lane}-{secrets.token_hex(8)}"
            descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            if _locked_in_place(descriptor, self._folder / name):
                break
            # Between making and locking it, someone took the unlocked file for a dead one's. Nobody
            # has seen this name in a row yet: take another.
            os.close(descriptor)
        holder = Holder(name, os.getpid(), socket.gethostname(), self._lane, self._clock.now())
        try:
            os.write(descriptor, json.dumps(asdict(holder)).encode())
        except OSError:  # disk full: an unwritten file is cleared away like a dead one's
            os.close(descriptor)
            raise
        return os.getpid(), descriptor, name

    def _leave(self) -> None:
        """In a forked child: let go of the parent's file without unlocking it."""
        self._guard = threading.Lock()  # the parent's may have been held by a thread that is not here
        if self._held is not None:
            os.close(self._held[1])
            self._held = None


def _leave_parent(itself: weakref.ref[ProcessLock]) -> None:
    lock = itself()
    if lock is not None:
        lock._leave()


def _locked_in_place(descriptor: int, path: Path) -> bool:
    """Lock the open file; True when its name still leads to it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if NAME.fullmatch(path.name)] if folder.is_dir() else []


def _is_held(path: Path) -> bool:
    """A shared lock is asked for, so that two who look do not take each other for the owner."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read(path: Path) -> Holder | None:
    """None for a process that has just locked its file and not written it yet, or has just ended."""
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def refuse_network(folder: Path) -> None:
    """Raises BadInput when `folder` is on a file system whose locks do not die with the process."""
    if not MOUNTS.exists():  # not Linux: nothing to read it from
        return
    kind = file_system(folder.resolve(), MOUNTS.read_text(errors="surrogateescape"))
    if kind in NETWORK:
        raise BadInput(
            str(folder),
            f"is on a network file system ({kind}), where a dead process may seem alive",
            "put TONGFA_HOME on a local disk, or use PostgreSQL (TONGFA_DATABASE_URL)",
        )


def file_system(path: Path, mounts: str) -> str:
    """Kind of file system that `path` is on, from the text of /proc/self/mountinfo; "" if unknown."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split(" ")[4]))
        if path.is_relative_to(point) and len(point.parts) >= best:  # of equal ones the last mounted is on top
            best, kind = len(point.parts), after.split(" ")[0]
    return kind
