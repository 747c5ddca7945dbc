"""Hubs and search engines are told of what is live: after it, by the workers, and never in the way of a release."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.installation import Installation, assert_done, eventually, running, write_item
from tests.acceptance.mode import EMBEDDED

SETTINGS = ("--set", "websub_hub=https://hub.example.org/", "--set", "indexnow_key=0123456789abcdef")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(tmp_path_factory.mktemp("pings"), mode=EMBEDDED, outlets={"site": "website"}) as made:
        assert_done(made.run("outlet", "set", "site", *SETTINGS))
        yield made


def published(installed: Installation, title: str) -> dict[str, Any]:
    item = write_item(installed.home.parent / "item", title)
    told = assert_done(installed.run("publish", item, "--outlets", "site", "--at", "now", "--wait", "--json"))
    report: dict[str, Any] = told.json
    return report


def hub_fetches(installed: Installation, title: str) -> int:
    """How many feeds with this title the hub fetched."""
    done = [one for one in installed.record("pages") if one["effect"] == "hub_fetched"]
    return sum(title in one["detail"]["feed"] for one in done)


def told_of(installed: Installation, url: str) -> int:
    done = [one for one in installed.record("pages") if one["effect"] == "indexnow_told"]
    return sum(url in one["detail"]["urls"] for one in done)


def acts(installed: Installation, item: str, act: str) -> list[dict[str, Any]]:
    entries = assert_done(installed.run("log", "list", "--item", item, "--json")).json["entries"]
    return [one for one in entries if one["act"] == act]


def test_after_a_publication_and_a_withdrawal_they_are_told(installed: Installation) -> None:
    """The hub fetches feeds that hold the item, IndexNow learns its address; of the withdrawal both learn again."""
    report = published(installed, "告知各方的通告")
    (delivery,) = report["deliveries"]
    assert ("released", "verified") == (report["state"], delivery["state"])
    eventually(lambda: hub_fetches(installed, "告知各方的通告") == 2 and told_of(installed, delivery["url"]) == 1)
    eventually(lambda: {"websub", "indexnow"} == pinged(installed, report["item"]))
    gone = assert_done(installed.run("withdraw", report["item"], "--reason", "有误", "--wait", "--json")).json
    assert "withdrawn" == gone["deliveries"][0]["state"]
    eventually(lambda: told_of(installed, delivery["url"]) == 2)
    assert 2 == hub_fetches(installed, "告知各方的通告")  # the feeds fetched since then do not hold it


def pinged(installed: Installation, item: str) -> set[str]:
    return {one["detail"]["ping"] for one in acts(installed, item, "pinged")}


def deliveries_of(installed: Installation, release: str) -> tuple[str, list[dict[str, Any]]]:
    report = installed.report(release)
    return report["state"], report["deliveries"]


def test_a_hub_that_refuses_changes_nothing_of_the_release(installed: Installation) -> None:
    """The release is reported as ever, `doctor` says what failed, and the hub is told half a minute later."""
    installed.knob("pages", "refuse", method="POST", path="/_pings/websub", times=1, status=503)
    report = published(installed, "迟些告知的通告")
    assert ("released", True) == (report["state"], report["deliveries"][0]["match"])

    def noted() -> bool:
        found = installed.run("doctor", "--json").json["findings"]
        return any(one["check"] == "ping websub of site" and one["level"] == "note" for one in found)

    eventually(noted)
    assert 0 == hub_fetches(installed, "迟些告知的通告")
    before = deliveries_of(installed, report["release"])
    eventually(lambda: hub_fetches(installed, "迟些告知的通告") == 2)
    eventually(lambda: pinged(installed, report["item"]) == {"websub", "indexnow"})
    assert before == deliveries_of(installed, report["release"])
    eventually(lambda: not noted())
