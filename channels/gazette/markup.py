"""The edition's HTML subset as Typst markup, and the text that the printed item must contain.

Promises: every text and address goes into a string literal, so nothing an author writes is read as
markup; every table cell is placed at its own row and column. Pure: no I/O.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree

from channels.article import addressed
from sync.compare import normal, tokens

BLOCKS = frozenset({"p", "h2", "h3", "h4", "ul", "ol", "table", "blockquote", "figure", "hr"})
WRAPPERS = {
    "strong": "#strong[",
    "em": "#emph[",
    "sup": "#super(typographic: false)[",
    "sub": "#sub(typographic: false)[",
}
SPACE = re.compile(r"[ \t\r\n\f]+")
MOST_SPAN = 200
BULLET = "•"


@dataclass(frozen=True, slots=True)
class Picture:
    """The file a picture is in, for the compiler, and its alternative text, which PDF/UA demands."""

    file: str
    alt: str


def literal(text: str) -> str:
    """A Typst string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def words(text: str) -> str:
    """A text in content position."""
    return f"#{literal(text)}"


class Writer:
    """Turns a parsed body into markup. `picture` and `link` say what an address stands for."""

    def __init__(self, picture: Callable[[str], Picture], link: Callable[[str], str]) -> None:
        self._picture, self._link = picture, link
        self._level = 1  # of the last heading: PDF/UA allows no level to be skipped

    def body(self, root: etree._Element) -> str:
        first = next(iter(root), None)
        if first is not None and first.tag == "p" and addressed(first) and not (root.text or "").strip():
            root = copy.deepcopy(root)
            greeting = root[0]
            root.remove(greeting)
            return f"#par(first-line-indent: 0pt)[{self._inline(greeting)}]\n" + self._blocks(root)
        return self._blocks(root)

    def _blocks(self, parent: etree._Element, bare: bool = False) -> str:
        """The children as blocks; text between them becomes paragraphs, or stays as it is when `bare`."""
        out: list[str] = []
        line = _Line()

        def flush() -> None:
            text = line.taken()
            if text:
                out.append(text if bare else f"#par[{text}]")

        line.say(parent.text or "")
        for child in parent:
            if child.tag in BLOCKS:
                flush()
                out.append(self._block(child))
            else:
                self._word(child, line)
            line.say(child.tail or "")
        flush()
        return "\n".join(out)

    def _block(self, element: etree._Element) -> str:
        match str(element.tag):
            case "p" if _only_pictures(element):
                return "\n".join(self._standing(image) for image in element.iterchildren("img"))
            case "p":
                return f"#par[{self._inline(element)}]"
            case "h2" | "h3" | "h4" if not normal("".join(str(part) for part in element.itertext())):
                return f"#par[{self._inline(element)}]"  # PDF/UA knows no heading without words
            case "h2" | "h3" | "h4" as tag:
                self._level = min(int(tag[1]), self._level + 1)
                return f"#titled({self._level}, {literal(tag)})[{self._inline(element)}]"
            case "ul" | "ol" as tag:
                items = "".join(f"[{self._blocks(item, bare=True)}]," for item in element.iterchildren("li"))
                return f"#{'list' if tag == 'ul' else 'enum'}({items})"
            case "table":
                return self._table(element)
            case "blockquote":
                return f"#quote(block: true)[{self._blocks(element)}]"
            case "figure":
                return self._figure(element)
            case _:
                return "#line(length: 100%, stroke: 0.5pt)"

    def _figure(self, element: etree._Element) -> str:
        caption = next(element.iterchildren("figcaption"), None)
        said = f"[{self._inline(caption)}]" if caption is not None else "none"
        pictures = list(element.iterchildren("img"))
        if len(pictures) == 1 and all(child.tag in ("img", "figcaption") for child in element):
            return f"#figure({self._image(pictures[0])}, caption: {said})"
        rest = copy.deepcopy(element)
        for left_out in list(rest.iterchildren("figcaption")):
            rest.remove(left_out)
        shown = self._blocks(rest)
        return shown if caption is None else f"{shown}\n#align(center, par(first-line-indent: 0pt, {said}))"

    def _table(self, table: etree._Element) -> str:
        rows = list(table.iterdescendants("tr"))
        heads = 0
        while heads < len(rows) and _is_head(rows[heads], heads):
            heads += 1
        taken: set[tuple[int, int]] = set()
        placed: list[tuple[int, str]] = []
        width = 1
        reach = heads  # a header cell over two rows makes both of them header
        for y, row in enumerate(rows):
            x = 0
            for cell in row.iterchildren("td", "th"):
                while (x, y) in taken:
                    x += 1
                wide, high = _span(cell, "colspan"), min(_span(cell, "rowspan"), len(rows) - y)
                # Where a cell from above reaches in, a browser lets two cells overlap; on paper they may not.
                wide = next((dx for dx in range(1, wide) if (x + dx, y) in taken), wide)
                reach = max(reach, y + high) if y < reach else reach
                taken.update((x + dx, y + dy) for dx in range(wide) for dy in range(high))
                content = self._blocks(cell, bare=True)
                content = f"#strong[{content}]" if cell.tag == "th" and content else content
                spans = f"colspan: {wide}, rowspan: {high}"
                placed.append((y, f"table.cell(x: {x}, y: {y}, {spans})[{content}],"))
                x += wide
                width = max(width, x)
        head = "".join(cell for y, cell in placed if y < reach)
        rest = "".join(cell for y, cell in placed if y >= reach)
        header = f"table.header({head})," if head else ""
        return f"#align(center, table(columns: {width}, {header}{rest}))"

    def _inline(self, element: etree._Element) -> str:
        line = _Line()
        self._words(element, line)
        return line.taken()

    def _words(self, element: etree._Element, line: _Line) -> None:
        line.say(element.text or "")
        for child in element:
            self._word(child, line)
            line.say(child.tail or "")

    def _word(self, element: etree._Element, line: _Line) -> None:
        match str(element.tag):
            case "br":
                line.put("#linebreak()")
            case "img":
                line.put(f"#box({self._image(element)})")
            case "a" if element.get("href"):
                line.put(f"#link({literal(self._link(element.get('href', '')))})[", closes=False)
                self._words(element, line)
                line.put("]", closes=False)
            case tag if tag in WRAPPERS:
                line.put(WRAPPERS[tag], closes=False)
                self._words(element, line)
                line.put("]", closes=False)
            case _:
                self._words(element, line)

    def _image(self, element: etree._Element) -> str:
        picture = self._picture(element.get("src", ""))
        return f"image({literal(picture.file)}, alt: {literal(element.get('alt') or picture.alt)})"

    def _standing(self, element: etree._Element) -> str:
        picture = self._picture(element.get("src", ""))
        return f"#picture({literal(picture.file)}, {literal(element.get('alt') or picture.alt)})"


