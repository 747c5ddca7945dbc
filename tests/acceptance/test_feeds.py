"""Feeds over the command line: what a site of ours publishes comes back as items that say the same; reviews hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sync.compare import tokens
from tests.acceptance.commands import Door, refused
from tests.acceptance.installation import Installation, eventually, running, write_item
from tests.acceptance.mode import EMBEDDED
from tests.integration.feed_site import entry, feed_site, rss

TITLE = "关于公交环线的通告 & 时刻"
SEEN = ("text", "cell")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(tmp_path_factory.mktemp("feeds"), mode=EMBEDDED, outlets={"site": "website"}) as made:
        yield made


@pytest.fixture(scope="module")
def published(installed: Installation) -> dict[str, Any]:
    """The item as it was written, once it is in the site's feeds."""
    item = write_item(installed.home.parent / "item", TITLE)
    door = Door(installed)
    report = door.done("publish", item, "--outlets", "site", "--at", "now", "--wait")
    assert "released" == report["state"]
    told: dict[str, Any] = door.done("item", "show", report["item"])
    return told


def seen(item: dict[str, Any]) -> list[Any]:
    return [token for token in tokens(item["body"]) if token.kind in SEEN]


@pytest.mark.parametrize("path", ["feed.xml", "atom.xml"])
def test_the_sites_own_feed_gives_what_was_published(
    installed: Installation, published: dict[str, Any], path: str
) -> None:
    """Title, every text and table cell, picture and attachment; read by the workers, as soon as it was added."""
    door, name = Door(installed), path.replace(".", "-")
    address = f"{installed.sandbox('pages')}/site/{path}"
    door.done("feed", "add", name, address, "--private-network")
    told = eventually(lambda: found if (found := door.done("feed", "show", name))["read_at"] else None)
    (one,) = told["entries"]
    item = door.done("item", "show", one["item"])
    assert (TITLE, seen(published)) == (item["title"], seen(item))
    roles = [(part["role"], part["size"]) for part in published["assets"]]
    assert sorted(roles) == sorted((part["role"], part["size"]) for part in item["assets"])
    assert {part["digest"] for part in published["assets"]} == {part["digest"] for part in item["assets"]}
    again = door.done("feed", "pull", name)
    assert ([], [], True) == (again["new"], again["changed"], again["ok"])


def test_a_json_feed_is_refused_in_words(installed: Installation, published: dict[str, Any]) -> None:
    """With what to give instead; exit 7, and the list and `doctor` say so too."""
    door = Door(installed)
    door.done("feed", "add", "json", f"{installed.sandbox('pages')}/site/feed.json", "--private-network")
    told = door.run("feed", "pull", "json", "--json")
    assert (7, False) == (told.code, told.json["ok"])
    assert "JSON feed" in told.json["why"] and "RSS or Atom" in told.json["mend"]
    assert "JSON feed" in door.run("feed", "list").out
    noted = {one["check"]: one["message"] for one in door.run("doctor", "--json").json["findings"]}
    assert "JSON feed" in noted["feed json"]
    door.done("feed", "remove", "json")
    assert "json" not in [one["feed"] for one in door.done("feed", "list")["feeds"]]


def planned(door: Door) -> str | None:
    """The release that the feed's one entry is in."""
    return next((one["release"] for one in door.done("feed", "show", "town")["entries"]), None)


def test_under_review_an_entry_waits_for_three_people(installed: Installation, tmp_path: Path) -> None:
    """The rule is refused until the unit asks for reviews; then an entry is planned, and not a byte of it goes out."""
    door = Door(installed)
    with feed_site() as site:
        site.put("/feed.xml", rss(entry(1, "<p>自十二月一日起试运行。</p>", title="待审的通告")))
        ask = ("feed", "add", "town", site.url("/feed.xml"), "--private-network", "--rule", "review")
        refused(door, *ask, "--outlets", "site", where="--rule", says="unseen", mend="--review three")
        door.done("user", "add", "root", "--name", "管理员", "--role", "admin")
        team = {"second": "admin", "li": "editor", "wang": "reviewer", "zhao": "reviewer", "qian": "publisher"}
        for name, role in team.items():
            door.done("user", "add", name, "--name", name, "--role", role, "--as", "root")
        door.done("unit", "set", "local", "--review", "three", "--as", "root")
        refused(door, *ask, "--outlets", "site", where="--as", says="reviews", mend="--as USER")
        door.done(*ask, "--outlets", "site", "--as", "li")
        release = eventually(lambda: planned(door))
        eventually(lambda: release in [one["release"] for one in door.done("review", "list")["reviews"]])
        assert "open" == installed.report(release)["state"]
        assert {} == installed.copies("待审的通告")
        refused(door, "review", "approve", release, "--as", "li", where="--as", says="", mend="")
        eventually(lambda: door.done("review", "show", release)["digest"])
        for name in ("wang", "zhao", "qian"):
            door.done("review", "approve", release, "--as", name)
        eventually(lambda: installed.report(release)["state"] == "released")
        assert {"site"} == installed.copies("待审的通告").keys()
