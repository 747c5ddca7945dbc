"""A Word document becomes an item that says the same, or is refused with what stands against it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.content.numbering import number
from sync.content.source import Draft, read
from sync.model import BadInput, sha256
from tests.unit.item_files import NOW, RED, furnished, refused
from tests.unit.word_files import cell, document, levels, paragraph, picture, related, run, table

TITLE = paragraph("关于防汛的通知", "a3")


def drafted(folder: Path, *blocks: str, **more: str | dict[str, bytes | str]) -> Draft:
    path = folder / "item.docx"
    path.write_bytes(document(*blocks, **more))  # type: ignore[arg-type]
    return read(path, NOW)


def refusals(folder: Path, *blocks: str, **more: str | dict[str, bytes | str]) -> tuple[BadInput, ...]:
    path = folder / "item.docx"
    path.write_bytes(document(*blocks, **more))  # type: ignore[arg-type]
    return refused(path)


def test_structure_comes_along_and_looks_do_not(tmp_path: Path) -> None:
    """Headings, bold, italics, lists, links, a table with merged cells, a picture with its alt text."""
    draft = drafted(
        tmp_path,
        TITLE,
        paragraph("总则", "1"),
        paragraph(inner=run("粗", "<w:b/>") + run("斜", "<w:i/>") + run("彩", '<w:color w:val="FF0000"/>')),
        paragraph("甲", number="1"),
        paragraph("乙", number="1"),
        paragraph("丙", number="2"),
        paragraph("丁", number="2"),
        table(
            cell("头", '<w:gridSpan w:val="2"/>'),
            cell("一", '<w:vMerge w:val="restart"/>') + cell("1"),
            cell("", "<w:vMerge/>") + cell("2"),
        ),
        picture("p", "红色方块"),
        paragraph(inner='<w:hyperlink r:id="h"><w:r><w:t>链接</w:t></w:r></w:hyperlink>'),
        relations=related("image", "media/a.png", "p")
        + related("hyperlink", "https://example.org/?a=1", "h", "External"),
        numbering=levels("1", ("bullet", "·")) + levels("2", ("decimal", "%1.")),
        parts={"word/media/a.png": RED},
    )
    assert ("关于防汛的通知", ()) == (draft.title, draft.notes)
    assert draft.body.split("\n") == [
        "<h2>总则</h2>",
        "<p><strong>粗</strong><em>斜</em>彩</p>",
        "<ul><li>甲</li><li>乙</li></ul>",
        "<ol><li>丙</li><li>丁</li></ol>",
        '<table><tbody><tr><td colspan="2">头</td></tr><tr><td rowspan="2">一</td><td>1</td></tr>'
        "<tr><td>2</td></tr></tbody></table>",
        f'<p><img src="asset:{sha256(RED)}" alt="红色方块"></p>',
        '<p><a href="https://example.org/?a=1">链接</a></p>',
    ]
    assert [(RED, "红色方块")] == [(content, asset.alt) for asset, content in draft.files]


def test_numbers_that_word_computes_are_part_of_the_text(tmp_path: Path) -> None:
    """一、 and （一） would be lost or become other numbers; a plain list stays one, a broken one counts on."""
    draft = drafted(
        tmp_path,
        TITLE,
        paragraph("总体要求", "1", number="1"),
        paragraph("工作目标", number="1", level=1),
        paragraph("重点任务", "1", number="1"),
        paragraph("责任", number="1", level=1),
        paragraph("甲", number="2"),
        paragraph("说明"),
        paragraph("乙", number="2"),
        numbering=levels("1", ("chineseCounting", "%1、"), ("chineseCounting", "（%2）"))
        + levels("2", ("decimal", "%1.")),
    )
    assert draft.body.split("\n") == [
        "<h2>一、总体要求</h2>",
        "<p>（一）工作目标</p>",
        "<h2>二、重点任务</h2>",
        "<p>（一）责任</p>",
        "<ol><li>甲</li></ol>",
        "<p>说明</p>",
        "<p>2. 乙</p>",
    ]


@pytest.mark.parametrize(
    ("value", "form", "shown"),
    [(10, "chineseCounting", "十"), (21, "chineseCounting", "二十一"), (105, "chineseCounting", "一百零五"),
     (2026, "ideographDigital", "二〇二六"), (3, "decimalEnclosedCircleChinese", "③"), (28, "lowerLetter", "bb"),
     (14, "upperRoman", "XIV"), (7, "decimalZero", "07"), (12, "chineseLegalSimplified", "壹拾贰")],
)  # fmt: skip
def test_numbers_are_written_as_word_writes_them(value: int, form: str, shown: str) -> None:
    """The forms that official documents use."""
    assert shown == number(value, form)


def test_an_unknown_form_of_number_is_refused(tmp_path: Path) -> None:
    """Rather than shown as another."""
    found = refusals(tmp_path, TITLE, paragraph("x", number="1"), numbering=levels("1", ("hebrew1", "%1")))
    assert ["hebrew1" in one.message for one in found] == [True]


def test_a_first_table_of_keys_is_front_matter(tmp_path: Path) -> None:
    """As township offices write it; spaces and colons in the keys do not matter, files lie beside the document."""
    beside = furnished(tmp_path)
    keys = {"标 题：": "关于防汛的通知", "发文字号:": "清政〔2026〕1号", "类型": "通知", "关键词": "防汛，安全",
            "附件": "form.pdf", "发布端": "site", "发布时刻": "2026-12-01 09:00 Asia/Shanghai", "来源": ""}  # fmt: skip
    rows = [cell(key) + cell(value) for key, value in keys.items()]
    draft = drafted(beside, table(*rows), TITLE, paragraph("正文。"))
    assert "<p>正文。</p>" == draft.body
    assert "关于防汛的通知" == draft.title
    assert {
        "kind": "notice",
        "language": "zh-CN",
        "document_no": "清政〔2026〕1号",
        "keywords": ("防汛", "安全"),
    } == draft.metadata
    assert (("site",), "2026-12-01 09:00 Asia/Shanghai") == (draft.outlets, draft.release_at_typed)
    assert ["form.pdf"] == [asset.name for asset, _ in draft.files]


def test_a_wrong_key_in_that_table_is_refused_with_its_row(tmp_path: Path) -> None:
    """The second row of the table."""
    (one,) = refusals(tmp_path, table(cell("标题") + cell("T"), cell("摘药") + cell("x")), paragraph("正文"))
    assert one.where.endswith(":2") and "摘要" in one.mend


def test_another_first_table_is_text(tmp_path: Path) -> None:
    """Its first cell is no key."""
    assert "姓名" in drafted(tmp_path, TITLE, table(cell("姓名") + cell("张三"))).body
    assert "姓名" in drafted(tmp_path, table(cell("姓名") + cell("张三")), core="<dc:title>T</dc:title>").body


@pytest.mark.parametrize(
    ("blocks", "core", "title", "body"),
    [
        ([paragraph("甲", "a3"), paragraph("乙", "a3"), paragraph("丙")], "错", "甲乙", "<p>丙</p>"),
        ([paragraph("甲", "1"), paragraph("丙")], "错", "甲", "<p>丙</p>"),
        ([paragraph("前言"), paragraph("甲", "1")], "对", "对", "<p>前言</p>\n<h2>甲</h2>"),
        ([paragraph("对"), paragraph("丙")], "对", "对", "<p>丙</p>"),
    ],
)
def test_where_the_title_comes_from(tmp_path: Path, blocks: list[str], core: str, title: str, body: str) -> None:
    """The style Title, else a heading that stands first, else the properties; never twice on the page."""
    draft = drafted(tmp_path, *blocks, core=f"<dc:title>{core}</dc:title>")
    assert (title, body) == (draft.title, draft.body)


def test_a_document_without_a_title_is_refused(tmp_path: Path) -> None:
    """With the three ways to give it one."""
    (one,) = refusals(tmp_path, paragraph("正文"))
    assert "no title" in one.message and "Title" in one.mend


def test_properties_are_metadata_but_for_a_machines_user(tmp_path: Path) -> None:
    """An author is told, because nobody sees it in the document."""
    core = "<dc:creator>张三</dc:creator><dc:description>摘要</dc:description><dc:language>en-GB</dc:language>"
    draft = drafted(tmp_path, TITLE, paragraph("x"), core=core)
    assert {"kind": "news", "language": "en-GB", "author": "张三", "summary": "摘要"} == draft.metadata
    assert ["张三" in note.message for note in draft.notes] == [True]
    nobody = drafted(tmp_path, TITLE, paragraph("x"), core="<dc:creator>Administrator</dc:creator>")
    assert ("author" in nobody.metadata, nobody.notes) == (False, ())


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        (f"<w:ins w:id='1'>{run('加')}</w:ins>", "accepted or rejected"),
        ("<w:del w:id='1'><w:r><w:delText>删</w:delText></w:r></w:del>", "accepted or rejected"),
        (run("密", "<w:vanish/>"), "hidden"),
        ("<m:oMath><m:r><m:t>x</m:t></m:r></m:oMath>", "formula"),
        ("<w:object/>", "embedded object"),
        (run("旧", "<w:strike/>"), "struck out"),
    ],
)
def test_what_would_mislead_is_refused(tmp_path: Path, inner: str, says: str) -> None:
    """Open changes, hidden and struck-out text, what no outlet shows."""
    found = refusals(tmp_path, TITLE, paragraph("正文", inner=inner))
    assert [True] == [says in one.message for one in found], [str(one) for one in found]


def test_what_does_not_come_along_is_told(tmp_path: Path) -> None:
    """Comments, page headers, footnotes moved to the end, the table of contents; none of it is fatal."""
    note = '<w:footnote w:id="5"><w:p><w:r><w:t>注文</w:t></w:r></w:p></w:footnote>'
    draft = drafted(
        tmp_path,
        TITLE,
        paragraph("总则 1", "t1"),
        paragraph("正文", inner='<w:r><w:commentReference w:id="1"/></w:r><w:r><w:footnoteReference w:id="5"/></w:r>'),
        relations=related("header", "header1.xml", "x") + related("footnotes", "footnotes.xml", "f"),
        parts={
            "word/header1.xml": document_part("hdr", run("内部资料")),
            "word/footnotes.xml": document_part("footnotes", note),
        },
    )
    assert "<p>正文<sup>[1]</sup></p>\n<ol><li>注文</li></ol>" == draft.body
    said = " ".join(note.message for note in draft.notes)
    assert all(word in said for word in ("批注", "页眉", "脚注", "目录")), said
    assert not any(note.fatal for note in draft.notes)


def document_part(name: str, inner: str) -> str:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    return f'<w:{name} xmlns:w="{space}">{inner}</w:{name}>'


def test_a_picture_without_alt_text_is_refused_with_words_way_to_give_it(tmp_path: Path) -> None:
    """Not with Markdown's."""
    (one,) = refusals(
        tmp_path, TITLE, picture("p"), relations=related("image", "media/a.png", "p"), parts={"word/media/a.png": RED}
    )
    assert "no alt text" in one.message and "编辑替代文字" in one.mend


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04 no zip", "no sound Word document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old .doc"),
        (document(parts={"_rels/.rels": "<Relationships/>"}), "no Word document"),
        (document(parts={"word/document.xml": "<w:document>"}), "damaged"),
        (document(parts={"word/document.xml": "<x/>"}), "no sound Word document"),
    ],
)
def test_what_is_no_word_document_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    """Also an old or protected one, which begins otherwise."""
    path = tmp_path / "item.docx"
    path.write_bytes(content)
    assert says in refused(path)[0].message
