"""Sound HTML → the one canonical form of what it says; equal contents give equal bytes.

Reads what the cleaner let through and knows no files and no lines. The form: a sequence of blocks,
one a line. A `p`, `h2`–`h4` or `figcaption` holds inline content; a `blockquote` blocks; an `li`,
`td`, `th` or `figure` either inline content (when it is a single paragraph) or blocks, never both.
Inline content is text, `br` and `img` inside `a`, `strong`, `em`, `sup`, `sub`, nested in this order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from sync.content.inline import BREAK, UNPRINTABLE, Leaf, Run, escaped, inline, layered, shows
from sync.content.scan import Broken, End, Tag, Text, pieces

VOID = frozenset({"br", "hr", "img"})
HEADINGS = {"h1": "h2", "h2": "h2", "h3": "h3", "h4": "h4", "h5": "h4", "h6": "h4"}
LAYERS = {"a": "a", "strong": "strong", "b": "strong", "em": "em", "i": "em", "sup": "sup", "sub": "sub"}
# These only part one paragraph from the next; `li` and those after it where they stand outside their parent.
PARTS = frozenset(
    {"p", "div", "section", "article", "main", "header", "footer", "aside", "nav", "address", "details", "summary"}
    | {"center", "dl", "dt", "dd", "li", "figcaption", "caption", "thead", "tbody", "tfoot", "tr", "td", "th"}
)
LISTS = frozenset({"ul", "ol"})
_SECTIONS = frozenset({"thead", "tbody", "tfoot"})
_SCOPES = frozenset({"row", "col", "rowgroup", "colgroup"})


@dataclass(slots=True)
class Node:
    tag: str
    attributes: Mapping[str, str]
    children: list[Node | str] = field(default_factory=list)


Part: TypeAlias = Run | str  # a paragraph's inline content, or a finished block
Layers: TypeAlias = tuple[tuple[str, str], ...]


def tree(html: str) -> Node:
    """The tree of well-formed HTML, as the cleaner writes it."""
    root = Node("", {})
    path = [root]
    for piece in pieces(html):
        match piece:
            case Text():
                path[-1].children.append(UNPRINTABLE.sub("", piece.value))
            case Tag():
                node = Node(piece.name, piece.attributes)
                path[-1].children.append(node)
                if piece.name not in VOID:
                    path.append(node)
            case End():
                assert path[-1].tag == piece.name, "the cleaner closes what it opens"
                path.pop()
            case Broken():
                raise AssertionError(f"the cleaner wrote unsound HTML: {piece.what}")
    return root


def canonical(root: Node) -> str:
    """The canonical form of a tree whose `img` are complete. Taken again, it stays the same."""
    return "\n".join(_blocks(_parts(root, ())))


class _Flow:
    """Collects paragraphs and blocks in reading order."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.run: Run = []

    def end_paragraph(self) -> None:
        if self.run:
            self.parts.append(self.run)
            self.run = []

    def add(self, *parts: Part) -> None:
        self.end_paragraph()
        self.parts += [part for part in parts if part]


def _parts(node: Node, layers: Layers) -> list[Part]:
    flow = _Flow()
    _walk(node, layers, flow)
    flow.end_paragraph()
    return flow.parts


def _walk(node: Node, layers: Layers, flow: _Flow, verbatim: bool = False) -> None:
    """Add the children of `node` to `flow`. `verbatim`: a line end is one (`pre`)."""
    for child in node.children:
        if isinstance(child, str):
            for number, line in enumerate(child.split("\n") if verbatim else [child]):
                flow.run += [Leaf(layers, BREAK, True)] * (number > 0) + [Leaf(layers, line)]
            continue
        match child.tag:
            case "br":
                flow.run.append(Leaf(layers, BREAK, True))
            case "img":
                address, alt = (escaped(child.attributes[name]) for name in ("src", "alt"))
                flow.run.append(Leaf(layers, f'<img src="{address}" alt="{alt}">', True))
            case "hr":
                flow.add("<hr>")
            case "table":
                _table(child, layers, flow)
            case "figure":
                flow.add(*_figure(child, layers))
            case "blockquote":
                flow.add(_wrapped("blockquote", "".join(_blocks(_parts(child, layers)))))
            case tag if tag in LISTS:
                flow.add(*_list(child, layers))
            case tag if tag in HEADINGS:
                flow.add(*_blocks(_parts(child, layers), HEADINGS[tag]))
            case tag if tag in LAYERS:
                _walk(child, layered(layers, LAYERS[tag], child.attributes.get("href", "")), flow, verbatim)
            case tag if tag in PARTS or tag == "pre":
                flow.end_paragraph()
                _walk(child, layers, flow, verbatim or tag == "pre")
                flow.end_paragraph()
            case tag:
                raise AssertionError(f"the cleaner let <{tag}> through")


