"""The documentation says what the code does, and in both languages the same."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.exceptions import TyperException

from sync.bootstrap import kinds
from sync.cli.app import _with_wait, command
from sync.contract import OutletError
from sync.flow import D, R
from sync.settings import Settings, variable

ROOT = Path(__file__).parent.parent.parent
READMES = ("README.md", "README.zh-CN.md")
PRODUCTION = ("docs/production.md", "docs/production.zh-CN.md")
PAGES = (*READMES, *PRODUCTION, "docs/import.md", "sync/README.md", "channels/README.md")
EVERY = (*PAGES, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
TRANSLATED = (READMES, PRODUCTION)

LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
RUN = re.compile(r"^(?:docker compose run (?:--rm|--detach|--publish \S+|\s)+)?(?=tongfa )")


def text(page: str) -> str:
    return (ROOT / page).read_text()


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", text(page))


def headings(page: str) -> list[tuple[int, str]]:
    found = re.findall(r"^(#+) (.+)$", prose(page), re.MULTILINE)
    return [(len(marks), words) for marks, words in found]


def fenced(page: str) -> Iterator[list[str]]:
    """Every command line of ours in a fenced block, as arguments without `tongfa`."""
    for language, block in FENCE.findall(text(page)):
        for line in block.splitlines() if language == "sh" else ():
            if (begin := RUN.match(line)) is not None:
                words = shlex.split(line[begin.end() :], comments=True)
                yield [one for one in words[1:] if one != "&"]


@cache
def commands() -> dict[str, Any]:
    """`outlet add` → its command, for every command and verb there is."""
    found: dict[str, Any] = {}
    for name, one in command().commands.items():
        found |= {f"{name} {verb}": each for verb, each in getattr(one, "commands", {name: None}).items() if each}
        if not hasattr(one, "commands"):
            found[name] = one
    return found


def named(words: Sequence[str]) -> str:
    """The command that an argument list means: `outlet add` or `publish`."""
    two = " ".join(words[:2])
    return two if two in commands() else words[0]


def test_tables_are_what_the_code_says() -> None:
    """States, joint rules, kinds, errors and settings in the READMEs are generated, and up to date."""
    checked = subprocess.run(
        [sys.executable, "scripts/tables.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (0, "") == (checked.returncode, checked.stderr)


@pytest.mark.parametrize("page", EVERY)
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link names a file that exists, and every anchor a heading of it."""
    missing = []
    for to, anchor in LINK.findall(text(page)):
        target = (ROOT / page).parent / to if to else ROOT / page
        anchors = []
        if anchor and target.exists():
            anchors = [
                re.sub(r"[^\w -]", "", words.lower()).replace(" ", "-")
                for _, words in headings(str(target.resolve().relative_to(ROOT)))
            ]
        if not target.exists() or (anchor and anchor not in anchors):
            missing.append(f"{to}#{anchor}")
    assert [] == missing


@pytest.mark.parametrize("page", READMES)
def test_every_command_is_in_the_readme(page: str) -> None:
    """A command or verb that the table does not name is as good as missing, and none is named that is not there."""
    cells = re.findall(r"^\| (`tongfa .*?`) \| ", text(page), re.MULTILINE)
    told = set()
    for span in SPAN.findall(" ".join(cells).replace(r"\|", "|")):
        words = span.split()
        told |= {f"{words[1]} {verb}" if f"{words[1]} {verb}" in commands() else verb for verb in words[2:3]}
        told |= {f"{words[1]} {verb}" for verb in words[2].split("|")} if len(words) > 2 and "|" in words[2] else set()
        told |= {words[1]} if words[1] in commands() else set()
    assert set() == commands().keys() - told


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_would_be_understood(page: str) -> None:
    """What stands in a fenced block can be typed: the command, its options, and as many arguments as it takes."""
    wrong = []
    for words in fenced(page):
        name = named(words)
        given = _with_wait(words[len(name.split()) :])
        if name not in commands():
            wrong.append(" ".join(words))
            continue
        try:
            commands()[name].make_context(name, given)
        except TyperException as error:
            wrong.append(f"{' '.join(words)}: {error.format_message()}")
    assert [] == wrong


