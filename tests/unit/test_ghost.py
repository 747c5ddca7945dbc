"""The pure parts of the Ghost channel: its token, the article it makes, and how a page is read, whatever the theme."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from channels.ghost_article import EXCERPT_LIMIT, card, excerpt, head, rendition, with_addresses
from channels.ghost_key import token
from channels.ghost_page import Page, as_written, browsers, fragment, marker_in, read
from channels.names import marker_of
from sync.clock import SECOND
from sync.contract import Place, Unauthorised, Unsupported
from sync.model import Asset, AssetRole, Edition, Key, Rendition, Token
from sync.render import Templates

NOW = 1_795_450_000 * SECOND + 999_999
KEY = Key("unit", "delivery")
CANONICAL = "https://county.example/12.html"
PICTURE = Asset("a" * 64, "image/png", 9, "a.png", AssetRole.IMAGE, "线路图")


def made(body: str, *assets: Asset, canonical: str | None = CANONICAL, **metadata: str) -> Rendition:
    edition = Edition("item", 1, "标题", body, metadata, assets)
    return rendition(edition, Templates(), Place(KEY, canonical))


def text(value: str) -> Token:
    return Token("text", value)


# token


def decoded(part: str) -> Mapping[str, Any]:
    told: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return told


def test_a_token_is_signed_with_the_bytes_of_the_secret() -> None:
    """HS256 over header and claims; the id in the header, five minutes, for the Admin API; no padding."""
    made = token(" 6489abc:00ff10 \n", NOW)
    head, claims, seal = made.split(".")
    expected = hmac.new(b"\x00\xff\x10", f"{head}.{claims}".encode(), hashlib.sha256).digest()
    assert expected == base64.urlsafe_b64decode(seal + "=" * (-len(seal) % 4))
    assert {"alg": "HS256", "typ": "JWT", "kid": "6489abc"} == decoded(head)
    assert {"iat": 1_795_450_000, "exp": 1_795_450_300, "aud": "/admin/"} == decoded(claims)
    assert "=" not in made and "00ff10" not in made


@pytest.mark.parametrize("key", ["", ":", "id:", ":00", "id", "id:xy", "id:0"])
def test_what_is_no_key_is_not_repeated(key: str) -> None:
    """The operator is told what a key looks like, not what was given."""
    with pytest.raises(Unauthorised) as caught:
        token(f"{key}", NOW)
    assert "id:xy" not in str(caught.value)


# article


def test_the_article_is_one_element_with_the_delivery_s_mark() -> None:
    """Text beside the elements of a card would be lost."""
    content = made("<p>一</p>\n<p>二</p>").content
    assert content.startswith('<div class="tongfa" lang="zh-CN" data-tongfa="') and content.endswith("</div>")
    assert marker_of(KEY) == marker_in(content)
    assert f"<!--kg-card-begin: html-->\n{content}\n<!--kg-card-end: html-->" == card(content)


def test_an_english_item_is_labelled_in_english() -> None:
    """By the item's language, as for readers of the page."""
    attachment = Asset("b" * 64, "text/csv", 2048, "times.csv", AssetRole.ATTACHMENT)
    shown = made("<p>Text.</p>", attachment, language="en", source="Town", editor="Li").shown
    assert (
        Token("title", "标题"),
        text("Text."),
        text("Attachments"),
        text("times.csv (2.0 KB)"),
        Token("link", CANONICAL),
        text("Source: Town"),
        text("Editor: Li"),
        text("Read the original"),
        Token("link", CANONICAL),
    ) == shown


def test_what_must_be_seen_comes_from_the_item() -> None:
    """Each picture with its description, empty cells, and files as links to the canonical page."""
    body = (
        f'<p>见<a href="asset:{PICTURE.digest}">图</a><img src="asset:{PICTURE.digest}" alt="线路图"></p>'
        "<table><tr><td>12</td><td></td></tr></table>"
    )
    assert (
        *head("标题", "摘要", ""),
        text("见图"),
        Token("link", CANONICAL),
        Token("image", PICTURE.digest),
        text("线路图"),
        Token("cell", "12"),
        Token("cell", ""),
        text("查看原文"),
        Token("link", CANONICAL),
    ) == made(body, PICTURE, summary=" 摘\n要 ".replace("\n", "")).shown


