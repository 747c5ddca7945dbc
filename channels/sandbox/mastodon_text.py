"""What Mastodon makes of the text of a status: its length, and the HTML that it shows.

After `StatusLengthValidator` and `TextFormatter` of the server's source, as far as the fact sheet goes.
"""

from __future__ import annotations

import re
import unicodedata
from html import escape

LINK = re.compile(r"https?://[\w!*;:=+,.$/%#\[\]~@|&?()-]*[\w=/&#$%+-]", re.ASCII)  # no full stop at the end
MENTION = re.compile(r"(?<![\w/=@])@(\w+)@[\w.-]+\w")
TAG = re.compile(r"(?<![\w/&])#(\w*[^\W\d]\w*)")
URL_LENGTH = 23  # whatever a link's length, it counts as this many characters
SHOWN = 30  # characters of a link that are visible


def length(text: str) -> int:
    """Characters as they count against the limit: grapheme clusters, links 23, mentions without their host."""
    counted = MENTION.sub(r"@\1", LINK.sub("x" * URL_LENGTH, text))
    # Marks, joiners and variation selectors belong to the character before them.
    return sum(1 for character in counted if unicodedata.category(character) not in ("Mn", "Me", "Cf"))


def content(text: str, address: str) -> str:
    """The `content` of a status: paragraphs, breaks, links with invisible ends, tags. Everything else is escaped."""
    blocks = re.split(r"\n{2,}", text.replace("\r\n", "\n").strip())
    return "".join(f"<p>{_lines(block, address)}</p>" for block in blocks if block)


def _lines(block: str, address: str) -> str:
    return "<br />".join(_inline(line, address) for line in block.split("\n"))


def _inline(line: str, address: str) -> str:
    found = []
    position = 0
    for match in re.finditer(f"{LINK.pattern}|{TAG.pattern}", line):
        found.append(escape(line[position : match.start()]))
        found.append(_tag(match[0][1:], address) if match[0].startswith("#") else _link(match[0]))
        position = match.end()
    return "".join(found) + escape(line[position:])


def _link(url: str) -> str:
    split = re.match(r"https?://(?:www\.)?", url)
    before = split[0] if split else ""
    shown, after = url[len(before) :][:SHOWN], url[len(before) + SHOWN :]
    cut = ' class="ellipsis"' if after else ""
    return (
        f'<a href="{escape(url)}" target="_blank" rel="nofollow noopener" translate="no">'
        f'<span class="invisible">{escape(before)}</span><span{cut}>{escape(shown)}</span>'
        f'<span class="invisible">{escape(after)}</span></a>'
    )


def _tag(name: str, address: str) -> str:
    return f'<a href="{address}/tags/{escape(name)}" class="mention hashtag" rel="tag">#<span>{escape(name)}</span></a>'
