"""A picture without what it tells of its making: place, time, camera, author, comments, previews.

The pixels are not touched: parts of the file are left out as they stand, and everything that is
needed to show it stays (colour profile, transparency, animation). Of EXIF only the orientation is kept,
because without it a telephone's photo would lie on its side. Pure; raises ValueError for a broken file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"cLLI"}
    | {b"sBIT", b"bKGD", b"pHYs", b"acTL", b"fcTL", b"fdAT"}
)
_WEBP_KEPT = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04  # flags of VP8X
_GIF_KEPT = frozenset({b"NETSCAPE2.0", b"ANIMEXTS1.0"})
_ORIENTATION = 0x0112
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without a length


def stripped(content: bytes) -> bytes:
    """The same picture; bytes of another kind as they are. Stripping again changes nothing."""
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content)
    if content.startswith(_PNG):
        return _png(content)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _webp(content)
    return _gif(content) if content[:6] in (b"GIF87a", b"GIF89a") else content


def _jpeg(content: bytes) -> bytes:
    """Up to the end of the first picture: what follows it are a telephone's previews and films."""
    kept = [content[:2]]
    turned = 1
    for marker, start, end in _segments(content):
        payload = content[start + 4 : end]
        if marker == 0xE1:
            if payload.startswith(b"Exif\0\0"):
                turned = _orientation(payload[6:])
            continue
        profile = marker == 0xE2 and payload.startswith(b"ICC_PROFILE\0")
        if 0xE0 <= marker <= 0xEF and marker not in (0xE0, 0xEE) and not profile:
            continue
        if marker == 0xE0 and not payload.startswith(b"JFIF\0"):  # JFXX: a preview
            continue
        if marker != 0xFE:
            kept.append(content[start:end])
    if turned != 1:
        exif = b"Exif\0\0" + _exif(turned)
        kept.insert(1, b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif)
    return b"".join(kept)


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment; coded picture data belongs to the segment before it."""
    at = 2
    while True:
        if content[at : at + 1] != b"\xff":
            raise ValueError("a marker is missing")
        while content[at + 1 : at + 2] == b"\xff":
            at += 1  # filling
        if at + 2 > len(content):
            raise ValueError("it ends too early")
        start, marker = at, content[at + 1]
        at += 2
        if marker not in _ALONE and marker != 0xD9:
            length = int.from_bytes(content[at : at + 2], "big")
            if length < 2 or at + length > len(content):
                raise ValueError("it ends too early")
            at += length
        if marker == 0xDA:
            at = _data_end(content, at)
        yield marker, start, at
        if marker == 0xD9:
            return


def _data_end(content: bytes, at: int) -> int:
    """Where coded data ends: at a marker that is no restart."""
    while True:
        at = content.find(b"\xff", at)
        if at < 0 or at + 1 >= len(content):
            raise ValueError("it ends too early")
        following = content[at + 1]
        if following == 0 or 0xD0 <= following <= 0xD7:
            at += 2
        elif following == 0xFF:
            at += 1
        else:
            return at


def _png(content: bytes) -> bytes:
    """What follows the end stays, to be refused: it is no metadata."""
    kept, at, turned = [_PNG], len(_PNG), 1
    while at < len(content):
        length, name = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        end = at + 12 + length
        if len(name) < 4 or end > len(content):
            raise ValueError("it ends too early")
        if name == b"eXIf":
            turned = _orientation(content[at + 8 : end - 4])
        elif name in _PNG_KEPT or name[:1].isupper():  # upper case: needed to show it
            kept.append(content[at:end])
        at = end
        if name == b"IEND":
            break
    if turned != 1:
        exif = b"eXIf" + _exif(turned)
        kept.insert(2, struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", zlib.crc32(exif)))
    return b"".join(kept) + content[at:]


def _webp(content: bytes) -> bytes:
    kept: list[tuple[bytes, bytes]] = []
    turned, at = 1, 12
    stop = 8 + int.from_bytes(content[4:8], "little")
    if stop > len(content):
        raise ValueError("it ends too early")
    while at + 8 <= stop:
        name, length = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        payload = content[at + 8 : at + 8 + length]
        if len(payload) < length:
            raise ValueError("it ends too early")
        if name == b"EXIF":
            turned = _orientation(payload.removeprefix(b"Exif\0\0"))
        elif name in _WEBP_KEPT:
            kept.append((name, payload))
        at += 8 + length + length % 2
    if turned != 1 and kept and kept[0][0] == b"VP8X":
        kept.append((b"EXIF", _exif(turned)))
    if kept and kept[0][0] == b"VP8X" and kept[0][1]:
        flags = kept[0][1][0] & ~(_WEBP_EXIF | _WEBP_XMP) | (_WEBP_EXIF if kept[-1][0] == b"EXIF" else 0)
        kept[0] = (b"VP8X", bytes([flags]) + kept[0][1][1:])
    body = b"".join(
        name + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2) for name, payload in kept
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _gif(content: bytes) -> bytes:
    """Without comments and foreign applications' data; plain text extensions are drawn by nobody."""
    at = 13 + (3 << (content[10] & 7) + 1 if len(content) > 10 and content[10] & 0x80 else 0)
    kept = [content[:at]]
    while at < len(content):
        start, kind = at, content[at]
        if kind == 0x3B:
            kept.append(content[at:])
            break
        if kind == 0x2C:
            if at + 10 > len(content):
                raise ValueError("it ends too early")
            at += 11 + (3 << (content[at + 9] & 7) + 1 if content[at + 9] & 0x80 else 0)
            at = _blocks_end(content, at)
            kept.append(content[start:at])
        elif kind == 0x21:
            at = _blocks_end(content, at + 2)
            label = content[start + 1 : start + 2]
            if label == b"\xf9" or (label == b"\xff" and content[start + 3 : start + 14] in _GIF_KEPT):
                kept.append(content[start:at])
        else:
            kept.append(content[at:])  # nothing that a GIF holds: it is refused, or ignored, as it stands
            break
    return b"".join(kept)


def _blocks_end(content: bytes, at: int) -> int:
    while at < len(content) and content[at]:
        at += 1 + content[at]
    if at >= len(content):
        raise ValueError("it ends too early")
    return at + 1


def _orientation(exif: bytes) -> int:
    """1 to 8; 1 (upright) for what cannot be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return 1
    at = struct.unpack_from(f"{order}I", exif, 4)[0]
    if at + 2 > len(exif):
        return 1
    for number in range(struct.unpack_from(f"{order}H", exif, at)[0]):
        place = at + 2 + 12 * number
        if place + 12 > len(exif):
            return 1
        tag, kind, count = struct.unpack_from(f"{order}HHI", exif, place)
        if tag == _ORIENTATION and kind == 3 and count == 1:
            turned = int(struct.unpack_from(f"{order}H", exif, place + 8)[0])
            return turned if 1 <= turned <= 8 else 1
    return 1


def _exif(turned: int) -> bytes:
    """EXIF that says the orientation and nothing else."""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, _ORIENTATION, 3, 1, turned, 0, 0)
