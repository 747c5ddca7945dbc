"""Texts that no filter of WordPress bites, blocks, the reading of pages, and what an answer means: pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels import wordpress_page as pages
from channels import wordpress_post as post
from channels.names import marker_of
from channels.sandbox.wordpress_text import POST_TAGS, kses, shown_content, shown_title
from channels.wordpress_site import SPOKEN, Site, many, number, one
from channels.wordpress_text import inert, losses, protected, quoted, with_addresses
from sync.answer import Answer
from sync.compare import plain, tokens
from sync.contract import Ambiguous, Egress, Misbehaved, OutletError, Rejected, TryLater, Unauthorised, Unsupported
from sync.model import Asset, AssetRole, Edition, Key, Token, sha256
from sync.render import Templates
from tests.contract import sites

KEY, PAGES = Key("installation", "delivery"), Templates()


# texts


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("2026-11-20 06:30，清政通〔2026〕18号：a-b", "2026-11-20 06:30，清政通〔2026〕18号：a-b"),
        ('"a" it\'s', "&quot;a&quot; it&#039;s"),
        ("<Ende> & [x]", "&lt;Ende&gt; &amp; &#091;x&#093;"),
        ("a - b -- c", "a &#045; b &#045;&#045; c"),
        ("等等...", "等等.&#046;&#046;"),
        ("3x4 x (tm)", "3&#120;4 x &#040;tm)"),
        (":) https://a.example", "&#058;) https&#058;//a.example"),
        ("Wordpress WordPress", "Word&#112;ress WordPress"),
    ],
)
def test_only_what_a_filter_would_bite_is_written_as_a_reference(text: str, source: str) -> None:
    """The site's own search reads the source: dates, times and numbers stay as they are."""
    assert source == inert(text)


LETTERS = st.text(st.sampled_from("ab Wordpress12x()[]{}:;.,!?-–'\"`<>&/\\8O=_*#@汉字，。“” tm"), max_size=40)


@given(LETTERS)
@example("Wordpress")
@example(" - ")
@example("``a''")
def test_no_filter_changes_what_a_reader_sees(text: str) -> None:
    """In a title and in a paragraph, for users with and without the filter of markup."""
    assert plain(text) == tuple(replace(one, kind="text") for one in tokens(shown_title(inert(text))))
    content = protected(
        f"<!-- wp:paragraph -->\n<p>{text.replace('&', '&amp;').replace('<', '&lt;')}</p>\n<!-- /wp:paragraph -->"
    )
    assert content == kses(content, POST_TAGS)
    assert tokens(content) == tokens(shown_content(content))


def test_without_it_they_would() -> None:
    """So the tests above can fail."""
    assert tokens("a -- b") != tokens(shown_title("a -- b"))


def test_protecting_twice_is_protecting_once() -> None:
    """Block marks and attributes stay; a void element has no end."""
    html = '<!-- wp:image {"level":3} --><p>a "b"<br>c<img src="asset:1" alt="[x] &quot;y&quot;"></p><hr/>'
    once = protected(html)
    assert (once, tokens(html)) == (protected(once), tokens(once))
    assert '<!-- wp:image {"level":3} -->' in once and once.endswith("<hr>")
    assert 'alt="&#091;x&#093; &quot;y&quot;"' in once


def test_files_are_named_by_their_addresses() -> None:
    """Only where an attribute is meant; a digest without an address is a bug."""
    digest = sha256(b"x")
    content = protected(f'<p><a href="asset:{digest}">asset:{digest}</a></p>')
    made = with_addresses(content, {digest: 'https://a.example/?b="1"&c'})
    assert tokens(made)[1] == Token("link", 'https://a.example/?b="1"&c')
    assert f"asset:{digest}" in tokens(made)[0].value
    with pytest.raises(KeyError):
        with_addresses(content, {})


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ("<p>a &#034;b&#034;</p>", ()),
        ("<p>a &quot;b&quot;</p>\n", ()),
        ("a &quot;b&quot;", ("<p>",)),
        ("<p>a &quot;c&quot;</p>", ("text:",)),
        ('<p onclick="x">a &quot;b&quot;</p>', ("属性",)),
        ("<p>a &quot;b&quot;</p><b></b>", ("<b>",)),
    ],
)
def test_what_the_site_changed_is_named(stored: str, told: tuple[str, ...]) -> None:
    """How a character is written does not count; an element, a word, an attribute does."""
    found = losses("<p>a &quot;b&quot;</p>", stored)
    assert len(told) <= len(found) and bool(told) is bool(found)
    assert all(any(one in line for line in found) for one in told)


# the post


def edition(body: str, *assets: Asset, **metadata: str) -> Edition:
    return Edition("item", 1, "标题", body, metadata, assets)


