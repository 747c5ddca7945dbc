"""A site's newest items as RSS 2.0, Atom and JSON Feed 1.1, whole texts included, and its sitemaps.

An item's id is the same in all three and never changes, neither by a correction nor with its address;
a correction moves "updated", a withdrawal takes the item out. Pure but for the templates.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from channels.listing import Entry, Shelf
from sync.clock import instant
from sync.contract import Pages
from sync.render import CHINA, rfc3339

RSS, ATOM, JSON_FEED, SITEMAP = "feed.xml", "atom.xml", "feed.json", "sitemap.xml"


@dataclass(frozen=True, slots=True)
class File:
    """`url` is absolute; `size` in bytes."""

    url: str
    media_type: str
    size: int
    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """What of an item a feed reader shows: its HTML with absolute addresses, its files, its language."""

    html: str
    files: tuple[File, ...]
    image: str
    language: str


@dataclass(frozen=True, slots=True)
class Item:
    """`when` it was published, `changed` when it was corrected last: µs UTC. `text`: None of what was published
    before texts were kept."""

    entry: Entry
    when: int
    changed: int | None
    text: Text | None

    @property
    def id(self) -> str:
        return f"urn:tongfa:{self.entry.id}"


def item(entry: Entry, text: Text | None) -> Item:
    return Item(entry, _instant(entry.date), _instant(entry.corrected) if entry.corrected else None, text)


def feeds(pages: Pages, site: object, base: str, hub: str, items: Sequence[Item]) -> Iterator[tuple[str, str]]:
    """The three feeds, by path in the site. `hub`: the WebSub hub that tells of them, "" for none."""
    built = max((one.changed or one.when for one in items), default=None)
    values = {"site": site, "base": base, "items": items, "built": built, "hub": hub}
    yield RSS, pages.render("website/feed.xml", **values)
    yield ATOM, pages.render("website/atom.xml", **values)
    name = getattr(site, "name", "")
    yield JSON_FEED, json.dumps(_json_feed(name, base, hub, items), ensure_ascii=False, indent=1)


def sitemaps(pages: Pages, base: str, shelf: Shelf) -> Iterator[tuple[str, str]]:
    """The index of all months, and the month that changed; as many files as an entry changes lists."""
    months = [(f"{column.slug}/{month}.xml", month) for column in shelf.columns for month, _ in column.months]
    yield SITEMAP, pages.render("website/sitemap.xml", base=base, months=months)
    if shelf.name:
        entries = [item(entry, None) for entry in shelf.month]
        yield (
            f"{shelf.column.slug}/{shelf.name}.xml",
            pages.render("website/sitemap_month.xml", base=base, items=entries),
        )


def packed(text: Text) -> bytes:
    """For the hidden folder."""
    files = [[one.url, one.media_type, one.size, one.name] for one in text.files]
    return json.dumps([text.html, files, text.image, text.language], ensure_ascii=False).encode()


def unpacked(content: bytes) -> Text:
    html, files, image, language = json.loads(content)
    return Text(html, tuple(File(*one) for one in files), image, language)


def _json_feed(name: str, base: str, hub: str, items: Sequence[Item]) -> dict[str, Any]:
    feed: dict[str, Any] = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": name,
        "home_page_url": f"{base}/",
        "feed_url": f"{base}/{JSON_FEED}",
        "language": "zh-CN",
        "items": [_json_item(base, one) for one in items],
    }
    if hub:
        feed["hubs"] = [{"type": "WebSub", "url": hub}]
    return feed


def _json_item(base: str, one: Item) -> dict[str, Any]:
    entry, text = one.entry, one.text
    told: dict[str, Any] = {
        "id": one.id,
        "url": f"{base}/{entry.path}",
        "title": entry.title,
        "summary": entry.summary,
        "date_published": rfc3339(one.when),
        "tags": [entry.column],
        "authors": [{"name": entry.source}],
    }
    if one.changed:
        told["date_modified"] = rfc3339(one.changed)
    if text is None:
        return {**told, "content_text": entry.summary or entry.title}
    told |= {"content_html": text.html, "language": text.language}
    if text.image:
        told["image"] = text.image
    if text.files:
        told["attachments"] = [
            {"url": f.url, "mime_type": f.media_type, "size_in_bytes": f.size, "title": f.name} for f in text.files
        ]
    return told


def _instant(date: str) -> int:
    return instant(datetime.strptime(date, "%Y-%m-%d %H:%M").replace(tzinfo=CHINA))
