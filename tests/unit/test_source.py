"""An item's file becomes a draft, or a list of everything that has to be mended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sync.content import source
from sync.content.source import BadItem, read
from sync.model import AssetRole, Edition, sha256
from tests.unit.item_files import BLUE, NOW, RED, drafted, furnished, only_refusal, refused, written


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    return furnished(tmp_path)


def test_a_markdown_file_becomes_a_draft(beside: Path) -> None:
    """Content goes to metadata, routing beside it, pictures into assets."""
    draft = drafted(
        beside,
        "title: 关于防汛的通知\nkind: notice\ncolumn: 通知公告\nkeywords: [防汛, 安全]\nwritten_on: 2026-11-23\n"
        "index_no: 0123\ncover: images/red.png\nattachments:\n  - {file: form.pdf, name: 申请表}\noutlets: [a, b]\n"
        "group: all\nrelease_at: 2026-11-23 09:00 Asia/Shanghai\nembargo: 2026-11-23T08:00+08:00",
        "# 一\n\n见[表](form.pdf)。\n\n![蓝](<images/蓝 色.png>)\n",
    )
    blue, form = sha256(BLUE), sha256(b"%PDF-1.7 form")
    assert draft.title == "关于防汛的通知"
    assert draft.body == (
        f'<h2>一</h2>\n<p>见<a href="asset:{form}">表</a>。</p>\n<p><img src="asset:{blue}" alt="蓝"></p>'
    )
    assert draft.metadata == {
        "kind": "notice",
        "language": "zh-CN",
        "column": "通知公告",
        "keywords": ("防汛", "安全"),
        "written_on": "2026-11-23",
        "index_no": "0123",
    }
    assert [(a.role, a.name, a.media_type, a.alt, a.size) for a, _ in draft.files] == [
        (AssetRole.IMAGE, "蓝 色.png", "image/png", "蓝", len(BLUE)),
        (AssetRole.COVER, "red.png", "image/png", "关于防汛的通知", len(RED)),
        (AssetRole.ATTACHMENT, "申请表.pdf", "application/pdf", "", 13),
    ]
    assert all(sha256(content) == asset.digest for asset, content in draft.files)
    assert (draft.outlets, draft.group) == (("a", "b"), "all")
    assert draft.release_at_typed == "2026-11-23 09:00 Asia/Shanghai"
    assert (draft.release_at, draft.embargo) == (1_795_395_600_000_000, 1_795_392_000_000_000)


def test_the_digest_is_that_of_the_edition(beside: Path) -> None:
    """A duplicate is found before anything is stored."""
    draft = drafted(beside, "title: T\noutlets: [a]\ncover: images/red.png", "![r](images/red.png)")
    edition = Edition("i", 7, draft.title, draft.body, draft.metadata, tuple(asset for asset, _ in draft.files))
    assert draft.digest == edition.digest
    assert draft.digest == drafted(beside, "标题: T\n封面: images/red.png", "![r](images/red.png)").digest
    assert draft.digest != drafted(beside, "title: T\ncover: images/red.png", "![s](images/red.png)").digest


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file(beside: Path) -> None:
    """Front matter, files and body; the error is one line for each."""
    path = written(
        beside,
        "title: T\nkind: blog\nsumary: x\ncover: no.png",
        "one\n\n| a |\n|---|\n| <del>x</del> |\n\n![](images/red.png)",
    )
    with pytest.raises(BadItem) as raised:
        read(path, NOW)
    lines = [problem.where.rpartition(":")[2] for problem in raised.value.problems]
    assert lines == ["3", "4", "5", "11", "13"]
    assert str(raised.value).count("\n") == 4
    assert all(problem.fatal for problem in raised.value.problems)


def test_invisible_characters_do_not_reach_the_draft(beside: Path) -> None:
    """Neither raw nor escaped; a lone surrogate could not even be stored."""
    assert drafted(beside, 'title: "a\\ud800\\x07b"', "a\x0bb\x07c\ufeff&#7;").title == "ab"
    assert drafted(beside, "title: T", "a\x0bb\x07c\ufeff").body == "<p>a bc</p>"


@pytest.mark.parametrize("name", ["item.html", "item.HTM"])
def test_html_with_front_matter_is_an_item(beside: Path, name: str) -> None:
    """The same block at its head; lines are counted over both."""
    assert drafted(beside, "title: T", "<div>a</div>", name).body == "<p>a</p>"
    path = written(beside, "title: T", "<p>a</p>\n<title>x\ny</title>\n<script>", name)
    assert [refusal.where for refusal in refused(path)] == [f"{path}:7", f"{path}:7"]


def test_html_may_have_its_title_as_web_pages_do(beside: Path) -> None:
    """Without front matter; the title element is not text of the body."""
    path = beside / "page.html"
    path.write_text("<!doctype html>\n<head><title> A &amp;\nB </title></head>\n<body><p>x</body>", encoding="utf-8")
    draft = read(path, NOW)
    assert (draft.title, draft.body) == ("A & B", "<p>x</p>")
    assert drafted(beside, "title: T", "<title>U</title>x", "page.html").title == "T"


def test_other_files_are_refused_with_what_is_accepted(beside: Path) -> None:
    """The list is in the message, so nobody has to look it up."""
    path = beside / "item.txt"
    path.write_text("x")
    assert ".md, .html, .htm" in refused(path)[0].mend


@pytest.mark.parametrize(
    ("content", "where", "says"),
    [
        ("---\ntitle: 关于\n---\n防汛".encode("gbk"), ":2", "looks like GBK"),
        ("---\ntitle: T".encode("utf-16"), ":1", "looks like UTF-16"),
        (b"---\ntitle: T\n", ":1", "no end"),
        (b"---\ntitle: T\n---\n\n<!-- -->\n", "", "no text"),
        (b"---\ntitle: T\n---\nx" + bytes(source.MAX_BYTES), "", "2 MiB"),
        (b"just text", ":1", "no title"),
    ],
)
def test_an_unusable_file_is_refused(tmp_path: Path, content: bytes, where: str, says: str) -> None:
    """Encoding, front matter, text: each missing part is named."""
    path = tmp_path / "item.md"
    path.write_bytes(content)
    (refusal,) = refused(path)
    assert refusal.where == f"{path}{where}"
    assert says in refusal.message


@pytest.mark.parametrize("name", ["missing.md", "folder.md", "pipe.md"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    """Not waited for, and no traceback."""
    (tmp_path / "folder.md").mkdir()
    os.mkfifo(tmp_path / "pipe.md")
    assert "no such file" in refused(tmp_path / name)[0].message


def test_windows_files_are_the_same_items(beside: Path) -> None:
    """A byte order mark and other line ends change nothing."""
    path = beside / "windows.md"
    path.write_bytes("\ufeff---\r\ntitle: T\r\n---\r\nText.".encode())
    assert read(path, NOW) == drafted(beside)


def test_a_picture_that_markdown_does_not_see_is_refused(beside: Path) -> None:
    """An address with a space in it would be printed as text on every outlet."""
    refusal = only_refusal(beside, body="x\n\n![蓝](images/蓝 色.png)")
    assert refusal.where.endswith(":6")
    assert "<" in refusal.mend


def test_active_content_in_markdown_is_refused_on_its_line(beside: Path) -> None:
    """Raw HTML and addresses, in lists, quotations, tables and paragraphs of several lines."""
    body = "one\ntwo <b onclick=x>\n\n> - a\n> - [x](javascript:y)\n\n| a |\n|---|\n| <script> |\n"
    refusals = refused(written(beside, "title: T", body))
    lines = [refusal.where.rpartition(":")[2] for refusal in refusals]
    assert lines == ["5", "8", "12", "12"]
    assert ["program" in refusal.message for refusal in refusals] == [True, True, True, False]


def test_text_nested_deeper_than_the_parser_reads_is_refused(beside: Path) -> None:
    """The Markdown parser would drop it without a word."""
    assert any("deep" in refusal.message for refusal in refused(written(beside, "title: T", ">" * 60 + " lost")))
