"""What is peculiar to what a person publishes: the package, the pasted page, and what of it can be compared."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from lxml import etree

from channels.manual import ManualChannel
from sync.contract import Place, Receipt, Rejected, TryLater, Unsupported, Window
from sync.model import Asset, AssetRole, BadInput, Edition, Key, Outlet, Rendition, sha256
from tests.contract.bench import CLOCK
from tests.contract.bench_manual import ManualBench, bench
from tests.contract.bench_webhook import EDITION, PICTURE

TIMES = "站点,首班\n镇政府,06:30\n".encode()
WITH_FILE = replace(
    EDITION,
    body=EDITION.body + f'<ul><li>见<a href="asset:{sha256(TIMES)}">时刻表</a></li><li>电话<br>0571-5550</li></ul>',
    assets=(*EDITION.assets, Asset(sha256(TIMES), "text/csv", len(TIMES), "时刻表 1.csv", AssetRole.ATTACHMENT)),
)
KEY = Key("installation", "delivery-7")
ORIGINAL = "https://county.example/7.html"


@pytest.fixture
def manual(tmp_path: Path) -> Iterator[ManualBench]:
    with bench(tmp_path) as made:
        made.blobs[sha256(TIMES)] = TIMES
        yield made


def rendered(channel: ManualChannel, edition: Edition = EDITION, replaces: Receipt | None = None) -> Rendition:
    return channel.render(edition, Place(KEY, ORIGINAL, replaces))


def packed(manual: ManualBench, edition: Edition = WITH_FILE, replaces: Receipt | None = None) -> dict[str, bytes]:
    channel = manual.channel()
    return dict(channel.preview(rendered(channel, edition, replaces)))


def test_the_package_has_everything_to_paste(manual: ManualBench) -> None:
    """The page to open first, texts as files, pictures and files numbered under plain names, byte for byte."""
    files = packed(manual)
    assert ["index.html", "title.txt", "text.txt", "body.html", "pictures/01-route.png"] == list(files)[:5]
    assert (PICTURE, TIMES) == (files["pictures/01-route.png"], files["attachments/02-时刻表_1.csv"])
    assert EDITION.title == files["title.txt"].decode()
    assert 'src="pictures/01-route.png"' in files["body.html"].decode()


def test_the_package_says_what_to_do_and_how_it_ends(manual: ManualBench) -> None:
    """Where, with what in mind, the original's address, and the two commands of this very delivery."""
    page = packed(manual)["index.html"].decode()
    for told in ("今日头条·清溪发布", "勾选“原创”", ORIGINAL, "12路线路图"):
        assert told in page
    assert "tongfa delivery settle delivery-7 --found public" in page
    assert "tongfa delivery settle delivery-7 --found nothing" in page
    there = Receipt("https://toutiao.example/1", "https://toutiao.example/1", 0)
    assert there.url in packed(manual, replaces=there)["index.html"].decode()


def test_the_package_needs_nothing_from_elsewhere(manual: ManualBench) -> None:
    """No script, no address that a browser would load but of its own files."""
    files = packed(manual)
    root = etree.fromstring(files["index.html"], etree.HTMLParser(encoding="utf-8"))
    assert [] == list(root.iterdescendants("script", "iframe", "link"))
    assert {unquote(one.get("src", "")) for one in root.iterdescendants("img")} <= files.keys()


def test_the_text_without_markup_keeps_every_row(manual: ManualBench) -> None:
    """A table's row is a line with tabs, a list's item a line; where a picture belongs, its file is named."""
    text = packed(manual)["text.txt"].decode().splitlines()
    assert "自12月1日起，12路试运行，首班 06:30，见线路图。" == text[0]
    assert [
        "［图片 pictures/01-route.png］",
        "站点\t首班",
        "镇政府\t06:30",
        "· 见时刻表",
        "· 电话",
        "· 0571-5550",
    ] == text[1:]


def test_nothing_is_asked_before_the_address_is_pasted(manual: ManualBench) -> None:
    """Not while it is prepared, nor at the instant."""
    channel = manual.channel()
    rendition = rendered(channel)
    channel.login()
    shot = channel.arm(channel.prepare(rendition, KEY), rendition, KEY)
    at = CLOCK.boottime()
    shot.send(Window(at, at + 2.0), CLOCK.boottime)
    shot.settle()
    assert [] == manual.sandbox.record()


@pytest.mark.parametrize("unmarked", [False, True], ids=["marked", "unmarked"])
def test_words_alone_are_compared_unless_more_is_asked(manual: ManualBench, unmarked: bool) -> None:
    """A platform that drops pictures and links is no difference; a changed digit is."""
    if unmarked:
        manual.sandbox.knob("unmarked", times=0)
    words, everything = manual.configured(compares="text"), manual.channel()
    html = rendered(words).content.replace('<img src="pictures/01-route.png" alt="12路线路图">', "")
    html = html.replace('<a href="https://bus.example/12?a=1&amp;b=2">线路图</a>', "线路图")
    there = manual.pasted(rendered(words), html=html)
    assert () == words.verify(there, rendered(words)).problems
    kinds = {problem.where for problem in everything.verify(there, rendered(everything)).problems}
    assert {"image", "link"} == kinds
    manual.alter("digit")
    assert words.verify(there, rendered(words)).problems


