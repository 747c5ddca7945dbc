"""What of an edition goes into one Mastodon status: text, pictures, and what a reader must then see. Pure."""

from __future__ import annotations

import re

from channels import brief
from channels.picture import Wanted
from sync import compare
from sync.contract import Pages
from sync.model import Asset, Edition, Token

# Source: documentation of /api/v2/instance, stock Mastodon 4.x; `login` checks that the instance takes as much.
TEXT_LIMIT = 500
URL_LENGTH = 23
MEDIA_LIMIT = 4
ALT_LIMIT = 1500
SIZE_LIMIT = 16_777_216
FURNITURE = re.compile(r'<a\s[^>]*\bclass="[^"]*\b(?:hashtag|mention)\b[^"]*"[^>]*>')
MEDIA_TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})
PICTURE = Wanted(MEDIA_TYPES, SIZE_LIMIT, pixels=33_177_600)


def length(text: str) -> int:
    """Characters that count against the limit. Code points: never fewer than the server's grapheme clusters."""
    return len(brief.LINK.sub("x" * URL_LENGTH, text))


def compose(pages: Pages, edition: Edition, canonical: str | None) -> str:
    """The status's text. Raises Unsupported when title and address alone are too long."""
    return brief.compose(pages, "mastodon/status.txt", edition, canonical, brief.Room(TEXT_LIMIT, length))


def pictures(edition: Edition) -> tuple[Asset, ...]:
    return brief.pictures(edition, MEDIA_TYPES, MEDIA_LIMIT)


def read(*contents: str) -> list[tuple[Token, ...]]:
    """The tokens of each status's HTML. The links that the server puts on tags and names are its furniture.

    Raises Misbehaved when it cannot be read safely."""
    return compare.fragments([FURNITURE.sub("<a>", content) for content in contents])
