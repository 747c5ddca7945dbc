"""An item's HTML as WeChat's article editor keeps it, and an article page as a reader sees it.

WeChat drops classes, style sheets and frames, removes pictures that were not uploaded to it, and
refuses links that lead out of WeChat (45166). What would be lost silently is rewritten here: looks
become inline styles, an outside link becomes its text followed by the address in brackets.
Pictures are named by `asset:<digest>` until `with_addresses` gives them their uploaded ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from lxml import etree

from sync import confine
from sync.compare import fragments, normal, outside, tokens
from sync.contract import Pages
from sync.model import AssetRole, Edition, Key, Token, sha256

ASSET = "asset:"
MARK = "tongfa-"
INSIDE = frozenset({"mp.weixin.qq.com"})  # links to these hosts are allowed

_TEXT = "margin:0 0 16px"
STYLES: Mapping[str, str] = {
    "p": _TEXT,
    "h1": "font-size:22px;font-weight:bold;margin:24px 0 12px",
    "h2": "font-size:20px;font-weight:bold;margin:24px 0 12px",
    "h3": "font-size:18px;font-weight:bold;margin:20px 0 10px",
    "h4": "font-size:16px;font-weight:bold;margin:16px 0 8px",
    "h5": "font-size:16px;font-weight:bold;margin:16px 0 8px",
    "h6": "font-size:16px;font-weight:bold;margin:16px 0 8px",
    "ul": "margin:0 0 16px;padding-left:24px",
    "ol": "margin:0 0 16px;padding-left:24px",
    "blockquote": "margin:0 0 16px;padding:0 0 0 12px;border-left:3px solid #ccc;color:#555",
    "pre": "margin:0 0 16px;white-space:pre-wrap;font-family:monospace;font-size:14px",
    "figure": "margin:0 0 16px;text-align:center",
    "figcaption": "margin:8px 0 0;color:#777;font-size:14px;text-align:center",
    "img": "max-width:100%;height:auto",
    "table": "border-collapse:collapse;width:100%;margin:0 0 16px",
    "th": "background:#f2f2f2",
    "dt": "font-weight:bold",
    "dd": "margin:0 0 8px 24px",
    "hr": "border:0;border-top:1px solid #ccc;margin:24px 0",
}
# Elements the editor does not know, and what stands for them; all are blocks before and after.
RENAMED: Mapping[str, str] = {
    "pre": "section",
    "figure": "section",
    "figcaption": "p",
    "article": "section",
    "main": "section",
    "header": "section",
    "footer": "section",
    "aside": "section",
    "nav": "section",
    "details": "section",
    "summary": "p",
    "dl": "section",
    "dt": "p",
    "dd": "p",
    "div": "section",
}
DROPPED = frozenset({"script", "style", "iframe", "form", "object", "template", "noscript"})
KEPT: Mapping[str, frozenset[str]] = {
    "td": frozenset({"colspan", "rowspan"}),
    "th": frozenset({"colspan", "rowspan"}),
    "ol": frozenset({"start", "type"}),
    "img": frozenset({"src"}),
    "a": frozenset({"href"}),
}


@dataclass(frozen=True)
class Page:
    """An article page as an anonymous reader got it. `content` None: a notice stands in its place."""

    title: str
    content: str | None
    notice: str


def marked(canonical: str, key: Key) -> str:
    """The canonical address with the delivery's mark as its fragment: it opens the same page.

    The mark is a digest, so that nothing of the key itself becomes public."""
    return f"{canonical}{'&' if '#' in canonical else '#'}{MARK}{sha256(key.token.encode())[:16]}"


def is_marked(source_url: str) -> bool:
    """Whether a delivery's mark is in it; drafts of the first version have none."""
    return MARK in source_url.partition("#")[2]


def written(edition: Edition, pages: Pages, canonical: str | None) -> str:
    """The article's content, pictures still named by digest. The same edition gives the same text."""
    return pages.render(
        "wechat/article.html",
        body=_rewritten(edition.body),
        language=edition.text("language", "zh-CN"),
        subtitle=edition.text("subtitle"),
        document_no=edition.text("document_no"),
        source=edition.text("source"),
        editor=edition.text("editor"),
        attachments=[a.name for a in edition.assets if a.role is AssetRole.ATTACHMENT],
        canonical=canonical,
    ).strip()


