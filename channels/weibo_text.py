"""What of an edition goes into one Weibo post: the text, its one picture, and what a reader must then see.

Weibo's rules for what an ordinary application shares are about the text alone, and a breach is told only at
the instant, when the other outlets are public already. So they are all looked at here, beforehand.
Facts: open.weibo.com, "statuses/share", read 2026-11; the fact sheet on Weibo, sections in brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from channels import brief
from channels.picture import READABLE
from sync.contract import Pages, Unsupported
from sync.model import Asset, Edition, Problem, Token

LIMIT = 280  # half-width units: 140 Chinese characters [4]
MARGIN = 20  # ten characters, as the vendor's SDKs keep free [4]
# A link is shown, and counted, as a short one of ten characters, plus what it is longer than this [4, unverified].
LINK_UNITS, LINK_LENGTH = 20, 140
TOPIC = re.compile(r"#[^#]+#")
NOWHERE = "https://canonical.invalid/"  # stands for the address while an edition is looked at before its release
TEMPLATE = "weibo/status.txt"


def units(text: str) -> int:
    """Length in half-width units: what it has bytes in GBK, links apart. What GBK lacks counts two, an emoji four."""
    links = brief.LINK.findall(text)
    rest = brief.LINK.sub("", text)
    counted = sum(LINK_UNITS + max(0, len(link) - LINK_LENGTH) for link in links)
    return counted + sum(1 if ord(one) < 0x80 else 2 if ord(one) < 0x10000 else 4 for one in rest)


def spaced(text: str) -> str:
    """With a space after each address, also at the end: what follows would be swallowed into the link [4]."""
    found, position = "", 0
    for match in brief.LINK.finditer(text):
        found += text[position : match.end()]
        position = match.end()
        if not text[position : position + 1].isspace():
            found += " "
    return found + text[position:]


ROOM = brief.Room(LIMIT - MARGIN, lambda text: units(spaced(text)))


def compose(pages: Pages, edition: Edition, canonical: str) -> str:
    """The post's text, without topics ("#…#" is forbidden). Raises Unsupported when title and address are too long."""
    return spaced(brief.compose(pages, TEMPLATE, edition, canonical, ROOM, tag=""))


def bound(address: str, allowed: Sequence[str]) -> bool:
    """Whether an address is on one of the domains or below it. Without domains all are (only a sandbox has none)."""
    host = urlsplit(address).hostname or ""
    return not allowed or any(host == domain or host.endswith(f".{domain}") for domain in allowed)


def problems(pages: Pages, edition: Edition, allowed: Sequence[str]) -> Iterator[Problem]:
    """What of title and summary Weibo would refuse, or strip without a word."""
    if not edition.title.strip():
        yield Problem("title", "缺少标题 · the title is missing")
        return
    try:
        text = compose(pages, edition, NOWHERE)
    except Unsupported as error:
        yield Problem("title", str(error))
        return
    below = "summary" if edition.text("summary").strip() else "body"
    if topic := TOPIC.search(text):
        yield Problem("title" if TOPIC.search(edition.title) else below, _topic(topic[0]))
    for link in brief.LINK.findall(text):
        if link != NOWHERE and not bound(link, allowed):
            yield Problem("title" if link in edition.title else below, _foreign(link, allowed))


def examine(text: str, canonical: str, allowed: Sequence[str]) -> None:
    """The same of a finished text. Raises Unsupported, naming what stands in the way."""
    links = brief.LINK.findall(text)
    for link in (canonical, *links):
        if not bound(link, allowed):
            raise Unsupported(_foreign(link, allowed))
    if canonical not in links:
        raise Unsupported(f"微博不能把此地址识别为链接 · Weibo would not take this for one link: {canonical}")
    if topic := TOPIC.search(text):
        raise Unsupported(_topic(topic[0]))


def _foreign(link: str, allowed: Sequence[str]) -> str:
    return f"链接不在安全域名（{'、'.join(allowed)}）下，微博会拒收 · the link is not on the safe domain: {link}"


def _topic(found: str) -> str:
    # Not replaced by another sign: then Weibo would show another text than the other outlets.
    return (
        f"“{found}”会被当作话题，微博会拒收或删去，请改写 · it would be a topic, which is refused: write it without #"
    )


def picture(edition: Edition) -> tuple[Asset, ...]:
    """The one picture that a post takes, cover first; () without any."""
    return brief.pictures(edition, READABLE, 1)


def shown(text: str, files: Sequence[Asset]) -> tuple[Token, ...]:
    """What a reader must find. Pictures have no description on Weibo."""
    return (*brief.shown(text), *(Token("image", asset.digest) for asset in files))
