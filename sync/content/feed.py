"""A feed's bytes → its entries, each as the item's file that an editor would have written of it.

For a confined process: feedparser reads what a stranger wrote. RSS of every version and Atom; JSON Feed is none
that it knows. What is not whole (cut off, of another charset than it says, not XML) is refused as a whole: half
an entry must never become an item. The texts are not cleaned here but where every item's are.
"""

from __future__ import annotations

import io
import json
import re
from calendar import timegm
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from html import escape, unescape
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import feedparser

from sync.confine import Answer, Ask
from sync.content.attachment import TYPES
from sync.content.inline import plain
from sync.model import BadInput

MAX_BYTES = 8 * 1024 * 1024
MAX_ENTRIES = 500
CHINA = timedelta(hours=8)

_TAG = re.compile(r"<[^<>]*>")
_ELEMENT = re.compile(r"""<(img|a)\b((?:"[^"]*"|'[^']*'|[^'">])*)>""", re.IGNORECASE)
_ADDRESS = re.compile(r"""(\s(?:src|href)\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE)
_DECLARED = re.compile(rb"""^[^<]{0,8}<\?xml[^>]*\bencoding\s*=""")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_HYPERTEXT = ("text/html", "application/xhtml+xml")
_AGAIN = (
    "在浏览器中打开其地址，请网站修复；已读入的不变 · "
    "open its address in a browser; ask the site to mend it. What was read before stays as it is"
)


def read(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    """`value`: url, charset (of the answer's header, or ""). `refused`, or title and entries, newest first."""
    try:
        return _told(parts[0], value["url"], value["charset"]), []
    except BadInput as refusal:
        return {"refused": [refusal.where, refusal.message, refusal.mend]}, []


def _told(content: bytes, url: str, charset: str) -> dict[str, Any]:
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:512]
    if start.startswith(b"{"):
        mend = "改用该网站的 RSS 或 Atom 地址 · give the site's RSS or Atom address: most have one beside it"
        raise BadInput(url, "这是 JSON Feed，不能读取 · this is a JSON feed, which is not read", mend)
    if re.match(rb"<!doctype html|<html", start, re.IGNORECASE):
        raise BadInput(
            url,
            "这是网页，不是订阅源 · this is a web page and no feed",
            "改用其 RSS 或 Atom 订阅源的地址 · give the address of its RSS or Atom feed",
        )
    # Not as the answer names it: of text/xml without a charset feedparser would take us-ascii, as nobody else does.
    headers = {"content-location": url, "content-type": "application/xml"}
    if charset and not _DECLARED.match(content):
        headers["content-type"] += f"; charset={charset}"
    found = feedparser.parse(
        io.BytesIO(content), response_headers=headers, resolve_relative_uris=False, sanitize_html=False
    )
    if found.bozo:
        raise BadInput(url, f"订阅源已损坏 · the feed is damaged ({_broken(found.bozo_exception)})", _AGAIN)
    if not found.version:
        raise BadInput(
            url,
            "这不是订阅源 · this is no feed",
            "改用 RSS 或 Atom 订阅源的地址 · give the address of an RSS or Atom feed",
        )
    source = _text(found.feed, "title")
    language = str(found.feed.get("language") or "")
    atom = found.version.startswith("atom")
    entries = [_entry(one, url, source, language, atom=atom) for one in found.entries[:MAX_ENTRIES]]
    return {"title": source, "entries": [one for one in entries if one is not None]}


def _broken(error: Exception) -> str:
    match error:
        case feedparser.CharacterEncodingOverride() | feedparser.CharacterEncodingUnknown():
            return "its bytes are not of the charset that it declares"
        case _:
            return plain(str(error))[:200] or type(error).__name__


def _entry(one: Any, url: str, source: str, language: str, *, atom: bool) -> dict[str, Any] | None:
    """None: nothing names it and nothing is in it.

    Addresses in a text of RSS are those of the page that it is from, unless it says otherwise; of Atom the feed's."""
    title, link = _text(one, "title"), urljoin(url, str(one.get("link") or ""))
    kind, text, base, spoken = _body(one)
    named = str(one.get("id") or one.get("link") or title)
    if not named:
        return None
    link = link if one.get("link") and urlsplit(link).scheme in ("http", "https") else ""
    files = _Files(base if base and (atom or base != url) else link or url)
    for number, enclosure in enumerate(one.get("enclosures", ())):
        files.attach(enclosure, _titles(one).get(str(enclosure.get("href")), ""), number)
    html = files.illustrated(text) if kind in _HYPERTEXT else _paragraphs(text)
    summary = _text(one, "summary") if one.get("content") else ""
    tongue = spoken or language
    front: dict[str, Any] = {
        "title": title,
        "summary": summary,
        "author": plain(str(one.get("author") or "")),
        "source": source,
        "keywords": list(
            dict.fromkeys(filter(None, (plain(str(tag.get("term") or "")) for tag in one.get("tags", ()))))
        ),
        "language": tongue if _LANGUAGE.fullmatch(tongue) else "",
        "written_on": _day(one),
        "link": link,
        "attachments": [{"file": path, "name": name} for path, name in files.attached],
    }
    return {
        "id": named,
        "title": title,
        "link": link,
        "file": _file(front, html),
        "wanted": [[address, path, kind] for address, (path, kind) in files.wanted.items()],
    }


def _body(one: Any) -> tuple[str, str, str, str]:
    """Media type, text, base and language of the fullest text of an entry."""
    texts = [*one.get("content", ()), *([one.summary_detail] if one.get("summary_detail") else ())]
    texts.sort(key=lambda text: (text.get("type") not in _HYPERTEXT, text is one.get("summary_detail")))
    for text in texts:
        if str(text.get("value") or "").strip():
            kind = str(text.get("type") or "")
            return kind, str(text["value"]), str(text.get("base") or ""), str(text.get("language") or "")
    return "text/plain", "", "", ""


class _Files:
    """What an entry's text shows and hands out: addresses of the feed become paths beside the item."""

    def __init__(self, base: str) -> None:
        self._base = base
        self.wanted: dict[str, tuple[str, str]] = {}  # address → path, and picture or attachment
        self.attached: list[tuple[str, str]] = []  # path, and the name that readers see

    def attach(self, enclosure: Mapping[str, Any], title: str, number: int) -> None:
        address = urljoin(self._base, str(enclosure.get("href") or ""))
        if urlsplit(address).scheme not in ("http", "https") or address in self.wanted:
            return
        name = _name(title) or _name(_last(address)) or f"{number + 1}"
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in TYPES:
            kind = str(enclosure.get("type") or "").partition(";")[0].strip().lower()
            suffix = next((one for one, (media_type, _) in TYPES.items() if media_type == kind), suffix)
            name = name if name.lower().endswith(suffix) else name + suffix
        path = f"files/{len(self.wanted) + 1}{suffix}"
        self.wanted[address] = path, "attachment"
        self.attached.append((path, name))

    def illustrated(self, html: str) -> str:
        return _ELEMENT.sub(self._element, html)

    def _element(self, found: re.Match[str]) -> str:
        shows = found[1].lower() == "img"

        def address(written: re.Match[str]) -> str:
            raw = unescape(written[2].strip("\"'")).strip()
            whole = urljoin(self._base, raw)
            if urlsplit(whole).scheme not in ("http", "https"):
                return written[0]
            if shows and whole not in self.wanted:
                suffix = PurePosixPath(_last(whole)).suffix
                suffix = suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,5}", suffix) else ""
                self.wanted[whole] = f"files/{len(self.wanted) + 1}{suffix}", "picture"
            final = self.wanted[whole][0] if whole in self.wanted else whole
            return f'{written[1]}"{escape(final)}"'

        return f"<{found[1]}{_ADDRESS.sub(address, found[2])}>"


