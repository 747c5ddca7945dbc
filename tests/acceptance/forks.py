"""`tongfa` commands in little time: each a process of its own, forked from one that has imported everything already.

A command takes most of a second to import and a few milliseconds to do its work. The forked process has its
own environment, folder, files and exit code, and runs the very function that `tongfa` runs.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Result:
    """What a command came to. `pid`: the process it was."""

    code: int
    out: str
    err: str
    pid: int

    @property
    def json(self) -> Any:
        """The one JSON document on stdout. Raises ValueError if there is anything else."""
        return json.loads(self.out)


class Forks:
    """The process that is forked from. One command at a time."""

    def __init__(self, columns: int | None = None) -> None:
        """`columns`: as in a terminal of that width."""
        self._folder = tempfile.TemporaryDirectory(prefix="tongfa-forks-")
        self._one = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.forks"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **({"COLUMNS": str(columns)} if columns else {})},
        )

    def run(
        self, arguments: Sequence[str], env: Mapping[str, str], cwd: Path | str, stdin: str = "", timeout: float = 120
    ) -> Result:
        """`tongfa ARGUMENTS…`; killed, and an AssertionError, after `timeout` seconds."""
        files = [Path(self._folder.name, name) for name in ("in", "out", "err")]
        asked = {"arguments": [*arguments], "env": {**env}, "cwd": str(cwd), "files": [str(file) for file in files]}
        with self._one:
            assert self._server.stdin is not None and self._server.stdout is not None
            files[0].write_text(stdin)
            self._server.stdin.write(json.dumps(asked).encode() + b"\n")
            pid = int(self._server.stdout.readline())
            late = not select.select([self._server.stdout], [], [], timeout)[0]
            if late:
                os.kill(pid, signal.SIGKILL)
            code = int(self._server.stdout.readline())
            told = Result(code, files[1].read_text(), files[2].read_text(), pid)
        assert not late, f"tongfa {arguments} still runs after {timeout} s: {told.out}{told.err}"
        return told

    def close(self) -> None:
        with self._server as server:  # closes both pipes: it ends by that
            assert server.stdin is not None
        self._folder.cleanup()


@cache
def forks(columns: int | None = None) -> Forks:
    """The one of this test process, for terminals of this width."""
    made = Forks(columns)
    atexit.register(made.close)
    return made


def _serve() -> None:
    from sync.bootstrap import kind, kinds
    from sync.cli import main
    from sync.cli.app import command

    assert command() and [kind(name) for name in kinds()]  # they are imported
    gc.freeze()  # what the forked processes share stays shared
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(asked, main)
        _tell(pid)
        _, status = os.waitpid(pid, 0)
        _tell(os.waitstatus_to_exitcode(status))


def _tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _become(asked: dict[str, Any], main: Callable[[], None]) -> NoReturn:
    """In the forked process: be the command, and end as any Python program ends."""
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    for number, name in enumerate(asked["files"]):
        descriptor = os.open(name, os.O_RDWR | (os.O_CREAT | os.O_TRUNC if number else 0))
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = os.fdopen(0)  # the server's has read ahead
    sys.argv = ["tongfa", *asked["arguments"]]
    main()
    sys.exit()


if __name__ == "__main__":
    _serve()
