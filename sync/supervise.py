"""Keeps the programs of an embedded installation running, and ends them all with itself.

One process per program, each in a session of its own, so that Ctrl-C reaches only the supervisor.
A program that ends is started again. If the supervisor is killed the kernel kills its programs
(`sync.child`); *their* children are only reached by `stop`, or when the program's restart clears its
group. The kernel's signal follows the thread that started a program, hence everything here belongs
to the main thread. Linux only. Writes to log files and to logging, never to stdout.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import Self

from sync.clock import Clock, SystemClock

log = logging.getLogger(__name__)

FIRST_DELAY = 0.2  # seconds before the first restart; doubled each time
LONGEST_DELAY = 10.0
STEADY_AFTER = 30.0  # seconds of running after which a program's failures are forgotten
POLL = 0.05
GRACE = 10.0  # seconds between TERM and KILL
TAIL_BYTES, TAIL_LINES = 8192, 15


class StartFailed(Exception):
    """A program did not become ready; the message names it and quotes the end of its log."""


@dataclass(frozen=True)
class Program:
    """What to run. `env` is added to this process's environment.

    `ready` is asked every few milliseconds from the start until it is true; it must be quick and
    return False, not raise, while the program is not there yet. None: ready as soon as it runs.
    `log` receives its output, appended; the folder is made.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = field(default_factory=Path.cwd)
    ready: Callable[[], bool] | None = None


class _Child:
    """One program and the process that runs it now, if any."""

    def __init__(self, program: Program, clock: Clock) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self._clock = clock
        self._began = 0.0
        self._delay = FIRST_DELAY
        self._due = 0.0  # seconds of boot time; when to start again, while there is no process
        self._log_from = 0

    def start(self) -> None:
        """Raises OSError when the log cannot be written or the folder to run in is missing."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("programs are started from the main thread: they die with the thread that started them")
        self.program.log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("child.py")), str(os.getpid())]
        with self.program.log.open("ab") as output:
            self._log_from = output.tell()
            self.process = subprocess.Popen(  # noqa: S603  # argv is our own, and no shell reads it
                [*command, *self.program.argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.program.cwd,
                env={**os.environ, **self.program.env},
                start_new_session=True,
            )
        self._began = self._clock.boottime()

    def ended(self) -> int | None:
        """The exit code once the process has ended, else None. What it left in its group is killed."""
        if self.process is None or self.process.returncode is not None:
            return None if self.process is None else self.process.returncode
        # Looked at before it is reaped: as long as it is a zombie its number, which is also its
        # group's, cannot belong to a stranger.
        if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        self.signal(signal.SIGKILL)
        return self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """To the whole group of a process that was not reaped yet."""
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def keep_running(self) -> None:
        """Start it again when it has ended and its delay is over."""
        now = self._clock.boottime()
        if self.process is None:
            if now >= self._due:
                self._start_again(now)
            return
        code = self.ended()
        if code is None:
            return
        if now - self._began >= STEADY_AFTER:
            self._delay = FIRST_DELAY
        self.process = None
        self._put_off(now, _how(code))

    def _start_again(self, now: float) -> None:
        try:
            self.start()
        except OSError as error:  # no memory or no descriptors just now: the others must not suffer for it
            self._put_off(now, f"cannot be started ({error})")

    def _put_off(self, now: float, why: str) -> None:
        log.warning("%s %s; starting it again in %.1f s", self.program.name, why, self._delay)
        self._due = now + self._delay
        self._delay = min(self._delay * 2, LONGEST_DELAY)

    def is_ready(self) -> bool:
        """Raises StartFailed when it ended instead."""
        code = self.ended()
        if code is not None and self.program.ready is not None:
            raise StartFailed(f"{self.program.name} {_how(code)} before it was ready; {self.last_lines()}")
        return self.program.ready is None or self.program.ready()

    def last_code(self) -> int:
        """The exit code of a process that was told to end; waits for it, a killed one ends at once."""
        assert self.process is not None
        return self.process.wait()

    def last_lines(self) -> str:
        """The end of what the present process wrote, with the name of its log."""
        with self.program.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_from, size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        wrote = "".join(f"\n    {line}" for line in lines) or " nothing"
        return f"{self.program.log} ends with:{wrote}"


class Supervisor:
    """Runs programs until told to stop. A context manager: leaving it, however, stops them all."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._children: dict[str, _Child] = {}
        self._added: list[_Child] = []  # not started yet

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def add(self, program: Program) -> None:
        """To be run from the next `start`. Raises ValueError when the name is taken."""
        if program.name in self._children:
            raise ValueError(f"{program.name} is already supervised")
        self._children[program.name] = child = _Child(program, self._clock)
        self._added.append(child)

    def start(self, within: float = 30.0) -> None:
        """Start what was added since the last `start`; return when all of it is ready.

        Raises StartFailed when a program ends before it was ready (its set-up is wrong, a restart
        would not mend it) or is not ready `within` seconds; OSError when one cannot be started at
        all. What did start keeps running until `stop`, which the context manager calls.
        """
        waiting, self._added = self._added, []
        for child in waiting:
            child.start()
        until = self._clock.boottime() + within
        while waiting := [child for child in waiting if not child.is_ready()]:
            if self._clock.boottime() >= until:
                names = ", ".join(child.program.name for child in waiting)
                raise StartFailed(f"{names}: not ready within {within:g} s; {waiting[0].last_lines()}")
            self._keep_running(without=waiting)
            sleep(POLL)

    def run(self, until: Callable[[], bool]) -> None:
        """Keep everything running until `until` is true; it is asked every 50 ms."""
        while not until():
            self._keep_running()
            sleep(POLL)

    def pids(self) -> dict[str, int]:
        """Program → number of the process that runs it now, without those that wait for a restart."""
        return {name: child.process.pid for name, child in self._children.items() if child.process is not None}

    def stop(self, grace: float = GRACE) -> dict[str, int]:
        """End everything: TERM to every group, KILL after `grace` seconds, at once if interrupted.

        Returns the exit codes (negative: the signal) of the programs that still ran. Afterwards
        nothing is supervised; a second call does nothing.
        """
        running = [child for child in self._children.values() if child.process is not None and child.ended() is None]
        stopped, self._children, self._added = running, {}, []
        try:
            for child in running:
                child.signal(signal.SIGTERM)
            until = self._clock.boottime() + grace
            while (running := [child for child in running if child.ended() is None]) and self._clock.boottime() < until:
                sleep(POLL)
        finally:
            for child in running:
                log.warning("%s did not stop within %g s and was killed", child.program.name, grace)
                child.signal(signal.SIGKILL)
            codes = {child.program.name: child.last_code() for child in stopped}
        return codes

    def _keep_running(self, without: Sequence[_Child] = ()) -> None:
        for child in self._children.values():
            if child not in without:
                child.keep_running()


def _how(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
