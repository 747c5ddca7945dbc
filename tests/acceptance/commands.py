"""Commands of an installation, what they leave behind, and how they refuse."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import inspect

from sync.store.session import Store
from tests.acceptance.forks import Result, forks
from tests.acceptance.installation import Installation
from tests.acceptance.mode import TONGFA

NOISE = {"log", "workers"}  # folders of a home that living processes write to
LIVELY = {"process"}  # tables that they write to


class Door:
    """Runs commands in an installation's home, or wherever `TONGFA_HOME` is set to."""

    def __init__(self, installed: Installation, columns: int | None = None) -> None:
        """`columns`: as in a terminal of that width."""
        self.home, self.database = installed.home, installed.database
        self.folder = installed.home.parent
        self._environment = installed.environment
        self._forks = forks(columns)

    def run(self, *arguments: str | Path, stdin: str = "", cwd: str = "", **env: str) -> Result:
        """As `Installation.run`, from any folder and with something to read."""
        asked = [str(one) for one in arguments]
        return self._forks.run(asked, self._environment(**env), cwd or self.folder, stdin)

    def done(self, *arguments: str | Path, **how: Any) -> Any:
        """The JSON document of a command that must end with 0."""
        told = self.run(*arguments, "--json", **how)
        assert told.code == 0, f"{arguments}: exit {told.code}\n{told.out}\n{told.err}"
        return told.json

    def snapshot(self) -> dict[str, int]:
        """All that a command could leave behind in its own installation."""
        return snapshot(self.home, self.database)


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


@contextmanager
def staying(there: Installation, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A command that goes on after its document, until it is told to end."""
    said = there.home.parent / "stderr"
    with said.open("w") as err:
        command = [str(TONGFA), *arguments]
        process = subprocess.Popen(command, env=there.environment(), stdout=subprocess.PIPE, stderr=err, text=True)
    assert process.stdout is not None
    text = ""
    try:
        while not text.endswith("}\n") or text.count("{") != text.count("}"):
            line = process.stdout.readline()
            assert line, said.read_text()
            text += line
        yield process, json.loads(text)
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=60)
    assert "" == rest and "Traceback" not in said.read_text()
