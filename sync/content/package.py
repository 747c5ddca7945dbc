"""The parts of a Word document (Office Open XML): a ZIP file of XML that names what else it refers to.

Only the parts that make the text are read, each bounded, none with a document type or entities. What lies outside
the package is known by its address alone.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from io import BytesIO

from lxml import etree

from sync.content.inline import plain
from sync.model import BadInput

MAX_PARTS = 3_000
MAX_PART_BYTES = 48 * 1024 * 1024  # one part, unpacked
MAX_UNPACKED_BYTES = 128 * 1024 * 1024

_MEND = "用 Word 或 WPS 打开，另存为 .docx · open it in Word or WPS and save it anew as .docx"
_OLE = b"\xd0\xcf\x11\xe0"
_PARTS = ("styles", "numbering", "footnotes", "endnotes", "header", "footer")
# Property of the package → key of the front matter; 主题 and 类别 are what Word calls subject and category.
_PROPERTIES = {
    "title": "title", "subject": "topics", "description": "summary", "keywords": "keywords", "creator": "author",
    "language": "language", "category": "column",
}  # fmt: skip


def opened(content: bytes, where: str) -> Package:
    """Raises BadInput for what is no Word document, or too large unpacked."""
    if content.startswith(_OLE):
        raise BadInput(
            where, "这是旧版 .doc 文件，或有密码保护 · it is an old .doc file, or protected by a password", _MEND
        )
    try:
        return Package(zipfile.ZipFile(BytesIO(content)), where)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, ValueError, KeyError) as broken:
        raise BadInput(where, f"不是完好的 Word 文档 · it is no sound Word document ({broken})", _MEND) from None


class Package:
    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        """Raises BadInput, and what zipfile raises for a broken file."""
        self._archive, self._where = archive, where
        self._trees: dict[str, etree._Element] = {}
        listed = archive.infolist()
        if len(listed) > MAX_PARTS or sum(one.file_size for one in listed) > MAX_UNPACKED_BYTES:
            raise BadInput(
                where,
                "解开后比任何文档都大 · unpacked it is larger than any document",
                "缩小文件：拆分，视频改用链接 · make it smaller: split it, or link to films",
            )
        self._names = {one.filename for one in listed}
        main = [target for kind, target, inside in self._related("") if kind == "officeDocument" and inside]
        if not main or main[0] not in self._names:
            raise BadInput(where, "不是 Word 文档 · it is no Word document", _MEND)
        self._main = main[0]
        self._outside = [(kind, target) for kind, target, inside in self._related(self._main) if not inside]
        self._inside = [(kind, target) for kind, target, inside in self._related(self._main) if inside]
        self.document = self._tree(self._main)
        self._parts = {kind: [t for k, t in self._inside if k == kind and t in self._names] for kind in _PARTS}
        self._styles = {
            attribute(style, "styleId"): style
            for path in self._parts["styles"]
            for style in named(self._tree(path), "style")
        }

    def part(self, kind: str) -> etree._Element | None:
        """The styles, numbering, footnotes or endnotes."""
        return self._tree(self._parts[kind][0]) if self._parts[kind] else None

    def roots(self) -> list[etree._Element]:
        """What readers read: the document, its footnotes and endnotes."""
        notes = [self.part(kind) for kind in ("footnotes", "endnotes")]
        return [self.document, *(one for one in notes if one is not None)]

    def texts(self, kind: str) -> list[str]:
        """What headers or footers say, page numbers apart."""
        said = [plain("".join(one.text or "" for one in named(self._tree(path), "t"))) for path in self._parts[kind]]
        return [text for text in said if text.strip("0123456789-—–/ 第页共")]

    def external(self, kind: str) -> list[str]:
        """Addresses outside the package of this kind of relation, also those of notes."""
        more = [path for part in ("footnotes", "endnotes") for path in self._parts[part]]
        related = [(k, target) for path in more for k, target, inside in self._related(path) if not inside]
        return [target for k, target in self._outside + related if k == kind]

    def style(self, style_id: str) -> etree._Element | None:
        return self._styles.get(style_id)

    def style_name(self, paragraph: etree._Element) -> str:
        """The name of a paragraph's style, the same in every language of Word for those that it brings."""
        used = next((attribute(one, "val") for one in named(paragraph, "pStyle")), "")
        style = self._styles.get(used)
        return next((attribute(one, "val") for one in named(style, "name")), used) if style is not None else used

    def hidden(self, run: etree._Element) -> bool:
        """Whether a run's own character style hides it."""
        used = next((attribute(one, "val") for one in named(run, "rStyle")), "")
        style = self._styles.get(used)
        return style is not None and any(attribute(one, "val") not in {"0", "false"} for one in named(style, "vanish"))

    def properties(self) -> dict[str, str]:
        """Of the core properties those that an item has too, by the item's keys; empty ones left out."""
        paths = [target for kind, target, inside in self._related("") if kind == "core-properties" and inside]
        found = {}
        for element in self._tree(paths[0]) if paths and paths[0] in self._names else ():
            key = _PROPERTIES.get(etree.QName(element).localname if isinstance(element.tag, str) else "")
            if key and (value := plain("".join(str(part) for part in element.itertext()))):
                found[key] = value
        return found

    def packed(self) -> bytes:
        """The package as it is now; XML that was not looked at is left out."""
        made = BytesIO()
        self.roots()  # they are looked at, so that they come along
        with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(self._names):
                if name in self._trees:
                    archive.writestr(name, etree.tostring(self._trees[name], encoding="UTF-8", xml_declaration=True))
                elif name.endswith(".rels") or name == "[Content_Types].xml":
                    archive.writestr(name, etree.tostring(self._tree(name), encoding="UTF-8", xml_declaration=True))
                elif not name.endswith(".xml"):
                    archive.writestr(name, self._read(name))
        return made.getvalue()

    def _related(self, path: str) -> list[tuple[str, str, bool]]:
        """Kind, target, and whether it lies in the package, of what a part refers to."""
        folder, name = posixpath.split(path)
        rels = posixpath.join(folder, "_rels", f"{name}.rels")
        if rels not in self._names:
            return []
        found = []
        for one in named(self._tree(rels), "Relationship"):
            kind, target = one.get("Type", "").rpartition("/")[2], one.get("Target", "")
            inside = one.get("TargetMode") != "External"
            if inside:
                target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
            found.append((kind, target, inside))
        return found

    def _tree(self, name: str) -> etree._Element:
        """Raises BadInput for XML that is none, or has a document type, which no program writes into a document."""
        if name not in self._trees:
            parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
            try:
                root = etree.fromstring(self._read(name), parser)
            except etree.XMLSyntaxError as broken:
                raise BadInput(
                    self._where, f"其中的 {name} 已损坏 · its part {name} is damaged ({broken.msg})", _MEND
                ) from None
            if root.getroottree().docinfo.internalDTD is not None:
                raise BadInput(
                    self._where, f"其中的 {name} 带有文档类型声明 · its part {name} has a document type", _MEND
                )
            self._trees[name] = root
        return self._trees[name]

    def _read(self, name: str) -> bytes:
        if self._archive.getinfo(name).file_size > MAX_PART_BYTES:
            raise BadInput(
                self._where,
                f"其中的 {name} 过大 · its part {name} is too large",
                "缩小文件：拆分 · make it smaller: split it",
            )
        with self._archive.open(name) as file:
            return file.read(MAX_PART_BYTES + 1)


def named(element: etree._Element, name: str) -> Iterator[etree._Element]:
    """Descendants of this local name, whichever of the standard's name spaces they are in."""
    return (one for one in element.iter(f"{{*}}{name}") if one is not element)


def attribute(element: etree._Element, name: str) -> str:
    """An attribute in the element's own name space; "" when it is not there."""
    return element.get(f"{{{etree.QName(element).namespace}}}{name}", "")