@pytest.mark.parametrize("page", EVERY)
def test_every_command_in_the_prose_exists(page: str) -> None:
    """A span that begins with `tongfa` names a command, and only options that it has."""
    wrong = []
    for span in SPAN.findall(prose(page).replace(r"\|", "|")):
        words = span.split()
        if words[0] != "tongfa" or len(words) == 1 or words[1].startswith("-") or words[1] == "…":
            continue
        known = {name: one for name, one in commands().items() if name.split()[0] == words[1]}
        verb = f"{words[1]} {words[2]}" if len(words) > 2 else ""
        known = {verb: known[verb]} if verb in known else known
        options = {
            option for one in known.values() for each in one.params for option in (*each.opts, *each.secondary_opts)
        }
        unknown = [one for one in re.findall(r"--[a-z-]+", span) if one not in options]
        verbs = words[2].split("|") if len(words) > 2 and words[1] not in commands() and words[2] != "…" else []
        if not known or unknown or any(f"{words[1]} {one}" not in commands() for one in verbs):
            wrong.append(span)
    assert [] == wrong


@pytest.mark.parametrize("page", READMES)
def test_every_setting_is_in_the_readme(page: str) -> None:
    """Each has a row with a meaning, in both languages, and no row is of a setting that is gone."""
    rows = dict(re.findall(r"^\| `(TONGFA_\w+)` \|.*\| (\S[^|]*) \|$", text(page), re.MULTILINE))
    assert {variable(name) for name in Settings.model_fields} == rows.keys()


@pytest.mark.parametrize("page", PRODUCTION)
def test_every_setting_has_its_judgement(page: str) -> None:
    """Going to production says of every setting when to touch it, and of none that is not there."""
    cells = " ".join(re.findall(r"^\| (`TONGFA_[^|]*) \| \S", text(page), re.MULTILINE))
    assert {variable(name) for name in Settings.model_fields} == set(re.findall(r"`(\w+)`", cells))


@pytest.mark.parametrize("page", READMES)
def test_every_state_and_kind_is_in_the_readme(page: str) -> None:
    """Each state of a delivery and of a release, and each kind of outlet, has its row."""
    rows = text(page)
    of_delivery, of_release = (len(re.findall(rf"^\| {word} \| `", rows, re.MULTILINE)) for word in words_of(page))
    missing = [one for one in (*D, *R, *kinds()) if not re.search(rf"^\|[^`]*`{one}` \| \S", rows, re.MULTILINE)]
    assert ([], len(D), len(R)) == (missing, of_delivery, of_release)


def words_of(page: str) -> tuple[str, str]:
    return ("投送", "同步发布") if "zh" in page else ("delivery", "release")


def test_every_error_of_a_channel_is_explained() -> None:
    """Whoever writes a channel finds each error it may raise."""

    def below(error: type[OutletError]) -> list[str]:
        return [error.__name__, *(name for each in error.__subclasses__() for name in below(each))]

    errors = {name for name in below(OutletError) if hasattr(import_module("sync.contract"), name)}
    assert [] == sorted(name for name in errors if name not in text("channels/README.md"))


@pytest.mark.parametrize("page", READMES)
def test_exit_codes_are_those_in_use(page: str) -> None:
    """The list has every code that a command ends with, and no other."""
    line = re.search(r"^(?:Exit codes: |退出码：)(.*?)\n\n", text(page), re.MULTILINE | re.DOTALL)
    assert line is not None
    assert used_codes() == {int(code) for code in re.findall(r"(?:^|·\s)(\d+) ", line[1])}


