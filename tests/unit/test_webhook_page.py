"""Reading a receiver's page without knowing its design: what is compared, what is furniture, whose page it is."""

from __future__ import annotations

import pytest

from channels import webhook_event as event
from channels.webhook_page import Page, read
from sync.contract import Place
from sync.model import Edition, Key, Rendition, Token

URL = "https://app.example/news/1"
CANONICAL = "https://county.example/1.html"
TEXT = "<p>今晚八时停水。</p><p>特此通知。</p>"
TABLE = "<table><tr><td>1</td></tr></table>"


def rendition(body: str = TEXT, title: str = "停水通知") -> Rendition:
    return event.rendition(Edition("1", 1, title, body), Place(Key("", ""), CANONICAL), "")


def page(body: str, head: str = "", content_type: str = "text/html; charset=utf-8", encoding: str = "utf-8") -> Page:
    whole = f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>"
    found = read(whole.encode(encoding), {"Content-Type": content_type}, URL, None)
    assert found is not None
    return found


FURNITURE = "<nav><a href='/'>首页</a></nav>{}<footer>掌上通</footer>"
MARKED = '<h1 itemprop="headline">停水通知</h1><p>来源：县里</p><div itemprop="articleBody">{}</div><p>阅读 3</p>'
IN_ARTICLE = "<article><h1>停水通知</h1><p>来源：县里</p>{}<p>阅读 3</p></article>"
BARE = "<div><h1>停水通知</h1><div>{}</div></div>"
DESIGNS = {"marked": MARKED, "article": IN_ARTICLE, "main": f"<main>{BARE}</main>", "bare": BARE}


@pytest.mark.parametrize("design", DESIGNS)
def test_the_text_is_found_in_any_design(design: str) -> None:
    """Marked, in an article, in the main part, anywhere."""
    assert page(FURNITURE.format(DESIGNS[design].format(TEXT))).shows(rendition())


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(
    "changed",
    [
        TEXT.replace("八", "九"),
        TEXT.replace("特此通知", "特此通告"),
        "<p>今晚八时停水。</p>",
        "<p>今晚八时停水。</p><p>插入。</p><p>特此通知。</p>",
        "<p>特此通知。</p><p>今晚八时停水。</p>",
        "",
    ],
)
def test_a_change_is_found_in_any_design(design: str, changed: str) -> None:
    """Another digit, another end, a lost or inserted paragraph, another order, nothing at all."""
    assert not page(FURNITURE.format(DESIGNS[design].format(changed))).shows(rendition())


def test_only_a_marked_text_ends_where_the_page_says() -> None:
    """What is added behind it is a difference there, and furniture elsewhere."""
    added = TEXT + "<p>另：费用上涨。</p>"
    assert not page(MARKED.format(added)).shows(rendition())
    assert page(IN_ARTICLE.format(added)).shows(rendition())


def test_cells_count() -> None:
    """A dropped table cell is a difference."""
    assert page(MARKED.format(TEXT + TABLE)).shows(rendition(TEXT + TABLE))
    assert not page(MARKED.format(TEXT + "<table><tr></tr></table>")).shows(rendition(TEXT + TABLE))


def test_another_title_is_a_difference() -> None:
    """The heading that says it is looked for among all headings; without any the title is missing."""
    assert page("<h1>掌上通</h1>" + IN_ARTICLE.format(TEXT)).shows(rendition())
    other = page(IN_ARTICLE.replace("停水通知", "停电通知").format(TEXT))
    assert Token("title", "停电通知") == other.seen(rendition().shown)[0]
    assert not page(f"<article>{TEXT}</article>").shows(rendition())


def test_a_page_of_something_else_does_not_tell_of_it() -> None:
    """Title or a line of the text has to be there; a shared cell is none."""
    made = rendition(TEXT + TABLE)
    assert not page("<h1>没有这一页</h1>" + TABLE).tells_of(made)
    assert page("<h1>停水通知</h1>").tells_of(made)
    assert page("<p>特此通知。</p>").tells_of(made)


def test_the_canonical_address_names_it() -> None:
    """As a link that readers see, or in the head; a page that names its own is not elsewhere."""
    made = rendition()
    assert page(f'<a href="{CANONICAL}">原文</a>').names(made)
    named = page("", f'<link rel="canonical" href="{CANONICAL}">')
    assert named.names(made) and CANONICAL == named.elsewhere
    assert "" == page("", '<link rel="canonical" href="/news/1">').elsewhere
    assert not page("").names(made)


@pytest.mark.parametrize(
    ("head", "content_type", "encoding"),
    [
        ("", "text/html; charset=GBK", "gbk"),
        ('<meta charset="gb2312">', "text/html", "gb18030"),
        ("", "text/html", "utf-8"),
        ("", "text/html; charset=unheard-of", "utf-8"),
        ("", "text/html; charset=hex", "utf-8"),
    ],
)
def test_pages_come_in_many_character_sets(head: str, content_type: str, encoding: str) -> None:
    """That of the header, that of the page, or UTF-8."""
    assert page(MARKED.format(TEXT), head, content_type, encoding).shows(rendition())


def test_pictures_are_asked_for_by_their_absolute_address() -> None:
    """Relative ones are of the page."""
    asked: list[str] = []

    def image(source: str) -> str:
        asked.append(source)
        return "digest"

    found = read(b'<article><img src="/a.png"></article>', {}, URL, image)
    assert found is not None and (Token("image", "digest"),) == found.text
    assert ["https://app.example/a.png"] == asked


@pytest.mark.parametrize("content", [b"", b" \n", b"\x00", b"\xff\xfe", b"{}", b"<", b"<html></html>"])
def test_what_is_no_page_shows_nothing(content: bytes) -> None:
    """Nothing is raised, and it tells of nothing."""
    found = read(content, {}, URL, None)
    assert found is None or not found.tells_of(rendition())
