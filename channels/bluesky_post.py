"""What of an edition goes into one Bluesky post, the record that says it, and what a reader must then see. Pure.

A post has one embed. Pictures of the body are content, a map or a table that the text speaks of: with any, they are
embedded (cover first). Otherwise a link card leads to the canonical page, with the cover as its picture: no
server makes one by itself. The address stands in the text in either case.

Nothing is linked by itself: each link and tag of the text is a facet, placed by UTF-8 bytes.
Limits: lexicons app.bsky.feed.post, app.bsky.embed.images and app.bsky.embed.external, 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from channels import brief
from channels.picture import Wanted
from sync import compare
from sync.contract import Pages
from sync.model import Asset, AssetRole, Edition, MetaValue, Rendition, Token

COLLECTION = "app.bsky.feed.post"
TEXT_LIMIT, BYTE_LIMIT = 300, 3000  # user-perceived characters, and UTF-8 bytes
IMAGE_LIMIT = 4
# Of pictures embedded since 2026 twice as much is taken; servers before that say so only at the instant, and the
# thumbnail of a card never may be larger.
SIZE_LIMIT = 1_000_000
TAG_LIMIT, TAG_LENGTH = 8, 64
MEDIA_TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})
STILL = frozenset({"image/jpeg", "image/png", "image/webp"})  # readers are shown a JPEG: nothing moves
WANTED = Wanted(STILL, SIZE_LIMIT + 1, measured=True)
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
IMAGES, CARD = "app.bsky.embed.images", "app.bsky.embed.external"
LINK_FACET, TAG_FACET = "app.bsky.richtext.facet#link", "app.bsky.richtext.facet#tag"
_TOPIC = re.compile(r"[\w -]*[^\W\d][\w -]*")  # words, not a list of them in one
_TAG = re.compile(r"(?<!\S)#(\w*[^\W\d]\w*)(?!\S)")


@dataclass(frozen=True, slots=True)
class Blob:
    """A picture that the account's server holds, under its content address."""

    cid: str
    media_type: str
    size: int
    width: int  # pixels
    height: int

    @property
    def ref(self) -> dict[str, Any]:
        return {"$type": "blob", "ref": {"$link": self.cid}, "mimeType": self.media_type, "size": self.size}


def length(text: str) -> int:
    """Characters that count against the limit. Code points: never fewer than the server's grapheme clusters, which
    differ only where marks, joined emoji or flags are used; such a text may end a sentence early. And 300 of them
    are at most 1,200 bytes, so that the limit of bytes holds by itself."""
    return len(text)


def compose(pages: Pages, edition: Edition, canonical: str | None) -> str:
    """The post's text. Raises Unsupported when title and address alone are too long."""
    return brief.compose(pages, "bluesky/post.txt", edition, canonical, brief.Room(TEXT_LIMIT, length))


def embedded(edition: Edition, canonical: str | None) -> tuple[str, tuple[Asset, ...]]:
    """Which embed the post has ("": none), and the pictures in it."""
    files = brief.pictures(edition, MEDIA_TYPES, IMAGE_LIMIT)
    if canonical and not any(asset.role is AssetRole.IMAGE for asset in files):
        return CARD, files[:1]
    return (IMAGES, files) if files else ("", ())


def further_tags(told: MetaValue, text: str) -> list[str]:
    """Topics that are no tag in the text: the record may name them beside it."""
    words = told if isinstance(told, tuple) else (str(told),)
    within = {tag for _, tag in _tags(text)}
    fit = [word for word in words if _TOPIC.fullmatch(word) and len(word) <= TAG_LENGTH and word not in within]
    return list(dict.fromkeys(fit))[:TAG_LIMIT]


def shown(
    text: str, embed: str, files: Sequence[Asset], canonical: str, title: str, description: str
) -> tuple[Token, ...]:
    """What a reader must find: the text with its links, and the pictures or the card."""
    if embed != CARD:
        return brief.shown(text, files)
    thumb = [Token("image", asset.digest) for asset in files]
    return (*brief.shown(text), *card(canonical, title, description), *thumb)


