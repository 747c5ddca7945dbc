"""Feeds become items: each entry once, what changed as a revision, and nothing that was read is ever lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sync.bootstrap import context, create_home
from sync.clock import SystemClock
from sync.contract import Channel, Tools
from sync.engine import errands, feeds
from sync.engine.context import Context
from sync.engine.feeds import Wish
from sync.engine.plan import Order, plan
from sync.engine.pull import Pulled, pull
from sync.model import BadInput, Edition, Outlet
from sync.render import Templates
from sync.settings import read_settings
from sync.store import feeds as rows
from sync.store import items, journal, outlets, releases
from sync.store.tables import Record
from tests.acceptance.installation import picture
from tests.integration.feed_site import FeedSite, entry, feed_site, rss
from tests.integration.outside import KINDS, Outside
from tests.integration.rows import AT, OUTLET

FEED = "/feed.xml"


@pytest.fixture
def site() -> Iterator[FeedSite]:
    with feed_site() as made:
        yield made


@pytest.fixture
def ctx(tmp_path: Path, fresh_url: str) -> Iterator[Context]:
    settings = read_settings(home=tmp_path / "home", database_url=fresh_url)
    create_home(settings, SystemClock())
    made = context(settings, "command", person="cli:test")
    yield made
    made.lock.release()
    made.store.close()


def added(ctx: Context, site: FeedSite, name: str = "town", path: str = FEED, **more: Any) -> Record:
    return feeds.add(ctx, Wish(name, site.url(path), private_network=True, **more))


def pulled(ctx: Context, name: str = "town") -> Pulled:
    return pull(ctx, feeds.known(ctx, name))


def editions(ctx: Context) -> list[Edition]:
    """The newest of every item, by title."""
    with ctx.store.read() as connection:
        named = [row.id for row in items.page(connection, size=1_000)]
        return sorted((items.get(connection, one)[0] for one in named), key=lambda one: one.title)


def state(ctx: Context, name: str = "town") -> Record:
    return feeds.known(ctx, name)


def read(ctx: Context, name: str = "town") -> dict[str, tuple[str, str]]:
    """What became of each entry, and why, by title."""
    with ctx.store.read() as connection:
        return {row.title: (row.state, row.why) for row in rows.entries(connection, name)}


def acts(ctx: Context, name: str = "town") -> list[str]:
    with ctx.store.read() as connection:
        return [one.act for one in journal.of(connection, "feed", name)]


def test_an_entry_becomes_an_item(ctx: Context, site: FeedSite) -> None:
    """Text, picture with its alt text, enclosure, day, source, keywords, and the address of the original."""
    html = (
        '<h2>时刻</h2><p>首班 <b>06:30</b>，见<a href="/more.html">详情</a>。</p><p><img alt="路线" src="/r.png"></p>'
        "<table><tr><td>茶场</td><td>07:01</td></tr></table>"
    )
    more = f'<category>公交</category><enclosure url="{site.url("/t.csv")}" length="9" type="text/csv"/>'
    site.put("/r.png", picture())
    site.put("/t.csv", "站点,06:30\n")
    html_base = html.replace('"/r.png"', f'"{site.url("/r.png")}"')
    site.put(FEED, rss(entry(1, html_base, title="开通 & 公告", more=more)))
    added(ctx, site)
    assert ["开通 & 公告"] == pulled(ctx).new, read(ctx)
    (made,) = editions(ctx)
    assert (
        '<h2>时刻</h2>\n<p>首班 <strong>06:30</strong>，见<a href="https://example.org/more.html">详情</a>。</p>'
    ) == "\n".join(made.body.split("\n")[:2])
    assert "<td>07:01</td>" in made.body
    shown, attached = made.assets
    assert ("image", "路线", "image/png") == (shown.role.value, shown.alt, shown.media_type)
    assert f'src="asset:{shown.digest}"' in made.body
    assert ("attachment", "t.csv", "text/csv") == (attached.role.value, attached.name, attached.media_type)
    assert ctx.assets.get(attached.digest) == "站点,06:30\n".encode()
    facts = {"source": "清溪镇", "written_on": "2026-11-24", "keywords": ("公交",)}
    facts |= {"link": "https://example.org/1.html", "kind": "news", "language": "zh-CN"}
    assert facts == dict(made.metadata)
    with ctx.store.read() as connection:
        assert "feed town" == items.get(connection, made.item)[1].author


def test_an_entry_is_taken_once(ctx: Context, site: FeedSite) -> None:
    """By its id, and by its content under another id, also of another feed."""
    site.put(FEED, rss(entry(1, "<p>同一篇。</p>", title="甲"), entry(2, "<p>同一篇。</p>", title="甲")))
    site.put("/other.xml", rss(entry(3, "<p>同一篇。</p>", title="甲"), title="别处"))
    added(ctx, site)
    added(ctx, site, "other", "/other.xml")
    for name in ("town", "town", "other", "other"):
        pulled(ctx, name)
    assert ["甲"] == [one.title for one in editions(ctx)]
    assert {"甲": ("known", "")} == read(ctx, "other")


def test_a_changed_entry_is_a_new_revision_of_its_item(ctx: Context, site: FeedSite) -> None:
    site.put(FEED, rss(entry(1, "<p>06:30</p>"), entry(2, "<p>别的</p>")))
    added(ctx, site)
    pulled(ctx)
    site.put(FEED, rss(entry(1, "<p>06:31</p>"), entry(2, "<p>别的</p>")))
    assert ["第 1 条"] == pulled(ctx).changed
    assert [(2, "<p>06:31</p>"), (1, "<p>别的</p>")] == [(one.revision, one.body) for one in editions(ctx)]
    assert ["added", "pulled", "pulled"] == acts(ctx)


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_what_is_unchanged_is_not_sent_again(ctx: Context, site: FeedSite, header: str) -> None:
    """The server answers 304, and nothing is lost or told."""
    site.put(FEED, rss(entry(1, "<p>一</p>")), **{header: '"Mon, 23 Nov 2026 20:00:00 GMT"'})
    added(ctx, site)
    pulled(ctx)
    known = editions(ctx)
    again = pulled(ctx)
    assert (1, None, []) == (site.conditional(), again.failure, again.new)
    assert known == editions(ctx)
    assert ["added", "pulled"] == acts(ctx)


WHOLE = rss(entry(1, "<p>一</p>"), entry(2, "<p>二</p>"))
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + "]><rss version='2.0'><channel><title>&j;</title><item><title>&j;</title></item></channel></rss>"
)
BROKEN: dict[str, tuple[bytes, int, str]] = {
    "cut off": (WHOLE.encode()[:-120], 200, "damaged"),
    "a page": (b"<!DOCTYPE html><html><body><p>x</p></body></html>", 200, "web page"),
    "no feed": (b"<?xml version='1.0'?><other/>", 200, "no feed"),
    "empty": (b"", 200, ""),
    "JSON": (b'{"version": "https://jsonfeed.org/version/1.1", "items": []}', 200, "JSON feed"),
    "another charset": (WHOLE.encode("gb18030"), 200, "charset"),
    "a bomb": (BOMB.encode(), 200, ""),
    "not found": (b"", 404, "404"),
    "busy": (b"", 503, "503"),
    "huge": (WHOLE.encode() + b" " * (9 * 1024 * 1024), 200, "8 MiB"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_feed_loses_nothing(ctx: Context, site: FeedSite, how: str) -> None:
    """The items, what is known of the feed, and when it was read well stay; the reason and the mend are shown."""
    site.put(FEED, rss(entry(1, "<p>一</p>")), ETag='"1"')
    added(ctx, site)
    pulled(ctx)
    before, known, told = state(ctx), editions(ctx), read(ctx)
    content, status, why = BROKEN[how]
    site.put(FEED, content, status)
    failure = pulled(ctx).failure
    assert failure is not None
    assert why in failure.why
    after = state(ctx)
    assert (1, failure.why, True) == (after.failures, after.why, bool(after.mend))
    assert (before.etag, before.title, before.read_at) == (after.etag, after.title, after.read_at)
    assert (known, told) == (editions(ctx), read(ctx))
    pulled(ctx)  # the same again is not told again
    assert ["added", "pulled", "pull_failed"] == acts(ctx)
    site.put(FEED, rss(entry(1, "<p>一</p>"), entry(2, "<p>二</p>")))
    assert (["第 2 条"], None) == ((came := pulled(ctx)).new, came.failure)
    assert (0, "", "") == ((now := state(ctx)).failures, now.why, now.mend)


def test_a_feed_that_is_gone_is_asked_no_more(ctx: Context, site: FeedSite) -> None:
    """410: its items stay, and a person who asks again finds it again."""
    site.put(FEED, rss(entry(1, "<p>一</p>")))
    added(ctx, site)
    pulled(ctx)
    site.put(FEED, b"", 410)
    pulled(ctx)
    assert ("gone", None) == ((row := state(ctx)).state, row.due_at)
    assert 1 == len(editions(ctx))
    site.put(FEED, rss(entry(1, "<p>一</p>")))
    pulled(ctx)
    assert ("active", True) == ((row := state(ctx)).state, row.due_at is not None)


def test_what_an_item_may_not_hold_is_refused_with_the_reason(ctx: Context, site: FeedSite) -> None:
    """A program, a picture without alt text, a picture that is none: not taken, and shown; the others are."""
    site.put("/none.png", b"no picture")
    html = {
        1: "<p>x</p><script>alert(1)</script>",
        2: f'<p><img src="{site.url("/none.png")}"></p>',
        3: f'<p><img alt="a" src="{site.url("/none.png")}"></p>',
        4: "<p>好</p>",
        5: "",
    }
    site.put(FEED, rss(*(entry(number, one) for number, one in html.items())))
    added(ctx, site)
    came = pulled(ctx)
    assert (["第 4 条"], 4) == (came.new, len(came.refused))
    why = {title: why for title, (_, why) in read(ctx).items()}
    assert "run a program" in why["第 1 条"]
    assert "not a JPEG" in why["第 2 条"]
    assert "not a JPEG" in why["第 3 条"]
    assert "no text" in why["第 5 条"]
    asked = len(site.asked)
    assert [] == pulled(ctx).refused  # they are not told, and their files not fetched, a second time
    assert 1 == len(site.asked) - asked


def test_a_file_that_cannot_be_had_now_is_asked_for_again(ctx: Context, site: FeedSite) -> None:
    """The entry waits, shown with the reason; the feed is read whole once more, whatever its ETag says."""
    site.put("/r.png", b"", 503)
    site.put(FEED, rss(entry(1, f'<p>图<img alt="图" src="{site.url("/r.png")}"></p>')), ETag='"1"')
    added(ctx, site)
    assert (1, []) == ((came := pulled(ctx)).delayed, came.new)
    assert "answers 503" in read(ctx)["第 1 条"][1]
    site.put("/r.png", picture())
    assert ["第 1 条"] == pulled(ctx).new


def test_nothing_outside_the_egress_is_reached(ctx: Context, site: FeedSite) -> None:
    """A public feed may not name this machine; nor may one of the own network name a cloud's metadata."""
    with pytest.raises(BadInput, match="private-network"):
        feeds.add(ctx, Wish("town", site.url(FEED)))
    html = '<p><img alt="x" src="http://169.254.169.254/latest/meta-data"></p>'
    site.put(FEED, rss(entry(1, html)))
    added(ctx, site)
    assert ["第 1 条"] == pulled(ctx).refused
    assert "may not be fetched" in read(ctx)["第 1 条"][1]


