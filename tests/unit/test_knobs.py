"""Every way in which a sandbox can be made to misbehave is made use of by a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from channels.sandbox.knobs import FAULTS

ROOT = Path(__file__).resolve().parents[2]
# The suite that is run for all kinds; the campaign's, whose quick forms turn knobs at an outlet of each class.
ALL_KINDS = ("bench", "test_contract", "behaviours", "poison", "test_tokens")
ASKS = frozenset({"standing", "setting", "take"})  # how a sandbox looks whether a knob is set


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _trees(folder: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path.stem, ast.parse(path.read_text())


@cache
def _named() -> list[tuple[str, frozenset[str]]]:
    """Of each file of tests its name, and the texts in it."""
    return [(stem, frozenset(_texts(tree))) for stem, tree in _trees("tests") if stem != Path(__file__).stem]


def knobs() -> dict[str, set[str]]:
    """Sandbox module → the knobs that it looks at."""
    found: dict[str, set[str]] = {}
    for stem, tree in _trees("channels/sandbox"):
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ASKS):
                continue
            # of `take` the names come after method, path and account; of the others first
            named = node.args[3:] if node.func.attr == "take" else node.args[:1]
            names = {one for argument in named for one in _texts(argument)}
            if names:
                found.setdefault(stem, set()).update(names)
    return found


def turned(kind: str) -> set[str]:
    """What the tests of a kind name, and those of all kinds."""
    return {text for stem, texts in _named() if kind in stem or stem in ALL_KINDS for text in texts}


def test_each_is_turned_by_a_test_of_its_kind() -> None:
    idle = {module: sorted(names - turned(module.split("_")[0])) for module, names in knobs().items()}
    assert len(idle) > 20
    assert {} == {module: names for module, names in idle.items() if names}


def test_each_of_those_that_all_have_is_turned() -> None:
    assert set() == FAULTS - {text for _, texts in _named() for text in texts}
