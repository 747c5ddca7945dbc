"""HTML text → its tags and texts, each with its line; the only part that knows where something stands.

It cuts as browsers do (HTML Standard §13.2.5) but builds no tree: what browsers make of the tags is
asked of html5ever, through nh3. Where a browser would throw text away, the piece is `Broken`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from html.entities import html5
from typing import TypeAlias

# What stands in these is not markup for a browser, up to the end tag of the same name.
_RAW = frozenset({"title", "textarea", "script", "style", "xmp", "iframe", "noembed", "noframes"})

_TAG_NAME = re.compile(r"[A-Za-z][^\t\n\f\r />]*")
_ATTRIBUTE = re.compile(
    r"""[\t\n\f\r /]*(?P<name>=?[^\t\n\f\r />=]*)
    (?:[\t\n\f\r ]*=[\t\n\f\r ]*
        (?:"(?P<double>[^"]*)" | '(?P<single>[^']*)' | (?P<bare>[^\t\n\f\r >"'][^\t\n\f\r >]*)?)
    )?""",
    re.VERBOSE,
)
_REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9A-Fa-f]+;?|[A-Za-z][A-Za-z0-9]*;?)")
_DECLARATION = re.compile(r"<!doctype\b|<!\[(?:if|endif)\b|<\?xml\b|</>", re.IGNORECASE)  # `[if` is Word's
_COMMENT_END = re.compile(r"--!?>")


@dataclass(frozen=True, slots=True)
class Text:
    """Character references are resolved. `raw`: stands inside `title`, `script` and the like."""

    value: str
    line: int
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Tag:
    """A start tag; name and attribute names in lower case, the first of equal attributes counts."""

    name: str
    attributes: Mapping[str, str]
    line: int


@dataclass(frozen=True, slots=True)
class End:
    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Broken:
    """From here a browser would drop text that was written; `what` says why."""

    what: str
    line: int


Piece: TypeAlias = Text | Tag | End | Broken


def pieces(html: str) -> Iterator[Piece]:
    """Everything in `html` but comments and declarations, in order. Lines count from 1."""
    at, line, counted = 0, 1, 0
    while at < len(html):
        line, counted = line + html.count("\n", counted, at), at
        if html[at] != "<" or at + 1 == len(html):
            end = html.find("<", at + 1)
            end = len(html) if end < 0 else end
            yield Text(unescape(html[at:end]), line)
            at = end
        elif html[at + 1].isascii() and html[at + 1].isalpha():
            tag, at = _start(html, at + 1, line)
            yield tag
            if isinstance(tag, Tag) and tag.name in _RAW:
                closing = re.compile(rf"</{tag.name}(?=[\t\n\f\r />])", re.IGNORECASE).search(html, at)
                if closing is None:
                    yield Broken(f"<{tag.name}> 没有关闭 · <{tag.name}> is never closed", line)
                    return
                yield Text(unescape(html[at : closing.start()]), line, raw=True)
                at = closing.start()
        elif html[at + 1] == "/" and (name := _TAG_NAME.match(html, at + 2)):
            end = html.find(">", name.end())
            if end < 0:
                yield Broken(f"标签 </{name[0]} 没有结束 · the tag </{name[0]} has no end", line)
                return
            yield End(_lower(name[0]), line)
            at = end + 1
        elif html[at + 1] in "!?/":
            after = _declaration(html, at)
            if isinstance(after, str):
                yield Broken(after, line)
                return
            at = after
        else:
            yield Text("<", line)
            at += 1


def _start(html: str, at: int, line: int) -> tuple[Tag | Broken, int]:
    """The start tag whose name begins at `at`, and where it ends."""
    name = _TAG_NAME.match(html, at)
    assert name is not None, "the caller saw a letter"
    at = name.end()
    attributes: dict[str, str] = {}
    while at < len(html) and html[at] != ">":
        found = _ATTRIBUTE.match(html, at)
        if found is None or found.end() == at or set(found["name"]) & set("<\"'"):
            return Broken(
                f"标签 <{name[0]} 未关闭，下一个就开始了 · the tag <{name[0]} is not closed before the next begins",
                line,
            ), len(html)
        at = found.end()
        if found["name"]:
            value = found["double"] or found["single"] or found["bare"] or ""
            attributes.setdefault(_lower(found["name"]), _in_attribute(value))
    if at >= len(html):
        return Broken(f"标签 <{name[0]} 没有结束 · the tag <{name[0]} has no end", line), at
    return Tag(_lower(name[0]), attributes, line), at + 1


def _declaration(html: str, at: int) -> int | str:
    """Where a comment, doctype or the like ends; as text, what is wrong with it."""
    if not html.startswith("<!--", at):
        end = html.find(">", at)
        if end < 0 or _DECLARATION.match(html, at) is None:
            return f'browsers do not show what follows "{html[at : at + 3]}"'
        return end + 1
    for abrupt in ("<!-->", "<!--->"):
        if html.startswith(abrupt, at):
            return at + len(abrupt)
    closing = _COMMENT_END.search(html, at + 4)
    return closing.end() if closing else "the comment <!-- is never closed"


def _lower(name: str) -> str:
    """Lower case in ASCII only, as the standard has it: the Kelvin sign is no k."""
    if name.isascii():
        return name.lower()
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def _in_attribute(value: str) -> str:
    """Resolve references by the stricter rule for attributes: `?a=1&copy=2` holds no ©."""

    def resolved(found: re.Match[str]) -> str:
        reference = found[0]
        if reference.startswith("&#"):
            return unescape(reference)
        if reference.endswith(";"):
            return html5.get(reference[1:], reference)
        following = value[found.end() : found.end() + 1]
        return reference if following == "=" else html5.get(reference[1:], reference)

    return _REFERENCE.sub(resolved, value)
