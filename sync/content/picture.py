"""What a picture is, by its bytes and never by its name; whatever a browser might choke on is refused."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image, ImageFile, UnidentifiedImageError

from sync.confine import Answer, Ask
from sync.content.strip import stripped
from sync.model import BadInput

MAX_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 50_000_000  # a small file can unfold into gigabytes of memory: a decompression bomb
MAX_WEBP_PIXELS = 30_000_000  # its decoder holds four copies
MAX_ANIMATED_PIXELS = 4 * MAX_PIXELS  # all frames together
MAX_FRAMES = 1_000

_MEDIA_TYPES = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
STRIPPED = frozenset(_MEDIA_TYPES.values())  # what `strip` knows
_END = {"image/png": b"IEND\xaeB`\x82", "image/gif": b";"}  # Pillow is content without these

# What Pillow's four decoders raise for broken bytes; MPO (two JPEGs in one, from telephones) comes with JPEG.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_MEND_FORMAT = "存为 JPEG 或 PNG · save it as JPEG or PNG"
_MEND_BROKEN = (
    "用图片软件打开后重新保存，或重新取得原图 · "
    "open it in a picture program and save it again, or fetch the original once more"
)


def examine(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    """For a confined process: the picture's `media_type`, and its bytes without metadata if it had any.

    What is decoded here, to the last frame, is what will be published.
    """
    return _answer(parts[0], value["where"], decode=True)


def strip(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    """For a confined process: an attached picture without metadata, not decoded."""
    return _answer(parts[0], value["where"], decode=False)


def _answer(content: bytes, where: str, *, decode: bool) -> Answer:
    try:
        bare = content if decode and len(content) > MAX_BYTES else cleaned(content, where)
        told = {"media_type": inspect(bare, where)[0]} if decode else {}
    except BadInput as refusal:
        return {"refused": [refusal.where, refusal.message, refusal.mend]}, []
    return told, [] if bare == content else [bare]


def cleaned(content: bytes, where: str) -> bytes:
    """The picture without metadata. Raises BadInput for a broken file."""
    try:
        return stripped(content)
    except ValueError as broken:
        raise BadInput(
            where, f"图片已损坏或不完整 · the picture is damaged or incomplete ({broken})", _MEND_BROKEN
        ) from None


def inspect(content: bytes, where: str) -> tuple[str, int, int]:
    """Media type, width and height in pixels (as stored, before any EXIF rotation).

    Every frame is decoded once, so a truncated or corrupt file is found now and not by a reader.
    Raises BadInput, at `where`, for anything but JPEG, PNG, GIF and WebP, for a broken file, and
    for one over MAX_BYTES, MAX_PIXELS or the limits of an animation.
    """
    if len(content) > MAX_BYTES:
        size = f"{len(content) / 1024 / 1024:.1f} MiB"
        raise BadInput(
            where,
            f"图片有 {size}，上限 {MAX_BYTES // 1024 // 1024} MiB · "
            f"the picture has {size}, the limit is {MAX_BYTES // 1024 // 1024} MiB",
            "缩小后保存 · save it smaller",
        )
    try:
        # Naming the formats keeps Pillow's forty other decoders away from a stranger's bytes.
        with Image.open(BytesIO(content), formats=("JPEG", "PNG", "GIF", "WEBP")) as opened:
            return _measured(opened, content, where)
    except UnidentifiedImageError:
        if b"<svg" in content[:4096].lower():
            raise BadInput(
                where, "SVG 可夹带程序，一律不发 · SVG can carry a program, so no outlet is given one", _MEND_FORMAT
            ) from None
        raise BadInput(
            where, "不是 JPEG、PNG、GIF 或 WebP 图片 · this is not a JPEG, PNG, GIF or WebP picture", _MEND_FORMAT
        ) from None
    except _BOMB:
        raise _too_large(where, "too many") from None
    except _BROKEN as broken:
        raise BadInput(
            where, f"图片已损坏或不完整 · the picture is damaged or incomplete ({broken})", _MEND_BROKEN
        ) from None


def _measured(opened: ImageFile.ImageFile, content: bytes, where: str) -> tuple[str, int, int]:
    """Raises BadInput for the limits, and what Pillow raises for broken bytes."""
    media_type = _MEDIA_TYPES[opened.format or ""]
    width, height = opened.size
    most = MAX_WEBP_PIXELS if opened.format == "WEBP" else MAX_PIXELS
    if width * height > most:
        raise _too_large(where, f"{width} × {height}", most)
    opened.load()
    # Only the first picture of an MPO is ever shown, and a telephone's second one is often odd.
    if opened.format != "MPO":
        _decode_animation(opened, where)
    if not content.rstrip(b"\0").endswith(_END.get(media_type, b"")):
        raise OSError("its end is missing, or something follows it")
    return media_type, width, height


def _decode_animation(opened: ImageFile.ImageFile, where: str) -> None:
    """Decode the frames after the first. Raises BadInput for too many, and what Pillow raises for broken bytes."""
    width, height = opened.size
    frame = 1
    while True:
        try:
            opened.seek(frame)  # counting the frames beforehand would read them all, however many
        except EOFError:
            return
        frame += 1
        if frame > MAX_FRAMES or frame * width * height > MAX_ANIMATED_PIXELS:
            raise BadInput(
                where,
                "动图帧数过多 · "
                f"the animation has too many frames of {width} × {height}: the limits are {MAX_FRAMES} frames "
                f"and {MAX_ANIMATED_PIXELS // 1_000_000} million pixels in all",
                "缩小或减少帧数后保存 · save it smaller or with fewer frames",
            )
        opened.load()


def _too_large(where: str, size: str, most: int = MAX_PIXELS) -> BadInput:
    return BadInput(
        where,
        f"图片像素过多，上限 {most // 10_000} 万 · "
        f"the picture has {size} pixels, the limit is {most // 1_000_000} million",
        "缩小后保存 · save it smaller",
    )
