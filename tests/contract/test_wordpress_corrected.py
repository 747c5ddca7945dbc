"""A WordPress post corrected in place and withdrawn, among colleagues who edit it, too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sync.contract import Prepared, Receipt, Rejected, Stale
from sync.model import Key
from tests.contract import sites
from tests.contract.bench import server
from tests.contract.bench_wordpress import POSTS, Correction, Way, WordpressBench, bench


@pytest.fixture
def wordpress(tmp_path: Path) -> Iterator[WordpressBench]:
    with bench(tmp_path) as made:
        yield made


@pytest.fixture
def correction(wordpress: WordpressBench) -> Correction:
    return Correction(wordpress)


# correction


def test_a_correction_changes_the_very_post_and_keeps_its_date(correction: Correction) -> None:
    """Id, address and date of publication stay; the old text is among the revisions."""
    before = correction.site.colleague("GET", f"posts/{correction.public.ref}")
    receipt = correction.publish()
    after = correction.site.colleague("GET", f"posts/{correction.public.ref}")
    assert (before["id"], before["link"], before["date_gmt"]) == (after["id"], after["link"], after["date_gmt"])
    assert (correction.public.ref, correction.public.url) == (receipt.ref, receipt.url)
    revisions = correction.site.colleague("GET", f"posts/{receipt.ref}/revisions")
    assert correction.first.rendition.fields["mark"] in revisions[0]["content"]


def test_a_correction_leaves_neither_draft_nor_old_files(correction: Correction) -> None:
    """A colleague could publish the draft by mistake; the old file may be what had to be corrected."""
    old = [file["source_url"] for file in correction.site.files()]
    correction.publish()
    assert [404, 404] == [correction.site.tools.http.read(url).status for url in old]
    drafts = correction.site.colleague("GET", "posts?status=draft&context=edit")
    assert ([], 2) == (drafts, len(correction.site.files()))


def test_what_could_not_be_tidied_goes_with_the_withdrawal(correction: Correction) -> None:
    """The correction is public all the same, and says what is left."""
    correction.site.sandbox.knob("refuse", method="POST", path="/town/wp-json/wp/v2/media/*", times=2)
    prepared = correction.prepare()
    correction.site.sandbox.knob("html_page", method="POST", path=f"{POSTS}/{prepared.ref}", status=502)
    receipt = correction.send(prepared)
    assert isinstance(receipt, Receipt)
    assert (prepared.ref, correction.public.notes["media"]) == (receipt.notes["drafts"], receipt.notes["left"])
    assert () == correction.verify(receipt, correction.first.rendition).problems
    correction.site.sandbox.clear()
    correction.site.channel().withdraw(receipt, correction.site.key())
    assert [receipt.ref] == [
        str(post["id"]) for post in correction.site.colleague("GET", "posts?status=any&context=edit")
    ]
    assert 0 == len(correction.site.colleague("GET", "media?context=edit"))


def test_a_colleague_s_edit_is_never_overwritten_unseen(correction: Correction) -> None:
    """Before the preparation: told to the editor. After it: not armed."""
    prepared = correction.prepare()
    time.sleep(1.1)  # WordPress's times are whole seconds
    correction.colleague(content="<p>Edited by hand</p>")
    with pytest.raises(Stale, match="touched"):
        correction.send(prepared)
    with pytest.raises(Rejected, match="edited at the site"):
        correction.prepare()


def test_a_post_that_was_only_saved_again_is_corrected(correction: Correction) -> None:
    """Plug-ins do that: the time moved, and the text did not."""
    time.sleep(1.1)  # WordPress's times are whole seconds
    correction.colleague(featured_media=0)
    assert () == correction.verify(correction.publish(), correction.first.rendition).problems


@pytest.mark.parametrize("act", ["withdraw", "trash", "delete"])
def test_what_is_not_public_any_more_is_not_corrected(correction: Correction, act: str) -> None:
    """Noticed while arming, told by preparing."""
    prepared = correction.prepare()
    if act == "withdraw":
        correction.site.channel().withdraw(correction.public, correction.site.key())
    else:
        path = f"posts/{correction.public.ref}{'?force=true' if act == 'delete' else ''}"
        correction.site.colleague("DELETE", path)
    with pytest.raises(Stale):
        correction.send(prepared)
    with pytest.raises(Rejected, match="no longer public"):
        correction.prepare()


def test_a_correction_is_found_by_its_mark_without_its_preparation(correction: Correction) -> None:
    """After a restore: what is public, whose text it is, and which files belong to it."""
    assert correction.probe(None) is None
    prepared = correction.prepare()
    staged = correction.probe(None)
    assert isinstance(staged, Prepared)
    assert (prepared.ref, prepared.notes["public"]) == (staged.ref, staged.notes["public"])
    correction.send(prepared)
    found = correction.probe(None)
    assert isinstance(found, Receipt)
    assert (correction.public.ref, set(prepared.notes["media"].split())) == (
        found.ref,
        set(found.notes["media"].split()),
    )
    assert correction.public.notes["media"] == found.notes["left"]


def test_a_correction_that_says_the_same_is_not_taken_for_done(wordpress: WordpressBench) -> None:
    """The texts are equal on both sides; the mark tells."""
    first = Way(wordpress)
    receipt = first.publish()
    again = Way(wordpress, wordpress.edition, receipt)
    prepared = again.prepare()
    assert prepared == again.probe(prepared)
    assert not again.verify(receipt, first.rendition).visible
    changed = again.send(prepared)
    assert isinstance(changed, Receipt)
    assert () == again.verify(changed, first.rendition).problems


def test_a_correction_is_corrected_again(correction: Correction) -> None:
    """The receipt of the correction leads to the next one."""
    receipt = correction.publish()
    third = Way(correction.site, sites.corrected(correction.site.edition, 3, "再更正"), receipt)
    changed = third.publish()
    assert () == third.verify(changed, correction.rendition).problems
    assert 1 == correction.site.public_copies()


def test_a_receipt_without_notes_is_corrected_and_withdrawn(correction: Correction) -> None:
    """A person gave only what was found; what it names is enough."""
    correction.replaces = replace(correction.public, notes={})
    receipt = replace(correction.publish(), notes={})
    correction.site.channel().withdraw(receipt, correction.site.key())
    assert 0 == correction.site.public_copies()


# withdrawal


def test_a_withdrawn_post_is_a_draft_without_its_files(wordpress: WordpressBench) -> None:
    """A person can still read its text; nobody else finds page, entry, or files."""
    way = Way(wordpress)
    receipt = way.publish()
    urls = [receipt.url, *(file["source_url"] for file in wordpress.files())]
    wordpress.channel().withdraw(receipt, wordpress.key())
    assert [404] * 3 == [wordpress.tools.http.read(url).status for url in urls]
    post = wordpress.colleague("GET", f"posts/{receipt.ref}?context=edit")
    assert ("draft", way.rendition.fields["mark"] in post["content"]["raw"]) == (post["status"], True)


@pytest.mark.parametrize("act", ["trash", "delete"])
def test_what_was_removed_by_hand_is_withdrawn(wordpress: WordpressBench, act: str) -> None:
    """Success; what lies in the trash stays there."""
    way = Way(wordpress)
    receipt = way.publish()
    wordpress.colleague("DELETE", f"posts/{receipt.ref}{'?force=true' if act == 'delete' else ''}")
    wordpress.channel().withdraw(receipt, wordpress.key())
    assert not way.verify(receipt).visible
    if act == "trash":
        assert "trash" == wordpress.colleague("GET", f"posts/{receipt.ref}?context=edit")["status"]


def test_a_withdrawal_also_stops_a_planned_post(wordpress: WordpressBench) -> None:
    """Left as "future", the site would publish it by itself."""
    way = Way(wordpress)
    receipt = way.publish()
    wordpress.colleague("POST", f"posts/{receipt.ref}", {"status": "future", "date_gmt": "2099-01-01T00:00:00"})
    wordpress.channel().withdraw(receipt, wordpress.key())
    assert "draft" == wordpress.colleague("GET", f"posts/{receipt.ref}?context=edit")["status"]


def test_what_was_public_before_a_restart_of_the_site_is_corrected_and_withdrawn(tmp_path: Path) -> None:
    """The sandbox keeps posts and files, at the same address."""
    home = tmp_path / "sandbox"
    with server("channels.sandbox.wordpress", home) as running:
        first = Way(WordpressBench(running))
        receipt = first.publish()
        first.site.close()
    with server("channels.sandbox.wordpress", home) as running:
        site = WordpressBench(running)
        site._keys = 1
        assert () == site.channel().verify(receipt, first.rendition).problems
        again = Way(site, site.corrected, receipt)
        changed = again.publish()
        assert () == again.verify(changed, first.rendition).problems
        site.channel().withdraw(changed, Key("contract-suite", "another"))
        assert not again.verify(changed).visible
        site.close()
