"""Text and markup that WordPress stores and shows exactly as they were sent. Pure.

WordPress rewrites what it shows: straight quotes become curly, two hyphens a dash, `3x4` a multiplication sign
(wptexturize), `[gallery]` a gallery (shortcodes), `:)` a picture (smilies), a bare address a player (embeds),
"Wordpress" another spelling (capital_P_dangit). These filters read the source text, not what it means, so a
character written as its numeric reference passes them all and is the same character to a reader. Only where
a filter would bite: the rest stays as it is, because the site's own search reads the source. The references
are written as KSES, the filter of users without `unfiltered_html`, would write them (three digits at least).
Source: wp-includes/formatting.php, kses.php, class-wp-embed.php, shortcodes.php (6.x).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from html.parser import HTMLParser

from sync.compare import differences, tokens

VOID = frozenset({"br", "hr", "img"})
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_BITTEN = re.compile(
    r"""[&<>"'\[\]]             # markup; quotes and primes; shortcodes
    | (?<!\w)- | -(?!\w)        # dashes: doubled, or standing alone
    | (?<=\.)\.                 # an ellipsis of three dots
    | `(?=`)                    # a quotation of two backticks
    | (?<=[\d.,])x(?=\d)        # 3x4
    | \((?=tm\))                # (tm)
    | [:;](?=[^\s\d])           # smilies; addresses that would be embedded
    | 8(?=-?[O)])               # the smilies that begin with it
    | (?<=Word)p(?=ress)        # the spelling of the name
    """,
    re.VERBOSE,
)
_QUOTED = re.compile(r"""[&<>"'\[\]]""")
_ASSET = re.compile(r'="asset:([0-9a-f]{64})"')


def inert(text: str) -> str:
    """Plain text as source text that no filter changes and no reader tells from it."""
    return _BITTEN.sub(lambda bitten: _NAMED.get(bitten[0]) or f"&#{ord(bitten[0]):03d};", text)


def quoted(value: str) -> str:
    """An attribute's value between its double quotes. Only shortcodes are looked for there."""
    return _QUOTED.sub(lambda bitten: _NAMED.get(bitten[0]) or f"&#{ord(bitten[0]):03d};", value)


def protected(html: str) -> str:
    """The same HTML with every text and every attribute's value inert. Comments, which delimit blocks, stay."""
    writer = _Writer()
    writer.feed(html)
    writer.close()
    return "".join(writer.written)


def with_addresses(content: str, address: Mapping[str, str]) -> str:
    """The content with each file's digest replaced by its address. Raises KeyError for a digest without one."""
    return _ASSET.sub(lambda found: f'="{quoted(address[found[1]])}"', content)


def losses(sent: str, stored: str) -> tuple[str, ...]:
    """What the outlet changed, in words for a person; empty when both say the same to every reader.

    How a character is written does not count, nor the order of attributes.
    """
    if sent == stored or _said(sent) == _said(stored):
        return ()
    ours, theirs = (Counter(piece[1] for piece in _said(html) if piece[0] == "<") for html in (sent, stored))
    told = [f"<{tag}> ×{count} 被删除 / removed" for tag, count in (ours - theirs).items()]
    told += [f"<{tag}> ×{count} 多出 / added" for tag, count in (theirs - ours).items()]
    seen = differences(*(tokens(html, lambda source: source) for html in (sent, stored)))
    told += [f"{one.where}: {one.message}" for one in seen]
    return tuple(told) or ("属性或区块标记不同 / attributes or block marks differ",)


class _Writer(HTMLParser):
    """Writes down again what it reads, one way for everything."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.written: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = "".join(f' {name}="{quoted(value or "")}"' for name, value in attrs)
        self.written.append(f"<{tag}{told}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self.written.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.written.append(inert(data))

    def handle_comment(self, data: str) -> None:
        self.written.append(f"<!--{data}-->")


def _said(html: str) -> list[tuple[str, ...]]:
    """Tags with their attributes, comments and texts, in order; white space between them levelled."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.pieces


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[tuple[str, ...]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pieces.append(("<", tag, *sorted(f"{name}={value or ''}" for name, value in attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self.pieces.append(("/", tag))

    def handle_data(self, data: str) -> None:
        if words := " ".join(data.split()):
            self.pieces.append(("text", words))

    def handle_comment(self, data: str) -> None:
        self.pieces.append(("comment", data.strip()))
