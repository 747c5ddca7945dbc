"""A Weibo post as the public finds it, without any credentials, and where its links lead.

Read is what the mobile page shows, by the address that its own script reads. Weibo replaces each address by
a link that says "网页链接", or the title of the page there, and leads through `weibo.cn/sinaurl?u=…` or a
short link of t.cn; at the end of a text it leaves invisible spaces. So a link is compared by where it
leads, to the letter, and stands in the compared text as that address; what is written on it is Weibo's.

BUG: since 2024 Weibo asks many networks for a visitor's cookie first (`ok` -100, or HTTP 432). Anonymous reads
keep none, so there a post stays public on Weibo's word alone, and open, until a person has looked.
Facts: answers of m.weibo.cn as programs that read it have recorded them, gathered 2026-11; the vendor documents
none of this.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lxml import etree

from channels import brief
from channels.weibo_address import page_of
from sync import confine
from sync.answer import not_before
from sync.compare import normal, outside, packed, placed, tokens
from sync.contract import Egress, Misbehaved, OutletError, Response, TryLater
from sync.model import Problem, Token

PAGE = "https://m.weibo.cn"
SHORT = "t.cn"
DELETED = "此微博已被原作者删除。"  # stands as text where a post was
UNSEEN = frozenset({"20101", "20112"})  # errno: there is no such post; nobody but its author may see it
BLANK = re.compile(r"[\s\u200b]+$")
OPEN, CLOSE = "\ue000", "\ue001"  # mark a link's place in a text until it is known where it leads
MARK = re.compile(f"{OPEN}([0-9]+){CLOSE}")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader finds. `text` None: nothing, and `notice` says what stands there instead."""

    text: str | None
    pictures: tuple[str, ...] = ()  # addresses, in full size
    notice: str = ""
    taken_down: bool = False  # Weibo itself says so


