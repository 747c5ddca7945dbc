"""A Word document → front matter and HTML, both still to be checked.

mammoth turns structure into HTML and leaves the looks behind. Before it sees the document, what it would
lose or take for final is looked for: changes that nobody accepted, hidden text, formulas and drawings are
refused; numbers that Word only computes (一、 （一） 第一条) are written into the text (`numbering`); what
stands outside the text, such as comments and page headers, is told in `notes`. Nothing outside the file
is ever opened.

Front matter: a table of two columns that stands first, with the keys of an item's front matter in its left column;
what it does not say is taken from the document's properties. Without a title there, the title is the text in
the style Title (标题), else a first paragraph that is a heading of level 1, else the title of the properties.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import mammoth
from lxml import etree

from sync.content import fields
from sync.content.front import Block, Entry, entry
from sync.content.inline import plain
from sync.content.numbering import literal
from sync.content.package import Package, attribute, named, opened
from sync.model import BadInput

TITLE_MEND = (
    "给标题用“标题”样式，或写在文件属性里（文件 → 信息 → 标题），或写在文首两列表格“标题”一格旁 · "
    "give the title the style Title (标题), or write it in the properties (文件 → 信息 → 标题), "
    "or in a table of two columns at the very beginning, beside the word 标题"
)
STYLES = "\n".join(
    [
        f"p[style-name='heading {level}'] => h{level}:fresh\np[style-name='标题 {level}'] => h{level}:fresh"
        for level in range(1, 7)
    ]
)
# Makers that programs write by themselves; nobody means them as the author.
NOBODY = re.compile(
    r"admin(istrator)?|users?|windows|microsoft( office)?( user)?|微软用户|微软中国|用户|python-docx|pc|lenovo|hp|dell"
    r"|wps.*|un-?named",
    re.IGNORECASE,
)
_CONTENT_TYPES = {"image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/webp": "webp"}
_REFUSED = {
    "oMath": ("公式", "a formula"),
    "object": ("嵌入对象", "an embedded object"),
    "chart": ("图表", "a chart"),
    "relIds": ("SmartArt 图形", "a SmartArt drawing"),
    "altChunk": ("嵌入的文档", "an embedded document"),
    "subDoc": ("子文档", "a part that lies in another document"),
}
_BLOCK_END = re.compile(r"(</(?:p|h[1-6]|li|tr|table)>)")
_BACK = re.compile(r'<a href="#[^"]*(?:footnote|endnote)-ref-[0-9]+">↑</a>')
_INTERNAL = re.compile(r'<a href="#[^"]*"[^>]*>(.*?)</a>', re.DOTALL)


@dataclass(frozen=True)
class Document:
    """`html` has a line for each paragraph. `notes` are (where, message)."""

    front: Block
    html: str
    refusals: list[BadInput] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


def read(content: bytes, where: str, embed: Callable[[str, bytes], None]) -> Document:
    """`embed` is given every picture, with the name that the HTML calls it by. Raises BadInput."""
    package = opened(content, where)
    reader = _Reader(package, where)
    reader.look()
    front = reader.front_matter()
    reader.refusals += literal(package, where)
    html = reader.converted(embed)
    return Document(front, html, reader.refusals, reader.notes)


class _Reader:
    def __init__(self, package: Package, where: str) -> None:
        self._package, self._where = package, where
        self._root = package.document
        self._body = next(named(self._root, "body"), self._root)
        self.refusals: list[BadInput] = []
        self.notes: list[tuple[str, str]] = []

    def _refuse(self, message: str, mend: str) -> None:
        self.refusals.append(BadInput(self._where, message, mend))

    def _note(self, chinese: str, english: str) -> None:
        self.notes.append((self._where, f"{chinese} · {english}"))

    # what must not pass, and what does not come along

    def look(self) -> None:
        if changes := [one for name in ("ins", "del", "moveFrom", "moveTo") for one in self._every(name)]:
            count = len(changes)
            message = f"{count} 处修订尚未接受或拒绝 · it has {count} changes that nobody accepted or rejected"
            self._refuse(message, "审阅 → 接受或拒绝所有修订 · Review → Accept or Reject All Changes, then save")
        if hidden := [text for text in map(_written, self._hidden()) if text]:
            shown = hidden[0][:20]
            message = f'有隐藏文字 "{shown}" · it has hidden text, which would be seen on the outlets'
            self._refuse(message, "删除它，或取消“隐藏” · delete it, or let it be seen")
        for name, (chinese, english) in _REFUSED.items():
            if self._every(name):
                mend = "存为图片插入，并写替代文字 · save it as a picture, and insert that with its alt text"
                self._refuse(f"{chinese}不能在各发布端显示 · {english} is not shown by every outlet", mend)
        for one in self._package.external("image"):
            message = f'图片在文件之外 "{one[:80]}" · a picture lies outside the document'
            self._refuse(message, "插入图片本身，而不是链接 · insert the picture itself, not a link to it")
        if self._every("commentReference"):
            self._note("批注不发布", "comments are not published")
        if any(self._package.texts(kind) for kind in ("header", "footer")):
            self._note("页眉页脚不发布", "page headers and footers are not published")
        if self._every("footnoteReference") + self._every("endnoteReference"):
            self._note("脚注、尾注列在文末", "footnotes and endnotes stand at the end of the text")
        if self._every("txbxContent"):
            self._note("文本框移至所在段落之后", "text boxes follow the paragraph they stand at")
        contents = [one for one in named(self._body, "p") if self._package.style_name(one).lower().startswith("toc ")]
        for paragraph in contents:
            self._drop(paragraph)
        if contents:
            self._note("目录不发布：网页没有页码", "the table of contents is left out: it is of page numbers")

    def _every(self, name: str) -> list[etree._Element]:
        return [one for root in self._package.roots() for one in named(root, name)]

    def _hidden(self) -> Iterator[etree._Element]:
        for run in self._every("r"):
            own = next((one for one in named(run, "vanish")), None)
            if (own is not None and attribute(own, "val") not in {"0", "false", "off"}) or self._package.hidden(run):
                yield run

    @staticmethod
    def _drop(element: etree._Element) -> None:
        parent = element.getparent()
        if parent is not None:
            parent.remove(element)

    # front matter

    def front_matter(self) -> Block:
        entries = list(self._table())
        given = {fields.ALIASES.get(one.key, one.key) for one in entries}
        told = self._package.properties()
        if "title" not in given:
            entries += [entry("title", title, 1)] if (title := self._title(told.get("title", ""))) else []
        else:
            self._drop_repeated(str(next(one for one in entries if one.key in {"title", "标题"}).value.value))
        if "subtitle" not in given and (subtitle := self._styled({"subtitle", "副标题"})):
            entries.append(entry("subtitle", subtitle, 1))
        if NOBODY.fullmatch(told.get("author", "")):
            del told["author"]
        for key, value in told.items():
            if key not in given | {"title"}:
                entries.append(entry(key, value, 1))
                if key == "author":
                    message = f'作者 "{value}" 取自文档属性 · the author is the one of the document\'s properties'
                    self.notes.append((self._where, message))
        return Block(tuple(entries), "", first_line=0)

    def _blocks(self) -> list[etree._Element]:
        """The body's blocks that show something."""
        return [
            one for one in self._body if _local(one) in {"p", "tbl", "sdt"} and (_written(one) or _local(one) == "tbl")
        ]

    def _table(self) -> Iterator[Entry]:
        """The rows of a table of keys that stands first; it is then no part of the text."""
        first = next(iter(self._blocks()), None)
        if first is None or _local(first) != "tbl":
            return
        rows = [[_lines(cell) for cell in row if _local(cell) == "tc"] for row in first if _local(row) == "tr"]
        if not rows or any(len(row) != 2 for row in rows) or not self._is_key(rows[0][0]):
            return
        for number, (key, lines) in enumerate(rows, 1):
            name = _key("".join(key))
            if lines:
                shape = fields.KEYS.get(fields.ALIASES.get(name, name), ("", fields.Shape.LINE))[1]
                several = shape in {fields.Shape.LINES, fields.Shape.FILES} and len(lines) > 1
                joined = "，" if shape is fields.Shape.WORDS else " "
                yield entry(name, lines if several else joined.join(lines), number)
        self._drop(first)

    @staticmethod
    def _is_key(lines: list[str]) -> bool:
        return _key("".join(lines)) in fields.KEYS.keys() | fields.ALIASES.keys()

    def _title(self, property_: str) -> str:
        if styled := self._styled({"title", "标题"}):
            return styled
        first = next(iter(self._blocks()), None)
        if first is not None and self._package.style_name(first).lower() in {"heading 1", "标题 1"}:
            self._drop(first)
            return plain(_written(first))
        self._drop_repeated(property_)
        return property_

    def _styled(self, names: set[str]) -> str:
        """The text of the first paragraphs in this style, which then are no part of the body."""
        found: list[str] = []
        for block in self._blocks():
            if _local(block) == "p" and self._package.style_name(block).lower() in names:
                found.append(plain(_written(block)))
                self._drop(block)
            elif found:
                break
        return plain("\n".join(found))

    def _drop_repeated(self, title: str) -> None:
        """A first paragraph that only says the title again would stand there twice."""
        first = next(iter(self._blocks()), None)
        if first is not None and _local(first) == "p" and plain(_written(first)) == plain(title):
            self._drop(first)

    # text

    def converted(self, embed: Callable[[str, bytes], None]) -> str:
        count = 0

        def picture(image: Any) -> dict[str, str]:
            nonlocal count
            count += 1
            name = f"picture-{count}.{_CONTENT_TYPES.get(image.content_type, 'bin')}"
            with image.open() as file:
                embed(name, file.read())
            return {"src": name}

        try:
            made = mammoth.convert_to_html(
                BytesIO(self._package.packed()),
                style_map=STYLES,
                include_embedded_style_map=False,
                convert_image=mammoth.images.img_element(picture),
            )
        except (KeyError, ValueError, IndexError, AttributeError, zipfile.BadZipFile) as broken:
            mend = "用 Word 打开后重新保存 · open it in Word and save it anew"
            raise BadInput(
                self._where, f"不是完好的 Word 文档 · it is no sound Word document ({broken})", mend
            ) from None
        for message in dict.fromkeys(one.message for one in made.messages):
            if message.startswith("An unrecognised element was ignored"):
                self._note(f"未导入：{message.rpartition(': ')[2]}", message)
            elif not message.startswith("Unrecognised"):  # … style: dress only
                self._refuse(message, "写成文字或图片 · write it as text, or insert a picture of it")
        html = _BACK.sub("", made.value)
        return _BLOCK_END.sub("\\1\n", _INTERNAL.sub("\\1", html))


def _key(text: str) -> str:
    """What a left cell names: `发文字号：` and `标 题` as forms write them."""
    return re.sub(r"[\s\u3000]", "", text).rstrip(":：")


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def _written(element: etree._Element) -> str:
    """All that it says; a picture counts as something."""
    said = []
    for one in element.iter():
        match _local(one):
            case "t":
                said.append(one.text or "")
            case "tab" | "br" | "cr":
                said.append(" ")
            case "drawing" | "pict":
                said.append("\ufffc")
    return "".join(said).strip()


def _lines(cell: etree._Element) -> list[str]:
    return [line for paragraph in named(cell, "p") if (line := plain(_written(paragraph)))]
