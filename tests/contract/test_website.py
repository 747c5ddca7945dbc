"""The website: one rename makes an article public; lists and feed follow it and survive any death."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import feedparser
import pytest
from lxml import etree

from channels.listing import Entry, Shelves
from channels.staging import Staging
from channels.website import WebsiteChannel, contrast_with_white, slug_of
from sync.contract import Ambiguous, Place, Prepared, Receipt, Rejected, Stale, TryLater, Unauthorised, Unsupported
from sync.model import BadInput, Key, Outlet, sha256
from tests.contract import bench_website
from tests.contract.bench import CLOCK, window
from tests.contract.sites import PICTURE, StaticBench, edition, tools

NINE = 1_795_395_600_000_000  # 2026-11-23 09:00 China time


@pytest.fixture
def site(tmp_path: Path) -> Iterator[StaticBench]:
    with bench_website.bench(tmp_path) as made:
        yield made


def get(url: str) -> tuple[int, bytes]:
    """An anonymous reader's request."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_nothing_of_an_unreleased_item_is_public_or_listed(site: StaticBench) -> None:
    """Prepared and armed: only files under unguessable names, in no page and no feed; the address answers 404."""
    key = site.key()
    site.publish(edition("先前的通告"), key)
    before = {path: (site.served / path).read_bytes() for path in site.public_files()}
    key = site.key()
    rendition = site.render(key)
    shot = site.armed(rendition, key)
    added = site.public_files() - set(before)
    assert all(re.fullmatch(r"assets/[0-9a-f]{24}/[0-9a-f]{16}\.(png|csv)", path) for path in added)
    assert {path: (site.served / path).read_bytes() for path in before} == before
    assert get(site.channel().address(site.edition, key) or "")[0] == 404
    folder = f"{site.outlet.settings['base_url']}/{min(added).rpartition('/')[0]}/"
    assert get(folder)[0] == 404
    assert b"<a" not in get(f"{site.outlet.settings['base_url']}/assets/")[1]
    assert key.token not in str(added)
    shot.close()


def test_what_is_staged_lies_outside_the_served_folder(site: StaticBench) -> None:
    """A web server that shows the folder cannot show the staged page."""
    key = site.key()
    site.armed(site.render(key), key)
    staged = [
        path for path in site.hidden.rglob("*") if path.is_file() and site.edition.title in path.read_text("utf-8")
    ]
    assert staged
    assert not site.hidden.is_relative_to(site.served)
    assert site.hidden.stat().st_mode & 0o077 == 0


def test_the_article_is_public_before_the_lists(site: StaticBench) -> None:
    """The shot shows the article alone; the lists come with settling."""
    key = site.key()
    rendition = site.render(key)
    shot = site.armed(rendition, key)
    shot.send(window(), CLOCK.boottime)
    address = site.channel().address(site.edition, key) or ""
    assert get(address)[0] == 200
    assert not (site.served / "index.html").exists()
    shot.settle()
    title = site.edition.title.encode()
    for page in ("index.html", "feed.xml", "tzgg/index.html"):
        assert title in get(f"{site.outlet.settings['base_url']}/{page}")[1]


def test_a_death_between_rename_and_lists_is_completed_by_the_probe(site: StaticBench) -> None:
    """The page is public and nobody settled: a probe by another process lists it and brings the receipt."""
    key = site.key()
    rendition = site.render(key)
    site.armed(rendition, key, NINE).send(window(), CLOCK.boottime)
    found = site.channel().probe(rendition, key, None)
    assert isinstance(found, Receipt)
    assert site.edition.title in (site.served / "index.html").read_text()
    assert site.channel().verify(found, rendition).problems == ()
    assert found.notes["pub_date"] == "2026-11-23 09:00"
    assert abs(found.at - CLOCK.now()) < 10_000_000


