"""What an author wrote becomes one canonical, harmless HTML, or is refused with its line."""

from __future__ import annotations

import unicodedata
from collections import Counter

import nh3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.content.markup import clean
from sync.content.refusal import BadItem
from sync.content.scan import Tag, Text, pieces
from sync.content.vocabulary import ACCEPTED, ATTRIBUTES, REFUSED
from sync.model import BadInput

ASSET = "asset:" + "a" * 64


class Beside:
    """A folder with one picture, known by its alt text, and one attachment."""

    def picture(self, address: str, alt: str, where: str) -> tuple[str, str]:
        if address != "images/x.jpg":
            raise BadInput(where, f"no {address}", "none")
        return ASSET, alt or "from the list"

    def linked(self, address: str, where: str) -> str:
        if address != "form.pdf":
            raise BadInput(where, f"no {address}", "none")
        return ASSET


def places(html: str) -> list[str]:
    """Where a text is refused."""
    with pytest.raises(BadItem) as raised:
        clean(html, "item.html", files=Beside())
    return [refusal.where for refusal in raised.value.each]


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("text", "<p>text</p>"),
        ("<div>one</div><section>two<div>three</div></section>", "<p>one</p>\n<p>two</p>\n<p>three</p>"),
        ("<h1>a</h1><h4>b</h4><h6>c</h6>", "<h2>a</h2>\n<h4>b</h4>\n<h4>c</h4>"),
        ("<p><b>a</b><strong>b</strong> <i>c</i></p>", "<p><strong>ab</strong> <em>c</em></p>"),
        ("<em><a href='https://x.cn/'>a</a></em>", '<p><a href="https://x.cn/"><em>a</em></a></p>'),
        ("<a href='https://x.cn/' href='https://y.cn/'>a</a>", '<p><a href="https://x.cn/">a</a></p>'),
        ("<strong><p>a</p>b</strong>", "<p><strong>a</strong></p>\n<p><strong>b</strong></p>"),
        ("<ul><li><p>a</p></li><li>b<p>c</ul>", "<ul><li>a</li><li><p>b</p><p>c</p></li></ul>"),
        ("<ul><li>a</li><ul><li>b</li></ul></ul>", "<ul><li><p>a</p><ul><li>b</li></ul></li></ul>"),
        ("<ol><li>a<li><li>c</ol>", "<ol><li>a</li><li></li><li>c</li></ol>"),
        (
            "<table><tr><td colspan=1 rowspan=2 class=x>1",
            '<table><tbody><tr><td rowspan="2">1</td></tr></tbody></table>',
        ),
        ("<table><thead><tr><th scope=col>a", '<table><thead><tr><th scope="col">a</th></tr></thead></table>'),
        ("<table><caption>c</caption><tr><td>1", "<p>c</p>\n<table><tbody><tr><td>1</td></tr></tbody></table>"),
        ("<blockquote>a<p>b</blockquote>", "<blockquote><p>a</p><p>b</p></blockquote>"),
        ("<figure>a<figcaption>b</figcaption></figure>", "<figure>a<figcaption>b</figcaption></figure>"),
        ("<figure><figcaption>b</figcaption>a</figure>", "<figure><figcaption>b</figcaption>a</figure>"),
        ("<figcaption>b</figcaption>", "<p>b</p>"),
        ("<pre>a\nb</pre>", "<p>a<br>b</p>"),
        ("<p><br>a<br>b<br></p><p>&nbsp;</p><p></p>", "<p>a<br>b</p>"),
        ("x<sup>2<sub>i</sub></sup><hr>", "<p>x<sup>2<sub>i</sub></sup></p>\n<hr>"),
        ("<dl><dt>a<dd>b</dl>", "<p>a</p>\n<p>b</p>"),
        ("1 < 2 &amp; 3 > 2 &quot;", '<p>1 &lt; 2 &amp; 3 &gt; 2 "</p>'),
        ("<!doctype html><html><head><meta charset=utf-8></head><body><p class=MsoNormal>a<o:p></o:p>", "<p>a</p>"),
        ("a<!-- not seen -->b<!-- nor this --!>c", "<p>abc</p>"),
    ],
)
def test_different_markup_for_one_thing_becomes_one_form(written: str, canonical: str) -> None:
    """Channels have to know the canonical subset and nothing else."""
    assert clean(written, "x") == canonical


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("中文，\n中文", "中文，中文"),
        ("他说\n“好”", "他说“好”"),
        ("中文\n  <b>中文</b>", "中文<strong>中文</strong>"),
        ("中文\nword", "中文 word"),
        ("한국\n말", "한국 말"),
        ("a \t\n b", "a b"),
        ("中 文", "中 文"),
        ("　　首行缩进", "首行缩进"),
    ],
)
def test_line_ends_put_no_gaps_into_chinese(written: str, canonical: str) -> None:
    """How the source is wrapped must not be seen; what was typed inside a line stays."""
    assert clean(written, "x") == f"<p>{canonical}</p>"


