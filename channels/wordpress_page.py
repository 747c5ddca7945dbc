"""An article of ours on a page of somebody's theme, as an anonymous reader gets it.

The text stands in the element that bears a delivery's mark (`templates/wordpress/content.html`), and all of it is
compared; what theme and plugins put around it is theirs. The title is the page's `<h1>`, or what themes mark
as the entry's title. The page comes from outside and is read in a confined process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree

from channels.wordpress_post import PREFIX
from sync import compare, confine
from sync.compare import normal, tokens
from sync.model import Token

TITLES = frozenset({"entry-title", "wp-block-post-title"})  # of classic and of block themes


@dataclass(frozen=True)
class Page:
    """`mark`: of the delivery whose text it shows, "" for none of ours. `told`: that text, files by their addresses."""

    titles: tuple[str, ...]
    mark: str
    told: Sequence[Sequence[str]]

    def seen(self, title: str, image: Callable[[str], str], link: Callable[[str], str]) -> tuple[Token, ...]:
        """Title and text. `title`: the one that is expected, since a theme has headings of its own."""
        found = title if title in self.titles else next(iter(self.titles), None)
        named = [] if found is None else [Token("title", found)]
        text = compare.placed(self.told, image)
        return (*named, *(Token("link", link(one.value)) if one.kind == "link" else one for one in text))


def read(content: bytes, mark: str) -> Page:
    """`mark`: the one to prefer when a page shows several of our texts. Raises Misbehaved when it cannot be read."""
    told = compare.outside("channels.wordpress_page:reading", content, mark)
    return Page(tuple(told["titles"]), told["mark"], told["seen"])


def reading(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: titles, mark and text of a page."""
    nothing: dict[str, object] = {"titles": [], "mark": "", "seen": []}
    text = parts[0].decode("utf-8", "replace").replace("\0", "\ufffd")
    if not text.strip():
        return nothing, []
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    if root is None:
        return nothing, []
    regions = {name: element for element in reversed(list(root.iterdescendants())) if (name := _mark(element))}
    mark = value if value in regions else next(reversed(regions), "")
    seen: list[list[str]] = []
    if mark:
        html = etree.tostring(regions[mark], encoding="unicode", method="html", with_tail=False)
        seen = compare.packed(tokens(html, lambda source: source))
        regions[mark].clear(keep_tail=True)  # a heading of the text is no title of the page
    titles = [normal("".join(map(str, one.itertext()))) for one in root.iter() if _titles(one)]
    return {"titles": list(dict.fromkeys(filter(None, titles))), "mark": mark, "seen": seen}, []


def _mark(element: etree._Element) -> str:
    classes = str(element.get("class", "")).split()
    return next((name for name in classes if name.startswith(PREFIX)), "") if PREFIX.rstrip("-") in classes else ""


def _titles(element: etree._Element) -> bool:
    return element.tag == "h1" or not TITLES.isdisjoint(str(element.get("class", "")).split())