def test_a_full_disk_while_listing_is_ambiguous_and_mended_later(
    site: StaticBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is public, so settling may not say that nothing happened; the next probe completes the lists."""
    key = site.key()
    rendition = site.render(key)
    shot = site.armed(rendition, key)
    shot.send(window(), CLOCK.boottime)
    with monkeypatch.context() as patched:

        def full(self: Shelves, entry: Entry) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(Shelves, "enter", full)
        with pytest.raises(Ambiguous):
            shot.settle()
        with pytest.raises(TryLater):
            site.channel().probe(rendition, key, None)
    assert isinstance(site.channel().probe(rendition, key, None), Receipt)
    assert site.edition.title in (site.served / "feed.xml").read_text()


def test_listing_twice_changes_nothing(site: StaticBench) -> None:
    """Settled and probed again: every list has the item once, and no file changes."""
    key = site.key()
    rendition, _ = site.publish(edition(), key)
    before = {path: (site.served / path).stat().st_mtime_ns for path in site.public_files()}
    site.channel().probe(rendition, key, None)
    assert {path: (site.served / path).stat().st_mtime_ns for path in site.public_files()} == before
    assert (site.served / "feed.xml").read_text().count("<item>") == 1


def test_a_rename_that_fails_is_certainly_not_sent(site: StaticBench) -> None:
    """The staged page vanished between arming and the instant: settling says so, and nothing is public."""
    key = site.key()
    rendition = site.render(key)
    shot = site.armed(rendition, key)
    for left in (site.hidden / "work").iterdir():
        left.unlink()
    with pytest.raises(TryLater):
        shot.check()
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(TryLater):
        shot.settle()
    assert site.public_copies() == 0


def test_what_is_gone_or_altered_cannot_be_armed(site: StaticBench) -> None:
    """A missing picture, an altered page and another rendition are stale; arming them would publish a hole."""
    key = site.key()
    rendition = site.render(key)
    prepared = site.channel().prepare(rendition, key)
    other = site.channel().render(edition("另一个标题"), Place(key, None))
    with pytest.raises(Stale):
        site.channel().arm(prepared, other, key)
    picture = next(site.served.glob("assets/*/*.png"))
    picture.unlink()
    with pytest.raises(Stale):
        site.channel().arm(prepared, rendition, key)
    assert site.channel().probe(rendition, key, prepared) is None
    site.channel().prepare(rendition, key)
    next(site.hidden.glob("pages/*")).write_text("altered")
    with pytest.raises(Stale):
        site.channel().arm(prepared, rendition, key)


def test_what_is_public_is_neither_prepared_nor_discarded_again(site: StaticBench) -> None:
    """A repeated prepare is told that it may have happened; discarding a public page is refused and removes nothing."""
    key = site.key()
    rendition, receipt = site.publish(edition(), key)
    with pytest.raises(Ambiguous):
        site.channel().prepare(rendition, key)
    prepared_before = site.public_files()
    with pytest.raises(Rejected):
        site.channel().discard(Prepared(receipt.ref), key)
    assert site.public_files() == prepared_before


def test_a_page_of_somebody_else_is_never_overwritten(site: StaticBench) -> None:
    """A file of that name without our mark stops the probe with words for a person."""
    key = site.key()
    rendition = site.render(key)
    foreign = site.served / rendition.fields["path"]
    foreign.parent.mkdir(parents=True)
    foreign.write_text("<html>somebody's page")
    with pytest.raises(Rejected, match="somebody else"):
        site.channel().probe(rendition, key, None)


def test_the_page_states_the_instant_of_the_release(site: StaticBench) -> None:
    """PubDate, visible date and Last-Modified are the release's, although the page was armed before it."""
    _, receipt = site.publish(edition(), site.key(), NINE)
    page = (site.served / receipt.ref).read_text()
    assert '<meta name="PubDate" content="2026-11-23 09:00">' in page
    assert ">2026-11-23 09:00</time>" in page
    assert "published-" not in page
    assert (site.served / receipt.ref).stat().st_mtime_ns == NINE * 1000


def test_every_meta_tag_of_the_norm_is_there(site: StaticBench) -> None:
    """Site, column and article groups, with the names printed exactly so; list pages have site and column groups."""
    _, receipt = site.publish(edition(), site.key(), NINE)
    page = etree.fromstring((site.served / receipt.ref).read_bytes(), etree.HTMLParser(encoding="utf-8"))
    meta = {tag.get("name"): tag.get("content") for tag in page.iter("meta")}
    assert meta["SiteName"] == "清溪县人民政府"
    assert meta["SiteIDCode"] == "3301220001"
    assert meta["ColumnName"] == meta["ColumnType"] == "通知公告"
    assert meta["ArticleTitle"] == site.edition.title
    assert meta["ContentSource"] == "清溪镇人民政府"
    assert meta["Keywords"] == "公交,环线"
    assert {"SiteDomain", "ColumnDescription", "ColumnKeywords", "PubDate", "Description", "Image", "Url"} <= set(meta)
    for listed in ("index.html", "tzgg/index.html", "tzgg/2026-11.html"):
        text = (site.served / listed).read_text()
        assert all(f'name="{name}"' in text for name in ("SiteName", "SiteDomain", "ColumnName", "ColumnType"))
        assert "2026-11-23 09:00" in text


def test_pages_can_be_used_without_seeing_or_pointing(site: StaticBench) -> None:
    """Language, landmarks, skip link, alternative texts, header cells with scope, ids that are unique."""
    _, receipt = site.publish(edition(), site.key())
    for path in (receipt.ref, "index.html", "tzgg/index.html"):
        page = etree.fromstring((site.served / path).read_bytes(), etree.HTMLParser(encoding="utf-8"))
        assert page.get("lang") == "zh-CN"
        assert len(list(page.iter("main"))) == len(list(page.iter("h1"))) == 1
        assert next(page.iter("a")).get("href") == "#main"
        assert all(image.get("alt") for image in page.iter("img"))
        assert all(cell.get("scope") for cell in page.iter("th"))
        identities = [element.get("id") for element in page.iter() if element.get("id")]
        assert len(identities) == len(set(identities))
        targets = [e.get("aria-labelledby") for e in page.iter() if e.get("aria-labelledby")]
        assert set(targets) <= set(identities)
        assert not list(page.iter("script"))
        assert (page.findtext(".//title") or "").endswith("清溪县人民政府")


def test_the_feed_is_read_by_an_independent_reader(site: StaticBench) -> None:
    """feedparser finds title, address, date and a guid that stays the same."""
    _, receipt = site.publish(edition(summary="<b>12 路</b> & 首班 06:30"), site.key(), NINE)
    site.publish(edition("第二件"), site.key(), NINE + 60_000_000)
    feed = feedparser.parse(get(f"{site.outlet.settings['base_url']}/feed.xml")[1])
    assert not feed.bozo
    assert [entry.title for entry in feed.entries] == ["第二件", site.edition.title]
    first = feed.entries[1]
    assert first.link == receipt.url
    assert tuple(first.published_parsed)[:5] == (2026, 11, 23, 1, 0)
    assert first.id.startswith("urn:tongfa:")
    assert feed.feed.title == "清溪县人民政府"
    ids = [entry.id for entry in feed.entries]
    site.publish(edition("第三件"), site.key(), NINE + 120_000_000)
    later = feedparser.parse((site.served / "feed.xml").read_bytes())
    assert [entry.id for entry in later.entries][1:] == ids


def test_older_months_stay_reachable_when_the_column_shows_the_newest(site: StaticBench) -> None:
    """Each month has its page; the column links to all of them with their numbers."""
    month = 31 * 24 * 3600 * 1_000_000
    for number in range(3):
        site.publish(edition(f"第 {number} 件"), site.key(), NINE - number * month)
    column = (site.served / "tzgg/index.html").read_text()
    for name in ("2026-11", "2026-10", "2026-09"):
        assert f'href="{name}.html"' in column
        assert (site.served / f"tzgg/{name}.html").exists()
    assert "第 2 件" in (site.served / "tzgg/2026-09.html").read_text()
    assert "第 1 件" not in (site.served / "tzgg/2026-09.html").read_text()


def test_as_many_files_are_written_at_a_thousand_articles_as_at_three(
    site: StaticBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing costs the same number of files however large the site is; the lists stay at the newest fifty."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    written: list[bytes] = []
    stage = Staging.stage

    def counting(self: Staging, content: bytes) -> Path:
        written.append(content)
        return stage(self, content)

    monkeypatch.setattr(Staging, "stage", counting)
    for number in range(3):
        site.publish(edition(f"小站 {number}"), site.key(), NINE + number * 60_000_000)
    written.clear()
    site.publish(edition("小站第四件"), site.key(), NINE + 600_000_000)
    small = len(written)
    shelves = Shelves(Staging(site.served, create=True))
    for number in range(1_000):
        date = f"2026-{number % 11 + 1:02d}-{number % 22 + 1:02d} 08:{number % 60:02d}"
        column = ("通知公告", "政策文件", "工作动态")[number % 3]
        entry = Entry(
            f"seed-{number}",
            date,
            f"notice/{number}.html",
            f"旧件 {number}",
            column,
            slug_of(column),
            "notice",
            "",
            "",
            "",
        )
        shelves.enter(entry)
    site.publish(edition("先一件"), site.key(), NINE + 700_000_000)
    written.clear()
    site.publish(edition("大站一件"), site.key(), NINE + 800_000_000)
    assert len(written) == small
    assert (site.served / "tzgg/index.html").read_text().count("<time") == 50
    assert (site.served / "feed.xml").read_text().count("<item>") == 50


def test_articles_settled_at_once_are_all_listed(site: StaticBench) -> None:
    """Eight shots of one instant settle in parallel; none overwrites another's entry."""
    keys = [site.key() for _ in range(8)]
    items = [edition(f"同时第 {number} 件") for number in range(8)]
    shots = [site.armed(site.channel().render(e, Place(k, None)), k) for e, k in zip(items, keys, strict=True)]
    for shot in shots:
        shot.send(window(), CLOCK.boottime)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda shot: shot.settle(), shots))
    for page in ("index.html", "feed.xml", "tzgg/index.html"):
        text = (site.served / page).read_text()
        assert all(item.title in text for item in items)


