"""The article inside a page of ours: its parts, its HTML, what a reader must see of it, and reading it back.

Shared by the outlets that publish pages of their own (website, gazette). What must be seen is derived
from the edition, never from the page, so that a mistake in a template is a difference like any other.
No I/O of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree

from sync import confine
from sync.compare import normal, outside, packed, placed, tokens
from sync.contract import Unsupported
from sync.model import Asset, AssetRole, Edition, Token
from sync.render import size_text

ALLOWED = frozenset(
    {"a", "blockquote", "br", "em", "figcaption", "figure", "h2", "h3", "h4", "hr", "img", "li", "ol", "p", "strong"}
    | {"sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul"}
)
SCHEMES = ("http://", "https://", "mailto:", "asset:")

# Front matter that is shown above the text: key, Chinese, English. The date of publication follows them.
FACTS = (
    ("index_no", "索引号", "Index no."),
    ("topics", "主题分类", "Topics"),
    ("issuing_body", "发文机关", "Issued by"),
    ("document_no", "发文字号", "Document no."),
    ("written_on", "成文日期", "Written on"),
    ("effective_on", "施行日期", "In force from"),
    ("expires_on", "失效日期", "Expires on"),
    ("validity", "有效性", "Validity"),
    ("author", "作者", "Author"),
    ("editor", "责任编辑", "Editor"),
)
PUBLISHED = ("发布时间", "Published")
CORRECTED = ("更正时间", "Corrected")
ATTACHMENTS = ("附件", "Attachments")


@dataclass(frozen=True, slots=True)
class Fact:
    """One labelled line above the text."""

    zh: str
    en: str
    value: str


@dataclass(frozen=True, slots=True)
class Enclosure:
    """One attachment as the page lists it. `path` is relative to the page."""

    name: str
    kind: str
    size: str
    path: str


@dataclass(frozen=True)
class Article:
    """What was found in a page: `seen` begins with its title; the instants shown stand outside `seen`:
    `dates` of publication, `corrected` of a correction."""

    seen: tuple[Token, ...]
    dates: tuple[str, ...]
    corrected: tuple[str, ...]
    meta: Mapping[str, str]


def facts(edition: Edition, source: str, column: str) -> tuple[Fact, ...]:
    """The labelled lines of this edition; what it does not state is left out."""
    told = [Fact("栏目", "Column", column), Fact("来源", "Source", source)]
    told += [Fact(zh, en, edition.text(key)) for key, zh, en in FACTS if edition.text(key).strip()]
    return tuple(told)


def enclosures(edition: Edition, address: Callable[[Asset], str]) -> tuple[Enclosure, ...]:
    """The attachments, in the edition's order."""
    return tuple(
        Enclosure(asset.name, asset.name.rpartition(".")[2].upper(), size_text(asset.size), address(asset))
        for asset in edition.assets
        if asset.role is AssetRole.ATTACHMENT
    )


def parsed(body: str) -> etree._Element:
    """The body as one `div`. Raises Unsupported for anything outside the edition's HTML subset."""
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    html = etree.fromstring(f"<html><body><div>{body}</div></body></html>".encode("utf-8", "replace"), parser)
    root = html[0][0]
    if len(html) != 1 or len(html[0]) != 1 or html.getnext() is not None:
        raise Unsupported("正文标签未正确闭合 · the body's tags are not properly closed")
    for element in root.iterdescendants():
        if element.tag not in ALLOWED:
            raise Unsupported(f"正文含有不支持的标签 · the body has an element it may not have: <{element.tag}>")
        address = element.get("href") or element.get("src") or ""
        if address and not address.lower().startswith(SCHEMES):
            raise Unsupported(f"正文含有不支持的地址 · the body has an address it may not have: {address[:60]}")
    return root


def dressed(edition: Edition, address: Callable[[Asset], str]) -> str:
    """The body for a page: addresses of assets put in, header cells given their scope, wide tables made scrollable.

    Raises Unsupported for markup outside the subset or an asset the edition does not have.
    """
    root = parsed(edition.body)
    for element in root.iterdescendants("a", "img"):
        name = "href" if element.tag == "a" else "src"
        value = element.get(name, "")
        if value.startswith("asset:"):
            element.set(name, address(asset_of(edition, value)))
        if element.tag == "img":
            element.set("alt", element.get("alt", ""))
            element.set("loading", "lazy")
    first = next(iter(root), None)
    if first is not None and first.tag == "p" and addressed(first):
        first.set("class", "to")
    for number, table in enumerate(list(root.iterdescendants("table")), start=1):
        _head(table)
        region = etree.Element("div", {"class": "table", "role": "region", "tabindex": "0"})
        region.set("aria-label", f"表格 {number} · Table {number}")
        region.tail, table.tail = table.tail, None
        table.addprevious(region)
        region.append(table)
    inner = [_escaped(root.text or "")]
    inner += [etree.tostring(child, encoding="unicode", method="html") for child in root]
    return "".join(inner)


