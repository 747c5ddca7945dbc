"""Corrections of pages of ours: one rename over the old page, whole until then; nothing newer is overwritten."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import feedparser
import pytest

from channels.gazette import pdf
from channels.listing import Shelves
from channels.staging import Staging
from sync.contract import Place, Prepared, Receipt, Rejected, Stale, TryLater, Unsupported
from sync.model import Edition, Key
from tests.contract.bench import CLOCK, window
from tests.contract.death import Death, dying
from tests.contract.sites import StaticBench, corrected, edition, first_version

NINE = 1_795_395_600_000_000  # 2026-11-23 09:00 China time
TEN = NINE + 3_600_000_000


def lists(site: StaticBench) -> list[str]:
    """Every page that lists the items of November, and the feed."""
    paths = {
        "website": ("index.html", "tzgg/index.html", "tzgg/2026-11.html", "feed.xml"),
        "gazette": ("index.html", "2026-11.html"),
    }
    return [(site.served / path).read_text() for path in paths[site.outlet.kind]]


def test_the_old_page_is_whole_until_the_shot(site: StaticBench) -> None:
    """Prepared and armed, every file that was there is as it was; what is added lies in hidden folders."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    before = site.content()
    key = site.key()
    rendition = site.channel().render(site.corrected, Place(key, receipt.url, receipt))
    shot = site.armed(rendition, key, TEN, receipt)
    after = site.content()
    assert before == {path: after[path] for path in before}
    added = set(after) - set(before)
    assert added
    assert all(path.startswith(("assets/", "files/")) for path in added)
    shot.send(window(), CLOCK.boottime)
    page = (site.served / receipt.ref).read_bytes()
    assert site.corrected.title.encode() in page
    assert site.edition.title.encode() + b"<" not in page


def test_the_page_keeps_its_publication_date_and_shows_the_correction(site: StaticBench) -> None:
    """PubDate is never forged; the instant of the correction stands beside it, and is what the server says changed."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    rendition, changed = site.correct(site.corrected, site.key(), receipt, TEN)
    page = (site.served / receipt.ref).read_text()
    assert '<meta name="PubDate" content="2026-11-23 09:00">' in page
    assert '<time class="published" datetime="2026-11-23 09:00+08:00">2026-11-23 09:00</time>' in page
    assert '更正时间 <span lang="en">Corrected</span>' in page
    assert '<time class="corrected" datetime="2026-11-23 10:00+08:00">2026-11-23 10:00</time>' in page
    assert "corrected-" not in page
    assert TEN * 1000 == (site.served / receipt.ref).stat().st_mtime_ns
    assert ("2026-11-23 09:00", "2026-11-23 10:00") == (changed.notes["pub_date"], changed.notes["corrected"])
    assert () == site.channel().verify(changed, rendition).problems


def test_every_list_shows_the_new_title_once_in_its_old_place(site: StaticBench) -> None:
    """Home, column, month and feed; the order by publication stays."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    site.publish(edition("后一件"), site.key(), NINE + 60_000_000)
    site.correct(site.corrected, site.key(), receipt, TEN)
    for text in lists(site):
        assert f"{site.edition.title}<" not in text
        assert site.corrected.title in text
        assert text.index("后一件") < text.index(site.corrected.title)
    assert 2 == lists(site)[-1].count("<item>" if site.outlet.kind == "website" else "<time")


def test_the_feed_keeps_the_identity_of_the_entry(website: StaticBench) -> None:
    """Readers of the feed see one entry change, not a second one come; it says when."""
    _, receipt = website.publish(website.edition, website.key(), NINE)
    (old,) = feedparser.parse((website.served / "feed.xml").read_bytes()).entries
    website.correct(website.corrected, website.key(), receipt, TEN)
    feed = feedparser.parse((website.served / "feed.xml").read_bytes())
    assert not feed.bozo
    (new,) = feed.entries
    assert (old.id, old.link, old.published) == (new.id, new.link, new.published)
    assert website.corrected.title == new.title
    assert (2026, 11, 23, 2, 0) == tuple(new.updated_parsed)[:5]
    assert "Mon, 23 Nov 2026 10:00:00 +0800" == feed.feed.updated