def test_without_a_canonical_address_there_is_no_link_to_it() -> None:
    """Attachments are named all the same."""
    attachment = Asset("b" * 64, "text/csv", 9, "times.csv", AssetRole.ATTACHMENT)
    shown = made("<p>文</p>", attachment, canonical=None).shown
    assert (Token("title", "标题"), text("文"), text("附件"), text("times.csv (9 B)")) == shown


def test_what_the_article_cannot_hold_is_unsupported() -> None:
    """Markup outside the item's own, and pictures it does not have."""
    for body in (
        "<p>a</p><script>1</script>",
        f'<p><img src="asset:{"c" * 64}" alt="x"></p>',
        "<p>a</p></div><p>b</p>",
    ):
        with pytest.raises(Unsupported):
            made(body)


def test_the_template_cannot_leave_anything_out() -> None:
    """A mistake in it is a difference like any other."""

    class Careless(Templates):
        def render(self, template: str, **values: object) -> str:
            return super().render(template, **{**values, "document_no": ""})

    edition = Edition("item", 1, "标题", "<p>文</p>", {"document_no": "18号"})
    with pytest.raises(Unsupported, match="18号"):
        rendition(edition, Careless(), Place(KEY, CANONICAL))


def test_pictures_get_their_addresses_and_nothing_else_changes() -> None:
    """Only what names a file of the item; a missing one is a bug."""
    content = made(f'<p>asset:x <img src="asset:{PICTURE.digest}" alt="a &amp; &lt;b&gt;"></p>', PICTURE).content
    sent = with_addresses(content, {PICTURE.digest: "https://g.example/a.png?x=1&y=2"})
    assert 'src="https://g.example/a.png?x=1&amp;y=2"' in sent and 'alt="a &amp; &lt;b&gt;"' in sent
    assert content == sent.replace("https://g.example/a.png?x=1&amp;y=2", f"asset:{PICTURE.digest}")
    with pytest.raises(KeyError):
        with_addresses(content, {})


def test_a_long_summary_is_cut_where_ghost_would_refuse_it() -> None:
    """With an ellipsis, at 300."""
    assert "字" * EXCERPT_LIMIT == excerpt("字" * EXCERPT_LIMIT)
    assert "字" * (EXCERPT_LIMIT - 1) + "…" == excerpt("字" * (EXCERPT_LIMIT + 1))


# page

ARTICLE = '<div data-tongfa="m"><p>文</p></div>'


def page(main: str, meta: str = "") -> Page:
    return read(f"<!doctype html><html><head>{meta}</head><body>{main}</body></html>".encode())


def test_the_title_is_the_heading_before_the_article() -> None:
    """Not the site's name above it, nor headings in it or below."""
    found = page(f"<h1>站名</h1><h1>标 <b>题</b></h1>{ARTICLE.replace('文', '<h1>小标题</h1>')}<h1>相关</h1>")
    assert ("标 题", "m") == (found.title, found.marker)
    assert ("标题", None) == (page("<h1>标题</h1><h1>相关</h1>").title, page("<h1>标题</h1>").content)


def test_all_of_the_content_counts_where_the_theme_marks_it() -> None:
    """Elsewhere only the article itself: what stands around it may be design."""
    around = f'<section class="gh-content gh-canvas"><p>前</p>{ARTICLE}<p>后</p></section>'
    content = page(f"<h1>标题</h1>{around}<footer>页脚</footer>").content
    assert content is not None
    assert (text("前"), text("文"), text("后")) == fragment(content, str)
    content = page(around.replace("gh-content", "entry")).content
    assert content is not None
    assert (text("文"),) == fragment(content, str)


