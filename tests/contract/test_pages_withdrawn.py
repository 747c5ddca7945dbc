"""Withdrawals of pages of ours: the page, its files and its entries go, nothing else does, and it stays gone."""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from channels.listing import Entry, Shelves
from channels.staging import Staging
from channels.website import slug_of
from sync.contract import Place, Receipt, Rejected, TryLater, Unsupported
from sync.model import sha256
from tests.contract.bench import CLOCK, window
from tests.contract.death import Death, dying
from tests.contract.sites import PICTURE, StaticBench, corrected, edition, first_version

NINE = 1_795_395_600_000_000  # 2026-11-23 09:00 China time
MINUTE = 60_000_000


def status(url: str) -> int:
    """What an anonymous reader is answered."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("history", ["published", "first version", "corrected", "corrected and seen"])
def test_the_site_is_as_if_it_had_never_been(site: StaticBench, history: str) -> None:
    """Every other file is byte for byte what it was; page, pictures, attachments, PDF and entries are gone."""
    site.publish(edition("别的一件"), site.key(), NINE - MINUTE)
    before, hidden = site.content(), site.hidden_things()
    rendition, receipt = site.publish(site.edition, site.key(), NINE)
    files = site.public_files() - set(before)
    if history == "first version":
        receipt = first_version(receipt)
    if history.startswith("corrected"):
        rendition, receipt = site.correct(site.corrected, site.key(), receipt, NINE + MINUTE)
        files |= site.public_files() - set(before)
    if history == "corrected and seen":
        assert () == site.channel().verify(receipt, rendition).problems
    assert 404 != status(receipt.url)
    site.channel().withdraw(receipt, site.key())
    assert before == site.content()
    assert hidden == site.hidden_things()
    assert {404} == {status(f"{site.outlet.settings['base_url']}/{path}") for path in files}
    assert not site.channel().verify(receipt, rendition).visible


def test_the_pdfs_of_a_gazette_go_with_the_page(gazette: StaticBench) -> None:
    """Those of every edition; a death while files are removed leaves none that the repetition does not find."""
    gazette.publish(edition("别的一件"), gazette.key(), NINE - MINUTE)
    before = gazette.content()
    _, first = gazette.publish(gazette.edition, gazette.key(), NINE)
    rendition, receipt = gazette.correct(gazette.corrected, gazette.key(), first, NINE + MINUTE)
    assert 3 == sum(path.endswith(".pdf") for path in gazette.public_files())
    for changes in range(1, 40):
        try:
            with dying(changes):
                gazette.channel().withdraw(receipt, gazette.key())
        except Death:
            continue
        break
    assert before == gazette.content()
    assert 404 == status(f"{gazette.outlet.settings['base_url']}/{rendition.fields['pdf']}")


def test_the_only_item_leaves_empty_lists_that_still_open(site: StaticBench) -> None:
    """Pages that others link to stay and say that there is nothing; nothing leads to an empty column."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    lists = {path for path in site.public_files() if path.endswith((".html", ".xml")) and path != receipt.ref}
    site.channel().withdraw(receipt, site.key())
    assert lists == {path for path in site.public_files() if path.endswith((".html", ".xml"))}
    for path in lists:
        text = (site.served / path).read_text()
        assert site.edition.title not in text
        assert "tzgg/index.html" not in text
    assert "暂无内容" in (site.served / "index.html").read_text()


def test_withdrawing_again_changes_nothing(site: StaticBench) -> None:
    """Removing what is gone is success, also of a page that somebody deleted by hand."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    _, other = site.publish(edition("别的一件"), site.key(), NINE)
    site.channel().withdraw(receipt, site.key())
    before = site.content()
    site.channel().withdraw(receipt, site.key())
    assert before == site.content()
    (site.served / other.ref).unlink()
    site.channel().withdraw(other, site.key())
    assert 404 == status(other.url)
    assert not [path for path in site.public_files() if path.count("/") == 2]
    assert "别的一件" not in (site.served / "index.html").read_text()


def test_a_copy_that_a_person_found_can_be_withdrawn(site: StaticBench) -> None:
    """Its receipt has the address only; an address that is not of this site is refused in words."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    for address in ("https://elsewhere.example/notice/0123456789ab.html", f"{receipt.url}/..", ""):
        with pytest.raises(Unsupported, match="by hand"):
            site.channel().withdraw(Receipt("", address, NINE), site.key())
    assert 200 == status(receipt.url)
    site.channel().withdraw(Receipt("", receipt.url, NINE), site.key())
    assert 404 == status(receipt.url)
    assert not [path for path in site.public_files() if path.count("/") == 2]


