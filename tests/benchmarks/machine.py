"""What the machine is doing, and what the figures depend on; nothing that names it."""

from __future__ import annotations

import os
import platform
import sqlite3
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.services.postgres import programs

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("celery", "kombu", "redis", "requests", "SQLAlchemy", "psycopg")


@dataclass(frozen=True)
class Machine:
    """Ticks since the start of the machine, over all cores: all, idle, and taken by the hypervisor for others."""

    every: int
    idle: int
    stolen: int

    @classmethod
    def now(cls) -> Machine:
        ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return cls(sum(ticks), ticks[3] + ticks[4], ticks[7])

    def since(self, before: Machine) -> str:
        every = max(1, self.every - before.every)
        idle, stolen = (self.idle - before.idle) / every, (self.stolen - before.stolen) / every
        return f"{idle:.0%} idle, {stolen:.1%} stolen by the hypervisor"


def busy(seconds: float = 2.0) -> float:
    """The share of all cores that is in use now, over so many seconds."""
    before = Machine.now()
    time.sleep(seconds)
    after = Machine.now()
    return 1 - (after.idle - before.idle) / max(1, after.every - before.every)


def load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    server = _said("redis-server", "--version", pick=lambda told: told.split("v=")[1].split()[0])
    postgres = _said(str(programs() / "postgres"), "--version", pick=lambda told: told.split()[2])
    tls = " ".join(ssl.OPENSSL_VERSION.split()[:2])
    commit = _said("git", "-C", str(ROOT), "describe", "--always", "--dirty", pick=str.strip)
    return (
        f"Python {platform.python_version()}, {packages}, redis-server {server}, PostgreSQL {postgres}, "
        f"SQLite {sqlite3.sqlite_version}, {tls}, Linux {platform.release()}, commit {commit}"
    )


def _said(*argv: str, pick: Callable[[str], str]) -> str:
    try:
        return pick(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def cores() -> str:
    return f"{len(os.sched_getaffinity(0))} cores"