def test_where_a_file_of_the_item_lies_is_the_platforms(manual: ManualBench) -> None:
    """An attachment has another address on each; a link to elsewhere has one."""
    channel = manual.channel()
    rendition = rendered(channel, WITH_FILE)
    path = quote("attachments/02-时刻表_1.csv")
    assert path in rendition.content
    moved = rendition.content.replace(path, "https://files.example/7")
    kinds = {problem.where for problem in channel.verify(manual.pasted(rendition, html=moved), rendition).problems}
    assert {"link"} == kinds, "one more link, and none missing"
    assert [] == [token for token in rendition.shown if token.value == path]


@pytest.mark.parametrize("kind", ["digit", "cell"])
def test_what_the_person_mistyped_is_found(manual: ManualBench, kind: str) -> None:
    channel = manual.configured(compares="text")
    rendition = rendered(channel)
    wrong = {"digit": ("首班 06:30，", "首班 06:80，"), "cell": ("<td>06:30</td>", "")}[kind]
    there = manual.pasted(rendition, html=rendition.content.replace(*wrong))
    sighting = channel.verify(there, rendition)
    assert (True, True) == (sighting.visible, bool(sighting.problems))


def test_another_page_is_no_sight_of_it(manual: ManualBench) -> None:
    """What answers 200 and tells nothing of the item: a page of something else, or of what is gone."""
    channel = manual.channel()
    rendition = rendered(channel)
    other = replace(EDITION, title="别的事", body="<p>没有关系。</p>", assets=())
    elsewhere = manual.pasted(rendered(channel, other))
    assert not channel.verify(elsewhere, rendition).visible
    there = manual.pasted(rendition)
    assert channel.verify(there, rendition).visible
    manual.sandbox.knob("soft_404", times=0)
    request = urllib.request.Request(there.url, method="DELETE")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert 204 == answer.status
    assert not channel.verify(there, rendition).visible


def test_an_address_of_another_site_is_not_read(manual: ManualBench) -> None:
    """Pasted by mistake, it is said to be no address of that outlet."""
    channel = manual.channel()
    lines = len(manual.sandbox.record())
    with pytest.raises(Rejected, match="does not begin so"):
        channel.verify(Receipt("x", f"{manual.sandbox.address}/village/pages/1", 0), rendered(channel))
    assert lines == len(manual.sandbox.record())


def test_behind_a_login_nothing_can_be_read(manual: ManualBench) -> None:
    """Said in the settings it is Unsupported, and nothing is asked; unsaid it is no sight of the item."""
    rendition = rendered(manual.channel())
    there = manual.pasted(rendition)
    manual.sandbox.knob("walled", times=0)
    lines = len(manual.sandbox.record())
    with pytest.raises(Unsupported):
        manual.configured(readable="no").verify(there, rendition)
    assert lines == len(manual.sandbox.record())
    assert not manual.channel().verify(there, rendition).visible


def test_a_page_that_answers_an_error_says_nothing(manual: ManualBench) -> None:
    """Nor is its time one for the outlet's other pages."""
    channel = manual.channel()
    there = manual.pasted(rendered(channel))
    manual.sandbox.knob("refuse", method="GET", status=503, headers={"Retry-After": "60"})
    with pytest.raises(TryLater) as later:
        channel.verify(there, rendered(channel))
    assert (True, None) == (later.value.not_before is not None, later.value.of)


def test_a_correction_is_seen_once_the_person_has_made_it(manual: ManualBench) -> None:
    """While the page shows the old text it is not visible yet; then it is compared as any."""
    channel = manual.channel()
    first = rendered(channel)
    there = manual.pasted(first)
    one_cell = replace(EDITION, revision=2, body=EDITION.body.replace("<td>06:30</td>", "<td>06:45</td>"))
    newer = rendered(channel, one_cell, there)
    assert not channel.verify(there, newer, first).visible
    changed = manual.pasted(newer, there)
    sighting = channel.verify(changed, newer, first)
    assert (there.url, True, ()) == (changed.url, sighting.visible, sighting.problems)


def test_only_a_person_removes_it(manual: ManualBench) -> None:
    """Nothing is asked of the platform."""
    channel = manual.channel()
    there = manual.pasted(rendered(channel))
    with pytest.raises(Unsupported, match="a person"):
        channel.withdraw(there, KEY)
    assert 1 == manual.public_copies()


@pytest.mark.parametrize(("name", "value"), [("readable", "maybe"), ("compares", "words")])
def test_a_setting_that_cannot_be_meant_is_refused(manual: ManualBench, name: str, value: str) -> None:
    with pytest.raises(BadInput, match=name):
        manual.configured(**{name: value})


def test_an_edition_that_cannot_be_pasted_is_refused(manual: ManualBench) -> None:
    """Without title or text, with markup outside the subset, or with a picture that is not there."""
    channel = manual.channel()
    for edition in (
        replace(EDITION, title=" "),
        replace(EDITION, body=" "),
        replace(EDITION, body="<video></video>"),
        replace(EDITION, assets=()),
    ):
        assert [problem for problem in channel.check(edition) if problem.fatal]


def test_the_twin_contacts_no_configured_host() -> None:
    """Addresses that count begin with the sandbox's."""
    configured = {"where": "头条", "address_prefix": "https://www.toutiao.com/"}
    twin = ManualChannel.twin(Outlet("town", "unit", "manual", configured, live=True), "http://127.0.0.1:9", "")
    assert ("http://127.0.0.1:9/town/", False) == (twin.settings["address_prefix"], twin.live)
