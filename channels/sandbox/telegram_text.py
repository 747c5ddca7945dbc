"""What Telegram makes of a text: HTML parsed into text and entities, what it links by itself, the HTML of its web page.

After "HTML style" of core.telegram.org/bots/api and the parser of the published Bot API server (TDLib), as
far as the fact sheet goes. Offsets and lengths of entities count UTF-16 units.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

Entities = list[dict[str, Any]]

TEXT_LIMIT, CAPTION_LIMIT, MOST_ENTITIES = 4096, 1024, 100
STYLES = {
    **dict.fromkeys(("b", "strong"), "bold"),
    **dict.fromkeys(("i", "em"), "italic"),
    **dict.fromkeys(("u", "ins"), "underline"),
    **dict.fromkeys(("s", "strike", "del"), "strikethrough"),
    **dict.fromkeys(("tg-spoiler", "span"), "spoiler"),
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "blockquote": "blockquote",
    "tg-emoji": "custom_emoji",
}
TAGS = {
    "bold": "b",
    "italic": "i",
    "underline": "u",
    "strikethrough": "s",
    "spoiler": "tg-spoiler",
    "blockquote": "blockquote",
    "code": "code",
    "pre": "pre",
}
LITERAL = ("code", "pre")  # nothing in it is linked
NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}  # any other name stays as it is written
_PIECE = re.compile(r"<(/?)([a-zA-Z][\w-]*)((?:\s[^<>]*)?)>|([^<]+)|<")
_ATTRIBUTE = re.compile(r"""([\w-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_REFERENCE = re.compile(r"&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|([a-z]+));")

# Everything up to a white space or quotation mark belongs to an address, Chinese text and punctuation too;
# then the last marks are taken away again.
_ADDRESS = re.compile(r'(?:https?|ftp)://[^\s<>"«»]*[^\s<>"«».:;,(\'?!`]')
_DOMAIN = re.compile(
    r"(?<![\w@./-])(?:[a-z0-9-]+\.)+(?:cn|com|org|net|gov|info|io)(?:/[^\s<>\"«»]*)?\b(?!@)", re.I | re.A
)
_MAIL = re.compile(r"(?<![\w.])[\w.+-]+@(?:[\w-]+\.)+[a-z]{2,}", re.I | re.A)
_TAG = re.compile(r"(?<![\w/&])#\w*[^\W\d]\w*")
_NAME = re.compile(r"(?<![\w/@.])@[a-z]\w{3,31}", re.I | re.A)
_FOUND = (("url", _ADDRESS), ("email", _MAIL), ("url", _DOMAIN), ("hashtag", _TAG), ("mention", _NAME))


class Unparsable(Exception):
    """Why the entities cannot be parsed, in the words of the server."""


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parsed(html: str) -> tuple[str, Entities]:
    """The text without its markup, and the entities. Raises Unparsable."""
    text = ""
    found: Entities = []
    opened: list[tuple[str, dict[str, Any]]] = []
    for piece in _PIECE.finditer(html):
        closes, tag, more, plain = piece[1], (piece[2] or "").lower(), piece[3], piece[4]
        at = len(html[: piece.start()].encode())
        if plain is not None:
            text += _REFERENCE.sub(_referred, plain)
        elif not tag:
            raise Unparsable(f"Unsupported start tag at byte offset {at}")
        elif closes:
            if not opened:
                raise Unparsable(f"Unexpected end tag at byte offset {at}")
            if opened[-1][0] != tag:
                expected = f'expected "</{opened[-1][0]}>", found "</{tag}>"'
                raise Unparsable(f"Unmatched end tag at byte offset {at}, {expected}")
            _, entity = opened.pop()
            entity["length"] = units(text) - entity["offset"]
            if entity["type"] == "text_link" and not entity["url"]:
                entity["url"] = text.encode("utf-16-le")[entity["offset"] * 2 :].decode("utf-16-le")
            if entity["length"]:
                found.append(entity)
        else:
            opened.append((tag, {**_entity(tag, more, at), "offset": units(text), "length": 0}))
    if opened:
        raise Unparsable(f'Can\'t find end tag corresponding to start tag "{opened[-1][0]}"')
    return _trimmed(text, found)


def given(text: str, mode: str, entities: object) -> tuple[str, Entities]:
    """The text and entities of a request, with those that Telegram finds by itself. Raises Unparsable."""
    if mode and mode.lower() != "html":
        raise Unparsable(f"the sandbox does not know parse_mode {mode}")
    if mode:
        text, found = parsed(text)
    else:
        told = [dict(one) for one in entities if isinstance(one, dict)] if isinstance(entities, list) else []
        text, found = _trimmed(text, told)
    found = sorted(found, key=lambda one: (one["offset"], -one["length"]))[:MOST_ENTITIES]
    for kind, pattern in _FOUND:
        for match in pattern.finditer(text):
            start, length = units(text[: match.start()]), units(match[0])
            if not any(_meet(one, start, length) for one in found if one["type"] not in TAGS or one["type"] in LITERAL):
                found.append({"type": kind, "offset": start, "length": length})
    return text, sorted(found, key=lambda one: (one["offset"], -one["length"]))


def page(text: str, entities: Entities) -> str:
    """The text as t.me shows it."""
    wide = text.encode("utf-16-le", "surrogatepass")

    def cut(start: int, end: int) -> str:
        return wide[start * 2 : end * 2].decode("utf-16-le", "surrogatepass")

    edges: dict[int, tuple[list[str], list[str]]] = {}  # what closes and what opens at each offset
    for one in entities:
        before, after = _markup(one, cut(one["offset"], one["offset"] + one["length"]))
        edges.setdefault(one["offset"], ([], []))[1].append(before)
        edges.setdefault(one["offset"] + one["length"], ([], []))[0].insert(0, after)
    made, position = "", 0
    for offset in sorted({*edges, len(wide) // 2}):
        made += escape(cut(position, offset), quote=True).replace("\n", "<br/>")
        closing, opening = edges.get(offset, ([], []))
        made += "".join(closing) + "".join(opening)
        position = offset
    return made


def _entity(tag: str, more: str, at: int) -> dict[str, Any]:
    attributes = {
        one[1].lower(): _REFERENCE.sub(_referred, one[2] or one[3] or one[4] or "") for one in _ATTRIBUTE.finditer(more)
    }
    if tag not in STYLES or (tag == "span" and attributes.get("class") != "tg-spoiler"):
        raise Unparsable(f'Unsupported start tag "{tag}" at byte offset {at}')
    if tag == "a":
        return {"type": "text_link", "url": attributes.get("href", "")}
    if tag == "code" and attributes.get("class", "").startswith("language-"):
        return {"type": "code", "language": attributes["class"].removeprefix("language-")}
    return {"type": STYLES[tag]}


def _referred(match: re.Match[str]) -> str:
    if match[3]:
        return NAMED.get(match[3], match[0])
    return chr(min(int(match[1]) if match[1] else int(match[2], 16), 0x10FFFF))


def _trimmed(text: str, entities: Entities) -> tuple[str, Entities]:
    """Without white space at both ends."""
    gone = units(text) - units(text.lstrip())
    text = text.strip()
    kept = []
    for one in entities:
        start = max(0, int(one["offset"]) - gone)
        length = min(int(one["offset"]) + int(one["length"]) - gone, units(text)) - start
        if length > 0:
            kept.append({**one, "offset": start, "length": length})
    return text, kept


def _meet(one: dict[str, Any], start: int, length: int) -> bool:
    return bool(one["offset"] < start + length and start < one["offset"] + one["length"])


def _markup(entity: dict[str, Any], inner: str) -> tuple[str, str]:
    match entity["type"]:
        case "text_link":
            address = entity["url"]
        case "url":
            address = inner if "://" in inner else f"http://{inner}"
        case "email":
            address = f"mailto:{inner}"
        case "hashtag":
            return f'<a href="?q={escape(inner.replace("#", "%23"))}">', "</a>"
        case "mention":
            return f'<a href="https://t.me/{escape(inner[1:])}" target="_blank">', "</a>"
        case kind:
            tag = TAGS.get(kind, "span")
            return f"<{tag}>", f"</{tag}>"
    return f'<a href="{escape(address)}" target="_blank" rel="noopener">', "</a>"
