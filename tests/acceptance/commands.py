"""Many commands in little time: each a process of its own, forked from one that has imported everything already.

A command takes most of a second to import and a few milliseconds to refuse. The forked process has its own
environment, folder, files and exit code, and runs the very function that `tongfa` runs.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import inspect

from sync.store.session import Store
from tests.acceptance.installation import Installation, Result

ROOT = Path(__file__).resolve().parents[2]
NOISE = {"log", "workers"}  # folders of a home that living processes write to
LIVELY = {"process"}  # tables that they write to


class Door:
    """Runs commands in an installation's home, or wherever `TONGFA_HOME` is set to."""

    def __init__(self, installed: Installation, columns: int | None = None) -> None:
        """`columns`: as in a terminal of that width."""
        self.home, self.database = installed.home, installed.database
        self.folder = installed.home.parent
        self._env = dict(installed.env)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.commands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **({"COLUMNS": str(columns)} if columns else {})},
        )

    def run(self, *arguments: str | Path, stdin: str = "", cwd: str = "", **env: str) -> Result:
        """As `Installation.run`, sooner."""
        assert self._server.stdin is not None and self._server.stdout is not None
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TONGFA_")}
        files = [self.folder / f".door-{name}" for name in ("in", "out", "err")]
        files[0].write_text(stdin)
        asked = {
            "arguments": [str(one) for one in arguments],
            "cwd": cwd or str(self.folder),
            "env": {**inherited, "TONGFA_LANG": "en", "TONGFA_HOME": str(self.home), **self._env, **env},
            "files": [str(file) for file in files],
        }
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        told = json.loads(self._server.stdout.readline())
        return Result(told["code"], files[1].read_text(), files[2].read_text(), told["pid"])

    def done(self, *arguments: str | Path, **how: Any) -> Any:
        """The JSON document of a command that must end with 0."""
        told = self.run(*arguments, "--json", **how)
        assert told.code == 0, f"{arguments}: exit {told.code}\n{told.out}\n{told.err}"
        return told.json

    def snapshot(self) -> dict[str, int]:
        """All that a command could leave behind in its own installation."""
        return snapshot(self.home, self.database)

    def close(self) -> None:
        with self._server as server:  # closes both pipes: it ends by that
            assert server.stdin is not None


@contextmanager
def door(installed: Installation, columns: int | None = None) -> Iterator[Door]:
    made = Door(installed, columns)
    try:
        yield made
    finally:
        made.close()


def snapshot(home: Path, database: str = "") -> dict[str, int]:
    """All that a command could leave behind: rows of every table, size of every file of home and sandboxes.

    `database`: its address, when it is not the one in the home.
    """
    found: dict[str, int] = {}
    if database.startswith("postgresql") or (home / "tongfa.sqlite3").exists():
        store = Store(database or f"sqlite:///{home / 'tongfa.sqlite3'}")
        with store.read() as connection:
            for table in inspect(connection).get_table_names():
                if table not in LIVELY:
                    found[f"table {table}"] = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
        store.close()
    for path in home.rglob("*"):
        inside = path.relative_to(home)
        if path.is_file() and inside.parts[0] not in NOISE and not inside.name.startswith("tongfa."):
            found[str(inside)] = path.stat().st_size
    return found


def refused(door: Door, *arguments: str | Path, where: str, says: str, mend: str, **how: Any) -> None:
    """Exit 2, with and without --json: its place, what is wrong and the mend; and nothing was left behind."""
    home = Path(how.get("TONGFA_HOME", door.home))
    database = door.database if home == door.home else ""
    before = snapshot(home, database)
    assert_refusal(door.run(*arguments, "--json", **how), where, says, mend)
    assert_refusal(door.run(*arguments, **how), where, says, mend, json=False)
    assert before == snapshot(home, database)


def assert_refusal(told: Result, where: str, says: str, mend: str, *, json: bool = True, code: int = 2) -> None:
    """One refusal: as the one document on stdout, and as text on stderr."""
    assert code == told.code, f"exit {told.code}\n{told.out}\n{told.err}"
    assert "Traceback" not in told.err
    if json:
        error = told.json["error"]
        assert {"error"} == set(told.json)
        assert {"where", "message", "mend", "exit"} == set(error) - {"each"}
        assert code == error["exit"]
        assert where in error["where"] and says in error["message"] and mend in error["mend"], error
    else:
        assert "" == told.out
    lines = told.err.splitlines()
    at = next((at for at, line in enumerate(lines) if line.startswith("error ") and where in line and says in line), -1)
    assert at >= 0 and lines[at + 1].startswith("mend ") and mend in lines[at + 1], told.err


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
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(json.dumps({"code": os.waitstatus_to_exitcode(status), "pid": pid}) + "\n")
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