def test_a_correction_may_move_to_another_column(website: StaticBench) -> None:
    """The old column loses the entry and, without any, its place in the navigation; the address stays."""
    _, receipt = website.publish(website.edition, website.key(), NINE)
    website.publish(edition("政策一件", kind="policy", column="政策文件"), website.key(), NINE)
    moved = replace(website.corrected, metadata={**website.edition.metadata, "kind": "policy", "column": "政策文件"})
    _, changed = website.correct(moved, website.key(), receipt, TEN)
    assert receipt.url == changed.url
    assert moved.title in (website.served / "zcwj/index.html").read_text()
    assert moved.title in (website.served / "zcwj/2026-11.html").read_text()
    for path in ("tzgg/index.html", "tzgg/2026-11.html"):
        assert moved.title not in (website.served / path).read_text()
        assert "暂无内容" in (website.served / path).read_text()
    for path in ("index.html", "zcwj/index.html"):
        assert "tzgg/index.html" not in (website.served / path).read_text()
    assert 2 == (website.served / "feed.xml").read_text().count("<item>")


def test_files_of_the_old_edition_go_when_the_new_one_was_seen(site: StaticBench) -> None:
    """Not with the rename, which a reader may have overtaken; with the first clean reading, and nothing but them."""
    key = site.key()
    _, receipt = site.publish(site.edition, key, NINE)
    old = {path for path in site.public_files() if path.startswith(("assets/", "files/")) and path.count("/") == 2}
    rendition, changed = site.correct(site.corrected, site.key(), receipt, TEN)
    new = site.public_files()
    assert old <= new
    assert () == site.channel().verify(changed, rendition).problems
    assert new - old == site.public_files()
    assert () == site.channel().verify(changed, rendition).problems


def test_the_pdf_of_a_gazette_is_corrected_with_its_page(gazette: StaticBench) -> None:
    """A new file under a new name, which says the new text; the old one goes when the new one was seen."""
    first, receipt = gazette.publish(gazette.edition, gazette.key(), NINE)
    rendition, changed = gazette.correct(gazette.corrected, gazette.key(), receipt, TEN)
    assert first.fields["pdf"] != rendition.fields["pdf"]
    assert "06:45" in pdf.text_of((gazette.served / rendition.fields["pdf"]).read_bytes())
    assert (gazette.served / first.fields["pdf"]).exists()
    assert () == gazette.channel().verify(changed, rendition, first).problems
    assert not (gazette.served / first.fields["pdf"]).exists()
    (gazette.served / rendition.fields["pdf"]).unlink()
    assert gazette.channel().verify(changed, rendition, first).problems


def test_files_that_were_never_seen_replaced_go_with_the_next_edition(site: StaticBench) -> None:
    """Two corrections without a reading between them: the files of both old editions go."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    _, second = site.correct(site.corrected, site.key(), receipt, TEN)
    before = {path for path in site.public_files() if path.startswith(("assets/", "files/")) and path.count("/") == 2}
    rendition, third = site.correct(corrected(site.edition, 3, "再更正"), site.key(), second, TEN + 60_000_000)
    assert () == site.channel().verify(third, rendition).problems
    assert not before & site.public_files()


def test_an_altered_new_page_keeps_the_old_files(site: StaticBench) -> None:
    """What was not seen as approved is not tidied up after."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    rendition, changed = site.correct(site.corrected, site.key(), receipt, TEN)
    files = site.public_files()
    site.sandbox.knob("alter", replace=["06:45", "06:46"])
    assert site.channel().verify(changed, rendition).problems
    assert files == site.public_files()


