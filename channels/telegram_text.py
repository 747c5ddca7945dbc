"""The text of a Telegram message: HTML as Telegram reads it, its length, and what a reader sees of it. Pure.

The text goes out as HTML (`parse_mode`), not as a list of entities: an installation's own template may then use
bold and quotations, and what was approved is what crosses the wire. Every address is made a link by us. Left to
Telegram, which ends an address at a space only, the Chinese words after it would become part of it.
Source: "HTML style", core.telegram.org/bots/api; the fact sheet on Telegram, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape, unescape

from channels import brief
from channels.picture import Wanted
from sync import compare
from sync.contract import Pages, Unsupported
from sync.model import Asset, Edition, Token

TEXT_LIMIT, CAPTION_LIMIT = 4096, 1024  # UTF-16 units once the markup is gone
MEDIA_LIMIT = 10  # photos of one album
# Telegram takes 20 to 1; shrinking rounds the sides, and would make more than that of a picture of just so much.
PHOTO = Wanted(frozenset({"image/jpeg", "image/png"}), below=10_000_000, sides=10_000, ratio=19)
REQUEST_LIMIT = 45_000_000  # bytes of all photos of one request, which may have 50 MB in all
MEDIA_TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "image/bmp"})  # a GIF would be an animation
TEMPLATE = "telegram/message.html"
TAGS = frozenset(
    {"a", "blockquote", "code", "pre", "span", "tg-emoji", "tg-spoiler"}
    | {"b", "del", "em", "i", "ins", "s", "strike", "strong", "u"}
)
_OPAQUE = ("a", "code", "pre")  # no links inside
_PIECE = re.compile(r"<(?P<end>/?)(?P<tag>[a-zA-Z][\w-]*)(?P<more>[^<>]*)>|(?P<text>[^<]+)|<")
_HREF = re.compile(r"""\shref\s*=\s*(?:"([^"]*)"|'([^']*)')""")


@dataclass(frozen=True)
class Parsed:
    """The text without its markup; links by the place in it where each begins."""

    text: str
    links: tuple[tuple[int, str], ...]


def length(content: str) -> int:
    """What counts against the limit. UTF-16 units, as offsets are counted: never fewer than characters."""
    return len(parsed(content).text.encode("utf-16-le", "surrogatepass")) // 2


def compose(pages: Pages, edition: Edition, canonical: str | None, pictures: int) -> str:
    """The message's HTML, every address in it a link. Raises Unsupported when title and address alone are too long."""
    room = brief.Room(CAPTION_LIMIT if pictures else TEXT_LIMIT, length)
    return linked(brief.compose(pages, TEMPLATE, edition, canonical, room))


def pictures(edition: Edition) -> tuple[Asset, ...]:
    return brief.pictures(edition, MEDIA_TYPES, MEDIA_LIMIT)


def wanted(number: int) -> Wanted:
    """What each of so many photos of one request may be."""
    below = min(PHOTO.below, REQUEST_LIMIT // max(1, number))
    return Wanted(PHOTO.types, below, sides=PHOTO.sides, ratio=PHOTO.ratio)


def parsed(content: str) -> Parsed:
    """Raises Unsupported for markup that Telegram does not know: a template's fault, told before anything is sent."""
    text, links = "", []
    for piece in _pieces(content):
        if piece["text"]:
            text += unescape(piece["text"])
        elif piece["tag"].lower() == "a" and not piece["end"] and (found := _HREF.search(piece["more"])):
            links.append((len(text), unescape(found[1] or found[2] or "")))
    return Parsed(text, tuple(links))


def linked(content: str) -> str:
    """With a link around every address that is not in one."""
    made, inside = "", 0
    for piece in _pieces(content):
        if piece["text"]:
            made += piece["text"] if inside else with_links(unescape(piece["text"]))
            continue
        made += piece[0]
        if piece["tag"].lower() in _OPAQUE:
            inside += -1 if piece["end"] else 1
    return made


def with_links(text: str) -> str:
    """A plain text as HTML, its addresses links."""
    made, position = "", 0
    for match in brief.LINK.finditer(text):
        address = escape(match[0])
        made += escape(text[position : match.start()], quote=False) + f'<a href="{address}">{address}</a>'
        position = match.end()
    return made + escape(text[position:], quote=False)


def shown(content: str, files: Sequence[Asset]) -> tuple[Token, ...]:
    """What a reader must find. Telegram has no descriptions of pictures."""
    whole = parsed(content)
    return seen(whole.text, whole.links) + tuple(Token("image", asset.digest) for asset in files)


def seen(text: str, links: Sequence[tuple[int, str]]) -> tuple[Token, ...]:
    """Each paragraph, and the links that begin in it."""
    found: list[Token] = []
    start = 0
    for gap in re.finditer(r"\n\s*\n|\Z", text):
        if paragraph := compare.normal(text[start : gap.start()]):
            found.append(Token("text", paragraph))
        found.extend(Token("link", compare.normal(url)) for at, url in links if start <= at < gap.end())
        start = gap.end()
    return tuple(found)


def _pieces(content: str) -> Iterator[re.Match[str]]:
    for piece in _PIECE.finditer(content):
        if piece["text"] is None and (piece["tag"] or "").lower() not in TAGS:
            raise Unsupported(
                f"模板 {TEMPLATE} 有 Telegram 不认的标记 · markup that Telegram does not know: {piece[0]}"
            )
        yield piece
