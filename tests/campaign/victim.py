"""Workers to be killed: each forked from one process that has imported everything, and watched at every fail point.

    python -m tests.campaign.victim --points FOLDER prepare=2 release=2       # keeps so many of each lane alive
    python -m tests.campaign.victim --points FOLDER --lane prepare            # is one worker, in the foreground

A worker is what `tongfa worker` becomes: the same program with the same arguments, in a process of its own, with a
lock of its own; only its imports were done before, so that a death costs tenths of a second of the machine's
time instead of two. Whoever reads stdin's end is told to end; a line like `prepare=0` changes how many there are.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import os
import select
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from sync.bootstrap import kind, kinds
from sync.http import trusted
from sync.programs import ARENAS, ROOT, worker_argv
from sync.settings import Settings, read_settings
from tests.campaign.points import Points

PR_SET_PDEATHSIG = 1
LOOK = 0.02  # seconds between two looks for who died
# All that a worker imports, but for `celery_app`, which reads its lane when it is imported.
NEEDED = (
    "celery.__main__",
    "celery.bin.celery",
    "celery.bin.worker",
    "celery.apps.worker",
    "celery.concurrency.thread",
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.trace",
    "celery.worker",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.consumer.gossip",
    "celery.worker.consumer.mingle",
    "celery.worker.autoscale",
    "celery.worker.strategy",
    "celery.events.state",
    "kombu.transport.redis",
    "kombu.transport.memory",
    "psycopg",
    "pysqlite3",
    "tasks",
    "tasks.sweep",
    "sync.logs",
)


class Fleet:
    """Keeps workers alive: whoever ends is followed by another at once."""

    def __init__(self, settings: Settings, wanted: Mapping[str, int], points: Path | None) -> None:
        self._settings, self._wanted, self._points = settings, dict(wanted), points
        self._living: dict[int, str] = {}
        self._counted = 0

    def run(self) -> None:
        """Until stdin ends."""
        while True:
            for lane in self._wanted:
                while sum(one == lane for one in self._living.values()) < self._wanted[lane]:
                    self._start(lane)
            if select.select([sys.stdin], [], [], LOOK)[0]:
                told = sys.stdin.readline()
                if not told:
                    return self._end()
                self._wanted.update(counts(told.split()))
            self._reap()

    def _start(self, lane: str) -> None:
        self._counted += 1
        ours = os.getpid()
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() == ours:
                become(self._settings, lane, f"{lane}-{self._counted}", self._points)
            os._exit(1)
        self._living[pid] = lane

    def _reap(self) -> None:
        while self._living:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._living.pop(pid, None)

    def _end(self) -> None:
        for pid in self._living:
            os.kill(pid, signal.SIGKILL)
        for pid in self._living:
            os.waitpid(pid, 0)


def become(settings: Settings, lane: str, name: str, points: Path | None) -> NoReturn:
    """Be a worker of this lane from now on."""
    os.environ.update({**settings.environment(), "WORKER_LANE": lane})
    os.chdir(ROOT)
    log = settings.home / "log" / f"{lane}.log"
    log.parent.mkdir(exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, descriptor, descriptor)):
        os.dup2(file, number)
    if points is not None:
        Points(points).install()
    _, _, _, *arguments = worker_argv(settings, lane, name)
    sys.argv = ["celery", *arguments]
    importlib.import_module("celery.__main__").main()
    sys.exit()


def counts(words: list[str]) -> dict[str, int]:
    return {lane: int(many) for lane, _, many in (word.partition("=") for word in words)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("many", nargs="*")
    parser.add_argument("--lane")
    parser.add_argument("--points", type=Path)
    asked = parser.parse_args()
    settings = read_settings()
    os.environ.update(ARENAS)
    if asked.lane is not None:
        become(settings, asked.lane, f"{asked.lane}-{os.getpid()}", asked.points)
    for module in NEEDED:
        importlib.import_module(module)
    assert [kind(name) for name in kinds()]
    trusted()
    gc.collect()
    gc.freeze()
    Fleet(settings, counts(asked.many), asked.points).run()


if __name__ == "__main__":
    main()
