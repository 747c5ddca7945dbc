"""A published picture shows what it shows, and tells nothing of where, when and by whom it was taken."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin

from sync.content.picture import inspect
from sync.content.strip import stripped
from sync.model import sha256
from tests.unit.item_files import drafted

XMP = b"<x:xmpmeta>SECRET-XMP</x:xmpmeta>"
TOLD = (b"SECRET", b"Exif\0\0MM\0*\0\0\0\x08\0\x02", b"GPS", b"photoshop", b"http://ns.adobe.com")


def exif(turned: int = 1) -> Image.Exif:
    made = Image.Exif()
    made[ExifTags.Base.Orientation] = turned
    made[ExifTags.Base.Artist] = "SECRET artist"
    made[ExifTags.Base.DateTime] = "2026:11:23 09:00:00"
    made.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (30.0, 15.0, 3.0), 3: "E", 4: (120.0, 9.0, 30.0)})
    return made


def noise() -> Image.Image:
    return Image.effect_noise((40, 24), 80).convert("RGB")


def taken(form: str, turned: int = 1) -> bytes:
    """A picture as a telephone or an editor's program writes it."""
    content = BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    match form:
        case "JPEG":
            noise().save(content, form, exif=exif(turned), xmp=XMP, comment="SECRET comment", icc_profile=profile)
        case "PNG":
            told = PngImagePlugin.PngInfo()
            told.add_text("Author", "SECRET text")
            told.add_itxt("XML:com.adobe.xmp", XMP.decode())
            noise().save(content, form, exif=exif(turned), pnginfo=told, icc_profile=profile)
        case "WEBP":
            noise().save(content, form, exif=exif(turned), xmp=XMP, icc_profile=profile, lossless=True)
        case _:
            frames = [Image.effect_noise((40, 24), 60 + number).convert("P") for number in range(3)]
            frames[0].save(content, form, save_all=True, append_images=frames[1:], loop=0, comment=b"SECRET comment")
    return content.getvalue()


def seen(content: bytes) -> list[bytes]:
    """Every frame as a browser shows it."""
    with Image.open(BytesIO(content)) as opened:
        frames = []
        for number in range(getattr(opened, "n_frames", 1)):
            opened.seek(number)
            frames.append(ImageOps.exif_transpose(opened.convert("RGB") if number else opened).convert("RGB").tobytes())
        return frames


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_nothing_of_its_making_is_left(form: str) -> None:
    """Place, time, author, comments, XMP: in the bytes, and to a program that reads them."""
    before = taken(form)
    assert b"SECRET" in before
    after = stripped(before)
    assert [] == [word for word in TOLD if word in after]
    with Image.open(BytesIO(after)) as opened:
        assert {} == dict(opened.getexif())
        assert not {"xmp", "comment", "XML:com.adobe.xmp", "Author", "exif"} & set(opened.info)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("turned", [1, 6])
def test_it_looks_the_same(form: str, turned: int) -> None:
    """Pixel for pixel, upright, with its colour profile, moving as before."""
    before = taken(form, turned)
    after = stripped(before)
    assert seen(before) == seen(after)
    with Image.open(BytesIO(before)) as one, Image.open(BytesIO(after)) as other:
        assert one.info.get("icc_profile") == other.info.get("icc_profile")
        assert one.info.get("loop") == other.info.get("loop")
        if form != "GIF" and turned != 1:
            assert {ExifTags.Base.Orientation: 6} == dict(other.getexif())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_what_tells_nothing_stays_as_it_is(form: str) -> None:
    """Stripping twice changes nothing, so a digest is for ever."""
    after = stripped(taken(form, 6))
    assert after == stripped(after)
    assert inspect(after, "x")[1:] == (40, 24)


def test_a_telephones_second_picture_is_left_out() -> None:
    """What follows the first one has places and times of its own."""
    second = taken("JPEG")
    before = taken("JPEG") + second
    assert len(stripped(before)) < len(before) - len(second) + 1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_cut_off_picture_is_refused_not_mended(form: str) -> None:
    """At any place: either it is broken, or it is left so that it is refused when it is decoded."""
    content = taken(form)
    for end in range(20, len(content) - 1, 37):
        try:
            after = stripped(content[:end])
        except ValueError:
            continue
        assert len(after) <= end


def test_an_orientation_that_cannot_be_read_is_none() -> None:
    """Broken EXIF costs nothing but itself."""
    good = taken("JPEG", 6)
    at = good.index(b"Exif\0\0") + 6
    for broken in (b"XX", b"MM\0*\xff\xff\xff\xff", b"MM\0*" + struct.pack(">I", 40)):
        content = good[:at] + broken + good[at + len(broken) :]
        with Image.open(BytesIO(stripped(content))) as opened:
            assert {} == dict(opened.getexif())


def test_an_item_holds_the_stripped_picture(tmp_path: Path) -> None:
    """In the text, as cover and as attachment; the digest is that of what is published."""
    content, bare = taken("JPEG", 6), stripped(taken("JPEG", 6))
    assert len(bare) < len(content)
    (tmp_path / "a.jpg").write_bytes(content)
    bare = stripped(content)
    draft = drafted(tmp_path, "title: T\ncover: a.jpg\nattachments: [a.jpg]", "![a](a.jpg)")
    assert [bare] * 3 == [made for _, made in draft.files]
    assert {sha256(bare)} == {asset.digest for asset, _ in draft.files}
    assert f"asset:{sha256(bare)}" in draft.body