class _Line:
    """One line of words; runs of white space become one space, at the ends none."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._after_space = True

    def say(self, text: str) -> None:
        text = SPACE.sub(" ", text)
        if self._after_space:
            text = text.lstrip(" ")
        if text:
            self._parts.append(words(text))
            self._after_space = text.endswith(" ")

    def put(self, markup: str, closes: bool = True) -> None:
        """Markup; `closes`: white space after it counts again (a break swallows it)."""
        self._parts.append(markup)
        if closes:
            self._after_space = markup == "#linebreak()"

    def taken(self) -> str:
        text = "".join(self._parts)
        self._parts.clear()
        self._after_space = True
        return text


def _only_pictures(paragraph: etree._Element) -> bool:
    said = "".join(str(part) for part in paragraph.itertext()).strip()
    return not said and len(paragraph) > 0 and all(child.tag in ("img", "br") for child in paragraph)


def _is_head(row: etree._Element, number: int) -> bool:
    parent = row.getparent()
    if parent is not None and parent.tag == "thead":
        return True
    return number == 0 and len(row) > 0 and all(cell.tag == "th" for cell in row)


def _span(cell: etree._Element, name: str) -> int:
    given = cell.get(name, "1")
    return min(max(int(given), 1), MOST_SPAN) if given.isdecimal() else 1


def expected_text(root: etree._Element) -> str:
    """The body's text as it is printed: list marks included, white space left out."""
    marked = copy.deepcopy(root)
    for listed in marked.iterdescendants("ul", "ol"):
        for number, item in enumerate(listed.iterchildren("li"), start=1):
            mark = BULLET if listed.tag == "ul" else f"{number}."
            item.text = mark + (item.text or "")
    html = etree.tostring(marked, encoding="unicode", method="html")
    return squeezed("".join(token.value for token in tokens(html) if token.kind in ("text", "cell")))


def squeezed(text: str) -> str:
    """NFC and no white space at all: where a printed line breaks is no content."""
    return "".join(normal(text).split())
