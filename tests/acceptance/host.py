"""Stands for what keeps containers running: several `tongfa worker` processes, and the sandbox servers.

    python -m tests.acceptance.host

Ends what it started when it is told to end, or killed.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial

from sync.bootstrap import context, ownership, sandbox_of
from sync.ownership import Ownership
from sync.programs import ROOT, sandboxes
from sync.settings import Settings, read_settings
from sync.store import outlets
from sync.supervise import Program, Supervisor
from tests.acceptance.mode import TONGFA

WORKERS = {"prepare": 2, "release": 2}  # unless RELEASE_WORKERS says how many of the release lane


def main() -> None:
    settings = read_settings()
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    with context(settings, "host").store.read() as connection:
        servers = {sandbox_of(row.kind) for row in outlets.every(connection) if not row.live} | {"pages"}
    with Supervisor() as supervisor:
        for program in (*sandboxes(settings, sorted(servers)), *_workers(settings)):
            supervisor.add(program)
        supervisor.start()
        sys.stderr.write("everything is up\n")
        supervisor.run(lambda: bool(told))


def _workers(settings: Settings) -> Iterator[Program]:
    locks = ownership(settings, "host")
    for lane, many in {**WORKERS, "release": int(os.environ.get("RELEASE_WORKERS", WORKERS["release"]))}.items():
        for number in range(1, many + 1):
            yield Program(
                name=f"{lane} worker {number}",
                argv=(str(TONGFA), "worker", "--lane", lane),
                log=settings.home / "log" / f"{lane}-{number}.log",
                env=settings.environment(),
                cwd=ROOT,
                ready=_live(locks, lane, many),
            )


def _live(locks: Ownership, lane: str, many: int) -> Callable[[], bool]:
    return partial(lambda here: sum(one.host == here for one in locks.living(lane)) >= many, socket.gethostname())


if __name__ == "__main__":
    main()
