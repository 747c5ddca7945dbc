"""Three reviews, as people run them: commands, real workers, sandbox outlets, and the outlets' own records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.commands import Door, refused
from tests.acceptance.installation import Installation, eventually, running, write_item
from tests.acceptance.mode import Mode

OUTLETS = {"site": "website", "mastodon": "mastodon"}
TEAM = {"second": "admin", "li": "editor", "wang": "reviewer", "zhao": "reviewer", "qian": "publisher"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, mode: Mode) -> Iterator[Installation]:
    """Two outlets; the people of an office, and its rule."""
    with running(tmp_path_factory.mktemp("review"), mode=mode, outlets=OUTLETS) as made:
        yield made


@pytest.fixture(scope="module")
def desk(installed: Installation) -> Door:
    opened = Door(installed)
    opened.done("user", "add", "root", "--name", "管理员", "--role", "admin", "--json")
    for name, role in TEAM.items():
        opened.done("user", "add", name, "--name", name, "--role", role, "--as", "root", "--json")
    told = opened.done("unit", "set", "local", "--review", "three", "--as", "root", "--json")
    assert ("three", 6) == (told["review"], len(told["users"]))
    return opened


def planned(desk: Door, folder: Path, title: str, *options: str) -> str:
    """By the editor; returns once everything is rendered."""
    item = write_item(folder, title)
    told = desk.done("publish", item, "--outlets", "site,mastodon", "--as", "li", "--json", *options)
    assert ("open", False, "three") == (told["state"], told["reviewed"], told["review"]["rule"])
    waiting(desk, told["release"])
    return str(told["release"])


def waiting(desk: Door, release: str) -> dict[str, Any]:
    """What the list says of a release, once it can be approved."""

    def listed() -> dict[str, Any] | None:
        rows = desk.done("review", "list", "--json")["reviews"]
        return next((row for row in rows if row["release"] == release and row["digest"] is not None), None)

    return eventually(listed)


def approve(desk: Door, release: str, *people: str) -> None:
    for name in people:
        desk.done("review", "approve", release, "--as", name, "--json")


def written(installed: Installation) -> list[Any]:
    """What the outlets were asked to take, by their own records, and the site's hidden files."""
    return [*installed.record("mastodon"), *(installed.home / "sandbox" / "pages" / "site").rglob("*.html")]


def test_three_people_then_everywhere(installed: Installation, desk: Door, tmp_path: Path) -> None:
    """Not a byte to any outlet before the third approval; then published and verified, reviewed, in the log."""
    title = "关于三审的通告"
    before = written(installed)
    release = planned(desk, tmp_path, title, "--at", "now")
    told = desk.done("review", "show", release, "--json")
    assert ["li"] == [one["author"] for one in told["editions"]]
    assert {"site", "mastodon"} == {one["outlet"] for one in told["outlets"]}
    assert all("06:30" in str(one["rendition"]) for one in told["outlets"])
    text = desk.run("review", "show", release)
    assert 0 == text.code and "首班 06:30" in text.out and told["digest"] in text.out
    for who, says in (("li", "own"), ("root", "publisher"), ("nobody", "no such user")):
        refused(desk, "review", "approve", release, "--as", who, where="--as", says=says, mend="")
    refused(desk, "review", "approve", release, where="--as", says="somebody's", mend="--as USER")
    approve(desk, release, "wang", "zhao")
    refused(desk, "review", "approve", release, "--as", "wang", where="--as", says="already", mend="qian")
    assert before == written(installed)
    assert {"rendered"} == {one["state"] for one in installed.report(release)["deliveries"]}
    approve(desk, release, "qian")
    done = desk.run("release", "show", release, "--wait", "180", "--json")
    assert (0, "released", True) == (done.code, done.json["state"], done.json["reviewed"])
    assert OUTLETS.keys() == installed.copies(title).keys()
    assert {1} == {len(appeared) for appeared in installed.copies(title).values()}
    assert "without review" not in desk.run("release", "show", release).out


