"""A picture is what its bytes are, whole, and small enough to unfold."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sync.content import picture
from sync.content.picture import inspect
from sync.model import BadInput


def made(kind: str, width: int = 40, height: int = 30, frames: int = 1) -> bytes:
    images = [Image.effect_noise((width, height), 60 + number).convert("RGB") for number in range(frames)]
    content = BytesIO()
    if frames > 1:
        images[0].save(content, kind, save_all=True, append_images=images[1:])
    else:
        images[0].save(content, kind)
    return content.getvalue()


def refused(content: bytes) -> BadInput:
    with pytest.raises(BadInput) as raised:
        inspect(content, "item.md:9")
    assert raised.value.where == "item.md:9"
    return raised.value


SAMPLES = {kind: made(kind) for kind in ("JPEG", "PNG", "GIF", "WEBP")}


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("GIF", "image/gif"), ("WEBP", "image/webp")],
)
def test_type_and_size_come_from_the_bytes(kind: str, media_type: str) -> None:
    """Each accepted kind gives its media type, width and height."""
    assert inspect(SAMPLES[kind], "x") == (media_type, 40, 30)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_a_picture(kind: str) -> None:
    """Frames after the first are decoded too, and do not change the size."""
    assert inspect(made(kind, frames=3), "x")[1:] == (40, 30)


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("missing", [1, 8, 300])
def test_a_truncated_file_is_refused(kind: str, missing: int) -> None:
    """A cut-off upload is found here, not by a reader."""
    if kind == "GIF" and missing == 1:
        assert "end is missing" in refused(SAMPLES[kind][:-missing]).message
    else:
        assert "damaged or incomplete" in refused(SAMPLES[kind][:-missing]).message


def test_a_damaged_png_is_refused() -> None:
    """One flipped bit breaks a checksum."""
    content = bytearray(SAMPLES["PNG"])
    content[len(content) // 2] ^= 1
    assert "damaged" in refused(bytes(content)).message


def test_bytes_after_the_end_of_a_png_are_refused() -> None:
    """A picture that is also something else is neither."""
    assert "follows" in refused(SAMPLES["PNG"] + b"PK\x03\x04").message


@pytest.mark.parametrize("side", [7_100, 10_000, 20_000])
def test_a_decompression_bomb_is_refused_before_it_unfolds(side: int) -> None:
    """A few bytes that claim millions of pixels are turned away by their header, however Pillow treats the size."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, chunk in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")):
        content += struct.pack(">I", len(chunk)) + name + chunk + struct.pack(">I", zlib.crc32(name + chunk))
    refusal = refused(content)
    assert "the limit is 50 million" in refusal.message
    assert "smaller" in refusal.mend


def test_the_largest_allowed_picture_is_accepted() -> None:
    """The limit is a limit, not a rough guess."""
    content = BytesIO()
    Image.new("1", (10_000, 5_000)).save(content, "PNG")
    assert inspect(content.getvalue(), "x") == ("image/png", 10_000, 5_000)


def test_a_file_over_twenty_mebibytes_is_refused() -> None:
    """Bytes count before pixels do, whatever the bytes are."""
    assert "the limit is 20 MiB" in refused(SAMPLES["JPEG"] + bytes(picture.MAX_BYTES)).message


def test_an_animation_with_too_many_frames_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small frames add up."""
    monkeypatch.setattr(picture, "MAX_FRAMES", 3)
    assert inspect(made("GIF", frames=3), "x")[0] == "image/gif"
    assert "too many frames" in refused(made("GIF", frames=4)).message


def test_svg_is_refused_by_name() -> None:
    """The message says why, and what to save instead."""
    refusal = refused(b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>")
    assert "SVG" in refusal.message
    assert "PNG" in refusal.mend


@pytest.mark.parametrize("content", [b"", b"hello", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_anything_else_is_refused(content: bytes) -> None:
    """What is not a picture is told so."""
    assert "not a JPEG, PNG, GIF or WebP" in refused(content).message


def test_a_bmp_is_refused_although_pillow_could_read_it() -> None:
    """Only four decoders ever see the bytes."""
    assert "not a JPEG, PNG, GIF or WebP" in refused(made("BMP")).message


@pytest.mark.filterwarnings("ignore:Invalid APNG")
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_damaged_bytes_give_a_refusal_or_a_result_and_nothing_else(kind: str, data: st.DataObject) -> None:
    """No decoder's own exception reaches the caller."""
    content = bytearray(SAMPLES[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, min(len(content) - 1, 200)))] = data.draw(st.integers(0, 255))
    try:
        media_type, width, height = inspect(bytes(content), "x")
    except BadInput:
        return
    assert media_type.startswith("image/")
    assert width * height <= picture.MAX_PIXELS