def test_two_file_systems_are_refused_in_words(tmp_path: Path) -> None:
    """A served folder that is another disk cannot be flipped: said at login and prepare, before anything is written."""
    elsewhere = Path("/dev/shm") / f"tongfa-test-{os.getpid()}"
    elsewhere.mkdir()
    try:
        assert elsewhere.stat().st_dev != tmp_path.stat().st_dev
        served = tmp_path / "www"
        served.symlink_to(elsewhere)
        outlet = Outlet("site", "unit", "website", {"directory": str(served), "base_url": "http://127.0.0.1:9"})
        with pytest.raises(Rejected, match="different file systems"):
            WebsiteChannel(outlet, tools()).login()
        assert list(elsewhere.iterdir()) == []
    finally:
        elsewhere.rmdir()


def test_a_live_site_whose_folder_is_missing_is_not_made_anew(tmp_path: Path) -> None:
    """An unmounted disk must not look like an empty site."""
    settings = {"directory": str(tmp_path / "www"), "base_url": "http://127.0.0.1:9"}
    outlet = Outlet("site", "unit", "website", settings, live=True)
    with pytest.raises(Unauthorised, match="mount"):
        WebsiteChannel(outlet, tools()).login()
    assert not (tmp_path / "www").exists()


def test_login_finds_an_address_that_shows_another_folder(site: StaticBench) -> None:
    """base_url and directory must belong together: found out without publishing anything."""
    settings = {**site.outlet.settings, "base_url": f"{site.sandbox.address}/another"}
    with pytest.raises(Unauthorised, match="base_url"):
        WebsiteChannel(Outlet("site", "unit", "website", settings), site.tools).login()


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"site_id_code": "330122000"}, "site_id_code"),
        ({"site_id_code": "bm0100000x"}, "site_id_code"),
        ({"theme": "red"}, "theme"),
        ({"theme": "#ffff00"}, "theme"),
        ({"directory": "www"}, "directory"),
        ({"directory": "/"}, "directory"),
        ({"base_url": "www.example.gov.cn"}, "base_url"),
        ({"base_url": "ftp://www.example.gov.cn"}, "base_url"),
        ({"base_url": "https://www.example.gov.cn/?a=1"}, "base_url"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told(changed: Mapping[str, str], where: str) -> None:
    """Each wrong setting is named, with the mend."""
    settings = {"directory": "/srv/www", "base_url": "https://www.example.gov.cn", **changed}
    with pytest.raises(BadInput) as told:
        WebsiteChannel(Outlet("site", "unit", "website", settings), tools())
    assert told.value.where == where
    assert told.value.mend


def test_site_codes_of_both_forms_are_taken() -> None:
    """Ten digits, and bm with eight."""
    for code in ("3100000087", "bm01000001"):
        settings = {"directory": "/srv/www", "base_url": "https://www.example.gov.cn", "site_id_code": code}
        WebsiteChannel(Outlet("site", "unit", "website", settings), tools())


def test_the_twin_keeps_nothing_of_the_configured_host() -> None:
    """Folder, address and domain are the sandbox's; it is not live."""
    settings = {"directory": "/srv/www", "base_url": "https://www.qx.gov.cn", "site_domain": "www.qx.gov.cn"}
    twin = WebsiteChannel.twin(Outlet("site", "u", "website", settings, live=True), "http://127.0.0.1:1", "/tmp/x")
    assert "qx.gov.cn" not in str(twin.settings)
    assert "/srv" not in str(twin.settings)
    assert twin.settings["base_url"] == "http://127.0.0.1:1/site"
    assert (twin.settings["directory"], twin.private_network, twin.live) == ("/tmp/x/www", True, False)


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        '<p><a href="javascript:alert(1)">x</a></p>',
        f'<p><img src="https://elsewhere.example/{sha256(PICTURE)}.png" alt="x"><iframe></iframe></p>',
        '<p><img src="asset:0000" alt="x"></p>',
        "<p>x</p></div><p>out",
    ],
)
def test_markup_that_a_body_may_not_have_is_refused(body: str) -> None:
    """Whatever slipped through cleaning never reaches a page of ours."""
    settings = {"directory": "/srv/www", "base_url": "https://www.example.gov.cn"}
    channel = WebsiteChannel(Outlet("site", "unit", "website", settings), tools())
    assert any(problem.fatal for problem in channel.check(edition(body=body)))
    with pytest.raises(Unsupported):
        channel.render(edition(body=body), Place(Key("test", "delivery"), None))


