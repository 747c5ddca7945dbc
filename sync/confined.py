"""The other side of `sync.confine`: forks a confined process for each job, from one that has imported what jobs need.

    python -I sync/confined.py ROOT        (standard input: a socket to the process that it belongs to)

It ends, and all its jobs with it, when that socket is closed: when its owner ends, however it ends.
A job's function is trusted, being ours; what it reads is not. After a job's process nothing is left.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

MOST = 512 * 1024 * 1024  # bytes of one message
FILE_BYTES = 256 * 1024 * 1024
READABLE = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/usr/share",
    "/etc/ld.so.cache",
    "/etc/fonts",
)


class Closed(Exception):
    """The other end of the socket is gone."""


def send(to: socket.socket, value: Any, parts: list[bytes]) -> None:
    """One message: a JSON value, and bytes. Raises OSError."""
    head = json.dumps([value, [len(part) for part in parts]]).encode()
    to.sendall(len(head).to_bytes(4, "big") + head)
    for part in parts:
        to.sendall(part)


def receive(whence: socket.socket) -> tuple[Any, list[bytes]]:
    """One message. Raises Closed, OSError, or ValueError when it is none or too large."""
    value, sizes = json.loads(_exactly(whence, int.from_bytes(_exactly(whence, 4), "big")))
    if not all(isinstance(size, int) and 0 <= size <= MOST for size in sizes) or sum(sizes) > MOST:
        raise ValueError("the message is too large")
    return value, [_exactly(whence, size) for size in sizes]


def _exactly(whence: socket.socket, size: int) -> bytes:
    if size > MOST:
        raise ValueError("the message is too large")
    found = bytearray(size)
    view, at = memoryview(found), 0
    while at < size:
        got = whence.recv_into(view[at:])
        if got == 0:
            raise Closed
        at += got
    return bytes(found)


class Ask:
    """How a job asks its owner for more: one question, one answer. Also how it gives its result."""

    def __init__(self, owner: socket.socket) -> None:
        self._owner = owner

    def __call__(self, value: Any, *parts: bytes) -> tuple[Any, list[bytes]]:
        send(self._owner, {"ask": value}, list(parts))
        return receive(self._owner)


@dataclass
class Job:
    number: int
    pid: int
    end: int  # descriptor on which the owner is told how it ended
    folder: str


def main(root: Path) -> None:
    sys.path.append(str(root))
    from sync import walls

    owner = socket.socket(fileno=0)
    nowhere = tempfile.mkdtemp(prefix="tongfa-")
    os.chdir(nowhere)
    Path(nowhere).rmdir()  # an empty folder in which nothing can be made
    network = walls.no_network()
    jobs: dict[int, Job] = {}  # by the descriptor of the process
    with suppress(BrokenPipeError):  # then there is nothing to receive either
        owner.send(json.dumps({"network": network}).encode())
    while True:
        ready, _, _ = select.select([owner.fileno(), *jobs], [], [])
        for one in ready:
            if one in jobs:
                _bury(one, jobs)
        if owner.fileno() in ready:
            try:
                message, descriptors, _, _ = socket.recv_fds(owner, 64 * 1024, 2)
            except ConnectionResetError:  # closed before it had read all that it was told
                break
            if not message:
                break
            asked = json.loads(message)
            if "load" in asked:
                _load(asked["load"])
                continue
            if "kill" in asked:
                _kill(job for job in jobs.values() if job.number == asked["kill"])
                continue
            _load(asked["function"])
            folder = tempfile.mkdtemp(prefix="tongfa-") if asked["folder"] else ""
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                os.close(descriptors[1])
                _become(asked, socket.socket(fileno=descriptors[0]), folder, parent, root, network=network)
            os.close(descriptors[0])
            jobs[os.pidfd_open(pid)] = Job(asked["number"], pid, descriptors[1], folder)
    _kill(jobs.values())
    for descriptor in list(jobs):
        _bury(descriptor, jobs)


def _load(function: str) -> Any:
    """Import it here, once, so that every job after has it already."""
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)


def _kill(jobs: Any) -> None:
    for job in jobs:
        os.kill(job.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):  # it had not come to make its session yet
            os.killpg(job.pid, signal.SIGKILL)  # programs that it started


def _bury(descriptor: int, jobs: dict[int, Job]) -> None:
    job = jobs.pop(descriptor)
    os.close(descriptor)
    _, status = os.waitpid(job.pid, 0)
    with suppress(ProcessLookupError):  # it left no program behind
        os.killpg(job.pid, signal.SIGKILL)
    if job.folder:
        shutil.rmtree(job.folder, ignore_errors=True)
    with suppress(BrokenPipeError):  # its owner did not wait for the end
        os.write(job.end, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(job.end)


def _become(
    asked: dict[str, Any], owner: socket.socket, folder: str, parent: int, root: Path, *, network: bool
) -> NoReturn:
    """In the forked process: lose every right, do the job, and end."""
    from sync import walls

    os.setsid()
    walls.die_with_parent(parent)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    keep = owner.fileno()
    os.closerange(3, keep)
    os.closerange(keep + 1, 65536)
    sys.excepthook = _Last(owner)
    if folder:
        os.chdir(folder)
        tempfile.tempdir = folder
    own = [root / name for name in ("sync", "channels", "templates")]
    readable = [Path(sys.prefix), Path(sys.base_prefix), *own, *map(Path, READABLE)]
    readable += [Path(program) for program in asked["programs"]]
    walls.limits(cpu_s=asked["cpu_s"], memory=asked["memory"], file_bytes=FILE_BYTES)
    files = walls.no_files(readable, Path(folder) if folder else None)
    calls = walls.no_calls(programs=bool(asked["programs"]))
    if not (network or calls):
        send(owner, {"open": "network"}, [])
        os._exit(1)
    value, parts = receive(owner)
    answer, made = _load(asked["function"])(value, parts, Ask(owner))
    send(owner, {"done": answer, "files": files, "calls": calls}, made)
    os._exit(0)


class _Last:
    """What becomes of an exception in a job: its owner is told, and the process ends."""

    def __init__(self, owner: socket.socket) -> None:
        self._owner = owner

    def __call__(self, kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        last = at
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        place = f"{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}" if last else ""
        full = issubclass(kind, MemoryError)
        told = {"broke": "memory" if full else kind.__name__, "said": str(error)[:500], "place": place}
        send(self._owner, told, [])
        os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