class Public:
    """The public side of Weibo; `page` is its address, without a slash at the end.

    Nothing that is asked here has credentials, nor counts as a call of the account's."""

    def __init__(self, http: Egress, outlet: str, page: str, now: Callable[[], int]) -> None:
        self._http, self._outlet, self._now = http, outlet, now
        self._page = page
        self._host = urlsplit(self._page).netloc
        self._led: dict[str, str] = {}

    def address(self, mid: str) -> str:
        """Where people find a post."""
        return page_of(self._page, mid)

    def post(self, mid: str) -> Seen:
        """Raises TryLater where strangers are turned away, or it cannot be learnt now."""
        answer = self._http.read(f"{self._page}/statuses/show?id={mid}")
        if answer.status in (404, 410):
            return Seen(None, notice=f"HTTP {answer.status}")
        told = self._told(answer)
        if told.get("ok") == 1 and isinstance(status := told.get("data"), dict):
            if is_deleted(status):
                return Seen(None, notice=str(status.get("text") or ""), taken_down=True)
            return Seen(str(status.get("text") or ""), tuple(self._pictures(status)))
        if str(told.get("errno")) in UNSEEN:
            notice = f"errno {told.get('errno')}: {str(told.get('msg') or '')[:100]}"
            return Seen(None, notice=notice, taken_down=True)
        raise TryLater(f"{self._outlet}: weibo: ok {told.get('ok')}, errno {told.get('errno')} to an anonymous reader")

    def tokens(self, text: str) -> tuple[list[Token], list[Problem]]:
        """What a reader finds in a post's HTML, and the links of which it cannot be learnt where they lead.

        Raises Misbehaved for HTML that cannot be read safely."""
        told = outside("channels.weibo_public:reading", text.encode("utf-8", "replace"))
        goals: list[str] = []
        problems: list[Problem] = []
        for href in told["links"]:
            try:
                goals.append(self.goal(href))
            except OutletError as error:
                goals.append(href)
                problems.append(Problem("link", f"链接无法核对 · the link cannot be followed: {error}", fatal=False))
        seen = [
            Token(token.kind, MARK.sub(lambda mark: goals[int(mark[1])], token.value))
            for token in placed(told["seen"], None)
        ]
        return seen, problems

    def goal(self, address: str) -> str:
        """Where a link leads in the end: an address that is not Weibo's own stays what it is.

        Raises TryLater when a short link does not tell, and what else keeps it from being learnt."""
        wrapped = urlsplit(address)
        if wrapped.path == "/sinaurl" and self._is_own(wrapped.netloc):
            address = parse_qs(wrapped.query).get("u", [address])[0]
        return self._redirected(address) if self.is_short(address) else address

    def is_short(self, address: str) -> bool:
        parts = urlsplit(address)
        return parts.netloc == SHORT or (parts.netloc == self._host and parts.path.startswith(f"/{SHORT}/"))

    def _is_own(self, host: str) -> bool:
        return host == self._host or host in ("weibo.cn", "m.weibo.cn", "weibo.com")

    def _redirected(self, address: str) -> str:
        if address not in self._led:
            secure = re.sub(r"^http://t\.cn/", "https://t.cn/", address)
            answer = self._http.call("GET", secure, creates=False, expect=(301, 302, 404))
            goal = answer.headers.get("Location")
            if not goal:  # a page that warns of where it leads, or a link that nobody knows yet
                raise TryLater(f"{self._outlet}: {address} does not say where it leads (status {answer.status})")
            self._led[address] = goal
        return self._led[address]

    def _told(self, answer: Response) -> Mapping[str, Any]:
        walled = f"{self._outlet}: 微博要求访客先验证身份 · Weibo turns strangers away (status {answer.status})"
        if answer.status != 200:
            raise TryLater(walled, not_before(answer.headers, self._now()), of=None)  # the API answers all the same
        try:
            told = answer.json()
        except Misbehaved as error:
            raise TryLater(walled) from error
        if not isinstance(told, dict):
            raise Misbehaved(f"{self._outlet}: an object was expected in the answer")
        if told.get("ok") == -100:
            raise TryLater(walled)
        return told

    def _pictures(self, status: Mapping[str, Any]) -> list[str]:
        found = []
        for one in status.get("pics") or ():
            large = one.get("large") if isinstance(one, dict) else None
            address = str((large if isinstance(large, dict) else {}).get("url") or "")
            # Its picture servers answer both; their addresses come with either.
            found.append(re.sub("^http://", "https://", address) if self._page.startswith("https://") else address)
        return found


def reading(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: what a post's HTML shows, each link by its mark, and where the links lead at first.

    A name that became a link to its bearer is text, as it was sent."""
    source = BLANK.sub("", parts[0].decode().replace(OPEN, "\ufffd").replace("\0", "\ufffd"))
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    root = etree.fromstring(f"<html><body><div>{source}</div></body></html>".encode(), parser)
    links: list[str] = []
    for anchor in list(root.iter("a")):
        href = anchor.get("href", "")
        if href.startswith("/n/"):
            del anchor.attrib["href"]
        elif href:
            for child in list(anchor):
                anchor.remove(child)
            anchor.text = f"{OPEN}{len(links)}{CLOSE}"
            anchor.set("href", str(len(links)))
            links.append(normal(href))
    markup = "".join(etree.tostring(block, encoding="unicode", method="html") for block in root.iterfind("body/*"))
    seen = [Token(one.kind, f"{OPEN}{one.value}{CLOSE}") if one.kind == "link" else one for one in tokens(markup)]
    return {"seen": packed(seen), "links": links}, []


def is_deleted(status: Mapping[str, Any]) -> bool:
    """Whether only a notice stands where a post was."""
    return str(status.get("deleted") or "0") not in ("0", "False") or status.get("text") == DELETED


def plain(text: str) -> str:
    """A text as the API gives it back to its owner, without what Weibo adds."""
    return normal(html.unescape(BLANK.sub("", text)))


def without_links(text: str) -> str:
    """What stays the same whatever short link Weibo puts in an address's place."""
    return normal(brief.LINK.sub("\ue000", plain(text)))
