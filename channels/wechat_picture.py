"""Pictures as WeChat takes them: body pictures JPEG or PNG below 1 MB, a cover for every article.

Functions of bytes alone; what has to be decoded is decoded in a confined process. A picture within the
limits is handed over as it is; any other is re-encoded so that a reader sees the same, which
`sync.compare.recognise` confirms at read-back.
Limits: developers.weixin.qq.com, "uploadImage" and "addMaterial", read 2026-11.
"""

from __future__ import annotations

import hashlib
import io
import struct
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageOps

from sync import confine

BODY_LIMIT = 1_000_000  # bytes; the page says "below 1 MB" without saying which megabyte
COVER_LIMIT = 10_000_000
BODY_TYPES = frozenset({"image/jpeg", "image/png"})
COVER_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/bmp"})
READABLE = frozenset({*COVER_TYPES, "image/webp"})

COVER_SIZE = (900, 383)  # 2.35 : 1, the shape of the first article's cover
MOST_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/bmp": "bmp"}
UNDECODABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class Unusable(Exception):
    """These bytes are no still picture that can be shown."""


@dataclass(frozen=True, slots=True)
class Picture:
    content: bytes
    media_type: str

    @property
    def ending(self) -> str:
        """For the file name: the outlet judges the type by it."""
        return ENDINGS[self.media_type]


def for_body(content: bytes, media_type: str) -> Picture:
    """Ready for media/uploadimg. Raises Unusable."""
    return _within(content, media_type, BODY_TYPES, BODY_LIMIT)


def for_cover(content: bytes, media_type: str) -> Picture:
    """Ready for material/add_material as an image. Raises Unusable."""
    return _within(content, media_type, COVER_TYPES, COVER_LIMIT)


def moves(content: bytes) -> bool:
    """Whether it is animated, which neither upload keeps. Broken files do not move."""
    try:
        return bool(confine.run("channels.wechat_picture:look", None, [content])[0])
    except confine.Failed:
        return False


def look(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: whether the picture is animated."""
    return _moves(parts[0]), []


def reduce(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: the picture's new media type and bytes, or why there are none."""
    try:
        made = _reduced(_opened(parts[0]), value["limit"], lossy_already=value["lossy_already"])
    except Unusable as error:
        return {"unusable": str(error)}, []
    return {"media_type": made.media_type}, [made.content]


def _moves(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            return getattr(opened, "n_frames", 1) > 1
    except UNDECODABLE:
        return False


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
    return Picture(_saved(cover, "PNG"), "image/png")


def _within(content: bytes, media_type: str, types: frozenset[str], limit: int) -> Picture:
    if media_type in types and len(content) < limit:
        return Picture(content, media_type)
    asked = {"limit": limit, "lossy_already": media_type == "image/jpeg"}
    try:
        told, made = confine.run("channels.wechat_picture:reduce", asked, [content])
    except confine.Failed as failed:
        raise Unusable(f"it cannot be converted: {failed}") from None
    if not made:
        raise Unusable(str(told["unusable"]))
    return Picture(made[0], str(told["media_type"]))


def _opened(content: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise Unusable(f"{opened.width} × {opened.height} pixels are too many to convert")
            # A telephone's JPEG may carry a preview as a second picture (MPO); that is no animation.
            if opened.format != "MPO" and getattr(opened, "n_frames", 1) > 1:
                raise Unusable("an animated picture cannot be converted without loss")
            upright = ImageOps.exif_transpose(opened).convert("RGBA")
    except UNDECODABLE as error:
        raise Unusable("not a picture that can be read") from error
    ground = Image.new("RGBA", upright.size, "white")
    return Image.alpha_composite(ground, upright).convert("RGB")


def _reduced(picture: Image.Image, limit: int, *, lossy_already: bool) -> Picture:
    """PNG while it fits (charts and scans stay sharp), else JPEG, then smaller until it fits."""
    lossless = b"" if lossy_already else _saved(picture, "PNG")
    if lossless and len(lossless) < limit:
        return Picture(lossless, "image/png")
    while True:
        for quality in (92, 85, 75):
            lossy = _saved(picture, "JPEG", quality=quality)
            if len(lossy) < limit:
                return Picture(lossy, "image/jpeg")
        # Each round has under two thirds of the pixels, so this ends.
        picture = picture.resize((max(1, picture.width * 4 // 5), max(1, picture.height * 4 // 5)))


def _saved(picture: Image.Image, form: str, **options: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()