def test_a_table_cell_keeps_its_indentation() -> None:
    """In statistics an indented row is part of the one above."""
    assert "<td>　其中</td>" in clean("<table><tr><td>　其中</td></tr></table>", "x")


def test_a_list_that_starts_elsewhere_keeps_its_numbers_as_text() -> None:
    """An outlet that ignores `start` would print other digits than were approved."""
    assert clean("<ol start=3><li>a<li>b</ol>", "x") == "<p>3. a</p>\n<p>4. b</p>"


def test_equal_text_gives_equal_bytes_whatever_its_normal_form() -> None:
    """NFC everywhere, also where a combining character stands right behind a tag."""
    decomposed = "<p>e\u0301</p>"
    assert clean(decomposed, "x") == clean("<p>é</p>", "x")
    overlaid = clean("<p><b>\u0338x</b></p>", "x")
    assert unicodedata.normalize("NFC", overlaid) == overlaid
    assert clean(overlaid, "x") == overlaid


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_every_refused_element_is_refused_on_its_line(name: str) -> None:
    """Nothing active, hidden or unshowable is removed in silence."""
    assert "item.html:3" in places(f"<p>one</p>\n<p>two</p>\n<{name}>three")


@pytest.mark.parametrize(
    "written",
    [
        "<p onclick=alert(1)>x</p>",
        "<p OnMouseOver='x'>x</p>",
        "<a href='javascript:alert(1)'>x</a>",
        "<a href='java\tscript:alert(1)'>x</a>",
        "<a href=' &#106;avascript&colon;alert(1)'>x</a>",
        "<a href='vbscript:x'>x</a>",
        "<a href='data:text/html,x'>x</a>",
        "<p background='javascript:x'>x</p>",
        "<meta http-equiv=Refresh content='0;url=https://x.cn/'>",
        "<p style='display: none'>x</p>",
        "<p hidden>x</p>",
        "<ol reversed><li>x</ol>",
        "<ol type=a><li>x</ol>",
        "<ol><li value=7>x</ol>",
        "<table><tr><td rowspan=0>x</table>",
        "见<GB9704>",
        "x</foo>",
        "a<b 5</p>",
        "<p>x<!-- never closed",
        "<p>x</p><![CDATA[lost]]>",
        "<a href='https://x.cn/>x</a>",
        "<a href='https://x.cn:99999/'>x</a>",
        "<a href='https:///x'>x</a>",
        "<a href=''>x</a>",
        "<a href='#below'>x</a>",
        "<a href='//x.cn/'>x</a>",
        "<a href='tel:110'>x</a>",
        "<a href='other.html'>x</a>",
        "<img alt=x>",
        "<img src='https://x.cn/x.jpg' alt=x>",
        "<img src='//x.cn/x.jpg' alt=x>",
        "<img src='data:image/png;base64,AAAA' alt=x>",
        "<img src='images/y.jpg' alt=x>",
        "<div>" * 51 + "x",
    ],
)
def test_whatever_would_do_or_mean_something_else_is_refused(written: str) -> None:
    """Each of these would act, vanish or lead nowhere on some outlet."""
    assert places(f"<p>one</p>\n{written}") == ["item.html:2"]


@pytest.mark.parametrize(
    "address", ["javascript:x", "JavaScript:x", "java\tscript:x", " &#106;avascript&colon;x", "\1vbscript:x"]
)
def test_a_program_in_an_address_is_called_one(address: str) -> None:
    """However it is disguised, the message says what it is."""
    with pytest.raises(BadItem, match="can run a program"):
        clean(f"<a href='{address}'>x</a>", "x", files=Beside())


def test_every_problem_is_told_at_once_in_the_order_of_the_text() -> None:
    """A person mends the file in one go; links come after pictures only in how they are read."""
    html = "<a href='nowhere'>x</a>\n<img src='http://x.cn/y.png' alt=y>\n<script>\nx\n</script>\n<p onclick=x>"
    assert places(html) == [f"item.html:{line}" for line in (1, 2, 3, 6)]


def test_lines_are_those_of_the_file() -> None:
    """The caller knows where the HTML stood."""
    with pytest.raises(BadItem) as raised:
        clean("<p>\n<script>", "item.md", line=lambda line: line + 10)
    assert raised.value.where == "item.md:12"


