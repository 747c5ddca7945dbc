"""A post's page as an anonymous reader gets it from Ghost, and the tokens that its article holds.

The article is found by the element that `templates/ghost/article.html` makes, the title by the heading
before it, whatever the theme. Summary and cover are read from the head, where Ghost writes both for every
theme. Where the theme marks the post's content the way Ghost's own do (`gh-content`), everything in it
counts, so that a paragraph somebody adds in the editor shows.

Ghost rewrites every link of a page (`outbound-link-tagger.js`, read 2026-11): as browsers write addresses,
and with `ref=<host of the site>` behind those that lead elsewhere, unless the site switched that off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from lxml import etree

from sync import confine
from sync.compare import normal, outside, packed, placed, tokens
from sync.model import Token

MARK = "data-tongfa"  # on the article's element: which delivery it is of
CONTENT = "gh-content"
# What browsers leave as it is in the parts of an address (WHATWG URL); Ghost writes links through the same code.
_PATH, _QUERY, _FRAGMENT = "/%:@!$&'()*+,;=[]|^\\", "/%?:@!$&()*+,;=[]|^\\`{}", "/%?:@!$&'()*+,;=[]|^\\{}#"
_PORTS = {"http": 80, "https": 443}
_OWN_TAGS = ("ref=", "utm_source=", "source=")  # what has one of them in its query keeps it and gets no other


@dataclass(frozen=True)
class Page:
    """`marker` and `content` are "" and None for a page without an article of ours."""

    title: str
    description: str
    cover: str
    marker: str
    content: str | None


def read(page: bytes) -> Page:
    """The parts of a page that are compared; what a theme puts around them is its design."""
    root = _parsed(page) if page.strip() else etree.Element("html")
    article = next((one for one in root.iter() if isinstance(one.tag, str) and one.get(MARK) is not None), None)
    title = ""
    for element in root.iter():
        if element is article or (article is None and title):
            break  # headings of the article itself, and of others below it, are no title
        if element.tag == "h1":
            title = normal("".join(map(str, element.itertext())))
    told = {one.get("name") or one.get("property"): one.get("content", "") for one in root.iter("meta")}
    return Page(
        title,
        normal(told.get("description", "")),
        told.get("og:image", ""),
        "" if article is None else article.get(MARK, ""),
        None if article is None else _written(_whole(article)),
    )


def read_outside(page: bytes) -> Page:
    """As `read`, of a page that somebody else serves. Raises Misbehaved when it cannot be read safely."""
    return Page(**outside("channels.ghost_page:reading", page))


def reading(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: the parts of a page."""
    return asdict(read(parts[0])), []


def fragment_outside(html: str, image: Callable[[str], str]) -> tuple[Token, ...]:
    """As `fragment`, of HTML from such a page. Raises Misbehaved."""
    return placed(outside("channels.ghost_page:reading_fragment", html.encode("utf-8", "replace")), image)


def reading_fragment(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: its tokens, pictures by their addresses."""
    return packed(fragment(parts[0].decode("utf-8", "replace"), lambda source: source)), []


def marker_in(content: str) -> str:
    """Of which delivery this article is; "" for what is no article of ours."""
    return read(content.encode("utf-8", "replace")).marker


def fragment(html: str, image: Callable[[str], str]) -> tuple[Token, ...]:
    """The tokens of a piece of HTML, each picture's description after it. `image` turns addresses into values."""
    root = _parsed(b"<html><body><div>" + html.encode("utf-8", "replace") + b"</div></body></html>")
    pictures = list(root.iter("img"))
    described = [(one.get("data-src") or one.get("src") or "", normal(one.get("alt", ""))) for one in pictures]
    for number, picture in enumerate(pictures):
        picture.attrib.pop("data-src", "")
        picture.set("src", str(number))  # two pictures of one address may be described differently
    found: list[Token] = []
    for token in tokens(_written(root), lambda number: number):
        if token.kind != "image":
            found.append(token)
            continue
        source, alt = described[int(token.value)]
        found.append(Token("image", image(source)))
        if alt:
            found.append(Token("text", alt))
    return tuple(found)


def as_written(seen: Iterable[Token], shown: Sequence[Token], site: str) -> tuple[Token, ...]:
    """The tokens with every link as it was written, where Ghost made it what it is. `site`: address of the page."""
    host = (urlsplit(site).hostname or "").removeprefix("www.")
    links = [token.value for token in shown if token.kind == "link"]
    known = {form: link for link in links for form in _forms(link, host)} | {link: link for link in links}
    return tuple(Token("link", known.get(one.value, one.value)) if one.kind == "link" else one for one in seen)


def browsers(link: str) -> str:
    """The address as browsers write it: host in lower case and ASCII, no usual port, a path, signs as percent codes."""
    try:
        parts = urlsplit(link)
        host = (parts.hostname or "").encode("idna").decode()
        port = f":{parts.port}" if parts.port not in (None, _PORTS.get(parts.scheme)) else ""
    except ValueError:  # UnicodeError is one
        return link
    if parts.scheme not in _PORTS or not host or parts.username is not None:
        return link
    query = f"?{quote(parts.query, safe=_QUERY)}" if parts.query else ""
    anchor = f"#{quote(parts.fragment, safe=_FRAGMENT)}" if parts.fragment else ""
    return f"{parts.scheme}://{host}{port}{quote(parts.path, safe=_PATH) or '/'}{query}{anchor}"


def _forms(link: str, host: str) -> tuple[str, ...]:
    plain = browsers(link)
    query = urlsplit(plain).query
    if not plain.startswith(("http://", "https://")) or any(part.startswith(_OWN_TAGS) for part in query.split("&")):
        return (plain,)
    before, hash_sign, anchor = plain.partition("#")
    return plain, f"{before}{'&' if query else '?'}ref={quote(host, safe='')}{hash_sign}{anchor}"


def _whole(article: etree._Element) -> etree._Element:
    """The content that the theme marks, or the article alone where it does not."""
    for above in article.iterancestors():
        if CONTENT in above.get("class", "").split():
            return above
    return article


def _written(element: etree._Element) -> str:
    return etree.tostring(element, encoding="unicode", method="html", with_tail=False)


def _parsed(page: bytes) -> etree._Element:
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    root: etree._Element | None = etree.fromstring(page.replace(b"\0", b"\xef\xbf\xbd"), parser)
    return etree.Element("html") if root is None else root