@pytest.mark.parametrize("receipts", ["named", "first version"])
def test_an_older_edition_never_takes_the_place_of_a_newer_one(site: StaticBench, receipts: str) -> None:
    """Prepared, armed or asked about late, the second edition leaves the third alone, and says so."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    if receipts == "first version":
        receipt = first_version(receipt)
    older, newer = site.key(), site.key()
    second = site.channel().render(site.corrected, Place(older, receipt.url, receipt))
    prepared = site.channel().prepare(second, older, receipt)
    shot = site.channel().arm(prepared, second, older)
    site.correct(corrected(site.edition, 3, "第三版"), newer, receipt, TEN)
    before = site.content()
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(TryLater, match="nothing was published"):
        shot.settle()
    shot.close()
    for late in (
        lambda: site.channel().arm(prepared, second, older),
        lambda: site.channel().prepare(second, older, receipt),
        lambda: site.channel().probe(second, older, prepared, receipt),
    ):
        with pytest.raises(Rejected, match="another delivery"):
            late()
    assert before == site.content()


def test_a_page_of_somebody_else_is_not_corrected_away(site: StaticBench) -> None:
    """A page without our mark at the copy's address stops preparing, arming and probing."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    key = site.key()
    rendition = site.channel().render(site.corrected, Place(key, receipt.url, receipt))
    prepared = site.channel().prepare(rendition, key, receipt)
    (site.served / receipt.ref).write_text("<html>somebody's page")
    for act in (
        lambda: site.channel().prepare(rendition, key, receipt),
        lambda: site.channel().arm(prepared, rendition, key),
        lambda: site.channel().probe(rendition, key, prepared, receipt),
    ):
        with pytest.raises(Rejected, match="somebody else"):
            act()


def test_a_first_publication_does_not_overwrite_what_stands_there(site: StaticBench) -> None:
    """A page that appeared at the address stops arming too, and one that appears after it stops the shot."""
    key = site.key()
    rendition = site.render(key)
    prepared = site.channel().prepare(rendition, key)
    shot = site.channel().arm(prepared, rendition, key)
    (site.served / rendition.fields["path"]).write_text("<html>somebody's page")
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(TryLater):
        shot.settle()
    with pytest.raises(Rejected, match="somebody else"):
        site.channel().arm(prepared, rendition, key)
    assert "somebody" in (site.served / rendition.fields["path"]).read_text()


def test_a_rendition_for_another_address_is_stale(site: StaticBench) -> None:
    """Rendered as a new item, a correction would come out beside the old page."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    key = site.key()
    with pytest.raises(Stale):
        site.channel().prepare(site.channel().render(site.corrected, Place(key, receipt.url)), key, receipt)


def test_copies_from_before_there_were_corrections_can_be_corrected(site: StaticBench) -> None:
    """Their receipts name no delivery: the page is the first one, and PubDate is the receipt's."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    rendition, changed = site.correct(site.corrected, site.key(), first_version(receipt), TEN)
    assert () == site.channel().verify(changed, rendition).problems
    assert "2026-11-23 09:00" == changed.notes["pub_date"]
    with pytest.raises(Rejected):
        site.correct(corrected(site.edition, 3), site.key(), first_version(receipt), TEN)


def test_a_copy_that_a_person_found_can_be_corrected(site: StaticBench) -> None:
    """Its receipt has the address only; an address that is not of this site is refused in words."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    rendition, changed = site.correct(site.corrected, site.key(), Receipt("", receipt.url, TEN), TEN)
    assert () == site.channel().verify(changed, rendition).problems
    assert "2026-11-23 09:00" == changed.notes["pub_date"]
    base = site.outlet.settings["base_url"]
    for address in ("https://elsewhere.example/notice/0123456789ab.html", f"{base}/../../etc/passwd", f"{base}/"):
        with pytest.raises(Unsupported, match="by hand"):
            site.channel().render(site.corrected, Place(site.key(), address, Receipt("", address, TEN)))


def test_a_page_that_went_missing_comes_back_corrected(site: StaticBench) -> None:
    """Somebody deleted the file by hand: that is no withdrawal, and the correction shows the item again."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    (site.served / receipt.ref).unlink()
    rendition, changed = site.correct(site.corrected, site.key(), receipt, TEN)
    assert () == site.channel().verify(changed, rendition).problems
    assert "2026-11-23 09:00" == changed.notes["pub_date"]