def test_text_of_the_item_cannot_become_markup(site: StaticBench) -> None:
    """A title with tags and quotes is shown as written, in the page, the lists and the feed."""
    title = '"><script>alert(1)</script>&amp;{{ 7*7 }}{% raw %}'
    key = site.key()
    rendition, receipt = site.publish(edition(title), key)
    assert site.channel().verify(receipt, rendition).problems == ()
    for path in (receipt.ref, "index.html", "feed.xml", "tzgg/index.html"):
        assert "<script" not in (site.served / path).read_text()
    feed = feedparser.parse((site.served / "feed.xml").read_bytes())
    assert len(feed.entries) == 1


def test_a_changed_date_is_a_problem(site: StaticBench) -> None:
    """A forged publication date is found by the read-back."""
    key = site.key()
    rendition, receipt = site.publish(edition(), key, NINE)
    site.sandbox.knob("alter", replace=["2026-11-23 09:00", "2026-11-24 09:00"])
    assert site.channel().verify(receipt, rendition).problems


def test_an_attachment_that_changed_is_a_problem(site: StaticBench) -> None:
    """Attachments are compared byte for byte."""
    key = site.key()
    rendition, receipt = site.publish(edition(), key)
    next(site.served.glob("assets/*/*.csv")).write_bytes(b"other")
    assert [problem.where for problem in site.channel().verify(receipt, rendition).problems] == ["link"]


def test_a_failing_web_server_is_not_an_absence(site: StaticBench) -> None:
    """503 says nothing about what is public; 404 does."""
    key = site.key()
    rendition, receipt = site.publish(edition(), key)
    site.sandbox.knob("status", status=503)
    with pytest.raises(TryLater):
        site.channel().verify(receipt, rendition)
    site.sandbox.clear()
    (site.served / receipt.ref).unlink()
    assert not site.channel().verify(receipt, rendition).visible


def test_the_default_colour_has_enough_contrast() -> None:
    """The ratio is computed as WCAG does."""
    assert round(contrast_with_white("#000000"), 1) == 21.0
    assert round(contrast_with_white("#767676"), 2) == 4.54
    assert contrast_with_white("#17509e") > 7
