"""Pictures within an outlet's limits: handed over as they are if they fit, else re-encoded, smaller where needed.

Functions of bytes alone; what has to be decoded is decoded in a confined process. A reader sees the same
afterwards, which `sync.compare.recognise` confirms at read-back.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageOps

from sync import confine

MOST_PIXELS = 50_000_000
DECODING = confine.Limits(cpu_s=30, wall_s=60.0, memory=1024 * 1024 * 1024)  # of one of so many pixels
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
READABLE = frozenset({"image/jpeg", "image/png", "image/gif", "image/bmp", "image/webp"})
ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/bmp": "bmp", "image/webp": "webp"}
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
    width: int = 0  # pixels; 0: not looked at, because nothing asked for it
    height: int = 0

    @property
    def ending(self) -> str:
        """For the file name: outlets judge the type by it."""
        return ENDINGS[self.media_type]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an outlet takes: `types`; fewer than `below` bytes; sides in pixels, each and together; the longer side at
    most `ratio` times the shorter. 0: no such limit. `measured`: width and height have to be known."""

    types: frozenset[str]
    below: int
    side: int = 0
    sides: int = 0
    pixels: int = 0
    ratio: int = 0
    measured: bool = False

    @property
    def looks(self) -> bool:
        return bool(self.side or self.sides or self.pixels or self.ratio or self.measured)


def fit(content: bytes, media_type: str, wanted: Wanted) -> Picture:
    """The picture as this outlet takes it. Raises Unusable for what is no still picture, or of a forbidden shape."""
    passes = media_type in wanted.types and len(content) < wanted.below
    if passes and not wanted.looks:
        return Picture(content, media_type)
    asked = {
        "passes": passes,
        "below": wanted.below,
        "side": wanted.side,
        "sides": wanted.sides,
        "pixels": wanted.pixels,
        "ratio": wanted.ratio,
        "lossy_already": media_type == "image/jpeg",
        "png": "image/png" in wanted.types,
    }
    try:
        told, made = confine.run("channels.picture:reduce", asked, [content], limits=DECODING)
    except confine.Failed as failed:
        raise Unusable(f"it cannot be converted: {failed}") from None
    if "unusable" in told:
        raise Unusable(str(told["unusable"]))
    if not made:
        return Picture(content, media_type, told["width"], told["height"])
    return Picture(made[0], str(told["media_type"]), told["width"], told["height"])


def moves(content: bytes) -> bool:
    """Whether it is animated. Broken files do not move."""
    try:
        return bool(confine.run("channels.picture:look", None, [content])[0])
    except confine.Failed:
        return False


def look(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: whether the picture is animated."""
    try:
        with Image.open(io.BytesIO(parts[0]), formats=FORMATS) as opened:
            return getattr(opened, "n_frames", 1) > 1, []
    except UNDECODABLE:
        return False, []


def reduce(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: size, new media type and bytes; no bytes if it fits as it is; or why there are none."""
    try:
        width, height = _size(parts[0])
        if value["ratio"] and max(width, height) > value["ratio"] * min(width, height):
            raise Unusable(f"{width} × {height} pixels: one side is more than {value['ratio']} times the other")
        smaller = _scale(width, height, value)
        if value["passes"] and smaller == 1.0:
            return {"width": width, "height": height}, []
        picture = _opened(parts[0])
        if smaller < 1.0:
            shrunk = (max(1, int(picture.width * smaller)), max(1, int(picture.height * smaller)))
            picture = picture.resize(shrunk, Image.Resampling.LANCZOS)
        made, media_type, picture = _encoded(
            picture, value["below"], lossless=value["png"] and not value["lossy_already"]
        )
    except Unusable as error:
        return {"unusable": str(error)}, []
    return {"media_type": media_type, "width": picture.width, "height": picture.height}, [made]


def _size(content: bytes) -> tuple[int, int]:
    """As it is shown: a telephone's photo may lie on its side in the file."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            turned = opened.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            return (opened.height, opened.width) if turned else (opened.width, opened.height)
    except UNDECODABLE as error:
        raise Unusable("not a picture that can be read") from error


def _scale(width: int, height: int, limits: Mapping[str, int]) -> float:
    """By how much it has to shrink; 1.0: not at all."""
    scales = [1.0]
    if limits["side"]:
        scales.append(limits["side"] / max(width, height))
    if limits["sides"]:
        scales.append(limits["sides"] / (width + height))
    if limits["pixels"]:
        scales.append((limits["pixels"] / (width * height)) ** 0.5)
    return min(scales)


def _opened(content: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise Unusable(f"{opened.width} × {opened.height} pixels are too many to convert")
            # A telephone's JPEG may carry a preview as a second picture (MPO); that is no animation.
            if opened.format != "MPO" and getattr(opened, "n_frames", 1) > 1:
                raise Unusable("an animated picture cannot be converted without loss")
            turned = ImageOps.exif_transpose(opened)
            if not turned.has_transparency_data:
                return turned.convert("RGB")
            upright = turned.convert("RGBA")
    except UNDECODABLE as error:
        raise Unusable("not a picture that can be read") from error
    ground = Image.new("RGBA", upright.size, "white")
    return Image.alpha_composite(ground, upright).convert("RGB")


def _encoded(picture: Image.Image, below: int, *, lossless: bool) -> tuple[bytes, str, Image.Image]:
    """PNG while it fits (charts and scans stay sharp), else JPEG, then smaller until it fits."""
    whole = saved(picture, "PNG") if lossless else b""
    if whole and len(whole) < below:
        return whole, "image/png", picture
    while True:
        for quality in (92, 85, 75):
            lossy = saved(picture, "JPEG", quality=quality)
            if len(lossy) < below:
                return lossy, "image/jpeg", picture
        # Each round has under two thirds of the pixels, so this ends.
        picture = picture.resize((max(1, picture.width * 4 // 5), max(1, picture.height * 4 // 5)))


def saved(picture: Image.Image, form: str, **options: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()