def _file(front: Mapping[str, Any], html: str) -> str:
    """As an HTML item with front matter; JSON is YAML."""
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items() if value]
    return "\n".join(["---", *lines, "---", html])


def _paragraphs(text: str) -> str:
    return "\n".join(f"<p>{escape(line, quote=False)}</p>" for line in text.splitlines() if line.strip())


def _text(one: Any, key: str) -> str:
    """One line of plain text, also of what was written as HTML."""
    detail = one.get(f"{key}_detail") or {}
    value = str(one.get(key) or "")
    return plain(unescape(_TAG.sub(" ", value)) if detail.get("type") in _HYPERTEXT else value)


def _titles(one: Any) -> dict[str, str]:
    """Names of enclosures, where Atom gives them."""
    return {str(link.get("href")): str(link.get("title") or "") for link in one.get("links", ())}


def _day(one: Any) -> str:
    """The day in China on which it was published."""
    moment = one.get("published_parsed") or one.get("updated_parsed")
    if moment is None:
        return ""
    return (datetime.fromtimestamp(timegm(moment), UTC) + CHINA).date().isoformat()


def _last(address: str) -> str:
    return PurePosixPath(unquote(urlsplit(address).path)).name


def _name(text: str) -> str:
    """A name that a file can have."""
    return re.sub(r'[/\\:*?"<>|\x00-\x1f]', "_", plain(text)).strip(". ")[-120:]
