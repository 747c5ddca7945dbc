"""Runs what reads or renders a stranger's bytes in a process of its own that can do nothing else.

    answer, parts = confine.run("sync.content.picture:measure", {"where": "a.png"}, [content])

The function is one of ours, named `module:function`; it is handed a JSON value, bytes, and `ask`, and
returns a JSON value and bytes. Its process has no network, no files but the program's own, no secret,
bounded memory and CPU time, and ends with this one. It is forked from one that has the modules already,
so it costs some milliseconds. Whatever becomes of it, this process only ever sees data, or `Failed`.
"""

from __future__ import annotations

import atexit
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from sync.confined import Ask, Closed, receive, send
from sync.model import BadInput

__all__ = ["Answer", "Ask", "Failed", "Limits", "Walls", "begin", "run", "walls"]

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(__file__).with_name("confined.py")
START_S = 30.0  # seconds the process that forks is given to come up
MIB = 1024 * 1024

T = TypeVar("T")
Answer: TypeAlias = tuple[Any, list[bytes]]
Serve: TypeAlias = Callable[[Any, list[bytes]], Answer]


@dataclass(frozen=True, slots=True)
class Limits:
    """`cpu_s` of one job; `wall_s` while this process waits for it; `memory` bytes beyond an idle one's.

    `folder`: it may write to one, which is removed. `programs`: those it may start.
    """

    cpu_s: int = 5
    wall_s: float = 10.0
    memory: int = 512 * MIB
    folder: bool = False
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Walls:
    """What confines jobs here: `network` is namespace, filter or none; `files` is landlock or none."""

    network: str
    files: str
    calls: str


class Failed(Exception):
    """The job gave no result: `why` is time, memory, size or crash; `said` is for a developer."""

    def __init__(self, why: str, said: str) -> None:
        super().__init__(f"{why}: {said}")
        self.why, self.said = why, said

    def refusal(self, where: str) -> BadInput:
        """The same for the person who gave the file."""
        match self.why:
            case "time":
                return BadInput(
                    where,
                    "读取用时过长：文件过大或过于复杂 · it takes too long to read: it is too large or too complex",
                    _SIMPLER,
                )
            case "memory" | "size":
                return BadInput(
                    where,
                    "读取用内存过多：文件过大或过于复杂 · it needs too much memory: it is too large or too complex",
                    _SIMPLER,
                )
            case "open":
                return BadInput(
                    where,
                    "本系统不能把程序与网络隔开 · this system lets no program be cut off from the network",
                    _KERNEL,
                )
            case _:
                return BadInput(
                    where,
                    f"不能安全读取：读取程序出错 · it cannot be read safely: the reader broke on it ({self.said})",
                    _SIMPLER,
                )


_SIMPLER = (
    "缩小或简化：拆分，或用原来的程序打开后重新保存 · "
    "make it smaller or simpler: split it, or open it in the program that made it and save it anew"
)
_KERNEL = (
    "在有 seccomp 或网络命名空间的 Linux 上运行 · "
    "run it on Linux with seccomp or network namespaces, as every current distribution has them"
)
_NO_LIMITS = Limits()


def run(
    function: str, value: Any, parts: Sequence[bytes] = (), *, limits: Limits = _NO_LIMITS, serve: Serve | None = None
) -> Answer:
    """The function's result. `serve` answers what it asks meanwhile; whatever that raises ends the job.

    Raises Failed. The job's process is then gone, and nothing of it is left.
    """
    with _Running(function, limits) as job:
        job.give(value, list(parts))
        while True:
            told, made = job.take()
            match told:
                case {"done": answer}:
                    return answer, made
                case {"ask": asked} if serve is not None:
                    job.give(*serve(asked, made))
                case {"broke": "memory"}:
                    raise Failed("memory", "out of memory")
                case {"broke": str(kind), "said": said, "place": place}:
                    raise Failed("crash", f"{kind} at {place}: {said}"[:300])
                case {"open": _}:
                    raise Failed("open", "neither a network namespace nor a filter of system calls")
                case _:
                    raise Failed("crash", "an answer that is none")


def begin(function: str) -> None:
    """Get ready for jobs of this function, without waiting: meanwhile this process can do other things."""
    _server().load(function)


def walls() -> Walls:
    """What is in force, tried out with a job that does nothing. Raises Failed."""
    with _Running(f"{__name__}:nothing", _NO_LIMITS) as job:
        job.give(None, [])
        told, _ = job.take()
    calls = "filter" if told.get("calls") else "none"
    files = "landlock" if told.get("files") else "none"
    return Walls("namespace" if _server().network else calls, files, calls)