def test_a_page_restored_from_a_backup_is_withdrawn_again(site: StaticBench) -> None:
    """That it was withdrawn before is no reason to leave it."""
    rendition, receipt = site.publish(site.edition, site.key(), NINE)
    page = (site.served / receipt.ref).read_bytes()
    site.channel().withdraw(receipt, site.key())
    (site.served / receipt.ref).write_bytes(page)
    assert site.channel().verify(receipt, rendition).visible
    site.channel().withdraw(receipt, site.key())
    assert 404 == status(receipt.url)


@pytest.mark.parametrize("receipts", ["named", "first version"])
def test_a_newer_edition_is_not_withdrawn_by_the_receipt_of_an_older(site: StaticBench, receipts: str) -> None:
    """The page names another delivery than the receipt: refused in words, nothing changed."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    if receipts == "first version":
        receipt = first_version(receipt)
    site.correct(site.corrected, site.key(), receipt, NINE + MINUTE)
    before = site.content()
    with pytest.raises(Rejected, match="another delivery"):
        site.channel().withdraw(receipt, site.key())
    assert before == site.content()


def test_a_page_of_somebody_else_is_not_withdrawn(site: StaticBench) -> None:
    """A page without our mark stays."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    (site.served / receipt.ref).write_text("<html>somebody's page")
    with pytest.raises(Rejected, match="somebody else"):
        site.channel().withdraw(receipt, site.key())
    assert (site.served / receipt.ref).exists()


def test_a_withdrawn_address_is_never_used_again(site: StaticBench) -> None:
    """Neither by the delivery that had it, nor by a correction, however late; armed shots do nothing."""
    key, again = site.key(), site.key()
    rendition, receipt = site.publish(site.edition, key, NINE)
    newer = site.channel().render(site.corrected, Place(again, receipt.url, receipt))
    prepared = site.channel().prepare(newer, again, receipt)
    shot = site.channel().arm(prepared, newer, again)
    site.channel().withdraw(receipt, site.key())
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(TryLater, match="nothing was published"):
        shot.settle()
    shot.close()
    for late in (
        lambda: site.channel().arm(prepared, newer, again),
        lambda: site.channel().prepare(newer, again, receipt),
        lambda: site.channel().prepare(rendition, key),
    ):
        with pytest.raises(Rejected, match="withdrawn"):
            late()
    assert site.channel().probe(rendition, key, None) is None
    assert not isinstance(site.channel().probe(newer, again, prepared, receipt), Receipt)
    site.channel().discard(prepared, again)
    assert 0 == site.hidden_things()


def test_only_own_files_go_whatever_the_text_says(site: StaticBench) -> None:
    """A text that names or links another item's files removes nothing of it."""
    _, other = site.publish(edition("别的一件"), site.key(), NINE)
    file = next(path for path in site.public_files() if path.endswith(".csv"))
    address = f"{site.outlet.settings['base_url']}/{file}"
    body = f'<p>../{file} 见<a href="{address}">另一件的附件</a></p>'
    before = site.content()
    _, receipt = site.publish(replace(edition("引用的一件", body), assets=()), site.key(), NINE + MINUTE)
    site.channel().withdraw(receipt, site.key())
    assert before == site.content()
    assert 200 == status(other.url)


def test_files_go_also_when_the_record_of_them_is_lost(site: StaticBench) -> None:
    """Then the page itself says which they are."""
    before = site.content()
    _, receipt = site.publish(site.edition, site.key(), NINE)
    for record in site.hidden.glob("records/*"):
        record.unlink()
    site.channel().withdraw(receipt, site.key())
    assert not [path for path in set(site.content()) - set(before) if path.count("/") == 2]
    assert sha256(PICTURE) not in {sha256(content) for content in site.content().values()}


