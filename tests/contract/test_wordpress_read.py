"""What the public finds of a WordPress post: caches, themes, closed interfaces, files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.contract import Receipt, TryLater
from tests.contract.bench_wordpress import Correction, Way, WordpressBench, bench


@pytest.fixture
def wordpress(tmp_path: Path) -> Iterator[WordpressBench]:
    with bench(tmp_path) as made:
        yield made


@pytest.fixture
def correction(wordpress: WordpressBench) -> Correction:
    return Correction(wordpress)


# what the public finds


def test_a_page_out_of_a_cache_is_not_yet_corrected(correction: Correction) -> None:
    """The site shows the new text already; readers do not get it."""
    correction.site.sandbox.knob("page_cache", seconds=600)
    assert () == correction.first.verify(correction.public).problems
    receipt = correction.publish()
    assert not correction.verify(receipt, correction.first.rendition).visible
    correction.site.sandbox.clear()
    assert () == correction.verify(receipt, correction.first.rendition).problems


def test_a_withdrawn_page_in_a_cache_is_still_public(wordpress: WordpressBench) -> None:
    """Readers still get it."""
    way = Way(wordpress)
    receipt = way.publish()
    wordpress.sandbox.knob("page_cache", seconds=600)
    assert way.verify(receipt).visible
    wordpress.channel().withdraw(receipt, wordpress.key())
    sighting = way.verify(receipt)
    assert sighting.visible and sighting.problems
    wordpress.sandbox.clear()
    assert not way.verify(receipt).visible


def test_a_cached_absence_is_an_absence(wordpress: WordpressBench) -> None:
    """Whoever came too early made the cache learn it; the site and the API have it."""
    way = Way(wordpress)
    prepared = way.prepare()
    wordpress.sandbox.knob("page_cache", seconds=600)
    address = f"{wordpress.sandbox.address}/town/{way.rendition.fields['slug']}/"
    assert 404 == wordpress.tools.http.read(address).status
    receipt = way.send(prepared)
    assert isinstance(receipt, Receipt) and address == receipt.url
    sighting = way.verify(receipt)
    assert (False, ["public"]) == (sighting.visible, [problem.where for problem in sighting.problems])


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_what_a_cache_shows_right_and_the_site_wrong_is_no_match(wordpress: WordpressBench, closed: bool) -> None:
    """The next reader whom the cache does not serve sees the other text; told also where the API is closed."""
    if closed:
        wordpress.sandbox.knob("closed_rest")
    way = Way(wordpress)
    receipt = way.publish()
    wordpress.sandbox.knob("page_cache", seconds=600)
    assert () == way.verify(receipt).problems
    wordpress.alter("digit")
    sighting = way.verify(receipt)
    assert sighting.visible and sighting.problems


@pytest.mark.parametrize("only", ["api", "page"])
def test_page_and_api_have_to_agree(wordpress: WordpressBench, only: str) -> None:
    """Applications read the one, people the other."""
    way = Way(wordpress)
    receipt = way.publish()
    wordpress.sandbox.knob("alter", replace=["06:30", "06:31"], only=only)
    problems = way.verify(receipt).problems
    assert problems and all(("API：" in problem.message) is (only == "api") for problem in problems)


@pytest.mark.parametrize("code", ["rest_login_required", "rest_forbidden"])
def test_a_site_whose_api_is_closed_is_judged_by_its_pages(wordpress: WordpressBench, code: str) -> None:
    """Both before and after a withdrawal, whatever the plug-in says that closed it."""
    wordpress.sandbox.knob("closed_rest", code=code)
    way = Way(wordpress)
    receipt = way.publish()
    assert (True, ()) == (way.verify(receipt).visible, way.verify(receipt).problems)
    wordpress.channel().withdraw(receipt, wordpress.key())
    assert not way.verify(receipt).visible


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_a_theme_that_drops_the_mark_is_visible_and_no_match(wordpress: WordpressBench, closed: bool) -> None:
    """The title tells that it is there; the text cannot be told from what is around it."""
    if closed:
        wordpress.sandbox.knob("closed_rest")
    wordpress.sandbox.knob("bare_theme")
    way = Way(wordpress)
    sighting = way.verify(way.publish())
    assert sighting.visible and sighting.problems


def test_another_post_at_a_similar_address_is_not_taken_for_it(wordpress: WordpressBench) -> None:
    """WordPress leads an unknown address to a post whose slug begins so."""
    way = Way(wordpress)
    receipt = way.publish()
    slug = way.rendition.fields["slug"]
    wordpress.colleague(
        "POST", "posts", {"title": "别的", "content": "<p>别的</p>", "slug": f"{slug}-x", "status": "publish"}
    )
    wordpress.channel().withdraw(receipt, wordpress.key())
    assert 200 == wordpress.tools.http.read(receipt.url).status
    assert not way.verify(receipt).visible


def test_a_page_that_has_gone_while_the_api_has_it_is_told(wordpress: WordpressBench) -> None:
    """The permalinks were changed: it is public, and not where it was said to be."""
    way = Way(wordpress)
    receipt = way.publish()
    wordpress.colleague("POST", f"posts/{receipt.ref}", {"slug": "moved"})
    sighting = way.verify(receipt)
    assert (True, ["public"]) == (sighting.visible, [problem.where for problem in sighting.problems])


def test_an_attachment_is_read_back_too(wordpress: WordpressBench) -> None:
    """A link that leads to nothing, or to another file, is a difference."""
    way = Way(wordpress)
    receipt = way.publish()
    table = next(line["ref"] for line in wordpress.effects("media_uploaded") if line["detail"]["width"] == 0)
    wordpress.colleague("DELETE", f"media/{table}?force=true")
    assert {"link"} == {problem.where for problem in way.verify(receipt).problems}


def test_a_server_in_trouble_is_no_absence(wordpress: WordpressBench) -> None:
    """503 to a reader says nothing of the post, and its time is none for other posts."""
    way = Way(wordpress)
    receipt = way.publish()
    page = f"/town/{way.rendition.fields['slug']}/"
    wordpress.sandbox.knob("refuse", method="GET", path=page, status=503, headers={"Retry-After": "60"})
    with pytest.raises(TryLater) as later:
        way.verify(receipt)
    assert (True, None) == (later.value.not_before is not None, later.value.of)