def test_a_changed_outlet_begins_another_round(installed: Installation, desk: Door, tmp_path: Path) -> None:
    """Approved, prepared and waiting for its instant: an outlet's setting is another now, so nothing goes out."""
    title = "关于改设置的通告"
    release = planned(desk, tmp_path, title, "--at", installed.soon(30))
    approve(desk, release, "wang", "zhao", "qian")
    installed.until(release, lambda one: bool(one["state"] == "ready"))
    desk.done("outlet", "set", "mastodon", "--set", "language=en", "--json")
    told = waiting(desk, release)
    assert ("open", 2, []) == (told["state"], told["round"], told["approvals"])
    said = desk.done("review", "show", release, "--json")["said"]
    assert ["mastodon"] == [one["outlet"] for one in said[0]["detail"]["changed"]][:1]
    assert {} == installed.copies(title)
    rejected = desk.done("review", "reject", release, "--reason", "语言有误", "--as", "wang", "--json")
    assert ("held", "rejected by wang: 语言有误") == (rejected["state"], rejected["why"])
    assert 3 == desk.run("release", "show", release, "--wait", "5", "--json").code
    desk.done("release", "cancel", release, "--as", "li", "--json")
    assert {} == installed.copies(title)


def test_a_withdrawal_is_looked_at_afterwards(installed: Installation, desk: Door, tmp_path: Path) -> None:
    """One publisher at once; open in the list until a second person has looked."""
    title = "关于撤回的通告"
    release = planned(desk, tmp_path, title, "--at", "now")
    approve(desk, release, "wang", "zhao", "qian")
    done = desk.run("release", "show", release, "--wait", "180", "--json")
    item = done.json["item"]
    refused(desk, "withdraw", item, "--reason", "误发", "--as", "wang", where="--as", says="reviewer", mend="publisher")
    gone = desk.run("withdraw", item, "--reason", "误发", "--as", "qian", "--wait", "60", "--json")
    assert (0, "released") == (gone.code, gone.json["state"]), gone.out + gone.err
    assert ["li", "qian"] == sorted({"li", "qian"} - set(waiting(desk, gone.json["release"])["waits_for"]))
    approve(desk, gone.json["release"], "wang")
    assert [] == desk.done("review", "list", "--json")["reviews"]


def test_the_rule_is_relaxed_by_two(desk: Door) -> None:
    """One administrator is told to find a second; both stand in the log."""
    relax = ("unit", "set", "local", "--review", "none")
    refused(desk, *relax, where="--as", says="administrator", mend="--as ADMIN")
    refused(desk, *relax, "--as", "root", where="--second", says="two", mend="second")
    refused(desk, *relax, "--as", "root", "--second", "root", where="--second", says="first", mend="another")
    refused(desk, *relax, "--as", "root", "--second", "li", where="--second", says="no administrator", mend="second")
    told = desk.done(*relax, "--as", "root", "--second", "second", "--json")
    assert ("none", "second") == (told["review"], told["history"][-1]["detail"]["second"])
    assert "not signed in" in told["history"][-1]["actor"]
    desk.done("unit", "set", "local", "--review", "three", "--as", "root", "--json")


def test_marking_an_outlet_live_takes_two_administrators(desk: Door) -> None:
    """With accounts nobody does it alone; both stand in the log."""
    kind = ("--kind", "webhook", "--private-network", "--live", "--set", "url=http://127.0.0.1:9/hook")
    secret = ("--secret", "secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    add = ("outlet", "add", "in-earnest", *kind, *secret)
    refused(desk, *add, where="--as", says="administrator", mend="--as")
    refused(desk, *add, "--as", "root", where="--second", says="two administrators", mend="second")
    told = desk.done(*add, "--as", "root", "--second", "second", "--json")
    assert told["live"]
    (entry,) = (one for one in desk.done("log", "list", "--outlet", "in-earnest", "--json")["entries"])
    assert "second" == entry["detail"]["second"]
