"""CONTRIBUTING.md explains every package that we ask for, and no other; every one of them is locked."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def asked_for(name: str) -> set[str]:
    lines = (ROOT / "requirements" / f"{name}.in").read_text().splitlines()
    return {line.split(" #")[0].strip() for line in lines if line.strip() and not line.startswith(("#", "-r"))}


def test_every_direct_dependency_says_what_it_earns() -> None:
    """A package without a reason is one too many."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Dependencies")[2]
    explained = re.findall(r"^\| `([^`]+)` \| \S", section, re.MULTILINE)
    assert sorted(asked_for("runtime") | asked_for("development")) == sorted(explained)


def test_every_direct_dependency_is_locked_with_hashes() -> None:
    """What is asked for and what is installed cannot drift apart unnoticed."""
    for name, wanted in (
        ("runtime", asked_for("runtime")),
        ("development", asked_for("runtime") | asked_for("development")),
    ):
        lock = (ROOT / "requirements" / f"{name}.txt").read_text()
        locked = set(re.findall(r"^([a-z0-9-]+(?:\[[a-z]+\])?)==\S+ \\\n    --hash=sha256:", lock, re.MULTILINE))
        assert set() == {re.sub(r"\[.*", "", each.lower()) for each in wanted} - {
            re.sub(r"\[.*", "", each) for each in locked
        }
