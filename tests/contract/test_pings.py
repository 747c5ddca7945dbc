"""Whom a website tells of its pages, against a hub and search engines that are as strict as the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from channels.website import WebsiteChannel
from sync.contract import Announcer, Rejected, TryLater, Unauthorised
from sync.model import BadInput, Outlet
from tests.contract import bench_website
from tests.contract.bench import server
from tests.contract.sites import StaticBench, edition, tools

KEY = "0123456789abcdef0123456789abcdef"
ASKED = {
    **bench_website.SETTINGS,
    "websub_hub": "https://hub.example.org/",
    "indexnow_key": KEY,
    "baidu_site": "https://www.example.gov.cn",
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[StaticBench]:
    with server("channels.sandbox.pages", tmp_path / "sandbox") as sandbox:
        yield StaticBench(WebsiteChannel, sandbox, ASKED)


def told(site: StaticBench, effect: str) -> list[dict[str, object]]:
    return [line["detail"] for line in site.sandbox.record() if line["effect"] == effect]


def test_all_are_told_of_a_page_that_is_live(site: StaticBench) -> None:
    """The hub fetches feeds that have the item already; the search engines get its address."""
    given = edition()
    _, receipt = site.publish(given, site.key())
    channel = site.channel()
    assert isinstance(channel, Announcer)
    assert ("websub", "indexnow", "baidu") == channel.pings()
    for name in channel.pings():
        channel.ping(name, receipt.url, gone=False)
    feeds = [str(detail["feed"]) for detail in told(site, "hub_fetched")]
    assert 2 == len(feeds) and all(given.title in feed for feed in feeds)
    assert [[receipt.url]] == [detail["urls"] for detail in told(site, "indexnow_told")]
    assert [[receipt.url]] == [detail["urls"] for detail in told(site, "baidu_told")]


def test_of_a_withdrawal_those_are_told_who_take_it(site: StaticBench) -> None:
    """IndexNow and the hub; Baidu has no such call."""
    _, receipt = site.publish(edition(), site.key())
    site.channel().withdraw(receipt, site.key())
    channel = site.channel()
    assert isinstance(channel, Announcer)
    for name in channel.pings():
        channel.ping(name, receipt.url, gone=True)
    assert receipt.ref not in str(told(site, "hub_fetched")[0]["feed"])
    assert [[receipt.url]] == [detail["urls"] for detail in told(site, "indexnow_told")]
    assert [] == told(site, "baidu_told")


def test_what_is_refused_is_named_for_the_next_move(site: StaticBench) -> None:
    """A key whose file is gone needs an operator; a quota passes; another site's address never will be taken."""
    _, receipt = site.publish(edition(), site.key())
    channel = site.channel()
    assert isinstance(channel, Announcer)
    (site.served / f"{KEY}.txt").unlink()
    with pytest.raises(Unauthorised, match="IndexNow 403"):
        channel.ping("indexnow", receipt.url, gone=False)
    with pytest.raises(Rejected, match="baidu_site"):
        channel.ping("baidu", "https://elsewhere.example/1.html", gone=False)
    site.sandbox.knob("baidu_quota")
    with pytest.raises(TryLater):
        channel.ping("baidu", receipt.url, gone=False)
    site.sandbox.clear()
    site.sandbox.knob("refuse", path="/_pings/websub")
    with pytest.raises(TryLater):
        channel.ping("websub", receipt.url, gone=False)


def test_a_wrong_token_is_told_without_it(site: StaticBench) -> None:
    """The operator hears of it; the token is in no message."""
    settings = {**site.outlet.settings}
    wrong = Outlet("website", "unit", "website", settings, {"baidu_token": "guessed-secret"}, private_network=True)
    with pytest.raises(Unauthorised) as refused:
        WebsiteChannel(wrong, tools()).ping("baidu", "https://x.example/", gone=False)
    assert "guessed-secret" not in str(refused.value)


def test_nobody_is_told_unless_the_settings_say_so(tmp_path: Path) -> None:
    """And a key that can be none is refused when it is set."""
    plain = Outlet("site", "unit", "website", {"directory": str(tmp_path), "base_url": "https://a.example"})
    assert () == WebsiteChannel(plain, tools()).pings()
    for settings in ({"indexnow_key": "short"}, {"websub_hub": "hub.example"}):
        with pytest.raises(BadInput):
            WebsiteChannel(Outlet("s", "u", "website", {**plain.settings, **settings}), tools())