def test_files_go_also_when_the_page_no_longer_names_them(site: StaticBench) -> None:
    """Somebody cut the links out of the page: the record says which files are its own."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    page = site.served / receipt.ref
    page.write_text(page.read_text().replace("../assets/", "https://elsewhere.example/"))
    site.channel().withdraw(receipt, site.key())
    assert not [path for path in site.public_files() if path.count("/") == 2]


def test_the_newest_lists_are_filled_up_from_the_months(website: StaticBench) -> None:
    """Of 51 entries the list shows 50; one withdrawn, the 51st is shown, even from an older month."""
    shelves = Shelves(Staging(website.served, create=True))
    for number in range(50):
        date, path = f"2026-{10 if number < 25 else 11}-03 08:{number:02d}", f"notice/{number}.html"
        entry = Entry(
            f"seed-{number}", date, path, f"旧件 {number} 号", "通知公告", slug_of("通知公告"), "notice", "", "", ""
        )
        shelves.enter(entry)
    _, receipt = website.publish(website.edition, website.key(), NINE)
    for page in ("tzgg/index.html", "feed.xml"):
        assert "旧件 0 号" not in (website.served / page).read_text()
    website.channel().withdraw(receipt, website.key())
    for page in ("tzgg/index.html", "feed.xml"):
        text = (website.served / page).read_text()
        assert "旧件 0 号" in text
        assert 50 == text.count("旧件 ")
    assert "25 篇" in (website.served / "tzgg/2026-11.html").read_text()


def test_a_death_at_any_change_is_repaired_by_repeating(site: StaticBench) -> None:
    """Wherever it dies: a reader finds the page whole or not at all, and the repetition ends as if nothing happened."""
    site.publish(edition("别的一件"), site.key(), NINE)
    before, deaths, was_public = site.content(), 0, set()
    for number in range(200):
        _, first = site.publish(edition(f"第 {number} 件"), site.key(), NINE + MINUTE)
        given = corrected(edition(f"第 {number} 件"))
        rendition, receipt = site.correct(given, site.key(), first, NINE + 2 * MINUTE)
        try:
            with dying(number):
                site.channel().withdraw(receipt, site.key())
        except Death:
            deaths += 1
        else:
            break
        sighting = site.channel().verify(receipt, rendition)
        was_public.add(sighting.visible)
        assert () == sighting.problems
        site.channel().withdraw(receipt, site.key())
        assert before == site.content()
    assert before == site.content()
    assert deaths > 8
    assert {True, False} == was_public


def test_what_the_reader_sees_goes_first(site: StaticBench) -> None:
    """The page is the first thing that goes; pictures and lists are touched only after it."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    before = site.content()
    for changes in range(1, 20):
        with pytest.raises(Death), dying(changes):
            site.channel().withdraw(receipt, site.key())
        if before != site.content():
            break
    assert {receipt.ref} == set(before) - set(site.content())
    assert {path: before[path] for path in site.content()} == site.content()


def test_a_late_settling_does_not_list_what_was_withdrawn(site: StaticBench) -> None:
    """The withdrawal came while the publication was just about to list itself."""
    key = site.key()
    rendition = site.render(key)
    shot = site.armed(rendition, key, NINE)
    shot.send(window(), CLOCK.boottime)
    found = site.channel().probe(rendition, key, None)
    assert isinstance(found, Receipt)
    site.channel().withdraw(found, site.key())
    before = site.content()
    shot.settle()
    assert before == site.content()


def test_a_failing_disk_is_told_and_the_repetition_completes_it(
    site: StaticBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is gone and the lists are not: the caller hears to come again."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    with monkeypatch.context() as patched:

        def full(self: Shelves, path: str, month: str) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(Shelves, "leave", full)
        with pytest.raises(TryLater):
            site.channel().withdraw(receipt, site.key())
    assert 404 == status(receipt.url)
    site.channel().withdraw(receipt, site.key())
    assert site.edition.title not in (site.served / "index.html").read_text()


def test_a_correction_that_comes_in_between_wins(site: StaticBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rename falls between our look at the page and its removal: the newer page stays."""
    _, receipt = site.publish(site.edition, site.key(), NINE)
    key = site.key()
    newer = site.channel().render(site.corrected, Place(key, receipt.url, receipt))
    shot = site.armed(newer, key, NINE + MINUTE, receipt)
    write = Staging.write

    def interrupted(self: Staging, files: dict[Path, bytes]) -> int:
        if any("withdrawn" in str(path) for path in files):
            shot.send(window(), CLOCK.boottime)
        return write(self, files)

    with monkeypatch.context() as patched:
        patched.setattr(Staging, "write", interrupted)
        with pytest.raises(TryLater, match="just being changed"):
            site.channel().withdraw(receipt, site.key())
    changed = shot.settle()
    assert isinstance(changed, Receipt)
    assert site.corrected.title in (site.served / receipt.ref).read_text()
    _, third = site.correct(corrected(site.edition, 3, "再更正"), site.key(), changed, NINE + 2 * MINUTE)
    site.channel().withdraw(third, site.key())
    assert 404 == status(receipt.url)
