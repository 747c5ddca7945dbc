"""Which processes an installation consists of, and how each is started."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from sync.bootstrap import ownership, sandbox_home
from sync.ownership import Ownership
from sync.settings import Settings
from sync.supervise import Program

LANES = ("prepare", "release")
ROOT = Path(__file__).parent.parent


def worker_argv(settings: Settings, lane: str, name: str) -> tuple[str, ...]:
    """A Celery worker of one lane: threads in a process that does nothing else. `name`: its own on this host."""
    threads = settings.workers_prepare_threads if lane == "prepare" else settings.workers_release_threads
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    return (
        *(sys.executable, "-m", "celery", "-q", "-A", "celery_app", "worker", "-Q", lane, "-n", f"{name}@%h"),
        *("-P", "threads", "-c", str(threads), *quiet, "--loglevel", "INFO"),
    )


# Else the C library keeps a heap for each thread, and what work has freed stays with it (200 against 147 MB).
ARENAS = {"MALLOC_ARENA_MAX": "2"}


def workers(settings: Settings) -> list[Program]:
    """The worker processes of every lane, as many as the settings say."""
    locks = ownership(settings, "supervisor")
    many = {"prepare": settings.workers_prepare, "release": settings.workers_release}
    return [
        Program(
            name=f"{lane} worker" + (f" {number}" if many[lane] > 1 else ""),
            argv=worker_argv(settings, lane, f"{lane}-{os.getpid()}-{number}"),
            log=settings.home / "log" / (f"{lane}.log" if number == 1 else f"{lane}-{number}.log"),
            env={**settings.environment(), "WORKER_LANE": lane, **ARENAS},
            cwd=ROOT,
            ready=_serves(locks, lane, many[lane]),
        )
        for lane in LANES
        for number in range(1, many[lane] + 1)
    ]


def sandboxes(settings: Settings, servers: Iterable[str], ports: dict[str, int] | None = None) -> list[Program]:
    """One server process for each sandbox; it keeps the port it had, as addresses of it were published."""
    programs = []
    for server in servers:
        home = sandbox_home(settings, server)
        port = (ports or {}).get(server) or _last_port(home)
        (home / "address").unlink(missing_ok=True)
        programs.append(
            Program(
                name=f"{server} sandbox",
                argv=(sys.executable, "-m", f"channels.sandbox.{server}", "--port", str(port), "--home", str(home)),
                log=settings.home / "log" / f"sandbox-{server}.log",
                cwd=ROOT,
                ready=(home / "address").exists,
            )
        )
    return programs


def _serves(locks: Ownership, lane: str, many: int) -> Callable[[], bool]:
    here = socket.gethostname()
    return lambda: sum(one.host == here for one in locks.living(lane)) >= many


def _last_port(home: Path) -> int:
    """The port of the last run if nobody else has it now; else any free one."""
    try:
        port = urlsplit((home / "address").read_text().strip()).port or 0
    except FileNotFoundError:
        return 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port