def test_links_to_the_world_stay_as_they_are() -> None:
    """http, https and mailto; a legacy entity in a query is not one."""
    html = clean("<a href='https://x.cn/?a=1&copy=2#b'>x</a> <a href='mailto:a@x.cn'>y</a>", "x")
    assert html == '<p><a href="https://x.cn/?a=1&amp;copy=2#b">x</a> <a href="mailto:a@x.cn">y</a></p>'


def test_files_of_the_item_are_named_by_their_bytes() -> None:
    """Relative addresses become asset addresses; alt text comes from either place."""
    html = clean(
        "<a href='form.pdf'>f</a><img src='images/x.jpg'><img src=images/x.jpg alt=' a\n b'>", "x", files=Beside()
    )
    assert html == f'<p><a href="{ASSET}">f</a><img src="{ASSET}" alt="from the list"><img src="{ASSET}" alt="a b"></p>'


def test_a_cleaned_picture_without_alt_text_is_refused() -> None:
    """Also where no folder is at hand."""
    with pytest.raises(BadInput, match="alt text"):
        clean(f"<img src='{ASSET}'>", "x")


_LETTERS = st.text(alphabet="ab中，“\n\u3000\u00a0\u0338\u3099か&<>;#\u200b\x01e\u0301\r\t3", max_size=5)
_STARTS = st.sampled_from(sorted(ACCEPTED - {"a", "img"} | {"span", "col"})).map(lambda name: f"<{name}>")
_ENDS = st.sampled_from(sorted(ACCEPTED)).map(lambda name: f"</{name}>")
_SPECIAL = ["<a href='https://x.cn/'>", f"<img src={ASSET} alt=x>", "<td colspan=2>", "<th scope=row>", "<ol start=4>"]
_SPECIAL += [
    "<ul>",
    "<li>",
    "<table>",
    "<tr>",
    "<td>",
    "<!-- c -->",
    "&nbsp;",
    "&#824;",
    "<br>",
    "<figure>",
    "<figcaption>",
]
SOUP = st.lists(st.one_of(_LETTERS, _STARTS, _ENDS, st.sampled_from(_SPECIAL)), max_size=25).map("".join)


def letters(html: str) -> Counter[str]:
    text = "".join(piece.value for piece in pieces(html) if isinstance(piece, Text))
    return Counter(c for c in unicodedata.normalize("NFD", text) if c.isprintable() and not c.isspace())


@settings(max_examples=400, deadline=None)
@given(SOUP)
def test_cleaning_is_final_and_loses_no_letter(soup: str) -> None:
    """Cleaned again it is the same; browsers' own parser reads it as it stands; every visible letter is there."""
    try:
        html = clean(soup, "x")
    except BadInput:
        return
    assert clean(html, "x") == html
    assert unicodedata.is_normalized("NFC", html)
    parsed = nh3.clean(html, tags=set(ACCEPTED), attributes=ATTRIBUTES, url_schemes={"https", "asset"}, link_rel=None)
    assert parsed.replace("&nbsp;", "\u00a0").replace("\u0338", "&#824;") == html.replace("\u0338", "&#824;")
    assert not letters(soup) - letters(html)


_ACTIVE = ["<script>", "</script>", "<svg>", "</svg>", "<title>", "</title>", "<style>", "<noscript>", "<template>"]
_ACTIVE += [
    "<textarea>",
    "<plaintext>",
    "<xmp>",
    "<select>",
    "<body onload=x>",
    "onclick=x",
    "javascript:x",
    "<a href=",
]
_PLAIN = ["<p", "<b", "<i>", "</p", "<table>", "<td>", "<o:p>", "text", "x", " ", "\n", "\0", "&#106;avascript:x"]
_HALF = ['"', "'", ">", "<", "/", "=", "<!--", "-->", "--!>", "<!doctype html>", "<![CDATA[", "]]>", "<?xml?>"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(_ACTIVE + _PLAIN + _HALF), max_size=15).map("".join))
def test_what_is_accepted_holds_nothing_active_for_a_browser(soup: str) -> None:
    """Our line-counting reader and the browsers' parser never disagree about what is active."""
    try:
        clean(soup, "x")
    except BadInput:
        return
    seen = nh3.clean(
        soup,
        tags=set(ACCEPTED | REFUSED.keys() | {"title"}),
        clean_content_tags=set(),
        attributes=ATTRIBUTES,
        generic_attribute_prefixes={"on"},
        url_schemes={"https", "javascript"},
        link_rel=None,
    )
    for piece in pieces(seen):
        if isinstance(piece, Tag):
            assert piece.name not in REFUSED
            assert not any(name.startswith("on") for name in piece.attributes)
            assert not any("script:" in value for value in piece.attributes.values())
