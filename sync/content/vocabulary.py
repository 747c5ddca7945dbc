"""Which HTML elements an item may hold, and why the others are refused: tables only.

`ACCEPTED` reach the canonical form; `TRANSPARENT` vanish and leave their text; `REFUSED` say what to
do instead. Whatever is in none of them is taken for a slip, such as a less-than sign in a sentence.
"""

from __future__ import annotations

from sync.content.canonical import HEADINGS, LAYERS, LISTS, PARTS, VOID

ACCEPTED = frozenset(VOID | HEADINGS.keys() | LAYERS.keys() | LISTS | PARTS | {"table", "figure", "blockquote", "pre"})

# Dress and bookkeeping only: without them the same words stand there.
TRANSPARENT = frozenset(
    {"html", "head", "body", "meta", "span", "font", "u", "ins", "small", "big", "mark", "abbr", "acronym"}
    | {"cite", "code", "kbd", "samp", "var", "tt", "dfn", "time", "data", "bdi", "nobr", "wbr", "hgroup", "search"}
    | {"col", "colgroup", "o:p"}
)

_PROGRAM = ("can run a program in the reader's browser", "remove it, and link to a page of its own if readers need it")
_FORM = ("is part of a form, which no outlet would answer", "link to the address of the form instead")
_DESIGN = ("brings a design of its own, and every outlet has one already", "remove it")
_DRAWING = ("is a drawing, and can carry a program", "save it as a PNG picture, and insert that with its alt text")
_MEDIA = ("is not shown by every outlet", "link to it: as an attachment, or by its https:// address")
_STRUCK = ("marks text as struck out, and most outlets would show it as valid", "delete the words that no longer hold")

REFUSED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("script", "noscript", "template", "object", "embed", "applet", "param", "portal"), _PROGRAM),
    **dict.fromkeys(("iframe", "frame", "frameset", "noframes", "noembed"), _PROGRAM),
    **dict.fromkeys(("form", "input", "button", "select", "option", "optgroup", "textarea", "fieldset"), _FORM),
    **dict.fromkeys(("legend", "label", "datalist", "output", "meter", "progress", "dialog"), _FORM),
    **dict.fromkeys(("style", "link"), _DESIGN),
    **dict.fromkeys(("svg", "math", "canvas"), _DRAWING),
    **dict.fromkeys(("video", "audio", "source", "track", "picture", "map", "area"), _MEDIA),
    **dict.fromkeys(("del", "s", "strike"), _STRUCK),
    "base": ("changes where every link leads", "remove it, and write full https:// addresses"),
    "q": ("adds quotation marks that are not in the text", "write the quotation marks"),
    **dict.fromkeys(
        ("ruby", "rt", "rp", "rb", "rtc"), ("is not shown by every outlet", "write the reading in brackets")
    ),
    "bdo": ("turns the direction of the text round", "remove it"),
}

# Attributes that reach the canonical form; all others are dress.
ATTRIBUTES: dict[str, set[str]] = {
    "a": {"href"},
    "img": {"src", "alt"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "ol": {"start"},
}
LINK_SCHEMES = frozenset({"http", "https", "mailto"})
