"""Sandbox outlets in little time: each a process of its own, forked from one that has imported all of them.

A sandbox takes most of a second to import and a few milliseconds to listen; the suite needs hundreds.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
MODULES = tuple(
    f"channels.sandbox.{name}"
    for name in (
        "ghost",
        "bluesky",
        "manual",
        "apprise",
        "email",
        "mastodon",
        "pages",
        "telegram",
        "webhook",
        "wordpress",
        "wechat",
        "weibo",
        "dingtalk",
        "feishu",
        "wecom",
    )
)
PR_SET_PDEATHSIG = 1


class Nursery:
    """The process that is forked from."""

    def __init__(self) -> None:
        self._one = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.nursery"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def start(self, module: str, home: Path) -> int:
        """A sandbox that serves `home` on a free port, soon; returns its process."""
        with self._one:
            assert self._server.stdin is not None and self._server.stdout is not None
            self._server.stdin.write(json.dumps([module, str(home)]).encode() + b"\n")
            return int(self._server.stdout.readline())

    def close(self) -> None:
        with self._server as server:  # closes both pipes: it ends by that
            assert server.stdin is not None


@cache
def nursery() -> Nursery:
    """The one of this test process."""
    made = Nursery()
    atexit.register(made.close)
    return made


def living(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def end(pid: int) -> None:
    """Kill it, and wait until it is gone. Nothing is lost by that: a sandbox keeps what it knows before it answers."""
    os.kill(pid, signal.SIGKILL)
    while living(pid):
        time.sleep(0.001)


def _serve() -> None:
    built = {name: import_module(name) for name in MODULES}
    gc.freeze()  # what the forked processes share stays shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever ends is gone at once
    nursery_pid = os.getpid()
    for line in sys.stdin:
        module, home = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(built[module], home, nursery_pid)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _become(module: object, home: str, parent: int) -> NoReturn:
    """In the forked process: be the sandbox, which does not outlive the one it was forked from."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nothing, number)
    module.serve(module.build, ["--home", home])  # type: ignore[attr-defined]
    sys.exit()


if __name__ == "__main__":
    _serve()