def test_discarding_a_correction_touches_nothing_public(site: StaticBench) -> None:
    """Every file is as it was before it was prepared, and what was hidden is gone."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    before, hidden = site.content(), site.hidden_things()
    key = site.key()
    rendition = site.channel().render(site.corrected, Place(key, receipt.url, receipt))
    prepared = site.channel().prepare(rendition, key, receipt)
    assert before != site.content()
    site.channel().discard(prepared, key)
    site.channel().discard(prepared, key)
    assert (before, hidden) == (site.content(), site.hidden_things())
    site.correct(site.corrected, key, receipt, TEN)
    with pytest.raises(Rejected):
        site.channel().discard(Prepared(receipt.ref), key)


@pytest.mark.parametrize("state", ["untouched", "altered"])
def test_the_old_page_is_not_the_new_one_altered(website: StaticBench, state: str) -> None:
    """Told by the delivery it names: also when only a meta tag differs, and when somebody altered the old text."""
    rendition, receipt = website.publish(website.edition, website.key(), NINE)
    key = website.key()
    only_tags = replace(website.edition, metadata={**website.edition.metadata, "summary": "新的摘要"})
    newer = website.channel().render(only_tags, Place(key, receipt.url, receipt))
    if state == "altered":
        website.sandbox.knob("alter", replace=["06:30", "06:31"])
    sighting = website.channel().verify(receipt, newer, rendition)
    assert (False, ()) == (sighting.visible, sighting.problems)
    assert website.channel().verify(receipt, newer).problems


def test_a_changed_date_of_correction_is_a_problem(site: StaticBench) -> None:
    """Another one, none, or one on a page that is no correction."""
    first, receipt = site.publish(site.edition, site.key(), NINE)
    site.sandbox.knob(
        "alter", replace=['<time class="published"', '<time class="corrected">2026</time><time class="published"']
    )
    assert ["text"] == [problem.where for problem in site.channel().verify(receipt, first).problems]
    site.sandbox.clear()
    rendition, changed = site.correct(site.corrected, site.key(), receipt, TEN)
    for new in ("2026-11-23 10:01</time>", "</time>"):
        site.sandbox.knob("alter", replace=["2026-11-23 10:00</time>", new])
        assert any("corrected" in problem.message for problem in site.channel().verify(changed, rendition).problems)
        site.sandbox.clear()


def test_a_late_settling_does_not_list_the_older_title(site: StaticBench) -> None:
    """A third edition came while the second was just about to list itself."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    key = site.key()
    rendition = site.channel().render(site.corrected, Place(key, receipt.url, receipt))
    shot = site.armed(rendition, key, TEN, receipt)
    shot.send(window(), CLOCK.boottime)
    second = site.channel().probe(rendition, key, None, receipt)
    assert isinstance(second, Receipt)
    site.correct(corrected(site.edition, 3, "再更正"), site.key(), second, TEN)
    before = site.content()
    shot.settle()
    assert before == site.content()


def recover(site: StaticBench, given: Edition, key: Key, replaces: Receipt) -> Receipt:
    """As the engine does after a death: look, and go on from what is there."""
    rendition = site.channel().render(given, Place(key, replaces.url, replaces))
    found = site.channel().probe(rendition, key, None, replaces)
    if isinstance(found, Receipt):
        return found
    return site.correct(given, key, replaces, TEN)[1]