def test_the_body_becomes_blocks() -> None:
    """What the site's editor would write itself as its own blocks, the rest as blocks of HTML."""
    body = (
        f'<h2>一</h2>\n<p>a</p>\n<h3>二</h3>\n<figure><img src="asset:{sha256(b"x")}" alt="图">'
        "<figcaption>b</figcaption></figure>\n<table><tbody><tr><td>1</td></tr></tbody></table>\n<ul><li>c</li></ul>\n<hr>\n<figure><p>d</p></figure>"
    )
    asset = Asset(sha256(b"x"), "image/png", 1, "x.png", AssetRole.IMAGE, "图")
    made = post.blocks(edition(body, asset))
    kinds = [line.split()[1] for line in made.splitlines() if line.startswith("<!-- wp:")]
    expected = "heading paragraph heading image html html separator html"
    assert [f"wp:{kind}" for kind in expected.split()] == kinds
    assert tokens(body, str) == tokens(made, str)


def test_text_outside_of_paragraphs_is_one() -> None:
    """Before, between and after."""
    assert [Token("text", word) for word in ("a", "b", "c < d")] == list(
        tokens(post.blocks(edition("a<p>b</p>c &lt; d")))
    )


@pytest.mark.parametrize("body", ["<p>a<video></video></p>", f'<p><img src="asset:{sha256(b"?")}" alt=""></p>'])
def test_what_cannot_be_shown_is_told_before_anything_is_sent(body: str) -> None:
    """As a problem of the body, and when rendering."""
    assert ["body"] == [problem.where for problem in post.problems(edition(body))]
    with pytest.raises(Unsupported):
        post.written(edition(body), PAGES, None, KEY)


def test_problems_are_in_the_editor_s_words() -> None:
    """What is missing, what cannot be uploaded or shown; a missing description only warns."""
    drawing = Asset("d", "image/svg+xml", 1, "a.svg", AssetRole.IMAGE, "")
    found = post.problems(replace(edition("", drawing), title=" "))
    assert [("title", True), ("body", True), ("image", True), ("image", False)] == [(p.where, p.fatal) for p in found]
    assert ["title", "source"] == [
        p.where for p in post.problems(replace(edition("<p>a</p>", source="\ud800"), title="a\x07"))
    ]


def test_everything_is_shown_in_order() -> None:
    """Title, subtitle, number, body, attachments, source, editor, the canonical address."""
    given = sites.edition(subtitle="副标题", editor="李 <四>")
    shown = post.must_show(given, post.written(given, PAGES, "https://a.example/1", KEY))
    texts = [one.value for one in shown if one.kind == "text"]
    assert ["副标题", "清政通〔2026〕18号", "一、线路"] == texts[:3]
    assert ["来源：清溪镇人民政府", "责任编辑：李 <四>", "原文：https://a.example/1"] == texts[-3:]
    assert Token("link", f"asset:{sha256(sites.TABLE)}") in shown and Token("image", sha256(sites.PICTURE)) in shown


def test_an_english_item_has_english_labels() -> None:
    """By its language; without an address nothing leads to an original."""
    given = sites.edition(language="en")
    texts = [one.value for one in post.must_show(given, post.written(given, PAGES, None, KEY)) if one.kind == "text"]
    assert "Attachments" in texts and "Source: 清溪镇人民政府" == texts[-1]


def test_a_template_that_leaves_something_out_is_refused() -> None:
    """An installation may have one of its own: the body has to be in it, in order."""
    given = edition("<p>a</p><p>b</p>")
    for content in ("<p>b</p><p>a</p>", "<p>a</p>", "<p>a</p><p>c</p><p>b</p>"):
        with pytest.raises(Unsupported):
            post.must_show(given, content)


def test_names_lead_to_nothing_hidden() -> None:
    """All are made of the key, one-way, and none contains it; twins are known by their numbers."""
    names = [post.slug(KEY), post.mark(KEY), *post.names(sites.edition(), KEY).values()]
    assert len({*names}) == len(names) == 4
    assert all(name.startswith("tongfa-") and name.isascii() and KEY.token[:6] not in name for name in names)
    assert ("k", "k-2", "k-3") == post.slugs("k")
    assert marker_of(KEY) in post.mark(KEY)


# pages


def test_the_text_is_found_whatever_the_theme_is() -> None:
    """By its mark; the title is the heading that is expected, and a heading of the text is none."""
    page = (
        '<h1>Site</h1><h2 class="post-title entry-title">标题</h2>'
        '<div class="x tongfa y tongfa-a"><h1>一</h1><p>b</p></div><p>c</p>'
        '<div class="tongfa tongfa-z"><p>other</p></div>'
    )
    found = pages.read(page.encode(), "tongfa-a")
    assert (("Site", "标题"), "tongfa-a") == (found.titles, found.mark)
    expected = (Token("title", "标题"), Token("text", "一"), Token("text", "b"))
    assert expected == found.seen("标题", str, str)
    assert "tongfa-z" == pages.read(page.encode(), "tongfa-z").mark
    assert Token("title", "Site") == found.seen("another", str, str)[0]