def test_a_feed_of_the_own_network_leads_to_no_other_machine_there(ctx: Context, site: FeedSite) -> None:
    """Its own host may hold the pictures; another one of that network is not even asked."""
    with feed_site() as other:
        other.put("/secret.png", picture())
        site.put(FEED, rss(entry(1, f'<p><img alt="x" src="{other.url("/secret.png")}"></p>')))
        added(ctx, site)
        assert ["第 1 条"] == pulled(ctx).refused
        assert "may not be fetched" in read(ctx)["第 1 条"][1]
        assert [] == other.asked


def test_an_entry_with_too_many_files_is_refused(ctx: Context, site: FeedSite) -> None:
    """Before one of them is fetched."""
    html = "".join(f'<img alt="x" src="{site.url(f"/{number}.png")}">' for number in range(201))
    site.put(FEED, rss(entry(1, f"<p>{html}</p>")))
    added(ctx, site)
    assert ["第 1 条"] == pulled(ctx).refused
    assert [FEED] == [path for path, _ in site.asked]


def test_a_redirect_is_followed(ctx: Context, site: FeedSite) -> None:
    site.put("/old.xml", b"", 301, Location=site.url(FEED))
    site.put(FEED, rss(entry(1, "<p>一</p>")))
    added(ctx, site, path="/old.xml")
    assert ["第 1 条"] == pulled(ctx).new