def test_summary_and_cover_come_from_the_head() -> None:
    """As Ghost writes them for every theme."""
    meta = '<meta name="description" content=" 摘 要 "><meta property="og:image" content="https://g.example/c.png">'
    found = page(ARTICLE, meta)
    assert ("摘 要", "https://g.example/c.png") == (found.description, found.cover)
    assert ("", "") == (page(ARTICLE).description, page(ARTICLE).cover)


@pytest.mark.parametrize("broken", [b"", b"\0", b"<", b"<!-- -->", b"\xff\xfe", b"{}"])
def test_what_is_no_page_has_no_article(broken: bytes) -> None:
    """Nothing is raised."""
    assert (None, "") == (read(broken).content, read(broken).marker)


def test_two_pictures_of_one_address_keep_their_descriptions() -> None:
    """In order; a picture without one has none."""
    html = (
        '<p><img src="/a" alt="一"><img src="/a" alt="二"></p><p><img src="/b" alt=" "><img data-src="/c" src="x"></p>'
    )
    assert (
        Token("image", "/A"),
        text("一"),
        Token("image", "/A"),
        text("二"),
        Token("image", "/B"),
        Token("image", "/C"),
    ) == fragment(html, str.upper)


# links


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://A.Example", "https://a.example/"),
        ("https://a.example:443/b", "https://a.example/b"),
        ("http://a.example:8080", "http://a.example:8080/"),
        ("https://a.example?q=1", "https://a.example/?q=1"),
        (
            "https://例子.example/线 路?站=一'#表",
            "https://xn--fsqu00a.example/%E7%BA%BF%20%E8%B7%AF?%E7%AB%99=%E4%B8%80%27#%E8%A1%A8",
        ),
        ("https://a.example/%e7%9A?a=[b]&c={d}", "https://a.example/%e7%9A?a=[b]&c={d}"),
        ("mailto:A@b.example", "mailto:A@b.example"),
        ("https://[", "https://["),
        ("https://a.example:x/", "https://a.example:x/"),
        ("/p", "/p"),
    ],
)
def test_addresses_as_browsers_write_them(written: str, read: str) -> None:
    """After the URL standard; what is none stays as it is."""
    assert read == browsers(written)


@pytest.mark.parametrize(
    ("written", "seen", "known"),
    [
        ("https://a.example/b", "https://a.example/b?ref=g.example", True),
        ("https://a.example/b?c=1#d", "https://a.example/b?c=1&ref=g.example#d", True),
        ("https://a.example", "https://a.example/?ref=g.example", True),
        ("https://a.example", "https://a.example/", True),
        ("https://a.example", "https://a.example", True),
        ("https://a.example/?ref=x", "https://a.example/?ref=x", True),
        ("https://a.example/?ref=x", "https://a.example/?ref=x&ref=g.example", False),
        ("https://a.example/?source=x", "https://a.example/?source=x&ref=g.example", False),
        ("https://a.example/b", "https://a.example/b?ref=h.example", False),
        ("https://a.example/b", "https://a.example/b?ref=g.example&x=1", False),
        ("https://a.example/b", "https://a.example/c?ref=g.example", False),
        ("https://a.example/b?c=1", "https://a.example/b?ref=g.example", False),
        ("https://a.example/b", "http://a.example/b", False),
        ("mailto:a@b.example", "mailto:a@b.example?ref=g.example", False),
    ],
)
def test_only_what_ghost_does_to_a_link_is_overlooked(written: str, seen: str, known: bool) -> None:
    """Its own tag, its own way of writing; a changed address stays changed."""
    shown = (Token("link", written), text("x"))
    found = as_written((Token("link", seen), text(seen)), shown, "https://www.g.example/post/")
    assert (Token("link", written if known else seen), text(seen)) == found


def test_the_same_item_and_place_give_the_same_rendition() -> None:
    """And another delivery another mark."""
    first, again = (made("<p>文</p>") for _ in range(2))
    assert first.digest == again.digest
    other = rendition(
        Edition("item", 1, "标题", "<p>文</p>"), Templates(), Place(replace(KEY, delivery="x"), CANONICAL)
    )
    assert first.shown == other.shown and first.digest != other.digest
