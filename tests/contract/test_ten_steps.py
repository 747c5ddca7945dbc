"""The ten steps of `channels/README.md`, followed in a copy of the tree: they are enough, and none is too many."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.tables import TABLES, filled

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = Path(__file__).with_name("example_kind")  # as a newcomer would write it; not among our own modules
KIND = "bulletin"
LONGEST = 120  # lines of its channel
# What judges the kind: the whole contract suite, the pages of documentation with their tables, and the compose file.
JUDGES = ("tests/contract/test_contract.py", "tests/unit/test_documentation.py", "tests/acceptance/test_compose.py")
CHOSEN = f"{KIND} or tables_are or state_and_kind or every_sandbox"
LEAST = 25  # tests of the contract suite for a kind that does not correct

Act = Callable[[Path], None]


def copied(name: str) -> Act:
    """The step's file is one that the newcomer wrote."""

    def act(path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        assert not path.exists()
        shutil.copyfile(EXAMPLE / name, path)

    return act


def added(before: str, line: str) -> Act:
    """The step's file gets one more line, behind one that it has."""

    def act(path: Path) -> None:
        text = path.read_text()
        assert 1 == text.count(before), f"{path}: {before!r}"
        path.write_text(text.replace(before, before + line))

    return act


def composed(path: Path) -> None:
    """A service of its own, and its address."""
    module, host, home = f"channels.sandbox.{KIND}", f"sandbox-{KIND}", f"/var/lib/tongfa/sandbox/{KIND}"
    service = f"""  {host}:
    <<: *sandbox
    hostname: {host}
    command: ["python", "-m", "{module}", "--host", "{host}", "--port", "9099", "--home", "{home}"]
    ports: ["127.0.0.1:9099:9099"]

"""
    text = path.read_text()
    text = text.replace('TONGFA_SANDBOX_URLS: "', f'TONGFA_SANDBOX_URLS: "{KIND}=http://sandbox-{KIND}:9099,')
    path.write_text(text.replace("\nnetworks:\n  inside:", f"\n{service}networks:\n  inside:"))


def tabled(path: Path) -> None:
    """`make tables`, which writes all pages at once."""
    with_tables(path.parents[1] if path.parent.name == "channels" else path.parent)


@cache
def with_tables(root: Path) -> None:
    run(root, "scripts/tables.py")


# What a newcomer does with each file that the steps name.
WORK: dict[str, Act] = {
    "channels/<kind>.py": copied("channel.py.txt"),
    "channels/sandbox/<kind>.py": copied("sandbox.py.txt"),
    "templates/<kind>/": lambda path: copied("notice.txt")(path / "notice.txt"),
    "tests/contract/bench_<kind>.py": copied("bench.py.txt"),
    "tests/contract/nursery.py": added("    for name in (\n", f'        "{KIND}",\n'),
    "tests/contract/conftest.py": added("\nKINDS = (\n", f'    "{KIND}",\n'),
    "docker-compose.yml": composed,
    "channels/__init__.py": added(" = {\n", f'    "{KIND}": "channels.{KIND}:BulletinChannel",\n'),
    "scripts/tables.py": added("KINDS_ZH = {\n", f'    "{KIND}": "村务公告栏",\n'),
    "README.md": tabled,
    "README.zh-CN.md": tabled,
    "channels/README.md": tabled,
}


def steps() -> list[str]:
    """The steps as they stand in the README."""
    section = (ROOT / "channels" / "README.md").read_text().partition("## Adding a channel\n")[2].partition("\n## ")[0]
    return re.split(r"(?m)^\d+\. ", section)[1:]


def named(step: str) -> list[str]:
    """The files that a step writes: paths in backticks which are no link."""
    spans = re.findall(r"(?<!\[)`([^`\s]+)`(?!\])", step)
    return [span for span in spans if re.fullmatch(r"[\w<>./-]+(?:/|\.(?:py|yml|md))", span)]


def tree(root: Path) -> dict[str, bytes]:
    """Every file, but for what programs leave behind."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def run(root: Path, *arguments: str) -> str:
    """Python in the copy, and nothing of the original."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TONGFA"))}
    environment |= {"PYTHONPATH": str(root)}
    told = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert 0 == told.returncode, told.stdout + told.stderr
    return told.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tree as it stands, with what is not committed yet, and with its tables up to date."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    root = tmp_path / "tree"
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    for page, tables in TABLES.items():  # else the steps would touch what only was not up to date
        path = root / page
        for name, table in tables.items():
            path.write_text(filled(path.read_text(), name, table().strip()))
    return root


def test_there_are_ten_steps_and_each_names_its_file() -> None:
    """Numbered from one to ten; together they name every file that has to be written, and no other."""
    text = (ROOT / "channels" / "README.md").read_text()
    numbers = re.findall(r"(?m)^(\d+)\. ", text.partition("## Adding a channel\n")[2].partition("\n## ")[0])
    assert [str(number) for number in range(1, 11)] == numbers
    assert [] == [step for step in steps() if not named(step)]
    assert WORK.keys() == {file for step in steps() for file in named(step)}


def test_a_kind_that_follows_them_passes_everything(copy: Path) -> None:
    """What the steps name was touched and nothing else; suite, tables, documentation and compose file are green."""
    before = tree(copy)
    done: set[str] = set()
    for step in steps():
        for file in named(step):
            if file not in done:
                done.add(file)
                WORK[file](copy / file.replace("<kind>", KIND))
    after = tree(copy)
    touched = {name for name in after.keys() | before.keys() if after.get(name) != before.get(name)}
    files = {file.replace("<kind>", KIND) for file in done}
    assert files == {
        next((file for file in files if file.endswith("/") and name.startswith(file)), name) for name in touched
    }

    assert LONGEST >= len((copy / "channels" / f"{KIND}.py").read_text().splitlines())
    written = [name for name in sorted(touched) if name.endswith(".py")]
    run(copy, "-m", "ruff", "check", "--quiet", *written)
    run(copy, "-m", "ruff", "format", "--check", "--quiet", *written)
    report = copy / "report.xml"
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", "-k", CHOSEN, *JUDGES)
    suite = next(ElementTree.parse(report).iter("testsuite"))
    assert ("0", "0", "0") == (suite.get("failures"), suite.get("errors"), suite.get("skipped"))
    passed = Counter(one.get("classname", "").rpartition(".")[2] for one in suite.iter("testcase"))
    assert {"test_contract", "test_documentation", "test_compose"} == passed.keys()
    assert passed["test_contract"] >= LEAST
