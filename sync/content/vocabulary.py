"""Which HTML elements an item may hold, and why the others are refused: tables only.

`ACCEPTED` reach the canonical form; `TRANSPARENT` vanish and leave their text; `REFUSED` say what to
do instead. Whatever is in none of them is taken for a slip, such as a less-than sign in a sentence.
"""

from __future__ import annotations

from typing import TypeAlias

from sync.content.canonical import HEADINGS, LAYERS, LISTS, PARTS, VOID

ACCEPTED = frozenset(VOID | HEADINGS.keys() | LAYERS.keys() | LISTS | PARTS | {"table", "figure", "blockquote", "pre"})

# Dress and bookkeeping only: without them the same words stand there.
TRANSPARENT = frozenset(
    {"html", "head", "body", "meta", "span", "font", "u", "ins", "small", "big", "mark", "abbr", "acronym"}
    | {"cite", "code", "kbd", "samp", "var", "tt", "dfn", "time", "data", "bdi", "nobr", "wbr", "hgroup", "search"}
    | {"col", "colgroup", "o:p"}
)

_REMOVE = "删去 · remove it"
# What is wrong, in Chinese and English after the element's name, and how to mend it.
Why: TypeAlias = tuple[str, str, str]
_PROGRAM: Why = (
    "会在读者的浏览器中运行程序",
    "can run a program in the reader's browser",
    "删去；读者确有需要的，链接到单独的页面 · remove it, and link to a page of its own if readers need it",
)
_FORM: Why = (
    "是表单的一部分，发布端不会受理",
    "is part of a form, which no outlet would answer",
    "改为表单地址的链接 · link to the address of the form instead",
)
_DESIGN: Why = ("自带版式，而各发布端已有版式", "brings a design of its own, and every outlet has one already", _REMOVE)
_DRAWING: Why = (
    "是图形代码，可夹带程序",
    "is a drawing, and can carry a program",
    "存为 PNG 图片插入，并写替代文字 · save it as a PNG picture, and insert that with its alt text",
)
_MEDIA: Why = (
    "不是各发布端都能显示",
    "is not shown by every outlet",
    "改为链接：作为附件，或 https:// 地址 · link to it: as an attachment, or by its https:// address",
)
_STRUCK: Why = (
    "表示文字已划去，而多数发布端会照常显示",
    "marks text as struck out, and most outlets would show it as valid",
    "删去失效的文字 · delete the words that no longer hold",
)
_RUBY: Why = ("不是各发布端都能显示", "is not shown by every outlet", "读音写在括号里 · write the reading in brackets")

REFUSED: dict[str, Why] = {
    **dict.fromkeys(("script", "noscript", "template", "object", "embed", "applet", "param", "portal"), _PROGRAM),
    **dict.fromkeys(("iframe", "frame", "frameset", "noframes", "noembed"), _PROGRAM),
    **dict.fromkeys(("form", "input", "button", "select", "option", "optgroup", "textarea", "fieldset"), _FORM),
    **dict.fromkeys(("legend", "label", "datalist", "output", "meter", "progress", "dialog"), _FORM),
    **dict.fromkeys(("style", "link"), _DESIGN),
    **dict.fromkeys(("svg", "math", "canvas"), _DRAWING),
    **dict.fromkeys(("video", "audio", "source", "track", "picture", "map", "area"), _MEDIA),
    **dict.fromkeys(("del", "s", "strike"), _STRUCK),
    **dict.fromkeys(("ruby", "rt", "rp", "rb", "rtc"), _RUBY),
    "base": (
        "改变所有链接的去向",
        "changes where every link leads",
        "删去，并写完整的 https:// 地址 · remove it, and write full https:// addresses",
    ),
    "q": (
        "会加上文中没有的引号",
        "adds quotation marks that are not in the text",
        "写出引号 · write the quotation marks",
    ),
    "bdo": ("会把文字方向反过来", "turns the direction of the text round", _REMOVE),
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
