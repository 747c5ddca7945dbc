"""A receiver's public page of an item, read as anybody would, without knowing its design. Pure.

The text stands in the element that the page marks as `itemprop="articleBody"` (schema.org), and then it is
all compared. Without the mark it stands in the page's one `<article>`, or `<main>`, or anywhere, and what
comes before its first and after its last expected line counts as the page's furniture. The title is
the element marked `itemprop="headline"`, or an `<h1>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from lxml import etree

from sync import confine
from sync.compare import differences, normal, outside, packed, placed, tokens
from sync.model import Rendition, Token

CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Page:
    """`text` as tokens; `marked`: the page itself says where it begins and ends. `links` are absolute."""

    titles: tuple[str, ...]
    text: tuple[Token, ...]
    marked: bool
    links: frozenset[str]
    elsewhere: str  # the canonical address that the page names, if it is on another host

    def seen(self, expected: Sequence[Token]) -> tuple[Token, ...]:
        """Title and text, to be compared with `expected`, which begins with its title."""
        wanted = expected[0].value
        title = wanted if wanted in self.titles else next(iter(self.titles), None)
        text = self.text if self.marked and expected[1:] else _trimmed(self.text, tuple(expected[1:]))
        return (*([] if title is None else [Token("title", title)]), *text)

    def shows(self, rendition: Rendition) -> bool:
        """Whether it shows exactly this."""
        return not differences(rendition.shown, self.seen(rendition.shown))

    def tells_of(self, rendition: Rendition) -> bool:
        """Whether anything of this is there: its title or a line of its text. Otherwise it is another page."""
        title, *rest = rendition.shown
        return title.value in self.titles or any(token in self.text for token in rest if token.kind == "text")

    def names(self, rendition: Rendition) -> bool:
        """Whether it carries the canonical address, which is of one delivery only."""
        return bool(rendition.fields["canonical"]) and rendition.fields["canonical"] in self.links


def read(content: bytes, headers: Mapping[str, str], url: str, image: Callable[[str], str] | None) -> Page | None:
    """None for what is no page at all. `image` turns a picture's absolute address into its value.

    Raises Misbehaved when the page cannot be read safely."""
    told = outside("channels.webhook_page:reading", content, [headers.get("Content-Type", ""), url])
    if told is None:
        return None
    text = placed(told["text"], image)
    return Page(tuple(told["titles"]), text, told["marked"], frozenset(told["links"]), told["elsewhere"])


def reading(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: what the page of this content type, at this address, has; pictures by their addresses."""
    content_type, url = value
    found = _read(_decoded(parts[0], content_type).replace("\0", "\ufffd"), url)
    if found is None:
        return None, []
    return {**vars(found), "text": packed(found.text), "links": sorted(found.links)}, []


def _read(text: str, url: str) -> Page | None:
    if not text.strip():
        return None
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    if root is None:
        return None
    links = frozenset(urljoin(url, one.get("href", "")) for one in root.iterdescendants("a", "link"))
    named = [urljoin(url, one.get("href", "")) for one in root.iterdescendants("link") if one.get("rel") == "canonical"]
    elsewhere = next((one for one in named if urlsplit(one).hostname != urlsplit(url).hostname), "")
    headings = [*_marked(root, "headline"), *root.iterdescendants("h1")]
    titles = tuple(dict.fromkeys(normal("".join(map(str, one.itertext()))) for one in headings))
    bodies = _marked(root, "articleBody")
    region = _region(root, bodies)
    for heading in headings:
        if heading is not region:
            heading.set("hidden", "")  # the reader of tokens passes over it, and not over what follows it
    markup = etree.tostring(region, encoding="unicode", method="html", with_tail=False)
    found = tokens(markup, lambda source: urljoin(url, source))
    return Page(titles, found, len(bodies) == 1, links, elsewhere)


def _marked(root: etree._Element, property_: str) -> list[etree._Element]:
    return [one for one in root.iterdescendants() if property_ in str(one.get("itemprop", "")).split()]


def _region(root: etree._Element, bodies: list[etree._Element]) -> etree._Element:
    for candidates in (bodies, list(root.iterdescendants("article")), list(root.iterdescendants("main"))):
        if len(candidates) == 1:
            return candidates[0]
    return next(root.iterdescendants("body"), root)


def _trimmed(seen: tuple[Token, ...], expected: tuple[Token, ...]) -> tuple[Token, ...]:
    """The part of `seen` that is to be compared: all of `expected` in a row where it is, else from its
    first to its last line as far as they are found."""
    if not expected:
        return ()
    if stands_in(expected, seen):
        return expected
    first = seen.index(expected[0]) if expected[0] in seen else 0
    last = len(seen) - seen[::-1].index(expected[-1]) if expected[-1] in seen[first:] else len(seen)
    return seen[first:last]


def stands_in(expected: Sequence[object], seen: Sequence[object]) -> bool:
    """Whether `expected` stands in `seen` in a row. Each token is looked at once, however often lines repeat
    (Knuth, Morris and Pratt): the page is somebody else's."""
    back = [0] * len(expected)  # how much of the beginning ends here again
    fits = 0
    for place in range(1, len(expected)):
        while fits and expected[place] != expected[fits]:
            fits = back[fits - 1]
        fits += expected[place] == expected[fits]
        back[place] = fits
    fits = 0
    for line in seen:
        while fits and line != expected[fits]:
            fits = back[fits - 1]
        fits += line == expected[fits]
        if fits == len(expected):
            return True
    return False


def _decoded(content: bytes, content_type: str) -> str:
    """By the character set of the header, else of the page, else UTF-8."""
    told = re.search(r"charset=\"?([\w-]+)", content_type, re.IGNORECASE)
    found = CHARSET.search(content[:2048])
    name = told[1] if told else found[1].decode("ascii", "replace") if found else "utf-8"
    if name.lower() in ("gb2312", "gbk"):
        name = "gb18030"  # as browsers read them
    try:
        return content.decode(name, "replace")
    except LookupError:  # unknown, or no character set at all
        return content.decode("utf-8", "replace")
