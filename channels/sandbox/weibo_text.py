"""What Weibo makes of a text: its length, what it refuses in it, and the HTML that readers get.

A link runs until white space: text that follows an address without a space becomes part of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from html import escape
from urllib.parse import quote, urlsplit

LIMIT = 280  # half-width units
LINK = re.compile(r"https?://\S+")
TOPIC = re.compile(r"#[^#]+#")
MENTION = re.compile(r"@([\w-]{2,30})")
LINK_UNITS = 20  # a short link
SHORTENERS = frozenset({"t.cn", "bit.ly", "dwz.cn", "suo.im", "url.cn"})
TAIL = " \u200b\u200b\u200b"  # stands behind every text that is given back
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def length(text: str) -> int:
    """Half-width units: bytes in GBK, four for what only GB 18030 has; a link as a short one."""
    return LINK_UNITS * len(LINK.findall(text)) + len(LINK.sub("", text).encode("gb18030", "replace"))


def unbound(text: str, domain: str) -> str:
    """Why the addresses in it may not be shared by an application with this safe domain; "" when they may.

    `domain` "": whatever host, but no foreign short links.
    """
    links = LINK.findall(text)
    if not links:
        return "text not find domain!"
    for link in links:
        host = urlsplit(link).hostname or ""
        if host in SHORTENERS or (domain and host != domain and not host.endswith(f".{domain}")):
            return "appkey not bind domain!"
    return ""


def base62(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = LETTERS[rest] + digits
    return digits or "0"


def short_id(mid: str) -> str:
    """The id as the addresses of weibo.com have it: groups of seven digits from the right, each in base 62."""
    groups = [mid[max(0, end - 7) : end] for end in range(len(mid), 0, -7)][::-1]
    return base62(int(groups[0])) + "".join(base62(int(group)).rjust(4, "0") for group in groups[1:])


def short_code(link: str) -> str:
    """What the short link of an address ends with; the same address has the same one."""
    return "A6" + base62(int(hashlib.sha256(link.encode("utf-8", "replace")).hexdigest()[:10], 16))


def shortened(text: str, short: Callable[[str], str]) -> str:
    """A text as the API gives it back: every address replaced by its short link."""
    return LINK.sub(lambda match: short(match[0]), text) + TAIL


def page_html(text: str, short: Callable[[str], str], wrapper: str) -> str:
    """A text as the mobile page shows it. `wrapper`: links lead through this address, not through short links."""
    found, position = [], 0
    for match in LINK.finditer(text):
        found.append(_words(text[position : match.start()]))
        short_link = short(match[0])
        href = f"{wrapper}?u={quote(match[0], safe='')}" if wrapper else short_link
        found.append(
            f'<a data-url="{escape(short_link)}" href="{escape(href)}" data-hide="">'
            "<span class='url-icon'><img style='width: 1rem;height: 1rem' src='/web_default.png'></span>"
            '<span class="surl-text">网页链接</span></a>'
        )
        position = match.end()
    return "".join(found) + _words(text[position:]) + TAIL


def _words(text: str) -> str:
    escaped = escape(text, quote=False).replace("\n", "<br />")
    return MENTION.sub(lambda match: f"<a href='/n/{match[1]}'>@{match[1]}</a>", escaped)