def card(uri: str, title: str, description: str) -> Iterator[Token]:
    """What a reader sees of a link card, without its picture."""
    yield Token("link", uri)
    for words in (title, description):
        if compare.normal(words):
            yield Token("text", compare.normal(words))


def record(rendition: Rendition, created_at: str, blobs: Sequence[Blob]) -> dict[str, Any]:
    """The post as it is written to the repository; `blobs` are those of the rendition's files, in their order."""
    fields = rendition.fields
    made: dict[str, Any] = {
        "$type": COLLECTION,
        "text": rendition.content,
        "createdAt": created_at,
        "langs": [fields["language"]],
    }
    if found := facets(rendition.content):
        made["facets"] = found
    if fields["tags"]:
        made["tags"] = fields["tags"].split("\n")
    if fields["embed"] == IMAGES:
        pictures = zip(rendition.files, blobs, strict=True)
        made["embed"] = {"$type": IMAGES, "images": [_image(asset, blob) for asset, blob in pictures]}
    elif fields["embed"] == CARD:
        external = {"uri": fields["canonical"], "title": rendition.title, "description": fields["description"]}
        thumb = {"thumb": blobs[0].ref} if blobs else {}
        made["embed"] = {"$type": CARD, "external": {**external, **thumb}}
    return made


def _image(asset: Asset, blob: Blob) -> dict[str, Any]:
    ratio = {"width": blob.width, "height": blob.height}
    return {"image": blob.ref, "alt": asset.alt, "aspectRatio": ratio}


def facets(text: str) -> list[dict[str, Any]]:
    """Every link and tag of the text with its place, in order, none in another."""
    links = [(match, {"$type": LINK_FACET, "uri": match[0]}) for match in brief.LINK.finditer(text)]
    tags = [(match, {"$type": TAG_FACET, "tag": tag}) for match, tag in _tags(text)]
    return [
        {"index": _bytes(text, match), "features": [feature]}
        for match, feature in sorted([*links, *tags], key=lambda one: one[0].start())
    ]


def _tags(text: str) -> Iterator[tuple[re.Match[str], str]]:
    for match in _TAG.finditer(text):
        if len(match[1]) <= TAG_LENGTH:
            yield match, match[1]


def _bytes(text: str, match: re.Match[str]) -> dict[str, int]:
    begin = len(text[: match.start()].encode())
    return {"byteStart": begin, "byteEnd": begin + len(match[0].encode())}


def read(text: str, placed: Sequence[Any]) -> tuple[Token, ...]:
    """The tokens of a post's text: each paragraph, then the links that stand in it.

    Only a facet makes a link. One whose words are not its address is told with both: it may lie beside them.
    """
    raw, found = text.encode(), list(_links(placed))
    tokens: list[Token] = []
    begin = 0
    for paragraph in re.split(r"(\n{2,})", text):
        end = begin + len(paragraph.encode())
        if compare.normal(paragraph):
            tokens.append(Token("text", compare.normal(paragraph)))
        for start, stop, uri in found:
            if begin <= start < end:
                words = raw[start:stop].decode(errors="replace")
                tokens.append(Token("link", uri if words == uri else f"{words} → {uri}"))
        begin = end
    return tuple(tokens)


def _links(placed: Sequence[Any]) -> Iterator[tuple[int, int, str]]:
    """Where links are (bytes), and where they lead, in order. What cannot be read is no link, as in every client."""
    found = []
    for facet in placed:
        match facet:
            case {"index": {"byteStart": int(start), "byteEnd": int(stop)}, "features": [*features]}:
                uris = [one.get("uri") for one in features if _is_link(one)]
                found += [(start, stop, uri) for uri in uris if isinstance(uri, str)]
    yield from sorted(found)


def _is_link(feature: Any) -> bool:
    return isinstance(feature, Mapping) and feature.get("$type") == LINK_FACET
