"""Pictures and attachments come from the item's folder, whole, named and described."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sync.content import attachment, folder
from sync.model import AssetRole
from tests.unit.item_files import RED, drafted, furnished, only_refusal, refused, written


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    return furnished(tmp_path)


OUTSIDE = ["../secret.pdf", "/etc/passwd", "images/../../secret.pdf", "C:/secret.pdf", "images\\red.png", "link.pdf"]
OUTSIDE += ["out/secret.pdf", "missing.pdf", "images", "pipe.pdf", "loop.pdf", "."]


@pytest.mark.parametrize("path", OUTSIDE)
def test_files_come_from_the_folder_of_the_item_only(beside: Path, path: str) -> None:
    """No way out by dots, roots, links or drives, from the front matter or from the text."""
    (beside / "link.pdf").symlink_to("../secret.pdf")
    (beside / "out").symlink_to("..")
    (beside / "loop.pdf").symlink_to("loop.pdf")
    os.mkfifo(beside / "pipe.pdf")
    assert only_refusal(beside, f"title: T\nattachments: ['{path}']").where.endswith(":3")
    assert only_refusal(beside, f"title: T\ncover: '{path}'").where.endswith(":3")
    assert only_refusal(beside, "title: T", f'x\n<img src="{path}" alt="x">').where.endswith(":5")
    assert only_refusal(beside, "title: T", f'x\n<a href="{path}">x</a>').where.endswith(":5")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("../secret.pdf", "leads out"),
        ("/form.pdf", "leads out"),
        ("images/../form.pdf", "leads out"),
        ("C:form.pdf", "leads out"),
        ("images", "not a file"),
        ("none.pdf", "no file"),
        ("images\\red.png", "backslash"),
    ],
)
def test_a_path_that_cannot_be_used_is_told_why(beside: Path, path: str, says: str) -> None:
    """The mend depends on what is wrong."""
    assert says in only_refusal(beside, f"title: T\nattachments: ['{path}']").message


def test_a_link_may_lead_to_a_picture_that_comes_later(beside: Path) -> None:
    """The order of the text does not matter."""
    assert drafted(beside, body="[large](images/red.png)\n\n![red](images/red.png)").body.count("asset:") == 2


def test_a_link_inside_the_folder_is_followed(beside: Path) -> None:
    """Only the way out is closed."""
    (beside / "again.pdf").symlink_to("form.pdf")
    assert [asset.name for asset, _ in drafted(beside, "title: T\nattachments: [again.pdf]").files] == ["again.pdf"]


def test_a_picture_needs_alt_text_from_somewhere(beside: Path) -> None:
    """From the text, or from `images`; a listed picture that is not shown needs it as well."""
    assert "no alt text" in only_refusal(beside, "title: T", "![](images/red.png)").message
    assert "no alt text" in only_refusal(beside, "title: T\nimages: images/red.png").message
    listed = drafted(beside, "title: T\n图片:\n  - 文件: images/red.png\n    替代文字: 红", "![](images/red.png)")
    assert 'alt="红"' in listed.body
    shown = drafted(beside, "title: T\nimages: [images/red.png]", "![从文中](images/red.png)")
    assert [(asset.role, asset.alt) for asset, _ in shown.files] == [(AssetRole.IMAGE, "从文中")]


def test_a_cover_has_the_alt_text_of_the_same_picture(beside: Path) -> None:
    """Its own first, then the text's, then the title."""
    assert drafted(beside, "title: T\ncover: {file: images/red.png, alt: c}").files[0][0].alt == "c"
    both = drafted(beside, "title: T\ncover: images/red.png", "![r](images/red.png)")
    assert [(asset.role, asset.alt) for asset, _ in both.files] == [(AssetRole.IMAGE, "r"), (AssetRole.COVER, "r")]


def test_one_picture_twice_is_one_asset(beside: Path) -> None:
    """Whatever it is called, its bytes are its name."""
    (beside / "copy.png").write_bytes(RED)
    assert len(drafted(beside, body="![a](images/red.png) ![b](copy.png) ![a](./images/red.png)").files) == 1


def test_remote_and_broken_pictures_are_refused(beside: Path) -> None:
    """Each on its own line of the Markdown."""
    (beside / "cut.png").write_bytes(RED[:-9])
    refusals = refused(written(beside, "title: T", "![a](http://x.cn/a.png)\n\n- ![b](cut.png)"))
    assert [refusal.where.rpartition(":")[2] for refusal in refusals] == ["4", "6"]
    assert "damaged" in refusals[1].message


def test_a_link_to_a_file_that_is_not_listed_is_refused(beside: Path) -> None:
    """It would work in the author's folder and nowhere else."""
    refusal = only_refusal(beside, body="[f](form.pdf)")
    assert "attachments" in refusal.mend


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("run.exe", b"MZ", "cannot be attached"),
        ("page.html", b"<p>", "cannot be attached"),
        ("form2.pdf", b"<html>", "no .pdf file"),
        ("table.xlsx", b"\xd0\xcf\x11\xe0", "no .xlsx file"),
        ("list.csv", b"a\0b", "no text"),
        ("empty.txt", b"", "is empty"),
    ],
)
def test_attachments_are_what_their_names_say(beside: Path, name: str, content: bytes, says: str) -> None:
    """A page or program under another name reaches no reader."""
    (beside / name).write_bytes(content)
    assert says in only_refusal(beside, f"title: T\nattachments: {name}").message


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("a.MP4", b"\0\0\0\x20ftypisom", "video/mp4"),
        ("a.csv", b"a,b", "text/csv"),
        ("a.ofd", b"PK\x03\x04", "application/ofd"),
    ],
)
def test_an_attachment_has_the_media_type_of_our_table(
    beside: Path, name: str, content: bytes, media_type: str
) -> None:
    """Every host gives the same, whatever is installed there."""
    (beside / name).write_bytes(content)
    assert [asset.media_type for asset, _ in drafted(beside, f"title: T\nattachments: {name}").files] == [media_type]


def test_sizes_are_limited_one_by_one_and_together(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is named; a file of exactly that size passes."""
    monkeypatch.setattr(attachment, "MAX_BYTES", 1024 * 1024)
    (beside / "large.txt").write_bytes(b"x" * 1024 * 1024)
    (beside / "larger.txt").write_bytes(b"x" * (1024 * 1024 + 1))
    assert drafted(beside, "title: T\nattachments: large.txt").files[0][0].size == 1024 * 1024
    assert "the limit is 1 MiB" in only_refusal(beside, "title: T\nattachments: larger.txt").message
    monkeypatch.setattr(folder, "MAX_TOTAL_BYTES", 1024 * 1024)
    assert "in all" in only_refusal(beside, "title: T\nattachments: [large.txt, form.pdf]").message
