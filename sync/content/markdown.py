"""Markdown (CommonMark with tables) → HTML, and which line of the one came from which of the other."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

from sync.model import BadInput

MAX_NESTING = 40  # the parser drops what is nested deeper, without a word

# Stands before a text in the HTML; the source can hold neither character, so an author cannot forge it.
_MARK = re.compile("\x02([0-9]+)\x03")
_LEFT_OVER = re.compile(r"!?\[[^\[\]\n]*\]\([^()\n]+[()]")


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        """Every link becomes one: a bad one is refused with its line afterwards, not printed as text here."""
        return True


@dataclass(frozen=True, slots=True)
class Rendered:
    """HTML, raw HTML in it as it stands; `line` turns a line of it into one of the Markdown.

    `refusals` name what the parser dropped or took for plain text.
    """

    html: str
    line: Callable[[int], int]
    refusals: tuple[BadInput, ...]


def render(text: str, where: str) -> Rendered:
    """Render `text`, which holds no control characters."""
    parser = _Parser("commonmark", {"html": True, "maxNesting": MAX_NESTING}).enable("table")
    tokens = parser.parse(text)
    refusals: list[BadInput] = []
    for token in tokens:
        line = token.map[0] + 1 if token.map else 1
        if token.level >= MAX_NESTING - 1:
            refusals.append(
                BadInput(
                    f"{where}:{line}",
                    "列表或引用嵌套过深 · lists or quotations are nested too deep",
                    "减少嵌套 · nest less",
                )
            )
            break
        written = "".join(part.content for part in token.children or () if part.type == "text")
        if left := _LEFT_OVER.search(written):
            mend = "地址用 < 和 > 括起 · put its address between < and >, as in ![alt](<my picture.jpg>)"
            refusals.append(
                BadInput(
                    f"{where}:{line}",
                    f'“{left[0]}”没有被当作链接或图片 · "{left[0]}" is not read as a link or picture',
                    mend,
                )
            )
        mark = f"\x02{line}\x03"
        if token.type == "html_block":
            token.content = mark + token.content
        elif token.children:
            token.children.insert(0, Token("html_inline", "", 0, content=mark))
    rendered = parser.renderer.render(tokens, parser.options, {}).split("\n")
    lines: list[int] = []
    for row in rendered:
        marks = _MARK.findall(row)
        lines.append(int(marks[-1]) if marks else lines[-1] + 1 if lines else 1)
    html = _MARK.sub("", "\n".join(rendered))
    return Rendered(html, lambda line: lines[min(line, len(lines)) - 1], tuple(refusals))