def used_codes() -> set[int]:
    """0, 1 for what nobody foresaw, and every whole number by name in the modules that end a command."""
    found = {0, 1}
    for path in [*(ROOT / "sync" / "cli").glob("*.py"), ROOT / "sync" / "engine" / "report.py"]:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign):
                targets, values = node.targets[0], node.value
                names = targets.elts if isinstance(targets, ast.Tuple) else [targets]
                each = values.elts if isinstance(values, ast.Tuple) else [values]
                for name, value in zip(names, each, strict=False):
                    if isinstance(name, ast.Name) and isinstance(value, ast.Constant) and name.id in CODES:
                        found.add(int(str(value.value)))
    raised = {name for path in (ROOT / "sync" / "cli").glob("*.py") for name in ended_with(path)}
    assert set() == raised - CODES - VARIABLES, "a command ends with a code that this test does not know"
    return found


CODES = {"DONE", "HELD", "PARTLY", "WAITING", "BUG", "WRONG", "INTERRUPTED", "FINDINGS", "UNFIT"}
VARIABLES = {"code"}  # computed from those


def ended_with(path: Path) -> Iterator[str]:
    """The names in `raise SystemExit(…)`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "SystemExit":
            for part in ast.walk(ast.Tuple(node.args)):
                if isinstance(part, ast.Name) and part.id.isupper():
                    yield part.id


@pytest.mark.parametrize("page", PRODUCTION)
def test_every_figure_is_explained(page: str) -> None:
    """Each figure of `tongfa metrics` has its row with what is alarming, and no row is of one that is gone."""
    source = (ROOT / "sync" / "metrics.py").read_text()
    made = {
        name + {"Info": "_info", "Counter": "_total"}.get(family, "")
        for family, name in re.findall(r'(Info|Gauge|Counter|Histogram)?(?:MetricFamily|histogram)\(\s*"(\w+)"', source)
    }
    rows = re.findall(r"^\| `(tongfa_\w+)(?:\{[a-z,]+\})?` \|(?: [^|]+\|){3}$", text(page), re.MULTILINE)
    assert sorted(made) == sorted(rows)
    assert set() == set(re.findall(r"`?(tongfa_[a-z_]+[a-z])", prose(page))) - {*made, "tongfa_clock"}


@pytest.mark.parametrize(("english", "chinese"), TRANSLATED)
def test_both_languages_say_the_same(english: str, chinese: str) -> None:
    """The same headings at the same levels, the same tables row for row, the same commands in the same order."""
    assert [level for level, _ in headings(english)] == [level for level, _ in headings(chinese)]
    assert [len(rows) for rows in tables(english)] == [len(rows) for rows in tables(chinese)]
    assert [named(words) for words in fenced(english)] == [named(words) for words in fenced(chinese)]
    assert [language for language, _ in FENCE.findall(text(english))] == [
        language for language, _ in FENCE.findall(text(chinese))
    ]


def tables(page: str) -> list[list[str]]:
    """Runs of lines that begin with a bar."""
    found: list[list[str]] = []
    lines = ["", *prose(page).splitlines()]
    for before, line in pairwise(lines):
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            found[-1].append(line)
    return found


@pytest.mark.parametrize("page", PRODUCTION)
def test_what_is_said_of_the_compose_file_is_in_it(page: str) -> None:
    """Its services and replicas, the user that owns the key, and the broker's rights are those of the page."""
    compose = (ROOT / "docker-compose.yml").read_text()
    services = yaml.safe_load(compose)["services"]
    assert (4, 2) == (services["prepare"]["deploy"]["replicas"], services["release"]["deploy"]["replicas"])
    assert "chown 10001 " in text(page)
    assert services["prepare"]["user"].startswith("10001:")
    assert "~* &* +@all -@dangerous +info" in text(page)
    assert "~* &* +@all -@dangerous +info" in compose


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("sync/model.py", 250),
        ("sync/flow.py", 290),
        ("channels/memory.py", 250),
        ("sync/engine/release.py", 250),
        ("tests/acceptance/test_one_item.py", 250),
    ],
)
def test_the_five_minute_path_is_short(name: str, most: int) -> None:
    """Each file of the reading path can be read in a minute: about 200 lines.

    `flow.py` may be longer: most of it is two tables of moves, which are looked up rather than read."""
    assert len((ROOT / name).read_text().splitlines()) <= most
