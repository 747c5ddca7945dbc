"""What one file says, read in a confined process: see `sync.confine`.

All that it needs beside the file's own bytes it asks of the process that reads the item, which alone sees the
folder. The answer is plain data; `sync.content.source` makes a draft of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Protocol

from sync.confine import Answer, Ask
from sync.content import fields, front, markdown, markup
from sync.content.docx import TITLE_MEND as WORD_TITLE_MEND
from sync.content.docx import read as read_word
from sync.content.folder import Listed
from sync.content.inline import UNPRINTABLE, plain
from sync.content.ninjs import TITLE_MEND as NEWS_TITLE_MEND
from sync.content.ninjs import read as read_news
from sync.content.refusal import each_of
from sync.model import BadInput

_TITLE_START = re.compile(r"<title\b[^<>]*>", re.IGNORECASE)
_TITLE_END = re.compile(r"</title\s*>", re.IGNORECASE)
_TITLE_MEND = (
    "文件开头写一行 ---，再写 `title: …`，再写一行 --- · "
    "begin the file with a line ---, then `title: …`, then a line ---"
)


class Beside:
    """The files beside the item, or inside it, at the other end of `ask`. Every method raises BadInput."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def add(self, listed: Listed) -> None:
        """A file that the front matter names."""
        self._asked("add", [listed.role, listed.path, listed.where, listed.alt, listed.name])

    def embed(self, name: str, content: bytes) -> None:
        """A picture that the item's own file carries; from now on it is found by `name`."""
        self._asked("embed", [name], content)

    def picture(self, address: str, alt: str, where: str) -> tuple[str, str]:
        final, said = self._asked("picture", [address, alt, where])
        return final, said

    def linked(self, address: str, where: str) -> str:
        return str(self._asked("linked", [address, where]))

    def _asked(self, act: str, values: list[str], *parts: bytes) -> Any:
        answer, _ = self._ask({act: values}, *parts)
        if refused := answer.get("refused"):
            raise BadInput(*refused[0])
        return answer["found"]


@dataclass(frozen=True)
class Written:
    """A file of any kind, read: HTML that nobody has checked yet, and where its lines stand in the file.

    `notes`: what of it readers will not see, as (where, message); `title_mend`: how this kind is given a title.
    """

    fields: fields.Fields
    html: str
    line: Callable[[int], int] = int
    notes: list[tuple[str, str]] = field(default_factory=list)
    title_mend: str = _TITLE_MEND


class Reader(Protocol):
    """Reads one kind of file. Raises BadInput for what cannot be read at all."""

    def __call__(self, content: bytes, where: str, now: int, files: Beside) -> Written: ...


def parse(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    """`value`: kind (the file's ending), where, now (µs UTC). Everything wrong is in `refused`; nothing is raised."""
    where, files = value["where"], Beside(ask)
    try:
        written = READERS[value["kind"]](parts[0], where, value["now"], files)
    except BadInput as refusal:
        return {"refused": told(each_of(refusal))}, []
    found, refusals = written.fields, list(written.fields.refusals)
    for listed in found.listed:
        try:
            files.add(listed)
        except BadInput as refusal:
            refusals.append(refusal)
    if "title" not in found.given:
        refusals.insert(0, BadInput(f"{where}:1", "稿件没有标题 · the item has no title", written.title_mend))
    body = ""
    try:
        body = markup.clean(written.html, where, line=written.line, files=files)
        if not body:
            refusals.append(
                BadInput(
                    where,
                    "稿件没有正文 · the item has no text",
                    "在文件头之下写正文 · write its text below the front matter",
                )
            )
    except BadInput as refusal:
        refusals += each_of(refusal)
    return {
        "title": found.title,
        "body": body,
        "metadata": found.metadata,
        "outlets": found.outlets,
        "group": found.group,
        "release_at": found.release_at,
        "embargo": found.embargo,
        "release_at_typed": found.release_at_typed,
        "notes": written.notes,
        "refused": told(refusals),
    }, []


def told(refusals: Iterable[BadInput]) -> list[list[str]]:
    """Refusals as data."""
    return [[one.where, one.message, one.mend] for one in refusals]


def _text(content: bytes, where: str) -> str:
    """A text file with \\n line ends and nothing unprintable. Raises BadInput unless it is UTF-8."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = content.count(b"\n", 0, wrong.start) + 1
        guess = _guess(content)
        chinese, english = (f"（像是 {guess}）", f" (it looks like {guess})") if guess else ("", "")
        message = f"文件不是 UTF-8 编码{chinese} · the file is not UTF-8{english}"
        raise BadInput(f"{where}:{line}", message, "另存为 UTF-8 · save it as UTF-8") from None
    # A vertical tab or form feed parts lines in some programs; without a space two words would become one.
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x0b", " ").replace("\x0c", " ")
    return UNPRINTABLE.sub("", text)


def _guess(content: bytes) -> str:
    """The encoding it seems to be in instead; "" for none that is known."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    try:
        content.decode("gb18030")
    except UnicodeDecodeError:
        return ""
    return "GBK"


def _markdown(content: bytes, where: str, now: int, files: Beside) -> Written:
    block = front.split(_text(content, where), where)
    found = fields.read(block, where, now)
    body = markdown.render(block.rest, where)
    found.refusals += body.refusals
    return Written(found, body.html, body.line)


def _hypertext(content: bytes, where: str, now: int, files: Beside) -> Written:
    """The title may be in the front matter, or as web pages have it."""
    block = front.split(_text(content, where), where)
    found = fields.read(block, where, now)
    html = block.rest
    start = _TITLE_START.search(html)
    end = _TITLE_END.search(html, start.end()) if start else None
    if start is None or end is None:
        return Written(found, html)
    if "title" not in found.given and (title := plain(unescape(html[start.end() : end.start()]))):
        found.title, found.given["title"] = title, html.count("\n", 0, start.start()) + 1
    blank_lines = "\n" * html.count("\n", start.start(), end.end())  # so that lines below keep their numbers
    return Written(found, html[: start.start()] + blank_lines + html[end.end() :])


def _word(content: bytes, where: str, now: int, files: Beside) -> Written:
    document = read_word(content, where, files.embed)
    found = fields.read(document.front, where, now)
    found.refusals += document.refusals
    return Written(found, document.html, notes=document.notes, title_mend=WORD_TITLE_MEND)


def _ninjs(content: bytes, where: str, now: int, files: Beside) -> Written:
    story = read_news(_text(content, where), where)
    found = fields.read(story.front, where, now)
    return Written(found, story.html, lambda line: story.line, story.notes, NEWS_TITLE_MEND)


# Which files an item may be written in.
READERS: dict[str, Reader] = {
    ".md": _markdown,
    ".html": _hypertext,
    ".htm": _hypertext,
    ".docx": _word,
    ".json": _ninjs,
}
