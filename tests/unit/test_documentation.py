"""The documentation says what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from sync.cli.app import app

ROOT = Path(__file__).parent.parent.parent
PATH = re.compile(r"\]\((?!https?:)([^)#]+)\)")


def test_tables_are_what_the_code_says() -> None:
    """States, joint rules, kinds, errors and settings in the READMEs are generated, and up to date."""
    checked = subprocess.run(
        [sys.executable, "scripts/tables.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (0, "") == (checked.returncode, checked.stderr)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "sync/README.md", "channels/README.md"])
def test_links_lead_somewhere(name: str) -> None:
    """Every relative link in the documentation names a file that exists."""
    page = ROOT / name
    assert [] == [to for to in PATH.findall(page.read_text()) if not (page.parent / to).exists()]


def test_every_command_is_in_the_readme() -> None:
    """A command that the README does not name is as good as missing."""
    text = (ROOT / "README.md").read_text()
    missing = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        rows = [line for line in text.splitlines() if f"`tongfa {name}" in line]
        verbs = getattr(command, "commands", {})
        missing += [name] * (not rows)
        missing += [f"{name} {verb}" for verb in verbs if not any(verb in row for row in rows)]
    assert [] == missing


@pytest.mark.parametrize(
    "name", ["sync/model.py", "sync/flow.py", "channels/memory.py", "sync/engine/release.py",
             "tests/acceptance/test_one_item.py"],
)  # fmt: skip
def test_the_five_minute_path_is_short(name: str) -> None:
    """Each file of the reading path can be read in a minute: about 200 lines."""
    assert len((ROOT / name).read_text().splitlines()) <= 230