def nothing(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    """The job that does nothing."""
    return value, parts


class _Running:
    """One job's process, from start to end."""

    def __init__(self, function: str, limits: Limits) -> None:
        self._limits = limits
        self._left = limits.wall_s
        self._server, self._number, self._job, self._end = _started(function, limits)

    def __enter__(self) -> _Running:
        return self

    def __exit__(self, *_: object) -> None:
        """However it went: afterwards it is dead."""
        self._job.close()
        self._server.kill(self._number)
        os.close(self._end)

    def give(self, value: Any, parts: list[bytes]) -> None:
        self._timed(lambda: send(self._job, value, parts))

    def take(self) -> Answer:
        return self._timed(lambda: receive(self._job))

    def _timed(self, act: Callable[[], T]) -> T:
        """Only the time that this process waits is counted, not what it does to answer a question."""
        began = time.monotonic()
        self._job.settimeout(max(self._left, 0.001))
        try:
            return act()
        except TimeoutError:
            raise Failed("time", f"no answer within {self._limits.wall_s:g} s") from None
        except (Closed, OSError):
            raise self._ended() from None
        except ValueError as error:
            raise Failed("size", str(error)) from None
        finally:
            self._left -= time.monotonic() - began

    def _ended(self) -> Failed:
        """Why it went away without an answer."""
        self._server.kill(self._number)
        said = os.read(self._end, 16).decode()  # comes at once: it is dead
        if not said:  # nobody was left to tell
            _forget(self._server)
            return Failed("crash", "somebody ended the process that confines jobs; try again")
        code = int(said)
        if code == -signal.SIGXCPU or code == -signal.SIGKILL:
            return Failed("time", f"more than {self._limits.cpu_s} s of CPU time")
        if code == -signal.SIGABRT:  # what compiled code does when memory is refused
            return Failed("memory", "out of memory")
        return Failed("crash", f"its process ended with {code}")


class _Server:
    """The process that forks jobs, for this process alone."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-I", str(PROGRAM), str(ROOT)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"},
                start_new_session=True,  # Ctrl-C is its owner's to answer
            )
        self._socket = ours
        self._lock = threading.Lock()
        ours.settimeout(START_S)
        self._network: bool | None = None

    @property
    def network(self) -> bool:
        """Whether its jobs are in a network without interfaces. Raises Failed when it does not start."""
        with self._lock:
            if self._network is None:
                try:
                    hello = self._socket.recv(1024)
                except OSError:
                    hello = b""
                if not hello:
                    raise Failed("crash", "the process that confines jobs does not start")
                self._network = bool(json.loads(hello)["network"])
        return self._network

    def load(self, function: str) -> None:
        self._tell({"load": function})

    def start(self, function: str, limits: Limits, number: int) -> tuple[socket.socket, int]:
        """A new job's socket, and the descriptor that tells how it ended. Raises OSError when the server is gone."""
        job, theirs = socket.socketpair()
        end, told = os.pipe()
        asked = {
            "function": function,
            "number": number,
            "cpu_s": limits.cpu_s,
            "memory": limits.memory,
            "folder": limits.folder,
            "programs": limits.programs,
        }
        try:
            with self._lock:
                socket.send_fds(self._socket, [json.dumps(asked).encode()], [theirs.fileno(), told])
        except OSError:
            job.close()
            os.close(end)
            raise
        finally:
            theirs.close()
            os.close(told)
        return job, end

    def kill(self, number: int) -> None:
        self._tell({"kill": number})

    def _tell(self, told: dict[str, Any]) -> None:
        """When it is gone, its jobs are gone with it, and the next one starts another."""
        with suppress(OSError), self._lock:
            self._socket.send(json.dumps(told).encode())

    def close(self) -> None:
        self._socket.close()
        self._process.wait()

    def leave(self) -> None:
        """In a forked process: it belongs to the parent."""
        self._socket.close()


_numbers = itertools.count(1)
_starting = threading.Lock()
_current: _Server | None = None


def _server() -> _Server:
    global _current
    with _starting:
        if _current is None:
            _current = _Server()
        return _current


def _started(function: str, limits: Limits) -> tuple[_Server, int, socket.socket, int]:
    """A job of the server; of a new one when somebody has killed it. Raises Failed."""
    number = next(_numbers)
    for _ in range(2):
        server = _server()
        try:
            return server, number, *server.start(function, limits, number)
        except OSError:
            _forget(server)
    raise Failed("crash", "the process that confines jobs does not stay")


def _forget(server: _Server | None = None) -> None:
    """End the server, or only this one."""
    global _current
    with _starting:
        if _current is None or server not in (None, _current):
            return
        ended, _current = _current, None
    ended.close()


def _after_fork() -> None:
    global _current, _starting
    _starting = threading.Lock()
    if _current is not None:
        _current.leave()
        _current = None


atexit.register(_forget)
os.register_at_fork(after_in_child=_after_fork)
