"""Inline content: leaves (text, `br`, `img`), each in its layers (`a`, `strong`, `em`, `sup`, `sub`).

White space collapses as browsers do it, but a line end between two Chinese characters vanishes, as
CSS Text §4.1.3 has it and most browsers do not: source lines must not put gaps into a sentence.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

BREAK = "<br>"

# XML 1.0 cannot hold these, and no reader sees them; C1 controls are leftovers of other encodings.
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]")

_ORDER = {"a": 0, "strong": 1, "em": 2}  # sup and sub after these, as they were nested
_SPACE = re.compile(r"([ \t\n\r\f]+)")
_INDENT = " \u00a0\u3000"
_BREAKABLE_MARKS = frozenset("“”‘’…—·")  # as wide as a Chinese character where they stand beside one
_INVISIBLE = str.maketrans("", "", "\u00ad\u200b\u200c\u200d\u2060")
_OVERLAY = "\u0338"  # the one combining character that NFC would melt with the ">" of a tag before it


@dataclass(frozen=True, slots=True)
class Leaf:
    """`layers` from outside in; `text` is plain, or finished HTML when `mark` (a `br` or an `img`)."""

    layers: tuple[tuple[str, str], ...]
    text: str
    mark: bool = False


Run: TypeAlias = list[Leaf]


def layered(layers: tuple[tuple[str, str], ...], tag: str, address: str) -> tuple[tuple[str, str], ...]:
    """`layers` with one more inside, in canonical order; `a` without an address is none."""
    if tag == "a":
        if not address:
            return layers
        layers = tuple(layer for layer in layers if layer[0] != "a")
    elif tag in _ORDER and (tag, "") in layers:
        return layers
    return tuple(sorted((*layers, (tag, address)), key=lambda layer: _ORDER.get(layer[0], 3)))


def inline(run: Run, *, keep_indent: bool = False) -> str:
    """Canonical HTML of one paragraph's content; "" when a reader would see nothing.

    `keep_indent` keeps no-break and ideographic spaces at both ends.
    """
    if not shows(run):
        return ""
    leaves = _trimmed(_collapsed(run), " " if keep_indent else _INDENT)
    html: list[str] = []
    opened: tuple[tuple[str, str], ...] = ()
    for leaf in (*leaves, Leaf((), "", True)):
        common = 0
        while common < min(len(opened), len(leaf.layers)) and opened[common] == leaf.layers[common]:
            common += 1
        html += [f"</{tag}>" for tag, _ in reversed(opened[common:])]
        html += [
            f'<a href="{escaped(address)}">' if tag == "a" else f"<{tag}>" for tag, address in leaf.layers[common:]
        ]
        html.append(leaf.text if leaf.mark else _text(leaf.text))
        opened = leaf.layers
    return "".join(html)


def shows(run: Run) -> bool:
    """Whether a reader would see anything of it."""
    return any(_visible(leaf) for leaf in run)


def plain(text: str) -> str:
    """Text as one line: no unprintable characters, white space as in `inline`, none at the ends, NFC."""
    leaves = _trimmed(_collapsed([Leaf((), UNPRINTABLE.sub("", text))]), _INDENT)
    return "".join(leaf.text for leaf in leaves)


def escaped(value: str) -> str:
    """NFC, and safe between the double quotes of an attribute."""
    return _escaped(unicodedata.normalize("NFC", value)).replace('"', "&quot;")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _text(text: str) -> str:
    return _escaped(text) if not text.startswith(_OVERLAY) else f"&#{ord(_OVERLAY)};{_escaped(text[1:])}"


def _visible(leaf: Leaf) -> bool:
    return leaf.text != BREAK if leaf.mark else bool(leaf.text.translate(_INVISIBLE).strip())


def _collapsed(run: Run) -> Run:
    """White space as one space or none, neighbours of equal layers joined, text in NFC."""
    found: Run = []
    before = ""  # the character to the left; "" where white space is not shown
    gap: Leaf | None = None  # white space met since
    for leaf in run:
        if leaf.mark:
            if gap and before and leaf.text != BREAK:
                found.append(Leaf(gap.layers, " "))
            found.append(leaf)
            before, gap = "" if leaf.text == BREAK else "\ufffc", None
            continue
        for part in _SPACE.split(leaf.text):
            if part and part[0] in " \t\n\r\f":
                gap = Leaf(gap.layers, gap.text + part) if gap else Leaf(leaf.layers, part)
            elif part:
                if gap and before and not ("\n" in gap.text and _no_gap(before, part[0])):
                    found.append(Leaf(gap.layers, " "))
                found.append(Leaf(leaf.layers, part))
                before, gap = part[-1], None
    return _joined(found)


def _joined(run: Run) -> Run:
    joined: Run = []
    for (layers, mark), same in groupby(run, key=lambda leaf: (leaf.layers, leaf.mark)):
        if mark:
            joined += same
        else:
            joined.append(Leaf(layers, unicodedata.normalize("NFC", "".join(leaf.text for leaf in same))))
    return joined


def _no_gap(left: str, right: str) -> bool:
    sides = [_wide(left), _wide(right)]
    return all(sides) or (any(sides) and bool({left, right} & _BREAKABLE_MARKS))


def _wide(letter: str) -> bool:
    """Chinese or Japanese, with its punctuation; Korean parts words by spaces."""
    return unicodedata.east_asian_width(letter) in "WF" and not "\uac00" <= letter <= "\ud7a3"


def _trimmed(run: Run, spaces: str) -> Run:
    """Without line breaks and `spaces` at both ends."""
    run = list(run)
    while run and (run[0].text == BREAK if run[0].mark else not run[0].text.lstrip(spaces)):
        run.pop(0)
    while run and (run[-1].text == BREAK if run[-1].mark else not run[-1].text.rstrip(spaces)):
        run.pop()
    if run and not run[0].mark:
        run[0] = Leaf(run[0].layers, run[0].text.lstrip(spaces))
    if run and not run[-1].mark:
        run[-1] = Leaf(run[-1].layers, run[-1].text.rstrip(spaces))
    return run
