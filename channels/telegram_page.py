"""What anybody sees of a public channel: t.me's list of its posts, one post by itself, its pictures.

The Bot API has no method that reads a message, so this is how it is read back and found again. t.me answers 200
to nearly everything; by its classes one tells a post, the notice that there is none, and a page of another shape,
which is no absence. The pages are the outlet's and carry whatever anybody posts: they are read in a confined process.
Source: pages of t.me as open-source readers describe them (2026); the fact sheet on Telegram, section 4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from lxml import etree

from channels import telegram_text as texts
from sync import compare, confine
from sync.answer import unread
from sync.contract import Egress, Misbehaved, OutletError, Tools, TryLater
from sync.model import Asset, Problem, Token

MOST_PAGES = 25  # of the list, twenty posts each, that one search reads
_PICTURE = re.compile(r"""background-image\s*:\s*url\(\s*['"]?([^'")]+)""")
_SINGLE = re.compile(r"/(\d+)\?single")
_POST = re.compile(r"\w+/(\d+)")
_NO_LINKS: list[tuple[int, str]] = []


@dataclass(frozen=True)
class Post:
    """`id` of its message, `ids` of all of an album. `pictures`: addresses. `card`: of a page it links to."""

    id: int
    ids: tuple[int, ...]
    text: tuple[Token, ...]
    pictures: tuple[str, ...]
    card: bool

    def links_to(self, address: str) -> bool:
        return Token("link", address) in self.text


@dataclass(frozen=True)
class Look:
    """One anonymous read of one post. No `post`: there is none. `seen`: text, links, pictures by their digests."""

    post: Post | None
    seen: tuple[Token, ...]
    problems: tuple[Problem, ...]
    began_at: int
    ended_at: int


class Reader:
    def __init__(self, tools: Tools, outlet: str, base: str) -> None:
        self._tools, self._http, self._outlet, self._base = tools, tools.http, outlet, base

    def look(self, url: str, files: Sequence[Asset]) -> Look:
        """The post at its public address; `files`: the pictures that may be in it. Raises TryLater, Misbehaved."""
        began = self._tools.now()
        posts = self._read(f"{url}?embed=1")
        ended = self._tools.now()
        ref = url.rpartition("/")[2]
        post = next((one for one in posts["posts"] if str(one.id) == ref), None)
        if post is None and not posts["missing"]:
            raise self._changed()
        if post is None:
            return Look(None, (), (), began, ended)
        pictures, problems = _recognised(self._http, post.pictures, self._tools, files)
        if post.card:
            message = "出现未经审定的链接预览 · it shows a link preview that nobody approved"
            problems = (*problems, Problem("preview", message, fatal=False))
        return Look(post, post.text + pictures, problems, began, ended)

    def last(self, name: str) -> int | None:
        """The id of a channel's last message; 0: it has none yet; None: it shows no list of them."""
        told = self._read(f"{self._base}/s/{name}")
        return max((max(post.ids) for post in told["posts"]), default=0) if told["list"] else None

    def newest(self, name: str) -> list[Post] | None:
        """The last posts of a channel, oldest first; None: it shows no list of them. Raises TryLater, Misbehaved."""
        told = self._read(f"{self._base}/s/{name}")
        if told["list"] and not told["posts"] and not told["none"]:
            raise self._changed()
        return told["posts"] if told["list"] else None

    def since(self, name: str, last: int) -> list[Post]:
        """Every post newer than message `last`, oldest first. Raises TryLater where there are too many, or no list."""
        found: dict[int, Post] = {}
        url = f"{self._base}/s/{name}"
        for _ in range(MOST_PAGES):
            told = self._read(url)
            if not told["list"]:
                raise TryLater(f"{self._outlet}: the channel shows no list of its posts now")
            page = {post.id: post for post in told["posts"] if post.id not in found}
            if last and not told["posts"] and not found:
                raise self._changed()  # there was a post when it was prepared, and now it has none at all
            if told["posts"] and not page:
                raise Misbehaved(f"{self._outlet}: the list of posts does not go on to older ones")
            found |= {ref: post for ref, post in page.items() if ref > last}
            if not page or min(page) <= last:
                return [found[ref] for ref in sorted(found)]
            url = f"{self._base}/s/{name}?before={min(page)}"
        raise TryLater(f"{self._outlet}: more than {len(found)} posts since it was prepared")

    def _changed(self) -> Misbehaved:
        return Misbehaved(f"{self._outlet}: 公开页面无法辨认 · the public page has another shape than t.me's")

    def _read(self, url: str) -> dict[str, Any]:
        answer = self._http.read(url)
        if answer.status != 200:
            message = f"{self._outlet}: status {answer.status} to an anonymous reader"
            raise unread(message, answer, self._tools.now())
        told = compare.outside("channels.telegram_page:reading", answer.body, url)
        if told["unreadable"]:
            raise self._changed()
        told["posts"] = [
            Post(one["id"], tuple(one["ids"]), compare.placed(one["text"], None), tuple(one["pictures"]), one["card"])
            for one in told["posts"]
        ]
        return dict(told)


def _recognised(
    http: Egress, addresses: Sequence[str], tools: Tools, files: Sequence[Asset]
) -> tuple[tuple[Token, ...], tuple[Problem, ...]]:
    """Each picture by the digest of the file that it is, however Telegram has encoded it anew."""
    candidates = {asset.digest: tools.blob(asset.digest) for asset in files}
    found: list[Token] = []
    problems: list[Problem] = []
    for address in addresses:
        try:
            answer = http.read(address)
        except OutletError as error:
            problems.append(Problem("image", f"图片读不到 · the picture cannot be read: {error}", fatal=False))
            continue
        content = answer.body if answer.status == 200 else b""
        found.append(Token("image", compare.recognise(content, candidates)))
    return tuple(found), tuple(problems)


def reading(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: the posts of a page of t.me at address `value`; whether it is a list of them, and says
    that it has none; whether it says that there is no such post; whether there are posts that cannot be read."""
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    root = etree.fromstring(parts[0].strip() or b"<p>", parser)
    found = [told for one in _classed(root, "tgme_widget_message") if (told := _post(one, str(value))) is not None]
    blocks = len(_classed(root, "tgme_widget_message_wrap"))
    return {
        "posts": found,
        "list": bool(_classed(root, "tgme_channel_history")),
        "none": bool(_classed(root, "tme_no_messages_found")),
        "missing": bool(_classed(root, "tgme_widget_message_error")),
        "unreadable": blocks > len(found),
    }, []


def _post(block: etree._Element, base: str) -> dict[str, Any] | None:
    match = _POST.fullmatch(str(block.get("data-post", "")))
    if match is None:
        return None
    text, links = "", _NO_LINKS
    bodies = [
        one for one in _classed(block, "tgme_widget_message_text") if not _within(one, "tgme_widget_message_reply")
    ]
    if bodies:  # of an album there are two, one inside the other
        text, links = _text(bodies[0])
    photos = _classed(block, "tgme_widget_message_photo_wrap")
    pictures = [urljoin(base, match_[1]) for one in photos if (match_ := _PICTURE.search(str(one.get("style", ""))))]
    singles = {int(match_[1]) for one in photos if (match_ := _SINGLE.search(str(one.get("href", ""))))}
    return {
        "id": int(match[1]),
        "ids": sorted(singles) or [int(match[1])],
        "text": compare.packed(texts.seen(text, links)),
        "pictures": pictures,
        "card": bool(_classed(block, "tgme_widget_message_link_preview")),
    }


def _text(body: etree._Element) -> tuple[str, list[tuple[int, str]]]:
    """The text, lines broken where it breaks them, and the links that are not Telegram's own."""
    text, links = "", []
    for event, element in etree.iterwalk(body, events=("start", "end")):
        if event == "start":
            href = element.get("href")
            if element.tag == "a" and href is not None and not _furniture(href, "".join(map(str, element.itertext()))):
                links.append((len(text), href))
            text += "\n" if element.tag == "br" else element.text or ""
        elif element is not body:
            text += element.tail or ""
    return text, links


def _furniture(href: str, text: str) -> bool:
    """Whether Telegram has made this link of the very words it stands on: a tag, a name, a bare domain or mail."""
    said = text.strip()
    own = {
        f"https://t.me/{said[1:]}" if said.startswith("@") else "",
        f"mailto:{said}",
        f"tel:{said}",
        f"http://{said}",
    }
    return href.startswith("?q=") or href in own or (href.endswith("/") and href[:-1] in own)


def _classed(element: etree._Element, name: str) -> list[etree._Element]:
    return [one for one in element.iterdescendants() if name in str(one.get("class", "")).split()]


def _within(element: etree._Element, name: str) -> bool:
    return any(name in str(one.get("class", "")).split() for one in element.iterancestors())