def test_feeds_are_read_when_they_are_due(ctx: Context, site: FeedSite) -> None:
    """At once after they were added, and then at their own pace; never once they were removed."""
    site.put(FEED, rss(entry(1, "<p>一</p>")))
    added(ctx, site, every_min=7)
    errands.run(ctx)
    errands.run(ctx)
    assert [FEED] == [path for path, _ in site.asked]
    row = state(ctx)
    assert 7 * 60_000_000 == row.due_at - row.read_at
    feeds.remove(ctx, "town")
    with ctx.store.read() as connection:
        assert errands.next_due(connection) is None
    with pytest.raises(BadInput, match="no such feed"):
        feeds.known(ctx, "town")


def test_of_two_processes_one_reads_it(ctx: Context, site: FeedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both saw that it is due; who comes second finds it claimed."""
    site.put(FEED, rss(entry(1, "<p>一</p>")))
    seen = [added(ctx, site)]
    monkeypatch.setattr(rows, "due", lambda connection, now: seen)
    errands.run(ctx)
    errands.run(ctx)
    assert [FEED] == [path for path, _ in site.asked]


def test_under_review_nothing_goes_out_unseen(ctx: Context, site: FeedSite) -> None:
    """The rule is refused where the unit asks for no review, and for outlets that there are not."""
    for rule, named, why in (
        ("review", ("site",), "there is no outlet site"),
        ("review", (), "to which outlets"),
        ("draft", ("site",), "drafts go to no outlet"),
        ("auto", (), "is no rule"),
    ):
        with pytest.raises(BadInput, match=why):
            added(ctx, site, rule=rule, outlets=named)
    assert [] == acts(ctx)


@pytest.fixture
def desk(ctx: Context) -> Context:
    """With outlets that need no sandbox server."""
    outside = Outside(ctx.clock.now)

    def channel(row: Record) -> Channel:
        tools = Tools(None, lambda digest: b"", Templates(), ctx.clock.now)  # type: ignore[arg-type]  # none is called
        return KINDS[row.kind](Outlet(row.name, row.unit, row.kind, {}), tools, outside)

    return replace(ctx, kind=KINDS.__getitem__, channel=channel)


def relaxed(ctx: Context, site: FeedSite) -> str:
    """An item of a feed under review, whose unit asks for no review any more; the item's id."""
    with ctx.store.write() as connection:
        outlets.add(connection, {**OUTLET, "name": "site", "kind": "site"}, at=AT, actor="test")
        values = {"name": "town", "unit": outlets.LOCAL_UNIT, "url": site.url(FEED), "every_min": 30, "planner": ""}
        values |= {"rule": "review", "outlets": ["site"], "private_network": True}
        rows.add(connection, values, at=AT, actor="test")
    site.put(FEED, rss(entry(1, "<p>一</p>")))
    assert ["第 1 条"] == pulled(ctx).new
    (made,) = editions(ctx)
    return made.item


def planned(ctx: Context) -> int:
    with ctx.store.read() as connection:
        return len(releases.page(connection))


def test_what_a_feed_under_review_brought_goes_out_by_no_other_door(desk: Context, site: FeedSite) -> None:
    """Nor beside other items, nor while the feed is gone; removed, its rule is gone too, and a person decides."""
    item = relaxed(desk, site)
    assert "no longer asks for reviews" in state(desk).why
    other = desk.settings.home / "other.md"
    other.write_text("---\ntitle: 别的\n---\n\n别的一篇。\n")
    for sources in ((item,), (str(other), item)):
        with pytest.raises(BadInput, match="under review only") as refused:
            plan(desk, Order(sources, ("site",), at="2090-01-02T09:00Z"))
        assert "feed remove town" in refused.value.mend
    assert 0 == planned(desk)
    assert plan(desk, Order((str(other),), ("site",), at="2090-01-02T09:00Z"))
    feeds.remove(desk, "town")
    assert plan(desk, Order((item,), ("site",), at="2090-01-02T09:00Z"))
    assert 2 == planned(desk)


def test_a_unit_that_is_relaxed_meanwhile_lets_nothing_through(
    desk: Context, site: FeedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feed's own plan was begun while the unit still asked for reviews, and is refused with the reason."""
    relaxed(desk, site)
    a_moment_ago = SimpleNamespace(unit_of=lambda *of: SimpleNamespace(review="three"))
    monkeypatch.setattr(sys.modules[pull.__module__], "people", a_moment_ago)
    pulled(desk)
    ((_, why),) = read(desk).values()
    assert "under review only" in why
    assert 0 == planned(desk)


def test_a_refused_feed_says_why_in_json(ctx: Context, site: FeedSite) -> None:
    """What `feed list` and `feed show` print can be read by a program."""
    site.put(FEED, b"{}")
    row = added(ctx, site)
    pulled(ctx)
    with ctx.store.read() as connection:
        told = feeds.described(feeds.known(ctx, row.name), rows.counts(connection, row.name))
    assert json.loads(json.dumps(told)) == told
    assert ("active", 1) == (told["state"], told["failures"])
    assert "JSON feed" in told["why"]
