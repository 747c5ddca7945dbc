"""Pictures as WeChat takes them: body pictures JPEG or PNG below 1 MB, a cover for every article.

Limits: developers.weixin.qq.com, "uploadImage" and "addMaterial", read 2026-11.
"""

from __future__ import annotations

import hashlib

from PIL import Image, ImageDraw

from channels.picture import Picture, Wanted, fit, saved

BODY_LIMIT = 1_000_000  # bytes; the page says "below 1 MB" without saying which megabyte
COVER_LIMIT = 10_000_000
BODY_TYPES = frozenset({"image/jpeg", "image/png"})
COVER_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/bmp"})

COVER_SIZE = (900, 383)  # 2.35 : 1, the shape of the first article's cover


def for_body(content: bytes, media_type: str) -> Picture:
    """Ready for media/uploadimg. Raises Unusable."""
    return fit(content, media_type, Wanted(BODY_TYPES, BODY_LIMIT))


def for_cover(content: bytes, media_type: str) -> Picture:
    """Ready for material/add_material as an image. Raises Unusable."""
    return fit(content, media_type, Wanted(COVER_TYPES, COVER_LIMIT))


def plain_cover(title: str) -> Picture:
    """For an item without any picture: a quiet ground with two bands, its colour taken from the title.

    No letters: they would need a font that is everywhere the same. The same title gives the same bytes.
    """
    seed = hashlib.sha256(title.encode()).digest()
    ground = tuple(40 + byte % 90 for byte in seed[:3])
    cover = Image.new("RGB", COVER_SIZE, ground)
    draw = ImageDraw.Draw(cover)
    lighter = tuple(value + 40 for value in ground)
    width, height = COVER_SIZE
    top = 60 + seed[3] % (height // 2)
    draw.rectangle((0, top, width, top + 6), fill=lighter)
    draw.rectangle((0, top + 24, width * (40 + seed[4] % 50) // 100, top + 30), fill=lighter)
    return Picture(saved(cover, "PNG"), "image/png")