def test_a_death_at_any_change_leaves_one_whole_page(website: StaticBench) -> None:
    """Old or new, with all its files; going on from there ends where an undisturbed correction does."""
    site, deaths, was_new = website, 0, set()
    site.publish(edition("别的一件"), site.key(), NINE)
    for number in range(200):
        rendition, receipt = site.publish(edition(f"第 {number} 件"), site.key(), NINE + number * 60_000_000)
        key, given = site.key(), corrected(edition(f"第 {number} 件"))
        newer = site.channel().render(given, Place(key, receipt.url, receipt))
        try:
            with dying(number):
                site.correct(given, key, receipt, TEN)
        except Death:
            deaths += 1
        else:
            break
        is_new = given.title.encode() in (site.served / receipt.ref).read_bytes()
        was_new.add(is_new)
        seen = site.channel().verify(receipt, rendition) if not is_new else site.channel().verify(receipt, newer)
        assert (True, ()) == (seen.visible, seen.problems)
        changed = recover(site, given, key, receipt)
        assert () == site.channel().verify(changed, newer).problems
        assert 1 == (site.served / "feed.xml").read_text().count(f"<title>{given.title}<")
        for text in lists(site):
            assert f"第 {number} 件<" not in text
        own = [path for path in site.public_files() if path.count("/") == 2]
        assert len(own) == 2 * (number + 2)  # picture and table of each item, none left over
    assert deaths > 10
    assert {True, False} == was_new


def test_a_death_while_moving_columns_keeps_the_identity(website: StaticBench) -> None:
    """Between the two columns' lists the entry is in both, never in none: its id survives."""
    _, receipt = website.publish(website.edition, website.key(), NINE)
    moved = replace(website.corrected, metadata={**website.edition.metadata, "kind": "policy", "column": "政策文件"})
    key = website.key()
    (old,) = feedparser.parse((website.served / "feed.xml").read_bytes()).entries
    rendition = website.channel().render(moved, Place(key, receipt.url, receipt))
    website.armed(rendition, key, TEN, receipt).send(window(), CLOCK.boottime)
    for changes in range(20):
        with suppress(Death), dying(changes):
            website.channel().probe(rendition, key, None, receipt)
    (new,) = feedparser.parse((website.served / "feed.xml").read_bytes()).entries
    assert (old.id, moved.title) == (new.id, new.title)


def test_a_full_disk_while_moving_columns_is_mended_later(
    website: StaticBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages of both columns are written when the lists in the hidden folder are already right."""
    _, receipt = website.publish(website.edition, website.key(), NINE)
    moved = replace(website.corrected, metadata={**website.edition.metadata, "kind": "policy", "column": "政策文件"})
    key = website.key()
    rendition = website.channel().render(moved, Place(key, receipt.url, receipt))
    website.armed(rendition, key, TEN, receipt).send(window(), CLOCK.boottime)
    with monkeypatch.context() as patched:
        write = Staging.write

        def full(self: Staging, files: dict[Path, bytes]) -> int:
            if any(path.suffix == ".html" for path in files):
                raise OSError(28, "No space left on device")
            return write(self, files)

        patched.setattr(Staging, "write", full)
        with pytest.raises(TryLater):
            website.channel().probe(rendition, key, None, receipt)
    assert website.edition.title in (website.served / "tzgg/index.html").read_text()
    assert isinstance(website.channel().probe(rendition, key, None, receipt), Receipt)
    assert website.edition.title not in (website.served / "tzgg/index.html").read_text()
    assert moved.title in (website.served / "zcwj/index.html").read_text()


def test_shelves_written_before_there_were_corrections_are_read(website: StaticBench) -> None:
    """Entries in the hidden folder without the newer field are listed as before."""
    website.publish(website.edition, website.key(), NINE)
    for file in website.hidden.glob("index/**/*.json"):
        file.write_text(file.read_text().replace(',"corrected":""', ""))
    website.publish(edition("后一件"), website.key(), NINE + 60_000_000)
    assert website.edition.title in (website.served / "tzgg/index.html").read_text()
    (shelf,) = Shelves(Staging(website.served, create=False)).leave("notice/none.html", "2026-11")
    assert ["后一件", website.edition.title] == [entry.title for entry in shelf.month]