def pictures(content: str) -> tuple[str, ...]:
    """The addresses of its pictures, in order, each once."""
    found = (token.value for token in tokens(content, lambda source: source) if token.kind == "image")
    return tuple(dict.fromkeys(found))


def with_addresses(content: str, address: Mapping[str, str]) -> str:
    """The content with each picture's digest replaced by its uploaded address. Raises KeyError."""
    root = _parsed(content)
    for image in root.iter("img"):
        image.set("src", address[image.get("src", "").removeprefix(ASSET)])
    return _inside(root)


def as_seen(title: str, content: str, image: Callable[[str], str]) -> tuple[Token, ...]:
    """What a reader must find: the title, then the content. Alternative texts do not exist on WeChat."""
    return (Token("title", normal(title)), *tokens(content, image))


def as_found(title: str, content: str, image: Callable[[str], str]) -> tuple[Token, ...]:
    """The same of what WeChat shows. Raises Misbehaved when it cannot be read safely."""
    return (Token("title", normal(title)), *fragments([content], image)[0])


def read_outside(content: bytes) -> Page:
    """As `read_page`, in a confined process. Raises Misbehaved when it cannot be read safely."""
    return Page(**outside("channels.wechat_article:reading", content))


def reading(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: title and content of a page."""
    return asdict(read_page(parts[0].decode("utf-8", "replace"))), []


def read_page(html: str) -> Page:
    """Find title and content in an article page. Deleted and blocked articles have neither."""
    root = etree.fromstring(
        html.replace("\0", "").encode("utf-8", "replace"),
        etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True),
    )
    content = root.find(".//*[@id='js_content']") if root is not None else None
    if root is None or content is None:
        notice = tokens(html) if html.strip() else ()
        return Page("", None, " ".join(token.value for token in notice)[:120])
    title = root.find(".//*[@id='activity-name']")
    if title is None:
        title = root.find(".//h1")
    text = "".join(map(str, title.itertext())) if title is not None else ""
    return Page(normal(text), _inside(content), "")


def _rewritten(body: str) -> str:
    root = _parsed(body)
    for element in list(root.iter()):
        tag = str(element.tag)
        if tag in DROPPED or element.get("hidden") is not None:
            _remove(element)
            continue
        if tag == "a":
            _flatten(element)
            continue
        kept = KEPT.get(tag, frozenset())
        for name in [str(name) for name in element.attrib if name not in kept]:
            del element.attrib[name]
        if tag in STYLES:
            element.set("style", STYLES[tag])
        element.tag = RENAMED.get(tag, tag)
    return _inside(root)


def _flatten(link: etree._Element) -> None:
    """A link inside WeChat stays; any other becomes text, with its address unless that is its text."""
    address = link.get("href", "")
    if urlsplit(address).hostname in INSIDE:
        for name in [str(name) for name in link.attrib if name != "href"]:
            del link.attrib[name]
        return
    outside = address.startswith(("http://", "https://", "mailto:", "tel:"))
    shown = "".join(map(str, link.itertext())).strip()
    bare = address.removeprefix("mailto:").removeprefix("tel:")
    link.tag = "span"
    link.attrib.clear()
    if outside and bare != shown:
        if len(link):
            link[-1].tail = f"{link[-1].tail or ''}（{bare}）"
        else:
            link.text = f"{link.text or ''}（{bare}）"


def _remove(element: etree._Element) -> None:
    """Take an element out and leave the text that followed it."""
    parent, before = element.getparent(), element.getprevious()
    if parent is None:
        return
    if before is not None:
        before.tail = (before.tail or "") + (element.tail or "")
    else:
        parent.text = (parent.text or "") + (element.tail or "")
    parent.remove(element)


def _parsed(fragment: str) -> etree._Element:
    """The fragment under one root element of ours."""
    page = etree.fromstring(
        b"<html><body><div>" + fragment.replace("\0", "").encode("utf-8", "replace") + b"</div></body></html>",
        etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True),
    )
    return page[0][0]


def _inside(root: etree._Element) -> str:
    """What stands inside `root`, as HTML. The first text is escaped like any other."""
    shell = etree.Element("div")
    shell.text = root.text
    shell.extend(list(root))
    whole = etree.tostring(shell, encoding="unicode", method="html")
    return whole.removeprefix("<div>").removesuffix("</div>")
