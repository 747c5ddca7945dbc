"""What Ghost makes of HTML: `source=html` into the editor's cards, the cards into a page's HTML, links on the way out.

After Koenig's `html-to-lexical` and `html-parser`, and the server's `link-replacer` and `outbound-link-tagger`,
as far as the fact sheet goes: an HTML card keeps elements as they are and loses text that stands beside
them; a table becomes such a card; everything else is simplified to what the editor knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

from lxml import etree

Node: TypeAlias = dict[str, str]  # {"type": "html" | "markup", "html": …}

BEGIN, END = re.compile(r"\s*kg-card-begin:\s?html\s*"), re.compile(r"\s*kg-card-end:\s?html\s*")
BLOCKS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "hr", "pre", "figure", "img"})
INLINE = frozenset({"a", "strong", "b", "em", "i", "u", "s", "code", "sub", "sup", "br", "li", "img", "figcaption"})
LOST = frozenset({"script", "style", "iframe", "object", "form", "noscript", "template"})
ATTRIBUTES: Mapping[str, frozenset[str]] = {"a": frozenset({"href"}), "img": frozenset({"src", "alt"})}
BLOCKED = frozenset({"facebook.com", "www.facebook.com", "web.archive.org", "archive.org"})  # never get a `ref`


def converted(html: str, *, cards: bool = True) -> list[Node]:
    """The editor's document. Without `cards` HTML cards are unknown, as to much else that converts."""
    body = _parsed(html)
    found = [*_text(body.text)]
    card: list[str] | None = None
    for node in body:
        comment = node.text or "" if isinstance(node, etree._Comment) else ""
        if cards and comment and card is None and BEGIN.fullmatch(comment):
            card = []
            continue
        if card is not None and not END.fullmatch(comment):
            # Only elements have an outerHTML: text beside them is lost.
            card.append("" if isinstance(node, etree._Comment) else _outer(node))
            continue
        if card is not None:
            found.append({"type": "html", "html": "\n".join(card).strip()})
            card = None
        elif not isinstance(node, etree._Comment):
            found += _blocks(node, cards)
        found += _text(node.tail)
    return found + ([{"type": "html", "html": "\n".join(card).strip()}] if card is not None else [])


def rendered(nodes: list[Node]) -> str:
    """The `html` of a post."""
    return "".join(
        f"\n<!--kg-card-begin: html-->\n{node['html']}\n<!--kg-card-end: html-->\n"
        if node["type"] == "html"
        else node["html"]
        for node in nodes
    )


def tagged(html: str, home: str) -> str:
    """Every link as a URL parser writes it, and those that lead elsewhere with `ref` behind them."""
    site = urlsplit(home)

    def replaced(match: re.Match[str]) -> str:
        written = match[2].replace("&amp;", "&")
        parts = urlsplit(written)
        if not parts.scheme:
            return match[0]
        if parts.scheme in ("http", "https"):
            path, query = (
                quote(parts.path or "/", safe="/%:@!$&'()*+,;=[]|"),
                quote(parts.query, safe="/%?:@!$&()*+,;=[]|{}"),
            )
            netloc = parts.netloc.lower().encode("idna").decode()
            written = parts._replace(
                netloc=netloc, path=path, query=query, fragment=quote(parts.fragment, safe="/%?")
            ).geturl()
        away = parts.netloc != site.netloc or not parts.path.startswith(site.path)
        known = re.search(r"(?:^|&)(?:ref|utm_source|source)=", parts.query)
        if parts.scheme in ("http", "https") and away and not known and parts.hostname not in BLOCKED:
            before, sign, anchor = written.partition("#")
            host = (site.hostname or "").removeprefix("www.")
            written = f"{before}{'&' if parts.query else '?'}ref={host}{sign}{anchor}"
        return f"{match[1]}{written}{match[3]}"

    return re.sub(r'(<a\b[^>]*?\bhref=")([^"]*)(")', replaced, html)


def document(told: str) -> list[Node]:
    """The editor's document out of its JSON. Raises ValueError for what is none."""
    read = json.loads(told)
    root = read.get("root") if isinstance(read, dict) else None
    children = root.get("children") if isinstance(root, dict) else None
    if not isinstance(children, list):
        raise ValueError("Invalid lexical structure.")
    return [node for child in children if isinstance(child, dict) for node in _node(child)]


def _node(child: Mapping[str, Any]) -> Iterator[Node]:
    if isinstance(child.get("html"), str) and child.get("type") in ("html", "markup"):
        yield {"type": str(child["type"]), "html": child["html"]}
        return
    yield from _text("".join(str(part.get("text", "")) for part in child.get("children", []) if isinstance(part, dict)))


def _blocks(element: etree._Element, cards: bool) -> Iterator[Node]:
    """A top-level element as blocks of the editor; what only wraps others is unwrapped."""
    tag = str(element.tag)
    if tag in LOST:
        return
    if tag == "table" and cards:
        yield {"type": "html", "html": _outer(element)}
    elif tag in BLOCKS:
        yield {"type": "markup", "html": _simple(element)}
    elif any(str(child.tag) in BLOCKS | {"table", "div", "section", "tbody", "tr"} for child in element.iter()):
        yield from _text(element.text)
        for child in element:
            if not isinstance(child, etree._Comment):
                yield from _blocks(child, cards)
            yield from _text(child.tail)
    else:
        yield from _text("".join(str(part) for part in element.itertext()))


def _simple(element: etree._Element) -> str:
    """Known elements without their looks; of unknown ones the text."""
    tag = str(element.tag)
    inside = escape(element.text or "", quote=False)
    for child in element:
        shown = "" if isinstance(child, etree._Comment) or str(child.tag) in LOST else _simple(child)
        inside += shown + escape(child.tail or "", quote=False)
    if tag not in BLOCKS | INLINE:
        return inside
    kept = {name: value for name, value in element.attrib.items() if name in ATTRIBUTES.get(tag, frozenset())}
    written = "".join(f' {name}="{escape(str(value))}"' for name, value in kept.items())
    if tag == "img":
        picture = f'<img{written} class="kg-image" loading="lazy">'
        parent = element.getparent()
        wrapped = parent is not None and parent.tag == "figure"
        return picture if wrapped else f'<figure class="kg-card kg-image-card">{picture}</figure>'
    if tag in ("br", "hr"):
        return f"<{tag}>"
    return f"<{tag}{written}>{inside}</{tag}>"


def _text(text: str | None) -> Iterator[Node]:
    if text and text.strip():
        yield {"type": "markup", "html": f"<p>{escape(text.strip(), quote=False)}</p>"}


def _outer(element: etree._Element) -> str:
    return etree.tostring(element, encoding="unicode", method="html", with_tail=False)


def _parsed(html: str) -> etree._Element:
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True)
    # A comment at the very beginning of a body would be taken for the document's own.
    whole = f"<html><body><p></p>{html.strip()}</body></html>".replace("\0", "").encode("utf-8", "replace")
    body = etree.fromstring(whole, parser).find("body")
    assert body is not None
    first = body[0]
    body.text = first.tail
    body.remove(first)
    return body
