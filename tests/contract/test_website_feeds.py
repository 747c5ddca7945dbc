"""The website's feeds and sitemaps, as independent readers find them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import feedparser
import pytest
from lxml import etree

from channels.website import WebsiteChannel
from sync.compare import tokens
from tests.contract import bench_website
from tests.contract.bench import server
from tests.contract.sites import StaticBench, corrected, edition

NINE = 1_795_395_600_000_000  # 2026-11-23 09:00 China time
HUB = "https://hub.example.org/"
SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}loc"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[StaticBench]:
    with server("channels.sandbox.pages", tmp_path / "sandbox") as sandbox:
        yield StaticBench(WebsiteChannel, sandbox, {**bench_website.SETTINGS, "websub_hub": HUB})


def fetched(site: StaticBench, path: str) -> bytes:
    with urllib.request.urlopen(f"{site.outlet.settings['base_url']}/{path}", timeout=10) as answer:
        content = answer.read()
        assert isinstance(content, bytes)
        return content


def hub(site: StaticBench) -> str:
    """Of the twin: nobody outside is told of a sandbox."""
    told = site.outlet.settings["websub_hub"]
    assert told.startswith(site.sandbox.address) and told != HUB
    return told


def json_items(site: StaticBench) -> list[dict[str, Any]]:
    feed = json.loads(fetched(site, "feed.json"))
    assert ("https://jsonfeed.org/version/1.1", hub(site)) == (feed["version"], feed["hubs"][0]["url"])
    return list(feed["items"])


@pytest.mark.parametrize("path", ["feed.xml", "atom.xml"])
def test_a_feed_is_read_back_whole(site: StaticBench, path: str) -> None:
    """Title, address, time, summary, the whole text with its table, and the attachment; the hub that tells of it."""
    given = edition(summary="<b>12 路</b> & 首班 06:30")
    _, receipt = site.publish(given, site.key(), NINE)
    feed = feedparser.parse(fetched(site, path))
    assert not feed.bozo
    assert hub(site) in [link.href for link in feed.feed.links if link.rel == "hub"]
    (found,) = feed.entries
    assert (given.title, receipt.url, given.text("summary")) == (found.title, found.link, found.summary)
    assert (2026, 11, 23, 1, 0) == tuple(found.published_parsed)[:5]
    texts = [token for token in tokens(found.content[0].value) if token.kind in ("text", "cell")]
    assert [token for token in tokens(given.body) if token.kind in ("text", "cell")] == texts
    (enclosure,) = found.enclosures
    assert enclosure.type == "text/csv"
    assert int(enclosure.length) == len(urllib.request.urlopen(enclosure.href, timeout=10).read())


def test_the_three_feeds_tell_the_same(site: StaticBench) -> None:
    """The same items, ids, addresses and texts, newest first."""
    for number in range(3):
        site.publish(edition(f"第 {number} 件"), site.key(), NINE + number * 60_000_000)
    rss, atom = (feedparser.parse(fetched(site, path)).entries for path in ("feed.xml", "atom.xml"))
    items = json_items(site)
    assert ["第 2 件", "第 1 件", "第 0 件"] == [one["title"] for one in items]
    for a, b, c in zip(rss, atom, items, strict=True):
        assert (a.id, a.link, a.title) == (b.id, b.link, b.title) == (c["id"], c["url"], c["title"])
        assert a.content[0].value == b.content[0].value
        assert tokens(a.content[0].value) == tokens(c["content_html"])
        assert c["attachments"][0]["url"] == a.enclosures[0].href


def test_a_correction_keeps_its_id_and_a_withdrawal_leaves_no_trace(site: StaticBench) -> None:
    """The newer text with the time it changed, under the id it always had; then nothing, in no feed and no sitemap."""
    given = edition()
    _, receipt = site.publish(given, site.key(), NINE)
    identity = json_items(site)[0]["id"]
    _, changed = site.correct(corrected(given), site.key(), receipt)
    (item,) = json_items(site)
    assert identity == item["id"] and "06:45" in item["content_html"] and "06:30" not in item["content_html"]
    assert item["date_modified"] > item["date_published"]
    (entry,) = feedparser.parse(fetched(site, "atom.xml")).entries
    assert entry.updated > entry.published
    site.channel().withdraw(changed, site.key())
    assert [] == json_items(site)
    for path in ("feed.xml", "atom.xml", "sitemap.xml", "tzgg/2026-11.xml"):
        assert receipt.ref not in fetched(site, path).decode()
    assert not list((site.hidden / "index" / "texts").iterdir())


def test_sitemaps_lead_to_every_page(site: StaticBench) -> None:
    """From the index to its months to the pages; the shape is the protocol's."""
    receipts = [
        site.publish(edition("一"), site.key(), NINE)[1],
        site.publish(edition("二", column="工作动态"), site.key(), NINE - 40 * 24 * 3600 * 1_000_000)[1],
    ]
    base = site.outlet.settings["base_url"]
    found = []
    for loc in etree.fromstring(fetched(site, "sitemap.xml")).iter(SITEMAP):
        month = etree.fromstring(fetched(site, str(loc.text).removeprefix(f"{base}/")))
        found += [one.text for one in month.iter(SITEMAP)]
    assert sorted(one.url for one in receipts) == sorted(map(str, found))


def test_what_was_published_before_texts_were_kept_stays_in_the_feeds(site: StaticBench) -> None:
    """With its summary instead of the whole text."""
    site.publish(edition("以前的"), site.key(), NINE)
    for kept in (site.hidden / "index" / "texts").iterdir():
        kept.unlink()
    site.publish(edition("新的"), site.key(), NINE + 60_000_000)
    newest, before = json_items(site)
    assert "content_html" in newest and before["content_text"] == edition().text("summary")
    assert ["新的", "以前的"] == [one.title for one in feedparser.parse(fetched(site, "atom.xml")).entries]