def addressed(paragraph: etree._Element) -> bool:
    """A first paragraph such as 各村（社区）： names whom the document is for; it is not indented."""
    return _text(paragraph).endswith("：")


def _head(table: etree._Element) -> None:
    """Say which cells a header cell is for, so that a screen reader can read the table."""
    rows = list(table.iterdescendants("tr"))
    for number, row in enumerate(rows):
        parent = row.getparent()
        on_top = number == 0 or (parent is not None and parent.tag == "thead")
        for cell in row.iterchildren("th"):
            cell.set("scope", "col" if on_top else "row")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def asset_of(edition: Edition, address: str) -> Asset:
    """The asset behind `asset:<digest>`. Raises Unsupported when the edition has none."""
    try:
        return edition.asset(address.removeprefix("asset:"))
    except KeyError:
        raise Unsupported(f"正文引用的文件不在稿件中 · the body refers to a missing file: {address[:30]}") from None


def must_show(
    edition: Edition,
    told: Sequence[Fact],
    address: Callable[[Asset], str],
    attached: Sequence[Enclosure],
    heading: tuple[str, str],
    corrects: bool,
) -> tuple[Token, ...]:
    """What a reader of the article must see, in order: title, subtitle, labelled lines, body, attachments.

    `corrects`: it says that it is a correction."""
    shown = [Token("title", normal(edition.title))]
    if edition.text("subtitle").strip():
        shown.append(Token("text", normal(edition.text("subtitle"))))
    for fact in told:
        shown += [Token("text", f"{fact.zh} {fact.en}"), Token("text", normal(fact.value))]
    shown.append(Token("text", f"{PUBLISHED[0]} {PUBLISHED[1]}"))
    if corrects:
        shown.append(Token("text", f"{CORRECTED[0]} {CORRECTED[1]}"))
    for token in tokens(edition.body, image=lambda source: source.removeprefix("asset:")):
        if token.kind == "link" and token.value.startswith("asset:"):
            token = Token("link", address(asset_of(edition, token.value)))
        shown.append(token)
    if attached:
        shown.append(Token("text", f"{heading[0]} {heading[1]}"))
    for one in attached:
        shown += [Token("text", normal(f"{one.name} {one.kind} · {one.size}")), Token("link", one.path)]
    return tuple(shown)


def read(page: bytes, image: Callable[[str], str]) -> Article | None:
    """The article of a page of ours; None when the page has none.

    Page furniture, which is not compared: everything outside `<article id="content">` (head except its
    named meta tags, skip link, site header, breadcrumb, footer) and, inside it, `<time class="published">`
    and `<time class="corrected">`, which are returned as dates. `image` turns a picture's address into its value.
    """
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    if not page.strip():
        return None
    root = etree.fromstring(page.replace(b"\0", b"\xef\xbf\xbd"), parser)
    articles = [element for element in root.iterdescendants("article") if element.get("id") == "content"]
    if len(articles) != 1:
        return None
    article = articles[0]
    titles = list(article.iterdescendants("h1"))
    published = [element for element in article.iterdescendants("time") if element.get("class") == "published"]
    corrected = [element for element in article.iterdescendants("time") if element.get("class") == "corrected"]
    title = tuple(Token("title", _text(heading)) for heading in titles)
    dates = tuple(_text(time) for time in published)
    corrections = tuple(_text(time) for time in corrected)
    for element in (*titles, *published, *corrected):
        _drop(element)
    rest = etree.tostring(article, encoding="unicode", method="html", with_tail=False)
    meta = {element.get("name", ""): element.get("content", "") for element in root.iterdescendants("meta")}
    return Article(title + tokens(rest, image), dates, corrections, meta)


def read_outside(page: bytes, image: Callable[[str], str]) -> Article | None:
    """As `read`, of a page that somebody else may have written. Raises Misbehaved when it cannot be read safely."""
    told = outside("channels.article:reading", page)
    if told is None:
        return None
    return Article(placed(told["seen"], image), tuple(told["dates"]), tuple(told["corrected"]), told["meta"])


def reading(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: the article of a page, pictures by their addresses."""
    found = read(parts[0], lambda source: source)
    if found is None:
        return None, []
    return {**vars(found), "seen": packed(found.seen)}, []


def _text(element: etree._Element) -> str:
    return normal("".join(str(part) for part in element.itertext()))


def _drop(element: etree._Element) -> None:
    """Take an element out and leave the text after it."""
    parent, before = element.getparent(), element.getprevious()
    tail = element.tail or ""
    if parent is None:
        return
    if before is not None:
        before.tail = (before.tail or "") + tail
    else:
        parent.text = (parent.text or "") + tail
    parent.remove(element)