def _blocks(parts: list[Part], tag: str = "p") -> list[str]:
    """Every part as a block, paragraphs as `tag`; those that show nothing are left out."""
    written = (part if isinstance(part, str) else _wrapped(tag, inline(part)) for part in parts)
    return [block for block in written if block]


def _wrapped(tag: str, inner: str) -> str:
    return f"<{tag}>{inner}</{tag}>" if inner else ""


def _contained(parts: list[Part], *, keep_indent: bool = False) -> str:
    """Inline content when there is but one paragraph, else blocks."""
    shown = [part for part in parts if isinstance(part, str) or shows(part)]
    if len(shown) == 1 and not isinstance(shown[0], str):
        return inline(shown[0], keep_indent=keep_indent)
    return "".join(_blocks(shown))


def _list(node: Node, layers: Layers) -> list[Part]:
    """The list, or paragraphs where it counts from another number than 1; [] when it shows nothing."""
    entries: list[list[Part]] = []
    for child in node.children:
        if isinstance(child, Node) and child.tag == "li":
            entries.append(_parts(child, layers))
        elif isinstance(child, Node) and child.tag in LISTS and entries:
            entries[-1] += _list(child, layers)  # browsers show it below the entry before
        elif _contained(stray := _parts(Node("", {}, [child]), layers)):
            entries.append(stray)
    if not any(_contained(entry) for entry in entries):
        return []
    if node.tag == "ul":
        return [_wrapped("ul", "".join(_wrapped("li", _contained(entry)) for entry in entries))]
    start = int(node.attributes.get("start", "1"))
    if start == 1:  # an empty entry still has its number
        return [_wrapped("ol", "".join(f"<li>{_contained(entry)}</li>" for entry in entries))]
    # Not every outlet knows where a list starts, and a digit must not change: the numbers become text.
    return [part for number, entry in enumerate(entries, start) for part in _numbered(number, entry)]


def _numbered(number: int, entry: list[Part]) -> list[Part]:
    mark = [Leaf((), f"{number}. ")]
    if not entry or isinstance(entry[0], str):
        return [mark, *entry]
    return [mark + entry[0], *entry[1:]]


def _table(node: Node, layers: Layers, flow: _Flow) -> None:
    """Add a table; its caption, and what stands in no cell, become paragraphs before it."""
    flow.end_paragraph()
    sections: list[tuple[str, str]] = []
    for section in node.children:
        if not (isinstance(section, Node) and section.tag in _SECTIONS):
            _walk(Node("", {}, [section]), layers, flow)
            flow.end_paragraph()
            continue
        rows = ""
        for row in section.children:
            cells = row.children if isinstance(row, Node) and row.tag == "tr" else []
            rows += _wrapped("tr", "".join(_cell(cell, layers) for cell in cells if isinstance(cell, Node)))
        sections.append((section.tag, rows))
    sections = [(tag, rows) for tag, rows in sections if rows]
    # One head, first; a table may have written its foot before its body.
    sections.sort(key=lambda section: ("thead", "tbody", "tfoot").index(section[0]))
    written = [
        _wrapped("thead" if number == 0 and tag == "thead" else "tbody", rows)
        for number, (tag, rows) in enumerate(sections)
    ]
    flow.add(_wrapped("table", "".join(written)))


def _cell(node: Node, layers: Layers) -> str:
    attributes = ""
    for name in ("colspan", "rowspan"):
        if (span := int(node.attributes.get(name, "1"))) > 1:
            attributes += f' {name}="{span}"'
    if node.tag == "th" and (scope := node.attributes.get("scope", "").lower()) in _SCOPES:
        attributes += f' scope="{scope}"'
    # An indented 其中 says what a figure is part of, so a cell keeps the spaces that it begins with.
    return f"<{node.tag}{attributes}>{_contained(_parts(node, layers), keep_indent=True)}</{node.tag}>"


def _figure(node: Node, layers: Layers) -> list[Part]:
    """The figure; plain blocks when there is nothing but a caption, or more than text in the caption."""
    caption: list[Part] = []
    content: list[Part] = []
    in_order: list[Part] = []
    # Each child is read once: reading it again for another form would double the work with every nesting.
    for is_caption, children in groupby(node.children, key=lambda child: _is(child, "figcaption")):
        parts = _parts(Node("", {}, list(children)), layers)
        (caption if is_caption else content).extend(parts)
        in_order += parts
    inner = _contained(content)
    lines: Run = []
    for part in caption:
        if isinstance(part, str) or not inner:
            return in_order
        lines += [Leaf((), BREAK, True)] * bool(lines) + part
    written = _wrapped("figcaption", inline(lines))
    first = next((child for child in node.children if not isinstance(child, str) or child.strip()), "")
    return [_wrapped("figure", written + inner if _is(first, "figcaption") else inner + written)]


def _is(child: Node | str, tag: str) -> bool:
    return isinstance(child, Node) and child.tag == tag
