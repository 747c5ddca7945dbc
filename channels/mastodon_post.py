"""What of an edition goes into one Mastodon status: text, pictures, and what a reader must then see. Pure."""

from __future__ import annotations

import re

from sync import compare
from sync.model import Asset, AssetRole, Edition, Token

# Source: documentation of /api/v2/instance, stock Mastodon 4.x; `login` checks that the instance takes as much.
TEXT_LIMIT = 500
URL_LENGTH = 23
MEDIA_LIMIT = 4
ALT_LIMIT = 1500
SIZE_LIMIT = 16_777_216
MEDIA_TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})
MOST_TAGS = 3
TAG_LENGTH = 12

_LINK = re.compile(r"https?://[\w!*;:=+,.$/%#\[\]~@|&?()-]*[\w=/&#$%+-]", re.ASCII)
# A sentence ends after these; an ASCII mark only before white space, so that no address is cut.
_SENTENCE = re.compile(r".*?(?:[。！？…]+[”’」』）)]*|[.!?]+[\"')]*(?=\s|$))", re.DOTALL)


def length(text: str) -> int:
    """Characters that count against the limit. Code points: never fewer than the server's grapheme clusters."""
    return len(_LINK.sub("x" * URL_LENGTH, text))


def compose(edition: Edition, canonical: str | None) -> str:
    """Title, as many whole sentences of the summary (without one: of the body) as fit, address, tags that fit.

    Longer than the limit only when title and address alone are: then nothing was left out that could be.
    """
    link = [canonical] if canonical else []
    lead = _fitting(_lead(edition), TEXT_LIMIT - length("\n\n".join([edition.title, "", *link])))
    parts = [edition.title, *([lead] if lead else []), *link]
    tags = ""
    for tag in _tags(edition):
        longer = f"{tags} {tag}".strip()
        if length("\n\n".join([*parts, longer])) <= TEXT_LIMIT:
            tags = longer
    return "\n\n".join([*parts, *([tags] if tags else [])])


def pictures(edition: Edition) -> tuple[Asset, ...]:
    """Cover first, then those of the body, each once, as many as one status takes."""
    usable = [a for a in edition.assets if a.role is not AssetRole.ATTACHMENT and a.media_type in MEDIA_TYPES]
    usable.sort(key=lambda asset: asset.role is not AssetRole.COVER)
    once: dict[str, Asset] = {}
    for asset in usable:
        once.setdefault(asset.digest, asset)
    return tuple(once.values())[:MEDIA_LIMIT]


def shown(text: str, files: tuple[Asset, ...]) -> tuple[Token, ...]:
    """What a reader must find: each paragraph, the links it holds, and each picture with its description."""
    found: list[Token] = []
    for paragraph in re.split(r"\n{2,}", text):
        found.append(Token("text", compare.normal(paragraph)))
        found.extend(Token("link", link) for link in _LINK.findall(paragraph))
    for asset in files:
        found.append(Token("image", asset.digest))
        if asset.alt:
            found.append(Token("text", compare.normal(asset.alt)))
    return tuple(found)


def read(content: str) -> tuple[Token, ...]:
    """The tokens of a status's HTML. The links that the server puts on tags and names are its furniture."""
    return compare.tokens(re.sub(r'<a\s[^>]*\bclass="[^"]*\b(?:hashtag|mention)\b[^"]*"[^>]*>', "<a>", content))


def _lead(edition: Edition) -> str:
    summary = " ".join(edition.text("summary").split())
    if summary:
        return summary
    return "\n".join(token.value for token in compare.tokens(edition.body) if token.kind == "text")


def _fitting(text: str, room: int) -> str:
    """All of it, or as many whole sentences from its beginning as fit; "" when not even the first does."""
    if length(text) <= room:
        return text
    taken = ""
    for match in _SENTENCE.finditer(text):
        if length(longer := taken + match[0]) > room:
            break
        taken = longer
    return taken


def _tags(edition: Edition) -> list[str]:
    """Topics as tags: only what the server makes a tag of as a whole (word characters, not all digits)."""
    topics = edition.metadata.get("topics", ())
    words = topics if isinstance(topics, tuple) else (str(topics),)
    fit = [w for w in words if re.fullmatch(r"\w*[^\W\d]\w*", w) and len(w) <= TAG_LENGTH]
    return [f"#{word}" for word in fit[:MOST_TAGS]]