@pytest.mark.parametrize("page", [b"", b"   ", b"<p>a</p>", b"\x00\xff", b'<div class="tongfa-a"></div>'])
def test_a_page_without_our_text_shows_none(page: bytes) -> None:
    """Nothing is guessed."""
    found = pages.read(page, "tongfa-a")
    assert ("", ()) == (found.mark, found.seen("标题", str, str))


# answers


class Told(Egress):
    """An egress that answers everything alike."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []

    def call(self, method: str, url: str, **given: Any) -> Answer:
        self.asked.append((method, url, given["headers"]))
        return self.answer

    def read(self, url: str) -> Answer:
        return Answer(200, {"Content-Type": "application/json"}, b"{}")


def site(status: int, body: str, kind: str = "application/json; charset=UTF-8") -> Site:
    answer = Answer(status, {"Content-Type": kind}, body.encode())
    return Site(Told(answer), "town", "https://a.example/", "li", "abcd efgh", lambda: 0)  # type: ignore[abstract]


def said(code: str, status: int, **data: object) -> str:
    return json.dumps({"code": code, "message": "Sorry.", "data": {"status": status, **data}})


@pytest.mark.parametrize(
    ("status", "body", "creates", "error"),
    [
        (401, said("rest_cannot_create", 401), True, Unauthorised),
        (403, said("rest_cannot_publish", 403), True, Unauthorised),
        (400, said("rest_cannot_create", 400), True, Unauthorised),
        (404, said("rest_no_route", 404), True, Unauthorised),
        (404, said("rest_post_invalid_id", 404), True, Rejected),
        (400, said("rest_invalid_param", 400, params={"status": "Status is forbidden."}), True, Rejected),
        (400, said("empty_content", 400), True, Rejected),
        (500, said("rest_upload_sideload_error", 500), True, Rejected),
        (500, said("db_insert_error", 500), True, Ambiguous),
        (500, said("db_update_error", 500), False, TryLater),
        (500, "<html>", True, Ambiguous),
        (500, "<html>", False, TryLater),
        (403, "<html>captcha", True, Ambiguous),
        (403, "<html>captcha", False, TryLater),
        (404, "<html>", False, TryLater),
        (401, "<html>", True, Unauthorised),
        (500, '{"code": 3', False, TryLater),
    ],
)
def test_what_an_answer_means(status: int, body: str, creates: bool, error: type[OutletError]) -> None:
    """By WordPress's own code; without one somebody else spoke, and nobody knows what was done."""
    assert status in SPOKEN
    kind = "text/html" if body.startswith("<") else "application/json"
    with pytest.raises(OutletError) as caught:
        site(status, body, kind).call("POST", "posts", {"title": "x"}, creates=creates)
    assert error is type(caught.value)


def test_a_question_for_drafts_that_is_refused_means_that_nobody_asked() -> None:
    """WordPress calls it a bad parameter."""
    with pytest.raises(Unauthorised):
        site(400, said("rest_invalid_param", 400, params={"status": "x"})).posts(["k"], "any")


@pytest.mark.parametrize("body", ["", "[]", "nonsense", '<br />\n<b>Warning</b>: x<br />\n{"id": 1}'])
def test_what_cannot_be_read_is_doubt_after_a_create_only(body: str) -> None:
    """A question is asked again; what was made has to be looked for."""
    answer = Answer(201, {"Content-Type": "application/json"}, body.encode())
    with pytest.raises(Misbehaved):
        one(answer, creates=True)
    with pytest.raises(TryLater):
        one(answer)
    if body != "[]":
        with pytest.raises(TryLater):
            many(answer)


@pytest.mark.parametrize("told", [{}, {"id": "7"}, {"id": None}])
def test_an_id_is_a_number(told: dict[str, object]) -> None:
    """As WordPress writes it."""
    with pytest.raises(Misbehaved):
        number(told)


def test_deletions_are_sent_as_posts() -> None:
    """With their method in a header; credentials go in one header, and into no address."""
    asking = site(200, "{}")
    asking.remove("media", "7")
    egress: Any = asking._http
    ((method, url, headers),) = egress.asked
    assert ("POST", "https://a.example/wp-json/wp/v2/media/7?force=true") == (method, url)
    assert ("DELETE", "Basic bGk6YWJjZCBlZmdo") == (headers["X-HTTP-Method-Override"], headers["Authorization"])


def test_a_refusal_repeats_no_secret() -> None:
    """Whatever the site echoes."""
    told = '{"code": "x", "message": "You sent <b>Basic bGk6YWJjZCBlZmdo</b>"}'
    with pytest.raises(Rejected) as caught:
        site(400, told).call("GET", "posts")
    assert "bGk6" not in str(caught.value)
    assert quoted('"') == "&quot;"
