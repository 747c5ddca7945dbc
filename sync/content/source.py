"""An item's file → a draft: all that an edition is made of, and where and when it is to go.

One pass tells everything that is wrong with the file, each with its line. The draft is not an
edition yet: an item's name and its revision are given where it is stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path

from sync.content import fields, front, markdown, markup
from sync.content.folder import Folder
from sync.content.inline import UNPRINTABLE, plain
from sync.content.refusal import BadItem, each_of, raise_any
from sync.model import Asset, BadInput, Edition, MetaValue

__all__ = ["BadItem", "Draft", "read"]

MAX_BYTES = 2 * 1024 * 1024

_TITLE_START = re.compile(r"<title\b[^<>]*>", re.IGNORECASE)
_TITLE_END = re.compile(r"</title\s*>", re.IGNORECASE)
_TITLE_MEND = "begin the file with a line ---, then `title: …`, then a line ---"


@dataclass(frozen=True)
class Draft:
    """What one file says. `metadata` is content; `outlets` to `embargo` only route it.

    `release_at` and `embargo` are instants (µs UTC) and may lie in the past: the caller judges that.
    `release_at_typed` is what the author wrote; "now" has no instant yet.
    """

    title: str
    body: str
    metadata: Mapping[str, MetaValue]
    files: tuple[tuple[Asset, bytes], ...]
    outlets: tuple[str, ...]
    group: str | None
    release_at: int | None
    embargo: int | None
    release_at_typed: str | None

    @property
    def digest(self) -> str:
        """The digest of any edition made of this."""
        return Edition("", 0, self.title, self.body, self.metadata, tuple(asset for asset, _ in self.files)).digest


@dataclass(frozen=True)
class _Written:
    """A file of any kind, read: HTML that nobody has checked yet, and where its lines stand in the file."""

    fields: fields.Fields
    html: str
    line: Callable[[int], int] = int


def read(path: Path, now: int) -> Draft:
    """Read the item at `path` and the files that it names. `now` is µs UTC.

    Raises BadItem with everything that has to be mended before the item can be used.
    """
    where = str(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        accepted = ", ".join(_READERS)
        raise BadItem([BadInput(where, "an item is not written in such a file", f"use one of: {accepted}")])
    try:
        written = reader(_content(path), where, now)
    except BadInput as refusal:
        raise BadItem(each_of(refusal)) from None
    found, refusals = written.fields, list(written.fields.refusals)
    folder = Folder(path.parent)
    for listed in found.listed:
        try:
            folder.add(listed)
        except BadInput as refusal:
            refusals.append(refusal)
    if "title" not in found.given:
        refusals.insert(0, BadInput(f"{where}:1", "the item has no title", _TITLE_MEND))
    body = ""
    try:
        body = markup.clean(written.html, where, line=written.line, files=folder)
        if not body:
            refusals.append(BadInput(where, "the item has no text", "write its text below the front matter"))
    except BadInput as refusal:
        refusals += each_of(refusal)
    files, missing = folder.files(found.title)
    raise_any(sorted([*refusals, *missing], key=_line))
    return Draft(
        title=found.title,
        body=body,
        metadata=found.metadata,
        files=tuple(files),
        outlets=found.outlets,
        group=found.group,
        release_at=found.release_at,
        embargo=found.embargo,
        release_at_typed=found.release_at_typed,
    )


def _line(refusal: BadInput) -> int:
    """Its line, 0 for the file as a whole."""
    line = refusal.where.rpartition(":")[2]
    return int(line) if line.isdecimal() else 0


def _content(path: Path) -> bytes:
    where = str(path)
    try:
        if not path.is_file():
            raise BadInput(where, "there is no such file", "correct the path")
        with path.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as failed:
        raise BadInput(where, f"the file cannot be read: {failed.strerror}", "make it readable") from None
    if len(content) > MAX_BYTES:
        limit = f"the file has more than {MAX_BYTES // 1024 // 1024} MiB"
        raise BadInput(where, limit, "keep pictures in files of their own, and attach long tables")
    return content


def _text(content: bytes, where: str) -> str:
    """A text file with \\n line ends and nothing unprintable. Raises BadInput unless it is UTF-8."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = content.count(b"\n", 0, wrong.start) + 1
        raise BadInput(f"{where}:{line}", f"the file is not UTF-8{_guess(content)}", "save it as UTF-8") from None
    # A vertical tab or form feed parts lines in some programs; without a space two words would become one.
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x0b", " ").replace("\x0c", " ")
    return UNPRINTABLE.sub("", text)


def _guess(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return " (it looks like UTF-16)"
    try:
        content.decode("gb18030")
    except UnicodeDecodeError:
        return ""
    return " (it looks like GBK)"


def _markdown(content: bytes, where: str, now: int) -> _Written:
    block = front.split(_text(content, where), where)
    found = fields.read(block, where, now)
    body = markdown.render(block.rest, where)
    found.refusals += body.refusals
    return _Written(found, body.html, body.line)


def _hypertext(content: bytes, where: str, now: int) -> _Written:
    """The title may be in the front matter, or as web pages have it."""
    block = front.split(_text(content, where), where)
    found = fields.read(block, where, now)
    html = block.rest
    start = _TITLE_START.search(html)
    end = _TITLE_END.search(html, start.end()) if start else None
    if start is None or end is None:
        return _Written(found, html)
    if "title" not in found.given and (title := plain(unescape(html[start.end() : end.start()]))):
        found.title, found.given["title"] = title, html.count("\n", 0, start.start()) + 1
    blank_lines = "\n" * html.count("\n", start.start(), end.end())  # so that lines below keep their numbers
    return _Written(found, html[: start.start()] + blank_lines + html[end.end() :])


# Which files an item may be written in.
_READERS: dict[str, Callable[[bytes, str, int], _Written]] = {
    ".md": _markdown,
    ".html": _hypertext,
    ".htm": _hypertext,
}
